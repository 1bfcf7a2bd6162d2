//! `swarm backup` and `swarm restore`: what a swarm lives on comes back whole, or not at all.

use std::io::Write as _;

use age::secrecy::ExposeSecret as _;
use serde_json::Value;
use testudo::{DialError, Identity};

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";
const KEYS: [&str; 5] = ["authority.key", "ca.key", "ca.pem", "log.key", "node.key"];

/// A swarm with an agent, a passphrase in `pass`, an age identity in `age.key`.
fn place() -> (Place, String) {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs --out a.id"));
    place.write("pass", "correct horse battery\n");
    let identity = age::x25519::Identity::generate();
    place.write("age.key", format!("# made for a test\n{}\n", identity.to_string().expose_secret()));
    (place, identity.to_public().to_string())
}

fn keys(place: &Place, swarm: &str) -> Vec<String> {
    KEYS.iter().map(|key| place.read(&format!("{swarm}/keys/{key}"))).collect()
}

fn lose_keys(place: &Place) {
    std::fs::remove_dir_all(place.path("s/keys")).unwrap();
    std::fs::remove_file(place.path("s/testudo.toml")).unwrap();
}

#[test]
fn lost_keys_come_back_beside_the_registry_that_stayed() {
    let (place, _) = place();
    place.does(&format!("agent add b {C} --allow read:logs --out b.id"));
    place.does(&format!("agent revoke b {C}"));
    let (before, config) = (keys(&place, "s"), place.read("s/testudo.toml"));
    let said = place.json(&format!("swarm backup {C} --out s.backup --passphrase-file pass --json"));
    assert_eq!(said["backup"], "s.backup");
    assert_eq!(place.mode_of("s.backup"), 0o600);
    lose_keys(&place);
    let back = place.json("swarm restore s.backup --to s --passphrase-file pass --json");
    assert_eq!((&back["swarm"], back["has_registry"].as_bool()), (&said["swarm"], Some(true)));
    assert_eq!((keys(&place, "s"), place.read("s/testudo.toml")), (before, config));
    for key in KEYS {
        assert_eq!(place.mode_of(&format!("s/keys/{key}")), 0o600, "{key}");
    }
    assert_eq!((place.mode_of("s/keys"), place.mode_of("s/testudo.toml")), (0o700, 0o600));
    let states = place.states();
    assert_eq!(states[0].1, "enrolled");
    assert!(states[1].1.starts_with("revoked"), "{states:?}");
    place.does(&format!("audit verify {C}"));
}

#[test]
fn t_a75_without_its_registry_a_restored_swarm_knows_nobody() {
    let (place, recipient) = place();
    place.does(&format!("swarm backup {C} --out s.backup --recipient {recipient}"));
    std::fs::remove_dir_all(place.path("s")).unwrap();
    std::fs::create_dir(place.path("s")).unwrap();
    let said = place.does("swarm restore s.backup --to s --identity age.key");
    assert!(said.contains("every agent must be enrolled again"), "{said}");
    let node = Node::start(&place);
    let mut old = Identity::load(&place.path("a.id")).unwrap();
    old.node = node.listen.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(testudo::dial(&old)).unwrap_err();
    assert!(matches!(refused, DialError::Unlisted), "{refused:?}");
    place.does(&format!("agent add a {C} --allow read:logs --out new.id"));
    let mut new = Identity::load(&place.path("new.id")).unwrap();
    new.node = old.node;
    assert!(runtime.block_on(testudo::dial(&new)).is_ok());
    node.end();
}

#[test]
fn restore_overwrites_nothing() {
    let (place, recipient) = place();
    place.does(&format!("swarm backup {C} --out s.backup --recipient {recipient}"));
    let restore = "swarm restore s.backup --to s --identity age.key";
    for left in
        ["testudo.toml", "keys/authority.key", "keys/ca.key", "keys/ca.pem", "keys/log.key", "keys/node.key"]
    {
        let kept = place.read(&format!("s/{left}"));
        lose_keys(&place);
        std::fs::create_dir(place.path("s/keys")).unwrap();
        place.write(&format!("s/{left}"), &kept);
        let before = place.files();
        place.fails(2, restore, &format!("s/{left} exists already"));
        assert_eq!(place.files(), before, "{left}");
        std::fs::remove_file(place.path(&format!("s/{left}"))).unwrap();
        place.does(restore);
    }
    place.fails(
        2,
        &format!("swarm backup {C} --out s.backup --recipient {recipient}"),
        "s.backup exists already",
    );
    std::fs::write(place.path("file"), "x").unwrap();
    place.fails(2, "swarm restore s.backup --to file --identity age.key", "choose another path");
}

#[test]
fn a_wrong_passphrase_identity_or_file_writes_nothing() {
    let (place, recipient) = place();
    place.does(&format!("swarm backup {C} --out p.backup --passphrase-file pass"));
    place.does(&format!("swarm backup {C} --out r.backup --recipient {recipient}"));
    place.write("wrong", "correct horse batter");
    place.write("age-wrong.key", age::x25519::Identity::generate().to_string().expose_secret());
    place.write("exposed", "correct horse battery");
    place.mode("exposed", 0o640);
    place.write("none.key", "# nothing here\n");
    let good = std::fs::read(place.path("r.backup")).unwrap();
    let body = good.len() - 200;
    for (name, bytes) in [
        ("cut.backup", good[..good.len() - 1].to_vec()),
        ("half.backup", good[..good.len() / 2].to_vec()),
        ("empty.backup", Vec::new()),
        ("longer.backup", [&good[..], b"x"].concat()),
        ("body.backup", flipped(&good, body)),
        ("head.backup", flipped(&good, 40)),
        ("text.backup", b"not age at all".to_vec()),
        ("big.backup", vec![b'a'; 256 * 1024 + 1]),
        ("work.backup", work(30)),
        ("work-19.backup", work(19)),
    ] {
        place.write(name, bytes);
    }
    let before = place.files();
    for (args, says) in [
        ("p.backup --passphrase-file wrong", "p.backup does not open with this"),
        ("p.backup --passphrase-file exposed", "exposed can be read by others; run `chmod 600"),
        ("p.backup --passphrase-file nowhere", "nowhere does not exist"),
        ("p.backup --identity age.key", "p.backup is encrypted with a passphrase; leave --identity out"),
        ("p.backup", "nobody can be asked for a passphrase"),
        ("p.backup --identity age.key --passphrase-file pass", "cannot be used with"),
        ("r.backup --passphrase-file pass", "r.backup is encrypted to a recipient; open it with --identity"),
        ("r.backup --identity age-wrong.key", "r.backup does not open with this"),
        ("r.backup --identity none.key", "none.key is no age identity file"),
        ("r.backup --identity pass", "pass is no age identity file"),
        ("cut.backup --identity age.key", "cut.backup is cut off or was changed"),
        ("half.backup --identity age.key", "half.backup"),
        ("empty.backup --identity age.key", "empty.backup"),
        ("longer.backup --identity age.key", "longer.backup is cut off or was changed"),
        ("body.backup --identity age.key", "body.backup is cut off or was changed"),
        ("head.backup --identity age.key", "head.backup"),
        ("text.backup --identity age.key", "text.backup is no backup of Testudo"),
        ("big.backup --identity age.key", "big.backup is larger than"),
        ("work.backup --passphrase-file pass", "work.backup wants scrypt with 2^30"),
        ("work-19.backup --passphrase-file pass", "work-19.backup wants scrypt with 2^19"),
        ("none.backup --identity age.key", "none.backup does not exist"),
    ] {
        place.fails(2, &format!("swarm restore {args} --to new"), says);
        assert_eq!(place.files(), before, "{args}");
    }
    place.does("swarm restore p.backup --passphrase-file pass --to new");
    assert_eq!(
        place.fed("swarm restore p.backup --passphrase-file - --to new2", "correct horse battery\n").code,
        Some(0)
    );
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// A file that asks its reader for 2^`log2` of scrypt. Its head is genuine as far as can be told without the work.
fn work(log2: u8) -> Vec<u8> {
    format!(
        "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA {log2}\n{}\n--- {}\n0123456789abcdef",
        "A".repeat(43),
        "A".repeat(43)
    )
    .into_bytes()
}

/// Whoever knows a recipient can encrypt to it: what is inside is not to be trusted either.
#[test]
fn a_backup_that_opens_and_is_no_swarm_writes_nothing() {
    let (place, recipient) = place();
    place.does("init other");
    place.does(&format!("swarm backup {C} --out s.backup --recipient {recipient}"));
    let identity: age::x25519::Identity = place.read("age.key").lines().nth(1).unwrap().parse().unwrap();
    let plain = age::decrypt(&identity, &std::fs::read(place.path("s.backup")).unwrap()).unwrap();
    let plain = String::from_utf8(plain).unwrap();
    let seed = |path: &str| place.read(path).trim().rsplit(':').next().unwrap().to_owned();
    let (ca, authority) = (seed("s/keys/ca.key"), seed("s/keys/authority.key"));
    for (was, now, says) in [
        ("testudo_backup = 1", "testudo_backup = 2", "version 2 is not known here"),
        ("testudo_backup = 1", "testudo_backup = 1\nmore = 1", "unknown field `more`"),
        ("made_ms", "maid_ms", "maid_ms"),
        (ca.as_str(), "00", "a key is not 64 hex digits"),
        (&ca, &seed("other/keys/ca.key"), "do not belong together"),
        (&authority, &seed("other/keys/authority.key"), "is not the key of this swarm's authority"),
        ("BEGIN CERTIFICATE", "BEGIN NOTHING", "its CA certificate is none"),
        ("heartbeat_ms = 30000", "heartbeat_ms = 1", "node.heartbeat_ms must be"),
        ("[node]", "[nodes]", "nodes"),
    ] {
        assert!(plain.contains(was), "{was}");
        let sealed = age::encrypt(&identity.to_public(), plain.replace(was, now).as_bytes()).unwrap();
        place.write("bad.backup", sealed);
        place.fails(2, "swarm restore bad.backup --to new --identity age.key", says);
        assert!(!place.exists("new"), "{was}");
    }
    let bomb = age::encrypt(&identity.to_public(), &vec![b'#'; 200 * 1024]).unwrap();
    place.write("bad.backup", bomb);
    place.fails(2, "swarm restore bad.backup --to new --identity age.key", "missing field");
}

#[test]
fn a_backup_of_what_could_not_live_is_not_made() {
    let (place, recipient) = place();
    place.does("init other");
    place.write("short", "elevenchars");
    for (args, says) in [
        ("--passphrase-file short", "shorter than 12 characters"),
        ("--recipient age1nonsense", "is no age recipient"),
        ("", "nobody can be asked for a passphrase; pass --passphrase-file FILE or --recipient"),
    ] {
        place.fails(2, &format!("swarm backup {C} --out no.backup {args}"), says);
    }
    let good = place.read("s/keys/ca.key");
    place.write("s/keys/ca.key", place.read("other/keys/ca.key"));
    place.fails(
        2,
        &format!("swarm backup {C} --out no.backup --recipient {recipient}"),
        "do not belong together",
    );
    place.write("s/keys/ca.key", &good);
    place.mode("s/keys/node.key", 0o604);
    place.fails(2, &format!("swarm backup {C} --out no.backup --recipient {recipient}"), "run `chmod 600");
    assert!(!place.exists("no.backup"));
}

#[test]
fn keys_and_data_from_elsewhere_are_found_again() {
    let (place, recipient) = place();
    std::fs::create_dir(place.path("s/deep")).unwrap();
    std::fs::rename(place.path("s/keys"), place.path("s/deep/keys")).unwrap();
    std::fs::rename(place.path("s/data"), place.path("s/deep/data")).unwrap();
    let moved = place
        .read("s/testudo.toml")
        .replace("\"keys\"", "\"deep/keys\"")
        .replace("\"data\"", "\"deep/data\"");
    place.write("s/testudo.toml", moved);
    place.does(&format!("swarm backup {C} --out s.backup --recipient {recipient}"));
    std::fs::remove_file(place.path("s/testudo.toml")).unwrap();
    std::fs::remove_dir_all(place.path("s/deep/keys")).unwrap();
    let said: Value = place.json("swarm restore s.backup --to s --identity age.key --json");
    assert_eq!((said["data"].as_str(), said["has_registry"].as_bool()), (Some("s/deep/data"), Some(true)));
    assert_eq!(place.states().len(), 1);
    let mut command = place.command(&["swarm", "restore", "s.backup", "--to", "x", "--passphrase-file", "-"]);
    let mut child =
        command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(b"no such lock\n");
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
