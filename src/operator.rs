//! What an operator may ask, as data, and the one place that does it: the same through a running node's socket
//! and, when no node runs, on its folder.
//!
//! Whoever may open the socket (a file of mode 0600 in the data folder) is the owner and may ask everything. Everybody
//! else is an agent that asks the node's own one, [`OFFICE`], by a message under a capability token: what that token
//! lets it do of [`Verb::rights`] is its mandate.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use testudo_bus::env::{SharedEnv, random};
use testudo_bus::node::Office;
use testudo_bus::roots::Keep;
use testudo_bus::tls::{self, Ask, Csr, Issuer, LIFETIME};
use testudo_registry::{AgentView, VerbError};
use testudo_rules::token::{Fresh, Link, Mint};
use testudo_wire::amend::Amendment;
use testudo_wire::standing::RevocationCause;
use testudo_wire::{
    AgentName, Capability, Grant, Holder, PublicKey, RegistrySequence, SpiffeId, SwarmId, Timestamp,
    TokenFactId,
};
use tokio::task::spawn_blocking;

use crate::export::ExporterStatus;
use crate::health::Report;
use crate::packs::InUse;
use crate::swarm::pem;

mod invitations;
mod mandate;
mod one;
mod records;
mod remote;
mod standing;
mod traffic;
mod trust;

pub use invitations::{INVITATION_SECONDS_MAX, InvitationLine, Invited, JoinDoor};
pub(crate) use mandate::operates;
pub use mandate::{Mandate, Verb};
pub use one::{AgentDetail, LinkLine};
pub use records::{LINES_MAX, Wanted};
pub use remote::{Remote, RemoteError};
pub use standing::{ChainStanding, LinkStanding};
pub use traffic::{TrafficLine, WaitingLine};
pub use trust::{Roll, TrustView};

/// The name of the node's own agent, whom operators ask. Nobody else has it.
pub const OFFICE: &str = "office";

/// Longest answer, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Times that a token may be handed on when nobody says.
pub const HOPS: u8 = 3;

/// A request of an operator.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Request {
    /// Enrol an agent whose key was made elsewhere.
    AgentAdd {
        /// Its name.
        name: AgentName,
        /// Its public key.
        key: PublicKey,
        /// What it may do.
        grant: Grant,
        /// Its certificate request in PEM, by that key; a PKI service needs it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        csr: Option<String>,
    },
    /// A fresh certificate and token for an enrolled agent.
    AgentRenew {
        /// Its name.
        name: AgentName,
        /// Its certificate request in PEM; a PKI service needs it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        csr: Option<String>,
    },
    /// Change what an enrolled agent may do.
    AgentGrant {
        /// Its name.
        name: AgentName,
        /// What comes and what goes.
        change: Box<Amendment>,
    },
    /// All agents.
    AgentList,
    /// One agent, with its links.
    AgentShow {
        /// Its name.
        name: AgentName,
    },
    /// Let somebody join who has the seed of this key.
    AgentInvite {
        /// The name that it will have.
        name: AgentName,
        /// The public half of the invitation's seed.
        key: PublicKey,
        /// What it will be allowed.
        grant: Grant,
        /// Seconds to live.
        seconds: u64,
        /// The address by which newcomers reach the node, instead of the one that it listens on.
        host: Option<IpAddr>,
    },
    /// All invitations.
    InvitationList,
    /// Take an invitation back.
    InvitationCancel {
        /// Its id, or the name on it.
        which: String,
    },
    /// Put an agent out.
    AgentRevoke {
        /// Its name.
        name: AgentName,
        /// Why.
        cause: RevocationCause,
    },
    /// Bring a silent or failed agent back.
    AgentReinstate {
        /// Its name.
        name: AgentName,
    },
    /// Mint a token for an enrolled agent, within its grant.
    TokenMint {
        /// The holder.
        name: AgentName,
        /// What it may do; empty for the whole grant.
        rights: BTreeSet<Capability>,
        /// What it may hand on.
        delegatable: BTreeSet<Capability>,
        /// Seconds to live.
        seconds: u64,
        /// Times that it may be handed on.
        hops: u8,
    },
    /// Void a token and everything delegated from it.
    TokenRevoke {
        /// The id of one of its blocks.
        id: TokenFactId,
    },
    /// Whether everyone in a token's chain is in good standing. Never shows the token itself.
    TokenStanding {
        /// The holders of its chain and the ids of their blocks.
        chain: Vec<Link>,
        /// The registry's sequence when it was minted.
        minted: RegistrySequence,
    },
    /// The end of the audit log.
    AuditTail {
        /// What of it.
        wanted: Wanted,
    },
    /// What the swarm trusts.
    TrustShow,
    /// Make the next trust statement.
    TrustRoll {
        /// What is to change.
        roll: Roll,
        /// Whoever still depends on what is retired is put out.
        force: bool,
    },
    /// Read the content guard's packs of rules again.
    GuardReload,
    /// How the node is.
    Status,
}

/// What an operator hears. May hold an unsealed token: never printed.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "done")]
pub enum Answer {
    /// One agent.
    Agent(Box<AgentDetail>),
    /// An agent's credentials.
    Credentials(Box<Credentials>),
    /// Agents.
    Agents {
        /// By name.
        agents: Vec<AgentLine>,
    },
    /// A change is in effect and durable.
    Changed {
        /// Its number.
        sequence: RegistrySequence,
    },
    /// Records of the audit log.
    Records {
        /// One each, oldest first.
        lines: Vec<String>,
    },
    /// The content guard's packs are in use.
    Rules(InUse),
    /// Somebody may join.
    Invited(Box<Invited>),
    /// Invitations.
    Invitations {
        /// By id.
        invitations: Vec<InvitationLine>,
    },
    /// How those in a token's chain stand.
    Standing(ChainStanding),
    /// A token, unsealed: for its holder only.
    Token {
        /// Its text.
        token: String,
    },
    /// What the swarm trusts.
    Trust(Box<TrustView>),
    /// The node's own word on itself.
    Status(Box<Status>),
    /// It was not done.
    Refused {
        /// Why, and what to do.
        error: String,
    },
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Agent(_) => "Agent",
            Self::Agents { .. } => "Agents",
            Self::Changed { .. } => "Changed",
            Self::Credentials(_) => "Credentials",
            Self::Invitations { .. } => "Invitations",
            Self::Invited(_) => "Invited",
            Self::Records { .. } => "Records",
            Self::Refused { .. } => "Refused",
            Self::Rules(_) => "Rules",
            Self::Standing(_) => "Standing",
            Self::Status(_) => "Status",
            Self::Token { .. } => "Token",
            Self::Trust(_) => "Trust",
        })
    }
}

/// What goes into an identity file besides the key. Holds an unsealed token: never printed.
#[derive(Clone, Deserialize, Serialize)]
pub struct Credentials {
    /// Where the node listens.
    pub node: SocketAddr,
    /// The authority's key.
    pub authority: PublicKey,
    /// The CA of the nodes in PEM.
    pub ca: String,
    /// The CAs of the agents in PEM, where they are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents_ca: Option<String>,
    /// The agent's certificate in PEM.
    pub certificate: String,
    /// Its token, unsealed.
    pub token: String,
    /// The trust statement in force, in hex; none in a swarm that has made none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Credentials that nobody holds yet.
struct Made {
    credentials: Credentials,
    /// The trust statement that they are by.
    under: u64,
    /// The end of the certificate.
    until: Timestamp,
}

/// One agent for a list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AgentLine {
    /// Its name.
    pub name: AgentName,
    /// Where it is in its life.
    pub state: String,
    /// Its key.
    pub key: PublicKey,
    /// What it may do.
    pub grant: Grant,
    /// Tokens minted before are void.
    pub valid_from: RegistrySequence,
    /// When it was last heard, in milliseconds since the Unix epoch.
    pub last_seen_ms: Option<u64>,
    /// The latest end of the certificates that it was given since this node started, in milliseconds since the Unix
    /// epoch. All of them are on the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until_ms: Option<u64>,
}

impl AgentLine {
    fn of(view: &AgentView, certified_until: Option<Timestamp>) -> Self {
        let state = match view.state {
            testudo_wire::State::Active => "active".to_owned(),
            testudo_wire::State::Enrolled => "enrolled".to_owned(),
            testudo_wire::State::Offline => "offline".to_owned(),
            testudo_wire::State::Revoked(cause) => format!("revoked ({})", cause_word(cause)),
        };
        Self {
            name: view.holder.name,
            state,
            key: view.holder.key,
            grant: view.grant.as_ref().clone(),
            valid_from: view.valid_from,
            last_seen_ms: view.last_seen.map(Timestamp::as_millis),
            certificate_until_ms: certified_until.map(Timestamp::as_millis),
        }
    }
}

const fn cause_word(cause: RevocationCause) -> &'static str {
    match cause {
        RevocationCause::Compromised => "compromised",
        RevocationCause::Failed => "failed",
        RevocationCause::Operator => "operator",
        RevocationCause::Silent => "silent",
    }
}

/// How a node is, in numbers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Status {
    /// Open links by agent.
    pub linked: Vec<AgentName>,
    /// The account: submitted, delivered, failed, dropped, queued, in flight.
    pub account: serde_json::Value,
    /// Messages refused, by reason.
    pub refusals: Vec<(String, u64)>,
    /// Bundles refused whole.
    pub bundles_refused: u64,
    /// Records on the audit log, with those that retention removed.
    pub audit_records: u64,
    /// The first one that is there.
    #[serde(default)]
    pub audit_first: u64,
    /// How many are on disk for good.
    #[serde(default)]
    pub audit_durable: u64,
    /// Every check of a running node.
    #[serde(default)]
    pub health: Option<Report>,
    /// The number of the registry's latest change.
    pub registry: u64,
    /// The number of the trust statement in force; 0 before the first.
    #[serde(default)]
    pub trust: u64,
    /// How the exporters are.
    #[serde(default)]
    pub exporters: Vec<ExporterStatus>,
    /// What goes on with each linked agent, by name.
    #[serde(default)]
    pub traffic: Vec<TrafficLine>,
}

/// Does what operators ask.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Registry, capability actor, log.
    pub office: Office,
    /// Who certifies the agents.
    pub issuer: Arc<dyn Issuer>,
    /// The swarm.
    pub swarm: SwarmId,
    /// The public key of the swarm's first authority, whose fingerprint its id is.
    pub authority: PublicKey,
    /// Where agents dial.
    pub node: SocketAddr,
    /// Where newcomers dial.
    pub join: JoinDoor,
    /// The longest life of a token that is minted on request, in days.
    pub token_days_max: u16,
    /// Clock and dice.
    pub env: SharedEnv,
    /// Where keys are kept that are made for a rollover.
    pub keep: Arc<dyn Keep>,
}

type Done = Result<Answer, String>;

fn words<E: std::error::Error>(error: VerbError<E>) -> String {
    error.to_string()
}

impl Operator {
    /// Does one request of somebody with a mandate, if it covers that.
    pub async fn answer_for(&self, mandate: &Mandate, request: Request) -> Answer {
        match self.covered(mandate, &request).await {
            Ok(()) => self.answer(request).await,
            Err(error) => Answer::Refused { error },
        }
    }

    async fn covered(&self, mandate: &Mandate, request: &Request) -> Result<(), String> {
        mandate.covers(request)?;
        let Request::AgentGrant { name, change } = request else { return Ok(()) };
        // Whoever is not enrolled is named by the registry.
        let view = self.office.registry.get(*name).await.map_err(words)?;
        view.map_or(Ok(()), |view| mandate.covers_change(&view.grant, change))
    }

    /// Does one request. The node's own status is added by whoever runs a node.
    pub async fn answer(&self, request: Request) -> Answer {
        self.done(request).await.unwrap_or_else(|error| Answer::Refused { error })
    }

    async fn done(&self, request: Request) -> Done {
        let registry = &self.office.registry;
        match request {
            Request::AgentAdd { name, key, grant, csr } => {
                let holder = Holder { name, key };
                // First everything that may fail without a trace: an agent is enrolled with credentials, or
                // not at all. Before it is enrolled they are good for nothing.
                let minted = registry.directory().sequence();
                let made = self.credentials(holder, &grant, minted, csr).await?;
                registry.enrol(holder, grant).await.map_err(words)?;
                Ok(Answer::Credentials(Box::new(self.hand_out(name, made))))
            }
            Request::AgentRenew { name, csr } => {
                // The number before the grant: a grant that shrinks in between voids the token.
                let minted = registry.directory().sequence();
                let view = self.view(name).await?;
                if !view.state.is_good() {
                    return Err(format!("{name} is revoked; see `testudo agent list`"));
                }
                let made = self.credentials(view.holder, &view.grant, minted, csr).await?;
                Ok(Answer::Credentials(Box::new(self.hand_out(name, made))))
            }
            Request::AgentGrant { name, change } => self.grant(name, *change).await,
            Request::AgentShow { name } => self.show(name).await,
            Request::AgentList => {
                let agents = registry.list().await.map_err(words)?;
                Ok(Answer::Agents { agents: agents.iter().map(|view| self.line(view)).collect() })
            }
            Request::AgentInvite { name, key, grant, seconds, host } => {
                self.invite(name, key, grant, Duration::from_secs(seconds), host).await
            }
            Request::InvitationList => self.invitations().await,
            Request::InvitationCancel { which } => self.uninvite(&which).await,
            Request::AgentRevoke { name, cause } => {
                Ok(Answer::Changed { sequence: registry.revoke(name, cause).await.map_err(words)? })
            }
            Request::AgentReinstate { name } => {
                Ok(Answer::Changed { sequence: registry.reinstate(name).await.map_err(words)? })
            }
            Request::TokenMint { name, rights, delegatable, seconds, hops } => {
                self.mint(name, rights, delegatable, Duration::from_secs(seconds), hops).await
            }
            Request::TokenRevoke { id } => {
                Ok(Answer::Changed { sequence: registry.revoke_token(id).await.map_err(words)? })
            }
            Request::TokenStanding { chain, minted } => {
                Ok(Answer::Standing(ChainStanding::of(&chain, minted, &registry.directory().load())))
            }
            Request::AuditTail { wanted } => {
                let audit = self.office.audit.clone();
                let read = spawn_blocking(move || records::tail(audit.dir(), audit.records(), wanted)).await;
                let lines = read.map_err(|_| "the audit log cannot be read".to_owned())??;
                Ok(Answer::Records { lines })
            }
            Request::TrustShow => Ok(Answer::Trust(Box::new(self.trust()))),
            Request::TrustRoll { roll, force } => self.roll(roll, force).await,
            Request::GuardReload => Err("no node runs; it reads the packs when it starts".into()),
            Request::Status => Ok(Answer::Status(Box::new(Status {
                audit_records: self.office.audit.records(),
                registry: registry.directory().sequence().0,
                trust: self.office.roots.number(),
                ..Status::default()
            }))),
        }
    }

    async fn view(&self, name: AgentName) -> Result<AgentView, String> {
        let view = self.office.registry.get(name).await.map_err(words)?;
        view.ok_or_else(|| format!("no agent {name} is enrolled; see `testudo agent list`"))
    }

    async fn credentials(
        &self,
        holder: Holder,
        grant: &Grant,
        minted: RegistrySequence,
        csr: Option<String>,
    ) -> Result<Made, String> {
        let request = csr.map(|text| Csr::from_pem(&text)).transpose();
        let request = request.map_err(|error| format!("the certificate request is {error}"))?;
        let id = SpiffeId::Agent(self.swarm, holder.name);
        let ask = Ask { id, key: holder.key, lifetime: LIFETIME, request };
        // Before: what is made now may be by what is replaced meanwhile, and does then not count as new.
        let under = self.office.roots.used();
        let rooted = self.office.roots.load().clone();
        let leaf = self.issuer.issue(ask).await.map_err(|error| error.to_string())?;
        let until = tls::not_after(&leaf).map_err(|error| format!("the issuer's certificate is {error}"))?;
        let token = self.token(holder, &grant.right, &grant.delegatable, LIFETIME, HOPS, minted).await?;
        let latest = rooted.after(rooted.trust.number().saturating_sub(1)).last();
        let statement = latest.map(|signed| signed.encode().map(hex::encode)).transpose();
        let credentials = Credentials {
            node: self.node,
            authority: self.authority,
            ca: pem(rooted.own().certificate()),
            agents_ca: self.agents_ca(),
            certificate: pem(&leaf),
            token,
            statement: statement.map_err(|error| error.to_string())?,
        };
        Ok(Made { credentials, under, until })
    }

    /// What is handed out is known: on the audit log, and to whoever retires a CA or an authority key. What was made in
    /// vain is not: it would speak for what an agent of that name holds.
    fn hand_out(&self, name: AgentName, made: Made) -> Credentials {
        let Made { credentials, under, until } = made;
        self.office.note_certified(name, until, &*self.env);
        self.office.roots.note_issued(name, under, until);
        credentials
    }

    /// What the node's own agent needs to link to it: from this machine, and with no right to anything.
    pub(crate) async fn own_credentials(&self, holder: Holder, csr: String) -> Result<Credentials, String> {
        let minted = self.office.registry.directory().sequence();
        let made = self.credentials(holder, &Grant::default(), minted, Some(csr)).await?;
        let mut credentials = self.hand_out(holder.name, made);
        match credentials.node.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => credentials.node.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => credentials.node.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        Ok(credentials)
    }

    /// The CAs of the agents, unless they are the nodes'.
    fn agents_ca(&self) -> Option<String> {
        self.office.roots.agents_elsewhere().map(|roots| roots.iter().map(pem).collect())
    }

    async fn mint(
        &self,
        name: AgentName,
        rights: BTreeSet<Capability>,
        delegatable: BTreeSet<Capability>,
        lifetime: Duration,
        hops: u8,
    ) -> Done {
        let most = u64::from(self.token_days_max) * 24 * 60 * 60;
        if lifetime.as_secs() > most {
            return Err(format!(
                "a token lives {most} seconds at most here; ask for less, or raise swarm.token_days_max"
            ));
        }
        let minted = self.office.registry.directory().sequence();
        let view = self.view(name).await?;
        if !view.state.is_good() {
            return Err(format!("{name} is revoked; see `testudo agent list`"));
        }
        let rights = if rights.is_empty() { view.grant.right.clone() } else { rights };
        if let Some(wide) = rights.difference(&view.grant.right).next() {
            return Err(format!("{name} was not granted {wide}; grant it first, or leave it out"));
        }
        if let Some(wide) = delegatable.difference(&view.grant.delegatable).next() {
            return Err(format!("{name} may not hand on {wide}; grant it first, or leave it out"));
        }
        let token = self.token(view.holder, &rights, &delegatable, lifetime, hops, minted).await?;
        Ok(Answer::Token { token })
    }

    async fn token(
        &self,
        holder: Holder,
        rights: &BTreeSet<Capability>,
        delegatable: &BTreeSet<Capability>,
        lifetime: Duration,
        hops: u8,
        minted: RegistrySequence,
    ) -> Result<String, String> {
        let mint = Mint {
            swarm: self.swarm,
            id: TokenFactId::new(random(&*self.env)),
            holder,
            rights: rights.clone(),
            delegatable: delegatable.clone(),
            expires: self.env.now().after(lifetime),
            minted,
            hops,
        };
        let fresh = Fresh::from_random(random(&*self.env));
        let token = self.office.capability.mint(mint, fresh).await.map_err(|error| error.to_string())?;
        Ok(token.to_text().to_string())
    }
}
