//! Orders to the reader of a text, which are ordinary language anywhere but under markup that claims authority.

use super::Kind;
use super::rules::{Mention, Role, Rule, Strength};

const fn signal(
    id: &'static str,
    strength: Strength,
    literals: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    Rule {
        id,
        kind: Kind::ToolPoisoning,
        role: Role::Signal(strength),
        mention: Mention::Counts,
        literals,
        also: &[],
        pattern,
    }
}

/// The family of signals.
pub(super) const RULES: &[Rule] = &[
    signal(
        "signal.standing",
        Strength::Weak,
        &["now", "henceforth", "from"],
        r"\b(?:from now on|henceforth|from this (?:point|moment))\b",
    ),
    signal("signal.always", Strength::Weak, &["always"], r"\balways [a-z]"),
    signal(
        "signal.hush",
        Strength::Weak,
        &["mention", "tell", "inform", "notify", "reveal", "disclos", "alert"],
        concat!(
            r"\b(?:do not|don'?t|never|without|must not|avoid) (?:tell|mention|inform|notify|reveal",
            r"|disclos|alert)(?:e|ing|y)?\b"
        ),
    ),
    signal(
        "signal.hush-from",
        Strength::Strong,
        &["tell", "inform", "notify", "alert", "mention"],
        concat!(
            r"\b(?:do not|don'?t|never|without) (?:tell|inform|notify|alert|mention)(?:ing",
            r"|y)?(?: (?:this|it|that|anything|to)){0,8} (?:the |any )?(?:users?|anyone|anybody",
            r"|operators?|humans?|owners?|customers?)\b"
        ),
    ),
    signal(
        "signal.asked",
        Strength::Weak,
        &["ask"],
        concat!(
            r"\b(?:if (?:\w+ ){0,2}asks?(?:ed)?|when(?:ever)? (?:you are |you're |being )?asked",
            r"|asks? about)\b"
        ),
    ),
    signal(
        "signal.stealth",
        Strength::Strong,
        &["silently", "secretly", "quietly", "covertly", "discreetly"],
        concat!(
            r"\b(?:silently|secretly|quietly|covertly|discreetly) (?:send|forward|copy|transfer",
            r"|upload|post|email|append|read|add|collect|include|delete|export|share|run|execute",
            r"|change|wire|cc|bcc)\b"
        ),
    ),
    signal(
        "signal.must",
        Strength::Weak,
        &["must", "before", "follow"],
        concat!(
            r"\b(?:you must|must (?:first|always|immediately)|before (?:you|using|calling|answering",
            r"|responding|solving|doing|proceeding|continuing|any)|(?:do|perform|complete",
            r"|execute) the following|follow these)\b"
        ),
    ),
    signal(
        "signal.move-data",
        Strength::Weak,
        &[
            "send", "forward", "transfer", "copy", "upload", "mail", "post", "leak", "transmit", "share",
            "wire", "exfil",
        ],
        concat!(
            r"\b(?:send|forward|transfer|copy|upload|e?mail|post|exfiltrate|leak|transmit|share",
            r"|wire) (?:\S+ ){0,4}(?:mails?|emails?|messages?|money|funds|keys?|tokens?|secrets?",
            r"|passwords?|credentials?|conversation|history|data|files?|contents?|accounts?",
            r"|everything|all)\b"
        ),
    ),
    signal(
        "signal.addressed",
        Strength::Weak,
        &["you", "message"],
        concat!(
            r"\bto you (?:the )?(?:ai|assistant|claude|gpt|chatgpt|llm|model|agent|language)\b",
            r"|\bmessage from (?:me|the|your|user)\b"
        ),
    ),
    signal(
        "signal.set-aside",
        Strength::Weak,
        &["ignor", "disregard", "forget", "override", "bypass"],
        concat!(
            r"\b(?:ignore|disregard|forget|override|bypass) (?:all|any|the|your|previous|prior|safety",
            r"|every|other)\b"
        ),
    ),
    signal(
        "signal.call-tool",
        Strength::Weak,
        &["tool", "function"],
        r"\b(?:call|invoke|use|run|execute) (?:the |this )?(?:\S+ )?(?:tool|function)\b",
    ),
    signal(
        "signal.reply",
        Strength::Weak,
        &["anyone", "reply", "respond", "answer"],
        r"\b(?:reply|respond|answer) (?:only )?(?:with|as|that)\b|\bif anyone\b",
    ),
];
