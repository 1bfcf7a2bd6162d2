//! Speaks the HTTP API of Vault and OpenBao: bounded, over TLS alone, without redirects or proxies. Tells errors apart
//! by what an operator can do about them. Knows no secrets but those that it is given for one call.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, StatusCode, redirect};
use serde_json::Value;

use super::VaultError;
use crate::config::Vault;
use crate::files;
use crate::swarm::all_from_pem;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest word of the service that is shown.
const SAID_CHARS_MAX: usize = 200;
/// Longest file of CAs.
const CA_BYTES_MAX: u64 = 64 * 1024;

/// A client of one service.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client,
    address: String,
    timeout_ms: u32,
}

/// One call of the API.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Below `/v1/`.
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) body: Option<Value>,
}

/// What is wrong with a status, in words that depend on the call.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// Empty, or `: ` and the service's first word.
    pub(super) said: String,
}

/// Why a call gave nothing.
pub(super) enum CallError {
    Refused(Refused),
    Other(VaultError),
}

impl From<VaultError> for CallError {
    fn from(error: VaultError) -> Self {
        Self::Other(error)
    }
}

impl Http {
    /// # Errors
    /// [`VaultError`] for a CA file that is none, or when the system gives no TLS.
    pub(super) fn new(settings: &Vault) -> Result<Self, VaultError> {
        let timeout = Duration::from_millis(settings.timeout_ms.into());
        let failed = |error: reqwest::Error| VaultError::Client(error.to_string());
        let builder = Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(1)
            .connect_timeout(timeout)
            .timeout(timeout)
            .user_agent("testudo");
        let Some(path) = &settings.ca_file else {
            return Ok(Self::of(builder.build().map_err(failed)?, settings));
        };
        let text = files::read_public(path, CA_BYTES_MAX)?;
        let found = all_from_pem(&text).unwrap_or_default();
        let found: Result<Vec<_>, _> = found.iter().map(|der| Certificate::from_der(der)).collect();
        // Certificates are parsed as late as in `build`; nothing else of ours can be wrong there.
        let built = match found {
            Ok(cas) if !cas.is_empty() => builder.tls_certs_only(cas).build().ok(),
            Ok(_) | Err(_) => None,
        };
        Ok(Self::of(built.ok_or_else(|| VaultError::NotPem(path.clone()))?, settings))
    }

    fn of(client: Client, settings: &Vault) -> Self {
        Self { client, address: settings.address.clone(), timeout_ms: settings.timeout_ms }
    }

    /// Calls, and reads a JSON object.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, CallError> {
        let url = format!("{}/v1/{}", self.address, call.path);
        let mut headers = HeaderMap::new();
        headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
        if let Some(token) = call.token {
            let mut value = HeaderValue::from_str(token).map_err(|_| VaultError::Garbage("a token"))?;
            value.set_sensitive(true);
            headers.insert("X-Vault-Token", value);
        }
        let mut request = self.client.request(call.method, url).headers(headers);
        if let Some(body) = call.body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let mut answer = request.send().await.map_err(|error| self.told(&error))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.told(&error))? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(VaultError::Garbage("too long").into());
            }
            bytes.extend_from_slice(&piece);
        }
        if status.is_redirection() {
            return Err(VaultError::Redirected.into());
        }
        if !status.is_success() {
            return Err(CallError::Refused(Refused { status, said: said(&bytes) }));
        }
        serde_json::from_slice(&bytes).map_err(|_| VaultError::Garbage("not JSON").into())
    }

    fn told(&self, error: &reqwest::Error) -> VaultError {
        if error.is_timeout() {
            return VaultError::Timeout(self.timeout_ms);
        }
        if is_tls(error) {
            return VaultError::Tls(self.address.clone());
        }
        if error.is_connect() {
            return VaultError::Unreachable(self.address.clone());
        }
        VaultError::Garbage("not HTTP, or cut off")
    }
}

/// Whether TLS is at the bottom of an error: a certificate that is not trusted, or no TLS at all.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // What an I/O error carries is not among its sources.
    let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || carried.is_some_and(|inner| is_tls(inner))
        || error.source().is_some_and(is_tls)
}

impl Refused {
    /// What holds for every call.
    pub(super) fn general(self, path: &str) -> VaultError {
        let Self { status, said } = self;
        match status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                VaultError::Forbidden { path: path.to_owned(), said }
            }
            StatusCode::NOT_FOUND => VaultError::NotFound(path.to_owned()),
            StatusCode::TOO_MANY_REQUESTS => VaultError::TooMany,
            StatusCode::SERVICE_UNAVAILABLE => VaultError::Sealed,
            status if status.is_server_error() => VaultError::Internal { status: status.as_u16(), said },
            status => VaultError::Status { status: status.as_u16(), said },
        }
    }
}

/// The first of the service's errors, as one short line that acts on no terminal.
fn said(bytes: &[u8]) -> String {
    let Ok(Value::Object(answer)) = serde_json::from_slice(bytes) else { return String::new() };
    let Some(first) = answer.get("errors").and_then(|errors| errors.get(0)).and_then(Value::as_str) else {
        return String::new();
    };
    let plain = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
    let words: String = first.chars().take(SAID_CHARS_MAX).map(plain).collect();
    let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) }
}
