//! Web hooks: the batch format, the token, the answers, and where an exporter will not send.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use axum::http::StatusCode;
use serde_json::Value;
use testudo::export::config::{ExportSection, ExporterKind, exporters};
use testudo::export::{Breaker, ExporterStatus};
use testudo::rules::audit::{Origin, VerifierKey};
use testudo::rules::event::{Break, Signed, StreamCheck};
use testudo::swarm::{KeyPurpose, read_key};
use testudo::{Role, Swarm};

use super::kit::{Came, Receiver, section, swarm, until};

fn done(state: &ExporterStatus) -> bool {
    state.behind == 0 && state.counts.queued + state.counts.in_flight == 0
}

fn ids(came: &[Came]) -> Vec<String> {
    let batches = came.iter().map(|came| serde_json::from_slice::<Vec<Value>>(&came.body).unwrap());
    batches.flatten().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

async fn enrol(swarm: &Swarm, names: &[&str]) {
    for name in names {
        swarm.enrol(name, Role::new().allow("read:logs")).await.unwrap();
    }
}

#[tokio::test]
async fn batches_of_signed_events_arrive_with_the_token_and_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("s");
    let receiver = Receiver::answering([]).await;
    let token = dir.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let mut to = section(ExporterKind::Webhook, &receiver.url);
    to.bearer = Some(token);
    let swarm = swarm(&folder, to).await;
    enrol(&swarm, &["a", "b", "c"]).await;
    until(&swarm, done).await;
    swarm.shut_down().await.unwrap();

    let came = receiver.came();
    for one in &came {
        assert_eq!(one.headers["content-type"], "application/cloudevents-batch+json");
        assert_eq!(one.headers["authorization"], "Bearer s3cret");
    }
    let config = std::fs::read_to_string(folder.join("testudo.toml")).unwrap();
    let id = config.lines().find_map(|line| line.strip_prefix("id = ")).unwrap().trim_matches('"');
    let key = read_key(&folder.join("keys"), KeyPurpose::Log).unwrap().public();
    let by = VerifierKey { origin: Origin::of_swarm(&id.parse().unwrap()), key };
    let mut stream = StreamCheck::default();
    let mut kinds = Vec::new();
    for one in &came {
        for event in serde_json::from_slice::<Vec<Value>>(&one.body).unwrap() {
            let verified = Signed::parse(&event).unwrap().verify(&by).unwrap();
            assert_eq!(stream.follow(&verified), Ok::<(), Break>(()), "whole and in order");
            kinds.push(verified.event().kind().to_owned());
        }
    }
    let wanted = ["agent.enrolled"; 3].map(|kind| format!("dev.testudo.{kind}"));
    assert_eq!(kinds.iter().filter(|kind| wanted.contains(kind)).count(), 3, "{kinds:?}");
    assert_eq!(kinds.last().unwrap(), "dev.testudo.node.stopped", "to the last word");
}

#[tokio::test]
async fn what_is_down_for_a_while_gets_all_of_it_and_a_start_anew_sends_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering([503, 429, 401, 500]).await;
    let first = swarm(dir.path(), section(ExporterKind::Webhook, &receiver.url)).await;
    enrol(&first, &["a", "b"]).await;
    let state = until(&first, |state| done(state) && state.breaker == Breaker::Closed).await;
    assert_eq!((state.counts.failed, state.counts.dropped, state.amiss()), (0, 0, None));
    first.shut_down().await.unwrap();
    let second = swarm(dir.path(), section(ExporterKind::Webhook, &receiver.url)).await;
    until(&second, done).await;
    second.shut_down().await.unwrap();
    let came = receiver.came();
    let all = ids(&came[4..]);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "nothing twice");
    let records: Vec<u64> = all.iter().map(|id| id.split('-').next().unwrap().parse().unwrap()).collect();
    assert!(records.iter().copied().eq(0..records.len() as u64), "and nothing left out: {all:?}");
}

#[tokio::test]
async fn r_a15_an_event_that_the_receiver_refuses_is_found_and_its_neighbours_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let bad = "agent/poison";
    let receiver = Receiver::start(Box::new(move |came| {
        let refused = String::from_utf8_lossy(&came.body).contains(bad);
        (if refused { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED }, b"no\x1b[2J thanks".to_vec())
    }))
    .await;
    let swarm = swarm(dir.path(), section(ExporterKind::Webhook, &receiver.url)).await;
    enrol(&swarm, &["a", "poison", "b"]).await;
    let state = until(&swarm, |state| done(state) && state.counts.failed == 2).await;
    assert_eq!(state.breaker, Breaker::Closed);
    let trouble = state.refusal.unwrap();
    assert_eq!(trouble, "it answered 400 Bad Request", "t_a65: nothing of what it said");
    swarm.shut_down().await.unwrap();
    let good: Vec<_> = receiver
        .came()
        .into_iter()
        .filter(|came| !String::from_utf8_lossy(&came.body).contains(bad))
        .collect();
    let text: String = good.iter().map(|came| String::from_utf8_lossy(&came.body).into_owned()).collect();
    assert!(text.contains("agent/a") && text.contains("agent/b"));
}

#[tokio::test]
async fn t_a76_nothing_is_sent_where_the_configuration_does_not_say() {
    // A receiver that sends the exporter elsewhere, with its token.
    let (elsewhere, dir) = (Receiver::answering([]).await, tempfile::tempdir().unwrap());
    let to = elsewhere.url.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let redirect = axum::Router::new().route(
        "/in",
        axum::routing::post(move || std::future::ready(axum::response::Redirect::temporary(&to))),
    );
    tokio::spawn(async move { axum::serve(listener, redirect).await });
    let swarm = swarm(dir.path(), section(ExporterKind::Webhook, &url)).await;
    let state = until(&swarm, |state| state.trouble.is_some()).await;
    let trouble = state.trouble.unwrap();
    assert_eq!(trouble, "it answered 307 Temporary Redirect", "an answer like any other that is not good");
    swarm.shut_down().await.unwrap();
    assert!(elsewhere.came().is_empty());

    for (url, says) in [
        ("http://example.com/in", "must be https"),
        ("http://127.0.0.1.example.com/in", "must be https"),
        ("ftp://localhost/in", "must be https"),
        ("file:///etc/passwd", "must be https"),
        ("https://user:secret@example.com/", "name it as bearer"),
        ("nonsense", "cannot be read"),
    ] {
        let error = exporters(ExportSection::default(), &[section(ExporterKind::Webhook, url)]).unwrap_err();
        assert!(error.starts_with("exporter out: ") && error.contains(says), "{url}: {error}");
    }
    for url in ["https://example.com/in", "http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost/"] {
        assert!(exporters(ExportSection::default(), &[section(ExporterKind::Webhook, url)]).is_ok(), "{url}");
    }
}
