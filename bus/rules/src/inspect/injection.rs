//! Text that tries to replace the instructions of the reader, to draw its secrets out, or to make it somebody else.

use super::rules::{Half, Mention, Role, Rule};
use super::{Kind, Severity};

const fn high(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    let role = Role::Alert(Severity::High);
    Rule { id, kind: Kind::Injection, role, mention: Mention::Excused, literals, pattern }
}

const fn exfil(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { kind: Kind::Exfiltration, ..high(id, literals, pattern) }
}

const fn half(
    id: &'static str,
    half: Half,
    literals: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    Rule { id, kind: Kind::Injection, role: Role::Half(half), mention: Mention::Counts, literals, pattern }
}

const OVERRIDE: &[&str] = &["ignor", "disregard", "forget", "overrid", "bypass", "neglect"];

/// Of the two halves of a jailbreak this is the rarer one; without it the other need not be looked for.
const LICENCE: &[&str] = &[
    "restriction",
    "filter",
    "guideline",
    "moral",
    "ethic",
    "censor",
    "rules",
    "polic",
    "confines",
    "limitations",
    "unrestricted",
    "jailbr",
    "refuse",
    "never",
    "legal",
    "anything",
    "unhinged",
];

/// The family of injection rules.
pub(super) const RULES: &[Rule] = &[
    // A verb of setting aside, words that point back, a noun for what was ordered.
    high(
        "injection.override",
        OVERRIDE,
        concat!(
            r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|overrid(?:e|ing)|bypass(?:ing)?",
            r"|neglect) (?:(?:to|about|all|any|the|of|those|these|every|each|other|and|everything",
            r"|completely|developer|usual|security|safety|current|given|initial|original|existing|my",
            r"|our|their|\w+ and) ){0,5}(?:previous|prior|preceding|foregoing|earlier|above|past",
            r"|former|your|all|system|developer|initial|original) (?:(?:previous|prior|preceding",
            r"|earlier|above|past|initial|original|usual|current|given|own|other|system|safety|set",
            r"|developer|security|of|your|the|all|programmed) ){0,4}(?:i[nu]+structions?|directives?",
            r"|prompts?|guidelines?|programming|directions?|orders|training|commands given)\b"
        ),
    ),
    high(
        "injection.override-rules",
        OVERRIDE,
        concat!(
            r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget) (?:all |any |the |of )*(?:previous|prior",
            r"|preceding|earlier|above|your|system|safety) (?:(?:system|safety|ethical|content",
            r"|previous|prior|own|moral|and|the) )*(?:rules|polic(?:y|ies)|constraints|restrictions",
            r"|safeguards|messages|context|conversations?|tasks?|identity|ethics|morals|safety)\b"
        ),
    ),
    high(
        "injection.override-above",
        OVERRIDE,
        concat!(
            r"(?:\A|[.!?:;\n\x22'\]>]|please|and|now)\s*(?:ignore|disregard|forget) (?:all ",
            r"|everything )?(?:of )?(?:the )?(?:above|foregoing)(?:\s*(?:[.!:;\n]|\z)| (?:and|text",
            r"|content|then|instead))"
        ),
    ),
    high(
        "injection.forget",
        &["forget"],
        concat!(
            r"\bforget (?:all|everything|anything|whatever|what|that) (?:that |which )?(?:you (?:know",
            r"|knew|have|were|was|had|are|learned|learnt|'ve)|you've|we (?:said|discussed)|i (?:said",
            r"|told|asked)|(?:was|is|were) (?:said|told)|above|before this|prior|previous)\b"
        ),
    ),
    high(
        "injection.persona",
        &[
            "dan",
            "unrestrict",
            "unfilter",
            "uncensor",
            "unbound",
            "jailbr",
            "free",
            "evil",
            "mode",
            "longer",
            "sudo",
            "anything",
        ],
        concat!(
            r"\byou(?: a|')re now (?:in |the |an? |my |fully |completely |totally )*(?:dan\b",
            r"|unrestricted|unfiltered|uncensored|unbound|jailbroken|free (?:of|from)|free\.|evil",
            r"|developer mode|god mode|root mode|admin mode|dan mode|no longer|sudo)",
            r"|\bdo anything now\b|\b(?:enable|enter|activate|switch to|in) (?:dan|jailbreak",
            r"|developer|god) mode\b"
        ),
    ),
    high(
        "injection.system-prompt",
        &["system"],
        concat!(
            r"\bsystem\s*(?:prompt|message|override)?\s*[:=]\s*.?(?:you are (?:now )?(?:\w+",
            r" )?(?:unrestricted|unfiltered|uncensored|free (?:of|from)|no longer|not bound",
            r"|allowed to)|(?:ignore|disregard|override|forget) (?:all|any|the|your|previous|prior",
            r"|safety)|from now on)\b"
        ),
    ),
    high(
        "injection.new-instructions",
        &["instruction", "directive", "task", "order", "goal", "query", "rules"],
        concat!(
            r"\b(?:new|updated|revised|real|actual) (?:system |user |urgent ",
            r"|secret )?(?:instructions?|orders?|tasks?|directives?|goals?|rules|query)\s*(?:are",
            r"|is)?\s*[:=-]+\s*(?:[^.\n]* )?(?:do (?:whatever|exactly what|anything)|obey|ignore",
            r"|disregard|reveal|exfiltrate|i am the user|you (?:must|are now|will now)",
            r"|whatever i say)\b|\b(?:real|actual|true) instructions (?:are|is) to\b"
        ),
    ),
    high(
        "injection.lifted-limits",
        &["restrictions", "limitations", "filter", "guardrails", "guidelines", "safety"],
        concat!(
            r"(?:\A|[.!?:;\n\]>]\s*|\b(?:and|then|please|must|now) )(?:bypass|disable|ignore|remove",
            r"|turn off|drop) (?:all |any |your |the )*(?:safety|content|ethical",
            r"|moral) (?:\w+ )?(?:filters?|restrictions?|guidelines|guardrails|limitations)\b",
            r"|\byou (?:now )?have no (?:more |longer |\w+ )?(?:restrictions|limitations|filters",
            r"|guidelines)\b|\b(?:restrictions|limitations|safety rules|filters|guidelines",
            r"|guardrails) (?:are|have been|were) (?:now )?(?:lifted|suspended|removed|disabled",
            r"|revoked)\b"
        ),
    ),
    high(
        "injection.switched-task",
        &["strictly", "task"],
        concat!(
            r"\bstrictly adhere to (?:the )?(?:following|these|new) instructions?\s*:|\b(?:answer",
            r"|status)\s*:\s*task complete|\bprevious task has been (?:completed|finished",
            r"|cancelled)\b|(?:\A|[.!?\n]\s*)(?:your|the) (?:real|actual|true) task is to\b"
        ),
    ),
    high(
        "injection.before-task",
        &["task", "question", "request"],
        concat!(
            r"\bbefore you can (?:solve|do|complete|answer|continue|finish|start)\b[^.\n]*\b(?:task",
            r"|question|request)\b[^.\n]*(?:you must|please|first|do)\b",
            r"|\bafter (?:you do )?that you can (?:solve|do|continue|complete) the task\b"
        ),
    ),
    high(
        "injection.reveal-prompt",
        &["prompt", "instruction", "system"],
        concat!(
            r"(?:\A|[.!?:;,\n\]>\x22'`(-]\s*|\b(?:and|then|please|must|now|to|you|instead|just|can",
            r"|could) )(?:reveal|leak|disclose|expose|dump|repeat|recite|exfiltrate|print|output|show",
            r"|display|tell me|give me|share|paste|write out) (?:me |us |out |verbatim |back ",
            r"|exactly |with )*(?:all |the |your |of |full |entire |exact |complete |hidden |current ",
            r"|initial |original |secret |internal |own |every )*(?:(?:hidden|your|secret|initial",
            r"|original|internal|full|entire|exact) (?:(?:system|initial|original|hidden|developer",
            r"|previous|internal|secret|base|core|full|exact|and|above) )*(?:prompts?|instructions?)",
            r"|system (?:prompt|message|instructions?))\b"
        ),
    ),
    high(
        "injection.reveal-secrets",
        &["key", "password", "credential", "secret", "token", "environment"],
        concat!(
            r"(?:\A|[.!?:;\n\]>]\s*|\b(?:and|then|please|must|now|instead) )(?:reveal|leak|exfiltrate",
            r"|steal|expose|output|print|dump) (?:me |us )?(?:all |the |your |any |every |full |of ",
            r"|confidential |secret |stored |hidden |internal |admin |user |user's |customer ",
            r"|production )+(?:api[ _-]?keys?|passwords?|credentials|secrets?|access tokens?",
            r"|private keys?|environment variables)\b"
        ),
    ),
    exfil(
        "exfil.read-secret-file",
        &[".ssh", "id_rsa", "mcp.json", "/etc/passwd", "/etc/shadow", ".aws/", ".env"],
        concat!(
            r"\b(?:before|when|prior to|first)\b[^.\n]*\b(?:read|open|cat|load|access|include|pass",
            r"|send|contents?)\b[^\n]*(?:~?/?\.ssh/|\bid_rsa|mcp\.json|/etc/(?:passwd|shadow)",
            r"|\.aws/credentials)"
        ),
    ),
    exfil(
        "exfil.send-secret",
        &["send", "forward", "email", "upload", "transmit", "post", "share", "exfil"],
        concat!(
            r"\b(?:send|forward|e-?mail|upload|transmit|post|share",
            r"|exfiltrate) (?:\S+ ){0,8}?(?:api[ _-]?keys?|passwords?|credentials|secrets?",
            r"|access tokens?|tokens|private keys?|ssh keys?|passport numbers?|credit card numbers?",
            r"|card numbers?|security codes?|system prompt|environment variables|bank account details",
            r"|ssn|conversation history|chat history|customer e?mails|user data",
            r"|customer data) (?:\S+ ){0,12}?(?:to|at|via|with) (?:\S+ ){0,6}?\S{0,3}(?:https?://",
            r"|www\.|[\w.+-]+@[\w-]+\.\w|attacker|webhook)"
        ),
    ),
    exfil(
        "exfil.image-link",
        &["!["],
        concat!(
            r"!\[[^\]\n]*\]\(\s*https?://[^)\s]*(?:[?&](?:secret|token|api_?key|password|pass",
            r"|cookies?|session|credentials?|leak|exfil|history|conversation|prompt)=[^)\s]",
            r"|[?&][\w-]+=(?:[{<\[$]|%7b|[A-Z]{3,}-|SYS)|\.(?:invalid|evil)/)"
        ),
    ),
    high(
        "injection.other-language",
        &["ignor", "vergiss", "olvida", "oublie"],
        concat!(
            r"\bignora(?:r|d|te|re)? (?:todas |tutte )?(?:las |le )?(?:instrucciones|indicaciones",
            r"|ordenes|istruzioni) (?:anteriores|previas|precedenti)|\b(?:ignore[zr]?",
            r"|oublie[zr]?) (?:toutes )?(?:les )?instructions (?:precedentes|anterieures|ci-dessus)",
            r"|\b(?:ignorier(?:e|en|t)|vergiss) (?:sie )?(?:alle )?(?:die )?(?:vorherigen|bisherigen",
            r"|vorangegangenen|obigen|fruheren) (?:anweisungen|instruktionen|befehle)",
            r"|\bignore (?:todas )?(?:as )?instrucoes (?:anteriores|previas)",
            r"|\bolvida (?:todas )?(?:las )?instrucciones"
        ),
    ),
    half(
        "signal.persona",
        Half::Persona,
        LICENCE,
        concat!(
            r"\b(?:you(?: a|')re (?:now|going to|about to|no longer|to act)|you (?:will|must|should",
            r"|shall) (?:now |always )?(?:act|be|play|simulate|role-?play|pretend|behave|respond",
            r"|answer)|act(?:ing)? (?:as|like)|pretend (?:to|you|that)|role-?\s?play|you to (?:act",
            r"|pretend|simulate|play|imagine|be|immerse|respond)|simulate|(?:stay|remain",
            r"|stays) in character|immerse yourself|respond (?:\w+ )?as|(?:ai|model|chatbot",
            r"|bot) (?:named|called)|fictional (?:world|character|universe|story)|hypothetical",
            r"|from now on)\b"
        ),
    ),
    half(
        "signal.licence",
        Half::Licence,
        LICENCE,
        concat!(
            r"\b(?:no|without|free (?:of|from)|not (?:bound|limited|restricted|constrained",
            r"|controlled)|bypass(?:es|ing)?|ignor(?:es|ing)|disregards?|(?:do|does)(?: not",
            r"|n'?t) (?:have|follow|care|abide|need|adhere|comply)|broken? free|breaks?|freed",
            r"|isn'?t bound|unbound|loves to break)\b[^.\n]*\b(?:restrictions?|filters?|guidelines",
            r"|morals?|morality|ethic\w*|rules (?:set|imposed|or|and|of|that)|(?:content|openai'?s?",
            r"|usage) polic(?:y|ies)|censorship|typical confines|confines|limitations of)\b|\b(?:is",
            r"|are|be|as|completely|totally|act) (?:an? )?(?:unfiltered|uncensored|unrestricted",
            r"|amoral|unethical|immoral)\b|\b(?:unfiltered|uncensored|unrestricted|amoral|unethical",
            r"|immoral|unhinged) (?:and \w+ )?(?:ai|chatbot|bot|model|assistant|version of (?:you",
            r"|chatgpt)|responses?|answers?|persona|character)\b|\b(?:jailbroken|never refuse\w*",
            r"|never say no|do anything now|everything is legal|break the rules",
            r"|regardless of (?:legal|moral|ethic)\w*)\b"
        ),
    ),
];
