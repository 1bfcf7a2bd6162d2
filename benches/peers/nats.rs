//! NATS with mutual TLS: `nats-server` from the machine, certificates made for the run, two clients.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subject, Subscriber};
use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use futures_util::future::{try_join, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::sleep;

use crate::child::{Abandoned, Child, part};
use crate::many::{Circle, Crowd};
use crate::role::{Receiver, Sender};
use crate::works::{Pair, Shape};
use crate::{AT_ONCE, CROWD, Done, PAYLOAD, certs, output};

pub(crate) const SEND: &str = "nats-send";
pub(crate) const RECEIVE: &str = "nats-receive";
pub(crate) const KEEP: &str = "nats-keep";
pub(crate) const CIRCLE: &str = "nats-circle";
pub(crate) const GATHER: &str = "nats-crowd";
/// Whether every message is signed and verified by its ends.
const PLAIN: &str = "plain";
const SIGNED: &str = "signed";

/// Messages that a subscriber may fall behind before its client drops some: more than a round sends.
const BEHIND: usize = 1024 * 1024;
/// The server's start is looked for so often, and so many times.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: usize = 500;

/// What to do without it.
pub(crate) const MISSING: &str = "nats-server is not installed; apt-get install nats-server";

/// Where the server is: on the path, or where Debian puts it.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("nats-server")).find(|file| file.is_file())
}

fn configuration(folder: &Path) -> String {
    let path = |name: &str| json!(folder.join(name).to_string_lossy());
    let (ca, leaf, key) = (path(certs::CA), path(certs::LEAF), path(certs::KEY));
    let (log, ports) = (path("nats.log"), path("ports"));
    // A subscriber that is behind is neither cut off nor dropped from: every message counts.
    format!(
        "tls {{ cert_file: {leaf}, key_file: {key}, ca_file: {ca}, verify: true }}\n\
         log_file: {log}\nports_file_dir: {ports}\nmax_pending: 1GB\n"
    )
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    program: String,
    folder: String,
    url: String,
}

impl Server {
    /// Makes its certificates in a folder of its own and starts it.
    pub(crate) async fn start(program: &Path, folder: PathBuf) -> Done<(Self, Child)> {
        std::fs::create_dir_all(folder.join("ports"))?;
        certs::write(&folder)?;
        std::fs::write(folder.join("nats.conf"), configuration(&folder))?;
        let (program, folder) =
            (program.to_string_lossy().into_owned(), folder.to_string_lossy().into_owned());
        let mut server = Self { program, folder, url: String::new() };
        let child = server.run("-1").await?;
        Ok((server, child))
    }

    /// Starts it on a port. It does not end with its standard input: its keeper ends it.
    async fn run(&mut self, port: &str) -> Done<Child> {
        let keeper = part(&[KEEP, &self.program, &self.folder, port])?;
        let mut bus = Child::start("nats-server", keeper, Abandoned::LeftToEnd)?;
        let mut word = bus.hear().await?;
        self.url = serde_json::from_value(word["url"].take())?;
        Ok(bus)
    }

    /// Starts it again where it was.
    pub(crate) async fn again(&mut self) -> Done<Child> {
        let port = self.url.rsplit(':').next().unwrap_or_default().to_owned();
        self.run(&port).await
    }

    async fn play(&self, name: &'static str, part_of: &str, more: &[&str]) -> Done<Child> {
        let arguments: Vec<_> =
            [part_of, &self.url, &self.folder].into_iter().chain(more.iter().copied()).collect();
        let mut child = Child::start(name, part(&arguments)?, Abandoned::Killed)?;
        child.hear().await?;
        Ok(child)
    }

    /// Who sends and who receives.
    pub(crate) async fn pair(&self, shape: Shape, signed: bool) -> Done<Pair> {
        let sign = if signed { SIGNED } else { PLAIN };
        let (subject, senders, receivers) = match shape {
            Shape::One => (format!("bench.one.{sign}"), 1, 1),
            Shape::In => (format!("bench.in.{sign}"), CROWD, 1),
            Shape::Out(many) => (format!("bench.out.{many}"), 1, many),
            Shape::Circle => return self.circle().await,
        };
        let (senders, receivers) = (senders.to_string(), receivers.to_string());
        let receiver = self.play("nats receiver", RECEIVE, &[&subject, sign, &receivers]).await?;
        Ok(Pair { sender: self.play("nats sender", SEND, &[&subject, sign, &senders]).await?, receiver })
    }

    async fn circle(&self) -> Done<Pair> {
        let (half, all) = ((CROWD / 2).to_string(), CROWD.to_string());
        Ok(Pair {
            receiver: self.play("nats circle", CIRCLE, &["0", &half]).await?,
            sender: self.play("nats circle", CIRCLE, &[&half, &all]).await?,
        })
    }

    /// So many clients that will do nothing.
    pub(crate) async fn crowd(&self, many: usize) -> Done<Child> {
        self.play("nats crowd", GATHER, &[&many.to_string()]).await
    }
}

/// Runs the server on a port of loopback until standard input closes.
pub(crate) async fn keep(server: &str, folder: &Path, port: &str) -> Done {
    let ports = folder.join("ports");
    for old in std::fs::read_dir(&ports)? {
        std::fs::remove_file(old?.path())?;
    }
    let mut process = Command::new(server)
        .args(["-a", "127.0.0.1", "-p", port, "-c"])
        .arg(folder.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let url = tokio::select! {
        url = address(&ports) => url?,
        status = process.wait() => {
            let log = std::fs::read_to_string(folder.join("nats.log")).unwrap_or_default();
            return Err(format!("{server} ended with {}: {}", status?, log.trim_end()).into());
        }
    };
    output::say(&json!({ "url": url }).to_string());
    let mut sink = [0; 64];
    while tokio::io::stdin().read(&mut sink).await.is_ok_and(|n| n > 0) {}
    process.kill().await?;
    Ok(())
}

/// The address that the server writes down once it listens.
async fn address(ports: &Path) -> Done<String> {
    for _ in 0..LOOKS {
        sleep(LOOK).await;
        let Some(file) = std::fs::read_dir(ports)?.next() else { continue };
        // Half written is as good as not there yet.
        let Ok(ports) = serde_json::from_slice::<Value>(&std::fs::read(file?.path())?) else { continue };
        if let Some(url) = ports["nats"][0].as_str() {
            return Ok(url.to_owned());
        }
    }
    Err("nats-server does not listen".into())
}

fn options(folder: &Path) -> ConnectOptions {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    ConnectOptions::new()
        .require_tls(true)
        .add_root_certificates(folder.join(certs::CA))
        .add_client_certificate(folder.join(certs::LEAF), folder.join(certs::KEY))
}

async fn connect(url: &str, folder: &Path) -> Done<Client> {
    Ok(options(folder).subscription_capacity(BEHIND).max_reconnects(1).connect(url).await?)
}

/// What a user builds by hand for a proof of the sender: the signature before the body.
const SIGNATURE: usize = Signature::BYTE_SIZE;

/// The sender's key, of which only the ends know.
fn key(sign: &str) -> Option<SigningKey> {
    (sign == SIGNED).then(|| SigningKey::from_bytes(&[7; 32]))
}

/// Clients that publish, one after the other.
pub(crate) struct Sending {
    clients: Vec<Client>,
    subject: Subject,
    key: Option<SigningKey>,
    next: usize,
}

impl Sending {
    pub(crate) async fn open(
        url: &str,
        folder: &Path,
        (subject, sign, many): (&str, &str, &str),
    ) -> Done<Self> {
        let clients = (0..many.parse::<usize>()?).map(|_| connect(url, folder));
        let clients = try_join_all(clients).await?;
        Ok(Self { clients, subject: subject.to_owned().into(), key: key(sign), next: 0 })
    }
}

impl Sender for Sending {
    async fn post(&mut self, body: &Bytes) -> Done {
        let body = match &self.key {
            Some(key) => [&key.sign(body).to_bytes()[..], body].concat().into(),
            None => body.clone(),
        };
        self.next = (self.next + 1) % self.clients.len();
        self.clients[self.next].publish(self.subject.clone(), body).await?;
        Ok(())
    }

    async fn flush(&mut self) -> Done {
        for client in &self.clients {
            client.flush().await?;
        }
        Ok(())
    }

    async fn ask(&self) -> Done {
        let body = Bytes::from_static(PAYLOAD.as_bytes());
        self.clients[0].request(self.subject.clone(), body).await?;
        Ok(())
    }

    async fn leave(self) -> Done {
        Ok(())
    }
}

/// Clients that subscribe.
pub(crate) struct Receiving {
    links: Vec<(Client, Subscriber)>,
    key: Option<VerifyingKey>,
}

impl Receiving {
    pub(crate) async fn open(
        url: &str,
        folder: &Path,
        (subject, sign, many): (&str, &str, &str),
    ) -> Done<Self> {
        let subject = Subject::from(subject.to_owned());
        let links = (0..many.parse::<usize>()?).map(async |_| -> Done<_> {
            let client = connect(url, folder).await?;
            let messages = client.subscribe(subject.clone()).await?;
            client.flush().await?;
            Ok((client, messages))
        });
        let key = key(sign).map(|key| key.verifying_key());
        Ok(Self { links: try_join_all(links).await?, key })
    }
}

async fn next(messages: &mut Subscriber) -> Done<async_nats::Message> {
    Ok(messages.next().await.ok_or("the connection to nats-server ended")?)
}

impl Receiver for Receiving {
    async fn take(&mut self, count: u32) -> Done {
        let key = &self.key;
        let all = self.links.iter_mut().map(async |(_, messages)| -> Done {
            for _ in 0..count {
                let message = next(messages).await?;
                if let Some(key) = key {
                    let (signature, body) =
                        message.payload.split_at_checked(SIGNATURE).ok_or("no signature")?;
                    key.verify_strict(body, &Signature::from_slice(signature)?)?;
                }
            }
            Ok(())
        });
        try_join_all(all).await?;
        Ok(())
    }

    async fn answer(&mut self) -> Done {
        let (client, messages) = &mut self.links[0];
        let request = next(messages).await?;
        let reply = request.reply.ok_or("a request without an inbox")?;
        client.publish(reply, request.payload).await?;
        Ok(())
    }

    async fn leave(self) -> Done {
        Ok(())
    }
}

/// Half of a circle.
pub(crate) struct Half {
    links: Vec<(Client, Subscriber)>,
    /// The subjects of everyone else, for each link.
    others: Vec<Vec<Subject>>,
}

impl Half {
    pub(crate) async fn open(url: &str, folder: &Path, from: &str, to: &str) -> Done<Self> {
        let subject = |n: usize| Subject::from(format!("bench.circle.{n}"));
        let mine = from.parse::<usize>()?..to.parse::<usize>()?;
        let links = try_join_all(mine.clone().map(async |n| -> Done<_> {
            let client = connect(url, folder).await?;
            let messages = client.subscribe(subject(n)).await?;
            client.flush().await?;
            Ok((client, messages))
        }))
        .await?;
        let others = mine.map(|me| (0..CROWD).filter(|n| *n != me).map(subject).collect());
        Ok(Self { links, others: others.collect() })
    }
}

impl Circle for Half {
    async fn exchange(&mut self, each: u32) -> Done {
        let body = Bytes::from_static(PAYLOAD.as_bytes());
        let all = self.links.iter_mut().zip(&self.others).map(|((client, messages), others)| {
            let (client, body) = (&*client, &body);
            let sending = async move {
                for _ in 0..each {
                    for other in others {
                        client.publish(other.clone(), body.clone()).await?;
                    }
                }
                client.flush().await?;
                Ok(())
            };
            let taking = async {
                for _ in 0..each as usize * others.len() {
                    next(messages).await?;
                }
                Ok(())
            };
            try_join(sending, taking)
        });
        try_join_all(all).await.map(drop)
    }

    async fn leave(self) -> Done {
        Ok(())
    }
}

/// Clients that do nothing, each with the number of times that it was connected.
pub(crate) struct Idle {
    url: String,
    folder: PathBuf,
    many: usize,
    links: Vec<(Client, Arc<AtomicUsize>)>,
    marked: Vec<usize>,
}

impl Idle {
    pub(crate) fn new(url: &str, folder: &Path, many: &str) -> Done<Self> {
        let (url, folder) = (url.to_owned(), folder.to_owned());
        Ok(Self { url, folder, many: many.parse()?, links: Vec::new(), marked: Vec::new() })
    }
}

impl Crowd for Idle {
    async fn gather(&mut self) -> Done {
        let (url, folder) = (&self.url, &self.folder);
        let link = async |_| -> Done<_> {
            let times = Arc::new(AtomicUsize::new(0));
            let counted = times.clone();
            let options = options(folder).max_reconnects(None).event_callback(move |event| {
                if matches!(event, Event::Connected) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                std::future::ready(())
            });
            Ok((options.connect(url).await?, times))
        };
        self.links = stream::iter(0..self.many).map(link).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(())
    }

    fn mark(&mut self) {
        self.marked = self.links.iter().map(|(_, times)| times.load(Ordering::Relaxed)).collect();
    }

    fn missing(&self) -> usize {
        let back =
            |((_, times), marked): (&(_, Arc<AtomicUsize>), &usize)| times.load(Ordering::Relaxed) > *marked;
        self.links.len() - self.links.iter().zip(&self.marked).filter(|link| back(*link)).count()
    }
}
