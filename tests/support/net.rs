//! An in-memory network on the runtime's clock: delay, seeded loss, partitions, captured datagrams that can
//! be sent again. Knows datagrams and nothing of what is in them (threats.md M10).

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use testudo_bus::transport::Socket;
use tokio::time::{Instant, Sleep};

/// One way, for every datagram.
const DELAY: Duration = Duration::from_millis(1);

/// One datagram on its way.
#[derive(Clone, Debug)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    at: Instant,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    ports: HashMap<SocketAddr, Arc<Port>>,
    cut: HashSet<(SocketAddr, SocketAddr)>,
    /// Of a thousand datagrams so many are lost.
    loss: u64,
    dice: u64,
    hosts: u8,
    captured: Option<Vec<Datagram>>,
    /// Bytes sent from one to another, lost ones too.
    sent: HashMap<(SocketAddr, SocketAddr), usize>,
}

/// The network. Cheap to clone; clones are the same network.
#[derive(Clone, Debug)]
pub(crate) struct SimNet(Arc<Mutex<State>>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// xorshift64*: the same seed gives the same losses.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    fn carry(&mut self, datagram: Datagram) {
        if let Some(captured) = &mut self.captured {
            captured.push(datagram.clone());
        }
        *self.sent.entry((datagram.from, datagram.to)).or_default() += datagram.bytes.len();
        let lost = self.loss > 0 && self.roll() % 1000 < self.loss;
        let cut = self.cut.contains(&(datagram.from, datagram.to));
        if let (false, false, Some(port)) = (lost, cut, self.ports.get(&datagram.to)) {
            port.take(datagram);
        }
    }
}

impl SimNet {
    pub(crate) fn new(seed: u64) -> Self {
        let dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self(Arc::new(Mutex::new(State { dice, ..State::default() })))
    }

    /// A socket on a host of its own.
    pub(crate) fn bind(&self) -> (SocketAddr, Socket) {
        let mut state = locked(&self.0);
        state.hosts += 1;
        let address = SocketAddr::from(([10, 0, 0, state.hosts], 4433));
        drop(state);
        (address, self.bind_at(address))
    }

    /// A socket on a host whose older one is heard no more.
    pub(crate) fn bind_at(&self, address: SocketAddr) -> Socket {
        let inbox = Inbox { queue: VecDeque::new(), waker: None, timer: Box::pin(tokio::time::sleep(DELAY)) };
        let port = Arc::new(Port { net: self.clone(), address, inbox: Mutex::new(inbox) });
        locked(&self.0).ports.insert(address, port.clone());
        Socket::Abstract(port)
    }

    /// Loses so many of a thousand datagrams from now on.
    pub(crate) fn lose(&self, of_thousand: u64) {
        locked(&self.0).loss = of_thousand;
    }

    /// Nothing passes between the two any more.
    pub(crate) fn cut(&self, a: SocketAddr, b: SocketAddr) {
        locked(&self.0).cut.extend([(a, b), (b, a)]);
    }

    /// Nothing passes from the one to the other any more; the way back stays open.
    pub(crate) fn cut_one(&self, from: SocketAddr, to: SocketAddr) {
        locked(&self.0).cut.insert((from, to));
    }

    /// Everything that is sent from now on passes again.
    pub(crate) fn heal(&self, a: SocketAddr, b: SocketAddr) {
        locked(&self.0).cut.retain(|pair| *pair != (a, b) && *pair != (b, a));
    }

    /// Keeps a copy of every datagram from now on.
    pub(crate) fn capture(&self) {
        locked(&self.0).captured = Some(Vec::new());
    }

    /// Sends everything captured once more, as it was; says how much that was.
    pub(crate) fn replay(&self) -> usize {
        let mut state = locked(&self.0);
        let captured = state.captured.take().unwrap_or_default();
        for datagram in &captured {
            state.carry(Datagram { at: Instant::now() + DELAY, ..datagram.clone() });
        }
        captured.len()
    }

    /// Bytes in datagrams that the one sent to the other so far, lost ones too.
    pub(crate) fn sent(&self, from: SocketAddr, to: SocketAddr) -> usize {
        locked(&self.0).sent.get(&(from, to)).copied().unwrap_or_default()
    }

    /// Bytes in datagrams that this host sent to anybody so far.
    pub(crate) fn sent_by(&self, from: SocketAddr) -> usize {
        locked(&self.0).sent.iter().filter(|((by, _), _)| *by == from).map(|(_, bytes)| bytes).sum()
    }

    /// The socket of this host is gone, as of a process that was killed: it hears nothing, and nobody hears it.
    pub(crate) fn unplug(&self, address: SocketAddr) {
        locked(&self.0).ports.remove(&address);
    }
}

#[derive(Debug)]
struct Inbox {
    queue: VecDeque<Datagram>,
    waker: Option<Waker>,
    timer: Pin<Box<Sleep>>,
}

#[derive(Debug)]
struct Port {
    net: SimNet,
    address: SocketAddr,
    inbox: Mutex<Inbox>,
}

impl Port {
    fn take(&self, datagram: Datagram) {
        let mut inbox = locked(&self.inbox);
        inbox.queue.push_back(datagram);
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Port {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let (from, to, at) = (self.address, transmit.destination, Instant::now() + DELAY);
        let mut state = locked(&self.net.0);
        if !state.ports.get(&self.address).is_some_and(|port| std::ptr::eq(Arc::as_ptr(port), self)) {
            return Ok(());
        }
        for bytes in transmit.contents.chunks(transmit.segment_size.unwrap_or(usize::MAX)) {
            state.carry(Datagram { from, to, at, bytes: bytes.to_vec() });
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = locked(&self.inbox);
        while let Some(at) = inbox.queue.front().map(|datagram| datagram.at) {
            if at > Instant::now() {
                inbox.timer.as_mut().reset(at);
                if inbox.timer.as_mut().poll(cx).is_pending() {
                    break;
                }
            } else if let Some(Datagram { from, bytes, .. }) = inbox.queue.pop_front() {
                bufs[0][..bytes.len()].copy_from_slice(&bytes);
                meta[0] =
                    RecvMeta { addr: from, len: bytes.len(), stride: bytes.len(), ..RecvMeta::default() };
                return Poll::Ready(Ok(1));
            }
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
