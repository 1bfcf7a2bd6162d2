//! How a PKI service is, as a node's health page tells it: looked at, and in our own words.

use std::time::Duration;

use testudo::bus::tls::{Ask, Issuer as _, IssuerHealth};
use testudo::config::Vault;
use testudo::issuer::VaultIssuer;

use super::service::{Fault, SECRET_ID};
use super::{Bench, ask, started};

/// What the issuer says of itself once it has looked, or has failed.
async fn health(issuer: &VaultIssuer) -> IssuerHealth {
    for _ in 0..1_000 {
        match issuer.health() {
            IssuerHealth::Unasked => tokio::time::sleep(Duration::from_millis(10)).await,
            known => return known,
        }
    }
    panic!("it has not looked");
}

async fn watched(settings: Vault) -> IssuerHealth {
    let issuer = started(settings);
    issuer.watch();
    health(&issuer).await
}

#[track_caller]
fn failing(health: &IssuerHealth, says: &str) {
    let IssuerHealth::Failing { why, .. } = health else { panic!("{health:?}, and not {says}") };
    assert!(why.contains(says) && !why.contains("Operator"), "{why}");
    assert_eq!(why.lines().count(), 1, "{why}");
}

#[tokio::test]
async fn an_issuer_that_could_not_certify_says_so_before_anybody_needs_it() {
    const PHRASE: &str = "Operator: run agent add x --operator";
    let bench = Bench::new();
    let issuer = bench.issuer();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(issuer.health(), IssuerHealth::Unasked);
    assert_eq!(bench.service.calls("login"), 0, "a command that certifies nobody spends no secret id");
    issuer.watch();
    assert_eq!(health(&issuer).await, IssuerHealth::Well);
    assert_eq!(
        (bench.service.calls("sign"), bench.service.calls("login")),
        (0, 1),
        "nothing is signed for it"
    );

    // The mount, the login, the service.
    failing(
        &watched(Vault { mount: "gone".into(), ..bench.settings() }).await,
        "the PKI service has no gone/cert/ca",
    );
    bench.service.fault(Fault::Status(500, PHRASE));
    failing(&watched(bench.settings()).await, "failed with status 500; see its own log");
    bench.service.fault(Fault::Status(503, PHRASE));
    failing(&watched(bench.settings()).await, "sealed or in maintenance");
    bench.service.fault(Fault::Hangs);
    let hasty = Vault { timeout_ms: 200, ..bench.settings() };
    failing(&watched(hasty).await, "did not answer within 200 ms");
    bench.service.fault(Fault::None);
    bench.place.write("secret", "another");
    failing(&watched(bench.settings()).await, "refuses the AppRole login; check role_id_file");
    failing(&watched(bench.by_token("hvs.unknown")).await, "does not know the token in");
    bench.place.write("secret", SECRET_ID);
    let nowhere = Vault { address: "https://127.0.0.1:1".into(), ..bench.settings() };
    failing(&watched(nowhere).await, "no PKI service answers");
    assert_eq!(watched(bench.settings()).await, IssuerHealth::Well);

    // What it signs is no good, though it is there.
    bench.service.fault(Fault::OtherName);
    issuer.issue(ask("a")).await.unwrap_err();
    failing(&issuer.health(), "the issuer's certificate is refused: it is for another name");
    bench.service.fault(Fault::Status(400, PHRASE));
    issuer.issue(ask("a")).await.unwrap_err();
    failing(&issuer.health(), "the PKI role refuses the request; compare the role");
    issuer.issue(Ask { request: None, ..ask("a") }).await.unwrap_err();
    failing(&issuer.health(), "the PKI role refuses the request");
    bench.service.fault(Fault::None);
    issuer.issue(ask("a")).await.unwrap();
    assert_eq!(issuer.health(), IssuerHealth::Well);
}

#[tokio::test]
async fn a_login_that_may_not_look_itself_up_costs_no_login_at_each_look() {
    let bench = Bench::new();
    bench.service.hides_logins(true);
    assert_eq!(watched(bench.settings()).await, IssuerHealth::Well);
    assert_eq!(
        (bench.service.calls("login"), bench.service.calls("lookup")),
        (2, 2),
        "asked once more, then no more"
    );
}
