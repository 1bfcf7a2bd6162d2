//! An agent's identity file, like a NATS creds file: one file, mode 0600, everything to join.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use testudo_bus::client::{Arrivals, Client, ClientIdentity, Deliveries, DialError, Learnt, Member, Memory};
use testudo_bus::env::Env as _;
use testudo_bus::tls::{self, LeafError};
use testudo_rules::token::{self, Token, TokenError};
use testudo_wire::frame::Seen;
use testudo_wire::trust::SignedStatement;
use testudo_wire::{AgentName, Limits, PublicKey, SecretKey, SpiffeId, SwarmId};
use tokio::sync::watch;
use zeroize::{Zeroize as _, Zeroizing};

use crate::dialling::Dialling;
use crate::env::System;
use crate::files::{self, FileError, Reserved};
use crate::operator::Credentials;
use crate::seen::SeenError;
use crate::swarm::{all_from_pem, from_pem, pem};

mod newer;
mod watched;

/// Longest identity file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why an identity file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was seen of the node's log, beside it.
    #[error(transparent)]
    Seen(#[from] SeenError),
    /// Its content.
    #[error("{path} is not an identity file of Testudo ({what}); make one with `testudo agent add`")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file holds another agent's identity.
    #[error("{0} holds another agent's identity by now; it is left as it is")]
    Another(PathBuf),
    /// The file holds a certificate that was issued later.
    #[error("{0} was renewed meanwhile and holds a later certificate; it is left as it is")]
    Later(PathBuf),
    /// The file has learnt of a later trust statement.
    #[error(
        "{path} goes by trust statement {have}, what was issued by {got}: it comes from an old copy of the swarm's keys, and the file is left as it is; renew at the node with the newest"
    )]
    OldTrust {
        /// The file.
        path: PathBuf,
        /// The file's number.
        have: u64,
        /// The number of what was issued.
        got: u64,
    },
}

/// The file's content.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    testudo_identity: u8,
    name: AgentName,
    swarm: SwarmId,
    node: SocketAddr,
    authority: Vec<PublicKey>,
    key: String,
    token: String,
    certificate: String,
    ca: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agents_ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trust: Option<String>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.key.zeroize();
        self.token.zeroize();
    }
}

/// An agent's identity and the node to dial.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Where its node listens.
    pub node: SocketAddr,
    /// Who it is, with certificate and token as they were issued or read; see [`Identity::newest`].
    pub client: Arc<ClientIdentity>,
    authority: PublicKey,
    ca: String,
    agents_ca: Option<String>,
    /// Where it was read from, and is written again when it was renewed.
    file: Option<PathBuf>,
    /// What nodes gave this process anew: a later link shows that, and so does a file.
    renewed: Arc<Mutex<Option<Arc<ClientIdentity>>>>,
    /// The highest registry sequence that a node welcomed this process under: the next hello shows it, so
    /// that a node on an old copy of its disk finds out (threat A75).
    seen: Arc<Mutex<Option<Seen>>>,
}

/// What the operator puts into an identity.
pub struct Issued {
    /// Where the node listens.
    pub node: SocketAddr,
    /// The agent.
    pub name: AgentName,
    /// Its key, made where the file is written.
    pub key: SecretKey,
    /// The authority's key.
    pub authority: PublicKey,
    /// The certificate of the nodes' CA in PEM.
    pub ca: String,
    /// The certificates of the agents' CAs in PEM, where they are others.
    pub agents_ca: Option<String>,
    /// The agent's certificate in PEM.
    pub certificate: String,
    /// Its unsealed token.
    pub token: String,
    /// The trust statement in force; none in a swarm that has made none.
    pub statement: Option<SignedStatement>,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Identity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// What does not fit together, in words.
    pub fn of(issued: Issued) -> Result<Self, String> {
        let ca = from_pem(&issued.ca).ok_or("the CA is no certificate")?;
        let leaf = from_pem(&issued.certificate).ok_or("the certificate is no certificate")?;
        let swarm = SwarmId::of(&issued.authority);
        let trust = tls::Trust::new(swarm, &[ca]).map_err(|error| error.to_string())?;
        let trust = match issued.agents_ca.as_deref() {
            Some(text) => {
                let cas = all_from_pem(text).ok_or("the agents' CA is no certificate")?;
                trust.with_agents_by(&cas).map_err(|error| error.to_string())?
            }
            None => trust,
        };
        let authority = token::Trust::of(issued.authority);
        let learnt = match issued.statement {
            Some(signed) if signed.statement.swarm != swarm => {
                return Err("the trust statement is another swarm's".into());
            }
            Some(signed) => Learnt::kept(signed, &trust).map_err(|error| error.to_string())?,
            None => Learnt::default(),
        };
        let token =
            Token::from_text(&issued.token, &Limits::standard()).map_err(|error| error.to_string())?;
        let client = ClientIdentity {
            name: issued.name,
            key: issued.key,
            chain: vec![leaf],
            trust,
            authority,
            token,
            learnt,
            memory: Memory::default(),
        };
        whole(&client)?;
        Ok(Self {
            node: issued.node,
            client: Arc::new(client),
            authority: issued.authority,
            ca: issued.ca,
            agents_ca: issued.agents_ca,
            file: None,
            renewed: Arc::default(),
            seen: Arc::default(),
        })
    }

    /// An identity from what an operator answers to the request to enrol or renew this agent.
    ///
    /// # Errors
    /// What does not fit together, in words.
    pub fn issued(name: AgentName, key: SecretKey, credentials: Credentials) -> Result<Self, String> {
        let Credentials { node, authority, ca, agents_ca, certificate, token, statement: text } = credentials;
        let statement = text.map(|text| statement(&text).ok_or("the trust statement is none")).transpose()?;
        Self::of(Issued { node, name, key, authority, ca, agents_ca, certificate, token, statement })
    }

    /// Reads an identity file.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let text = Zeroizing::new(files::read_private(path, FILE_BYTES_MAX)?);
        let invalid = |what: String| IdentityError::Invalid { path: path.to_owned(), what };
        let stored: Stored = toml::from_str(&text).map_err(|error| invalid(first_line(error.message())))?;
        if stored.testudo_identity != 1 {
            return Err(invalid(format!("version {} is not known here", stored.testudo_identity)));
        }
        let mut seed = [0; 32];
        hex::decode_to_slice(&stored.key, &mut seed)
            .map_err(|_| invalid("the key is not 64 hex digits".into()))?;
        let key = SecretKey::from_seed(&seed);
        seed.zeroize();
        let [authority] = stored.authority.as_slice() else {
            return Err(invalid("exactly one authority key is expected".into()));
        };
        if SwarmId::of(authority) != stored.swarm {
            return Err(invalid("swarm is not the fingerprint of the authority key".into()));
        }
        let signed = stored.trust.as_deref().map(|text| statement(text).ok_or("the trust statement is none"));
        let identity = Self::of(Issued {
            statement: signed.transpose().map_err(|what| invalid(what.into()))?,
            node: stored.node,
            name: stored.name,
            key,
            authority: *authority,
            ca: stored.ca.clone(),
            agents_ca: stored.agents_ca.clone(),
            certificate: stored.certificate.clone(),
            token: stored.token.clone(),
        });
        let identity = Self { file: Some(path.to_owned()), ..identity.map_err(invalid)? };
        identity.remember()
    }

    /// The same with the newest certificate and token: a connected agent renews them by itself.
    #[must_use]
    pub fn newest(&self) -> Arc<ClientIdentity> {
        let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.as_ref().unwrap_or(&self.client).clone()
    }

    /// Keeps what a node gave anew: for later links of this process, and in the file that the identity was read from,
    /// as long as that is still this agent's.
    fn keep(&self, renewed: Arc<ClientIdentity>) -> Result<(), IdentityError> {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(renewed);
        let Some(file) = &self.file else { return Ok(()) };
        match self.save_over(file) {
            // Somebody has made the file over to another agent, or put something newer there.
            Err(IdentityError::Another(_) | IdentityError::Later(_)) => Ok(()),
            kept => kept,
        }
    }

    /// Writes a new identity file, mode 0600.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        Ok(files::write_new(path, self.text(path)?.as_bytes())?)
    }

    /// Writes a new identity file, mode 0600, into the place taken for it.
    ///
    /// # Errors
    /// [`IdentityError`]; then there is no file.
    pub fn save_in(&self, place: Reserved) -> Result<(), IdentityError> {
        let text = self.text(place.path())?;
        Ok(place.fill(text.as_bytes())?)
    }

    /// Writes over an identity file of this agent, atomically, unless what is there is newer: goes by a later trust
    /// statement, or holds a certificate that was issued later.
    ///
    /// # Errors
    /// [`IdentityError`]; then the file is as it was.
    pub fn save_over(&self, path: &Path) -> Result<(), IdentityError> {
        self.supersedes(&Self::load(path)?, path)?;
        Ok(files::replace(path, self.text(path)?.as_bytes())?)
    }

    fn seen(&self) -> Option<Seen> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what a node welcomed this process under.
    pub(crate) fn saw(&self, now: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none_or(|before| now.registry >= before.registry) {
            *seen = Some(now);
        }
    }

    fn text(&self, path: &Path) -> Result<Zeroizing<String>, IdentityError> {
        let client = self.newest();
        let certificate = client.chain.first().map(pem).unwrap_or_default();
        let stored = Stored {
            testudo_identity: 1,
            name: client.name,
            swarm: client.swarm(),
            node: self.node,
            authority: vec![self.authority],
            key: hex::encode(*client.key.seed()),
            token: client.token.to_text().to_string(),
            certificate,
            ca: self.ca.clone(),
            agents_ca: self.agents_ca.clone(),
            trust: client.statement().and_then(|signed| signed.encode().ok()).map(hex::encode),
        };
        toml::to_string(&stored)
            .map(Zeroizing::new)
            .map_err(|error| IdentityError::Invalid { path: path.to_owned(), what: error.to_string() })
    }
}

/// Checks that token and certificate are for this agent and key, by the swarm's authority and CA. What has merely
/// expired passes, and what is by one that was retired since: `testudo agent renew` must be able to read the file that
/// it renews.
fn whole(client: &ClientIdentity) -> Result<(), String> {
    let is_rolled = client.learnt.number() > 0;
    match client.token.verify(&client.tokens()) {
        Ok(meaning) if *meaning.holder() == client.holder() => {}
        Ok(_) => return Err("the token is somebody else's".into()),
        Err(TokenError::Unauthentic) if is_rolled => {}
        Err(error) => return Err(format!("its token: {error}")),
    }
    match client.leaf(System.now()) {
        Ok(leaf)
            if leaf.id == SpiffeId::Agent(client.swarm(), client.name) && leaf.key == client.key.public() =>
        {
            Ok(())
        }
        Ok(_) => Err("the certificate is somebody else's".into()),
        Err(LeafError::Time) => Ok(()),
        Err(LeafError::Path) if is_rolled => Ok(()),
        Err(error) => Err(format!("its certificate: {error}")),
    }
}

/// A trust statement as text.
fn statement(text: &str) -> Option<SignedStatement> {
    SignedStatement::decode(&hex::decode(text).ok()?).ok()
}

/// An agent's request to be certified under its name, in PEM.
///
/// # Errors
/// In words.
pub fn request(swarm: SwarmId, name: AgentName, key: &SecretKey) -> Result<String, String> {
    let made = tls::Csr::make(&SpiffeId::Agent(swarm, name), key);
    made.map(|csr| csr.pem()).map_err(|error| error.to_string())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Opens one link from an agent to its node, and no second one: [`crate::connect`] comes back by itself.
///
/// # Errors
/// [`DialError`].
pub async fn dial(identity: &Identity) -> Result<(Client, Deliveries), DialError> {
    let endpoint = Dialling::to(identity.node).endpoint();
    let endpoint = endpoint.map_err(|error| DialError::Link(error.to_string()))?;
    let seen = identity.seen();
    identity.keep_seen();
    let (client, deliveries) =
        Client::connect(&endpoint, identity.node, identity.newest(), seen, System::shared()).await?;
    identity.saw(client.seen());
    Ok((client, deliveries))
}

/// Makes an agent a member of its swarm, over as many links as it takes.
pub(crate) fn member(identity: &Identity) -> (Member, Arrivals) {
    let (node, env) = (identity.node, System::shared());
    let dialling = Dialling::to(node);
    let (member, arrivals) =
        Member::join(move || dialling.endpoint(), node, identity.newest(), identity.seen(), env);
    tokio::spawn(keep(identity.clone(), member.renewals()));
    identity.keep_seen();
    (member, arrivals)
}

/// Keeps what the member renews, until it ends.
async fn keep(identity: Identity, mut renewals: watch::Receiver<Arc<ClientIdentity>>) {
    while renewals.changed().await.is_ok() {
        let (identity, renewed) = (identity.clone(), renewals.borrow_and_update().clone());
        let kept = tokio::task::spawn_blocking(move || identity.keep(renewed)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "the renewed identity is not in its file; the one there will run out");
        }
    }
}
