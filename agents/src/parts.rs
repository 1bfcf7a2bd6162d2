//! An answer in parts, from the side that asked.

use std::fmt;

use serde::de::DeserializeOwned;
use testudo_wire::{ContentType, Part};

use crate::bus::not_an_error;
use crate::carrier::Coming;
use crate::failure::{AskError, SendFailure};
use crate::incoming::Answer;

/// The parts of an answer as they come. Dropping it before the end cancels the request.
#[must_use = "dropping it cancels the request"]
pub struct AnswerParts {
    /// `None` after the end.
    coming: Option<Box<dyn Coming>>,
    index: u32,
}

impl fmt::Debug for AnswerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerParts")
            .field("index", &self.index)
            .field("over", &self.coming.is_none())
            .finish()
    }
}

impl AnswerParts {
    pub(crate) fn new(coming: Box<dyn Coming>) -> Self {
        Self { coming: Some(coming), index: 0 }
    }

    /// The next part; `None` after the last. An answer in one piece is one part. An error is the last word,
    /// and an end without a last part is [`SendFailure::Torn`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Answer, SendFailure>> {
        let coming = self.coming.as_mut()?;
        let part = match coming.next().await {
            Some(Ok(answer)) => self.expected(&answer).and_then(|()| not_an_error(answer)),
            Some(Err(failure)) => Err(failure),
            None => Err(SendFailure::Torn),
        };
        let Ok(answer) = part else {
            self.coming = None;
            return Some(part);
        };
        self.index = self.index.saturating_add(1);
        if answer.part.is_none_or(|part| part.last) {
            self.coming = None;
        }
        (!is_mere_end(&answer)).then_some(Ok(answer))
    }

    /// The next part, read as JSON. A part of another shape is no end: the next one may be asked for.
    pub async fn next_json<T: DeserializeOwned>(&mut self) -> Option<Result<T, AskError>> {
        let part = self.next().await?;
        Some(part.map_err(AskError::Send).and_then(|answer| answer.json().map_err(AskError::Answer)))
    }

    fn expected(&self, answer: &Answer) -> Result<(), SendFailure> {
        let index = answer.part.map_or(0, |part| part.index);
        if index == self.index { Ok(()) } else { Err(SendFailure::Torn) }
    }
}

/// What `ReplyStream::finish` sends: a last part that says nothing.
fn is_mere_end(answer: &Answer) -> bool {
    matches!(answer.part, Some(Part { last: true, .. }))
        && answer.body.is_empty()
        && answer.content_type == ContentType::default()
}

#[cfg(test)]
mod tests {
    use testudo_wire::{AgentName, CorrelationId, Holder, MessageId, SecretKey};

    use super::*;
    use crate::transport::Parts;

    struct Fixed(Vec<Answer>);

    impl Parts for Fixed {
        async fn next(&mut self) -> Option<Result<Answer, SendFailure>> {
            (!self.0.is_empty()).then(|| Ok(self.0.remove(0)))
        }
    }

    fn part((index, last): (u32, bool)) -> Answer {
        let name = AgentName::parse("a").unwrap();
        Answer {
            message: MessageId::new([0; 16]),
            sender: Holder { name, key: SecretKey::from_seed(&[7; 32]).public() },
            correlation: CorrelationId::new([0; 16]),
            part: Some(Part { index, last }),
            content_type: ContentType::text(),
            body: "x".into(),
            alerts: Vec::new(),
        }
    }

    #[tokio::test]
    async fn an_answer_that_lacks_parts_is_torn() {
        for (come, whole) in [
            (vec![], 0),
            (vec![(0, false)], 1),
            (vec![(0, false), (2, true)], 1),
            (vec![(1, true)], 0),
            (vec![(0, false), (0, true)], 1),
        ] {
            let mut parts = AnswerParts::new(Box::new(Fixed(come.iter().copied().map(part).collect())));
            for _ in 0..whole {
                assert_eq!(parts.next().await.unwrap().unwrap().body, "x");
            }
            assert_eq!(parts.next().await.unwrap().unwrap_err(), SendFailure::Torn, "{come:?}");
            assert!(parts.next().await.is_none());
        }
    }
}
