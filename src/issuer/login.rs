//! The login at a PKI service: by a token in a file, or by AppRole. Renewed at two thirds of its life, replaced when
//! it cannot be. One login at a time; secrets are read from their files when they are needed, and wiped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::VaultError;
use super::http::{Call, CallError, Http};
use crate::config::{AppRole, LoginBy};
use crate::files;

/// Longest secret.
const SECRET_BYTES_MAX: u64 = 1024;
/// After a failure, and twice as long after each further one.
const AGAIN: Duration = Duration::from_secs(1);
/// But not longer.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// How soon a login that lives shorter is looked at again.
const SOON: Duration = Duration::from_millis(100);

/// A login that the service gave or confirmed.
pub(super) struct Login {
    token: Zeroizing<String>,
    /// `None`: it does not end.
    life: Option<Life>,
}

#[derive(Clone, Copy)]
struct Life {
    renew_at: Instant,
    ends: Instant,
    renewable: bool,
}

impl Life {
    fn of(lease: Duration, renewable: bool) -> Option<Self> {
        let now = Instant::now();
        (!lease.is_zero()).then(|| Self { renew_at: now + lease * 2 / 3, ends: now + lease, renewable })
    }
}

impl Login {
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    fn is_over(&self) -> bool {
        self.life.is_some_and(|life| life.ends <= Instant::now())
    }

    fn is_due(&self) -> bool {
        self.life.is_some_and(|life| life.renew_at <= Instant::now())
    }
}

/// Keeps one login alive.
pub(super) struct Logins {
    http: Http,
    by: LoginBy,
    /// Held while a login is under way, so that there is one; each way through it is bounded by the HTTP time-out.
    current: Mutex<Option<Arc<Login>>>,
    /// Somebody has logged in for the first time.
    begun: Notify,
    /// Its logins may not look themselves up.
    untold: AtomicBool,
}

impl Logins {
    pub(super) fn new(http: Http, by: LoginBy) -> Self {
        Self { http, by, current: Mutex::new(None), begun: Notify::new(), untold: AtomicBool::new(false) }
    }

    /// A login that is not over.
    pub(super) async fn login(&self) -> Result<Arc<Login>, VaultError> {
        let mut current = self.current.lock().await;
        match &*current {
            Some(login) if !login.is_over() => Ok(login.clone()),
            Some(_) | None => self.fresh(&mut current).await,
        }
    }

    /// Another login than this, which the service refused. `None` when there can be none: the login is good, and
    /// what it was refused is not its to do.
    pub(super) async fn other_than(&self, refused: &Arc<Login>) -> Result<Option<Arc<Login>>, VaultError> {
        let mut current = self.current.lock().await;
        if let Some(login) = &*current
            && !Arc::ptr_eq(login, refused)
        {
            return Ok(Some(login.clone()));
        }
        let next = self.fresh(&mut current).await?;
        // A token that was looked up a moment ago is good.
        Ok((next.token() != refused.token()).then_some(next))
    }

    /// Whether the service knows this login still, as far as it tells a login that.
    pub(super) async fn is_known(&self, login: &Login) -> Result<bool, VaultError> {
        if self.untold.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let path = "auth/token/lookup-self";
        let call = Call { method: Method::GET, path, token: Some(login.token()), body: None };
        match self.http.call(call).await {
            Ok(_) => Ok(true),
            Err(CallError::Refused(refused)) if refused.status == StatusCode::FORBIDDEN => Ok(false),
            Err(CallError::Refused(refused)) => Err(refused.general(path)),
            Err(CallError::Other(error)) => Err(error),
        }
    }

    /// A login that is a moment old and is not known is one whose policy does not let it look: it is not asked again, or
    /// every look would cost another login.
    pub(super) async fn learns_of(&self, fresh: &Login) -> Result<(), VaultError> {
        if !self.is_known(fresh).await? {
            self.untold.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Renews ahead of time, for as long as it is polled, from the first login on: a command that certifies nobody
    /// spends no secret id.
    pub(super) async fn keep(&self) {
        self.begun.notified().await;
        let mut again = AGAIN;
        loop {
            match self.ahead().await {
                Ok(Some(wait)) => {
                    again = AGAIN;
                    tokio::time::sleep(wait.max(SOON)).await;
                }
                // It does not end: nothing is left to do.
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the login at the PKI service is not renewed; trying again");
                    tokio::time::sleep(again).await;
                    again = (again * 2).min(AGAIN_MAX);
                }
            }
        }
    }

    /// Renews what is due, and says how long until the next time.
    async fn ahead(&self) -> Result<Option<Duration>, VaultError> {
        let mut current = self.current.lock().await;
        let login = match current.clone() {
            Some(login) if !login.is_due() => login,
            Some(login) => match self.renewed(&login).await {
                Ok(Some(next)) => current.insert(Arc::new(next)).clone(),
                Ok(None) | Err(_) => self.fresh(&mut current).await?,
            },
            None => self.fresh(&mut current).await?,
        };
        Ok(login.life.map(|life| life.renew_at.saturating_duration_since(Instant::now())))
    }

    /// `None` when the service renews it no further.
    async fn renewed(&self, login: &Login) -> Result<Option<Login>, VaultError> {
        if !login.life.is_some_and(|life| life.renewable) {
            return Ok(None);
        }
        let path = "auth/token/renew-self";
        let call = Call { method: Method::POST, path, token: Some(login.token()), body: Some(json!({})) };
        match self.http.call(call).await {
            Ok(answer) => {
                let next = granted(&answer)?;
                // At the end of its longest life a token is renewed by less and less: then a fresh one is due.
                let ends = |login: &Login| login.life.map(|life| life.ends);
                Ok((ends(&next) > ends(login) || next.life.is_none()).then_some(next))
            }
            Err(CallError::Refused(_)) => Ok(None),
            Err(CallError::Other(error)) => Err(error),
        }
    }

    async fn fresh(&self, current: &mut Option<Arc<Login>>) -> Result<Arc<Login>, VaultError> {
        let login = match &self.by {
            LoginBy::Token(file) => self.by_token(file).await?,
            LoginBy::AppRole(role) => self.by_role(role).await?,
        };
        self.begun.notify_one();
        Ok(current.insert(Arc::new(login)).clone())
    }

    /// A token is whatever its file says now: an agent beside us may have written another.
    async fn by_token(&self, file: &Path) -> Result<Login, VaultError> {
        let token = secret(file)?;
        let path = "auth/token/lookup-self";
        let call = Call { method: Method::GET, path, token: Some(&token), body: None };
        let answer = self.http.call(call).await.map_err(|error| match error {
            CallError::Refused(refused) if refused.status == StatusCode::FORBIDDEN => {
                VaultError::Expired(file.to_owned())
            }
            CallError::Refused(refused) => refused.general(path),
            CallError::Other(error) => error,
        })?;
        let data = &answer["data"];
        let ttl = data["ttl"].as_u64().ok_or(VaultError::Garbage("a token without ttl"))?;
        // Only a token that never ends has no time of its end; another with nothing left is over.
        if ttl == 0 && !data["expire_time"].is_null() {
            return Err(VaultError::Expired(file.to_owned()));
        }
        let renewable = data["renewable"].as_bool().unwrap_or(false);
        Ok(Login { token, life: Life::of(Duration::from_secs(ttl), renewable) })
    }

    async fn by_role(&self, role: &AppRole) -> Result<Login, VaultError> {
        let (id, secret) = (secret(&role.role_id_file)?, secret(&role.secret_id_file)?);
        let path = format!("auth/{}/login", role.mount);
        let body = json!({"role_id": &*id, "secret_id": &*secret});
        let call = Call { method: Method::POST, path: &path, token: None, body: Some(body) };
        let answer = self.http.call(call).await.map_err(|error| match error {
            CallError::Refused(refused) if matches!(refused.status.as_u16(), 400 | 401 | 403) => {
                VaultError::Login(refused.said)
            }
            CallError::Refused(refused) => refused.general(&path),
            CallError::Other(error) => error,
        })?;
        granted(&answer)
    }
}

/// The `auth` part of an answer.
fn granted(answer: &Value) -> Result<Login, VaultError> {
    let auth = &answer["auth"];
    let token = auth["client_token"].as_str().ok_or(VaultError::Garbage("a login without client_token"))?;
    let lease =
        auth["lease_duration"].as_u64().ok_or(VaultError::Garbage("a login without lease_duration"))?;
    let renewable = auth["renewable"].as_bool().unwrap_or(false);
    Ok(Login {
        token: Zeroizing::new(token.to_owned()),
        life: Life::of(Duration::from_secs(lease.min(u32::MAX.into())), renewable),
    })
}

/// One line of a private file. Small and local: it holds up nothing but this issuer's own thread.
fn secret(path: &Path) -> Result<Zeroizing<String>, VaultError> {
    let text = Zeroizing::new(files::read_private(path, SECRET_BYTES_MAX)?);
    let line = text.trim_end();
    let good = !line.is_empty() && line.bytes().all(|b| b.is_ascii_graphic());
    if good { Ok(Zeroizing::new(line.to_owned())) } else { Err(VaultError::NotSecret(path.to_owned())) }
}
