//! The QUIC settings of both ends, each pinned for a reason (threats.md 3d, performance.md 5).
//!
//! Knows quinn and sizes; who may connect is TLS's part.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AsyncUdpSocket, ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};

/// Sent when a link is otherwise still: a third of the shortest time-out on its way.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// Three heartbeat intervals: quinn's default of 30 s equals one and drops healthy links (M9).
const IDLE_MS: u32 = 90_000;
/// Largest UDP payload that discovery may find. Ten of them still fit one GSO send of 65,507 bytes.
const MTU_MAX: u16 = 6500;
/// Dials that wait for a handshake (threat A01).
const INCOMING_MAX: usize = 1024;
/// Bytes that one dial, and all together, may park before their handshake.
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_ALL: u64 = 16 * 1024 * 1024;

/// Where datagrams come from: a socket of the system, or a test's own network.
#[derive(Debug)]
pub enum Socket {
    /// A bound UDP socket.
    Udp(std::net::UdpSocket),
    /// Anything that moves datagrams.
    Abstract(Arc<dyn AsyncUdpSocket>),
}

fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()))
        .max_concurrent_uni_streams(VarInt::from_u32(16))
        .max_concurrent_bidi_streams(VarInt::from_u32(4))
        .stream_receive_window(VarInt::from_u32(1024 * 1024))
        .receive_window(VarInt::from_u32(2 * 1024 * 1024))
        .send_window(2 * 1024 * 1024)
        .datagram_receive_buffer_size(None);
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU_MAX);
    config.mtu_discovery_config(Some(discovery));
    // Ten of the largest datagrams, as RFC 9002 has it for small ones. With quinn's 12,000 bytes one probe
    // for a larger size fills the window, and a close in that moment is never sent: the agent would take a
    // revocation for a node that does not answer (quinn issue 2785).
    let mut cubic = quinn::congestion::CubicConfig::default();
    cubic.initial_window(10 * u64::from(MTU_MAX));
    config.congestion_controller_factory(Arc::new(cubic));
    config
}

fn endpoint_config() -> Result<EndpointConfig, io::Error> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(MTU_MAX).map_err(io::Error::other)?;
    Ok(config)
}

fn endpoint(server: Option<ServerConfig>, socket: Socket) -> io::Result<Endpoint> {
    let (config, runtime) = (endpoint_config()?, Arc::new(TokioRuntime));
    match socket {
        Socket::Udp(socket) => Endpoint::new(config, server, socket, runtime),
        Socket::Abstract(socket) => Endpoint::new_with_abstract_socket(config, server, socket, runtime),
    }
}

/// An endpoint that accepts links.
///
/// # Errors
/// The socket's.
pub fn listen(tls: QuicServerConfig, socket: Socket) -> io::Result<Endpoint> {
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    server
        .transport_config(Arc::new(transport()))
        .migration(false)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_ALL);
    endpoint(Some(server), socket)
}

/// An endpoint that dials.
///
/// # Errors
/// The socket's.
pub fn dialler(socket: Socket) -> io::Result<Endpoint> {
    endpoint(None, socket)
}

/// The client side of one link.
#[must_use]
pub fn client(tls: QuicClientConfig) -> ClientConfig {
    let mut client = ClientConfig::new(Arc::new(tls));
    client.transport_config(Arc::new(transport()));
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
