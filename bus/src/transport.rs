//! The QUIC settings of both ends, each pinned for a reason (threats.md 3d, performance.md 5).
//!
//! Knows quinn and sizes; who may connect is TLS's part.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use quinn::Endpoint;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    AckFrequencyConfig, AsyncUdpSocket, ClientConfig, Connecting, ConnectionError, EndpointConfig, Incoming,
    MtuDiscoveryConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use testudo_wire::SecretKey;
use zeroize::Zeroizing;

/// Sent when a link is otherwise still: a third of the shortest time-out on its way.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// Three heartbeat intervals: quinn's default of 30 s equals one and drops healthy links (M9).
const IDLE_MS: u32 = 90_000;
/// Bytes that one stream may have on its way: many times what a local line holds, and half of a sender's window,
/// so that the node soon sees who does not read.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Control, data, four lanes of large bodies and gossip: none of them, however full, takes the room of another.
const STREAMS: u32 = 7;
/// Largest UDP payload that discovery may find. Ten of them still fit one GSO send of 65,507 bytes.
const MTU_MAX: u16 = 6500;
/// Discovery on one machine, where every size fits: a step so large that it asks for the largest at once. By halves it takes
/// nine datagrams of up to the largest size, whose padding is read byte by byte: a third of what a new link costs a node.
const MTU_STEP_NEAR: u16 = 4000;
/// Datagrams that may come without a word on them, and for how long.
const ACKNOWLEDGE_BEYOND: u32 = 4;
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(5);
/// Dials that wait for a handshake (threat A01).
const INCOMING_MAX: usize = 2048;
/// Bytes that one dial, and all together, may park before their handshake.
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_ALL: u64 = 16 * 1024 * 1024;
/// Least time between two stateless resets: ten thousand links hear within ten seconds of keep-alives.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// Where datagrams come from: a socket of the system, or a test's own network.
#[derive(Debug)]
pub enum Socket {
    /// A bound UDP socket.
    Udp(std::net::UdpSocket),
    /// Anything that moves datagrams.
    Abstract(Arc<dyn AsyncUdpSocket>),
}

/// Where the other end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distance {
    /// On this machine.
    Near,
    /// Anywhere.
    Far,
}

impl Distance {
    const fn of(peer: IpAddr) -> Self {
        if peer.to_canonical().is_loopback() { Self::Near } else { Self::Far }
    }
}

fn transport(distance: Distance) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()))
        .max_concurrent_uni_streams(VarInt::from_u32(16))
        .max_concurrent_bidi_streams(VarInt::from_u32(4))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STREAMS * STREAM_WINDOW))
        .send_window(u64::from((STREAMS + 2) * STREAM_WINDOW))
        .datagram_receive_buffer_size(None);
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU_MAX);
    if distance == Distance::Near {
        discovery.minimum_change(MTU_STEP_NEAR);
    }
    config.mtu_discovery_config(Some(discovery));
    // A word on what has come for every five datagrams instead of every two: each wakes a process. Never so many
    // that a sender's first window, ten of the largest, waits for the time instead.
    let mut acknowledging = AckFrequencyConfig::default();
    acknowledging
        .ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGE_BEYOND))
        .max_ack_delay(Some(ACKNOWLEDGE_WITHIN));
    config.ack_frequency_config(Some(acknowledging));
    // Ten of the largest datagrams, as RFC 9002 has it for small ones. With quinn's 12,000 bytes one probe
    // for a larger size fills the window, and a close in that moment is never sent: the agent would take a
    // revocation for a node that does not answer (quinn issue 2785).
    let mut cubic = quinn::congestion::CubicConfig::default();
    cubic.initial_window(10 * u64::from(MTU_MAX));
    config.congestion_controller_factory(Arc::new(cubic));
    config
}

/// What stateless resets are made with: the same key makes the same, over all runs of a node.
struct ResetKey(Zeroizing<[u8; 32]>);

impl ResetKey {
    fn of(purpose: &str, node: &SecretKey) -> Self {
        Self(Zeroizing::new(blake3::derive_key(purpose, &*node.seed())))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Constant time: the comparison is blake3's.
        if blake3::keyed_hash(&self.0, data) == *signature { Ok(()) } else { Err(CryptoError) }
    }
}

fn endpoint_config(key: Option<&SecretKey>) -> Result<EndpointConfig, io::Error> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(MTU_MAX).map_err(io::Error::other)?;
    if let Some(key) = key {
        let ids = ResetKey::of("testudo/1 connection ids", key).0;
        let ids = u64::from_be_bytes(std::array::from_fn(|at| ids[at]));
        config
            .reset_key(Arc::new(ResetKey::of("testudo/1 stateless reset", key)))
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
            .min_reset_interval(RESET_INTERVAL);
    }
    Ok(config)
}

pub(crate) fn endpoint(
    server: Option<ServerConfig>,
    socket: Socket,
    key: Option<&SecretKey>,
) -> io::Result<Endpoint> {
    let (config, runtime) = (endpoint_config(key)?, Arc::new(TokioRuntime));
    match socket {
        Socket::Udp(socket) => Endpoint::new(config, server, socket, runtime),
        Socket::Abstract(socket) => Endpoint::new_with_abstract_socket(config, server, socket, runtime),
    }
}

fn server(tls: Arc<QuicServerConfig>, distance: Distance) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(tls);
    server
        .transport_config(Arc::new(transport(distance)))
        .migration(false)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_ALL);
    server
}

/// An endpoint that accepts links.
///
/// # Errors
/// The socket's.
pub fn listen(tls: impl Into<Arc<QuicServerConfig>>, socket: Socket) -> io::Result<Endpoint> {
    endpoint(Some(server(tls.into(), Distance::Far)), socket, None)
}

/// An endpoint that accepts links, and tells the links of an earlier run under the same key that they are no
/// more, with their next keep-alive. Left to time out, they would be silent for so long that a node that was
/// killed and came back would revoke their agents.
///
/// # Errors
/// The socket's.
pub fn listen_as(
    key: &SecretKey,
    tls: impl Into<Arc<QuicServerConfig>>,
    socket: Socket,
) -> io::Result<Endpoint> {
    endpoint(Some(server(tls.into(), Distance::Far)), socket, Some(key))
}

/// Accepts dials, each with the settings for where it comes from.
#[derive(Clone, Debug)]
pub struct Acceptor {
    near: Arc<ServerConfig>,
}

impl Acceptor {
    /// For an endpoint that listens with the same TLS.
    #[must_use]
    pub fn new(tls: Arc<QuicServerConfig>) -> Self {
        Self { near: Arc::new(server(tls, Distance::Near)) }
    }

    /// Begins the handshake.
    ///
    /// # Errors
    /// What is wrong with the dial.
    pub fn accept(&self, incoming: Incoming) -> Result<Connecting, ConnectionError> {
        match Distance::of(incoming.remote_address().ip()) {
            Distance::Near => incoming.accept_with(self.near.clone()),
            Distance::Far => incoming.accept(),
        }
    }
}

/// An endpoint that dials.
///
/// # Errors
/// The socket's.
pub fn dialler(socket: Socket) -> io::Result<Endpoint> {
    endpoint(None, socket, None)
}

/// The client side of one link to this node.
#[must_use]
pub fn client(tls: QuicClientConfig, node: SocketAddr) -> ClientConfig {
    let mut client = ClientConfig::new(Arc::new(tls));
    client.transport_config(Arc::new(transport(Distance::of(node.ip()))));
    client
}

/// The wildcard address of the same family as `peer`, to dial it from.
#[must_use]
pub fn dial_from(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
    }
}
