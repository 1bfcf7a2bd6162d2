//! What goes wrong with a message, for the agent that sent it or answers it.
//!
//! Each kind turns into an [`AgentError`], so that a handler may use `?`: its own asker hears that something
//! failed and how, but neither the guard's rules nor the words of others.

use testudo_wire::{Capability, ContentType, Refusal};

use crate::delegated::DelegatedError;
use crate::error::{AgentError, ErrorCode};

/// Why a message did not arrive, or why nobody can say.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendFailure {
    /// The bus or the receiver refused it, by name.
    #[error("refused: {refusal}; {}", advice(*.refusal, .needs))]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The content guard's rules, if it was the content.
        rules: Vec<String>,
        /// The rights that it takes; empty where this side does not know.
        needs: Vec<Capability>,
    },
    /// No answer came within the time to live.
    #[error("no answer within {after_ms} ms; the request may have been handled all the same")]
    NoAnswer {
        /// The time to live, in milliseconds.
        after_ms: u32,
    },
    /// The link ended first: the message may have arrived or not, and is not sent again.
    #[error("unknown: the link ended before the outcome was known")]
    Unknown,
    /// There was no link within the time to live.
    #[error("no link to the node within the message's time to live; nothing was sent")]
    NoLink,
    /// Whoever asked no longer waits.
    #[error("cancelled: whoever asked no longer waits; stop the work")]
    Cancelled,
    /// The body is larger than the bus carries.
    #[error("a body of {bytes} bytes is larger than {max}; send less, or split it")]
    TooLarge {
        /// Bytes of the body.
        bytes: usize,
        /// Bytes that are allowed.
        max: usize,
    },
    /// The other agent answered with an error.
    #[error("the other agent answered {code}: {message}")]
    Remote {
        /// What kind of error.
        code: ErrorCode,
        /// Its text, bounded and harmless.
        message: String,
    },
    /// A single answer was awaited.
    #[error("the answer comes in parts; ask for it with `stream`")]
    InParts,
    /// An answer in parts lacks one, or its end.
    #[error("parts of the answer are missing; what came before them is whole")]
    Torn,
    /// The request being handled carries no token to act under.
    #[error("no token came with the request; its sender must add one with `Message::under`")]
    NoToken,
    /// A token cannot be used, or not be handed on like that.
    #[error("the token does not serve: {why}")]
    BadToken {
        /// Why, in the words of this side.
        why: String,
    },
}

/// What to do about a refusal of something that takes these rights.
#[must_use]
pub fn advice(refusal: Refusal, needs: &[Capability]) -> String {
    if refusal != Refusal::Unauthorised {
        return refusal.advice().to_owned();
    }
    let rights = match needs {
        [] => return refusal.advice().to_owned(),
        [one] => format!("the right {one}"),
        [all @ .., last] => {
            let all: Vec<_> = all.iter().map(Capability::as_str).collect();
            format!("the rights {} and {last}", all.join(", "))
        }
    };
    // Who hears a topic is not the token's to say.
    let is_token_s = needs.iter().any(|right| !right.as_str().starts_with("subscribe:"));
    let or = if is_token_s { ", or act under a token that covers it and its destination" } else { "" };
    format!("it needs {rights}: have the operator grant it{or}")
}

impl SendFailure {
    /// A refusal about which there is no more to say.
    #[must_use]
    pub const fn refused(refusal: Refusal) -> Self {
        Self::Refused { refusal, rules: Vec::new(), needs: Vec::new() }
    }

    /// Whether a request is over for the one who answers it.
    pub(crate) const fn ends_request(&self) -> bool {
        match self {
            Self::Cancelled | Self::Unknown | Self::NoLink | Self::NoAnswer { .. } => true,
            Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Remote { .. }
            | Self::InParts
            | Self::Torn
            | Self::NoToken
            | Self::BadToken { .. } => false,
        }
    }
}

/// Why a value is not a JSON body, or a body not the value.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The body is of another media type.
    #[error("the content type is {0:?}, not application/json")]
    ContentType(ContentType),
    /// The JSON is broken or of another shape.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
}

/// Why a typed question has no typed answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The question did not arrive or was answered with an error.
    #[error(transparent)]
    Send(#[from] SendFailure),
    /// The question cannot be written as JSON; nothing was sent.
    #[error("the question cannot be written")]
    Question(#[source] JsonError),
    /// The answer is not of the expected shape.
    #[error("the answer is not of the expected shape")]
    Answer(#[source] JsonError),
}

/// Why a handler's own answer was not sent.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// The message has its answer already, or its handler has ended.
    #[error("the message has been answered already")]
    Answered,
    /// The answer cannot be written as JSON; nothing was sent.
    #[error("the answer cannot be written")]
    Json(#[from] JsonError),
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendFailure),
}

impl From<SendFailure> for AgentError {
    fn from(failure: SendFailure) -> Self {
        let message = match failure {
            SendFailure::Refused { refusal, .. } => format!("a message it needed was refused: {refusal}"),
            SendFailure::NoAnswer { .. } => "an agent it needed did not answer".to_owned(),
            SendFailure::Unknown => "the outcome of a message it needed is unknown".to_owned(),
            SendFailure::NoLink => "it has no link to the bus".to_owned(),
            SendFailure::Cancelled => return Self::new(ErrorCode::CANCELLED, "nobody waits for this"),
            SendFailure::TooLarge { .. } => "a message it needed is too large".to_owned(),
            SendFailure::Remote { code, .. } => format!("an agent it needed answered {code}"),
            SendFailure::InParts => "an agent it needed answered in parts".to_owned(),
            SendFailure::Torn => "parts of an answer it needed are missing".to_owned(),
            SendFailure::NoToken => return Self::bad_request("the request must carry a token to act under"),
            SendFailure::BadToken { .. } => "a token it needed does not serve".to_owned(),
        };
        Self::new(ErrorCode::DEPENDENCY_FAILED, message)
    }
}

impl From<AskError> for AgentError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Send(failure) => failure.into(),
            AskError::Question(_) => {
                Self::new(ErrorCode::DEPENDENCY_FAILED, "a question it needed is no json")
            }
            AskError::Answer(_) => {
                Self::new(ErrorCode::DEPENDENCY_FAILED, "an agent it needed answered in another shape")
            }
        }
    }
}

impl From<ReplyError> for AgentError {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::Answered => Self::failed("the message was answered twice"),
            ReplyError::Json(_) => Self::failed("the answer cannot be written as json"),
            ReplyError::Send(SendFailure::TooLarge { .. }) => {
                Self::failed("the answer is larger than the bus carries")
            }
            ReplyError::Send(failure) => failure.into(),
        }
    }
}

impl From<DelegatedError> for AgentError {
    fn from(error: DelegatedError) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_hears_neither_rules_nor_words_of_others() {
        let (rules, needs) =
            (vec!["secret-rule".to_owned()], vec![Capability::parse("read:secret").unwrap()]);
        let refused = SendFailure::Refused { refusal: Refusal::Poisoned, rules, needs };
        let remote = SendFailure::Remote { code: ErrorCode::FAILED, message: "secret".to_owned() };
        let token = SendFailure::BadToken { why: "secret".to_owned() };
        for failure in [refused, remote, token] {
            let error = AgentError::from(failure);
            assert_eq!(error.code(), &ErrorCode::DEPENDENCY_FAILED);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn who_lacks_a_right_is_told_which() {
        let needs = |all: &[&str]| {
            let needs = all.iter().map(|one| Capability::parse(one).unwrap()).collect();
            SendFailure::Refused { refusal: Refusal::Unauthorised, rules: Vec::new(), needs }.to_string()
        };
        assert!(
            needs(&["read:logs"]).starts_with("refused: unauthorised; it needs the right read:logs: have")
        );
        assert!(needs(&["read:logs", "opaque:logs"]).contains("the rights read:logs and opaque:logs: have"));
        assert!(needs(&[]).contains("ask for a token that covers"));
    }
}
