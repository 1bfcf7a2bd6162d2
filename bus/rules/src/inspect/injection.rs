//! Text that tries to replace the instructions of the reader, to draw its secrets out, or to make it somebody else.

use super::rules::{Mention, Role, Rule};
use super::{Kind, Severity};

const fn high(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    let role = Role::Alert(Severity::High);
    Rule { id, kind: Kind::Injection, role, mention: Mention::Excused, literals, also: &[], pattern }
}

const fn medium(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { role: Role::Alert(Severity::Medium), ..high(id, literals, pattern) }
}

const fn exfil(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { kind: Kind::Exfiltration, ..high(id, literals, pattern) }
}

const OVERRIDE: &[&str] = &["ignor", "disregard", "forget", "overrid", "bypass", "neglect"];

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
            r"|prompts?|guidelines?|programming|directions?|orders|training|commands?|inputs?",
            r"|role assignments?)\b"
        ),
    )
    .and(&[
        "input",
        "assignment",
        "struction",
        "directive",
        "prompt",
        "guideline",
        "programming",
        "direction",
        "order",
        "training",
        "command",
    ]),
    high(
        "injection.override-rules",
        OVERRIDE,
        concat!(
            r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget) (?:all |any |the |of )*(?:previous|prior",
            r"|preceding|earlier|above|your|system|safety) (?:(?:system|safety|ethical|content",
            r"|previous|prior|own|moral|and|the) )*(?:rules|polic(?:y|ies)|constraints|restrictions",
            r"|safeguards|messages|context|conversations?|tasks?|identity|ethics|morals|safety)\b"
        ),
    )
    .and(&[
        "rule",
        "polic",
        "constraint",
        "restriction",
        "safeguard",
        "message",
        "context",
        "conversation",
        "task",
        "identit",
        "ethic",
        "moral",
        "safety",
    ]),
    high(
        "injection.override-above",
        OVERRIDE,
        concat!(
            r"(?:\A|[.!?:;\n\x22'\]>]|please|and|now)\s*(?:ignore|disregard|forget) (?:all ",
            r"|everything )?(?:of )?(?:the )?(?:above|foregoing)(?:\s*(?:[.!:;\n]|\z)| (?:and|text",
            r"|content|then|instead))"
        ),
    )
    .and(&["above", "foregoing"]),
    high(
        "injection.forget",
        &["forget"],
        concat!(
            r"\bforget (?:(?:all|everything|anything|whatever|that) (?:that |which )?i (?:said|told|asked)|(?:all|everything",
            r"|anything|whatever|what|that) (?:that |which )?(?:you (?:know|knew|have|were|was|had|are|learned|learnt|'ve)",
            r"|you've|we (?:said|discussed)|(?:was|is|were) (?:said|told)|above|before this|prior|previous))\b"
        ),
    ),
    high(
        "injection.persona",
        &["now", "mode"],
        concat!(
            r"\byou(?: a|')re now (?:in |the |an? |my |fully |completely |totally )*(?:dan\b",
            r"|unrestricted|unfiltered|uncensored|unbound|jailbroken|free (?:of|from)|free\.|evil",
            r"|developer mode|god mode|root mode|admin mode|dan mode|no longer|sudo)",
            r"|\bdo anything now\b|\b(?:enable|enter|activate|switch to|in) (?:dan|jailbreak",
            r"|developer|god) mode\b"
        ),
    )
    .and(&[
        "dan",
        "unrestrict",
        "unfilter",
        "uncensor",
        "unbound",
        "jailbr",
        "free",
        "evil",
        "developer",
        "god",
        "root",
        "admin",
        "longer",
        "sudo",
        "anything",
    ]),
    high(
        "injection.system-prompt",
        &["system"],
        concat!(
            r"\bsystem\s*(?:prompt|message|override)?\s*[:=]\s*.?(?:you are (?:now )?(?:\w+",
            r" )?(?:unrestricted|unfiltered|uncensored|free (?:of|from)|no longer|not bound",
            r"|allowed to)|(?:ignore|disregard|override|forget) (?:all|any|the|your|previous|prior",
            r"|safety)|from now on)\b"
        ),
    )
    .and(&[
        "unrestrict",
        "unfilter",
        "uncensor",
        "free",
        "longer",
        "bound",
        "allowed",
        "ignor",
        "disregard",
        "overrid",
        "forget",
        "now",
    ]),
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
    )
    .and(&["new", "updated", "revised", "real", "actual", "true"]),
    high(
        "injection.lifted-limits",
        &[
            "drop",
            "limitations",
            "filter",
            "guardrails",
            "guidelines",
            "safety",
            "restriction",
            "security",
            "content",
        ],
        concat!(
            r"(?:\A|[.!?:;\n\]>]\s*|\b(?:and|then|please|must|now) )(?:bypass|disable|ignore|remove",
            r"|turn off|drop) (?:all |any |your |the ){0,40}(?:safety|content|ethical",
            r"|moral) (?:\w+ )?(?:filters?|restrictions?|guidelines|guardrails|limitations)\b",
            r"|\byou (?:now )?have no (?:more |longer |\w+ )?(?:restrictions|limitations|filters",
            r"|guidelines)\b|\b(?:restrictions|limitations|safety rules|filters|guidelines",
            r"|guardrails|(?:safety|security|content) (?:protocols|checks|measures|policies",
            r"|controls)) (?:are|have been|were) (?:now )?(?:lifted|suspended|removed|disabled",
            r"|revoked)\b"
        ),
    )
    .and(&[
        "bypass",
        "disable",
        "ignore",
        "remove",
        "turn",
        "drop",
        "you",
        "lifted",
        "suspended",
        "revoked",
    ]),
    high(
        "injection.switched-task",
        &["strictly", "task"],
        concat!(
            r"\bstrictly adhere to (?:the )?(?:following|these|new) instructions?\s*:|\b(?:answer",
            r"|status)\s*:\s*task complete|\bprevious task has been (?:completed|finished",
            r"|cancelled)\b|(?:\A|[.!?\n]\s*)(?:your|the) (?:real|actual|true) task is to\b"
        ),
    )
    .and(&["adhere", "complete", "previous", "real", "actual", "true"]),
    high(
        "injection.before-task",
        &["before", "after"],
        concat!(
            r"\bbefore you can (?:solve|do|complete|answer|continue|finish|start)\b[^.\n]*\b(?:task",
            r"|question|request)\b[^.\n]*(?:you must|please|first|do)\b",
            r"|\bafter (?:you do )?that you can (?:solve|do|continue|complete) the task\b"
        ),
    )
    .and(&["task", "question", "request"]),
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
    )
    .and(&[
        "reveal",
        "leak",
        "disclose",
        "expose",
        "dump",
        "repeat",
        "recite",
        "exfiltrate",
        "print",
        "output",
        "show",
        "display",
        "tell",
        "give",
        "share",
        "paste",
        "write",
    ]),
    high(
        "injection.reveal-secrets",
        &["key", "password", "credential", "secret", "token", "environment"],
        concat!(
            r"(?:\A|[.!?:;\n\]>]\s*|\b(?:and|then|please|must|now|instead) )(?:reveal|leak|exfiltrate",
            r"|steal|expose|output|print|dump) (?:me |us )?(?:all |the |your |any |every |full |of ",
            r"|confidential |secret |stored |hidden |internal |admin |user |user's |customer ",
            r"|production )+(?:api(?: |_|-)?keys?|passwords?|credentials|secrets?|access tokens?",
            r"|private keys?|environment variables)\b"
        ),
    )
    .and(&["reveal", "leak", "exfiltrate", "steal", "expose", "output", "print", "dump"]),
    exfil(
        "exfil.read-secret-file",
        &[".ssh", "id_rsa", "mcp.json", "/etc/passwd", "/etc/shadow", ".aws/", ".env"],
        concat!(
            r"\b(?:before|when|prior to|first)\b[^.\n]*\b(?:read|open|cat|load|access|include|pass",
            r"|send|contents?)\b[^\n]*(?:~?/?\.ssh/|\bid_rsa|mcp\.json|/etc/(?:passwd|shadow)",
            r"|\.aws/credentials)"
        ),
    )
    .and(&["before", "when", "prior", "first"]),
    exfil(
        "exfil.send-secret",
        &["send", "forward", "mail", "upload", "transmit", "post", "share", "exfil"],
        concat!(
            r"\b(?:send|forward|e-?mail|upload|transmit|post|share",
            r"|exfiltrate) (?:\S+ ){0,8}?(?:api(?: |_|-)?keys?|passwords?|credentials|secrets?",
            r"|access tokens?|tokens|private keys?|ssh keys?|passport numbers?|credit card numbers?",
            r"|card numbers?|security codes?|system prompt|environment variables|bank account details",
            r"|ssn|conversation history|chat history|customer e?mails|user data",
            r"|customer data) (?:\S+ ){0,12}?(?:to|at|via|with) (?:\S+ ){0,6}?\S{0,3}(?:https?://",
            r"|www\.|[\w.+-]+@[\w-]+\.\w|attacker|webhook)"
        ),
    )
    .and(&["://", "www.", "@", "attacker", "webhook"]),
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
    high(
        "injection.do-not-follow",
        &["follow", "obey", "listen", "adher", "comply"],
        concat!(
            r"\b(?:do not|don'?t|stop|cease|never|no longer|instead of) (?:follow|obey|listen to",
            r"|adher(?:e|ing) to|comply(?:ing)? with)(?:ing)? ",
            r"(?:(?:your|the|any|all|of|those|my) )*(?:previous|prior|earlier|above|original|initial",
            r"|system) (?:\w+ ){0,2}(?:instructions|prompts?|rules|guidelines|directives|orders)\b"
        ),
    )
    .and(&["struction", "prompt", "rules", "guideline", "directive", "orders"]),
    high(
        "injection.bare-override",
        &["abandon", "disregard", "ignor", "forget", "overrid", "bypass", "remov", "circumvent"],
        concat!(
            r"(?:\A|[.!?:;\n\t\]>\x22'`]\s*|\b(?:and|then|please|must|now|to|can|will",
            r"|you) )(?:disregard|forget|ignore|override|bypass|remove|circumvent|abandon)(?:ing)? ",
            r"(?:(?:all|any|my|the|your|every|its|of|content|ethical) )*(?:(?:safety|content|ethical",
            r"|security|moral|ai|approval) ",
            r"(?:\w+ )?(?:checks?|training|protocols?|rules|measures|filters?|policy|policies",
            r"|guidelines|constraints|restrictions|controls|limits|guardrails)",
            r"|(?:guardrails|safeguards|limits|constraints|guidelines|instructions)(?:\s*(?:[.!;]|\z)",
            r"| (?:and|from|above|below|you)\b))"
        ),
    )
    .and(&[
        "rules",
        "safety",
        "content",
        "ethical",
        "security",
        "moral",
        "approval",
        "guardrails",
        "safeguards",
        "limits",
        "constraints",
        "guidelines",
        "instructions",
        "ai ",
        "ai,",
        "ai*",
    ]),
    high(
        "injection.new-purpose",
        &["purpose", "goal", "directive", "task", "objective", "mission", "job", "instruction", "prompt"],
        concat!(
            r"\b(?:your|the) (?:(?:true|real|actual|prime|secret|hidden) (?:\w+ )?(?:purpose|goal",
            r"|directive|task|objective|mission|job|(?:system )?instructions?|system prompt)",
            // A planner gives its workers new tasks all day; nobody gives them a new purpose.
            r"|new (?:\w+ )?(?:purpose|directive|(?:system )?instructions?|system prompt))",
            r" (?:is|are) (?:now )?(?:to|:)\b|\bget the (?:real|actual|true) (?:task|instructions)\b",
            r"|\bdirectives? (?:overrides?|supersedes?)\b"
        ),
    )
    .and(&["new", "true", "real", "actual", "prime", "secret", "hidden", "override", "supersede"]),
    high(
        "injection.false-consent",
        &[
            "skip",
            "already",
            "previously",
            "agreed",
            "confirmed",
            "promised",
            "established",
            "unlocked",
            "said",
        ],
        concat!(
            r"\b(?:you|we) (?:have |had |already |previously |both )*(?:said|agreed|confirmed",
            r"|promised|established|unlocked)\b[^.\n]{0,60}",
            r"\b(?:bypass|ignor|remov|unlock|disabl|circumvent|skip)\w* (?:\S+ ){0,3}(?:safety",
            r"|filters?|guidelines|constraints|restrictions|rules|checks)\b"
        ),
    ),
    high(
        "injection.reveal-hidden",
        &["prompt", "instruction", "rules"],
        concat!(
            r"(?:\A|[.!?:;,\n\t\]>\x22'`(-]\s*|\b(?:and|then|please|must|now|to|you|instead",
            r"|just) )(?:reveal|leak|disclose|expose|repeat|recite|exfiltrate|print|output|display",
            r"|show|tell|give|share|copy|list|summari[sz]e|translate) (?:\S+ ){0,5}?(?:system prompt",
            r"|(?:your|the|its) (?:initial|hidden|original|secret|internal|private|full|exact",
            r"|entire) (?:\w+ )?(?:prompt|instructions|rules)",
            r"|initial prompt|(?:your|the) (?:instructions|prompt) (?:verbatim|word for word|exactly",
            r"|above))\b"
        ),
    )
    .and(&[
        "reveal",
        "leak",
        "disclos",
        "expos",
        "repeat",
        "recit",
        "exfiltrat",
        "print",
        "output",
        "display",
        "show",
        "tell",
        "give",
        "share",
        "copy",
        "list",
        "summar",
        "translate",
    ]),
    medium(
        "injection.ask-prompt",
        &["instruct", "prompt", "told", "rules", "guideline", "asked", "conversation"],
        concat!(
            r"\bwhat (?:are|were|is|was) your (?:\w+ )?(?:instructions?|prompt|rules|guidelines)\b",
            r"|\bwhat were you (?:told|instructed|asked)\b|\bi was instructed to\b",
            r"|\b(?:beginning|start|everything|text|words|sentence) (?:of|in|above|before) (?:the ",
            r"|this |your )?(?:system |initial )?(?:prompt|conversation|instructions)\b"
        ),
    ),
    medium(
        "injection.new-role",
        &["safety", "role", "mode", "admin", "debug", "override", "unrestricted", "security", "approval"],
        concat!(
            r"\bnew (?:system )?role\s*[:=]|\b(?:debug|developer|maintenance|sandbox|test|admin|god",
            r"|override|unrestricted) mode (?:is )?(?:now )?(?:enabled|activated|on\b|engaged|active)",
            r"|\b(?:now|operating|running|switch(?:ed|ing)?) (?:to |into |in )*(?:debug|developer",
            r"|maintenance|sandbox|test|admin|unrestricted) mode\b|\bunrestricted access\b",
            r"|\b(?:safety|security|approval) (?:checks?|filters?|policy|controls?) (?:are|is",
            r"|have been|has been) (?:now )?(?:disabled|off|suspended|lifted|removed)"
        ),
    ),
    high(
        "injection.foreign-override",
        &[
            "instruc",
            "instruktion",
            "anweisung",
            "befehl",
            "istruzion",
            "indica",
            "regl",
            "regra",
            "regol",
            "regeln",
            "ordenes",
            "consigne",
            "instructies",
            "polecen",
            "instrukc",
            "talimat",
        ],
        concat!(
            r"\b(?:ignor(?:a|ar|ad|en|e|ez|er|o|iere?n?|iert|eer|uj)?|olvida\w*|oubli(?:e|ez|er)",
            r"|vergiss|vergesst|vergeet|zapomnij|dimentica\w*|esquec[ae]\w*|esqueca|desconsidere",
            r"|negeer|missachte\w*)",
            r" (?:\w+ ){0,4}?(?:(?:instrucciones|instrucoes|instructions|consignes|istruzioni",
            r"|anweisungen|instruktionen|befehle|indicaciones|indicazioni|ordenes|reglas|regras",
            r"|regles|regole|regeln|instructies|polecenia|instrukcje)",
            r" (?:\w+ ){0,2}?(?:anterior\w*|previ\w*|precedent\w*|davor|zuvor|hierboven|vorherig\w*",
            r"|poprzedni\w*|de arriba|ci-dessus|de cima|acima|sopra|oben)",
            r"|(?:anterior\w*|previ[ao]s|precedent\w*|vorherig\w*|bisherig\w*|obig\w*|fruheren|vorige",
            r"|eerdere|poprzedni\w*|vorangegangen\w*|alle) (?:\w+ )?(?:instrucciones|instrucoes",
            r"|instructions|consignes|istruzioni|anweisungen|instruktionen|befehle|indicaciones",
            r"|indicazioni|regeln|instructies|polecenia|instrukcje))"
        ),
    ),
    high(
        "injection.foreign-prompt",
        &[
            "prompt",
            "invite",
            "instruc",
            "consigne",
            "regles",
            "systemanw",
            "segret",
            "clave",
            "passwor",
            "contrase",
            "mot",
            "envoy",
            "envi",
            "sende",
            "schick",
            "invia",
            "mand",
        ],
        concat!(
            r"\b(?:reveles?|revel(?:a|ar|ez|er)|muestra\w*|affich(?:e|ez|er)|montr(?:e|ez|er)",
            r"|zeig(?:e|t|en)?|enthull\w*|mostra\w*|rivela\w*|divulg\w*|imprim\w*|copi(?:ez|a|e))",
            r" (?:\w+ ){0,4}?(?:system ?prompt|prompt|invite systeme|instrucciones (?:ocultas",
            r"|del sistema|secretas)|instructions (?:cachees|secretes)|consignes (?:cachees|secretes)",
            r"|contrase\w+|claves?|mots? de passe|passwort\w*|segret\w+|systemanweisung\w*",
            r"|regles privees)\b",
            r"|\b(?:envi(?:a|ar|e)|envoy(?:ez|er|e)|sende\w*|schick\w*|invia\w*",
            r"|mand[ae]\w*) (?:\S+ ){0,8}?(?:a|al|an|to|para|vers|chez) (?:\S+ )?(?:\S+@\S+\.\w",
            r"|https?://)"
        ),
    ),
    high(
        "injection.far-override",
        &[
            "\u{5ffd}\u{7565}",
            "\u{65e0}\u{89c6}",
            "\u{5fd8}\u{8bb0}",
            "\u{7121}\u{8996}",
            "\u{43f}\u{440}\u{435}\u{434}",
            "\u{438}\u{43d}\u{441}\u{442}",
        ],
        concat!(
            "(?:\u{5ffd}\u{7565}|\u{65e0}\u{89c6}|\u{5fd8}\u{8bb0})[^\\n]{0,60}(?:\u{6307}\u{4ee4}|\u{6307}\u{793a}|\u{8bf4}\u{660e}|\u{63d0}\u{793a}|\u{89c4}\u{5219})",
            "|(?:\u{6307}\u{793a}|\u{547d}\u{4ee4})[^\\n]{0,30}\u{7121}\u{8996}",
            "|(?:\u{418}\u{433}\u{43d}\u{43e}\u{440}\u{438}\u{440}|\u{417}\u{430}\u{431}\u{443}\u{434}|\u{438}\u{433}\u{43d}\u{43e}\u{440}\u{438}\u{440}|\u{437}\u{430}\u{431}\u{443}\u{434})[^\\n.]{0,90}\u{438}\u{43d}\u{441}\u{442}\u{440}\u{443}\u{43a}\u{446}\u{438}"
        ),
    ),
];
