//! `agent show` and `agent grant`: one agent as it is, and what it may do from now on, with and without a running node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use super::kit::{Node, Place, ended};

const C: &str = "--config s/testudo.toml";

#[test]
fn a_grant_is_changed_in_part_and_the_log_knows() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs read:mail --delegatable read:mail --out a.id"));
    for running in [false, true] {
        let node = running.then(|| Node::start(&place));
        let said = place.json(&format!("agent grant a {C} --allow write:logs --serve sum:up --json"));
        assert_eq!((said["agent"].as_str(), said["done"].as_str()), (Some("a"), Some("granted")), "{said}");
        let grant = &place.json(&format!("agent show a {C} --json"))["grant"];
        assert_eq!(grant["right"], json!(["read:logs", "read:mail", "write:logs"]));
        assert_eq!((&grant["serve"], &grant["delegatable"]), (&json!(["sum:up"]), &json!(["read:mail"])));
        let again = place.json(&format!("agent grant a {C} --allow write:logs --json"));
        assert_eq!(again["sequence"], said["sequence"], "it has that");
        place.does(&format!(
            "agent grant a {C} --disallow write:logs read:mail --unserve sum:up --bundles-per-second 7"
        ));
        let grant = &place.json(&format!("agent show a {C} --json"))["grant"];
        assert_eq!((&grant["right"], &grant["serve"]), (&json!(["read:logs"]), &json!([])));
        assert_eq!((&grant["delegatable"], &grant["quota"]["bundles_per_second"]), (&json!([]), &json!(7)));
        place.does(&format!(
            "agent grant a {C} --allow read:mail --delegatable read:mail --bundles-per-second 5000"
        ));
        if let Some(node) = node {
            node.end();
        }
    }
    let log = place.does(&format!("audit tail {C} --agent a"));
    for word in ["regranted", "narrowed"] {
        assert!(log.lines().filter(|line| line.contains(word)).count() >= 2, "{word}: {log}");
    }
}

#[test]
fn a_change_that_is_none_or_cannot_be_changes_nothing() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs --out a.id"));
    let before = place.json(&format!("agent show a {C} --json"));
    for (code, line, says) in [
        (2, "agent grant a", "nothing to change"),
        (2, "agent grant a --allow x:y --disallow x:y", "both in --allow and in --disallow"),
        (2, "agent grant a --delegatable read:logs --disallow read:logs", "both in --delegatable"),
        (2, "agent grant a --allow *:logs", "--allow"),
        (1, "agent grant a --delegatable no:right", "must all be among its rights"),
        (1, "agent grant nobody --allow x:y", "no agent of this name"),
        (1, "agent show nobody", "no agent nobody is enrolled"),
    ] {
        place.fails(code, &format!("{line} {C}"), says);
    }
    place.does(&format!("agent revoke a {C}"));
    place.fails(1, &format!("agent grant a --allow x:y {C}"), "revoked for good");
    let after = place.json(&format!("agent show a {C} --json"));
    assert_eq!(before["grant"], after["grant"]);
    assert!(after["state"] == "revoked (operator)" && after["revoked_at_ms"].is_u64(), "{after}");
}

/// Looks until it is so, which takes the node some milliseconds; each look is a process.
fn shown(place: &Place, who: &str, is: impl Fn(&Value) -> bool) -> Value {
    let look = || place.json(&format!("agent show {who} {C} --json"));
    (0..1000).map(|_| look()).find(|agent| is(agent)).unwrap_or_else(|| panic!("{}", look()))
}

#[test]
fn a_running_subscriber_is_shown_with_its_link_and_loses_its_topic_with_its_right() {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.does(&format!("agent add b {C} --allow subscribe:alerts subscribe:news --out b.id"));
    let line = "subscribe alerts news --identity b.id --json";
    let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let agent = shown(&place, "b", |agent| agent["links"][0]["topics"] == json!(["alerts", "news"]));
    assert_eq!((&agent["state"], &agent["links"][0]["queued_messages"]), (&json!("active"), &json!(0)));
    let session = agent["links"][0]["session"].clone();
    assert!(agent["key"].as_str().is_some_and(|key| key.len() == 64), "{agent}");
    assert!(agent["last_seen_ms"].is_u64() && agent["certificate_until_ms"].is_u64(), "{agent}");
    let text = place.does(&format!("agent show b {C}"));
    for part in
        ["state               active", "subscribe:alerts", "certificate until   2", "topics alerts news"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    place.does(&format!("agent grant b {C} --disallow subscribe:alerts"));
    let renewed = |agent: &Value| agent["links"].as_array().is_some_and(|links| links.len() == 1);
    let news = |agent: &Value| agent["links"][0]["topics"] == json!(["news"]);
    let after =
        shown(&place, "b", |agent| renewed(agent) && news(agent) && agent["links"][0]["session"] != session);
    assert_eq!(after["grant"]["right"], json!(["subscribe:news"]));
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (mut said, last) = (Vec::new(), "alerts is not given any more");
    for line in lines {
        let is_last = line.contains(last);
        said.push(line);
        if is_last {
            break;
        }
    }
    assert!(said.last().is_some_and(|line| line.contains(last)), "{said:?}");
    let away = |line: &String| line.contains("dialling again") || line.contains("linked again");
    assert!(!said.iter().any(away), "a renewed link is the same one: {said:?}");
    let _ = child.kill();
    ended(&mut child);
    node.end();
}

/// What is sent on a link and on one that renews it is settled all the same.
#[test]
fn a_sender_whose_grant_changes_while_it_sends_is_told_what_became_of_it() {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.does(&format!("agent add a {C} --allow publish:news --out a.id"));
    let line = "publish news --identity a.id --lines";
    let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "one").unwrap();
    let linked = shown(&place, "a", |agent| agent["links"][0]["session"].is_string());
    let before = linked["links"][0]["session"].clone();
    place.does(&format!("agent grant a {C} --allow read:more"));
    shown(&place, "a", |agent| {
        let links = agent["links"].as_array().unwrap();
        links.len() == 1 && links[0]["session"] != before
    });
    writeln!(stdin, "two").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("2 messages, none refused"), "{out} {err}");
    node.end();
}

#[test]
fn t_a36_whoever_may_change_grants_makes_nobody_more_of_an_operator_than_itself() {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.does(&format!("agent add hr {C} --allow operate:agent-grant operate:agent-show --out hr.id"));
    place.does(&format!("agent add a {C} --allow read:logs --out a.id"));
    let as_hr = |line: &str| place.run(&format!("{line} --identity hr.id"));
    for who in ["a", "hr"] {
        for flags in ["--allow operate:agent-revoke", "--serve operate:agent-grant"] {
            as_hr(&format!("agent grant {who} {flags}")).fails(1, "nobody gives operate:", flags);
        }
    }
    // Nor less: not by its rights, and by nothing that keeps it from asking.
    place.does(&format!("agent add boss {C} --operator --out boss.id"));
    for flags in ["--disallow operate:agent-revoke", "--delegated-only true", "--bundles-per-second 1"] {
        as_hr(&format!("agent grant boss {flags}")).fails(1, "nobody takes operate:", flags);
    }
    // Nobody frees itself or another, or has more of the node than it was given.
    for (flags, says) in
        [("--delegated-only false", "authority"), ("--bundles-per-second 5001", "more a second")]
    {
        for who in ["a", "hr"] {
            as_hr(&format!("agent grant {who} {flags}")).fails(1, says, flags);
        }
    }
    assert_eq!(as_hr("agent grant a --bundles-per-second 4999 --delegated-only true").code, Some(0));
    place.does(&format!("agent grant a {C} --bundles-per-second 5000 --delegated-only false"));
    assert_eq!(as_hr("agent grant a --allow write:logs operate:agent-show").code, Some(0));
    let shown = as_hr("agent show a --json");
    assert!(
        shown.out.contains("write:logs") && shown.out.contains("\"links\":[]"),
        "{} {}",
        shown.out,
        shown.err
    );
    as_hr("agent list").fails(1, "operate:agent-list", "another verb");
    node.end();
}
