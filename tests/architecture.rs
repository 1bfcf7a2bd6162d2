//! The architecture's own rules: who may import whom, and what every source file looks like.

#![expect(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Longest file, in lines.
const LINES_MAX: usize = 600;

/// The platform of this build: the packages of others need not even be on this machine.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// What each package reaches through normal and build dependencies, by name, itself not included.
fn reach() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &host()])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let names: BTreeMap<String, String> =
        list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let ships = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
    let edges: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let deps = list(&node["deps"]).into_iter().filter(ships).map(|dep| text(&dep["pkg"]));
            (text(&node["id"]), deps.collect())
        })
        .collect();
    let members = list(&metadata["workspace_members"]);
    members
        .iter()
        .map(|member| {
            let member = text(member);
            let (mut seen, mut next) = (BTreeSet::new(), VecDeque::from([member.clone()]));
            while let Some(id) = next.pop_front() {
                next.extend(edges[&id].iter().filter(|dep| seen.insert((*dep).clone())).cloned());
            }
            (names[&member].clone(), seen.iter().map(|id| names[id].clone()).collect())
        })
        .collect()
}

#[test]
fn imports_go_downwards_only() {
    let reach = reach();
    let ours: BTreeSet<&str> = reach.keys().map(String::as_str).collect();
    let may_reach: BTreeMap<&str, &[&str]> = [
        ("testudo-wire", [].as_slice()),
        ("testudo-rules", &["testudo-wire"]),
        ("testudo-registry", &["testudo-wire"]),
        ("testudo-agents", &["testudo-wire", "testudo-rules", "testudo-registry"]),
        ("testudo-bus", &["testudo-wire", "testudo-rules", "testudo-registry"]),
        ("testudo", &["testudo-wire", "testudo-rules", "testudo-registry", "testudo-bus", "testudo-agents"]),
    ]
    .into();
    assert_eq!(ours, may_reach.keys().copied().collect(), "a new crate needs its place here");
    for (package, reached) in &reach {
        let inside = reached.iter().map(String::as_str).filter(|name| ours.contains(name));
        for name in inside {
            assert!(may_reach[package.as_str()].contains(&name), "{package} reaches {name}");
        }
    }
}

#[test]
fn words_and_decisions_do_no_io_and_agents_know_no_transport() {
    let reach = reach();
    let io = ["actix", "actix-rt", "quinn", "quinn-proto", "quinn-udp", "rustls", "tokio"];
    let transport = ["quinn", "quinn-proto", "quinn-udp", "rustls"];
    let forbidden = [
        ("testudo-wire", io.as_slice()),
        ("testudo-rules", &io),
        ("testudo-registry", &transport),
        ("testudo-agents", &transport),
    ];
    for (package, names) in forbidden {
        for name in names {
            assert!(!reach[package].contains(*name), "{package} reaches {name}");
        }
    }
    assert!(reach["testudo-bus"].contains("quinn"), "the graph is read at all");
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let folders = ["agents", "benches", "bus", "examples", "registry", "src", "tests"];
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| Path::new(ROOT).join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "target" {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "the sources are found at all");
    found
}

/// What no file may hold; put together here, so that this file does not hold it either.
fn needles() -> Vec<String> {
    let halves = [("TO", "DO"), ("FIX", "ME"), ("to", "do!("), ("unimpl", "emented!("), ("#[ig", "nore")];
    halves.iter().map(|(a, b)| format!("{a}{b}")).collect()
}

/// A linter looks for such words itself: the example's rule tables and their tests name them.
fn names_them(path: &Path) -> bool {
    path.to_string_lossy().contains("/examples/triage/") && path.to_string_lossy().contains("findings")
}

#[test]
fn every_file_says_what_it_is_for_and_is_finished() {
    let mut faults = Vec::new();
    for path in sources() {
        let (text, shown) = (std::fs::read_to_string(&path).unwrap(), path.strip_prefix(ROOT).unwrap());
        let mut fault = |what: String| faults.push(format!("{}: {what}", shown.display()));
        if !text.starts_with("//!") {
            fault("does not begin by saying what it is for".into());
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            fault(format!("has {lines} lines"));
        }
        let found = needles().into_iter().filter(|needle| !names_them(&path) && text.contains(needle));
        for needle in found {
            fault(format!("holds {needle}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Versions below which a known hole is open (docs/security.md names them too).
const FLOORS: [(&str, [u64; 3]); 13] = [
    ("aws-lc-sys", [0, 39, 0]),
    ("biscuit-auth", [6, 0, 0]),
    ("bytes", [1, 11, 1]),
    ("crossbeam-channel", [0, 5, 15]),
    ("curve25519-dalek", [4, 1, 3]),
    ("ed25519-dalek", [2, 0, 0]),
    ("quinn-proto", [0, 11, 15]),
    ("rmp-serde", [1, 1, 1]),
    ("rustls", [0, 23, 18]),
    ("rustls-webpki", [0, 103, 13]),
    ("time", [0, 3, 47]),
    ("tokio", [1, 44, 2]),
    ("tracing-subscriber", [0, 3, 20]),
];

#[test]
fn t_a80_no_dependency_is_below_its_floor() {
    let lock = std::fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let mut checked = BTreeSet::new();
    for package in lock["package"].as_array().unwrap() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let Some((name, floor)) = FLOORS.iter().find(|(floored, _)| *floored == name) else { continue };
        let numbers: Vec<u64> =
            version.split(['.', '-', '+']).take(3).map(|number| number.parse().unwrap()).collect();
        assert!(numbers.as_slice() >= floor.as_slice(), "{name} {version} is below its floor {floor:?}");
        checked.insert(*name);
    }
    // What is not locked at all cannot be too old.
    assert!(checked.len() >= FLOORS.len() - 1, "{checked:?}");
}
