//! NATS with mutual TLS: `nats-server` from the machine, certificates made for the run, two clients.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Subject, Subscriber};
use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::sleep;

use crate::child::{Abandoned, Child, part};
use crate::role::{Receiver, Sender};
use crate::{CROWD, Done, PAYLOAD, Pair, Peer, output};

pub(crate) const SEND: &str = "nats-send";
pub(crate) const RECEIVE: &str = "nats-receive";
pub(crate) const KEEP: &str = "nats-keep";
/// Whether every message is signed and verified by its ends.
const PLAIN: &str = "plain";
const SIGNED: &str = "signed";

/// Messages that a subscriber may fall behind before its client drops some: more than a round sends.
const BEHIND: usize = 1024 * 1024;
/// The server's start is looked for so often, and so many times.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: usize = 500;

/// Where the server is: on the path, or where Debian puts it.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("nats-server")).find(|file| file.is_file())
}

/// A CA, and one leaf that it signed, for server and clients alike.
fn certify(folder: &Path) -> Done {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    std::fs::write(folder.join("ca.pem"), authority.self_signed(&key)?.pem())?;
    let authority = Issuer::new(authority, key);
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    std::fs::write(folder.join("leaf.pem"), leaf.signed_by(&key, &authority)?.pem())?;
    std::fs::write(folder.join("leaf.key"), key.serialize_pem())?;
    Ok(())
}

fn configuration(folder: &Path) -> String {
    let path = |name: &str| json!(folder.join(name).to_string_lossy());
    let (ca, leaf, key) = (path("ca.pem"), path("leaf.pem"), path("leaf.key"));
    let (log, ports) = (path("nats.log"), path("ports"));
    // A subscriber that is behind is neither cut off nor dropped from: every message counts.
    format!(
        "tls {{ cert_file: {leaf}, key_file: {key}, ca_file: {ca}, verify: true }}\n\
         log_file: {log}\nports_file_dir: {ports}\nmax_pending: 1GB\n"
    )
}

/// Starts server, sender and receiver.
pub(crate) async fn start(server: &Path, folder: &Path) -> Done<Peer> {
    let folder = folder.join("nats");
    std::fs::create_dir_all(folder.join("ports"))?;
    certify(&folder)?;
    std::fs::write(folder.join("nats.conf"), configuration(&folder))?;
    let (server, folder) = (server.to_string_lossy(), folder.to_string_lossy());
    // The server does not end with its standard input: its keeper ends it.
    let mut bus = Child::start("nats-server", part(&[KEEP, &server, &folder])?, Abandoned::LeftToEnd)?;
    let mut word = bus.hear().await?;
    let url: String = serde_json::from_value(word["url"].take())?;
    let pair = async |subject: &str, sign: &str, senders: usize, receivers: usize| -> Done<Pair> {
        let start = async |name, of: &str, many: usize| -> Done<Child> {
            let mut child = part(&[of, &url, &folder, subject, sign, &many.to_string()])
                .and_then(|command| Child::start(name, command, Abandoned::Killed))?;
            child.hear().await?;
            Ok(child)
        };
        let receiver = start("nats receiver", RECEIVE, receivers).await?;
        Ok(Pair { sender: start("nats sender", SEND, senders).await?, receiver })
    };
    let one = pair("bench.one", PLAIN, 1, 1).await?;
    let signed = Some(pair("bench.signed", SIGNED, 1, 1).await?);
    let fan_in = pair("bench.in", PLAIN, CROWD, 1).await?;
    let fan_out = pair("bench.out", PLAIN, 1, CROWD).await?;
    Ok(Peer { one, fan_in, fan_out, signed, bus })
}

/// Runs the server on a free port of loopback until standard input closes.
pub(crate) async fn keep(server: &str, folder: &Path) -> Done {
    let mut process = Command::new(server)
        .args(["-a", "127.0.0.1", "-p", "-1", "-c"])
        .arg(folder.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let ports = folder.join("ports");
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

async fn connect(url: &str, folder: &Path) -> Done<Client> {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = ConnectOptions::new()
        .require_tls(true)
        .add_root_certificates(folder.join("ca.pem"))
        .add_client_certificate(folder.join("leaf.pem"), folder.join("leaf.key"))
        .subscription_capacity(BEHIND)
        .max_reconnects(1);
    Ok(options.connect(url).await?)
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

    async fn ask(&mut self) -> Done {
        let body = Bytes::from_static(PAYLOAD.as_bytes());
        self.clients[0].request(self.subject.clone(), body).await?;
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
}
