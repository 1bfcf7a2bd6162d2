//! A PKI mount of Vault or OpenBao as an issuer: `POST /v1/<mount>/sign/<role>`.
//!
//! Lives on a thread of its own: TLS, JSON, files and the checks of what comes back never hold a node's. What the
//! service says is checked as if it came from an enemy.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use testudo_bus::env::SharedEnv;
use testudo_bus::tls::{Ask, Issuer, IssuerError, IssuerHealth, Issuing, Trust, check_issued};
use testudo_wire::{SwarmId, Timestamp};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::VaultError;
use super::http::{Call, CallError, Http, Refused};
use super::login::{Login, Logins};
use super::watch::{LOOK, Watch};
use crate::config::Vault;
use crate::files;
use crate::swarm::{all_from_pem, from_pem};

/// Certificates under way at once.
const AT_ONCE: usize = 8;
/// Longest file of CAs.
const CA_BYTES_MAX: u64 = 64 * 1024;

type Answer = Result<CertificateDer<'static>, IssuerError>;

struct Job {
    ask: Ask,
    answer: oneshot::Sender<Answer>,
    /// Given back when the job is done.
    _place: OwnedSemaphorePermit,
}

/// An issuer over HTTPS. Dropped, its thread ends.
#[derive(Debug)]
pub struct VaultIssuer {
    roots: Vec<CertificateDer<'static>>,
    places: Arc<Semaphore>,
    jobs: mpsc::Sender<Job>,
    watch: Arc<Watch>,
    env: SharedEnv,
}

impl VaultIssuer {
    /// Reads the CAs and starts the thread, which logs in when it is first asked and keeps the login alive from then
    /// on. A service that does not answer yet is no error here.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn start(swarm: SwarmId, settings: Vault, env: SharedEnv) -> Result<Self, VaultError> {
        let file = &settings.issuing_ca_file;
        let text = files::read_public(file, CA_BYTES_MAX)?;
        let not_pem = || VaultError::NotPem(file.clone());
        let roots = all_from_pem(&text).ok_or_else(not_pem)?;
        let trust = Trust::new(swarm, &roots).map_err(|_| not_pem())?;
        let http = Http::new(&settings)?;
        let (jobs, given) = mpsc::channel(AT_ONCE);
        let logins = Logins::new(http.clone(), settings.login.clone());
        let watch = Arc::new(Watch::default());
        let desk = Desk { logins, http, settings, trust, watch: watch.clone(), env: env.clone() };
        let body = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(serve(Arc::new(desk), given)),
            // Whoever asks hears that the thread has ended.
            Err(error) => tracing::error!(%error, "the PKI client has no runtime"),
        };
        let thread = std::thread::Builder::new().name("testudo-pki".into()).spawn(body);
        thread.map_err(|error| VaultError::Client(error.to_string()))?;
        Ok(Self { roots, places: Arc::new(Semaphore::new(AT_ONCE)), jobs, watch, env })
    }

    async fn asked(&self, ask: Ask) -> Answer {
        ask.check()?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| VaultError::Busy)?;
        let (answer, word) = oneshot::channel();
        // There are as many places in the channel as there are permits.
        self.jobs.try_send(Job { ask, answer, _place: place }).map_err(|_| VaultError::Busy)?;
        let gone = || VaultError::Client("its thread has ended".into());
        word.await.unwrap_or_else(|_| Err(gone().into()))
    }
}

impl Issuer for VaultIssuer {
    fn issue(&self, ask: Ask) -> Issuing<'_> {
        Box::pin(self.asked(ask))
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.roots.clone()
    }

    fn watch(&self) {
        self.watch.begin();
    }

    fn health(&self) -> IssuerHealth {
        if self.jobs.is_closed() {
            let why = "the PKI client's thread has ended; restart the node".into();
            return IssuerHealth::Failing { since: Timestamp::from_millis(0), why };
        }
        self.watch.health(self.env.now())
    }
}

/// The thread's life: jobs beside each other, and the login kept alive, until the issuer is dropped.
async fn serve(desk: Arc<Desk>, mut given: mpsc::Receiver<Job>) {
    let kept = desk.clone();
    let keeping = tokio::spawn(async move { kept.logins.keep().await });
    let looked = desk.clone();
    let looking = tokio::spawn(async move { looked.look().await });
    while let Some(Job { ask, answer, _place: place }) = given.recv().await {
        let desk = desk.clone();
        tokio::spawn(async move {
            let _ = answer.send(desk.issue(&ask).await);
            drop(place);
        });
    }
    keeping.abort();
    looking.abort();
}

/// What signs.
struct Desk {
    http: Http,
    logins: Logins,
    settings: Vault,
    trust: Trust,
    watch: Arc<Watch>,
    env: SharedEnv,
}

impl Desk {
    async fn issue(&self, ask: &Ask) -> Answer {
        // For everything together: a login, the signature, and both once more.
        let signed = self.in_time(self.signed(ask)).await;
        let leaf = signed.inspect_err(|error| {
            // To ask for nothing is the asker's own fault.
            if !matches!(error, VaultError::Unasked) {
                self.watch.issued(Err(error.own_words()), self.env.now());
            }
        })?;
        let checked = check_issued(ask, &self.trust, &leaf, self.env.now());
        let found = checked.map_err(|error| format!("the issuer's certificate is refused: {error}"));
        self.watch.issued(found, self.env.now());
        checked?;
        Ok(leaf)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, VaultError>>) -> Result<T, VaultError> {
        let ms = self.settings.timeout_ms;
        timeout(Duration::from_millis(ms.into()), work).await.unwrap_or(Err(VaultError::Timeout(ms)))
    }

    /// Looks how the service is, for as long as it is polled, from when somebody wants to know.
    async fn look(&self) {
        self.watch.is_wanted().await;
        loop {
            let found = self.in_time(self.well()).await;
            self.watch.looked(found, self.env.now());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether the login is good and the mount there. Nothing is signed for it.
    async fn well(&self) -> Result<(), VaultError> {
        let login = self.logins.login().await?;
        if !self.logins.is_known(&login).await?
            && let Some(next) = self.logins.other_than(&login).await?
        {
            self.logins.learns_of(&next).await?;
        }
        let path = format!("{}/cert/ca", self.settings.mount);
        let call = Call { method: Method::GET, path: &path, token: None, body: None };
        match self.http.call(call).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(refused)) => Err(refused.general(&path)),
            Err(CallError::Other(error)) => Err(error),
        }
    }

    async fn signed(&self, ask: &Ask) -> Result<CertificateDer<'static>, VaultError> {
        let path = format!("{}/sign/{}", self.settings.mount, self.settings.role);
        let login = self.logins.login().await?;
        let answer = match self.sign(&path, ask, &login).await? {
            Ok(answer) => answer,
            // The same word for a login that is over and for one that may not: another login tells them apart.
            Err(refused) if refused.status == StatusCode::FORBIDDEN => {
                let Some(login) = self.logins.other_than(&login).await? else {
                    return Err(refused.general(&path));
                };
                self.sign(&path, ask, &login).await?.map_err(|refused| said_of(refused, &path))?
            }
            Err(refused) => return Err(said_of(refused, &path)),
        };
        let text = answer["data"]["certificate"].as_str().ok_or(VaultError::Garbage("no certificate"))?;
        from_pem(text).ok_or(VaultError::Garbage("a certificate that is none"))
    }

    async fn sign(&self, path: &str, ask: &Ask, login: &Login) -> Result<Result<Value, Refused>, VaultError> {
        let request = ask.request.as_ref().ok_or(VaultError::Unasked)?;
        let body = json!({
            "csr": request.pem(),
            "uri_sans": ask.id.to_string(),
            "exclude_cn_from_sans": true,
            "format": "pem",
            "ttl": format!("{}s", ask.lifetime.as_secs()),
        });
        let call = Call { method: Method::POST, path, token: Some(login.token()), body: Some(body) };
        match self.http.call(call).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(CallError::Refused(refused)) => Ok(Err(refused)),
            Err(CallError::Other(error)) => Err(error),
        }
    }
}

fn said_of(refused: Refused, path: &str) -> VaultError {
    if refused.status == StatusCode::BAD_REQUEST {
        VaultError::Role(refused.said)
    } else {
        refused.general(path)
    }
}
