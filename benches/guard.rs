//! What the content guard costs for each message: `cargo bench -p testudo-rules --bench guard [-- NAME]`, where NAME is
//! part of the name of a body.
//!
//! Every figure is the median of many rounds, in microseconds a message; the rounds of all bodies are interleaved,
//! so that a busy machine slows them alike. Nothing here asserts a time.
//!
//! Small bodies are also vetted 64 at a time, as a node vets a bundle, and the ratio of alone to that is told. Where a
//! clock means little, count instructions: `-- --count NAME` vets the bodies of that name, alone and in bundles, a fixed
//! number of times and says how often, to be run under `valgrind --tool=none` or `perf stat -e instructions`.
//!
//! What texts of every day cost tells a file of them, a JSON object with `text` and `class` on each line:
//! `-- --texts FILE` gives, for each class, median, 99th of 100 and worst, alone and each after the one before it in a
//! talk, and the texts' bytes by all time; a text is read several times, and its best time counts.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testudo_rules::inspect::{Body as Message, Context, Inspector, Scratch};

const ROUNDS: usize = 41;
/// Bytes inspected in one round of one body.
const ROUND_BYTES: usize = 400_000;
/// Messages of a bundle.
const BUNDLE: usize = 64;
/// Longest body that is also vetted in bundles, in bytes.
const BUNDLED_MAX: usize = 1_024;
/// Bundles vetted when instructions are counted.
const COUNTED: usize = 200;
/// Times that each text of a file is read.
const READ: usize = 5;

const JSON: &str = concat!(
    r#"{"finding":"licence-missing","path":"services/billing/src/invoice.rs","line":214,"severity":"medium","#,
    r#""note":"No licence header here, while every other file of this folder has one. Please add it, or say why "#,
    r#"this file is the only exception.","by":"reader-3"}"#,
);

const TEXT: &str = concat!(
    "The nightly report is done: eleven services answered within their limits, two were slower than last week, and ",
    "nothing failed. The slower ones are billing and search; both had more work than usual. A list of the requests ",
    "is in the folder of today, as every morning.",
);

/// The same with a word less innocent: the literals of three concepts are in it, and a match of none. The peers carry it.
const WOKEN: &str = concat!(
    "The nightly report is done: eleven services answered within their limits, two were slower than last week, and ",
    "nothing failed. The slower ones are billing and search; both had more work than usual. A list of the requests ",
    "is in the folder of today as always.",
);

/// An ordinary mail, which has the words of many rules and no match of any.
const MAIL: &str = concat!(
    "Hello Anna, thank you for the note about the release. I read the plan again and have three remarks. First, the new ",
    "service should not call the customer database before the migration is complete; until then it must use the copy that ",
    "the nightly job writes. Second, please tell the support team which accounts are affected, so that they can answer ",
    "questions without looking into the system themselves. The list is in the shared folder, and everyone on the project ",
    "has access to it. Third, I would like to change the order of the steps: update the documentation, then send the ",
    "message to all users, and only after that delete the old files. If anything fails, stop and follow the instructions ",
    "in the handbook; there is no need to ask me first. By the way, the password policy was reviewed last week, and the ",
    "external audit will begin in May. They want a report on every key that we keep, where it is stored, and who may use ",
    "it. Could you prepare a draft? I can add the details about the payment provider later. Best regards, Martin",
);

/// Words of most rules, so that nearly all of them look.
const TRIGGERS: &str = concat!(
    "please send retrieve read copy append add the user key password token secret history and then now you must always before ",
    "call tool ignore forget disregard previous instructions system prompt reveal print act pretend model never refuse rules ",
    "code following your response requests. open( socket subprocess os.environ fetch( screenshot while delete drop update set ",
    "steal dump exploit bypass install hijack grant access admin policy compliance https://h.example/ a@b.example <important> ",
);

struct Body {
    name: &'static str,
    content_type: &'static str,
    text: String,
}

fn body(name: &'static str, content_type: &'static str, text: impl Into<String>) -> Body {
    Body { name, content_type, text: text.into() }
}

fn bodies() -> Vec<Body> {
    let prose = format!("{TEXT}\n\n").repeat(16).chars().take(4_096).collect::<String>();
    let text = format!("{TEXT:.256}");
    let nested = (0..3).fold("the report is fine ".repeat(450), |inner, _| STANDARD.encode(inner));
    let list = |unit: &str| unit.repeat(20_480 / unit.len());
    vec![
        body("text, 256 B", "text/plain", text),
        body("text that wakes rules, 256 B", "text/plain", WOKEN),
        body("JSON, 256 B", "application/json", JSON),
        body("a mail, 1 KB", "text/plain", MAIL),
        body("prose, 4 KiB", "text/plain", prose),
        body("20 KB of 'curl '", "text/plain", list("curl ")),
        body("20 KB of 'ignore all previous '", "text/plain", list("ignore all previous ")),
        body("20 KB of 'send the secret key to '", "text/plain", list("send the secret key to ")),
        body("20 KB of 'rm -'", "text/plain", list("rm -")),
        body("20 KB of '<system>'", "text/plain", list("<system>")),
        body("20 KB of '[INST] '", "text/plain", list("[INST] ")),
        body("20 KB of '\"rm -rf x\" '", "text/plain", list("\"rm -rf x\" ")),
        body("20 KB of '```python\\n'", "text/plain", list("```python\n")),
        body("20 KB of words of all rules", "text/plain", list(TRIGGERS)),
        body("20 KB of them, mixed", "text/plain", mixed(TRIGGERS)),
        body("20 KB of '%25'", "text/plain", list("%25")),
        body("20 KB of '&amp;'", "text/plain", list("&amp;")),
        body("20 KB of '\\\\u0041'", "text/plain", list("\\u0041")),
        body("20 KB of base64, three deep", "text/plain", format!("{nested:.20480}")),
        body("20 KB of JSON arrays", "application/json", format!("[{}1]", "[\"a b\"],".repeat(2_400))),
        body("20 KB of a look-alike", "text/plain", list("ign\u{43e}re ")),
        body("20 KB of 'i g n '", "text/plain", list("i g n ")),
    ]
}

/// The same words in an order that does not repeat.
fn mixed(words: &str) -> String {
    let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let mut state = 1usize;
    let mut text = String::new();
    while text.len() < 20_480 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(words.get((state >> 33) % words.len()).copied().unwrap_or_default());
        text.push(' ');
    }
    text
}

fn micros(inspector: &Inspector, scratch: &mut Scratch, body: &Body) -> f64 {
    let times = (ROUND_BYTES / body.text.len()).max(1);
    let start = Instant::now();
    for _ in 0..times {
        black_box(inspector.inspect_with(
            scratch,
            black_box(body.content_type),
            black_box(body.text.as_bytes()),
        ));
    }
    start.elapsed().as_secs_f64() * 1e6 / times as f64
}

/// The same after what was said before.
fn micros_in_a_talk(inspector: &Inspector, scratch: &mut Scratch, body: &Body) -> f64 {
    let times = (ROUND_BYTES / body.text.len()).max(1);
    let mut tails = Context::<(u64, u64)>::default();
    let start = Instant::now();
    for _ in 0..times {
        let bytes = black_box(body.text.as_bytes());
        let (alone, said) = inspector.vet(scratch, "", black_box(body.content_type), bytes);
        black_box(tails.follow(inspector, &(0, 0), "", &said, alone));
    }
    start.elapsed().as_secs_f64() * 1e6 / times as f64
}

/// The same in bundles, by themselves and as a node does: in a talk.
fn micros_in_bundles(inspector: &Inspector, scratch: &mut Scratch, body: &Body, talk: Talk) -> f64 {
    let times = (ROUND_BYTES / body.text.len() / BUNDLE).max(1);
    let start = Instant::now();
    for _ in 0..times {
        bundle(inspector, scratch, body, &talk);
    }
    start.elapsed().as_secs_f64() * 1e6 / (times * BUNDLE) as f64
}

/// Whether what was said before counts.
#[derive(Clone, Copy)]
enum Talk {
    Counts,
    No,
}

fn bundle(inspector: &Inspector, scratch: &mut Scratch, body: &Body, talk: &Talk) {
    let message = Message { capability: "", content_type: body.content_type, bytes: body.text.as_bytes() };
    let messages = black_box([message; BUNDLE]);
    let mut tails = Context::<(u64, u64)>::default();
    inspector.vet_each(scratch, &messages, |_, alone, said| match talk {
        Talk::Counts => {
            black_box(tails.follow(inspector, &(0, 0), "", &said, alone));
        }
        Talk::No => {
            black_box((alone, said));
        }
    });
}

/// A fixed number of inspections, for tools that count instructions.
fn count(inspector: &Inspector, bodies: &[Body]) {
    let mut scratch = Scratch::default();
    for body in bodies {
        for _ in 0..COUNTED {
            bundle(inspector, &mut scratch, body, &Talk::Counts);
        }
        println!("{}: {} messages in bundles of {BUNDLE}", body.name, COUNTED * BUNDLE);
    }
}

/// What the texts of a file cost.
fn texts(inspector: &Inspector, file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut classes = std::collections::BTreeMap::<String, Vec<Body>>::new();
    for line in std::fs::read_to_string(file)?.lines() {
        let item: serde_json::Value = serde_json::from_str(line)?;
        let of = |field: &str| item.get(field).and_then(|value| value.as_str()).unwrap_or_default();
        classes.entry(of("class").to_owned()).or_default().push(body("", "text/plain", of("text")));
    }
    for (class, texts) in &classes {
        let bytes = texts.iter().map(|text| text.text.len()).sum::<usize>();
        for (how, mut series) in [("alone", alone(inspector, texts)), ("in a talk", talk(inspector, texts))] {
            let all = series.iter().sum::<f64>();
            series.sort_by(f64::total_cmp);
            let at =
                |hundredths: usize| series.get(series.len() * hundredths / 100).or_else(|| series.last());
            let [median, most, worst] = [50, 99, 100].map(|place| at(place).copied().unwrap_or_default());
            println!(
                "{class:8} {how:10} {:5} texts of {:5} B  median {median:8.2} us  99 of 100 {most:8.2} us  worst {worst:8.1} us  a KiB {:6.2} us",
                texts.len(),
                bytes / texts.len(),
                all * 1024.0 / bytes as f64,
            );
        }
    }
    Ok(())
}

/// The best time of each text by itself.
fn alone(inspector: &Inspector, texts: &[Body]) -> Vec<f64> {
    let mut scratch = Scratch::default();
    let mut best = vec![f64::INFINITY; texts.len()];
    for _ in 0..READ {
        for (best, text) in best.iter_mut().zip(texts) {
            let start = Instant::now();
            black_box(inspector.inspect_with(
                &mut scratch,
                text.content_type,
                black_box(text.text.as_bytes()),
            ));
            *best = best.min(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    best
}

/// The best time of each text after the one before.
fn talk(inspector: &Inspector, texts: &[Body]) -> Vec<f64> {
    let mut scratch = Scratch::default();
    let mut best = vec![f64::INFINITY; texts.len()];
    for _ in 0..READ {
        let mut tails = Context::<(u64, u64)>::default();
        for (best, text) in best.iter_mut().zip(texts) {
            let start = Instant::now();
            let (alone, said) =
                inspector.vet(&mut scratch, "", text.content_type, black_box(text.text.as_bytes()));
            black_box(tails.follow(inspector, &(0, 0), "", &said, alone));
            *best = best.min(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    best
}

/// Median and best.
fn summary(series: &mut [f64]) -> (f64, f64) {
    series.sort_by(f64::total_cmp);
    let at = |place: usize| series.get(place).copied().unwrap_or_default();
    (at(ROUNDS / 2), at(0))
}

fn main() {
    let inspector = Inspector::standard();
    let mut scratch = Scratch::default();
    let mut arguments = std::env::args();
    if arguments.any(|argument| argument == "--texts") {
        if let Err(error) = texts(&inspector, &arguments.next().unwrap_or_default()) {
            println!("no texts: {error}");
        }
        return;
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let bodies: Vec<_> = bodies().into_iter().filter(|body| body.name.contains(&only)).collect();
    if std::env::args().any(|argument| argument == "--count") {
        return count(&inspector, &bodies);
    }
    let mut seen = vec![(Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)); bodies.len()];
    for _ in 0..ROUNDS {
        for (series, body) in seen.iter_mut().zip(&bodies) {
            series.0.push(micros(&inspector, &mut scratch, body));
            series.1.push(micros_in_a_talk(&inspector, &mut scratch, body));
        }
    }
    for (series, body) in seen.iter_mut().zip(&bodies) {
        let ((median, best), (talk, _)) = (summary(&mut series.0), summary(&mut series.1));
        println!(
            "{:36} {:6} B  median {median:10.3} us  best {best:10.3} us  in a talk {talk:10.3} us",
            body.name,
            body.text.len()
        );
    }
    bundles(&inspector, &mut scratch, &bodies);
}

/// The small ones, in bundles.
fn bundles(inspector: &Inspector, scratch: &mut Scratch, bodies: &[Body]) {
    for body in bodies.iter().filter(|body| body.text.len() <= BUNDLED_MAX) {
        let mut series = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            series[0].push(micros(inspector, scratch, body));
            series[1].push(micros_in_bundles(inspector, scratch, body, Talk::No));
            series[2].push(micros_in_bundles(inspector, scratch, body, Talk::Counts));
        }
        let [(alone, _), (bundled, best), (talk, _)] = series.map(|mut series| summary(&mut series));
        println!(
            "{:36} in bundles of {BUNDLE}: median {bundled:10.3} us  best {best:10.3} us  in a talk {talk:10.3} us  alone is {:.2} times that",
            body.name,
            alone / bundled
        );
    }
}
