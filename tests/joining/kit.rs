//! A node with a join port, its operator, and newcomers honest or not.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quinn::{Connection, Endpoint};
use rustls::pki_types::CertificateDer;
use testudo::operator::{Answer, JoinDoor, Operator, Request};

use testudo_bus::client::ClientIdentity;
use testudo_bus::join::{AskError, JoinPort, PortState, ask};
use testudo_bus::stream::{FrameReader, write_frame};
use testudo_bus::{tls, transport};
use testudo_rules::audit::LinkChange;
use testudo_rules::token::{self, Token};
use testudo_wire::join::{
    ANSWER_BYTES_MAX, EXPORTER_LABEL, JoinAnswer, JoinRefusal, JoinRequest, JoinToken, Joined,
};
use testudo_wire::{CaFingerprint, Limits, SecretKey};
use tokio::time::timeout;

use super::support::World;
use super::support::swarm::{grant, name};

/// A world whose node listens for newcomers.
pub(crate) struct Hall {
    pub(crate) world: World,
    pub(crate) operator: Operator,
    pub(crate) port: JoinPort,
    pub(crate) address: SocketAddr,
    /// Whether the port's socket cannot be had.
    pub(crate) is_taken: Arc<AtomicBool>,
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

impl Hall {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(World::new(seed))
    }

    pub(crate) fn of(world: World) -> Self {
        let (address, socket) = world.net.bind();
        drop(socket);
        let swarm = &world.swarm;
        let mut operator = Operator {
            office: world.node.office(),
            issuer: Arc::new(tls::Embedded::following(&world.node.office().roots, swarm.env.clone())),
            swarm: swarm.id,
            authority: swarm.authority.public(),
            node: world.address,
            join: JoinDoor::Configured(address),
            token_days_max: 1,
            env: swarm.env.clone(),
            keep: Arc::new(swarm.kept.clone()),
        };
        let net = world.net.clone();
        net.unplug(address);
        let is_taken = Arc::new(AtomicBool::new(false));
        let taken = is_taken.clone();
        let bind = Box::new(move || {
            if taken.load(Ordering::Relaxed) {
                Err(ErrorKind::AddrInUse.into())
            } else {
                Ok(net.bind_at(address))
            }
        });
        let desk = Arc::new(operator.clone());
        let port = world.node.listen_for_newcomers(desk, bind).unwrap();
        operator.join = JoinDoor::Port(port.state());
        Self { world, operator, port, address, is_taken }
    }

    pub(crate) async fn invite(&self, who: &str, right: &[&str], seconds: u64) -> JoinToken {
        let seed = SecretKey::from_seed(&testudo_bus::env::random(&*self.world.swarm.env));
        self.try_invite(who, right, seconds, seed).await.unwrap()
    }

    pub(crate) async fn try_invite(
        &self,
        who: &str,
        right: &[&str],
        seconds: u64,
        key: SecretKey,
    ) -> Result<JoinToken, String> {
        let (name, grant) = (name(who), grant(right, &[]));
        let request = Request::AgentInvite { name, key: key.public(), grant, seconds, host: None };
        let answer = self.operator.answer(request).await;
        if let Answer::Refused { error } = answer {
            return Err(error);
        }
        let Answer::Invited(invited) = answer else { panic!("{answer:?}") };
        assert_eq!(invited.address, self.address);
        // As it reaches the newcomer: by its line.
        Ok(JoinToken::parse(&invited.token(key).to_text()).unwrap())
    }

    /// An endpoint on a host of its own.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.world.endpoint().1
    }

    pub(crate) async fn ask(&self, token: &JoinToken, key: &SecretKey) -> Result<Joined, AskError> {
        ask(&self.endpoint(), token, key, self.world.swarm.env.another()).await
    }

    /// Asks and is refused by name.
    #[track_caller]
    pub(crate) fn refused(&self, token: &JoinToken, key: &SecretKey) -> impl Future<Output = JoinRefusal> {
        let asking = (self.endpoint(), token.clone(), key.clone(), self.world.swarm.env.another());
        async move {
            let (endpoint, token, key, env) = asking;
            match ask(&endpoint, &token, &key, env).await {
                Err(AskError::Refused(refusal)) => refusal,
                other => panic!("{other:?}"),
            }
        }
    }

    /// What a newcomer was given, as an identity that can dial.
    pub(crate) fn identity(&self, joined: &Joined, key: &SecretKey) -> ClientIdentity {
        let trust =
            tls::Trust::new(self.world.swarm.id, &[CertificateDer::from(joined.ca.to_vec())]).unwrap();
        ClientIdentity {
            name: joined.name,
            key: key.clone(),
            chain: joined.chain.iter().map(|one| CertificateDer::from(one.to_vec())).collect(),
            trust,
            authority: token::Trust::of(joined.authority),
            token: Token::from_bytes(&joined.token, &Limits::standard()).unwrap(),
            learnt: testudo_bus::client::Learnt::default(),
            memory: testudo_bus::client::Memory::default(),
        }
    }

    pub(crate) fn state(&self) -> PortState {
        self.port.state().borrow().clone()
    }

    /// Why newcomers were turned away, as the log has it.
    pub(crate) fn turned_away(&self) -> Vec<String> {
        let of = |change: &LinkChange| {
            let LinkChange::Refused { reason } = change else { return None };
            reason.as_str().strip_prefix("join: ").map(str::to_owned)
        };
        self.world.ledger().links().filter_map(|link| of(&link.what)).collect()
    }
}

/// A connection to a join port after the handshake, and nobody's manners.
pub(crate) struct Stranger {
    pub(crate) connection: Connection,
    pub(crate) key: SecretKey,
    _endpoint: Endpoint,
}

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(30);

impl Stranger {
    pub(crate) async fn dial(hall: &Hall, key: &SecretKey) -> Result<Self, String> {
        Self::dial_with(hall, hall.endpoint(), key).await
    }

    /// From a host of the test's choice.
    pub(crate) async fn dial_with(hall: &Hall, endpoint: Endpoint, key: &SecretKey) -> Result<Self, String> {
        let swarm = &hall.world.swarm;
        let (ca, own) = (CaFingerprint::of(swarm.ca.certificate()), tls::self_signed(key).unwrap());
        let (tls, _) = tls::join_client_config(swarm.id, ca, own, key, swarm.env.another()).unwrap();
        let connecting =
            endpoint.connect_with(transport::client(tls, hall.address), hall.address, "testudo").unwrap();
        let connection = timeout(PATIENCE, connecting).await.map_err(|_| "no answer".to_owned())?;
        let connection = connection.map_err(|error| error.to_string())?;
        Ok(Self { connection, key: key.clone(), _endpoint: endpoint })
    }

    pub(crate) fn exporter(&self) -> [u8; 32] {
        let mut exporter = [0; 32];
        self.connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").unwrap();
        exporter
    }

    /// The question that an honest newcomer would ask here.
    pub(crate) fn question(&self, token: &JoinToken) -> JoinRequest {
        let signature = token.prove(&self.exporter(), &self.key.public());
        JoinRequest { id: token.id, signature, csr: tls::certificate_request(&self.key).unwrap() }
    }

    /// Sends bytes as they are and hears the answer; nothing when the node closes without one.
    pub(crate) async fn say_raw(&self, bytes: &[u8]) -> Option<JoinAnswer> {
        let (mut questions, answers) =
            timeout(PATIENCE, self.connection.open_bi()).await.expect("no stream").ok()?;
        // The node may stop reading: then it has heard enough.
        let _ = questions.write_all(bytes).await;
        let _ = questions.finish();
        self.hear(answers).await
    }

    async fn hear(&self, answers: quinn::RecvStream) -> Option<JoinAnswer> {
        let mut answers = FrameReader::new(answers, ANSWER_BYTES_MAX);
        let frame = timeout(PATIENCE, answers.next()).await.expect("neither an answer nor an end");
        Some(JoinAnswer::decode(&frame.ok()??).unwrap())
    }

    pub(crate) async fn say(&self, frame: Vec<u8>) -> Option<JoinAnswer> {
        let (mut questions, answers) =
            timeout(PATIENCE, self.connection.open_bi()).await.expect("no stream").ok()?;
        write_frame(&mut questions, frame).await.ok()?;
        self.hear(answers).await
    }

    pub(crate) async fn asks(&self, request: &JoinRequest) -> Option<JoinAnswer> {
        self.say(request.encode().unwrap()).await
    }

    /// Virtual seconds until the node closes.
    pub(crate) async fn closed_after(&self) -> f64 {
        let start = tokio::time::Instant::now();
        timeout(PATIENCE, self.connection.closed()).await.expect("still open");
        start.elapsed().as_secs_f64()
    }
}
