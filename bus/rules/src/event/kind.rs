//! What can happen, as event types of our own namespace, and how serious each is.

use std::fmt;
use std::str::FromStr;

/// What comes before every kind's name in an event's type.
const NAMESPACE: &str = "dev.testudo.";

/// How serious an event is: the numbers and words of OpenTelemetry's logs, which CloudEvents' severity extension
/// took over.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody was refused, or something was lost.
    Warn,
    /// Somebody has to look.
    Error,
}

impl Severity {
    /// OpenTelemetry's number.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Info => 9,
            Self::Warn => 13,
            Self::Error => 17,
        }
    }

    /// OpenTelemetry's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident;)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Kind { $($(#[$doc])* $name,)+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, e.g. `message.refused`; its group is what comes before the dot.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// How serious it is at least.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

kinds! {
    /// A new agent.
    AgentEnrolled = "agent.enrolled", Info;
    /// Somebody may join by an invitation.
    AgentInvited = "agent.invited", Info;
    /// An agent, or a new key of one, by an invitation.
    AgentJoined = "agent.joined", Info;
    /// An agent has a smaller grant.
    AgentNarrowed = "agent.narrowed", Info;
    /// An agent has another grant.
    AgentRegranted = "agent.regranted", Info;
    /// An agent is back.
    AgentReinstated = "agent.reinstated", Info;
    /// A name has a new key.
    AgentRekeyed = "agent.rekeyed", Warn;
    /// An agent is out.
    AgentRevoked = "agent.revoked", Warn;
    /// Bundles refused as a whole.
    BundleRefused = "bundle.refused", Warn;
    /// An invitation was taken back.
    InvitationCancelled = "invitation.cancelled", Info;
    /// An agent was given a new certificate on its link.
    LinkCertified = "link.certified", Info;
    /// A link ended.
    LinkClosed = "link.closed", Info;
    /// Links of one identity displace each other: somebody has a copy of it.
    LinkContested = "link.contested", Error;
    /// A link ended because its agent opened another.
    LinkDisplaced = "link.displaced", Warn;
    /// A link was welcomed.
    LinkOpened = "link.opened", Info;
    /// A link was turned away.
    LinkRefused = "link.refused", Warn;
    /// A link receives a topic.
    LinkSubscribed = "link.subscribed", Info;
    /// A link asked for a topic that it may not have.
    LinkSubscriptionRefused = "link.subscription-refused", Warn;
    /// A link's grant does not cover a topic any longer.
    LinkSubscriptionWithdrawn = "link.subscription-withdrawn", Warn;
    /// A link receives a topic no more.
    LinkUnsubscribed = "link.unsubscribed", Info;
    /// A message may be handed over.
    MessageAllowed = "message.allowed", Info;
    /// A copy of a message was acknowledged by its receiver.
    MessageDelivered = "message.delivered", Info;
    /// A copy of a message was given up before hand-over.
    MessageDropped = "message.dropped", Warn;
    /// A copy of a message was handed over and came to no good end.
    MessageFailed = "message.failed", Warn;
    /// A message was refused.
    MessageRefused = "message.refused", Warn;
    /// A witness cosigned the log.
    NodeCosigned = "node.cosigned", Info;
    /// The node started to send its log to these exporters.
    NodeExporting = "node.exporting", Info;
    /// The log could be written again.
    NodeResumed = "node.resumed", Warn;
    /// The content guard vets by other rules.
    NodeRules = "node.rules", Info;
    /// The node opened its log.
    NodeStarted = "node.started", Info;
    /// The node ended in good order.
    NodeStopped = "node.stopped", Info;
    /// The node goes by this trust statement.
    NodeTrust = "node.trust", Warn;
    /// Outcomes without a single one: of no use, but a record like any other.
    OutcomesNone = "outcomes.none", Info;
    /// A change of the registry that could not be made durable.
    RegistryWithdrawn = "registry.withdrawn", Error;
    /// A token and what was delegated from it is void.
    TokenRevoked = "token.revoked", Warn;
    /// Verdicts on no envelope: of no use, but a record like any other.
    VerdictsNone = "verdicts.none", Info;
}

impl Kind {
    /// The event type, e.g. `dev.testudo.message.refused`.
    #[must_use]
    pub fn type_name(self) -> String {
        format!("{NAMESPACE}{self}")
    }

    /// Whether a filter's word means this kind: its name, or its group, e.g. `message`.
    #[must_use]
    pub fn is(self, word: &str) -> bool {
        let name = self.as_str();
        name == word || name.split_once('.').is_some_and(|(group, _)| group == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ();

    /// The inverse of [`Kind::type_name`].
    fn from_str(text: &str) -> Result<Self, ()> {
        let name = text.strip_prefix(NAMESPACE).ok_or(())?;
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name).ok_or(())
    }
}
