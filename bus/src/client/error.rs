//! What a sender hears when a message did not arrive, or when nobody can say.

use testudo_wire::Refusal;

/// Why a message did not arrive, or why nobody can say.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The node or the receiver refused it, by name.
    #[error("refused: {refusal}{}; {}", listed(.rules), .refusal.advice())]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The content guard's rules, if it was the content.
        rules: Vec<String>,
    },
    /// No answer came within the time to live, nor a further part of one.
    #[error("no answer within {0} ms; the request may have been handled all the same")]
    NoAnswer(u32),
    /// The link ended first: the message may have arrived or not, and is not sent again.
    #[error("unknown: the link ended before the outcome was known")]
    Unknown,
    /// The body is larger than the wire allows.
    #[error("a body of {0} bytes is larger than {1}; send less, or split it")]
    TooLarge(usize, usize),
    /// Nobody waits for this answer any more: given up, expired, or answered already.
    #[error("cancelled: nobody waits for this answer any more")]
    Cancelled,
    /// There was no link within the time to live: nothing was sent.
    #[error("no link to the node within {0} ms; nothing was sent")]
    NoLink(u32),
}

impl SendError {
    /// A refusal that is not about the content.
    pub(super) const fn refused(refusal: Refusal) -> Self {
        Self::Refused { refusal, rules: Vec::new() }
    }
}

fn listed(rules: &[String]) -> String {
    if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) }
}
