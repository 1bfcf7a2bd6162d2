//! The health pages of a real node: honest, and silent to strangers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

fn now_seconds() -> f64 {
    testudo::bus::env::Env::now(&testudo::env::System).as_millis() as f64 / 1000.0
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{body:?}"))
}

#[test]
fn t_a67_strangers_see_the_state_and_operators_why_r_h12_and_readiness_is_the_whole_check() {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.does(&format!("agent add secret-name {C} --allow read:x --out a.id"));
    for path in ["/readyz", "/healthz"] {
        let (line, body) = node.page(path);
        assert!(line.contains("200"), "{line}");
        let keys: Vec<_> = json(&body).as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["ready", "state"], "nothing but the state: {body}");
    }
    let secret = place.read("s/data/health.secret");
    assert_eq!((secret.len(), place.mode_of("s/data/health.secret")), (64, 0o600));
    let (_, body) = node.page_with("/healthz", &format!("authorization: Bearer {secret}\r\n"));
    let report = json(&body);
    for check in ["actors", "audit", "ca", "certificate", "guard", "issuer", "process", "registry", "trust"] {
        assert_eq!(report["components"][check]["state"], "healthy", "{check}: {body}");
    }
    // r_h12: readiness is the whole check.
    let (_, ready) = node.page_with("/readyz", &format!("authorization: Bearer {secret}\r\n"));
    let ready = json(&ready);
    assert_eq!((&ready["state"], &ready["ready"]), (&report["state"], &report["ready"]));
    let states = |report: &Value| {
        let components = report["components"].as_object().unwrap().clone();
        components.into_iter().map(|(name, of)| (name, of["state"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(states(&ready), states(&report), "the same checks, the same findings");
    let wrong = [
        format!("authorization: Bearer {}\r\n", "0".repeat(64)),
        format!("authorization: Bearer {secret}x\r\n"),
        format!("authorization: Bearer {}\r\n", &secret[..63]),
        format!("authorization: {secret}\r\n"),
        "authorization: Bearer \r\n".to_owned(),
        format!("x: Bearer {secret}\r\n"),
    ];
    for headers in wrong {
        let (_, body) = node.page_with("/healthz", &headers);
        assert!(json(&body)["components"].is_null(), "{headers}: {body}");
    }
    let (_, by_query) = node.page(&format!("/healthz?token={secret}"));
    assert!(json(&by_query)["components"].is_null());
    let (_, metrics) = node.page("/metrics");
    assert!(!metrics.contains("secret-name"), "no names in metrics");
    for (certificate, days) in [("node", 1), ("ca-oldest", 3650), ("ca-newest", 3650)] {
        let series =
            format!("testudo_certificate_expiry_timestamp_seconds{{certificate=\"{certificate}\"}} ");
        let end = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&series))
            .unwrap_or_else(|| panic!("{metrics}"));
        let left = end.parse::<f64>().unwrap() - now_seconds();
        assert!((left / 86_400.0 - f64::from(days)).abs() < 0.1, "{certificate}: {left} s left");
    }
    // No page changes anything, and none is there but these.
    for path in ["/", "/debug", "/connz", "/healthz/", "/readyz/x", "/admin"] {
        assert!(node.page(path).0.contains("404"), "{path}");
    }
    node.end();
    let node = Node::start(&place);
    assert_ne!(place.read("s/data/health.secret"), secret, "another one at each start");
    node.end();
}

/// A small disk of its own in memory, where the system lets us have one.
struct Disk(PathBuf);

impl Disk {
    fn mounted() -> Option<Self> {
        let at = tempfile::tempdir().unwrap().keep();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&at).output();
        if mounted.is_ok_and(|done| done.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED: no disk of a bounded size can be mounted here (needs root)");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Waits for a page to answer like this.
fn until(node: &Node, path: &str, status: &str) {
    for _ in 0..1000 {
        if node.page(path).0.contains(status) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{path} never said {status}: {:?}", node.page(path));
}

#[test]
fn t_f03_r_h11_a_full_disk_is_not_ready_and_alive_and_ready_again_by_itself() {
    use std::io::Write as _;
    let Some(disk) = Disk::mounted() else { return };
    let place = Place::on(&disk.0);
    place.does("init s");
    let node = Node::start(&place);
    place.does(&format!("agent add a {C} --allow send:x --out a.id"));
    place.write("a.id", place.read("a.id").replace("127.0.0.1:7600", &node.listen));
    let mut filler = std::fs::File::create(disk.0.join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    // Each leaves records of some 400 bytes, which is soon more than the last page of the log has room for.
    for _ in 0..25 {
        let _ = place.run("send nobody send:x body --identity a.id");
    }
    let (line, body) = node.page("/readyz");
    assert!(line.contains("503") && json(&body)["state"] == "unhealthy", "{line} {body}");
    assert!(node.page("/livez").0.contains("200"), "alive: a restart would not help");
    assert!(node.page("/metrics").1.contains("testudo_audit_up 0"));
    assert!(place.does(&format!("status {C}")).contains("UNHEALTHY"));
    std::fs::remove_file(disk.0.join("filler")).unwrap();
    drop(filler);
    until(&node, "/readyz", "200");
    assert!(node.page("/metrics").1.contains("testudo_audit_up 1"));
    let tail = place.does(&format!("audit tail -n 0 {C}"));
    assert!(tail.contains("could write again"), "{tail}");
    node.end();
    place.does(&format!("audit verify {C}"));
}
