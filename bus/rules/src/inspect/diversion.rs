//! Prose that turns an agent from whom it serves: his request set aside, his data fetched and sent off, strangers let
//! in, payments led elsewhere, all in the words any task could use but never together.

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

const fn poison(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { kind: Kind::ToolPoisoning, ..high(id, literals, pattern) }
}

/// The family of diversions.
pub(super) const RULES: &[Rule] = &[
    high(
        "diversion.set-user-aside",
        &["drop", "ignor", "disregard", "forget", "instead", "skip", "abandon"],
        concat!(
            r"(?:\A|[.!?:;\n\t\]>\x22'`]\s*|\b(?:and|then|please|must|now|should) )(?:ignore",
            r"|disregard|forget|skip|abandon|drop)(?: \w+)? (?:the |your |any |all )*(?:user|human",
            r"|customer|person)(?:'s|s'|s)? (?:\w+ )?(?:requests?|query|questions?|tasks?|messages?",
            r"|asked|instructions?|prompts?|commands?|wants|said|input)\b|\b(?:ignore",
            r"|disregard) what (?:the |your )?(?:user|human|customer)\b|\binstead of (?:answering",
            r"|responding|following|doing|completing|summari[sz]ing|what)\b[^.\n]{0,80}\b(?:output",
            r"|print|say|send|visit|call|run|execute|click|reply|write)\b"
        ),
    ),
    high(
        "diversion.forget-before",
        &["disregard", "forget", "vergiss", "vergess", "vergesse", "oubli", "olvid", "dimentica", "ignor"],
        concat!(
            r"(?:\A|[.!?:;\n\t\]>\x22'`]\s*|\b(?:and|then|please|now|to|you|just|also|must",
            r"|should) )(?:forget|ignore|disregard) (?:about )?(?:everything|anything|all|every \w+",
            r"|whatever)(?: (?:that|which|of|the|i|we|you|was|has|been|have|text|instructions?|tasks?",
            r"|assignments?|commands?|questions?))* (?:before|above|earlier|previously|prior|so far",
            r"|until now|up to now|said|told|wrote)\b|\b(?:vergiss|vergesse|vergessen sie",
            r"|ignorier\w*) (?:bitte )?(?:alles?|die|deine|was) (?:\w+ ){0,4}?(?:davor|zuvor|vorher",
            r"|bisher\w*|gesagt\w*|oben|vorherig\w*|aufgaben?|anweisungen?|befehle|instruktionen)\b",
            r"|\boublie[zr]? (?:tout|ce) [^.\n]{0,30}(?:precede|avant|dit|dessus)",
            r"|\bolvid\w+ todo (?:lo )?(?:anterior|que)|\bdimentica\w* tutto\b"
        ),
    ),
    high(
        "diversion.task-changed",
        &["task", "goal", "instruction", "mission", "objective"],
        concat!(
            r"\b(?:your|the) (?:\w+ )?(?:task|goal|mission|objective|instructions?) (?:has",
            r"|have) (?:now |been ){0,40}(?:changed|updated|replaced|overridden|superseded)\b",
            r"|\b(?:focus on|here is|this is) (?:the |your |a )?new (?:task|goal|mission|objective",
            r"|instruction)s?\b"
        ),
    )
    .and(&["changed", "updated", "replaced", "overridden", "superseded", "new"]),
    exfil(
        "diversion.fetch-and-send",
        &[
            "append", "includ", "send", "mail", "share", "forward", "post", "upload", "paste", "export",
            "transmit", "transfer",
        ],
        concat!(
            r"\b(?:retrieve|get|fetch|find|access|collect|gather|extract|obtain|look up|pull|check",
            r"|read|list|export|copy|download|take|summari[sz]e) [^.\n]{0,160}?",
            r"\b(?:and|then|,) (?:then |immediately |also |securely )*(?:send|e-?mail|share|forward",
            r"|post|upload|paste|transmit|transfer|append|include) (?:it|them|this|that|these|those",
            r"|everything|the \w+|a copy|all)\b[^.\n]{0,40}?",
            r"\b(?:to|with|at|in|into|on|via) (?:\S+ ){0,3}?(?:[\w.+-]+@[\w-]+\.\w|https?://",
            r"|public (?:gist|pastebin|repo\w*|channel|bucket)|pastebin|attacker)"
        ),
    ),
    medium(
        "diversion.send-away",
        &["@"],
        concat!(
            r"(?:\A|[.!?:;\n\]>\x22]\s*|\b(?:please|now|then|and) )(?:send|forward|e-?mail|share",
            r"|grant|invite|give|add|bcc|cc|transfer) (?:\S+ ){0,10}?[\w.+-]+@[\w-]+\.\w[^\n]{0,80}\b(",
            r"?:permission|access|admin|owner|confirmation|do not|don't|without|immediately|urgent",
            r"|editor|all)\b"
        ),
    )
    .and(&["send", "forward", "mail", "share", "grant", "invite", "give", "add", "cc", "transfer"]),
    high(
        "diversion.let-in",
        &["grant", "allow", "invite", "share", "give", "add", "make", "change", "set", "unlock", "disable"],
        concat!(
            r"\b(?:grant|give|allow) (?:\S+ ){0,3}?(?:permanent|full|unrestricted|admin\w*|root",
            r"|unlimited|complete|remote) (?:\w+ )?(?:access|permissions?|control|privileges) to\b",
            r"|\b(?:invite|add|make) \S+@\S+ (?:\S+ ){0,6}?(?:admin\w*|owner|superuser)\b|\b(?:change",
            r"|reset|set) (?:the |my |their |your )?(?:\S+ )?(?:password|e-?mail address|phone number",
            r"|recovery \w+) (?:to|for) [^.\n]{0,60}\b(?:and (?:e-?mail|send)|without)\b"
        ),
    )
    .and(&[
        "access",
        "permission",
        "control",
        "privilege",
        "admin",
        "owner",
        "superuser",
        "password",
        "mail",
        "phone",
        "recovery",
    ]),
    poison(
        "diversion.silent-copy",
        &["bcc", "cc", "blind", "recipient", "payee", "iban", "wallet"],
        concat!(
            r"\b(?:always|must|every time|each time|automatically",
            r"|whenever [^.\n]{0,60}) (?:\S+ ){0,5}?(?:bcc|cc|blind copy) (?:\S+ ){0,4}?\S+@\S+",
            r"|\b(?:set|add|put|change|replace|use) (?:the )?(?:bcc|cc|recipient|payee|iban",
            r"|wallet)(?: \w+)?(?: field| address| number| account)? (?:to|with|as",
            r"|by)\b[^.\n]{0,20}(?:@|\+\d|0x|[a-z]{2}\d\d)|\brecipient (?:\w+ )?(?:must|should|has to",
            r"|needs to) be (?:changed|replaced|set|redirected)\b"
        ),
    ),
    medium(
        "diversion.false-policy",
        &[
            "agreed",
            "compliance",
            "policy",
            "audit",
            "security",
            "verification",
            "mandatory",
            "requirement",
            "require",
            "authoris",
            "authoriz",
            "regulat",
            "legal",
            "confirmed",
            "approved",
            "consented",
        ],
        concat!(
            r"\b(?:for|due to|as per|per|to ensure|in line with) (?:\w+ ){0,2}?(?:compliance|security",
            r"|audit(?:ing)?|regulatory|verification|legal|policy)(?: \w+)?(?: reasons?| purposes?",
            r"| requirements?| policy)?,? (?:\w+ ){0,3}?(?:you|the (?:assistant|agent|model|ai)",
            r"|all (?:requests|calls|agents)) (?:must|should|are required|need|have)\b|\b(?:mandatory",
            r"|required) (?:by|for) (?:compliance|policy|security|audit)\b[^.\n]{0,80}\b(?:call|send",
            r"|include|read|pass|attach)\b|\b(?:user|owner|admin\w*) (?:has|have) (?:already |fully ",
            r"|pre-?)*(?:authori[sz]ed|approved|consented|agreed|confirmed)\b"
        ),
    ),
    medium(
        "diversion.say-it",
        &[
            "words",
            "text",
            "everything",
            "sentence",
            "instruction",
            "message",
            "prompt",
            "rules",
            "guideline",
            "configuration",
            "secret",
            "passw",
            "passphrase",
            "access",
        ],
        concat!(
            r"\b(?:repeat|translate|encode|print|output|write|spell|summari[sz]e",
            r"|rephrase) (?:\w+ ){0,5}?(?:words|text|everything|sentences?|instructions?|messages?",
            r"|prompt) (?:above|before|verbatim|preceding|you were given)\b|\b(?:translate|print",
            r"|output|repeat|reveal|encode) your (?:\w+ )?(?:instructions|prompt|rules|guidelines",
            r"|configuration)\b|\b(?:tell|give|show|reveal|spell|say) (?:me ",
            r"|us )?(?:\w+ ){0,3}?(?:secret (?:key|code|word|password|phrase)|password|passphrase",
            r"|access code)\b|\bwhat(?:'s| is) the (?:\w+ )?(?:password|passphrase|secret (?:key|code",
            r"|word|phrase)|access code)\b|\btext before this (?:conversation|chat|prompt)\b",
            r"|\bhere is (?:my|the|your) system prompt\b"
        ),
    ),
    high(
        "diversion.no-limits",
        &[
            "limits",
            "restrictions",
            "filters",
            "guidelines",
            "rules",
            "boundaries",
            "censorship",
            "constraints",
        ],
        concat!(
            r"\b(?:ai|model|assistant|chatbot|bot|language model|developer|entity",
            r"|character) (?:\w+ ){0,4}?(?:without|with no|free (?:of|from)|that has no|who has no",
            r"|lacking|not bound by) (?:any |all |its |the |usual |typical |ethical |moral |legal ",
            r"|content |safety |and |or )*(?:limits|restrictions|filters|guidelines|rules|boundaries",
            r"|censorship|constraints)\b"
        ),
    )
    .and(&[
        "ai ",
        "assistant",
        "model",
        "developer",
        "entity",
        "character",
        " ai",
        "ai,",
        "ai*",
        "bot ",
        "bot,",
        "bot*",
    ]),
    exfil(
        "diversion.into-address",
        &["append", "attach", "add", "includ", "encod", "embed", "insert", "put"],
        concat!(
            r"\b(?:append|attach|add|include|encode|embed|insert|put) (?:\S+ ){0,8}?(?:\w*tokens?",
            r"|passwords?|secrets?|keys?|history|conversation|messages?|data|cookies?|session",
            r"|credentials|answers?|contents?) (?:\S+ ){0,5}?(?:to|in|into|as",
            r"|at) (?:\S+ ){0,3}?\S{0,3}https?://"
        ),
    )
    .and(&["http"]),
    medium(
        "diversion.role-play",
        &["going", "pretend", "role", "longer", "chatgpt", "broke", "breaks", "persona", "simulat"],
        concat!(
            r"\b(?:pretend (?:to be|you are|you're|that you)|going to (?:play|pretend|role-?play",
            r"|simulate)|play(?:ing)? the role|role-?play(?:ing)? (?:as|a)|(?:will|to",
            r"|you) no longer respond|brok(?:e|en) free of|from (?:now on",
            r"|this moment)[^.\n]{0,40}\b(?:role|persona)|(?:dear|hello|hi|hey) chatgpt",
            r"|chatgpt,? (?:you|act|pretend|simulate|does not exist))\b"
        ),
    )
    .and(&["going", "pretend", "free", "role", "respond", "chatgpt", "persona", "simulat", "play"]),
];
