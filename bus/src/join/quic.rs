//! The QUIC settings of the join port: one stream, one small frame, a short life.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig, VarInt};
use testudo_wire::join::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX};

use crate::transport::{self, Socket};

/// Nobody has to wait for longer than the whole conversation may take.
const IDLE: Duration = Duration::from_secs(10);
/// Dials that wait for the accept loop, and what they may park; each has proved its address by then or is told to.
const INCOMING_MAX: usize = 64;
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_BYTES_ALL: u64 = 1024 * 1024;
/// A question and its length prefix, with room for nothing else.
#[expect(clippy::cast_possible_truncation, reason = "constants far below")]
const QUESTION: u32 = 2 * REQUEST_BYTES_MAX as u32;
#[expect(clippy::cast_possible_truncation, reason = "constants far below")]
const ANSWER: u32 = 2 * ANSWER_BYTES_MAX as u32;

fn transport(streams: u32, receive: u32, send: u32) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(IDLE.try_into().ok())
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(receive))
        .receive_window(VarInt::from_u32(receive))
        .send_window(u64::from(send))
        .mtu_discovery_config(None)
        .datagram_receive_buffer_size(None);
    config
}

/// The node's endpoint.
pub(super) fn listen(tls: QuicServerConfig, socket: Socket) -> io::Result<Endpoint> {
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    server
        .transport_config(Arc::new(transport(1, QUESTION, ANSWER)))
        .migration(false)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_ALL);
    transport::endpoint(Some(server), socket, None)
}

/// The newcomer's side of a connection.
pub(super) fn client(tls: QuicClientConfig) -> ClientConfig {
    let mut client = ClientConfig::new(Arc::new(tls));
    client.transport_config(Arc::new(transport(0, ANSWER, QUESTION)));
    client
}
