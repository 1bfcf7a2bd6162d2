//! An agent's identity file, like a NATS creds file: one file, mode 0600, everything to join.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use testudo_bus::client::{Arrivals, Client, ClientIdentity, Deliveries, DialError, Member, Memory};
use testudo_bus::env::Env as _;
use testudo_bus::tls::{self, LeafError};
use testudo_bus::transport::{self, Endpoint, Socket};
use testudo_rules::token::{self, Token};
use testudo_wire::frame::Seen;
use testudo_wire::{AgentName, Limits, PublicKey, SecretKey, SpiffeId, SwarmId};
use zeroize::{Zeroize as _, Zeroizing};

use crate::env::System;
use crate::files::{self, FileError, Reserved};
use crate::operator::Credentials;
use crate::swarm::{all_from_pem, from_pem};

/// Longest identity file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why an identity file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its content.
    #[error("{path} is not an identity file of Testudo ({what}); make one with `testudo agent add`")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
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
    /// Who it is.
    pub client: Arc<ClientIdentity>,
    authority: PublicKey,
    ca: String,
    agents_ca: Option<String>,
    certificate: String,
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
        let token =
            Token::from_text(&issued.token, &Limits::standard()).map_err(|error| error.to_string())?;
        let meaning = token.verify(&authority).map_err(|error| format!("its token: {error}"))?;
        if meaning.holder().name != issued.name || meaning.holder().key != issued.key.public() {
            return Err("the token is somebody else's".into());
        }
        certified(&trust, &leaf, issued.name, &issued.key.public())?;
        let client = ClientIdentity {
            name: issued.name,
            key: issued.key,
            chain: vec![leaf],
            trust,
            authority,
            token,
            memory: Memory::default(),
        };
        Ok(Self {
            node: issued.node,
            client: Arc::new(client),
            authority: issued.authority,
            ca: issued.ca,
            agents_ca: issued.agents_ca,
            certificate: issued.certificate,
            seen: Arc::default(),
        })
    }

    /// An identity from what an operator answers to the request to enrol or renew this agent.
    ///
    /// # Errors
    /// What does not fit together, in words.
    pub fn issued(name: AgentName, key: SecretKey, credentials: Credentials) -> Result<Self, String> {
        let Credentials { node, authority, ca, agents_ca, certificate, token } = credentials;
        Self::of(Issued { node, name, key, authority, ca, agents_ca, certificate, token })
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
        Self::of(Issued {
            node: stored.node,
            name: stored.name,
            key,
            authority: *authority,
            ca: stored.ca.clone(),
            agents_ca: stored.agents_ca.clone(),
            certificate: stored.certificate.clone(),
            token: stored.token.clone(),
        })
        .map_err(invalid)
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

    /// Writes over an identity file, atomically.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn save_over(&self, path: &Path) -> Result<(), IdentityError> {
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
        let stored = Stored {
            testudo_identity: 1,
            name: self.client.name,
            swarm: self.client.swarm(),
            node: self.node,
            authority: vec![self.authority],
            key: hex::encode(*self.client.key.seed()),
            token: self.client.token.to_text().to_string(),
            certificate: self.certificate.clone(),
            ca: self.ca.clone(),
            agents_ca: self.agents_ca.clone(),
        };
        toml::to_string(&stored)
            .map(Zeroizing::new)
            .map_err(|error| IdentityError::Invalid { path: path.to_owned(), what: error.to_string() })
    }
}

/// Checks that the certificate is for this agent and key, by the swarm's CA. One that has merely expired passes:
/// `testudo agent renew` must be able to read the file that it renews.
fn certified(
    trust: &tls::Trust,
    leaf: &CertificateDer<'_>,
    name: AgentName,
    key: &PublicKey,
) -> Result<(), String> {
    let now = Duration::from_millis(System.now().as_millis());
    match tls::check(tls::Role::Agent, trust, leaf, &[], UnixTime::since_unix_epoch(now)) {
        Ok(leaf) if leaf.id == SpiffeId::Agent(trust.swarm(), name) && leaf.key == *key => Ok(()),
        Ok(_) => Err("the certificate is somebody else's".into()),
        Err(LeafError::Time) => Ok(()),
        Err(error) => Err(format!("its certificate: {error}")),
    }
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
    let endpoint = endpoint(identity.node).map_err(|error| DialError::Link(error.to_string()))?;
    let seen = identity.seen();
    let (client, deliveries) =
        Client::connect(&endpoint, identity.node, identity.client.clone(), seen, System::shared()).await?;
    identity.saw(client.seen());
    Ok((client, deliveries))
}

/// Makes an agent a member of its swarm, over as many links as it takes.
pub(crate) fn member(identity: &Identity) -> (Member, Arrivals) {
    let node = identity.node;
    Member::join(move || endpoint(node), node, identity.client.clone(), identity.seen(), System::shared())
}

fn endpoint(node: SocketAddr) -> io::Result<Endpoint> {
    transport::dialler(Socket::Udp(crate::server::udp(transport::dial_from(node))?))
}
