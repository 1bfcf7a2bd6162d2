//! A PKI service that speaks the documented API of Vault and OpenBao, over TLS: `sign`, AppRole login, `lookup-self`,
//! `renew-self`, their statuses and their error bodies. With a fault, it does one thing wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    SanType,
};
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the service does wrong when it is asked to sign.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    Status(u16, &'static str),
    Redirect,
    Garbage,
    NotJson,
    Oversized,
    Hangs,
    CutOff,
    NoCertificate,
    NotACertificate,
    OtherName,
    TwoNames,
    DnsName,
    NoName,
    OtherKey,
    EcKey,
    ServerUsage,
    BothUsages,
    NoUsage,
    OtherCa,
    EcCa,
    IsCa,
    TooLong,
    TooShort,
    Over,
    NotYet,
}

/// A login that the service knows.
#[derive(Clone, Copy, Debug)]
struct Session {
    ends: Option<SystemTime>,
    may_sign: bool,
    renewable: bool,
}

#[derive(Default)]
struct Inner {
    fault: Fault,
    sessions: BTreeMap<String, Session>,
    /// Seconds that a login lives.
    lease: u64,
    renewable: bool,
    approle_may_sign: bool,
    hides_logins: bool,
    calls: BTreeMap<&'static str, u32>,
    given: u32,
}

/// A certificate authority.
pub(crate) struct Ca {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "test CA");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }
}

struct Shared {
    inner: Mutex<Inner>,
    called: Notify,
    ca: Ca,
    other_ca: Ca,
    ec_ca: Ca,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn called(&self, what: &'static str) {
        *self.inner().calls.entry(what).or_default() += 1;
        self.called.notify_waiters();
    }
}

/// A running service; it ends when it is dropped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// Its own TLS certificate is by this CA.
    pub(crate) tls_ca: String,
    shared: Arc<Shared>,
    /// Its thread ends with it.
    _end: tokio::sync::oneshot::Sender<()>,
}

pub(crate) const ROLE_ID: &str = "role-7d0a";
pub(crate) const SECRET_ID: &str = "secret-51cf";

impl Service {
    pub(crate) fn start() -> Self {
        let ca = Ca::new(&PKCS_ED25519);
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                lease: 1200,
                renewable: true,
                approle_may_sign: true,
                ..Inner::default()
            }),
            called: Notify::new(),
            ca,
            other_ca: Ca::new(&PKCS_ED25519),
            ec_ca: Ca::new(&PKCS_ECDSA_P256_SHA256),
        });
        let tls = Ca::new(&PKCS_ECDSA_P256_SHA256);
        let router = Router::new()
            .route("/v1/pki/sign/{role}", post(sign))
            .route("/v1/pki/cert/ca", get(ca_certificate))
            .route("/v1/auth/approle/login", post(login))
            .route("/v1/auth/token/lookup-self", get(look_up))
            .route("/v1/auth/token/renew-self", post(renew))
            .fallback(|| async { errors(StatusCode::NOT_FOUND, &[]) })
            .with_state(shared.clone());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let tls_ca = tls.pem.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = Tls::bind(&tls).await;
                ready.send(listener.tcp.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        Self { address: is_ready.recv().unwrap(), tls_ca, shared, _end: end }
    }

    pub(crate) fn issuing_ca(&self) -> &str {
        &self.shared.ca.pem
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.shared.inner().fault = fault;
    }

    /// A token as an administrator makes one; `None` never ends.
    pub(crate) fn token(&self, token: &str, lives: Option<Duration>, may_sign: bool) {
        let ends = lives.map(|lives| SystemTime::now() + lives);
        self.shared.inner().sessions.insert(token.into(), Session { ends, may_sign, renewable: true });
    }

    /// What logins are given from now on.
    pub(crate) fn leases(&self, seconds: u64, renewable: bool) {
        let mut inner = self.shared.inner();
        (inner.lease, inner.renewable) = (seconds, renewable);
    }

    pub(crate) fn approle_may_sign(&self, may: bool) {
        self.shared.inner().approle_may_sign = may;
    }

    /// Logins may not look themselves up, as without the default policy.
    pub(crate) fn hides_logins(&self, hides: bool) {
        self.shared.inner().hides_logins = hides;
    }

    /// Forgets all logins, as a revocation does.
    pub(crate) fn forget(&self) {
        self.shared.inner().sessions.clear();
    }

    pub(crate) fn calls(&self, what: &str) -> u32 {
        self.shared.inner().calls.get(what).copied().unwrap_or(0)
    }

    /// Waits until it has been called so often.
    pub(crate) async fn until(&self, what: &str, times: u32) {
        loop {
            let mut woken = std::pin::pin!(self.shared.called.notified());
            woken.as_mut().enable();
            if self.calls(what) >= times {
                return;
            }
            tokio::time::timeout(Duration::from_secs(20), woken).await.expect("it is called");
        }
    }
}

/// A listener that speaks TLS; who does not is dropped.
struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Tls {
    async fn bind(ca: &Ca) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &ca.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![leaf.der().clone()], key)
                .unwrap();
        Self { tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(), acceptor: Arc::new(config).into() }
    }
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, from)) = self.tcp.accept().await else { continue };
            // One at a time will do for a test: nobody dawdles here but on purpose.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Vault's error body.
fn errors(status: StatusCode, said: &[&str]) -> Response {
    (status, Json(json!({"errors": said}))).into_response()
}

fn denied() -> Response {
    errors(StatusCode::FORBIDDEN, &["permission denied"])
}

/// The session of the request's token, if it is still one.
fn session(shared: &Shared, headers: &HeaderMap) -> Option<(String, Session)> {
    let token = headers.get("x-vault-token")?.to_str().ok()?;
    let session = shared.inner().sessions.get(token).copied()?;
    session.ends.is_none_or(|ends| ends > SystemTime::now()).then(|| (token.to_owned(), session))
}

fn answer(data: Value, auth: Value) -> Response {
    let body = json!({
        "request_id": "9a3c6b8e-0000-4000-8000-000000000000", "lease_id": "", "renewable": false,
        "lease_duration": 0, "data": data, "wrap_info": null, "warnings": null, "auth": auth,
    });
    Json(body).into_response()
}

fn auth(token: &str, lease: u64, renewable: bool) -> Value {
    json!({
        "client_token": token, "accessor": "a", "policies": ["testudo"], "token_policies": ["testudo"],
        "metadata": {}, "lease_duration": lease, "renewable": renewable, "entity_id": "", "token_type": "service",
        "orphan": true,
    })
}

async fn login(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    shared.called("login");
    if body["role_id"] != ROLE_ID || body["secret_id"] != SECRET_ID {
        return errors(StatusCode::BAD_REQUEST, &["invalid role or secret ID"]);
    }
    let mut inner = shared.inner();
    inner.given += 1;
    let (token, lease) = (format!("hvs.login{}", inner.given), inner.lease);
    let session = Session {
        ends: Some(SystemTime::now() + Duration::from_secs(lease)),
        may_sign: inner.approle_may_sign,
        renewable: inner.renewable,
    };
    inner.sessions.insert(token.clone(), session);
    answer(Value::Null, auth(&token, lease, session.renewable))
}

async fn look_up(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.called("lookup");
    if shared.inner().hides_logins {
        return denied();
    }
    let Some((token, session)) = session(&shared, &headers) else { return denied() };
    let left = session.ends.map(|ends| ends.duration_since(SystemTime::now()).unwrap_or_default().as_secs());
    let data = json!({
        "id": token, "ttl": left.unwrap_or(0), "renewable": session.renewable,
        "expire_time": left.map(|_| "2030-01-01T00:00:00Z"),
    });
    answer(data, Value::Null)
}

async fn renew(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.called("renew");
    let Some((token, session)) = session(&shared, &headers) else { return denied() };
    if !session.renewable {
        return errors(StatusCode::BAD_REQUEST, &["lease is not renewable"]);
    }
    let mut inner = shared.inner();
    let lease = inner.lease;
    let ends = Some(SystemTime::now() + Duration::from_secs(lease));
    inner.sessions.insert(token.clone(), Session { ends, ..session });
    answer(Value::Null, auth(&token, lease, true))
}

async fn ca_certificate(State(shared): State<Arc<Shared>>) -> Response {
    shared.called("ca");
    let fault = shared.inner().fault;
    match fault {
        Fault::Status(status, said) => errors(StatusCode::from_u16(status).unwrap(), &[said]),
        Fault::Hangs => std::future::pending().await,
        _ => answer(json!({"certificate": shared.ca.pem, "revocation_time": 0}), Value::Null),
    }
}

async fn sign(
    State(shared): State<Arc<Shared>>,
    Path(role): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    shared.called("sign");
    let fault = shared.inner().fault;
    match session(&shared, &headers) {
        Some((_, session)) if session.may_sign => {}
        Some(_) | None => return denied(),
    }
    if role != "agents" {
        return errors(StatusCode::BAD_REQUEST, &[&format!("unknown role: {role}")]);
    }
    match fault {
        Fault::Status(status, said) => return errors(StatusCode::from_u16(status).unwrap(), &[said]),
        Fault::Redirect => {
            let to = [("location", "https://127.0.0.1:1/v1/pki/sign/agents")];
            return (StatusCode::TEMPORARY_REDIRECT, to).into_response();
        }
        Fault::Garbage => return Json(json!({"hello": "world"})).into_response(),
        Fault::NotJson => return "<html>a proxy's page</html>".into_response(),
        Fault::Oversized => return "[".repeat(65 * 1024).into_response(),
        Fault::CutOff => {
            return Response::builder().header("content-length", "5000").body(Body::from("{")).unwrap();
        }
        Fault::Hangs => std::future::pending::<()>().await,
        _ => {}
    }
    match certificate(&shared, fault, &body) {
        Ok(data) => answer(data, Value::Null),
        Err(said) => errors(StatusCode::BAD_REQUEST, &[&said]),
    }
}

/// What the role says: an Ed25519 request, one URI of a swarm's agents, at most a day.
fn certificate(shared: &Shared, fault: Fault, body: &Value) -> Result<Value, String> {
    let pem = body["csr"].as_str().ok_or("\"csr\" is empty")?;
    let der =
        CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| "csr contains no data")?;
    let request = CertificateSigningRequestParams::from_der(&der).map_err(|error| error.to_string())?;
    if *rcgen::PublicKeyData::algorithm(&request.public_key) != PKCS_ED25519 {
        return Err("role requires keys of type ed25519".into());
    }
    let [SanType::URI(uri)] = request.params.subject_alt_names.as_slice() else {
        return Err("the request asks for other names than one URI".into());
    };
    if !uri.as_str().starts_with("spiffe://") || !uri.as_str().contains("/agent/") {
        return Err(format!("URI Subject Alternative Name {} not allowed by this role", uri.as_str()));
    }
    let seconds: u64 = body["ttl"].as_str().and_then(|ttl| ttl.strip_suffix('s')).unwrap().parse().unwrap();
    let now = OffsetDateTime::now_utc();
    let (from, to) = match fault {
        Fault::TooLong => (0, 2 * seconds),
        Fault::TooShort => (0, 300),
        Fault::Over => (86_400, 0),
        Fault::NotYet => (0, seconds),
        _ => (30, seconds),
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = now - Duration::from_secs(from);
    params.not_after = now + Duration::from_secs(to);
    match fault {
        Fault::NotYet => params.not_before = now + Duration::from_secs(600),
        Fault::Over => params.not_after = now - Duration::from_secs(1),
        _ => {}
    }
    params.use_authority_key_identifier_extension = true;
    let other = SanType::URI(format!("{}x", uri.as_str()).try_into().unwrap());
    let dns = SanType::DnsName("agent.example".try_into().unwrap());
    params.subject_alt_names = match fault {
        Fault::OtherName => vec![other],
        Fault::TwoNames => vec![SanType::URI(uri.clone()), other],
        Fault::DnsName => vec![SanType::URI(uri.clone()), dns],
        Fault::NoName => vec![],
        _ => vec![SanType::URI(uri.clone())],
    };
    let (client, server) = (ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth);
    params.extended_key_usages = match fault {
        Fault::ServerUsage => vec![server],
        Fault::BothUsages => vec![client, server],
        Fault::NoUsage => vec![],
        _ => vec![client],
    };
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if fault == Fault::IsCa {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let ca = match fault {
        Fault::OtherCa => &shared.other_ca,
        Fault::EcCa => &shared.ec_ca,
        _ => &shared.ca,
    };
    let signed = match fault {
        Fault::OtherKey => params.signed_by(&KeyPair::generate_for(&PKCS_ED25519).unwrap(), &ca.issuer),
        Fault::EcKey => {
            params.signed_by(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), &ca.issuer)
        }
        _ => params.signed_by(&request.public_key, &ca.issuer),
    };
    let text = match fault {
        Fault::NotACertificate => "-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(),
        _ => signed.unwrap().pem(),
    };
    let mut data = json!({
        "certificate": text, "issuing_ca": shared.ca.pem, "ca_chain": [shared.ca.pem],
        "serial_number": "11:22", "expiration": (now + Duration::from_secs(to)).unix_timestamp(),
    });
    if fault == Fault::NoCertificate {
        data.as_object_mut().unwrap().remove("certificate");
    }
    Ok(data)
}
