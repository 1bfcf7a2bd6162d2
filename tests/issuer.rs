//! A PKI service as the issuer of agents' certificates: against a server that speaks the documented API, over real TLS.
//! Every way in which it fails, lies or goes away has its own message; nothing of it holds the node up.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "the service beside us has the machine's clock")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a fault of the service changes one thing")]

#[path = "issuer/health.rs"]
mod health;
#[path = "cli/kit.rs"]
#[expect(dead_code, reason = "each test binary takes its part of the kit")]
mod kit;
#[path = "issuer/service.rs"]
mod service;

use std::sync::Arc;
use std::time::Duration;

use kit::{Node, Place};
use rustls::pki_types::CertificateDer;
use service::{Fault, ROLE_ID, SECRET_ID, Service};
use testudo::bus::client::{ClientIdentity, Learnt, Memory, RenewError, SendError};
use testudo::bus::tls::{Ask, Csr, EmbeddedCa, Issuer, IssuerError, LIFETIME};
use testudo::bus::transport::{Socket, dialler};
use testudo::config::{AppRole, LoginBy, Vault};
use testudo::env::System;
use testudo::issuer::VaultIssuer;
use testudo::swarm::Keys;
use testudo::wire::{Refusal, SecretKey, SpiffeId, SwarmId};
use testudo::{Capability, Identity, Outgoing};

/// A service, and the files that name it.
struct Bench {
    service: Service,
    place: Place,
}

fn id(name: &str) -> SpiffeId {
    SpiffeId::Agent(swarm(), name.parse().unwrap())
}

fn swarm() -> SwarmId {
    SwarmId::of(&SecretKey::from_seed(&[1; 32]).public())
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn ask(name: &str) -> Ask {
    let request = Csr::make(&id(name), &key()).unwrap();
    Ask { id: id(name), key: key().public(), lifetime: LIFETIME, request: Some(request) }
}

impl Bench {
    fn new() -> Self {
        let (service, place) = (Service::start(), Place::new());
        place.write("tls.pem", &service.tls_ca);
        place.write("pki.pem", service.issuing_ca());
        place.write("role", format!("{ROLE_ID}\n"));
        place.write("secret", SECRET_ID);
        Self { service, place }
    }

    /// By AppRole, with two seconds for everything.
    fn settings(&self) -> Vault {
        let (role_id_file, secret_id_file) = (self.place.path("role"), self.place.path("secret"));
        Vault {
            address: format!("https://{}", self.service.address),
            mount: "pki".into(),
            role: "agents".into(),
            issuing_ca_file: self.place.path("pki.pem"),
            ca_file: Some(self.place.path("tls.pem")),
            login: LoginBy::AppRole(AppRole { mount: "approle".into(), role_id_file, secret_id_file }),
            timeout_ms: 5_000,
        }
    }

    fn by_token(&self, token: &str) -> Vault {
        self.place.write("token", token);
        Vault { login: LoginBy::Token(self.place.path("token")), ..self.settings() }
    }

    fn issuer(&self) -> VaultIssuer {
        started(self.settings())
    }
}

fn started(settings: Vault) -> VaultIssuer {
    VaultIssuer::start(swarm(), settings, System::shared()).unwrap()
}

async fn refused(issuer: &VaultIssuer) -> String {
    let error = issuer.issue(ask("a")).await.unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(!error.contains(SECRET_ID) && !error.contains("hvs."), "no secret in {error}");
    error
}

fn is_for_us(leaf: &CertificateDer<'_>) -> bool {
    leaf.windows(32).any(|bytes| bytes == key().public().as_bytes())
}

#[tokio::test]
async fn a_key_is_certified_and_the_login_is_used_again() {
    let bench = Bench::new();
    let issuer = bench.issuer();
    for name in ["a", "b"] {
        assert!(is_for_us(&issuer.issue(ask(name)).await.unwrap()));
    }
    assert_eq!((bench.service.calls("login"), bench.service.calls("sign")), (1, 2));
    assert_eq!(issuer.roots().len(), 1);
}

#[tokio::test]
async fn every_status_has_its_own_message() {
    let bench = Bench::new();
    let issuer = bench.issuer();
    for (status, said, says) in [
        (
            400,
            "URI not allowed by this role",
            "the PKI role refuses the request: URI not allowed by this role; compare",
        ),
        (404, "", "has no pki/sign/agents; check issuer.mount and issuer.role"),
        (405, "unsupported operation", "answered with status 405: unsupported operation"),
        (429, "", "asks for fewer requests"),
        (
            500,
            "1 error occurred:\n\t* \u{1b}[2Jinternal",
            "failed with status 500: 1 error occurred: * [2Jinternal; see",
        ),
        (502, "", "failed with status 502; see its own log"),
        (503, "Vault is sealed", "sealed or in maintenance"),
    ] {
        bench.service.fault(Fault::Status(status, said));
        let error = refused(&issuer).await;
        assert!(error.contains(says), "{status}: {error}");
    }
    bench.service.fault(Fault::Redirect);
    assert!(refused(&issuer).await.contains("redirects elsewhere"));
    bench.service.fault(Fault::None);
    assert!(issuer.issue(ask("a")).await.is_ok(), "nothing of it sticks");
}

#[tokio::test]
async fn t_a14_what_the_service_says_is_checked_as_an_enemys() {
    let bench = Bench::new();
    let issuer = bench.issuer();
    for (fault, says) in [
        (Fault::Garbage, "not that of its API (no certificate)"),
        (Fault::NotJson, "not that of its API (not JSON)"),
        (Fault::Oversized, "not that of its API (too long)"),
        (Fault::CutOff, "not that of its API (not HTTP, or cut off)"),
        (Fault::NoCertificate, "not that of its API (no certificate)"),
        (Fault::NotACertificate, "not that of its API (a certificate that is none)"),
        (Fault::OtherName, "for another name than was asked for"),
        (Fault::TwoNames, "not exactly one URI"),
        (Fault::DnsName, "not exactly one URI"),
        (Fault::NoName, "not exactly one URI"),
        (Fault::OtherKey, "for another key than was asked for"),
        (Fault::EcKey, "not a usable Ed25519 key"),
        (Fault::ServerUsage, "extended key usage"),
        (Fault::BothUsages, "extended key usage"),
        (Fault::NoUsage, "extended key usage"),
        (Fault::OtherCa, "not issued by a CA of this swarm"),
        (Fault::EcCa, "not issued by a CA of this swarm"),
        (Fault::IsCa, "a CA certificate"),
        (Fault::TooLong, "lives longer than was asked for"),
        (Fault::TooShort, "less than ten minutes"),
        (Fault::Over, "expired or not yet valid"),
        (Fault::NotYet, "expired or not yet valid"),
    ] {
        bench.service.fault(fault);
        let error = refused(&issuer).await;
        assert!(error.contains(says), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn only_what_the_keys_holder_asks_for_is_sent() {
    let bench = Bench::new();
    let issuer = bench.issuer();
    let unasked = issuer.issue(Ask { request: None, ..ask("a") }).await.unwrap_err();
    assert!(unasked.to_string().contains("signs only what a key's holder asks for"), "{unasked}");
    let others = Ask { key: SecretKey::from_seed(&[8; 32]).public(), ..ask("a") };
    assert!(matches!(issuer.issue(others).await.unwrap_err(), IssuerError::Request(_)));
    let renamed = Ask { id: id("b"), ..ask("a") };
    assert!(matches!(issuer.issue(renamed).await.unwrap_err(), IssuerError::Request(_)));
    assert_eq!(bench.service.calls("sign"), 0);
}

#[tokio::test]
async fn a_service_that_is_away_hangs_or_is_another_is_named() {
    let bench = Bench::new();
    let quick = Vault { timeout_ms: 300, ..bench.settings() };
    let hanging = started(quick.clone());
    bench.service.fault(Fault::Hangs);
    assert!(refused(&hanging).await.contains("did not answer within 300 ms"));
    bench.service.fault(Fault::None);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = started(Vault { address: format!("https://{nobody}"), ..quick.clone() });
    assert!(refused(&away).await.contains(&format!("no PKI service answers at https://{nobody}")));

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("https://{}", silent.local_addr().unwrap());
    assert!(refused(&started(Vault { address: at, ..quick })).await.contains("did not answer within 300 ms"));

    bench.place.write("tls.pem", bench.service.issuing_ca());
    let strange = refused(&started(bench.settings())).await;
    assert!(
        strange.contains("TLS certificate of https://127.0.0.1") && strange.contains("ca_file"),
        "{strange}"
    );
    let by_system = started(Vault { ca_file: None, ..bench.settings() });
    assert!(refused(&by_system).await.contains("is not trusted"), "the system does not know our CA");
    bench.place.write("tls.pem", &bench.service.tls_ca);
    let name = started(Vault {
        address: format!("https://localhost:{}", bench.service.address.port()),
        ..bench.settings()
    });
    assert!(refused(&name).await.contains("the name in issuer.address"), "the certificate is for 127.0.0.1");
    assert_eq!(bench.service.calls("sign"), 1, "only the one that hung was asked");
}

#[tokio::test]
async fn wrong_files_are_named_before_anything_is_asked() {
    let bench = Bench::new();
    bench.place.write("bad", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (bad, none) = (bench.place.path("bad"), bench.place.path("none"));
    for (settings, says) in [
        (Vault { issuing_ca_file: bad.clone(), ..bench.settings() }, "bad holds no CA certificate in PEM"),
        (Vault { issuing_ca_file: none.clone(), ..bench.settings() }, "none does not exist"),
        (Vault { ca_file: Some(bad.clone()), ..bench.settings() }, "bad holds no CA certificate in PEM"),
        (Vault { ca_file: Some(none.clone()), ..bench.settings() }, "none does not exist"),
    ] {
        let error = VaultIssuer::start(swarm(), settings, System::shared()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    for (secret, mode, says) in [
        ("two\nlines", 0o600, "secret does not hold one line"),
        ("", 0o600, "secret does not hold one line"),
        ("wrong", 0o600, "refuses the AppRole login: invalid role or secret ID; check role_id_file"),
        (SECRET_ID, 0o640, "secret can be read by others; run `chmod 600 /"),
    ] {
        bench.place.write("secret", secret);
        bench.place.mode("secret", mode);
        assert!(refused(&bench.issuer()).await.contains(says), "{says}");
    }
    std::fs::remove_file(bench.place.path("secret")).unwrap();
    assert!(refused(&bench.issuer()).await.contains("secret does not exist"));
    bench.place.write("secret", SECRET_ID);
    assert!(bench.issuer().issue(ask("a")).await.is_ok());
}

#[tokio::test]
async fn a_login_is_renewed_ahead_of_time_and_replaced_when_it_cannot_be() {
    let bench = Bench::new();
    bench.service.leases(2, true);
    let issuer = bench.issuer();
    assert!(issuer.issue(ask("a")).await.is_ok());
    bench.service.until("renew", 2).await;
    assert_eq!(bench.service.calls("login"), 1, "the first login lives on");
    assert!(issuer.issue(ask("a")).await.is_ok());
    assert_eq!(bench.service.calls("login"), 1);
    // From now on nothing is renewed: the next time, it logs in anew.
    bench.service.forget();
    bench.service.until("login", 2).await;
    assert!(issuer.issue(ask("a")).await.is_ok());
    drop(issuer);

    bench.service.leases(1, false);
    let before = (bench.service.calls("renew"), bench.service.calls("login"));
    let issuer = bench.issuer();
    assert!(issuer.issue(ask("a")).await.is_ok());
    bench.service.until("login", before.1 + 2).await;
    assert_eq!(bench.service.calls("renew"), before.0, "what cannot be renewed is not tried");
    assert!(issuer.issue(ask("a")).await.is_ok());
}

#[tokio::test]
async fn a_login_that_was_revoked_is_replaced_at_once_and_a_forbidden_one_is_not_tried_for_ever() {
    let bench = Bench::new();
    let issuer = bench.issuer();
    assert!(issuer.issue(ask("a")).await.is_ok());
    bench.service.forget();
    assert!(issuer.issue(ask("a")).await.is_ok(), "by another login");
    assert_eq!(bench.service.calls("login"), 2);

    bench.service.approle_may_sign(false);
    bench.service.forget();
    let before = bench.service.calls("sign");
    let error = refused(&issuer).await;
    assert!(
        error.contains("forbids pki/sign/agents: permission denied; give the login's policy `update`"),
        "{error}"
    );
    assert_eq!(bench.service.calls("sign"), before + 2);
}

#[tokio::test]
async fn a_token_comes_from_its_file_and_its_end_is_named() {
    let bench = Bench::new();
    bench.service.token("root", None, true);
    let issuer = started(bench.by_token("root\n"));
    assert!(issuer.issue(ask("a")).await.is_ok());
    bench.service.forget();
    let error = refused(&issuer).await;
    assert!(
        error.contains("does not know the token in") && error.contains("token any more; write a fresh one"),
        "{error}"
    );
    // Whoever keeps the file up to date needs not restart anything.
    bench.service.token("next", Some(Duration::from_secs(3600)), true);
    bench.place.write("token", "next");
    assert!(issuer.issue(ask("a")).await.is_ok());

    bench.service.token("weak", Some(Duration::from_secs(3600)), false);
    let weak = started(bench.by_token("weak"));
    assert!(refused(&weak).await.contains("forbids pki/sign/agents"));
    bench.service.token("over", Some(Duration::ZERO), true);
    assert!(refused(&started(bench.by_token("over"))).await.contains("does not know the token"));
    bench.place.mode("token", 0o644);
    let exposed = Vault { login: LoginBy::Token(bench.place.path("token")), ..bench.settings() };
    assert!(refused(&started(exposed)).await.contains("token can be read by others; run `chmod 600 /"));
}

#[tokio::test]
async fn no_more_than_eight_wait_and_whoever_gives_up_leaves_nothing_behind() {
    let bench = Bench::new();
    let issuer = Arc::new(started(Vault { timeout_ms: 1_000, ..bench.settings() }));
    bench.service.fault(Fault::Hangs);
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let issuer = issuer.clone();
            tokio::spawn(async move { issuer.issue(ask("a")).await.unwrap_err().to_string() })
        })
        .collect();
    bench.service.until("sign", 8).await;
    assert!(refused(&issuer).await.contains("more requests than it answers"));
    waiting[0].abort();
    for waiter in waiting.into_iter().skip(1) {
        assert!(waiter.await.unwrap().contains("did not answer within 1000 ms"));
    }
    bench.service.fault(Fault::None);
    // The one that gave up held its place until its own time-out, which is over too by now or very soon.
    let mut done = issuer.issue(ask("a")).await;
    while matches!(&done, Err(error) if error.to_string().contains("more requests")) {
        tokio::task::yield_now().await;
        done = issuer.issue(ask("a")).await;
    }
    assert!(done.is_ok());
}

/// `[issuer]` for the swarm in `s`, whose id the service does not care for.
fn configured(bench: &Bench, more: &str) {
    bench.place.does("init s");
    for file in ["tls.pem", "pki.pem", "role", "secret"] {
        bench.place.write(&format!("s/{file}"), bench.place.read(file));
    }
    let section = format!(
        "\n[issuer]\nkind = \"vault\"\naddress = \"https://{}\"\nrole = \"agents\"\nissuing_ca_file = \"pki.pem\"\n\
         ca_file = \"tls.pem\"\n{more}\n[issuer.approle]\nrole_id_file = \"role\"\nsecret_id_file = \"secret\"\n",
        bench.service.address
    );
    bench.place.write("s/testudo.toml", bench.place.read("s/testudo.toml") + &section);
}

const C: &str = "--config s/testudo.toml";

/// Over their links, and by nobody else: when the service fails, the link goes on.
async fn renewed_by_the_service(bench: &Bench, late: Identity, early: Identity) {
    let before = bench.service.calls("sign");
    let (client, _inbox) = testudo::dial(&late).await.unwrap();
    let renewed = Arc::new(client.certify().await.unwrap());
    assert_eq!(bench.service.calls("sign"), before + 1, "asked with the agent's own request");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.renew(&dialler(Socket::Udp(socket)).unwrap(), renewed).await.unwrap();

    bench.service.fault(Fault::Status(503, "Vault is sealed"));
    let (other, _inbox) = testudo::dial(&early).await.unwrap();
    let refused = other.certify().await.unwrap_err();
    assert!(
        matches!(refused, RenewError::Refused(SendError::Refused { refusal: Refusal::Overloaded, .. })),
        "{refused:?}"
    );
    bench.service.fault(Fault::None);
    let hello = Outgoing::new("late".parse().unwrap(), Capability::parse("read:logs").unwrap(), "\"hello\"");
    other.tell(hello).await.unwrap();
}

#[test]
fn a_swarm_whose_agents_are_certified_elsewhere_works_and_its_own_ca_makes_no_agents() {
    let bench = Bench::new();
    configured(&bench, "");
    let place = &bench.place;
    place.does(&format!("agent add early {C} --allow read:logs --out early.id"));
    let node = Node::start(place);
    place.does(&format!("agent add late {C} --serve read:logs --out late.id"));
    assert!(place.read("late.id").contains("agents_ca"));
    let load = |file: &str| {
        let mut identity = Identity::load(&place.path(file)).unwrap();
        identity.node = node.listen.parse().unwrap();
        identity
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (late, mut inbox) = testudo::dial(&load("late.id")).await.unwrap();
        let (early, _answers) = testudo::dial(&load("early.id")).await.unwrap();
        let capability = Capability::parse("read:logs").unwrap();
        let hello = Outgoing::new("late".parse().unwrap(), capability, "\"hello\"");
        let told = tokio::spawn(async move { early.deliver(hello).await });
        let came = inbox.next().await.unwrap();
        assert_eq!(came.sender().name.as_str(), "early");
        late.flush().await;
        drop(came);
        told.await.unwrap().expect("the receipt is checked under the service's CA");
    });
    place.does(&format!("agent renew --identity late.id {C}"));
    runtime.block_on(renewed_by_the_service(&bench, load("late.id"), load("early.id")));

    // The folder's own CA certifies the same key for the same name: nobody trusts it for agents here.
    let mut forged = load("late.id");
    let keys = Keys::read(&place.path("s/keys")).unwrap();
    let ca = EmbeddedCa::load(keys.certificate.clone(), &keys.ca).unwrap();
    let agent = SpiffeId::Agent(keys.swarm(), forged.client.name);
    let leaf = ca.issue(&agent, &forged.client.key.public(), LIFETIME, &System).unwrap();
    let ClientIdentity { name, key, trust, authority, token, .. } = &*forged.client;
    forged.client = Arc::new(ClientIdentity {
        name: *name,
        key: key.clone(),
        chain: vec![leaf],
        trust: trust.clone(),
        authority: authority.clone(),
        token: token.clone(),
        learnt: Learnt::default(),
        memory: Memory::default(),
    });
    let refused = runtime.block_on(testudo::dial(&forged)).err();
    assert!(matches!(refused, Some(testudo::DialError::Certificate(_))), "{refused:?}");
    node.end();
}

#[test]
fn a_node_works_on_while_its_pki_service_hangs() {
    let bench = Bench::new();
    configured(&bench, "timeout_ms = 3000");
    let place = &bench.place;
    let node = Node::start(place);
    place.does(&format!("agent add a {C} --allow read:logs --out a.id"));
    bench.service.fault(Fault::Hangs);
    let line = format!("agent add b {C} --allow read:logs --out b.id");
    let mut adding = place.command(&line.split(' ').collect::<Vec<_>>());
    let mut adding = adding.stderr(std::process::Stdio::null()).spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bench.service.until("sign", 2));
    // It waits for the service; everything else goes on.
    let mut a = Identity::load(&place.path("a.id")).unwrap();
    a.node = node.listen.parse().unwrap();
    assert!(runtime.block_on(testudo::dial(&a)).is_ok());
    assert_eq!(place.states().len(), 1);
    place.does(&format!("agent revoke a {C}"));
    assert!(adding.try_wait().unwrap().is_none(), "the service still hangs");
    assert_eq!(adding.wait().unwrap().code(), Some(1));
    assert!(!place.exists("b.id"));
    assert_eq!(place.states().len(), 1, "nobody was enrolled");
    node.end();
}

#[test]
fn a_failed_enrolment_is_one_line_and_enrols_nobody() {
    let bench = Bench::new();
    configured(&bench, "");
    bench.place.does(&format!("agent list {C}"));
    assert_eq!(bench.service.calls("login"), 0, "what certifies nobody spends no secret id");
    let add = format!("agent add a {C} --allow read:logs --out a.id");
    for (fault, says) in [
        (Fault::Status(500, "boom"), "failed with status 500: boom"),
        (Fault::OtherName, "another name"),
        (Fault::NotJson, "not that of its API"),
    ] {
        bench.service.fault(fault);
        bench.place.fails(1, &add, says);
        assert!(!bench.place.exists("a.id") && bench.place.states().is_empty(), "{fault:?}");
    }
    bench.service.fault(Fault::None);
    bench.place.does(&add);
}

#[test]
fn wrong_settings_are_one_line() {
    let bench = Bench::new();
    configured(&bench, "");
    let good = bench.place.read("s/testudo.toml");
    let address = format!("https://{}", bench.service.address);
    for (was, now, says) in [
        (address.as_str(), "http://127.0.0.1:1", "issuer.address must be https://HOST:PORT"),
        (&address, "https://user@host", "issuer.address must be"),
        (&address, "https://host/v1", "issuer.address must be"),
        ("role = \"agents\"", "role = \"../x\"", "issuer.role is no path"),
        ("role = \"agents\"", "role = \"a?b\"", "issuer.role is no path"),
        ("role = \"agents\"", "", "issuer.role is missing"),
        ("kind = \"vault\"", "kind = \"valt\"", "issuer.kind"),
        ("kind = \"vault\"", "", "issuer.kind is missing"),
        ("issuing_ca_file = \"pki.pem\"", "", "issuer.issuing_ca_file is missing"),
        ("issuing_ca_file = \"pki.pem\"", "issuing_ca_file = \"none.pem\"", "none.pem does not exist"),
        ("ca_file = \"tls.pem\"", "ca_file = \"role\"", "role holds no CA certificate"),
        ("ca_file = \"tls.pem\"", "timeout_ms = 20001", "issuer.timeout_ms must be 100 to 20000"),
        ("ca_file = \"tls.pem\"", "token_file = \"t\"", "are both there; keep one"),
        ("secret_id_file", "secret_file", "secret_file"),
        ("[issuer.approle]", "[issuer.approll]", "approll"),
    ] {
        assert!(good.contains(was), "{was}");
        bench.place.write("s/testudo.toml", good.replacen(was, now, 1));
        bench.place.fails(2, &format!("agent list {C}"), says);
    }
    let cut = good.split("\n[issuer.approle]").next().unwrap().to_owned();
    bench.place.write("s/testudo.toml", cut);
    bench.place.fails(2, &format!("agent list {C}"), "issuer.token_file or [issuer.approle] is missing");
    assert_eq!(bench.service.calls("login"), 0);
}
