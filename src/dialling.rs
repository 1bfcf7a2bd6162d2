//! The socket and endpoint that an agent dials from, for as long as it is a member.
//!
//! An endpoint has megabytes to receive into. Made anew for each dial, those of many agents whose node is away would
//! fill the machine. A socket that lost its network is no use to the next dial: that one gets another, unless a link
//! is open on it. Knows no identity and no link.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use testudo_bus::transport::{self, Endpoint, Socket};

use crate::server;

/// Dials a node, again and again.
#[derive(Debug)]
pub(crate) struct Dialling {
    node: SocketAddr,
    endpoint: Mutex<Option<Endpoint>>,
}

impl Dialling {
    /// The node at this address.
    pub(crate) const fn to(node: SocketAddr) -> Self {
        Self { node, endpoint: Mutex::new(None) }
    }

    /// The endpoint for the next dial.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        let mut known = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = || server::udp(transport::dial_from(self.node));
        // Nobody dials it: it has nothing to accept, but that what serves it has ended after an error.
        if let Some(endpoint) = known.as_ref().filter(|endpoint| endpoint.accept().now_or_never().is_none()) {
            // Of a dial before this one that failed, too, until it is over.
            if endpoint.open_connections() == 0 {
                endpoint.rebind(socket()?)?;
            }
            return Ok(endpoint.clone());
        }
        let endpoint = transport::dialler(Socket::Udp(socket()?))?;
        *known = Some(endpoint.clone());
        Ok(endpoint)
    }
}
