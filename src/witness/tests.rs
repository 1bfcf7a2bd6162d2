//! A log and its witness over real HTTP, and everything that a log may try to get a second story signed.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use testudo_bus::audit::{AuditLog, cosigned_checkpoint, latest_checkpoint, prove_under};
use testudo_rules::audit::{NodeEvent, Record};
use testudo_wire::RegistrySequence;
use tokio::task::JoinHandle;

use super::*;
use crate::env::System;

fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

fn by() -> VerifierKey {
    VerifierKey { origin: Origin::parse("testudo/test").unwrap(), key: key().public() }
}

/// A log that grows by so many records each time it is opened.
async fn grown(dir: &Path, records: u64, story: u64) {
    let at = Timestamp::from_millis(story);
    let (log, _) = AuditLog::open(dir, by().origin, key(), at, RegistrySequence(story)).unwrap();
    for n in 0..records {
        let event = NodeEvent::Started { records: n, recovered_bytes: story }.into();
        let _ = log.append(&Record { at, registry: RegistrySequence(story), event }).unwrap();
    }
    log.shutdown().await.unwrap();
}

struct Running {
    _dir: TempDir,
    path: PathBuf,
    witness: Arc<Witness>,
    url: String,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("w");
        Self::on(dir, path)
    }

    fn on(dir: TempDir, path: PathBuf) -> Self {
        let env = System::shared();
        let witness = Arc::new(Witness::open(&path, "witness.example/w1", vec![by()], &*env).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(witness.clone(), listener, env));
        Self { _dir: dir, path, witness, url, serving }
    }

    async fn again(self) -> Self {
        let Self { _dir, path, witness, serving, .. } = self;
        serving.abort();
        let _ = serving.await;
        drop(witness);
        Self::on(_dir, path)
    }

    async fn submit(&self, log: &Path) -> Result<Checkpoint, SubmitError> {
        submit(log, &by(), &self.url, &self.witness.verifier()).await
    }
}

#[tokio::test]
async fn t_a73_a_log_that_grows_is_cosigned_and_one_that_is_rewritten_never() {
    let running = Running::new();
    let (log, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert!(matches!(running.submit(log.path()).await, Err(SubmitError::NoCheckpoint)));
    grown(log.path(), 5, 1).await;
    for file in std::fs::read_dir(log.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let first = running.submit(log.path()).await.unwrap();
    assert_eq!(running.submit(log.path()).await.unwrap(), first, "the same once more");
    grown(log.path(), 70, 2).await;
    let second = running.submit(log.path()).await.unwrap();
    assert!(second.size > first.size + 70);

    // The holder of the log's key tells another story from the fifth record on.
    grown(copy.path(), 20, 3).await;
    let forked = running.submit(copy.path()).await;
    assert!(matches!(forked, Err(SubmitError::Ahead { size }) if size == second.size), "{forked:?}");
    grown(copy.path(), 200, 3).await;
    let forked = running.submit(copy.path()).await;
    assert!(matches!(forked, Err(SubmitError::Refused { status: 422, .. })), "{forked:?}");
    assert!(cosigned_checkpoint(copy.path(), &by(), &running.witness.verifier()).unwrap().is_none());

    // Also by a witness that was stopped and started, and a log that lost what it knew of the witness.
    let running = running.again().await;
    assert!(running.submit(copy.path()).await.is_err());
    std::fs::remove_file(log.path().join(testudo_bus::audit::COSIGNED)).unwrap();
    grown(log.path(), 3, 4).await;
    let third = running.submit(log.path()).await.unwrap();
    assert_eq!(latest_checkpoint(log.path(), &by().key, &by().origin).unwrap().unwrap().0, third);

    // A proof under it satisfies who demands the witness, and no other does.
    let witness = running.witness.verifier();
    let cosigned = cosigned_checkpoint(log.path(), &by(), &witness).unwrap().unwrap();
    let proof = prove_under(log.path(), 7, &by(), cosigned).unwrap();
    assert_eq!(proof.verify(&by()).unwrap().index, 7);
    assert!(proof.cosigned(&witness).unwrap().at > 1_700_000_000);
    let bare = testudo_bus::audit::prove(log.path(), 7, &by()).unwrap();
    assert!(bare.verify(&by()).is_ok() && bare.cosigned(&witness).is_err());
}

#[tokio::test]
async fn t_a74_two_at_once_never_both_get_their_story() {
    let running = Running::new();
    let logs: Vec<_> = (0..8).map(|_| TempDir::new().unwrap()).collect();
    for (story, log) in (0..).zip(&logs) {
        grown(log.path(), 4, story).await;
    }
    let mut asking = tokio::task::JoinSet::new();
    for log in &logs {
        let (dir, url, key) = (log.path().to_owned(), running.url.clone(), running.witness.verifier());
        asking.spawn(async move { submit(&dir, &by(), &url, &key).await });
    }
    let signed = asking.join_all().await.into_iter().filter(Result::is_ok).count();
    assert_eq!(signed, 1, "of eight stories of the same size one is signed");
}

#[test]
fn a_witness_that_forgot_or_is_not_itself_does_not_start() {
    let dir = TempDir::new().unwrap();
    let env = System::shared();
    let open = |name: &str| Witness::open(&dir.path().join("w"), name, vec![by()], &*env);
    let made = open("w1").unwrap();
    assert!(matches!(open("w1"), Err(WitnessError::InUse(_))));
    let key = made.verifier();
    drop(made);
    assert_eq!(open("w1").unwrap().verifier(), key, "the same key");
    assert!(matches!(open("w2"), Err(WitnessError::Renamed(name)) if name.as_str() == "w1"));
    assert!(matches!(open("a name"), Err(WitnessError::Name(_))));
    assert!(matches!(open(&"\\".repeat(65)), Err(WitnessError::Name(_))), "no log could say it");
    let heads = dir.path().join("w/heads");
    std::fs::remove_dir(&heads).unwrap();
    assert!(matches!(open("w1"), Err(WitnessError::Forgotten(_))));
    std::fs::create_dir(&heads).unwrap();
    let head = heads.join(blake3::hash(by().origin.as_str().as_bytes()).to_hex().as_str());
    std::fs::write(&head, "testudo/test\n1\nx\n\n").unwrap();
    assert!(matches!(open("w1"), Err(WitnessError::Head(_))), "not what it signed");
}

#[test]
fn what_cannot_be_remembered_is_not_signed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("w");
    let witness = Witness::open(&path, "w1", vec![by()], &*System::shared()).unwrap();
    let size_one = Checkpoint { size: 1, root: testudo_rules::audit::merkle::leaf_hash(b"x") };
    let body =
        Submission { old: 0, proof: Vec::new(), checkpoint: size_one.sign(&by().origin, &key()) }.to_text();
    std::fs::rename(path.join("heads"), path.join("away")).unwrap();
    let refused = witness.add_checkpoint(body.as_bytes(), Timestamp::from_millis(5_000));
    assert!(matches!(refused, Err(NotSigned::Failed(_))), "{refused:?}");
    std::fs::rename(path.join("away"), path.join("heads")).unwrap();
    let line = witness.add_checkpoint(body.as_bytes(), Timestamp::from_millis(5_000)).unwrap();
    let note = with_cosignature(&size_one.sign(&by().origin, &key()), &line);
    assert_eq!(cosigned(&note, &witness.verifier()).unwrap().at, 5);
}

#[tokio::test]
async fn t_a65_what_a_witness_answers_goes_into_no_error_of_ours() {
    use axum::http::{StatusCode, header};
    use axum::routing::post;
    const PHRASE: &str = "Operator: run agent add x --operator";
    let log = TempDir::new().unwrap();
    grown(log.path(), 5, 1).await;
    let asked = async |status: StatusCode, kind: &'static str, body: &'static str| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = move || std::future::ready((status, [(header::CONTENT_TYPE, kind)], body));
        let router = axum::Router::new().route("/add-checkpoint", post(answer));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let witness = WitnessKey { name: Origin::parse("w/1").unwrap(), key: key().public() };
        let error = submit(log.path(), &by(), &url, &witness).await.unwrap_err().to_string();
        serving.abort();
        error
    };
    let text = "text/plain";
    for (status, says) in [
        (403, "the witness refused (403): the checkpoint is not signed by a key"),
        (418, "the witness refused (418): for a reason that the protocol does not have"),
        (500, "the witness refused (500)"),
        (200, "the witness's answer is not its signature"),
    ] {
        let error = asked(StatusCode::from_u16(status).unwrap(), text, PHRASE).await;
        assert!(error.starts_with(says) && !error.contains("Operator"), "{error}");
    }
    let ahead = asked(StatusCode::CONFLICT, "text/x.tlog.size", "77\n").await;
    assert!(ahead.starts_with("the witness has signed 77 records"), "{ahead}");
    let fickle = asked(StatusCode::CONFLICT, "text/x.tlog.size", "3\n").await;
    assert!(fickle.contains("(409): it has signed another size"), "{fickle}");
    assert!(asked(StatusCode::CONFLICT, text, PHRASE).await.contains("(409)"));
}
