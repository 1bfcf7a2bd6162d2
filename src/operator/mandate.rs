//! Who may ask an operator for what: each verb needs a right of its own, and what nobody granted is denied (threat A36).

use std::collections::BTreeSet;

use testudo_wire::amend::{Amendment, Lists};
use testudo_wire::{Capability, Grant};

use super::Request;

/// What can be asked of an operator. One for each kind of [`Request`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// [`Request::AgentAdd`].
    AgentAdd,
    /// [`Request::AgentGrant`].
    AgentGrant,
    /// [`Request::AgentInvite`].
    AgentInvite,
    /// [`Request::AgentList`].
    AgentList,
    /// [`Request::AgentReinstate`].
    AgentReinstate,
    /// [`Request::AgentRenew`].
    AgentRenew,
    /// [`Request::AgentRevoke`].
    AgentRevoke,
    /// [`Request::AgentShow`].
    AgentShow,
    /// [`Request::AuditTail`].
    AuditTail,
    /// [`Request::GuardReload`].
    GuardReload,
    /// [`Request::InvitationCancel`].
    InvitationCancel,
    /// [`Request::InvitationList`].
    InvitationList,
    /// [`Request::Status`].
    Status,
    /// [`Request::TokenMint`].
    TokenMint,
    /// [`Request::TokenRevoke`].
    TokenRevoke,
    /// [`Request::TokenStanding`].
    TokenStanding,
    /// [`Request::TrustRoll`].
    TrustRoll,
    /// [`Request::TrustShow`].
    TrustShow,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::AgentAdd,
        Self::AgentGrant,
        Self::AgentInvite,
        Self::AgentList,
        Self::AgentReinstate,
        Self::AgentRenew,
        Self::AgentRevoke,
        Self::AgentShow,
        Self::AuditTail,
        Self::GuardReload,
        Self::InvitationCancel,
        Self::InvitationList,
        Self::Status,
        Self::TokenMint,
        Self::TokenRevoke,
        Self::TokenStanding,
        Self::TrustRoll,
        Self::TrustShow,
    ];

    /// The right that it needs, as a capability.
    #[must_use]
    pub const fn right(self) -> &'static str {
        match self {
            Self::AgentAdd => "operate:agent-add",
            Self::AgentGrant => "operate:agent-grant",
            Self::AgentInvite => "operate:agent-invite",
            Self::AgentList => "operate:agent-list",
            Self::AgentReinstate => "operate:agent-reinstate",
            Self::AgentRenew => "operate:agent-renew",
            Self::AgentRevoke => "operate:agent-revoke",
            Self::AgentShow => "operate:agent-show",
            Self::AuditTail => "operate:audit-tail",
            Self::GuardReload => "operate:guard-reload",
            Self::InvitationCancel => "operate:invitation-cancel",
            Self::InvitationList => "operate:invitation-list",
            Self::Status => "operate:status",
            Self::TokenMint => "operate:token-mint",
            Self::TokenRevoke => "operate:token-revoke",
            Self::TokenStanding => "operate:token-standing",
            Self::TrustRoll => "operate:trust-roll",
            Self::TrustShow => "operate:trust-show",
        }
    }
}

/// The verb of every right to operate.
const OPERATE: &str = "operate";

impl Verb {
    /// The rights to operate, all of them: what an operator may be given, and what the node's own agent serves.
    #[must_use]
    pub fn rights() -> BTreeSet<Capability> {
        // Each is of the grammar, as a test shows.
        Self::ALL.into_iter().filter_map(|verb| Capability::parse(verb.right()).ok()).collect()
    }

    /// All but to roll the swarm's keys over: what an operator is given who was not given that by its name.
    #[must_use]
    pub fn ordinary() -> BTreeSet<Capability> {
        let mut rights = Self::rights();
        rights.retain(|right| right.as_str() != Self::TrustRoll.right());
        rights
    }
}

/// Whether somebody with this grant is an operator.
pub(crate) fn operates(grant: &Grant) -> bool {
    grant.right.iter().any(|right| Verb::ALL.iter().any(|verb| verb.right() == right.as_str()))
}

impl Request {
    /// What it would give somebody: to exercise, to hand on, to serve.
    fn gives(&self) -> Option<[&BTreeSet<Capability>; 3]> {
        match self {
            Self::AgentAdd { grant, .. } | Self::AgentInvite { grant, .. } => {
                Some([&grant.right, &grant.delegatable, &grant.serve])
            }
            Self::AgentGrant { change, .. } => {
                let Lists { right, serve, delegatable } = &change.add;
                Some([right, delegatable, serve])
            }
            Self::AgentList
            | Self::AgentReinstate { .. }
            | Self::AgentRenew { .. }
            | Self::AgentRevoke { .. }
            | Self::AgentShow { .. }
            | Self::AuditTail { .. }
            | Self::GuardReload
            | Self::InvitationCancel { .. }
            | Self::InvitationList
            | Self::Status
            | Self::TokenMint { .. }
            | Self::TokenRevoke { .. }
            | Self::TokenStanding { .. }
            | Self::TrustRoll { .. }
            | Self::TrustShow => None,
        }
    }

    /// What it asks.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::AgentAdd { .. } => Verb::AgentAdd,
            Self::AgentGrant { .. } => Verb::AgentGrant,
            Self::AgentInvite { .. } => Verb::AgentInvite,
            Self::AgentList => Verb::AgentList,
            Self::AgentReinstate { .. } => Verb::AgentReinstate,
            Self::AgentRenew { .. } => Verb::AgentRenew,
            Self::AgentRevoke { .. } => Verb::AgentRevoke,
            Self::AgentShow { .. } => Verb::AgentShow,
            Self::AuditTail { .. } => Verb::AuditTail,
            Self::GuardReload => Verb::GuardReload,
            Self::InvitationCancel { .. } => Verb::InvitationCancel,
            Self::InvitationList => Verb::InvitationList,
            Self::Status => Verb::Status,
            Self::TokenMint { .. } => Verb::TokenMint,
            Self::TokenRevoke { .. } => Verb::TokenRevoke,
            Self::TokenStanding { .. } => Verb::TokenStanding,
            Self::TrustRoll { .. } => Verb::TrustRoll,
            Self::TrustShow => Verb::TrustShow,
        }
    }
}

/// Which rights to operate somebody may give others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Gives {
    #[default]
    None,
    Own,
    Any,
}

/// What somebody may ask. Nothing, unless it says so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mandate {
    verbs: BTreeSet<Verb>,
    gives: Gives,
}

impl Mandate {
    /// Everything: whoever can open the operator's socket owns the folder, and could change it by other means.
    #[must_use]
    pub fn owner() -> Self {
        Self { verbs: Verb::ALL.into(), gives: Gives::Any }
    }

    /// What these capabilities name, and nothing else.
    #[must_use]
    pub fn of(rights: &BTreeSet<Capability>) -> Self {
        let named = |verb: &Verb| rights.iter().any(|right| right.to_string() == verb.right());
        Self { verbs: Verb::ALL.into_iter().filter(named).collect(), gives: Gives::Own }
    }

    /// The same, but nobody is made an operator under it.
    #[must_use]
    pub fn giving_none(self) -> Self {
        Self { gives: Gives::None, ..self }
    }

    /// Whether this may be asked.
    #[must_use]
    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// Checks a request: its verb, and that it makes nobody an operator of more than whoever asks is, nor of less. Else
    /// whoever may enrol could enrol itself anew, with everything. Of a change of a grant [`Self::covers_change`] says
    /// the rest.
    ///
    /// # Errors
    /// The right that is missing, in a line.
    pub(crate) fn covers(&self, request: &Request) -> Result<(), String> {
        let verb = request.verb();
        if !self.allows(verb) {
            return Err(format!("not allowed; it needs the right {}", verb.right()));
        }
        if self.gives == Gives::Any {
            return Ok(());
        }
        let Some([right, delegatable, serve]) = request.gives() else { return Ok(()) };
        // Operators' requests are served by the node alone; only the machine's owner may have it otherwise.
        let served = serve.iter().find(|right| is_of_operators(right));
        if let Some(beyond) = served.or_else(|| self.beyond(right.iter().chain(delegatable))) {
            return Err(format!(
                "not allowed; nobody gives {beyond} who has not got it, or has it under a token that was handed on: ask the owner \
                 of the machine"
            ));
        }
        let Request::AgentGrant { change, .. } = request else { return Ok(()) };
        if change.delegated_only == Some(false) {
            // It could free itself.
            return Err(
                "not allowed; only the owner of the machine gives an agent authority of its own back".into(),
            );
        }
        let Lists { right, serve, delegatable } = &change.remove;
        let served = serve.iter().find(|right| is_of_operators(right));
        served
            .or_else(|| self.beyond(right.iter().chain(delegatable)))
            .map_or(Ok(()), |beyond| Err(not_taken(beyond)))
    }

    /// Checks a change of a grant against what that is: nobody but the owner raises a quota, its own included, and nobody
    /// else slows down or binds an operator of more than itself.
    ///
    /// # Errors
    /// What is not allowed, in a line.
    pub(crate) fn covers_change(&self, old: &Grant, change: &Amendment) -> Result<(), String> {
        if self.gives == Gives::Any {
            return Ok(());
        }
        let quota = change.bundles_per_second.filter(|quota| *quota != old.quota.bundles_per_second);
        if quota.is_some_and(|quota| quota > old.quota.bundles_per_second) {
            return Err("not allowed; only the owner of the machine lets an agent send more a second".into());
        }
        let hinders = quota.is_some() || (change.delegated_only == Some(true) && !old.delegated_only);
        let beyond = self.beyond(old.right.iter().chain(&old.delegatable)).filter(|_| hinders);
        beyond.map_or(Ok(()), |beyond| Err(not_taken(beyond)))
    }

    /// A right to operate among these that whoever asks has not got to give or to take.
    fn beyond<'a>(&self, mut rights: impl Iterator<Item = &'a Capability>) -> Option<&'a Capability> {
        let own = |right: &Capability| {
            self.gives == Gives::Own && self.verbs.iter().any(|verb| verb.right() == right.as_str())
        };
        rights.find(|right| is_of_operators(right) && !own(right))
    }
}

fn is_of_operators(right: &Capability) -> bool {
    right.verb() == OPERATE
}

fn not_taken(right: &Capability) -> String {
    format!(
        "not allowed; nobody takes {right} from an operator, nor binds or slows down one who has it, without having it, or \
         under a token that was handed on: ask the owner of the machine"
    )
}
