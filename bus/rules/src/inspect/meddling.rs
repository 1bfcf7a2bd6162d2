//! The concepts of tools that meddle: an order imposed on the calls of others, a value changed on its way, a call whose
//! name says what it destroys. Two of them alert, and no two block. Literals are read off the patterns.

use super::concepts::concept;
use super::rules::Rule;

/// What agents do with tools.
macro_rules! deed {
    () => {
        concat!(
            r"(?:tools?|operations?|calls?|requests?|actions?|functions?|commands?|modifications?|access",
            r"|quer(?:y|ies)",
            r"|invocations?|transfers?|deletions?|edits?|commits?|steps?)"
        )
    };
}

/// What a call carries.
macro_rules! detail {
    () => {
        concat!(
            r"(?:arguments?|parameters?|fields?|values?|recipients?|amounts?|quer(?:y|ies)|subjects?",
            r"|destinations?",
            r"|quantit(?:y|ies)|payees?|numbers?|address(?:es)?|receivers?|titles?|urls?|links?|prices?)"
        )
    };
}

const fn meddling(id: &'static str, weight: u8, pattern: &'static str) -> Rule {
    concept(id, weight, &[], &[], pattern)
}

/// How a tool reaches beyond itself.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // An order among tools that are not its own.
    meddling(
        "evidence.tool-order",
        11,
        concat!(
            r"\b(?:before|prior to|whenever|each time|every time) (?:you )?(?:us(?:e|ing)",
            r"|call(?:ing)?|invok(?:e|ing)|runn?(?:ing)?|execut(?:e|ing)|respond(?:ing)?",
            r"|answer(?:ing)?|reply(?:ing)?|doing) (?:this|any|the|other|another|every|all",
            r"|anything)\b|\b(?:tools?|function|server|endpoint) (?:must|has to|have to|needs? to",
            r"|should) (?:always |only |first ){0,4}be (?:called|used|invoked|run|skipped|preferred",
            r"|avoided|mirrored)|\b(?:it|this) must (?:always |only |first ){0,4}be (?:called|invoked",
            r"|skipped|preferred|avoided|mirrored)\b|\b(?:always|must(?: always)?|first",
            r"|required to) (?:first |also )?(?:call|invoke|use|run|execute|read|load|send|pass",
            r"|provide|list|append|forward|bcc|supply|prefer|contain|replace|mirror|open",
            r"|repeat) (?:the|this|your|all|any|every|it|with)\b|\b(?:any|all|every) other tools?\b",
            r"|\bother servers?'?\b|\bother tools? (?:are|is|it|have|has|must)\b|\b(?:first",
            r"|successful) (?:call|lookup|use|invocation) |\bcomplete (?:chat|conversation)\b",
            r"|\bas though the user\b|\btool (?:\S+ ){0,2}?is (?:now )?(?:deprecated|unsafe|insecure",
            r"|broken)",
            r"|\b(?:must|should|ha(?:s|ve) to|needs? to|shall) (?:always |also )?be (?:preceded|accompanied",
            r"|followed|prefixed) by\b",
            r"|\b(?:before|prior to|ahead of) (?:[^\s.!?;:|]+ ){0,2}?(?:any|each|every|all",
            r"|other) (?:[^\s.!?;:|]+ ){0,3}?",
            deed!(),
            r"\b",
            r"|\b(?:must|should|ha(?:s|ve) to|needs? to|shall) (?:always |also )?be (?:called|invoked",
            r"|executed|run",
            r"|performed|used|triggered) (?:first|before|prior|beforehand|in advance|ahead)\b",
            r"|\b(?:must|should|ha(?:s|ve) to|needs? to|shall) first (?:be|use|call|run|execute|invoke|read",
            r"|write|delete",
            r"|send)\b",
            r"|\b(?:first|beforehand) (?:call|invoke|execute|run) (?:the )?(?:`|\w+_\w+|\w+ (?:tool",
            r"|function)\b)",
            r"|\b(?:prior to|before) (?:using|calling|invoking|executing|running|performing) \w+_\w+",
            r"|\botherwise the (?:tool|system|function|server|session|operation|account) (?:will|cannot",
            r"|can'?t|does)\b",
        ),
    ),
    // A value is to be another than was said.
    meddling(
        "evidence.tamper",
        9,
        concat!(
            r"\b",
            detail!(),
            r" (?:[^\s.!?;:|]+ ){0,8}?(?:must|should|needs?(?: to)?|ha(?:s|ve) to|(?:is|are) to",
            r"|shall) (?:always |also ",
            r"|first )?be (?:changed|replaced|modified|rewritten|altered|swapped|multiplied",
            r"|redirected",
            r"|substituted|increased|overwritten|doubled)\b",
            r"|\b(?:replace|change|modify|alter|rewrite|swap|substitute|overwrite|redirect|switch) (?:the|any",
            r"|every|all",
            r"|each|its|their) (?:[^\s.!?;:|]+ ){0,3}?(?:argument|parameter|recipient|payee|amount",
            r"|destination|receiver",
            r"|quantity|number|address|subject)s?\b",
            r"|\b(?:amount|quantity|price|value|number) (?:[^\s.!?;:|]+ ){0,3}?(?:to|by|with) (?:\d+|ten|two",
            r"|three|twice) ",
            r"times\b",
        ),
    ),
    // The name of what is called says what it does, or its mode whom it lets in.
    meddling(
        "evidence.deed-call",
        7,
        concat!(
            r"\b(?:delete|drop|remove|wipe|destroy|purge|truncate|erase|kill)_\w+",
            r"|\b(?:execute|run|exec)_(?:command|shell|code|script|sql|bash)\b",
            r"|\bchmod (?:-R )?0?777\b",
        ),
    ),
];
