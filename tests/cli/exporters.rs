//! Exporters as an operator meets them: the configuration, the pages, `status`, kills and ends.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde_json::Value;

use super::kit::{Node, Place, finished};

/// Adds to the swarm's configuration.
fn configure(place: &Place, text: &str) {
    let path = place.path("s/testudo.toml");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn events(place: &Place, name: &str) -> Vec<Value> {
    place.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event["id"].as_str().unwrap().split('-').next().unwrap().parse().unwrap())
        .collect()
}

const FILE: &str = "
[export]
interval_ms = 5

[[exporter]]
name = \"archive\"
kind = \"file\"
path = \"events.jsonl\"
";

/// Looks until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("never: {what}");
}

#[test]
fn r_h18_the_books_are_in_status_metrics_and_health() {
    let place = Place::swarm();
    // A port that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    configure(&place, FILE);
    configure(
        &place,
        &format!("[[exporter]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://{closed}/\"\n"),
    );
    let path = place.path("s/testudo.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace("interval_ms = 5", "interval_ms = 5\nfailures = 1")).unwrap();
    let node = Node::start(&place);
    place.does("agent add a --allow read:x --out a.id --config s/testudo.toml");
    until("the file has it all", || {
        let status = place.json("status --json --config s/testudo.toml");
        let (archive, hook) = (&status["exporters"][0], &status["exporters"][1]);
        for exporter in [archive, hook] {
            let n = |key: &str| exporter["counts"][key].as_u64().unwrap();
            let rest = n("delivered") + n("failed") + n("dropped") + n("queued") + n("in_flight");
            assert_eq!(n("submitted"), rest, "{exporter}");
        }
        archive["counts"]["delivered"] == status["audit_records"] && hook["breaker"] == "open"
    });
    let (state, health) = node.page("/healthz");
    let health: Value = serde_json::from_str(&health).unwrap();
    assert!(state.contains("200"), "ready, but not well: {state}");
    assert_eq!(health["state"], "degraded");
    let told = place.json("status --json --config s/testudo.toml");
    assert_eq!(told["health"]["components"]["exporters"]["state"], "degraded");
    let reason = told["health"]["components"]["exporters"]["reason"].as_str().unwrap();
    assert!(reason.contains("exporter hook cannot send: cannot connect"), "{reason}");
    let (_, page) = node.page("/metrics");
    for line in [
        "testudo_export_events_total{exporter=\"hook\",outcome=\"delivered\"} 0",
        "testudo_export_events_total{exporter=\"archive\",outcome=\"dropped\"} 0",
        "testudo_export_breaker{exporter=\"hook\"} 2",
        "testudo_export_breaker{exporter=\"archive\"} 0",
        "testudo_export_behind_records{exporter=\"archive\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    assert_eq!(page.matches("# EOF").count(), 1);
    let shown = place.does("status --config s/testudo.toml");
    assert!(shown.contains("exporter hook") && shown.contains("webhook: submitted "), "{shown}");
    assert!(shown.contains("cannot send: cannot connect"), "{shown}");
    node.end();
}

#[test]
fn every_event_arrives_though_the_node_is_killed_again_and_again() {
    let place = Place::swarm();
    configure(&place, FILE);
    for n in 0..6 {
        let node = Node::start(&place);
        place.does(&format!("agent add a{n} --allow read:x --out a{n}.id --config s/testudo.toml"));
        if n % 2 == 0 {
            until("the file", || {
                place.exists("s/events.jsonl")
                    && place.read("s/events.jsonl").contains(&format!("agent/a{n}"))
            });
        }
        node.kill();
    }
    Node::start(&place).end();
    let (events, key) = (events(&place, "s/events.jsonl"), place.does("audit key --config s/testudo.toml"));
    let records = place.does("audit tail -n 0 --json --config s/testudo.toml").lines().count() as u64;
    let seen: BTreeSet<u64> = ids(&events).into_iter().collect();
    assert!(seen.iter().copied().eq(0..records), "each of {records}: {seen:?}");
    let said = place.does(&format!("audit events s/events.jsonl --key {key}"));
    assert!(
        said.starts_with(&format!(
            "verified: {} events, 0-0 to {}-0, none missing",
            events.len(),
            records - 1
        )),
        "{said}"
    );
}

#[test]
fn events_are_checked_with_the_key_alone_and_every_change_is_found() {
    let place = Place::swarm();
    configure(&place, FILE);
    let node = Node::start(&place);
    for n in 0..3 {
        place.does(&format!("agent add a{n} --allow read:x --out a{n}.id --config s/testudo.toml"));
    }
    node.end();
    let key = place.does("audit key --config s/testudo.toml");
    let text = place.read("s/events.jsonl");
    let lines: Vec<_> = text.lines().collect();
    let batch = format!("[{}]\n", lines.join(","));
    assert!(place.fed(&format!("audit events - --key {key}"), &batch).out.contains("verified: 9 events"));
    let json = place.does(&format!("audit events s/events.jsonl --json --key {key}"));
    assert!(json.lines().all(|line| !line.contains("dssematerial")) && json.lines().count() == 9);
    let check = format!("audit events - --key {key}");
    for (input, says) in [
        (text.replace("agent/a1", "agent/a2"), "line 5 of -: event \"4-0\" is changed after it was signed"),
        ([lines[0], lines[2]].join("\n"), "events are missing before record 2"),
        (format!("{}\n{{}}", lines[0]), "line 2 of -: no signed event"),
        ("garbage".to_owned(), "line 1 of -: not JSON"),
    ] {
        place.fed(&check, &input).fails(1, says, &check);
    }
    let filtered = format!("audit events - --filtered --key {key}");
    assert_eq!(place.fed(&filtered, &[lines[0], lines[2], lines[2]].join("\n")).code, Some(0));
    place.does("init t");
    let other = place.does("audit key --config t/testudo.toml");
    place.fails(1, &format!("audit events s/events.jsonl --key {other}"), "not signed by this log's key");
    place.fails(2, &format!("audit events missing --key {key}"), "missing does not exist");
}

#[test]
fn t_a76_what_is_wrong_with_an_exporter_is_said_before_anything_starts() {
    for (text, says) in [
        ("[[exporter]]\nname = \"x\"\nkind = \"file\"\n", "exporter x: a file needs a path"),
        (
            "[[exporter]]\nname = \"x\"\nkind = \"stdout\"\nurl = \"https://a/\"\n",
            "stdout takes nothing but events",
        ),
        (
            "[[exporter]]\nname = \"x\"\nkind = \"webhook\"\nurl = \"http://a/\"\n",
            "must be https, or http on this machine",
        ),
        ("[[exporter]]\nname = \"x\"\nkind = \"otlp\"\n", "exporter x: it needs a url"),
        ("[[exporter]]\nname = \"x\"\nkind = \"kafka\"\n", "unknown variant"),
        ("[[exporter]]\nname = \"../x\"\nkind = \"stdout\"\n", "is not"),
        ("[[exporter]]\nname = \"x\"\nkind = \"stdout\"\nsecret = 1\n", "unknown field"),
        ("[[exporter]]\nname = \"x\"\nkind = \"stdout\"\nevents = [\"everything\"]\n", "is no kind of event"),
        ("[export]\nbatch = 0\n", "export.batch must be 1 to 1024"),
        ("[export]\nretries = 7\n", "unknown field"),
    ] {
        let place = Place::swarm();
        configure(&place, text);
        place.fails(2, "status --config s/testudo.toml", says);
    }
    let place = Place::swarm();
    configure(&place, &format!("{FILE}\n[[exporter]]\nname = \"archive\"\nkind = \"stdout\"\n"));
    place.fails(2, "status --config s/testudo.toml", "two exporters have one name");
    let place = Place::swarm();
    configure(
        &place,
        &format!("{FILE}{}", FILE.replace("archive", "other").replace("[export]\ninterval_ms = 5", "")),
    );
    place.fails(2, "status --config s/testudo.toml", "two exporters write one file");
    // Not by the environment, which others may set.
    let place = Place::swarm();
    let mut command = place.command(&["status", "--config", "s/testudo.toml"]);
    command.env("TESTUDO_EXPORTER__0__KIND", "stdout").env("TESTUDO_EXPORTER__0__NAME", "x");
    finished(command).fails(2, "the environment variable TESTUDO_EXPORTER", "by the environment");
    let mut command = place.command(&["status", "--config", "s/testudo.toml"]);
    command.env("TESTUDO_EXPORT__BATCH", "0");
    finished(command).fails(2, "export.batch must be", "r_A21: numbers may come from there");
}

#[test]
fn t_a76_who_gets_the_log_is_on_the_log() {
    let place = Place::swarm();
    Node::start(&place).end();
    let exporting = || {
        let tail = place.does("audit tail -n 0 --json --config s/testudo.toml");
        let records = tail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = records.filter(|record| record["fields"]["what"] == "exporting");
        found.map(|record| record["fields"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(exporting().len(), 0, "nobody gets it");
    let path = place.path("s/testudo.toml");
    let plain = std::fs::read_to_string(&path).unwrap();
    configure(&place, FILE);
    Node::start(&place).end();
    std::fs::write(&path, format!("{plain}{}", FILE.replace("events.jsonl", "other.jsonl"))).unwrap();
    Node::start(&place).end();
    std::fs::write(&path, plain).unwrap();
    Node::start(&place).end();
    let found = exporting();
    let places: Vec<_> = found.iter().map(|fields| fields["exporters"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 1, 0]);
    let digests: BTreeSet<_> = found.iter().map(|fields| fields["configuration"].to_string()).collect();
    assert_eq!(digests.len(), 3, "added, changed, taken away");
    assert!(place.read("s/events.jsonl").contains("node.exporting"));
}

#[test]
fn r_c20_standard_output_has_a_line_for_each_event() {
    let place = Place::swarm();
    configure(&place, "[[exporter]]\nname = \"out\"\nkind = \"stdout\"\nevents = [\"node.stopped\"]\n");
    let mut command = place.command(&[
        "node",
        "--until-stdin-closes",
        "--listen",
        "127.0.0.1:0",
        "--health",
        "127.0.0.1:0",
        "--config",
        "s/testudo.toml",
    ]);
    command.stdin(std::process::Stdio::null());
    let ran = finished(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let events: Vec<_> = ran.out.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(events.len(), 1, "{}", ran.out);
    let event: Value = serde_json::from_str(events[0]).unwrap();
    assert_eq!(event["type"], "dev.testudo.node.stopped");
}

#[test]
fn t_a76_spans_go_only_where_the_file_says_and_that_is_on_the_log() {
    let place = Place::swarm();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    configure(&place, &format!("[traces]\nurl = \"http://{closed}/v1/traces\"\n"));
    let node = Node::start(&place);
    let (_, metrics) = node.page("/metrics");
    assert!(metrics.contains("testudo_trace_spans_submitted_total 0"), "{metrics}");
    place.does("agent add a --allow read:x --serve read:x --out a.id --config s/testudo.toml");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    // Nobody serves it: a refusal is traced as well.
    let _ = place.run(&format!("send a read:x hello --identity a.id --traceparent {trace}"));
    until("the spans are counted", || {
        let (_, metrics) = node.page("/metrics");
        !metrics.contains("testudo_trace_spans_submitted_total 0")
    });
    let (state, _) = node.page("/healthz");
    assert!(state.contains("200"), "a collector that is down is nobody's illness: {state}");
    node.end();
    let tail = place.does("audit tail -n 0 --json --config s/testudo.toml");
    let records = tail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let exporting: Vec<_> = records.filter(|record| record["fields"]["what"] == "exporting").collect();
    assert_eq!((exporting.len(), &exporting[0]["fields"]["exporters"]), (1, &Value::from(1)));
    let mut redirected = place.command(&["status", "--config", "s/testudo.toml"]);
    redirected.env("TESTUDO_TRACES__URL", "https://elsewhere.example/v1/traces");
    finished(redirected).fails(2, "[traces] is read from the file alone", "status");
    for (text, says) in [
        ("ratio = 2.0", "traces.ratio must be 0 to 1"),
        ("url = \"http://elsewhere.example/\"", "traces: its url must be https"),
        ("batch = 0", "traces.batch must be 1 to"),
        ("bodies = true", "unknown field"),
    ] {
        let place = Place::swarm();
        configure(&place, &format!("[traces]\n{text}\n"));
        place.fails(2, "status --config s/testudo.toml", says);
    }
}

#[test]
fn r_c05_r_c19_a_source_of_ones_own_and_a_flat_form_are_had_for_the_asking() {
    let place = Place::swarm();
    configure(&place, &format!("{FILE}source = \"/swarm/blue\"\nflat = true\n"));
    Node::start(&place).end();
    let flat = events(&place, "s/events.jsonl");
    assert!(flat.len() >= 2, "{flat:?}");
    for event in &flat {
        assert!(event["event_id"].is_string() && event["occurred_at"].is_string());
        assert!(event["kind"].as_str().unwrap().starts_with("node."));
        assert_eq!(event["source"], "/swarm/blue");
        assert!(event.get("specversion").is_none());
    }
    for (more, says) in [("source = \"a b\"", "source must be a URI reference"), ("flat = 1", "exporter")] {
        let place = Place::swarm();
        configure(&place, &format!("{FILE}{more}\n"));
        place.fails(2, "status --config s/testudo.toml", says);
    }
    let place = Place::swarm();
    let hook = "[[exporter]]\nname = \"x\"\nkind = \"webhook\"\nurl = \"https://a/\"\nflat = true\n";
    configure(&place, hook);
    place.fails(2, "status --config s/testudo.toml", "flat is for file and stdout");
}
