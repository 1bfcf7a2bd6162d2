//! `node` and `status`: what keeps a node from starting, how it ends, and what survives when it dies.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::FileTypeExt as _;

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";
const NODE: &str =
    "node --until-stdin-closes --listen 127.0.0.1:0 --health 127.0.0.1:0 --config s/testudo.toml";
const STORE: &str = "s/data/registry.db";
const LOG: &str = "s/data/audit/00000000000000000000.log";

/// Writes bytes into a file; from the end when negative.
pub(crate) fn patch(place: &Place, file: &str, at: i64, change: impl Fn(u8) -> u8) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(place.path(file)).unwrap();
    let at = if at < 0 { SeekFrom::End(at) } else { SeekFrom::Start(at.unsigned_abs()) };
    let at = file.seek(at).unwrap();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[change(byte[0])]).unwrap();
}

#[test]
fn a_taken_port_is_named_and_nothing_is_opened() {
    let place = Place::swarm();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (links, pages) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    place.fails(
        2,
        &format!("node {C} --listen {links} --health 127.0.0.1:0"),
        "another address with --listen",
    );
    place.fails(
        2,
        &format!("node {C} --listen 127.0.0.1:0 --health {pages}"),
        "another address with --health",
    );
    place.fails(
        2,
        &format!("node {C} --listen 192.0.2.1:7 --health 127.0.0.1:0"),
        "cannot listen on 192.0.2.1:7",
    );
    assert!(!place.exists(STORE) && !place.exists("s/data/audit"));
}

#[test]
fn a_second_node_on_the_same_data_is_refused() {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.fails(2, NODE, "another node or command works on s/data");
    assert!(node.page("/readyz").0.contains("200"), "the first one works on");
    let socket = place.path("s/data/admin.sock");
    std::fs::rename(&socket, place.path("hidden")).unwrap();
    place.fails(2, &format!("agent list {C}"), "another node or command works on s/data");
    place.fails(2, &format!("agent add a {C} --allow read:x --out a.id"), "another node or command");
    assert!(!place.exists("a.id"));
    std::fs::rename(place.path("hidden"), &socket).unwrap();
    assert!(place.states().is_empty());
    assert_eq!(place.json(&format!("status --json {C}"))["audit_records"], 1);
    node.end();
}

/// A thing that is wrong with the data, and what the node says of it.
type Fault = (&'static str, fn(&Place), &'static str);

#[test]
fn data_that_cannot_be_used_is_named_each_by_its_own_message() {
    let faults: [Fault; 15] = [
        (
            "newer store",
            |p| patch(p, STORE, 63, |_| 99),
            "has format 99, this version knows 3; update testudo",
        ),
        ("foreign SQLite file", |p| patch(p, STORE, 68, |_| 0), "is not a registry store"),
        ("no SQLite file", |p| p.write(STORE, "garbage ".repeat(64)), "is not a registry store"),
        ("cut store", |p| p.write(STORE, &std::fs::read(p.path(STORE)).unwrap()[..5000]), "is corrupt"),
        ("edited store", |p| edit(p, "UPDATE agent SET valid_from = 1"), "was changed by something else"),
        (
            "lost log",
            |p| std::fs::remove_dir_all(p.path("s/data/audit")).unwrap(),
            "the audit log is missing while the registry is at sequence 1",
        ),
        (
            "lost checkpoints",
            |p| std::fs::remove_file(p.path("s/data/audit/checkpoints")).unwrap(),
            "the audit log's checkpoints are missing",
        ),
        ("lost store", |p| std::fs::remove_file(p.path(STORE)).unwrap(), "it is an old copy"),
        (
            "other store",
            |p| drop(std::fs::copy(p.path("o/data/registry.db"), p.path(STORE))),
            "belongs to swarm",
        ),
        ("flipped byte", |p| patch(p, LOG, 40, |byte| byte ^ 1), "of the audit log is damaged"),
        ("cut log", |p| p.write(LOG, ""), "run `testudo audit verify`"),
        ("no log folder", |p| instead(p, "s/data/audit"), "s/data/audit"),
        ("no data folder", |p| instead(p, "s/data"), "s/data is not in a folder, or is no folder itself"),
        (
            "socket",
            |p| std::fs::create_dir(p.path("s/data/admin.sock")).unwrap(),
            "s/data/admin.sock is a folder",
        ),
        ("checkpoints", |p| patch(p, "s/data/audit/checkpoints", -20, |byte| byte ^ 1), "checkpoint"),
    ];
    let place = Place::swarm();
    place.does("init o");
    place.does("agent list --config o/testudo.toml");
    place.does(&format!("agent add a {C} --allow read:x --out a.id"));
    let kept = place.path("kept");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(&place.path("s"), &kept);
    for (what, fault, says) in faults {
        fault(&place);
        let before = place.files();
        place.run(NODE).fails(2, says, what);
        let names = |files: Vec<(std::path::PathBuf, Vec<u8>)>| files.into_iter().map(|(path, _)| path);
        assert!(names(place.files()).all(|path| !path.ends_with("admin.sock")) || what == "socket", "{what}");
        assert!(before.len() <= place.files().len(), "{what}: nothing is lost");
        std::fs::remove_dir_all(place.path("s")).unwrap();
        copy(&kept, &place.path("s"));
    }
    Node::start(&place).end();
}

/// What somebody with a SQL shell does to a stopped node.
fn edit(place: &Place, sql: &str) {
    rusqlite::Connection::open(place.path(STORE)).unwrap().execute(sql, []).unwrap();
}

/// A file where a folder should be.
fn instead(place: &Place, path: &str) {
    std::fs::remove_dir_all(place.path(path)).unwrap();
    place.write(path, "x");
}

#[test]
fn signals_end_a_node_in_good_order() {
    for signal in ["-TERM", "-INT"] {
        let place = Place::swarm();
        let (code, said) = Node::start(&place).signalled(signal);
        assert_eq!((code, said["event"].as_str()), (Some(0), Some("stopped")), "{signal}");
        assert_eq!(said["account"]["in_flight"], 0);
        assert!(!place.exists("s/data/admin.sock"));
        place.does(&format!("audit verify {C}"));
    }
}

#[test]
fn what_was_done_survives_kill_9() {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.does(&format!("agent add a {C} --allow read:x --out a.id"));
    place.does(&format!("agent add b {C} --allow read:x --out b.id"));
    place.does(&format!("agent revoke a {C}"));
    node.kill();
    assert!(place.exists("s/data/admin.sock"), "left behind");
    place.fails(1, &format!("status {C}"), "no node runs on s/data");
    let states = [("a".to_owned(), "revoked (operator)".to_owned()), ("b".to_owned(), "enrolled".to_owned())];
    assert_eq!(place.states(), states, "on the folder, past the leftover socket");
    let node = Node::start(&place);
    let kind = std::fs::metadata(place.path("s/data/admin.sock")).unwrap().file_type();
    assert!(kind.is_socket());
    assert_eq!(place.mode_of("s/data/admin.sock"), 0o600);
    assert_eq!(place.states(), states);
    place.fails(1, &format!("agent renew --identity a.id {C}"), "a is revoked");
    node.end();
    place.does(&format!("audit verify {C}"));
}

#[test]
fn a_leftover_that_is_no_socket_is_handled() {
    let place = Place::swarm();
    place.write("s/data/admin.sock", "x");
    place.fails(1, &format!("status {C}"), "no node runs on s/data");
    place.does(&format!("agent list {C}"));
    Node::start(&place).end();
}

#[test]
fn health_pages_and_status_answer() {
    let place = Place::swarm();
    let node = Node::start(&place);
    for (path, status, holds) in [
        ("/livez", "200", "ok"),
        ("/readyz", "200", "\"ready\":true"),
        ("/healthz", "200", "\"state\":\"healthy\""),
        ("/metrics", "200", "testudo_messages_submitted_total 0"),
        ("/nothing", "404", ""),
    ] {
        let (line, body) = node.page(path);
        assert!(line.contains(status) && body.contains(holds), "{path}: {line}: {body}");
    }
    let status = place.json(&format!("status --json {C}"));
    assert_eq!(
        (status["linked"].as_array().unwrap().len(), status["bundles_refused"].as_u64()),
        (0, Some(0))
    );
    assert_eq!(status["health"]["state"], "healthy");
    let told = place.does(&format!("status {C}"));
    for word in ["healthy for ", "linked agents", "in flight", "refusals", "none", "audit records"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(!told.contains('{'), "for people: {told}");
    node.end();
    place.fails(1, &format!("status {C}"), "start it with `testudo node");
}
