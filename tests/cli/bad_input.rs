//! Files and texts that are not what they should be: whatever is wrong with them, one line, exit code 2, and nothing
//! is written. A secret that others may read is refused with the command that mends it.

use age::secrecy::ExposeSecret as _;
use testudo::operator::{Answer, Request};
use testudo::wire::{AgentName, Grant, SecretKey};

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

/// A swarm with an agent, a token in `t`, everything that a command may read.
fn place() -> Place {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs --delegatable read:logs --out a.id"));
    let token = place.does(&format!("token mint a {C}"));
    place.write("t", token);
    place
}

/// Everything that can go wrong with a text file, but for what it means.
fn spoilt(good: &str) -> Vec<(&'static str, Vec<u8>)> {
    let half = good.len() / 2;
    vec![
        ("empty", Vec::new()),
        ("a blank line", b"\n".to_vec()),
        ("words", b"this is not it\nat all\n".to_vec()),
        ("cut in half", good.as_bytes()[..half].to_vec()),
        ("a byte in", good.as_bytes()[..1].to_vec()),
        ("not text", [0xff, 0xfe, 0x00, 0x80].repeat(64)),
        ("zeros", vec![0; 512]),
        ("another label", good.replace("BEGIN", "BEGUN").replace("testudo", "tortoise").into_bytes()),
        ("too long", vec![b'#'; 300 * 1024]),
        ("brackets", vec![b'['; 60_000]),
    ]
}

/// Each command with each spoilt copy of a file that it reads.
fn refuses(place: &Place, file: &str, lines: &[String]) {
    let good = std::fs::read(place.path(file)).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    for (what, bytes) in spoilt(&text) {
        if bytes == good {
            continue;
        }
        place.write(file, bytes);
        let before = place.files();
        for line in lines {
            place.run(line).fails(2, "", &format!("{file}, {what}: {line}"));
            assert_eq!(place.files(), before, "{file}, {what}: {line}");
        }
    }
    std::fs::remove_file(place.path(file)).unwrap();
    let gone = place.files();
    std::fs::create_dir(place.path(file)).unwrap();
    for line in lines {
        place.run(line).fails(2, "", &format!("{file} is a folder: {line}"));
    }
    std::fs::remove_dir(place.path(file)).unwrap();
    for line in lines {
        place.run(line).fails(2, "", &format!("{file} is gone: {line}"));
        assert_eq!(place.files(), gone, "{line}");
    }
    place.write(file, good);
}

/// The commands that read an identity.
fn with_identity() -> Vec<String> {
    let key = SecretKey::from_seed(&[3; 32]).public();
    vec![
        format!("agent renew --identity a.id {C}"),
        "send --identity a.id b read:logs hello".into(),
        "request --identity a.id b read:logs hello".into(),
        "publish --identity a.id news hello".into(),
        "subscribe --identity a.id news".into(),
        format!("token delegate --identity a.id --to b --key {key} --grant read:logs"),
    ]
}

/// Those that read the swarm's keys, with the registry not there yet.
fn with_keys() -> Vec<String> {
    vec![
        format!("agent list {C}"),
        format!("agent add b {C} --allow read:logs --out b.id"),
        format!("node --listen 127.0.0.1:0 --health 127.0.0.1:0 {C}"),
        format!("swarm backup {C} --out s.backup --passphrase-file pass"),
    ]
}

#[test]
fn identities_that_are_none() {
    refuses(&place(), "a.id", &with_identity());
}

#[test]
fn keys_certificates_and_configurations_that_are_none() {
    let place = Place::swarm();
    place.write("pass", "correct horse battery");
    for file in ["authority.key", "ca.key", "ca.pem", "log.key", "node.key"] {
        refuses(&place, &format!("s/keys/{file}"), &with_keys());
    }
    refuses(&place, "s/testudo.toml", &with_keys());
    assert!(!place.exists("s/data/registry.db"), "nothing was opened");
    place.does(&format!("agent list {C}"));
}

#[test]
fn tokens_that_are_none() {
    let place = place();
    let good = place.read("t").trim().to_owned();
    let before = place.files();
    let longest = "A".repeat(16 * 1024);
    for token in [
        "-x",
        "words",
        &good[..good.len() / 2],
        &good[..good.len() - 1],
        &good[1..],
        &good.repeat(2),
        &longest,
        &good.replace(|c: char| c.is_ascii_digit(), "!"),
        "\u{0}",
        "",
    ] {
        for line in [
            "token inspect -".to_owned(),
            format!("token verify - {C}"),
            "token attenuate - --seconds 5".to_owned(),
        ] {
            place.fed(&line, token).fails(2, "", &format!("{line}: {:?}", &token[..token.len().min(40)]));
        }
    }
    assert_eq!(place.files(), before);
}

#[test]
fn certificate_requests_that_are_none_enrol_nobody() {
    let place = place();
    let node = Node::start(&place);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (name, key) = (AgentName::parse("b").unwrap(), SecretKey::from_seed(&[9; 32]));
    let config = testudo::config::Config::load(&place.path("s/testudo.toml"), Default::default()).unwrap();
    let request = |who: &str, key: &SecretKey| {
        testudo::identity::request(config.swarm.id, AgentName::parse(who).unwrap(), key).unwrap()
    };
    let good = request("b", &key);
    let others = [request("c", &key), request("b", &SecretKey::from_seed(&[8; 32]))];
    let spoilt = spoilt(&good).into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
    for csr in spoilt.chain(others).chain([good.repeat(9)]) {
        let asked =
            Request::AgentAdd { name, key: key.public(), grant: Grant::default(), csr: Some(csr.clone()) };
        let answer = runtime.block_on(testudo::server::ask(&place.path("s/data"), &asked)).unwrap();
        let Answer::Refused { error } = answer else { panic!("enrolled with {csr}") };
        assert!(error.contains("certificate request is") && error.lines().count() == 1, "{error}");
    }
    assert_eq!(place.states().len(), 1);
    let asked = Request::AgentAdd { name, key: key.public(), grant: Grant::default(), csr: Some(good) };
    let answer = runtime.block_on(testudo::server::ask(&place.path("s/data"), &asked)).unwrap();
    assert!(matches!(answer, Answer::Credentials(_)), "{answer:?}");
    node.end();
}

#[test]
fn secrets_that_others_may_read_are_refused_with_the_command_that_mends_them() {
    let place = Place::swarm();
    place.write("pass", "correct horse battery");
    let mut table: Vec<(String, Vec<String>)> =
        ["authority", "ca", "log", "node"].map(|key| (format!("s/keys/{key}.key"), with_keys())).into();
    table.push(("pass".into(), vec![format!("swarm backup {C} --out s.backup --passphrase-file pass")]));
    for (file, lines) in table {
        exposed(&place, &file, &lines);
    }
    place.does(&format!("agent add a {C} --allow read:logs --delegatable read:logs --out a.id"));
    exposed(&place, "a.id", &with_identity());
    // Whoever has a backup can try passphrases for as long as he likes.
    place.does(&format!("swarm backup {C} --out s.backup --passphrase-file pass"));
    exposed(&place, "s.backup", &["swarm restore s.backup --to r --passphrase-file pass".to_owned()]);
    let identity = age::x25519::Identity::generate();
    place.write("age.key", identity.to_string().expose_secret());
    place.does(&format!("swarm backup {C} --out r.backup --recipient {}", identity.to_public()));
    exposed(&place, "age.key", &["swarm restore r.backup --to r --identity age.key".to_owned()]);
    // What takes the place of three of the keys.
    place.does(&format!("swarm trust rotate-ca {C}"));
    exposed(&place, "s/keys/trust.toml", &with_keys()[..1]);
    // A path that a shell would take apart.
    std::fs::rename(place.path("a.id"), place.path("it's a.id")).unwrap();
    place.mode("it's a.id", 0o644);
    let mut command =
        place.command(&["agent", "renew", "--config", "s/testudo.toml", "--identity", "it's a.id"]);
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(said.contains(r"run `chmod 600 'it'\''s a.id'`"), "{said}");
}

fn exposed(place: &Place, file: &str, lines: &[String]) {
    for mode in [0o640, 0o604, 0o644, 0o660, 0o606, 0o666, 0o610, 0o601] {
        place.mode(file, mode);
        let before = place.files();
        for line in lines {
            let ran = place.run(line);
            ran.fails(2, &format!("{file} can be read by others; run `chmod 600 {file}`"), line);
            assert_eq!(place.files(), before, "{line}");
            assert_eq!(place.mode_of(file), mode, "mending is the owner's choice");
        }
    }
    // The command that it names does mend it.
    let mended = std::process::Command::new("chmod").args(["600", file]).current_dir(place.path("")).status();
    assert!(mended.unwrap().success());
    assert_eq!(place.mode_of(file), 0o600);
}
