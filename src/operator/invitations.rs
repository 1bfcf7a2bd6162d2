//! Invitations as operators ask for them, and who decides at the join port: the operator's own book-keeping again.
//!
//! The seed of an invitation is made where the invitation is printed; here only its public key is known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use testudo_bus::env::random;
use testudo_bus::join::{Decision, Desk, PortState, Question, Turned};
use testudo_registry::{EnrolError, Invitation, InvitationState, JoinError, Newcomer, VerbError};
use testudo_rules::token::Token;
use testudo_wire::join::{JoinRefusal, JoinToken, Joined};
use testudo_wire::trust::SignedStatement;
use testudo_wire::{
    AgentName, CaFingerprint, Grant, Holder, InvitationId, Limits, PublicKey, RegistrySequence, SecretKey,
    SwarmId, Timestamp,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Answer, Credentials, Done, Operator, words};
use crate::swarm::all_from_pem;

/// A socket is had or refused well within this.
const OPENING: Duration = Duration::from_secs(5);
/// The longest life of an invitation: whoever needs longer makes another.
pub const INVITATION_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;

/// Where newcomers will find the node.
#[derive(Clone, Debug)]
pub enum JoinDoor {
    /// At the running node's port.
    Port(watch::Receiver<PortState>),
    /// No node runs: where the next one will listen.
    Configured(SocketAddr),
}

/// What the printer of an invitation needs besides its seed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Invited {
    /// Which one it is.
    pub id: InvitationId,
    /// Until when it is good.
    pub until: Timestamp,
    /// The join port.
    pub address: SocketAddr,
    /// The swarm: the fingerprint of the authority's key.
    pub swarm: SwarmId,
    /// The fingerprint of the CA's certificate.
    pub ca: CaFingerprint,
    /// The number of the registry's change.
    pub sequence: RegistrySequence,
}

impl Invited {
    /// The whole invitation, for whoever made its seed.
    #[must_use]
    pub const fn token(&self, key: SecretKey) -> JoinToken {
        let Self { id, until, address, swarm, ca, .. } = *self;
        JoinToken { address, swarm, ca, id, until, key }
    }
}

/// One invitation for a list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct InvitationLine {
    /// Which one.
    pub id: InvitationId,
    /// Who is invited.
    pub name: AgentName,
    /// Where it is in its life.
    pub state: String,
    /// Until when it is good, in milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// What the agent will be allowed.
    pub grant: Grant,
    /// Wrong signatures so far.
    pub wrong_signatures: u8,
    /// The key that joined with it.
    pub spent_by: Option<PublicKey>,
}

impl InvitationLine {
    fn of((invitation, state): (Invitation, InvitationState)) -> Self {
        Self {
            id: invitation.id,
            name: invitation.name,
            state: state.as_str().to_owned(),
            until_ms: invitation.until.as_millis(),
            grant: invitation.grant.as_ref().clone(),
            wrong_signatures: invitation.misses,
            spent_by: invitation.spent,
        }
    }
}

impl JoinDoor {
    /// Where to dial, once somebody may; `host` instead of an address that is none to dial.
    async fn address(&mut self, host: Option<IpAddr>) -> Result<SocketAddr, String> {
        let at = match self {
            Self::Configured(at) if at.port() == 0 => {
                return Err("node.join has no fixed port; start the node first, or set one".into());
            }
            Self::Configured(at) => *at,
            Self::Port(state) => {
                let known = timeout(OPENING, state.wait_for(|state| *state != PortState::Closed)).await;
                match known.map(|known| known.map(|state| state.clone())) {
                    Ok(Ok(PortState::Open(at))) => at,
                    Ok(Ok(PortState::Failed(why))) => {
                        return Err(format!(
                            "the join port cannot be opened ({why}); set node.join to a free address"
                        ));
                    }
                    Ok(Ok(PortState::Closed) | Err(_)) | Err(_) => {
                        return Err("the join port does not open; see the node's own messages".into());
                    }
                }
            }
        };
        match host {
            Some(host) => Ok(SocketAddr::new(host, at.port())),
            None if at.ip().is_unspecified() => Err(format!(
                "the node listens on every address of {at}; say with --host by which of them newcomers reach it"
            )),
            None => Ok(at),
        }
    }
}

impl Operator {
    pub(super) async fn invite(
        &self,
        name: AgentName,
        key: PublicKey,
        grant: Grant,
        lifetime: Duration,
        host: Option<IpAddr>,
    ) -> Done {
        if lifetime.is_zero() || lifetime.as_secs() > INVITATION_SECONDS_MAX {
            return Err(format!(
                "an invitation lives 1 to {INVITATION_SECONDS_MAX} seconds; give it such a --ttl"
            ));
        }
        if self.agents_ca().is_some() {
            return Err("this node's agents are certified by the PKI service of [issuer], which a newcomer cannot ask; \
                        use `testudo agent add`"
                .into());
        }
        let (registry, id) = (&self.office.registry, InvitationId::new(random(&*self.env)));
        let until = self.env.now().after(lifetime);
        let invitation = Invitation { id, key, name, grant: Arc::new(grant), until, misses: 0, spent: None };
        let sequence = registry.invite(invitation).await.map_err(words)?;
        match self.join.clone().address(host).await {
            Ok(address) => {
                let ca = CaFingerprint::of(self.office.roots.load().own().certificate());
                let swarm = self.swarm;
                Ok(Answer::Invited(Box::new(Invited { id, until, address, swarm, ca, sequence })))
            }
            Err(why) => {
                // Nobody will ever hold it.
                registry.uninvite(id).await.map_err(words)?;
                Err(why)
            }
        }
    }

    pub(super) async fn invitations(&self) -> Done {
        let invitations = self.office.registry.invitations().await.map_err(words)?;
        Ok(Answer::Invitations { invitations: invitations.into_iter().map(InvitationLine::of).collect() })
    }

    /// `which` is an id, or the name on the invitation that is outstanding, or on the only one.
    pub(super) async fn uninvite(&self, which: &str) -> Done {
        let registry = &self.office.registry;
        let all = registry.invitations().await.map_err(words)?;
        let by_id = all.iter().find(|(one, _)| one.id.to_string() == which);
        let mut named: Vec<_> = all.iter().filter(|(one, _)| one.name.as_str() == which).collect();
        if named.len() > 1 {
            named.retain(|(_, state)| *state == InvitationState::Outstanding);
        }
        let found = by_id.or_else(|| named.first().copied());
        let (one, _) =
            found.ok_or_else(|| format!("no invitation {which}; see `testudo agent invite --list`"))?;
        Ok(Answer::Changed { sequence: registry.uninvite(one.id).await.map_err(words)? })
    }

    async fn let_in(&self, newcomer: Newcomer) -> Result<Joined, Turned> {
        if self.agents_ca().is_some() {
            let why = "agents are certified by a PKI service now, which a newcomer cannot ask".to_owned();
            return Err(Turned { refusal: JoinRefusal::Unavailable, agent: None, why });
        }
        let registry = &self.office.registry;
        // The number before the grant: a grant that shrinks in between voids the token.
        let minted = registry.directory().sequence();
        let view = registry.join(newcomer).await.map_err(turned)?;
        let made = self.credentials(view.holder, &view.grant, minted, None).await;
        let rooted = self.office.roots.load().clone();
        let handed = made.map(|made| self.hand_out(view.holder.name, made));
        handed.and_then(|credentials| joined(view.holder, &credentials, rooted.after(0))).map_err(|why| {
            // It is enrolled: the same key may ask again for what could not be made now.
            tracing::error!(agent = %view.holder.name, why, "a newcomer is enrolled but has no credentials yet");
            Turned { refusal: JoinRefusal::Unavailable, agent: Some(view.holder.name), why }
        })
    }
}

impl Desk for Operator {
    fn admit(&self, question: Question) -> Decision<'_> {
        // The embedded CA certifies the key, whatever the request says besides.
        Box::pin(self.let_in(question.newcomer))
    }
}

/// What goes over the wire of what goes into an identity file.
fn joined(
    holder: Holder,
    credentials: &Credentials,
    statements: &[SignedStatement],
) -> Result<Joined, String> {
    let trust: Result<Vec<_>, _> =
        statements.iter().map(|signed| signed.encode().map(ByteBuf::from)).collect();
    let chain = |text: &str| all_from_pem(text).ok_or_else(|| "a certificate that is none".to_owned());
    let ca = chain(&credentials.ca)?.first().map(|ca| ByteBuf::from(ca.to_vec()));
    let token =
        Token::from_text(&credentials.token, &Limits::standard()).map_err(|error| error.to_string())?;
    Ok(Joined {
        name: holder.name,
        node: credentials.node,
        authority: credentials.authority,
        ca: ca.ok_or("no CA")?,
        chain: chain(&credentials.certificate)?.iter().map(|one| ByteBuf::from(one.to_vec())).collect(),
        token: ByteBuf::from(token.bytes().to_vec()),
        trust: trust.map_err(|error| error.to_string())?,
    })
}

fn turned(error: VerbError<JoinError>) -> Turned {
    let (refusal, agent) = match &error {
        VerbError::Refused(refused) => refusal(refused),
        VerbError::Closed | VerbError::NotYetDurable { .. } | VerbError::Unavailable => {
            (JoinRefusal::Unavailable, None)
        }
    };
    Turned { refusal, agent, why: error.to_string() }
}

const fn refusal(error: &JoinError) -> (JoinRefusal, Option<AgentName>) {
    match error {
        JoinError::Unknown => (JoinRefusal::Unknown, None),
        JoinError::Expired(name) => (JoinRefusal::Expired, Some(*name)),
        JoinError::Void(name) => (JoinRefusal::Void, Some(*name)),
        JoinError::Used(name) => (JoinRefusal::Used, Some(*name)),
        JoinError::WrongSignature(name) => (JoinRefusal::WrongSignature, Some(*name)),
        JoinError::Out(name) => (JoinRefusal::Key, Some(*name)),
        JoinError::Enrol(name, error) => match error {
            EnrolError::BurntKey
            | EnrolError::Exists
            | EnrolError::Held
            | EnrolError::KeyInUse
            | EnrolError::Reserved => (JoinRefusal::Key, Some(*name)),
            EnrolError::Full => (JoinRefusal::Full, Some(*name)),
            EnrolError::DelegatableBeyondRight | EnrolError::NoQuota | EnrolError::TooManyCapabilities => {
                (JoinRefusal::Unavailable, Some(*name))
            }
        },
    }
}
