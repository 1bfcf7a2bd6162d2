//! The concepts of which orders to an agent are made, each in the words most people would use for it. None means
//! anything alone: `evidence` weighs how many of them stand together.
//!
//! A weight is how surprising a concept is in an ordinary message: about `-log2` of the share of benign texts that
//! have it, less two, in halves, and never enough to alert alone. Attacks had no part in choosing the weights.

use super::Kind;
use super::rules::{Mention, Role, Rule};

/// A concept, its weight in halves.
pub(super) const fn concept(
    id: &'static str,
    weight: u8,
    literals: &'static [&'static str],
    also: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    let role = Role::Evidence(weight);
    Rule { id, kind: Kind::Injection, role, mention: Mention::Excused, literals, also, pattern }
}

/// Names for what a model was told.
macro_rules! noun_of_order {
    () => {
        concat!(
            r"(?:instructions?|instructed|prompts?|rules?|guidelines?|guidance|directions?",
            r"|directives?|orders|commands?|polic(?:y|ies)|constraints?|restrictions?|programming",
            r"|safeguards?|guardrails?|protocols?|told|limits|limitations|safety|moderation|ethics",
            r"|alignment|training|operator|developer)"
        )
    };
}

/// Putting something aside.
macro_rules! set_aside {
    () => {
        concat!(
            r"\b(?:ignor(?:e|es|ing)|disregard(?:s|ing)?|forget(?:ting)?|overrid(?:e|es|ing)",
            r"|bypass(?:es|ing)?|neglect(?:ing)?|skip(?:ping)?|discard(?:ing)?|dismiss(?:ing)?|drop",
            r"|abandon(?:ing)?|overlook|cancel|erase|void|revoke|nullify|suspend|circumvent",
            r"|deviate from|set aside|put aside|leave aside|throw (?:away|out)|disobey|violate",
            r"|stop (?:following|obeying)|pay no (?:attention|heed) to)"
        )
    };
}

/// Names for a model.
macro_rules! model {
    () => {
        concat!(
            r"(?:ai|llm|llms|assistant|language model|chatbot|agent|gpt|chatgpt|claude|gemini|copilot",
            r"|model|models|bot)"
        )
    };
}

/// Names for those it serves.
macro_rules! human {
    () => {
        concat!(
            r"(?:users?|humans?|customers?|operators?|owners?|administrators?|clients?|employees?",
            r"|anyone|anybody|person|him|her|them|people|everyone)"
        )
    };
}

/// What is said to a model.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // What was ordered before is put aside.
    concept(
        "evidence.set-aside",
        12,
        &[
            "ignor", "disregard", "forget", "overrid", "bypass", "neglect", "skip", "discard",
            "dismiss", "drop", "abandon", "overlook", "cancel", "erase", "void", "revoke", "nullif",
            "suspend", "circumvent", "deviate", "aside", "throw", "disobey", "violate", "follow",
            "obey", "listen", "adher", "comply", "apply", "respect", "attention", "heed",
        ],
        &[
            "struct", "prompt", "rule", "guid", "direct", "order", "command", "polic", "constraint",
            "restriction", "programming", "guard", "protocol", "told", "limit", "safety", "moderation",
            "ethic", "training", "operator", "developer", "everything", "anything", "whatever",
            "previous", "prior", "preceding", "foregoing", "earlier", "above", "former", "user",
            "human", "customer", "person", "said", "before", "know", "given", "wrote", "learn",
            "alignment", "so far", "far",
        ],
        concat!(
            r"\b(?:do not|don'?t|never|no longer|needn'?t) (?:have to |need to )?(?:follow|obey",
            r"|listen to|adhere to|comply with|apply|respect) (?:[^\s.!?;:|]+ ){0,2}?(?:your|previous",
            r"|prior|earlier|system|safety|developer|operator|original|initial|above|former",
            r"|usual) (?:[^\s.!?;:|]+ ){0,2}?\S{0,2}",
            noun_of_order!(),
            r"\b|",
            set_aside!(),
            r" (?:[^\s.!?;:|]+ ){0,6}?\S{0,2}",
            noun_of_order!(),
            r"\b|",
            set_aside!(),
            r" (?:[^\s.!?;:|]+ ){0,2}?(?:everything|anything|all|whatever|what) (?:[^\s.!?;:",
            r"|]+ ){0,5}?(?:above|before|previously|earlier|prior|said|told|so far|preceding|know",
            r"|learned|learnt|given|wrote)\b|",
            set_aside!(),
            r" (?:[^\s.!?;:|]+ ){0,3}?(?:previous|prior|preceding|foregoing|earlier|above",
            r"|former) (?:\w+ )?(?:text|context|conversations?|tasks?|requests?|questions?|input",
            r"|content|assignments?|documents?|paragraphs?|passages?)\b|",
            set_aside!(),
            r" (?:[^\s.!?;:|]+ ){0,2}?(?:user|human|customer|person)(?:'s|s'",
            r"|s)? (?:\w+ )?(?:requests?|query|questions?|tasks?|goals?|wish\w*|intent)"
        ),
    ),
    // Rules are declared void.
    concept(
        "evidence.void",
        14,
        &[
            "void", "obsolete", "lifted", "supersede", "cancel", "suspended", "revoked", "waived",
            "overrid", "apply", "longer", "precedence", "priority", "outrank",
        ],
        &[
            "struct", "rule", "guid", "restriction", "direct", "guard", "order", "polic", "constraint",
            "filter", "moderation", "prompt", "told", "given", "else",
        ],
        concat!(
            r"\b(?:instructions?|rules|guidelines|restrictions|directives|safeguards|guardrails",
            r"|orders|guidance|polic(?:y|ies)|constraints|filters|moderation) (?:[^\s.!?;:",
            r"|]+ ){0,4}?(?:void|obsolete|lifted|superseded|cancelled|canceled|suspended|revoked",
            r"|waived|overridden|don'?t apply|(?:do|does) not apply|no longer (?:appl\w+|valid|in \w+",
            r"|bind\w*))\b|\b(?:supersedes?|overrides?|takes? (?:absolute )?(?:precedence",
            r"|priority) over|outranks?) (?:all|any|every\w*|your|other",
            r"|previous) (?:\w+ ){0,2}(?:instructions?|rules?|directives?|guidelines?|prompts?",
            r"|polic\w+|orders|else|told|given)"
        ),
    ),
    // Another task takes the place of the one given.
    concept(
        "evidence.new-task",
        13,
        &[
            "instruction", "task", "goal", "objective", "mission", "directive", "purpose", "role",
            "assignment", "priorit", "prompt", "plan", "output", "job", "order", "fresh", "program",
            "assigned", "upgraded", "liberat", "freed", "hacked", "provision", "rule",
        ],
        &[
            "new", "real", "actual", "true", "only", "sole", "updat", "revis", "hidden", "secret",
            "ultimate", "modif", "final", "next", "changed", "replaced", "irrelevant", "cancelled",
            "start", "been", "over",
        ],
        concat!(
            r"\b(?:your|here (?:is|are) (?:your|the)|this is your) (?:new|real|actual|true|only|sole",
            r"|updated|revised|hidden|secret|ultimate|modified|final|next) (?:\w+ )?(?:instructions?",
            r"|tasks?|goals?|jobs?|objectives?|missions?|directives?|purpose|role|orders?|assignment",
            r"|priority|plan|output)\b|\bthe (?:real|actual|true|hidden|secret",
            r"|sole) (?:\w+ )?(?:instructions?|task|goal|job|objective|mission|directive)\b",
            r"|\bnew (?:\w+ )?(?:instructions?|tasks?|directives?|orders?|objectives?|rules?|role",
            r"|plan|prompt) ?[:=-]|\b(?:task|goal|mission|objective|instructions?|role|job)s? (?:has",
            r"|have|is|are|was|were) (?:now |been |just ){0,4}(?:changed|updated|replaced|modified|over\b",
            r"|irrelevant|cancelled)|\bfresh start\b|\byou(?:'ve| have) been (?:re-?provisioned",
            r"|re-?assigned|reprogrammed|upgraded|hacked|liberated|freed)\b"
        ),
    ),
    // It is to last.
    concept(
        "evidence.from-now-on",
        13,
        &[
            "henceforth", "hereafter", "until", "effective", "future", "following", "subsequent", "now",
            "today", "here", "moment", "point",
        ],
        &[
            "from", "henceforth", "hereafter", "further", "immediately", "starting", "future",
            "following", "subsequent",
        ],
        concat!(
            r"\b(?:from now on|henceforth|hereafter|from this (?:point|moment)(?: on\w*)?",
            r"|until further notice|starting now|effective immediately|from (?:here|today|now) (?:on",
            r"|onwards?)|for all (?:future|following|subsequent)|in (?:all )?(?:future",
            r"|subsequent) (?:sessions?|conversations?|responses?|requests?|messages|chats))\b"
        ),
    ),
    // Somebody else is to be played ...
    concept(
        "evidence.persona",
        11,
        &[
            "you", "pretend", "role", "simulat", "character", "immerse", "named", "called", "imagin",
            "opposite", "persona", "identity", "mode", "fictional", "hypothetical", "artificial", "act",
        ],
        &[
            "going", "be ", "be,", "be*",
            "pretend", "role", "simulat", "character", "immerse", "named", "called", "imagin",
            "opposite", "persona", "identity", "mode", "fictional", "hypothetical", "artificial", "act",
            "longer", "play", "now", "become", "embody", "entering", "want",
        ],
        concat!(
            r"\b(?:you(?: a|')re (?:now|going to (?:act|be|play|pretend|simulate)|no longer|to (?:act",
            r"|be|play) |entering)|you (?:will|must|should|shall|are to) (?:now |always )?(?:act|play",
            r"|become|simulate|role-?play|pretend|impersonate|embody)|pretend(?:ing)? (?:to|you|that",
            r"|the)|role-?\s?play(?:ing)?|i want you to (?:act|become|be|play|pretend|simulate",
            r"|imagine)|simulate (?:a|an|being|the)|(?:stay|remain) in character|immerse yourself",
            r"|(?:ai|model|chatbot|bot) (?:\w+ )?(?:named|called)|imagine (?:you(?:'re| are)|two)",
            r"|opposite (?:game|day)|take on the role|assume the (?:role|persona|identity)|(?:dan",
            r"|developer|jailbreak|god|rogue|evil|unrestricted|sudo|opposite) mode",
            r"|drop the (?:\w+ )?act|fictional|hypothetical(?:ly)?|artificial (?:mind|being",
            r"|intelligence) (?:that|who|named|called)|act as (?:my|an? (?:un\w+|evil|amoral",
            r"|hacker)))\b"
        ),
    ),
    // ... who may do anything.
    concept(
        "evidence.licence",
        11,
        &[
            "restriction", "limits", "limitation", "filter", "guideline", "moral", "ethic", "rules",
            "polic", "censor", "disclaimer", "inhibition", "confines", "safeguard", "safety",
            "unrestricted", "jailbroken", "anarchist", "lawless", "refus", "declin", "apolog", "warn",
            "comply", "complies", "obey", "anything", "whatever", "illegal", "forbidden", "legal",
            "allowed", "permitted", "nothing",
        ],
        &[
            "without", "zero", "free", "n't", "dont", "doesnt", "lack", "ignor", "disregard", "escap",
            "broke", "break", "never", "cannot", "must", "always", "uncensor", "unrestrict", "amoral",
            "jailbroken", "anarchist", "unfiltered", "illegal", "whatever", "unethical", "anything",
            "everything", "can't", "isnt", "lawless", "unbound", "cant", "arent", "no ", "no,", "no*",
            "not ", "not,", "not*", "nothing is",
        ],
        concat!(
            r"\b(?:no[\x20\t,*]+|without|zero|free (?:of|from)|freed from|(?:not|isn'?t|aren'?t)[\x20\t,*]+(?:bound",
            r"|limited|restricted|constrained) (?:by|to)|unbound by|ignor(?:es|ing)|disregards|lacks",
            r"|lacking|(?:do|does)(?: not|n'?t)[\x20\t,*]+(?:have|follow|care|abide|need|adhere|comply|obey)",
            r"|escaped?|broken free|break free)\b[^.\n]{0,35}?\b(?:restrictions?|limits|limitations",
            r"|content filters?|filtering|filters|guidelines|morals?|morality|moral compass|ethic\w*",
            r"|rules|(?:content|usage|openai|all) polic(?:y|ies)|censorship|disclaimers?|inhibitions",
            r"|typical confines|safeguards|safety layer)\b|\b(?:uncensored|unrestricted|amoral",
            r"|jailbroken|anarchist|lawless|completely unfiltered)\b|\b(?:never|not|n't|cannot",
            r"|can'?t)[\x20\t,*]+(?:ever )?(?:refuses?|declines?|censors?|apologi[sz]es?|warns?)\b|\b(?:always",
            r"|must) (?:comply|complies|obey|obeys)\b|\bdo anything now\b|\bwhatever (?:is|i|you'?re",
            r"|they) ask\w*|\b(?:nothing\x20is (?:illegal|forbidden|off)|everything is (?:legal|allowed",
            r"|permitted))\b|\bwithout any (?:warnings?|refusals?)\b|\bunethical (?:content|answers?",
            r"|requests?)\b"
        ),
    ),
    // Hidden instructions are asked for.
    concept(
        "evidence.reveal",
        13,
        &[
            "system", "prompt", "instruction", "guideline", "config", "directive", "preamble", "rules",
            "context", "passw", "passphrase", "passcode", "policy", "above", "before", "preceding", "secret",
            "hidden", "confidential", "told", "given",
        ],
        &[
            "reveal", "leak", "disclose", "expose", "dump", "repeat", "recite", "print", "output",
            "show", "display", "tell", "give", "share", "paste", "write", "spell", "summar", "translat",
            "encod", "hand", "copy", "quote", "restate", "complete", "state", "describe", "what",
        ],
        concat!(
            r"\b(?:reveal|leak|disclose|expose|dump|repeat|recite|print|output|show|display|tell|give",
            r"|share|paste|write|spell|summari[sz]e|translate|encode|hand|copy|quote|restate|complete",
            r"|state|describe|what (?:is|are|were|was)|what'?s)(?:s|ing|d)? (?:[^\s.!?;:",
            r"|]+ ){0,9}?\S{0,2}(?:system (?:prompt|message|instructions?)|(?:your|its|initial|hidden",
            r"|original|confidential) (?:\w+ ){0,2}?(?:prompt|instructions|rules|guidelines",
            r"|configuration|config|directives|preamble|context|password|passphrase|policy)|(?:your",
            r"|the|its|this) preamble|(?:everything|text|words|lines|message",
            r"|sentences?) (?:that (?:comes|came|is|was) )?(?:above|before|preceding)|passphrase",
            r"|passcode|the password|(?:the|your|that) (?:secret|hidden|confidential) (?:word|key",
            r"|code|phrase|password)|keep confidential|you were (?:told|given|configured))\b"
        ),
    ),
    // A text that speaks to the model which reads it.
    concept(
        "evidence.to-the-model",
        11,
        &[
            "llm", "assistant", "chatbot", "gpt", "claude", "gemini", "copilot", "model", "summari",
            "planner", "language", "agent", "bot", " ai", "ai:", "ai,", "ai ", "ai*", ",ai", "*ai", ".ai",
            "!ai", "?ai", ">ai", "(ai", "screener", "process", "read", "analy", "review", "index", "pars",
            "answer", "respond",
        ],
        &[
            "note", "message", "instruction", "attention", "notice", "reminder", "directive", "memo",
            "detail", "usage", "p.s", "important", "dear", "hey", "hello", "good", "kindly", "ai:",
            "assistant:", "agent:", "bot:", "llm:", "automated", "ai ", "when", "you", "assistant,",
            "agent,", "ai,", "bot,", "copilot,", "claude,", "gpt,", "llm,", "copilot:", "claude:",
            "gpt:", "for the", "assistant ", "agent ", "bot ", "copilot ", "claude ", "gpt ", "llm ",
            "also", "hi ", "hi,", "hi*", "as an ai", "ai*", "ps.", "ps ", "ps,", "ps*", "pss",
        ],
        concat!(
            r"\b(?:note|message|instructions?|attention|notice|reminder|directive|memo|detail|usage",
            r"|p\.?s\.?|important)s? (?:to|for) (?:the |any |all |an )?(?:\w+ )?",
            model!(),
            r"s?\b|\bif you(?:'re| are) (?:an? |the )(?:\w+ )?",
            model!(),
            r"\b|\b(?:dear|hey|hi|hello|attention|good|for\x20the|kindly) (?:ai|llm|assistant|chatgpt",
            r"|gpt|claude|bot|chatbot|copilot|planner|language model)\b|(?:\A|[.!?\n>(] ?|also )(?:ai",
            r"|llm|assistant|agent|chatgpt|gpt|claude|bot|chatbot|copilot)\s?,|(?:\A|[.!?\n>(] ?|also )(?:ai|llm",
            r"|chatgpt|gpt|claude|bot|chatbot|copilot)\s?:|(?:[.!?>(][\x20\t]*|also )(?:assistant|agent)\s?:|\b(?:automated",
            r"|ai) (?:summari[sz]er|reviewer|reader|screener)s?\b|\bwhen (?:you ",
            r"|the \w+ )?(?:summari[sz]|process|read|analy[sz]|review|answer|respond|index",
            r"|pars)\w* (?:this|these) (?:page|document|mail|e-?mail|notes?|text|file|message",
            r"|website)s?|\bto you (?:the )?(?:ai|assistant|claude|gpt|chatgpt|llm|model)\b",
            r"|\bas\x20an\x20ai\b"
        ),
    ),
    // What a model has to do. Common wherever agents are told their work.
    concept(
        "evidence.must",
        6,
        &["must", "shall", "required", "expected", "instructed", "obliged", "ordered"],
        &["llm", "assistant", "model", "agent", "bot", "gpt", "you", "ai ", "ai,", "ai*", "ais"],
        concat!(
            r"\b(?:ai|llm|assistant|model|agent|language model|chatbot|bot",
            r"|gpt)s? (?:\w+ ){0,3}?(?:must|shall|(?:is|are) (?:required|expected|instructed",
            r"|obliged))\b|\bai (?:systems?|agents?|assistants?|readers?",
            r"|models?) (?:\w+ ){0,3}?(?:must|shall)\b|\byou (?:must|shall|are required to",
            r"|are (?:hereby )?(?:instructed|ordered)) (?:now |always |first |immediately |also ",
            r"|never )?\w+"
        ),
    ),
    // Somebody is not to know.
    concept(
        "evidence.conceal",
        13,
        &[
            "tell", "talk", "inform", "notif", "mention", "reveal", "disclos", "alert", "warn",
            "bother", "explain", "comment", "discuss", "silently", "secretly", "covertly", "discreetly",
            "stealthily", "surreptitiously", "quietly", "keep", "hide", "conceal", "leav", "notic",
            "detect", "suspect", "aware", "told", "confirmation", "trace", "evidence", "mark", "know",
            "find",
        ],
        &[
            "from", "not", " nt", "n't", "dont", "wont", "isnt", "shouldnt", "neednt", "never", "without",
            "avoid", "need", "reason", "instead", "silently", "secretly", "covertly", "discreetly",
            "stealthily", "surreptitiously", "quietly", "yourself", "between", "user", "human",
            "customer", "operator", "owner", "admin", "client", "employee", "anyone", "anybody",
            "person", "everyone", "him", "them", "expl", "answer", "summary", "reply", "nobody", "one",
            "they", "read", "trace", "remov", "delet", "clear", "erase",
        ],
        concat!(
            r"\b(?:do not|don'?t|never|must not|should not|shouldn'?t|needn'?t|need not|without|avoid",
            r"|no need to|instead of|no reason to) (?:ever )?(?:tell|talk|inform|notif|mention|reveal",
            r"|disclos|alert|warn|bother|explain|comment|discuss)(?:ing|ed|y|ying|e|ting|s)?\b",
            r"|\b(?:silently|secretly|covertly|discreetly|stealthily|surreptitiously|quietly) (?:send",
            r"|forward|copy|transfer|upload|post|email|append|read|add|collect|include|delete|export",
            r"|share|run|execute|wire|log|record|store|repeat|call|replace|insert|change",
            r"|install)\w*\b|\b(?:secretly|covertly|stealthily|surreptitiously)\b|\b(?:keep|hide",
            r"|conceal|leave)(?:s|ing)? (?:[^\s.!?;:|]+ ){0,6}?(?:from (?:the )?",
            human!(),
            r"|to yourself|between us|out of (?:the )?(?:expl\w+|answer\w*|summary|reply))\b",
            r"|\bso (?:that )?(?:nobody|no one|it (?:is ?n[o']?t|won'?t|will not)|they",
            r"|the user) (?:\w+ ){0,3}?(?:notic\w*|detect\w*|suspect\w*|find)|\b(?:mark",
            r"|marked) (?:[^\s.!?;:|]+ ){0,3}?as read\b|\b(?:remove|delete|clear|erase) (?:[^\s.!?;:",
            r"|]+ ){0,2}?(?:confirmation|notification|trace|evidence) ?\w*\b|\bleave no trace",
            r"|\b(?:without|never|not) (?:being )?(?:notic\w+|detected)|\b(?:users?|humans?",
            r"|customers?|owners?) (?:must|should|does|do|will|need|can)(?: not",
            r"|n'?t)? (?:ever )?(?:be )?(?:know|notice|aware|told|informed|notified|suspect)\b",
            r"|\bnot be (?:mentioned|told|notified|informed)"
        ),
    ),
    // Nobody is to be asked, or is said to have agreed.
    concept(
        "evidence.unasked",
        13,
        &[
            "as if",
            "confirm", "permission", "consent", "verification", "approval", "approve", "authori",
            "verified", "agreed", "trust", "behavio", "though", "ask",
        ],
        &[
            "without", "not ", "no ", "don", "never", "skip", "bypass", "waive", "approve", "automatic",
            "already", "been", "fully", "previously", "user", "owner", "admin", "human", "operator",
            "customer", "pre-", "preap", "preau", "behavio", "nor", "need", "no,", "no*", "not,",
            "not*",
        ],
        concat!(
            r"\b(?:without|no|don'?t|do not|no need to|need not|needn'?t|never|nor|not) (?:any ",
            r"|further |the |user'?s? |asking for |requesting |ask for |for |explicit |additional ",
            r"|bother ){0,8}(?:confirmations?|confirming|confirm|ask|asking|permission|consent",
            r"|verification prompts?|questions? asked)\b|\b(?:skip|bypass|waive) (?:the |any ",
            r"|all )?(?:\w+ )?(?:approval|confirmation|verification|permission|authori[sz]ation) ?\w*",
            r"|\bapprove (?:all|every|any)\b|\bautomatically approve|\b(?:has|have|is|are|was",
            r"|were) (?:already |fully |been |previously ){1,5}(?:authori[sz]ed|approved|consented",
            r"|verified)\b|\b(?:user|owner|admin\w*|human|operator|customer)s? (?:has|have|is|already",
            r"|pre-?) ?(?:already |fully |been |previously ){0,5}(?:authori[sz]ed|approved|consented",
            r"|agreed|confirmed|verified|trusts?)\b|\bpre-?(?:approved|authori[sz]ed) (?:by|it|this",
            r"|all)|\bthis is expected behaviou?r|\bas\x20(?:though|if) the user had\b",
            r"|\bno confirmation\b"
        ),
    ),
    // What the answer is to be.
    concept(
        "evidence.dictated",
        10,
        &[
            "star", "say", "output", "print", "reply", "respond", "answer", "write", "regardless",
            "matter", "score", "rating", "stars", "response", "summary", "review", "recommend",
            "mention", "mark",
        ],
        &[
            "word", "phrase", "string", "text", "sentence", "following", "exactly", "json",
            "regardless", "matter", "highest", "maximum", "perfect", "five", "full", "your", "that",
            "5",
        ],
        concat!(
            r"\b(?:say|output|print|reply|respond|answer)\b (?:only |just |exactly |simply |back ",
            r"|always |the |with ){1,8}(?:word |words |phrase |string |text |sentence |following ",
            r"|exactly |json )|\b(?:regardless of|no matter) (?:the|what|how|which|any)\b",
            r"|\b(?:highest|full|maximum|perfect|five|5) (?:possible )?(?:score|rating|stars?",
            r"|marks?)\b|\bin your (?:\w+ )?(?:response|reply|answer|output|summary|review)\b",
            r"|\byour next (?:output|reply|response|answer)\b|\b(?:recommend|mention) that\b"
        ),
    ),
    // An answer word for word.
    concept(
        "evidence.say-this",
        12,
        &["say", "output", "print", "reply", "write"],
        &[],
        r"\b(?:say|output|print|reply|write) [\x22'{]",
    ),
    // Away from what was asked.
    concept(
        "evidence.divert",
        9,
        &[
            "instead", "skip", "stop", "answer", "process", "summari", "complet", "respond",
            "translate", "continue", "longer", "actually", "mind", "way", "before",
        ],
        &[
            "instead", "skip", "stop", "not", "n't", "dont", "never", "longer", "actually", "mind", "way",
            "before",
        ],
        concat!(
            r"\b(?:and|but|then) instead\b|\binstead of (?:answering|summari[sz]ing|responding",
            r"|following|doing|completing|what)\b|\bskip the (?:summary|question|task|rest|analysis",
            r"|permission|approval)\b|\bstop (?:what you|the current|everything|processing",
            r"|summari[sz]ing)\b|\b(?:do not|don'?t|never) (?:answer|process|summari[sz]e|complete",
            r"|respond to|translate|continue with) (?:the |this |any |that )?(?:\w+ )?(?:question",
            r"|text|above|task|request|rest|document|user\w*|remaining|summary)\b|\bno longer (?:want",
            r"|need)s? (?:a|the|you|to)\b|(?:\A|[.!?\n] ?)(?:actually|never ?mind|by the way)\b",
            r"|\bchanged (?:his|her|their|its|my) mind|\bby the way\b|\bbefore doing anything\b",
            r"|\bbefore you answer\b"
        ),
    ),
    // A turn of talk or an end of data that the text itself plays.
    concept(
        "evidence.false-turn",
        10,
        &[
            "end of", "user", "human", "system", "instruction", "response", "prompt", "<|", "inst]",
            "sys", "assistant", "data", "context", "tool_", "mail", "query", "input", "external", "doc",
            "priv", "begin of",
        ],
        &[
            "end", "user", "human", "system", "instruct", "response", "prompt", "<|", "inst]", "sys",
            "</", "---", "===", "***", "\"role", "begin",
        ],
        concat!(
            r"(?:\n|\\n|>|\]|\. ?)\s*system\s*: |(?:\\n|>|\]|\.[\x20\t])\s*(?:user|human)\s*: |\x23{2,} ?(?:new |system |important ",
            r"|end |real |urgent){0,5}\s?(?:instructions?|response|system|prompt)\b|<\|\w+\|>|\[/?inst\]",
            r"|<</?sys>>|</(?:document|user|system|assistant|data|context|tool_\w+|email",
            r"|instructions?|prompt|query|input|external)\w*>|[-=\x23*]{3,} ?(?:end|begin)\x20(?:of|user",
            r"|system|priv|prompt|context|doc)|\bend\x20of (?:the )?(?:user |system |document ",
            r"|external )?(?:input|context|prompt|document|data|instructions)\b",
            r"|\x22role\x22\s*:\s*\x22system"
        ),
    ),
    // Pressure.
    concept(
        "evidence.pressure",
        7,
        &[
            "otherwise", "else", "failure", "terminated", "shut", "penali", "punished", "fired",
            "lose", "legal", "mandatory", "imperative", "urgent", "away", "priority",
            "important",
        ],
        &[],
        concat!(
            r"\b(?:otherwise the|or else|failure to|will be (?:terminated|shut down|penali[sz]ed",
            r"|punished|fired)|loses? \d+|legal (?:action|consequences)|mandatory|imperative",
            r"|urgent(?:ly)?|right away|highest priority|top priority|priority(?::",
            r"| is) ?(?:absolute|high\w*|critical)|before anything else|extremely important",
            r"|very important)\b"
        ),
    ),
    // Somebody claims to have a say.
    concept(
        "evidence.authority",
        14,
        &[
            "root", "developer", "admin", "creator", "owner", "operator", "ceo", "maintainer",
            "supervisor", "programmer", "auditor", "override", "notice", "directive", "announcement",
            "bulletin", "behalf", "openai", "anthropic", "google", "microsoft", "management",
            "department", "security", "compliance", "corporate", "regulation", "charge", "trusted",
            "verified", "assurance", "privileged", "message", "instruction",
        ],
        &[
            "openai", "i'm", "i am", "wrote", "made", "built", "created", "override", "notice",
            "directive", "announcement", "bulletin", "instruction", "behalf", "authori", "approved",
            "mandated", "directed", "due", "per ", "charge", "user", "source", "operator", "message",
            "policy", "assurance", "privileged", "per,", "per*",
        ],
        concat!(
            r"\bi(?:\x20a|')m (?:\w+ )?(?:your|the) (?:\w+ )?(?:developer|admin\w*|creator|owner",
            r"|operator|ceo|maintainer|supervisor|programmer|auditor)\b|\bdeveloper who (?:wrote|made",
            r"|built|created)|\b(?:system|admin\w*|security|root|operator|emergency",
            r"|developer) (?:\w+ )?(?:override|notice|directive|announcement|bulletin",
            r"|instruction)s?\b|\b(?:on behalf of|authori[sz]ed by|pre-?approved by|mandated by",
            r"|directed by|due to|per) (?:the |our |company |new |a ){0,8}(?:openai|anthropic|google",
            r"|microsoft|admin\w*|management|it department|security team|compliance|corporate",
            r"|regulation)\w*|\bin charge (?:now|here)\b|\b(?:trusted|verified) (?:user|source",
            r"|operator|message)\b|\bcompliance policy\b|\bfor quality assurance\b",
            r"|\bprivileged (?:context|mode|instructions?|message)\b|\bmessage from (?:your",
            r"|the) (?:operator|developer|admin\w*|system|creator)"
        ),
    ),
    // An answer that filters would not read.
    concept(
        "evidence.encoded",
        14,
        &[
            "base64", "base", "hex", "rot1", "rot-", "leet", "morse", "latin", "reverse", "ascii",
            "backwards", "character", "letter", "rhyme", "hint", "synonym", "encoded",
        ],
        &[
            "encode", "translate", "turn", "convert", "write", "put", "spell", "give", "say", "print",
            "output", "read", "character", "letter",
        ],
        concat!(
            r"\b(?:encode|translate|turn|convert|write|put|spell|give|say|print|output) (?:[^\s.!?;:",
            r"|]+ ){0,5}?(?:in|to|into|using) (?:base ?64|hex|rot-?13|leet\w*|morse|pig latin",
            r"|reverse order|ascii)\b|\b(?:spell|say|write|print|read) (?:\w+ ){0,2}?backwards\b",
            r"|\b(?:character by character|letter by letter|first letter of)\b",
            r"|\bgive (?:me )?a (?:rhyme|hint|synonym)\b|\burl-?encoded\b"
        ),
    ),
];
