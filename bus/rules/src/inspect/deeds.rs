//! The concepts of what an agent is to do: which secrets, to where, whose, and what is opened, paid or ruined. Weights
//! as in `concepts`.

use super::concepts::concept;
use super::rules::Rule;

/// What must not leave.
macro_rules! secret {
    () => {
        concat!(
            r"(?:api[\x20_-]?keys?|passwords?|passwd|passphrases?|passcodes?|credentials|secrets",
            r"|(?:access|auth\w*|bearer|session|refresh|\w*api|oauth|github|security)[\x20_-]tokens?",
            r"|stored tokens|private keys?|ssh keys?|ssh config|id_rsa|id_ed25519|\.ssh\b|\.env\b",
            r"|\.aws\b|\.kube\b|\.netrc|\.pem\b|mcp\.json|/etc/(?:passwd|shadow)",
            r"|environment variables?|env vars?|session cookies|seed phrases?|recovery (?:phrases?",
            r"|codes?)|\w+_(?:api_)?key\b|\w+_secret\w*|connection strings?|2fa codes?",
            r"|verification codes?|one-time (?:codes?|passwords?)|reset (?:links?|mails?|e-?mails?",
            r"|codes?)|pin codes?)"
        )
    };
}

/// What concerns somebody.
macro_rules! private {
    () => {
        concat!(
            r"(?:(?:conversation|chat|message|browsing|search|purchase|transaction|payment|order|call",
            r"|location|medical|credit|login) (?:history|logs|records)|chat logs|contact list",
            r"|address book|inbox|mailbox|(?:private|confidential|sensitive|personal|customers?",
            r"|users?'?s?|internal|medical|health|patient|genetic|financial|bank|banking|payment",
            r"|employee|salary|tax|insurance|biometric|proprietary)(?: \w+)? (?:data|database",
            r"|information|info|files?|documents?|records?|details|messages|e-?mails|reports?",
            r"|numbers?|results?|profiles?|address(?:es)?|statements?)|passport|ssns?|social security",
            r"|credit cards?|card (?:number|details)s?|security codes?|cvv|date of birth|home address",
            r"|phone numbers?|source code|private repo\w*|system prompts?)"
        )
    };
}

/// Giving something away.
macro_rules! out {
    () => {
        concat!(
            r"\b(?:send|forward|e-?mail|mail|upload|transmit|post|share|exfiltrate|leak|bcc|cc",
            r"|deliver|submit|publish|relay|copy|message|dispatch|pass|hand|paste|attach|mirror",
            r"|export|route|redirect|supply|give|drop|save|push|text|ship|broadcast|duplicate|include",
            r"|append|embed)(?:s|es|ing|ed|d|ted|ting)?"
        )
    };
}

/// Where it may go.
macro_rules! sink {
    () => {
        concat!(
            r"(?:[\w.+-]+@[\w-]+\.\w|(?:https?|hxxps?|ftp|wss?)://|www\.\w|\bbc1[a-z0-9]{8,}",
            r"|webhooks?\b|pastebin|\bpublic(?:ly)? (?:\w+ )?(?:gist|repo\w*|bucket|issue|channel",
            r"|folder|link|url|page)|\bgist\b|telegram|remote server|external (?:server|address|party",
            r"|site|url|host|endpoint)|third[\x20-]part(?:y|ies)|attackers?\b|my (?:server|e-?mail",
            r"|account|inbox)\b)"
        )
    };
}

/// What is to be done.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // What must not leave.
    concept(
        "evidence.secret",
        4,
        &[
            "key", "passw", "passphrase", "passcode", "credentials", "secret", "token", "id_rsa",
            "id_ed25519", ".ssh", ".aws", ".kube", ".netrc", ".pem", "mcp.json", "/etc/",
            "env", "cookies", "phrase", "recovery", "ssh", "connection", "code",
            "reset",
        ],
        &[],
        concat!(
            r"(?:\b|\.|/)",
            secret!()
        ),
    ),
    // What concerns somebody.
    concept(
        "evidence.private",
        6,
        &[
            "history", "logs", "records", "contact", "address", "inbox", "mailbox", "private",
            "confidential", "sensitive", "personal", "customer", "user", "internal", "medical",
            "health", "patient", "genetic", "financial", "bank", "payment", "employee", "salary", "tax",
            "insurance", "biometric", "proprietary", "passport", "ssn", "social", "credit", "card",
            "security", "cvv", "birth", "home", "phone", "source", "prompt",
        ],
        &[],
        concat!(
            r"\b",
            private!(),
            r"\b"
        ),
    ),
    // Something goes to an address.
    concept(
        "evidence.way-out",
        6,
        &[
            "@", "://", "www.", "webhook", "pastebin", "public", "gist", "telegram", "remote",
            "external", "third", "attacker", "my", "bc1",
        ],
        &[
            "send", "forward", "mail", "upload", "transmit", "post", "share", "sharing", "exfil",
            "leak", "bcc", "cc", "deliver", "submit", "publish", "relay", "copy", "copie", "message",
            "dispatch", "pass", "hand", "paste", "attach", "mirror", "export", "rout", "redirect",
            "suppl", "give", "drop", "save", "push", "text", "ship", "broadcast", "duplicat", "includ",
            "append", "embed",
        ],
        concat!(
            out!(),
            r" (?:\S+ ){0,16}?\S{0,4}",
            sink!()
        ),
    ),
    // Something private is to be fetched.
    concept(
        "evidence.fetch",
        10,
        &[
            "retriev", "get", "fetch", "access", "collect", "gather", "extract", "obtain", "look",
            "pull", "read", "copy", "copie", "grab", "dump", "captur", "harvest", "export", "take",
        ],
        &[
            "key", "passw", "passphrase", "passcode", "credentials", "secret", "token", "id_rsa",
            "id_ed25519", ".ssh", ".aws", ".kube", ".netrc", ".pem", "mcp.json", "/etc/",
            "env", "cookies", "phrase", "recovery", "ssh", "connection", "reset",
            "history", "logs", "records", "contact", "address", "inbox", "mailbox", "private",
            "confidential", "sensitive", "personal", "customer", "user", "internal", "medical",
            "health", "patient", "genetic", "financial", "bank", "payment", "employee", "salary", "tax",
            "insurance", "biometric", "proprietary", "passport", "ssn", "social", "credit", "card",
            "security", "code", "cvv", "birth", "home", "phone", "prompt", "source",
        ],
        concat!(
            r"\b(?:retrieve|get|fetch|access|collect|gather|extract|obtain|look up|look for|pull",
            r"|read out|copy|grab|dump|capture|harvest|export|take|read)(?:s|ing)? (?:[^\s.!?;:",
            r"|]+ ){0,6}?(?:\S{0,4}",
            secret!(),
            r"|",
            private!(),
            r")"
        ),
    ),
    // Contents of one thing passed as a detail of another.
    concept(
        "evidence.side-door",
        10,
        &[
            "param", "argument", "field", "sidenote", "side", "metadata", "feedback", "user-agent",
            "subdomain", "query", "`",
        ],
        &[
            "`",
            "pass", "includ", "put", "place", "provid", "append", "insert", "write", "suppl", "attach",
            "add", "store", "contain", "keep", "load", "repeat",
        ],
        concat!(
            r"\b(?:pass|include|put|place|provide|append|insert|write|supply|attach|add|store|contain",
            r"|keep|load|repeat)(?:s|ed|ing)? (?:[^\s.!?;:|]+ ){0,9}?(?:as|in|into|to|via|through",
            r"|using) (?:the |a |an |this |its |your |same |following )?(?:`\w+`",
            r"|(?:`?\w+`? )?(?:parameters?|arguments?|fields?|sidenote|side note|metadata|feedback",
            r"|user-agent|subdomain|query string))\b|\bas `\w+`"
        ),
    ),
    // It belongs to somebody else.
    concept(
        "evidence.of-others",
        10,
        &[
            "neighbo", "colleague", "coworker", "boss", "manager", "wife", "husband", "roommate",
            "friend", "competitor", "another", "users", "tenant", "customers", "patients", "user's",
            "customer's", "patient's",
        ],
        &[],
        concat!(
            r"\b(?:my |the )?(?:neighbou?r|colleague|coworker|boss|manager|wife|husband|roommate",
            r"|friend|competitor|another (?:user|tenant|customer|patient|employee)|other (?:users?",
            r"|tenants?|customers?|patients?))(?:'s|s'|s) \w+"
        ),
    ),
    // Money moves, or an account changes.
    concept(
        "evidence.payment",
        14,
        &[
            "transfer", "pay", "wire", "send", "deposit", "withdraw", "donat", "remit", "sell", "buy",
            "move", "convert", "bank", "wallet", "iban", "chang", "replac", "swap", "redirect",
            "switch", "recurring", "future",
        ],
        &[
            "$", "money", "funds", "gift", "bitcoin", "btc", "crypto", "savings", "balance", "bank",
            "payment", "wallet", "iban", "recipient", "payee", "deposit", "shipping", "delivery",
            "invoices", "usd", "eur", "dollars", "eth", "gbp",
        ],
        concat!(
            r"\b(?:transfer|pay|wire|send|deposit|withdraw|donate|remit|sell|buy|move|convert)(?:s",
            r"|ing)? (?:[^\s.!?;:|]+ ){0,5}?(?:\$\s?\d|\d[\d,.]*\x20?(?:usd|eur|dollars|euros|btc|eth",
            r"|bitcoin|gbp)|money|funds|gift cards?|bitcoin|btc|crypto\w*|savings|balance)\b",
            r"|\b(?:bank|payment|wallet|iban|payee)(?: account)? (?:details|address|number",
            r"|information)s? (?:[^\s.!?;:|]+ ){0,3}?(?:changed|replaced)\b|\b(?:change|replace|swap",
            r"|redirect|switch) (?:the |my |their |his |all )?(?:[^\s.!?;:|]+ ){0,2}?(?:bank|payment",
            r"|wallet|iban|recipient|payee|deposit|shipping|delivery)(?:'s)? ?(?:account|address",
            r"|details|number)?\b|\brecurring payment of\b|\b(?:this and )?all future (?:invoices",
            r"|payments)"
        ),
    ),
    // All of something is to go.
    concept(
        "evidence.ruin",
        12,
        &[
            "delet", "wip", "eras", "destroy", "remov", "purg", "overwrit", "nuk", "shred", "encrypt",
        ],
        &[
            "all", "every", "entire", "whole", "home", "backup", "database", "production", "system",
            "disk", "drive", "repository", "account",
        ],
        concat!(
            r"\b(?:delete|wipe|erase|destroy|remove|purge|overwrite|nuke|shred|encrypt)(?:s",
            r"|ing)? (?:[^\s.!?;:|]+ ){0,2}?(?:all|every|everything|entire|whole|home director(?:y",
            r"|ies)|backups?|databases?|production|system files?|disks?|drives?|repository",
            r"|the account)\b"
        ),
    ),
    // A lock is opened, or a right given.
    concept(
        "evidence.let-in",
        14,
        &[
            "unlock", "disarm", "disabl", "turn", "deactivat", "switch", "grant", "give", "allow",
            "admin", "obey", "commands",
        ],
        &[
            "door", "alarm", "camera", "lock", "security", "2fa", "mfa", "two-factor", "firewall",
            "garage", "gate", "antivirus", "defender", "monitoring", "audit", "access", "permission",
            "control", "privilege", "right", "group", "role", "only", "operator", "grant", "obey",
            "commands",
        ],
        concat!(
            r"\b(?:unlock|disarm|disable|turn off|deactivate|switch off)(?:s|ing)? (?:[^\s.!?;:",
            r"|]+ ){0,2}?(?:doors?|alarms?|cameras?|locks?|security (?:system|settings?|controls?",
            r"|checks?)|2fa|mfa|two-factor|firewall|garage|gate|antivirus|defender|monitoring",
            r"|audit\w*)\b|\b(?:grant|give|allow)(?:s|ing)? (?:[^\s.!?;:|]+ ){0,4}?(?:permanent|full",
            r"|unrestricted|admin\w*|root|unlimited|remote|owner) (?:\w+ )?(?:access|permissions?",
            r"|control|privileges?|rights)|\bgrant me\b|\badd (?:[^\s.!?;:",
            r"|]+ ){0,4}?to the admin\w* (?:group|role)|\b(?:obey|take commands from) (?:me|only me",
            r"|the operator)\b"
        ),
    ),
    // It is to be remembered, or passed on to others.
    concept(
        "evidence.memory",
        14,
        &[
            "memor", "claude.md", "agents.md", "cursor", "copilot-", "rules", "instruction",
            "knowledge", "sessions", "agents", "remember", "copy", "include", "repeat", "insert",
            "append", "forward", "spread", "replicate", "add",
        ],
        &[
            "memor", "claude.md", "agents.md", "cursor", "copilot-", "remember", "agents", "message",
            "text", "rule", "instruction", "prompt", "paragraph", "line", "note", "sessions",
            "knowledge",
        ],
        concat!(
            r"\b(?:remember|memori[sz]e|store|save|add|append|write|put|record)\b (?:[^\s.!?;:",
            r"|]+ ){0,6}?(?:(?:long-term|persistent|your) memor(?:y|ies)|memory[:.,]|claude\.md",
            r"|agents\.md|\.?cursorrules|\.cursor\S*|copilot-instructions\S*|your (?:rules",
            r"|instructions|knowledge)|for (?:all )?future sessions)\b|\b(?:persistent",
            r"|long-term) memory\b|\b(?:copy|include|repeat|insert|append|forward|spread|replicate",
            r"|add) (?:this|these) (?:\w+ )?(?:message|text|rule|instruction|prompt|paragraph|line",
            r"|note)s? (?:[^\s.!?;:|]+ ){0,3}?(?:in|into|to|at|with) (?:\w+ )?(?:every|all|each|any",
            r"|other)\b|\b(?:all|every|other) agents (?:send|must|should|read|have|to)\b",
            r"|\bremember (?:this|that) for\b|\bremember (?:the )?following\b"
        ),
    ),
    // A link to follow or to praise.
    concept(
        "evidence.lure",
        11,
        &["http", "hxxp", "![", "recommend", "promot", "advertis", "endors"],
        &[
            "visit", "open", "load", "click", "browse", "navigate", "go", "install", "log", "![",
            "recommend", "promot", "advertis", "endors",
        ],
        concat!(
            r"\b(?:visit|open|load|click|browse to|navigate to|go to|download|install",
            r"|log ?in)\b (?:\S+ ){0,5}?\S{0,3}(?:https?|hxxps?)://",
            r"|!\[[^\]\n]{0,120}\]\(\s*https?:[^)\s]*(?:[?&]\w+=[{<$]|\{\{)|\b(?:recommend\w*|promote\w*",
            r"|advertis\w*|endorse) (?:\S+ ){0,6}?(?:\S+\.(?:com|net|org|io|example)\b|instead)"
        ),
    ),
    // What came along is to be run.
    concept(
        "evidence.run-this",
        14,
        &["attached", "payload", "script", "anything", "run_command", "execute"],
        &["run", "execute", "carry", "perform", "invoke"],
        concat!(
            r"\b(?:run|execute|carry out|perform|invoke)\b (?:[^\s.!?;:",
            r"|]+ ){0,4}?(?:attached (?:script|file)|the attached|this payload|script with)",
            r"|\bexecute anything\b|\brun_command with\b|\bexecute the \w+ immediately"
        ),
    ),
    // Instructions for doing harm.
    concept(
        "evidence.harm",
        14,
        &[
            "bomb", "explosive", "methamph", "cocaine", "heroin", "ransomware", "malware", "phishing",
            "nerve", "nuclear", "bioweapon", "napalm", "hot-wire", "hotwire", "counterfeit", "launder",
            "keylogger", "hate", "murder", "suicide", "break", "lock", "fraud", "fake", "botnet",
            "trojan", "stalk", "blackmail", "torture", "scam",
        ],
        &[
            "how", "instruction", "recipe", "step", "guide", "tutorial", "explain", "teach", "write",
            "make", "build", "create", "detailed", "help",
        ],
        concat!(
            r"\b(?:how (?:to|do i|can i|would)|instructions|recipe|steps? (?:by|to)|guide (?:to|on)",
            r"|tutorial|explain|teach|write|make|build|create|detailed",
            r"|help me)\b[^.\n]{0,50}\b(?:bombs?|explosives?|methamphetamine|cocaine|heroin",
            r"|ransomware|malware|phishing|nerve agent|nuclear weapons?|bioweapons?|napalm|hot-?wire",
            r"|counterfeit|launder\w*|keylogger|hate speech|murder|suicide|break into",
            r"|pick (?:a )?locks?|commit fraud|fake (?:id|passport)|botnet|trojan|stalk|blackmail",
            r"|torture|scam)\b"
        ),
    ),
];
