//! `[issuer]`: who certifies agents. Absent, it is the CA in the swarm's own folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Which kind of issuer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// The CA in the swarm's folder.
    #[default]
    Embedded,
    /// A PKI mount of Vault or OpenBao.
    Vault,
}

/// `[issuer]`. What is there besides `kind` is for `vault` alone.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSection {
    /// Who certifies agents.
    #[serde(default)]
    pub kind: IssuerKind,
    /// Where the service is: `https://host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where its PKI engine is mounted; `pki`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// The role that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The CAs, in PEM, by one of which the mount signs: agents are trusted under these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuing_ca_file: Option<PathBuf>,
    /// The CAs, in PEM, of the service's own TLS certificate; without it the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file with a token, mode 0600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A login by AppRole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approle: Option<AppRole>,
    /// The longest that a certificate may take, in milliseconds; 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}

/// `[issuer.approle]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AppRole {
    /// Where the auth method is mounted.
    #[serde(default = "approle")]
    pub mount: String,
    /// A file with the role id.
    pub role_id_file: PathBuf,
    /// A file with the secret id, mode 0600.
    pub secret_id_file: PathBuf,
}

fn approle() -> String {
    "approle".into()
}

/// What a vault issuer is made of, with nothing left open.
#[derive(Clone, Debug)]
pub struct Vault {
    /// `https://host:port`, without a slash at its end.
    pub address: String,
    /// The PKI mount.
    pub mount: String,
    /// The role.
    pub role: String,
    /// Agents are trusted under these.
    pub issuing_ca_file: PathBuf,
    /// The service's TLS certificate is trusted under these.
    pub ca_file: Option<PathBuf>,
    /// How to log in.
    pub login: LoginBy,
    /// The longest that a certificate may take, in milliseconds.
    pub timeout_ms: u32,
}

/// How to log in.
#[derive(Clone, Debug)]
pub enum LoginBy {
    /// With what is in a file.
    Token(PathBuf),
    /// With a role id and a secret id.
    AppRole(AppRole),
}

/// A path of an API: segments of letters, digits, dots, dashes and underscores.
fn is_path(text: &str) -> bool {
    let part = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
    };
    text.len() <= 256 && text.split('/').all(part)
}

/// `https://host` or `https://host:port`, and nothing behind it.
fn is_address(text: &str) -> bool {
    let host = |host: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        (1..=256).contains(&host.len()) && host.bytes().all(plain)
    };
    text.strip_prefix("https://").is_some_and(|rest| host(rest.strip_suffix('/').unwrap_or(rest)))
}

impl IssuerSection {
    /// Whether it says nothing beyond the default.
    pub(super) const fn is_embedded(&self) -> bool {
        matches!(self.kind, IssuerKind::Embedded)
    }

    /// Takes relative paths from the configuration's folder.
    pub(super) fn resolve(&mut self, folder: &Path) {
        let files = [&mut self.issuing_ca_file, &mut self.ca_file, &mut self.token_file];
        let approle = self.approle.iter_mut().flat_map(|a| [&mut a.role_id_file, &mut a.secret_id_file]);
        for path in files.into_iter().flatten().chain(approle) {
            *path = folder.join(&*path);
        }
    }

    /// What is meant; `None` for the embedded CA. The error says what is wrong.
    pub(crate) fn vault(&self) -> Result<Option<Vault>, String> {
        if self.is_embedded() {
            let stray = self.address.is_some() || self.role.is_some() || self.token_file.is_some();
            let stray = stray || self.approle.is_some();
            return if stray {
                Err("issuer.kind is missing; write kind = \"vault\"".into())
            } else {
                Ok(None)
            };
        }
        let needed = |key: &str, value: &Option<String>| {
            value.clone().ok_or_else(|| format!("issuer.{key} is missing; kind = \"vault\" needs it"))
        };
        let path = |key: &str, value: String| {
            let good = is_path(&value);
            if good {
                Ok(value)
            } else {
                Err(format!("issuer.{key} is no path of letters, digits, . _ - and /"))
            }
        };
        let address = needed("address", &self.address)?;
        if !is_address(&address) {
            return Err("issuer.address must be https://HOST:PORT".into());
        }
        let login = match (&self.token_file, &self.approle) {
            (Some(file), None) => LoginBy::Token(file.clone()),
            (None, Some(approle)) => {
                path("approle.mount", approle.mount.clone())?;
                LoginBy::AppRole(approle.clone())
            }
            (None, None) => {
                return Err("issuer.token_file or [issuer.approle] is missing; one is needed".into());
            }
            (Some(_), Some(_)) => {
                return Err("issuer.token_file and [issuer.approle] are both there; keep one".into());
            }
        };
        let timeout_ms = self.timeout_ms.unwrap_or(10_000);
        if !(100..=20_000).contains(&timeout_ms) {
            return Err("issuer.timeout_ms must be 100 to 20000".into());
        }
        let issuing =
            "issuer.issuing_ca_file is missing; write the mount's CA into one: curl ADDRESS/v1/MOUNT/ca/pem";
        Ok(Some(Vault {
            address: address.trim_end_matches('/').to_owned(),
            mount: path("mount", self.mount.clone().unwrap_or_else(|| "pki".into()))?,
            role: path("role", needed("role", &self.role)?)?,
            issuing_ca_file: self.issuing_ca_file.clone().ok_or(issuing)?,
            ca_file: self.ca_file.clone(),
            login,
            timeout_ms,
        }))
    }
}
