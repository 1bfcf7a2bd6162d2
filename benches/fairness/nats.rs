//! The same loads through NATS with mutual TLS: what they cost where nothing is verified, recorded or shared out.
//!
//! `nats-server` from the machine, certificates made for the run, every client in the place of an agent.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::process::{Child as Process, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::Done;
use crate::crowd::{Ask, CROWD, QUESTION};
use crate::role::{Orders, between_words, body};
use crate::stage::Load;

pub(crate) const BULK: &str = "nats-bulk";
pub(crate) const FLOOD: &str = "nats-flood";
/// Who answers, and who takes large bodies in.
const ASKED: &str = "bench.ask";
const STORE: &str = "bench.store";

/// Messages that a subscriber may fall behind before its client drops some.
const BEHIND: usize = 4 * 1024 * 1024;
/// Messages of the flooder between two waits for the server.
const AHEAD: u64 = 2_048;
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
    // Nobody who is behind is cut off: every request is to be answered, however late.
    format!(
        "tls {{ cert_file: {leaf}, key_file: {key}, ca_file: {ca}, verify: true }}\n\
         log_file: {log}\nports_file_dir: {ports}\nmax_pending: 1GB\nmax_payload: 33554432\n"
    )
}

/// The address that the server writes down once it listens.
async fn address(folder: &Path) -> Done<String> {
    for _ in 0..LOOKS {
        sleep(LOOK).await;
        let Some(file) = std::fs::read_dir(folder.join("ports"))?.next() else { continue };
        // Half written is as good as not there yet.
        let Ok(ports) = serde_json::from_slice::<Value>(&std::fs::read(file?.path())?) else { continue };
        if let Some(url) = ports["nats"][0].as_str() {
            return Ok(url.to_owned());
        }
    }
    let log = std::fs::read_to_string(folder.join("nats.log")).unwrap_or_default();
    Err(format!("nats-server does not listen: {}", log.trim_end()).into())
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

async fn subscribe(client: &Client, subject: &'static str) -> Done<Subscriber> {
    let messages = client.subscribe(subject).await?;
    client.flush().await?;
    Ok(messages)
}

impl Ask for Client {
    async fn ask(&self) -> Done<f64> {
        let began = Instant::now();
        self.request(ASKED, QUESTION.into()).await?;
        Ok(began.elapsed().as_secs_f64() * 1e6)
    }
}

/// Everything of NATS that runs.
pub(crate) struct Nats {
    /// Ends with what holds it.
    _server: Process,
    pub(crate) bulk: Load,
    pub(crate) flood: Load,
    pub(crate) crowd: Vec<Client>,
    serving: JoinHandle<()>,
}

impl Nats {
    /// Starts the server on a free port of loopback, and everybody.
    pub(crate) async fn set(server: &Path, folder: &Path) -> Done<Self> {
        let folder = folder.join("nats");
        std::fs::create_dir_all(folder.join("ports"))?;
        certify(&folder)?;
        let config = folder.join("nats.conf");
        std::fs::write(&config, configuration(&folder))?;
        let server = Command::new(server)
            .args(["-a", "127.0.0.1", "-p", "-1", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let url = address(&folder).await?;
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(connect(&url, &folder).await?);
        }
        let client = connect(&url, &folder).await?;
        let messages = subscribe(&client, ASKED).await?;
        let at = folder.to_string_lossy();
        Ok(Self {
            _server: server,
            bulk: Load::open("nats bulk sender", &[BULK, &url, &at]).await?,
            flood: Load::open("nats flooder", &[FLOOD, &url, &at]).await?,
            crowd,
            serving: tokio::spawn(serve(client, messages)),
        })
    }

    pub(crate) async fn end(self) -> Done {
        self.bulk.end().await?;
        self.flood.end().await?;
        self.serving.abort();
        Ok(())
    }
}

/// Answers every request; messages that want none are the flooder's.
async fn serve(client: Client, mut messages: Subscriber) {
    while let Some(message) = messages.next().await {
        if let Some(reply) = message.reply {
            // Whoever asked hears of a failure as an answer that does not come.
            let _ = client.publish(reply, message.payload).await;
        }
    }
}

/// Plays one part until standard input ends.
pub(crate) async fn play(orders: &mut Orders, part: &str, url: &str, folder: &Path) -> Done {
    let client = connect(url, folder).await?;
    if part == FLOOD {
        return flood(orders, &client).await;
    }
    let inbox = connect(url, folder).await?;
    let mut messages = subscribe(&inbox, STORE).await?;
    crate::role::ready()?;
    let body = body();
    between_words(orders, async |_| {
        client.publish(STORE, body.clone()).await?;
        client.flush().await?;
        messages.next().await.map(drop).ok_or_else(|| "the connection to nats-server ended".into())
    })
    .await
}

async fn flood(orders: &mut Orders, client: &Client) -> Done {
    crate::role::ready()?;
    between_words(orders, async |sent| {
        client.publish(ASKED, Bytes::from_static(QUESTION.as_bytes())).await?;
        // Nothing slows a publisher down but the wish to hear of the server now and then.
        if sent % AHEAD == 0 {
            client.flush().await?;
        }
        Ok(())
    })
    .await
}
