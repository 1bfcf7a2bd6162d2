//! The attacks, by name, each with the one answer that it must get. How they are made stands in the modules
//! below: [`forge`] changes bytes, [`messages`], [`deliveries`] and [`delegations`] send, [`links`] breaks the link.

mod delegations;
mod deliveries;
mod forge;
mod links;
mod messages;

use std::time::Duration;

use super::mishap::Mishap;
use super::stage::Stage;
use super::{Attack, Favour};

macro_rules! tricks {
    ($($name:ident = $words:literal, $expected:literal;)+) => {
        /// One attack.
        #[derive(Clone, Copy)]
        pub(super) enum Trick { $($name,)+ }

        impl Trick {
            /// Every attack, in the order of play: those that end the link are late, the revocation is last.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)+];

            const fn name(self) -> &'static str {
                match self { $(Self::$name => $words,)+ }
            }

            /// The answer that it must get.
            pub(super) const fn expected(self) -> &'static str {
                match self { $(Self::$name => $expected,)+ }
            }
        }
    };
}

tricks! {
    ReplaySameLink = "replay on the same link", "replayed";
    ReplayOtherLink = "replay of another link's capture", "wrong session";
    ForgedSender = "forged sender", "wrong peer";
    ForgedIdentity = "forged sender with its key", "wrong peer";
    WrongKey = "wrong key", "unauthentic";
    ReAddressed = "re-addressed envelope", "unauthentic";
    StolenToken = "stolen token", "unauthorised";
    UnseenToken = "token never presented", "unauthorised";
    Widened = "widened delegation", "unauthorised";
    StrangersDelegation = "delegation by a stranger", "unauthorised";
    ReWrapped = "re-wrapped delegation after revocation", "revoked";
    ExpiredToken = "expired token", "expired token";
    Datalog = "datalog block", "foreign block";
    Wildcard = "wildcard scope", "malformed";
    NonCanonical = "non-canonical encoding", "malformed";
    Pruned = "pruned bundle", "malformed";
    Stale = "stale timestamp", "stale";
    Future = "future timestamp", "stale";
    Poisoned = "poisoned content", "poisoned";
    UnknownReceiver = "unknown receiver", "unroutable";
    NotServed = "capability not served", "unroutable";
    Unasked = "reply without a request", "unauthorised";
    InAnothersPlace = "reply in another's place", "unauthorised";
    Unserved = "service without the grant", "unroutable";
    Subscribing = "subscribing without right", "unauthorised";
    Publishing = "publishing without right", "unauthorised";
    Flood = "flood", "over quota";
    Oversized = "oversized frame", "oversized";
    OthersHeartbeat = "heartbeat for another agent", "broke the protocol";
    SecondHello = "second hello", "broke the protocol";
    Acknowledging = "acknowledgement for another", "broke the protocol";
    SigningFor = "receipt for another", "broke the protocol";
    Posing = "posing as a node", "not a node";
    SlowReader = "slow reader", "reads too slowly";
    AfterRevocation = "sending after revocation", "revoked";
    Inherited = "delegation of a revoked agent", "revoked";
}

impl Trick {
    /// Longest wait for what it brings: a flood is long, and the node lets a slow reader be for seconds.
    pub(super) const fn patience(self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Flood | Self::SlowReader) { 10 } else { 3 })
    }

    /// What came of it.
    pub(super) fn came_to(self, refused: bool, reason: String) -> Attack {
        Attack { name: self.name().to_owned(), refused, reason, expected: self.expected().to_owned() }
    }

    /// Tries it; the answer in words.
    pub(super) async fn play<D>(self, stage: &mut Stage<'_>, desk: &mut D) -> Result<String, Mishap>
    where
        D: AsyncFnMut(Favour) -> Result<(), String>,
    {
        match self {
            Self::ReplaySameLink => messages::replay_same_link(stage).await,
            Self::ReplayOtherLink => messages::replay_other_link(stage).await,
            Self::ForgedSender => messages::forged_sender(stage).await,
            Self::ForgedIdentity => messages::forged_identity(stage).await,
            Self::WrongKey => messages::wrong_key(stage).await,
            Self::ReAddressed => messages::re_addressed(stage).await,
            Self::StolenToken => messages::stolen_token(stage).await,
            Self::UnseenToken => messages::unseen_token(stage).await,
            Self::Widened => delegations::widened(stage).await,
            Self::StrangersDelegation => delegations::by_a_stranger(stage).await,
            Self::ReWrapped => delegations::re_wrapped(stage, desk).await,
            Self::ExpiredToken => messages::expired_token(stage).await,
            Self::Datalog => delegations::datalog(stage).await,
            Self::Wildcard => messages::wildcard(stage).await,
            Self::NonCanonical => messages::non_canonical(stage).await,
            Self::Pruned => messages::pruned(stage).await,
            Self::Stale => messages::stale(stage).await,
            Self::Future => messages::future(stage).await,
            Self::Poisoned => messages::poisoned(stage).await,
            Self::UnknownReceiver => messages::unknown_receiver(stage).await,
            Self::NotServed => messages::not_served(stage).await,
            Self::Unasked => messages::unasked(stage).await,
            Self::InAnothersPlace => deliveries::in_anothers_place(stage).await,
            Self::Unserved => deliveries::unserved(stage).await,
            Self::Subscribing => deliveries::subscribing(stage).await,
            Self::Publishing => deliveries::publishing(stage).await,
            Self::Flood => deliveries::flood(stage).await,
            Self::Oversized => links::oversized(stage).await,
            Self::OthersHeartbeat => links::others_heartbeat(stage).await,
            Self::SecondHello => links::second_hello(stage).await,
            Self::Acknowledging => deliveries::acknowledging(stage).await,
            Self::SigningFor => deliveries::signing_for(stage).await,
            Self::SlowReader => stage.slow_reader.end().await,
            Self::Posing => links::posing(stage).await,
            Self::AfterRevocation => links::after_revocation(stage, desk).await,
            Self::Inherited => delegations::inherited(stage).await,
        }
    }
}
