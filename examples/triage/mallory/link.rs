//! A link with its streams in hand and nobody's manners. Writes whatever it is given; knows no attack.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use testudo::Identity;
use testudo::bus::client::{self, ClientIdentity, DialError, OpenLink};
use testudo::bus::env::{SharedEnv, random};
use testudo::bus::stream::{prefix, write_frame};
use testudo::bus::transport;
use testudo::env::System;
use testudo::wire::frame::{FromAgent, FromNode, Present, RefusedMessage, Subscription};
use testudo::wire::{
    Bundle, Capability, ContentType, CorrelationId, Destination, Envelope, Header, Limits, MessageId,
    ReceiptWish, Refusal, Resource, Sequence, SessionId, TokenId, Ttl,
};

use super::mishap::Mishap;

/// An open link of one identity that has shown its own token.
pub(super) struct RawLink {
    link: OpenLink,
    identity: Arc<ClientIdentity>,
    endpoint: Endpoint,
    env: SharedEnv,
    token: TokenId,
    sequence: u64,
    bundles: u64,
}

/// What became of many bundles.
#[derive(Default)]
pub(super) struct Poured {
    /// Messages that the node took.
    pub(super) accepted: Vec<MessageId>,
    /// Why it refused the others.
    pub(super) refused: Vec<Refusal>,
}

impl Poured {
    fn words(&self) -> u64 {
        (self.accepted.len() + self.refused.len()) as u64
    }
}

/// Bundles whose fate is unknown at once: the node closes links that do not hear it out.
const AT_ONCE: usize = 250;

/// The smallest that QUIC allows (RFC 9000, section 14.1).
const DATAGRAM_BYTES: u16 = 1200;

/// An endpoint to dial a peer from. It takes small datagrams only: a node that probes for large ones fills its
/// first congestion window with the probe, and what quinn is told to close just then it closes without a word
/// (<https://github.com/quinn-rs/quinn/issues/2785>). Attacks are judged by that word.
pub(super) fn endpoint(to: std::net::SocketAddr) -> Result<Endpoint, Mishap> {
    let socket = testudo::server::udp(transport::dial_from(to))?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(DATAGRAM_BYTES).map_err(std::io::Error::other)?;
    Ok(Endpoint::new(config, None, socket, Arc::new(TokioRuntime))?)
}

impl RawLink {
    /// Opens a link and presents the identity's own token.
    pub(super) async fn dial(identity: &Identity) -> Result<Self, Mishap> {
        let (endpoint, env) = (endpoint(identity.node)?, System::shared());
        let link = client::dial(&endpoint, identity.node, &identity.client, None, env.clone()).await?;
        let sealed = identity.client.token.seal()?;
        let (identity, token) = (identity.client.clone(), sealed.id());
        let mut link = Self { link, identity, endpoint, env, token, sequence: 0, bundles: 0 };
        match link.present(sealed.bytes()).await? {
            None => Ok(link),
            Some(_) => Err(Mishap::Forgery("the identity's own token is refused")),
        }
    }

    pub(super) const fn session(&self) -> SessionId {
        self.link.welcome.seen.session
    }

    /// Writes a control frame.
    pub(super) async fn say(&mut self, frame: FromAgent) -> Result<(), Mishap> {
        Ok(write_frame(&mut self.link.control, frame.encode()?).await?)
    }

    /// The next control frame.
    async fn hear(&mut self) -> Result<FromNode, Mishap> {
        match self.link.answers.next().await {
            Ok(Some(frame)) => Ok(FromNode::decode(&frame, &Limits::standard())?),
            Ok(None) | Err(testudo::bus::stream::FrameError::Stream(_)) => Err(self.closed().await.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Presents the bytes of a token; the node's refusal, if any.
    pub(super) async fn present(&mut self, token: &[u8]) -> Result<Option<Refusal>, Mishap> {
        self.say(FromAgent::Present(Present { token: token.to_vec() })).await?;
        let shown = TokenId::of(token);
        let answer = |frame| {
            let FromNode::Presented(word) = frame else { return None };
            (word.token == shown).then_some(word.refusal)
        };
        self.until(answer).await
    }

    /// Asks for a topic; the node's refusal, if any.
    pub(super) async fn subscribe(&mut self, topic: Resource) -> Result<Option<Refusal>, Mishap> {
        self.say(FromAgent::Subscribe(Subscription { topic })).await?;
        let answer = |frame| {
            let FromNode::Subscribed(word) = frame else { return None };
            (word.topic == topic).then_some(word.refusal)
        };
        self.until(answer).await
    }

    /// The header of a message that is right in everything.
    pub(super) fn header(&mut self, to: Destination, capability: Capability) -> Header {
        self.sequence += 1;
        let env = &*self.env;
        Header {
            swarm: self.identity.swarm(),
            sender: self.identity.name,
            key: *self.identity.key.public().as_bytes(),
            destination: to,
            capability: Some(capability),
            message: MessageId::new(random(env)),
            timestamp: env.now(),
            session: self.session(),
            lane: 0,
            sequence: Sequence(self.sequence),
            correlation: CorrelationId::new(random(env)),
            in_reply_to: None,
            part: None,
            receipt: ReceiptWish::Accepted,
            trace: None,
            token: self.token,
            ttl: Ttl::default(),
            content_type: ContentType::text(),
        }
    }

    /// Signs messages with this identity's key.
    pub(super) fn sign(&self, messages: &[(Header, &[u8])]) -> Result<Bundle, Mishap> {
        let envelopes = messages.iter().map(|(header, body)| Envelope::encode(*header, body)).collect();
        Ok(Bundle::sign(envelopes, &self.identity.key, &Limits::standard())?)
    }

    /// Writes the bytes of a bundle; its number on this link.
    pub(super) async fn send(&mut self, bundle: &[u8]) -> Result<u64, Mishap> {
        let mut chunks = [prefix(bundle.len()), Bytes::copy_from_slice(bundle)];
        self.link.data.write_all_chunks(&mut chunks).await?;
        self.bundles += 1;
        Ok(self.bundles - 1)
    }

    /// Begins a frame of so many bytes and writes nothing of it; its number on this link.
    pub(super) async fn announce(&mut self, bytes: usize) -> Result<u64, Mishap> {
        self.link.data.write_all_chunks(&mut [prefix(bytes)]).await?;
        self.bundles += 1;
        Ok(self.bundles - 1)
    }

    /// The node's word on a bundle, or on one message of it.
    pub(super) async fn verdict(&mut self, bundle: u64, message: &MessageId) -> Result<String, Mishap> {
        let answer = |frame| {
            if let FromNode::RefusedBundle(refused) = &frame {
                return (refused.bundle == bundle).then(|| refused.refusal.to_string());
            }
            if let FromNode::RefusedMessages(refused) = &frame {
                let one = refused.iter().find(|one| one.message == *message);
                return one.map(|one| one.refusal.to_string());
            }
            let FromNode::Accepted(accepted) = frame else { return None };
            (accepted.bundle == bundle).then(|| "accepted".to_owned())
        };
        self.until(answer).await
    }

    /// Writes bundles of one message each, as fast as it goes, and hears what becomes of them.
    pub(super) async fn pour(&mut self, bundles: &[(MessageId, Bundle)]) -> Result<Poured, Mishap> {
        let (first, mut poured) = (self.bundles, Poured::default());
        for some in bundles.chunks(AT_ONCE) {
            for (_, bundle) in some {
                self.send(bundle.bytes()).await?;
            }
            while first + poured.words() < self.bundles {
                match self.hear().await? {
                    // What became of earlier bundles may come first.
                    FromNode::RefusedBundle(refused) if refused.bundle >= first => {
                        poured.refused.push(refused.refusal);
                    }
                    FromNode::Accepted(accepted) if accepted.bundle >= first => {
                        let at = usize::try_from(accepted.bundle - first).unwrap_or(usize::MAX);
                        poured.accepted.extend(bundles.get(at).map(|(message, _)| *message));
                    }
                    FromNode::RefusedMessages(all) => {
                        let ours = |one: &&RefusedMessage| bundles.iter().any(|(id, _)| *id == one.message);
                        poured.refused.extend(all.iter().filter(ours).map(|one| one.refusal));
                    }
                    FromNode::RefusedBundle(_)
                    | FromNode::Accepted(_)
                    | FromNode::Welcome(_)
                    | FromNode::Presented(_)
                    | FromNode::Settled(_)
                    | FromNode::Subscribed(_)
                    | FromNode::Cancelled(_)
                    | FromNode::Credited(_)
                    | FromNode::Delivered(_)
                    | FromNode::Introduced(_)
                    | FromNode::Lost(_)
                    | FromNode::CopiesRefused(_)
                    | FromNode::Renewed(_)
                    | FromNode::Revoked(_)
                    | FromNode::Trust(_) => {}
                }
            }
        }
        Ok(poured)
    }

    /// Reads control frames until one is what is waited for.
    async fn until<T>(&mut self, wanted: impl Fn(FromNode) -> Option<T>) -> Result<T, Mishap> {
        loop {
            if let Some(found) = wanted(self.hear().await?) {
                return Ok(found);
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.link.connection.close_reason().is_none()
    }

    /// Waits for the link's end and says why it ended.
    pub(super) async fn closed(&self) -> DialError {
        let connection = &self.link.connection;
        client::explain(&connection.closed().await, connection.remote_address())
    }

    /// Leaves in good order, so that the next link displaces nobody.
    pub(super) async fn goodbye(mut self) -> Result<(), Mishap> {
        self.say(FromAgent::Goodbye).await?;
        self.link.connection.closed().await;
        Ok(())
    }
}

impl Drop for RawLink {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
    }
}
