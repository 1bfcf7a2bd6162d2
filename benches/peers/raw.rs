//! The limit: a relay that carries the same bundles over QUIC with the same settings and mutual TLS, and looks at
//! nothing but where they go.
//!
//! A frame is its length, where to, where from and how many messages it holds, four bytes each, and a bundle. Whoever
//! links says first which number it is; what is for a number goes to all who said so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connecting, Connection, Endpoint, RecvStream, SendStream};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{CipherSuite, RootCertStore};
use serde_json::json;
use testudo::bus::transport::{self, Acceptor, Socket};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{LocalSet, spawn_local};

use crate::child::{Abandoned, Child, part};
use crate::works::{Pair, Shape};
use crate::{CROWD, Done, certs, output};

pub(crate) const KEEP: &str = "raw-relay";
pub(crate) const SEND: &str = "raw-send";
pub(crate) const RECEIVE: &str = "raw-receive";
pub(crate) const CIRCLE: &str = "raw-circle";
pub(crate) const GATHER: &str = "raw-crowd";

const ALPN: &[u8] = b"bench/1";
/// Length, to, from, messages.
const HEAD: usize = 16;
/// Frames that wait for one receiver.
const WAITING: usize = 64;

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

fn roots(folder: &Path) -> Done<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(certs::CA))?)?;
    Ok(Arc::new(roots))
}

type Leaf = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn leaf(folder: &Path) -> Done<Leaf> {
    let chain = vec![CertificateDer::from_pem_file(folder.join(certs::LEAF))?];
    Ok((chain, PrivateKeyDer::from_pem_file(folder.join(certs::KEY))?))
}

fn server(folder: &Path) -> Done<QuicServerConfig> {
    let agents = WebPkiClientVerifier::builder_with_provider(roots(folder)?, provider()).build()?;
    let (chain, key) = leaf(folder)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(agents)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config.try_into()?)
}

fn client(folder: &Path) -> Done<QuicClientConfig> {
    let (chain, key) = leaf(folder)?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(folder)?)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config.try_into()?)
}

/// A frame as it goes on the wire.
pub(crate) fn frame(to: u32, from: u32, messages: u32, bundle: &[u8]) -> Done<Bytes> {
    let len = u32::try_from(HEAD - 4 + bundle.len())?;
    let head = [len, to, from, messages].map(u32::to_be_bytes);
    Ok([head.as_flattened(), bundle].concat().into())
}

fn field(frame: &[u8], at: usize) -> u32 {
    let bytes = frame.get(at * 4..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Who sent it, how many messages it holds.
pub(crate) fn about(frame: &[u8]) -> (u32, u32) {
    (field(frame, 2), field(frame, 3))
}

/// What comes on a stream, frame by frame.
struct Incomings {
    stream: RecvStream,
    rest: BytesMut,
}

impl Incomings {
    const fn new(stream: RecvStream, rest: BytesMut) -> Self {
        Self { stream, rest }
    }

    /// The next one; `None` when the stream has ended.
    async fn next(&mut self) -> Done<Option<Bytes>> {
        loop {
            let len = field(&self.rest, 0) as usize + 4;
            if self.rest.len() >= HEAD && self.rest.len() >= len {
                return Ok(Some(self.rest.split_to(len).freeze()));
            }
            let Some(chunk) = self.stream.read_chunk(usize::MAX, true).await? else { return Ok(None) };
            self.rest.extend_from_slice(&chunk.bytes);
        }
    }
}

/// One link to the relay.
pub(crate) struct Link {
    pub(crate) number: u32,
    send: Mutex<SendStream>,
    incoming: Mutex<Incomings>,
    pub(crate) connection: Connection,
    endpoint: Endpoint,
}

impl Link {
    pub(crate) async fn open(folder: &Path, relay: SocketAddr, number: u32) -> Done<Self> {
        let socket = testudo::server::udp(transport::dial_from(relay))?;
        let endpoint = transport::dialler(Socket::Udp(socket))?;
        let connecting =
            endpoint.connect_with(transport::client(client(folder)?, relay), relay, "localhost")?;
        let connection = connecting.await?;
        let (mut send, recv) = connection.open_bi().await?;
        send.write_all(&number.to_be_bytes()).await?;
        let mut incoming = Incomings::new(recv, BytesMut::new());
        // The relay knows this number once it has said it back.
        incoming.stream.read_exact(&mut [0; 4]).await?;
        let (send, incoming) = (Mutex::new(send), Mutex::new(incoming));
        Ok(Self { number, send, incoming, connection, endpoint })
    }

    pub(crate) async fn send(&self, frame: Bytes) -> Done {
        Ok(self.send.lock().await.write_all_chunks(&mut [frame]).await?)
    }

    /// The next frame; several may wait, each gets one.
    pub(crate) async fn next(&self) -> Done<Bytes> {
        Ok(self.incoming.lock().await.next().await?.ok_or("the relay ended the link")?)
    }

    pub(crate) async fn close(&self) {
        self.connection.close(0_u32.into(), b"goodbye");
        self.endpoint.wait_idle().await;
    }
}

/// Who is linked, by number; each with a number of its own among them.
#[derive(Default)]
struct Table {
    links: HashMap<u32, Vec<(usize, mpsc::Sender<Bytes>)>>,
    next: usize,
}

type Shared = Rc<RefCell<Table>>;

/// Runs the relay until standard input closes.
pub(crate) async fn keep(folder: &Path, at: &str) -> Done {
    let socket = testudo::server::udp(at.parse()?)?;
    let tls = Arc::new(server(folder)?);
    let (endpoint, acceptor) = (transport::listen(tls.clone(), Socket::Udp(socket))?, Acceptor::new(tls));
    output::say(&json!({ "listen": endpoint.local_addr()? }).to_string());
    let accepting = endpoint.clone();
    let tasks = LocalSet::new();
    tasks.spawn_local(async move {
        let table = Shared::default();
        while let Some(incoming) = accepting.accept().await {
            let (table, connecting) = (table.clone(), acceptor.accept(incoming));
            // One that ends in an error has ended.
            spawn_local(async move { serve(connecting?, table).await });
        }
    });
    let stdin = async {
        let mut sink = [0; 64];
        while tokio::io::stdin().read(&mut sink).await.is_ok_and(|n| n > 0) {}
    };
    tasks.run_until(stdin).await;
    endpoint.close(0_u32.into(), b"the relay ends");
    endpoint.wait_idle().await;
    Ok(())
}

async fn serve(connecting: Connecting, table: Shared) -> Done {
    let connection = connecting.await?;
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut number = [0; 4];
    recv.read_exact(&mut number).await?;
    send.write_all(&number).await?;
    let number = u32::from_be_bytes(number);
    let (queue, mut waiting) = mpsc::channel::<Bytes>(WAITING);
    let me = {
        let mut table = table.borrow_mut();
        table.next += 1;
        let me = table.next;
        table.links.entry(number).or_default().push((me, queue));
        me
    };
    spawn_local(async move {
        let mut frames = Vec::new();
        while waiting.recv_many(&mut frames, WAITING).await > 0 {
            if send.write_all_chunks(&mut frames).await.is_err() {
                break;
            }
            frames.clear();
        }
    });
    let relayed = relay(Incomings::new(recv, BytesMut::new()), &table).await;
    if let Some(links) = table.borrow_mut().links.get_mut(&number) {
        links.retain(|(link, _)| *link != me);
    }
    relayed
}

async fn relay(mut incoming: Incomings, table: &Shared) -> Done {
    while let Some(frame) = incoming.next().await? {
        let to = field(&frame, 1);
        let receivers: Vec<_> = {
            let table = table.borrow();
            table.links.get(&to).into_iter().flatten().map(|(_, queue)| queue.clone()).collect()
        };
        for receiver in receivers {
            // One that has gone takes nothing.
            let _ = receiver.send(frame.clone()).await;
        }
    }
    Ok(())
}

/// A relay that runs.
pub(crate) struct Relay {
    folder: String,
    listen: SocketAddr,
    /// Numbers that nobody has had yet.
    fresh: std::cell::Cell<u32>,
}

impl Relay {
    pub(crate) async fn start(folder: PathBuf) -> Done<(Self, Child)> {
        std::fs::create_dir_all(&folder)?;
        certs::write(&folder)?;
        let folder = folder.to_string_lossy().into_owned();
        let mut relay = Self { folder, listen: ([127, 0, 0, 1], 0).into(), fresh: 1.into() };
        let child = relay.again().await?;
        Ok((relay, child))
    }

    /// Starts it, where it was if it ran before.
    pub(crate) async fn again(&mut self) -> Done<Child> {
        let command = part(&[KEEP, &self.folder, &self.listen.to_string()])?;
        let mut child = Child::start("raw relay", command, Abandoned::Killed)?;
        self.listen = serde_json::from_value(child.hear().await?["listen"].take())?;
        Ok(child)
    }

    async fn play(&self, name: &'static str, part_of: &str, numbers: &[u32]) -> Done<Child> {
        let mut arguments = vec![part_of.to_owned(), self.folder.clone(), self.listen.to_string()];
        arguments.extend(numbers.iter().map(u32::to_string));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut child = Child::start(name, part(&arguments)?, Abandoned::Killed)?;
        child.hear().await?;
        Ok(child)
    }

    fn numbers(&self, many: usize) -> Done<u32> {
        let first = self.fresh.get();
        self.fresh.set(first + u32::try_from(many)?);
        Ok(first)
    }

    /// Who sends and who receives.
    pub(crate) async fn pair(&self, shape: Shape) -> Done<Pair> {
        let (senders, receivers) = match shape {
            Shape::One => (1, 1),
            Shape::In => (CROWD as u32, 1),
            Shape::Out(many) => (1, u32::try_from(many)?),
            Shape::Circle => {
                let (first, half) = (self.numbers(CROWD)?, (CROWD / 2) as u32);
                let circle = async |of| self.play("raw circle", CIRCLE, &[first, of, half]).await;
                return Ok(Pair { receiver: circle(0).await?, sender: circle(half).await? });
            }
        };
        let first = self.numbers(CROWD + 1)?;
        let receiver = self.play("raw receiver", RECEIVE, &[first, receivers]).await?;
        Ok(Pair { sender: self.play("raw sender", SEND, &[first, first + 1, senders]).await?, receiver })
    }

    /// So many links that will do nothing.
    pub(crate) async fn crowd(&self, many: usize) -> Done<Child> {
        let first = self.numbers(many)?;
        self.play("raw crowd", GATHER, &[first, u32::try_from(many)?]).await
    }
}
