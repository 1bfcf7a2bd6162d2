//! Receipts *delivered*, on the sender's side: who waits for one, and whether a signature stands for it.

use std::collections::{HashMap, VecDeque};

use testudo_wire::frame::{self, is_received};
use testudo_wire::{AgentName, Digest, Holder, MessageId, SessionId, SwarmId};
use tokio::sync::oneshot;

use super::SendError;

/// Wishes that are kept though nobody waits any more.
const GIVEN_UP_MAX: usize = 4096;

/// The receiver's signed word that it verified one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivered {
    /// The message.
    pub message: MessageId,
    /// Its leaf digest.
    pub digest: Digest,
    /// Who signed, proved by its certificate.
    pub receiver: Holder,
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, SendError>>;

#[derive(Debug)]
struct Wish {
    /// Who alone may sign; `None` for any one agent of a service.
    from: Option<AgentName>,
    /// Under which it went.
    session: SessionId,
    digest: Digest,
    /// `None` when nobody waits any more; the digest is still needed for those signed together with it.
    answer: Option<Answer<Delivered>>,
}

/// Who waits for a receiver's receipt.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    wishes: HashMap<MessageId, Wish>,
    given_up: VecDeque<MessageId>,
}

impl Receipts {
    /// A message that is about to be written.
    pub(super) fn wish(
        &mut self,
        message: MessageId,
        (session, digest): (SessionId, Digest),
        from: Option<AgentName>,
        answer: Answer<Delivered>,
    ) {
        let is_given_up = answer.is_closed();
        self.wishes.insert(message, Wish { from, session, digest, answer: Some(answer) });
        if is_given_up {
            self.abandon(&message);
        }
    }

    /// A receiver's statement. All of it counts, or none: messages of one session that wait for just this
    /// receiver, under its signature. `false` when it counts for nothing.
    pub(super) fn delivered(&mut self, word: &frame::Delivered, receiver: &Holder, swarm: &SwarmId) -> bool {
        let first = word.messages.first().and_then(|message| self.wishes.get(message));
        let Some(session) = first.map(|wish| wish.session) else { return false };
        let digest = |message: &MessageId| {
            let wish = self.wishes.get(message).filter(|wish| wish.session == session)?;
            wish.from.is_none_or(|from| from == receiver.name).then_some(wish.digest)
        };
        let digests: Option<Vec<_>> = word.messages.iter().map(digest).collect();
        let Some(digests) = digests else { return false };
        if !is_received(&word.signature, &receiver.key, swarm, &session, &digests) {
            return false;
        }
        for (message, digest) in word.messages.iter().zip(digests) {
            if let Some(answer) = self.wishes.remove(message).and_then(|wish| wish.answer) {
                let _ = answer.send(Ok(Delivered { message: *message, digest, receiver: *receiver }));
            }
        }
        true
    }

    /// There will be none. `false` when nobody waited.
    pub(super) fn fail(&mut self, message: &MessageId, why: SendError) -> bool {
        let Some(wish) = self.wishes.remove(message) else { return false };
        if let Some(answer) = wish.answer {
            let _ = answer.send(Err(why));
        }
        true
    }

    /// Nobody waits any more.
    pub(super) fn abandon(&mut self, message: &MessageId) {
        let Some(wish) = self.wishes.get_mut(message) else { return };
        wish.answer = None;
        self.given_up.push_back(*message);
        if self.given_up.len() > GIVEN_UP_MAX
            && let Some(oldest) = self.given_up.pop_front()
        {
            self.wishes.remove(&oldest);
        }
    }

    /// The link has ended; dropping the answers says so.
    pub(super) fn end(&mut self) {
        self.wishes.clear();
        self.given_up.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testudo_wire::SecretKey;
    use testudo_wire::frame::sign_received;

    const SWARM: SwarmId = SwarmId::new([1; 32]);
    const SESSION: SessionId = SessionId::new([2; 16]);

    fn receiver(seed: u8) -> (SecretKey, Holder) {
        let key = SecretKey::from_seed(&[seed; 32]);
        let holder = Holder { name: AgentName::parse(&format!("r{seed}")).unwrap(), key: key.public() };
        (key, holder)
    }

    fn id(n: u8) -> MessageId {
        MessageId::new([n; 16])
    }

    fn digest(n: u8) -> Digest {
        testudo_wire::tree::leaf(&[n])
    }

    fn word(key: &SecretKey, name: AgentName, signed: &[u8], named: &[u8]) -> frame::Delivered {
        let digests: Vec<_> = signed.iter().map(|n| digest(*n)).collect();
        let signature = sign_received(key, &SWARM, &SESSION, &digests).unwrap();
        frame::Delivered { receiver: name, messages: named.iter().map(|n| id(*n)).collect(), signature }
    }

    #[test]
    fn a_signature_stands_for_just_the_messages_it_was_made_for() {
        let ((key, one), (other_key, other)) = (receiver(1), receiver(2));
        let mut receipts = Receipts::default();
        let mut waiting = Vec::new();
        for n in 0..3 {
            let (answer, word) = oneshot::channel();
            receipts.wish(id(n), (SESSION, digest(n)), Some(one.name), answer);
            waiting.push(word);
        }
        let mut counts = |word: &frame::Delivered, by: &Holder| receipts.delivered(word, by, &SWARM);
        assert!(!counts(&word(&key, one.name, &[0, 1], &[1, 0]), &one), "another order");
        assert!(!counts(&word(&key, one.name, &[0], &[0, 1]), &one), "more than was signed");
        assert!(!counts(&word(&key, one.name, &[0, 9], &[0, 9]), &one), "one that was never sent");
        assert!(!counts(&word(&other_key, one.name, &[0], &[0]), &one), "another key");
        assert!(!counts(&word(&other_key, other.name, &[0], &[0]), &other), "another receiver");
        assert!(counts(&word(&key, one.name, &[0, 1], &[0, 1]), &one));
        assert!(!counts(&word(&key, one.name, &[0, 1], &[0, 1]), &one), "a second time");
        let told = waiting[1].try_recv().unwrap().unwrap();
        assert_eq!(told, Delivered { message: id(1), digest: digest(1), receiver: one });
        assert!(waiting[0].try_recv().is_ok() && waiting[2].try_recv().is_err());
        assert!(receipts.fail(&id(2), SendError::Unknown));
        assert_eq!(waiting[2].try_recv().unwrap(), Err(SendError::Unknown));
    }

    #[test]
    fn any_agent_of_a_service_may_sign() {
        let (key, one) = receiver(1);
        let mut receipts = Receipts::default();
        let (answer, mut told) = oneshot::channel();
        receipts.wish(id(0), (SESSION, digest(0)), None, answer);
        assert!(receipts.delivered(&word(&key, one.name, &[0], &[0]), &one, &SWARM));
        assert_eq!(told.try_recv().unwrap().unwrap().receiver, one);
    }

    #[test]
    fn a_wish_given_up_does_not_spoil_those_signed_together_with_it() {
        let (key, one) = receiver(1);
        let mut receipts = Receipts::default();
        let (answer, mut told) = oneshot::channel();
        receipts.wish(id(0), (SESSION, digest(0)), None, answer);
        for n in [1, 2] {
            let (answer, _) = oneshot::channel();
            receipts.wish(id(n), (SESSION, digest(n)), None, answer);
        }
        receipts.abandon(&id(9));
        assert!(receipts.delivered(&word(&key, one.name, &[1, 0, 2], &[1, 0, 2]), &one, &SWARM));
        assert_eq!(told.try_recv().unwrap().unwrap().message, id(0));
        assert!(receipts.wishes.is_empty());
    }

    #[test]
    fn wishes_given_up_are_bounded() {
        let mut receipts = Receipts::default();
        for n in 0..=GIVEN_UP_MAX as u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            let (answer, _) = oneshot::channel();
            receipts.wish(MessageId::new(id), (SESSION, digest(0)), None, answer);
        }
        assert_eq!((receipts.wishes.len(), receipts.given_up.len()), (GIVEN_UP_MAX, GIVEN_UP_MAX));
    }
}
