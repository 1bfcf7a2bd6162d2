//! A request that carries a token for its receiver, as agents send and get it. How the two travel in one body is
//! [`testudo_wire::delegated`].

use std::borrow::Cow;

use bytes::Bytes;
use testudo_wire::delegated::DELEGATED;
use testudo_wire::{ContentType, Delegated, DelegatedFormError};

use crate::incoming::Incoming;
use crate::message::To;
use crate::token::TokenText;

/// The content type of a request that carries a token: `application/vnd.testudo.delegated+json`.
#[must_use]
pub fn delegated_content_type() -> ContentType {
    #[expect(clippy::expect_used, reason = "a constant of the right grammar, see the tests below")]
    ContentType::parse(DELEGATED).expect("a content type")
}

/// Why a token and a request do not go together. Tells nothing of either.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DelegatedError {
    /// It goes to a service or a topic.
    #[error("a token can only be given to one agent, by its name")]
    NotOneAgent,
    /// The request carries one already.
    #[error("a request carries at most one token")]
    Nested,
    /// The body is not what its content type says.
    #[error("the delegated request cannot be read: fields token, type, body, encoding in their one form")]
    Malformed,
}

impl From<DelegatedFormError> for DelegatedError {
    fn from(error: DelegatedFormError) -> Self {
        match error {
            DelegatedFormError::Nested => Self::Nested,
            DelegatedFormError::Malformed => Self::Malformed,
        }
    }
}

/// Puts a token and a body into one body.
pub(crate) fn wrap(
    token: &TokenText,
    content_type: ContentType,
    body: &[u8],
) -> Result<Bytes, DelegatedError> {
    let delegated = Delegated { token: token.as_str().into(), content_type, body: Cow::Borrowed(body) };
    Ok(delegated.encode()?.into())
}

/// Takes the two out again.
pub(crate) fn unwrap(body: &[u8]) -> Result<(TokenText, ContentType, Bytes), DelegatedError> {
    let Delegated { token, content_type, body } = Delegated::decode(body)?;
    let token = TokenText::parse(&token).map_err(|_| DelegatedError::Malformed)?;
    Ok((token, content_type, body.into_owned().into()))
}

/// The message as its agent sees it: with its own body, and the token apart.
pub(crate) fn open(mut incoming: Incoming) -> Result<Incoming, DelegatedError> {
    // Only this module says that a token came, whatever carried the message.
    incoming.delegated = None;
    if incoming.content_type != delegated_content_type() {
        return Ok(incoming);
    }
    match incoming.to {
        To::Agent(_) => {}
        To::Service | To::Topic(_) => return Err(DelegatedError::NotOneAgent),
    }
    let (token, content_type, body) = unwrap(&incoming.body)?;
    Ok(Incoming { content_type, body, delegated: Some(token), ..incoming })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use testudo_wire::{AgentName, Capability, CorrelationId, Holder, MessageId, SecretKey};

    use super::*;
    use crate::token::TOKEN_TEXT_BYTES_MAX;

    fn token() -> TokenText {
        TokenText::parse("testudo-token:abc").unwrap()
    }

    fn wrapped(json: &str) -> Result<(TokenText, ContentType, Bytes), DelegatedError> {
        unwrap(json.as_bytes())
    }

    proptest! {
        #[test]
        fn a_body_goes_there_and_back(
            body in prop_oneof![any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)],
            text in "[A-Za-z0-9_:-]{1,200}",
            kind in prop_oneof![Just(""), Just("text/plain"), Just("application/json"), Just("image/png")],
        ) {
            let (token, kind) = (TokenText::parse(&text).unwrap(), ContentType::parse(kind).unwrap());
            let outer = wrap(&token, kind, &body).unwrap();
            prop_assert_eq!(outer.windows(8).any(|w| w == b"encoding"), String::from_utf8(body.clone()).is_err()
                || body.windows(8).any(|w| w == b"encoding") || text.contains("encoding"));
            prop_assert_eq!(unwrap(&outer).unwrap(), (token, kind, Bytes::from(body)));
        }

        #[test]
        fn anything_else_is_refused_or_goes_back_to_itself(body: Vec<u8>, tail in ".{0,40}") {
            prop_assert!(unwrap(&body).is_err());
            let json = format!(r#"{{"token":"t","type":"","body":{tail}"#);
            if let Ok((token, kind, body)) = wrapped(&json) {
                prop_assert_eq!(unwrap(&wrap(&token, kind, &body).unwrap()).unwrap(), (token, kind, body));
            }
        }
    }

    #[test]
    fn the_form_on_the_wire() {
        let body = wrap(&token(), ContentType::json(), br#"{"n":1}"#).unwrap();
        assert_eq!(body, r#"{"token":"testudo-token:abc","type":"application/json","body":"{\"n\":1}"}"#);
        let body = wrap(&token(), ContentType::default(), &[0xff, 0]).unwrap();
        assert_eq!(body, r#"{"token":"testudo-token:abc","type":"","body":"/wA=","encoding":"base64"}"#);
    }

    #[test]
    fn hostile_bodies_are_refused_and_not_repeated() {
        let long = format!(r#"{{"token":"{}","type":"","body":""}}"#, "a".repeat(TOKEN_TEXT_BYTES_MAX + 1));
        let deep = format!(r#"{{"token":{}"#, "[".repeat(100_000));
        for (json, why) in [
            ("", "empty"),
            ("null", "no object"),
            (r#"["t","text/plain","body"]"#, "a list"),
            (r#"{"token":"t","type":""}"#, "no body"),
            (r#"{"type":"","body":""}"#, "no token"),
            (r#"{"token":"t","body":""}"#, "no type"),
            (r#"{"token":"","type":"","body":""}"#, "an empty token"),
            (r#"{"token":"a b","type":"","body":""}"#, "no token's text"),
            (r#"{"token":"a\u0000","type":"","body":""}"#, "no token's text"),
            (r#"{"token":5,"type":"","body":""}"#, "a number"),
            (r#"{"token":"t","type":"Text","body":""}"#, "no content type"),
            (r#"{"token":"t","type":"","body":{}}"#, "a body that is no string"),
            (r#"{"token":"t","type":"","body":"","extra":1}"#, "an unknown field"),
            (r#"{"token":"t","token":"u","type":"","body":""}"#, "a field twice"),
            (r#"{"token":"t","type":"","body":"","encoding":null}"#, "null is no encoding"),
            (r#"{"token":"t","type":"","body":"","encoding":"hex"}"#, "an unknown encoding"),
            (r#"{"token":"t","type":"","body":"/w","encoding":"base64"}"#, "no padding"),
            (r#"{"token":"t","type":"","body":"/x==","encoding":"base64"}"#, "stray bits"),
            (r#"{"token":"t","type":"","body":"aGk=","encoding":"base64"}"#, "text that hides"),
            (r#"{"token":"t","type":"","body":""} "x""#, "a rest"),
            (&long, "too long a token"),
            (&deep, "depth"),
        ] {
            assert_eq!(wrapped(json), Err(DelegatedError::Malformed), "{why}");
        }
        let nested = r#"{"token":"t","type":"application/vnd.testudo.delegated+json","body":""}"#;
        assert_eq!(wrapped(nested), Err(DelegatedError::Nested));
        assert_eq!(wrap(&token(), delegated_content_type(), b""), Err(DelegatedError::Nested));
    }

    #[test]
    fn no_transport_can_claim_that_a_token_came() {
        let incoming = |content_type, body: Bytes| Incoming {
            message: MessageId::new([0; 16]),
            sender: Holder {
                name: AgentName::parse("a").unwrap(),
                key: SecretKey::from_seed(&[7; 32]).public(),
            },
            to: To::Agent(AgentName::parse("b").unwrap()),
            capability: Capability::parse("read:logs").unwrap(),
            correlation: CorrelationId::new([0; 16]),
            content_type,
            body,
            wants_reply: false,
            alerts: Vec::new(),
            trace: None,
            delegated: Some(token()),
        };
        let plain = open(incoming(ContentType::text(), "x".into())).unwrap();
        assert_eq!((plain.delegated, plain.body), (None, "x".into()));
        let other = TokenText::parse("other").unwrap();
        let wrapped = wrap(&other, ContentType::text(), b"x").unwrap();
        let opened = open(incoming(delegated_content_type(), wrapped)).unwrap();
        assert_eq!((opened.delegated, opened.body), (Some(other), "x".into()));
        assert_eq!(opened.content_type, ContentType::text());
    }
}
