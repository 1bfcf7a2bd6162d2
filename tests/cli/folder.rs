//! `init`, the configuration, and the keys.

use serde_json::Value;

use super::kit::{Node, Place, finished, testudo};

const LIST: &str = "agent list --config s/testudo.toml";

#[test]
fn init_makes_private_files_and_says_so_in_json() {
    let place = Place::new();
    let said = place.json("init s --json");
    assert!(said["config"] == "s/testudo.toml" && said["swarm"].as_str().unwrap().len() == 64);
    for folder in ["s", "s/keys", "s/data"] {
        assert_eq!(place.mode_of(folder), 0o700, "{folder}");
    }
    for file in
        ["testudo.toml", "keys/authority.key", "keys/ca.key", "keys/ca.pem", "keys/log.key", "keys/node.key"]
    {
        assert_eq!(place.mode_of(&format!("s/{file}")), 0o600, "{file}");
    }
}

#[test]
fn a_swarm_is_called_as_its_folder_unless_that_is_no_name_for_one() {
    let place = Place::new();
    for (line, folder, name) in [
        ("init billing", "billing", "billing"),
        ("init deep/prod.eu-1/", "deep/prod.eu-1", "prod.eu-1"),
        ("init deep/prod.eu-1/../test", "deep/test", "test"),
        ("init Upper", "Upper", "swarm"),
        ("init other --name given", "other", "given"),
    ] {
        place.does(line);
        let config = place.read(&format!("{folder}/testudo.toml"));
        assert!(config.contains(&format!("name = \"{name}\"\n")), "{line}: {config}");
    }
    std::fs::create_dir(place.path("here")).unwrap();
    let mut here = testudo();
    here.current_dir(place.path("here")).args(["init", "."]);
    assert!(finished(here).out.contains("swarm here "));
}

#[test]
fn init_twice_changes_nothing() {
    let place = Place::swarm();
    let before = place.files();
    place.fails(2, "init s", "s/testudo.toml exists already");
    assert_eq!(place.files(), before);
    std::fs::remove_file(place.path("s/testudo.toml")).unwrap();
    for left in ["authority.key", "ca.pem", "ca.key", "log.key", "node.key"] {
        let before = place.files();
        place.fails(2, "init s", "exists already");
        assert_eq!(place.files(), before, "half a swarm, {left} left");
        std::fs::remove_file(place.path("s/keys").join(left)).unwrap();
    }
    place.does("init s");
}

#[test]
fn init_refuses_bad_names_and_places() {
    let place = Place::new();
    place.write("file", "x");
    let before = place.files();
    place.fails(2, "init s --name A/b", "no name for a swarm");
    place.fails(2, "init file", "choose another path");
    place.fails(2, "init file/below", "choose another path");
    place.fails(2, "init s --listen nowhere", "invalid value");
    assert_eq!(place.files(), before);
}

#[test]
fn a_wrong_configuration_is_named_in_one_line() {
    let place = Place::swarm();
    let good = place.read("s/testudo.toml");
    let line = |key: &str| good.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    let (id, authority) = (line("id"), line("authority"));
    for (was, now, says) in [
        ("name = \"s\"", "name = ", "line 3"),
        ("heartbeat_ms = 30000", "heartbeat_ms = 99", "node.heartbeat_ms must be 100 to 600000"),
        ("heartbeat_ms = 30000", "heartbeat_ms = 600001", "node.heartbeat_ms must be"),
        ("heartbeat_ms = 30000", "heartbeat_ms = -1", "node.heartbeat_ms"),
        ("heartbeat_ms = 30000", "heartbeat_ms = \"x\"", "node.heartbeat_ms: invalid type"),
        ("heartbeat_ms", "heartbeet_ms", "unknown field: found `heartbeet_ms`"),
        ("[node]", "[nodes]", "nodes"),
        ("listen = \"127.0.0.1:7600\"", "listen = \"somewhere\"", "node.listen"),
        ("listen = \"127.0.0.1:7600\"", "", "missing field `listen`"),
        ("[node]", "[node]\njoin = \"somewhere\"", "node.join"),
        ("[node]", "[node]\njoin = \"127.0.0.1:7600\"", "node.join must be another address than node.listen"),
        ("on_silence = \"revoke\"", "on_silence = \"forgive\"", "`revoke` or `suspend`"),
        ("window_bytes = 524288", "window_bytes = 1", "node.window_bytes must be"),
        (&id, "id = \"zz\"", "swarm.id"),
        (&id, &format!("id = \"{}\"", "0".repeat(64)), "swarm.id is not the fingerprint"),
        (&authority, &format!("authority = \"{}\"", "0".repeat(64)), "swarm.authority"),
    ] {
        assert!(good.contains(was), "{was}");
        place.write("s/testudo.toml", good.replace(was, now));
        place.fails(2, LIST, says);
        place.fails(2, LIST, "s/testudo.toml: ");
    }
    place.write("s/testudo.toml", [0xff, 0xfe, 0x00]);
    place.fails(2, LIST, "is not a text file");
    place.write("s/testudo.toml", vec![b'#'; 70_000]);
    place.fails(2, LIST, "is larger than");
    place.fails(2, "agent list --config none.toml", "none.toml does not exist");
    place.fails(2, "agent list --config s", "s is a folder");
    place.fails(2, "agent list", "testudo.toml does not exist");
    assert!(!place.exists("s/data/registry.db"), "nothing was opened");
}

#[test]
fn flag_over_environment_over_file() {
    let place = Place::swarm();
    let node = |flags: &[&str], listen: &str, health: &str| {
        let line = ["node", "--json", "--until-stdin-closes", "--config", "s/testudo.toml"];
        let mut command = place.command(&[&line, flags].concat());
        command.env("TESTUDO_NODE__LISTEN", listen).env("TESTUDO_NODE__HEALTH", health);
        Node::of(command)
    };
    // Another address of the loopback network tells whose word counted, whatever the port.
    let by_environment = node(&[], "127.0.0.2:0", "127.0.0.3:0");
    assert!(
        by_environment.listen.starts_with("127.0.0.2:") && by_environment.health.starts_with("127.0.0.3:")
    );
    by_environment.end();
    let by_flag = node(&["--listen", "127.0.0.4:0"], "127.0.0.2:0", "127.0.0.3:0");
    assert!(by_flag.listen.starts_with("127.0.0.4:") && by_flag.health.starts_with("127.0.0.3:"));
    by_flag.end();
}

#[test]
fn a_wrong_environment_variable_is_named() {
    let place = Place::swarm();
    for (variable, value, says) in [
        ("TESTUDO_NODE__LISTEN", "bad", "TESTUDO_NODE__LISTEN: invalid socket address"),
        ("TESTUDO_NODE__HEARTBEAT_MS", "soon", "TESTUDO_NODE__HEARTBEAT_MS: invalid type"),
        ("TESTUDO_NODE__LISTEM", "1", "TESTUDO_NODE__LISTEM: unknown field"),
        ("TESTUDO_NOPE__X", "1", "unknown field: found `nope`"),
    ] {
        let mut command = place.command(&LIST.split(' ').collect::<Vec<_>>());
        command.env(variable, value);
        finished(command).fails(2, says, variable);
    }
}

#[test]
fn relative_paths_are_taken_from_the_files_folder() {
    let place = Place::swarm();
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    let mut command = place.command(&["agent", "list", "--json", "--config", "../s/testudo.toml"]);
    command.current_dir(place.path("elsewhere"));
    assert_eq!(finished(command).out.trim(), "[]");
    assert!(place.exists("s/data/registry.db"));
    let moved = place.read("s/testudo.toml").replace("data = \"data\"", "data = \"other/data\"");
    place.write("s/testudo.toml", moved);
    place.does(LIST);
    assert!(place.exists("s/other/data/registry.db"));
}

#[test]
fn wrong_keys_are_named() {
    let place = Place::swarm();
    place.does("init other");
    let copy = |from: &str, to: &str| place.write(to, place.read(from));
    let keys = ["authority.key", "ca.key", "ca.pem", "log.key", "node.key"];
    for key in keys {
        let path = format!("s/keys/{key}");
        let good = place.read(&path);
        std::fs::remove_file(place.path(&path)).unwrap();
        place.fails(2, LIST, &format!("{path} does not exist; restore it from a backup"));
        place.write(&path, "garbage");
        place.fails(2, LIST, &path);
        place.write(&path, "");
        place.fails(2, LIST, &path);
        if key != "ca.pem" {
            copy(if key == "log.key" { "s/keys/node.key" } else { "s/keys/log.key" }, &path);
            place.fails(2, LIST, &format!("{path} does not hold this swarm's"));
            place.write(&path, &good);
            for mode in [0o640, 0o604] {
                place.mode(&path, mode);
                place.fails(2, LIST, "can be read by others; run `chmod 600 ");
            }
        }
        place.write(&path, &good);
    }
    place.write("s/keys/ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    place.fails(2, LIST, "restore keys/ca.pem from a backup");
    copy("other/keys/ca.pem", "s/keys/ca.pem");
    place.fails(2, LIST, "do not belong together");
    assert!(!place.exists("s/data/registry.db"), "nothing was opened");
}

#[test]
fn keys_of_another_swarm_are_named() {
    let place = Place::swarm();
    place.does("init other");
    place.does(LIST);
    for (key, says) in [
        ("authority.key", "is not the key of this swarm's authority"),
        ("ca.key", "do not belong together"),
        ("log.key", "not signed by the log's key"),
    ] {
        let path = format!("s/keys/{key}");
        let good = place.read(&path);
        place.write(&path, place.read(&format!("other/keys/{key}")));
        place.fails(2, LIST, says);
        place.write(&path, good);
    }
    let agents: Value = place.json("agent list --json --config s/testudo.toml");
    assert_eq!(agents, serde_json::json!([]));
}
