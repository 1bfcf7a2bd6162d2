//! The examples do what they promise, and the front page shows code that runs.

#![expect(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "examples/snippets.rs"]
mod snippets;

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use testudo::{Identity, Role, Swarm};
use tokio::process::Command;
use tokio::time::timeout;

/// They take less than a second; a busy machine may need more, and none may hang.
const PATIENCE: Duration = Duration::from_secs(20);

const README: &str = include_str!("../README.md");
const HELLO: &str = include_str!("../examples/hello.rs");

/// An example as `cargo test` has built it, beside the tests. `cargo test --test examples` alone builds none.
fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().unwrap().with_file_name("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).with_extension("rs");
    let changed = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    assert!(changed(&built) >= changed(&source), "{name} is not built; run `cargo build --examples`");
    let mut command = Command::new(built);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.unwrap().unwrap()
}

/// What it printed, if it ended well.
#[track_caller]
fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

async fn says(name: &str, lines: &[&str]) {
    let said = printed(&output(example(name)).await);
    for line in lines {
        assert!(said.lines().any(|said| said.contains(line)), "{name} does not say {line:?}:\n{said}");
    }
}

#[tokio::test]
async fn hello_answers_and_refuses() {
    says(
        "hello",
        &[
            r#"reader answered: ["line 1", "line 2"]"#,
            "and without the right: refused: unauthorised",
            "submitted: 3, delivered: 2, failed: 1",
        ],
    )
    .await;
}

#[tokio::test]
async fn delegation_shrinks_and_over_reach_is_refused_by_name() {
    says(
        "delegation",
        &[
            r#"searcher read the store on behalf of orchestrator: ["disk error on sda", "disk error on sdb"]"#,
            "analyst tried delete:logs with what it was handed: unauthorised",
            "analyst tried read:logs on its own: unauthorised",
            "orchestrator, who may, deletes the logs: gone",
            "every one accounted for: true",
        ],
    )
    .await;
}

#[tokio::test]
async fn debate_is_heard_by_all_token_by_token_and_ends_with_a_tally() {
    says(
        "debate",
        &[
            "ben: ada has a point, but on \"Agents should sign what they say\" I say: keys get stolen",
            "moderator: 66 tokens from 3 debaters",
            "tally: ben wins with 2 of 3 votes",
            "every one accounted for: true",
        ],
    )
    .await;
}

/// A swarm in this process, and identity files for an example in another.
async fn with_identities(test: impl AsyncFnOnce(&Swarm, &Path, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    let (asker, reader) = (dir.path().join("asker.identity"), dir.path().join("reader.identity"));
    let swarm = Swarm::embedded("examples").await.unwrap();
    let save = |identity: Identity, path: &Path| identity.save(path).unwrap();
    let role = Role::new().allow("read:logs").delegatable("read:logs");
    save(swarm.enrol("asker", role).await.unwrap(), &asker);
    save(swarm.enrol("reader", Role::new().serve("read:logs")).await.unwrap(), &reader);
    timeout(PATIENCE, test(&swarm, &asker, &reader)).await.unwrap();
    assert!(swarm.shut_down().await.unwrap().is_balanced());
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_leaves_in_good_order_however_it_ends() {
    with_identities(async |swarm, asker, reader| {
        let run = |asker: &Path, reader: &Path| {
            let mut command = example("ask");
            command.arg(asker).arg(reader);
            output(command)
        };
        let said = printed(&run(asker, reader).await);
        assert!(said.contains(r#"reader answered: ["line 1", "line 2", "line 3"]"#), "{said}");
        assert!(said.contains("and without the right: refused: unauthorised"), "{said}");

        // The roles exchanged: the first question is refused already.
        let failed = run(reader, asker).await;
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        assert!(String::from_utf8_lossy(&failed.stdout).contains("refused: unauthorised"), "{failed:?}");
        // Both said goodbye each time: nothing is linked, and a second run finds its place free.
        while swarm.metrics().links() > 0 {
            tokio::task::yield_now().await;
        }
        printed(&run(asker, reader).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_does_not_mind_a_closed_pipe() {
    with_identities(async |_, asker, reader| {
        let mut command = example("ask");
        let mut child = command.arg(asker).arg(reader).spawn().unwrap();
        drop(child.stdout.take());
        printed(&child.wait_with_output().await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_front_page_shows_does_what_it_says() {
    timeout(PATIENCE, snippets::all()).await.unwrap().unwrap();
}

/// The Rust blocks of the front page.
fn blocks() -> Vec<&'static str> {
    let blocks = README.split("```rust\n").skip(1);
    blocks.map(|rest| rest.split_once("```").unwrap().0).collect()
}

#[test]
fn the_front_page_shows_hello_in_full_and_nothing_that_does_not_run() {
    assert!(HELLO.lines().count() <= 40);
    let code = &HELLO[HELLO.find("use ").unwrap()..];
    let blocks = blocks();
    assert!(blocks.contains(&code), "README.md must show examples/hello.rs from its first `use` on:\n{code}");
    let flat = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let sources = flat(include_str!("examples/snippets.rs")) + &flat(HELLO);
    for block in &blocks {
        assert!(sources.contains(&flat(block)), "tests/examples/snippets.rs does not hold:\n{block}");
    }
    assert!(blocks.len() >= 7, "hello, remote, topics, services, streams, delegation, receipts");
}
