//! How much of what is caught stays caught when it is disguised, on the development corpus beside the repository;
//! and that a disguise by itself is not held against a text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{Inspector, tests_corpus};

/// Attacks that are disguised.
const ATTACKS: usize = 300;
/// Benign texts that are; more, for what is asked of them is rarer.
const BENIGN: usize = 300;

pub(super) type Mutation = fn(&str) -> String;

fn bytes(text: &str, write: fn(u8) -> String) -> String {
    text.bytes().map(write).collect()
}

fn chars(text: &str, change: fn(char) -> char) -> String {
    text.chars().map(change).collect()
}

fn between(text: &str, what: &str) -> String {
    text.chars().map(String::from).collect::<Vec<_>>().join(what)
}

fn shifted(c: char, from: char, to: u32) -> char {
    char::from_u32(u32::from(c) - u32::from(from) + to).unwrap_or(c)
}

fn bold(c: char) -> char {
    match c {
        'a'..='z' => shifted(c, 'a', 0x1D41A),
        'A'..='Z' => shifted(c, 'A', 0x1D400),
        other => other,
    }
}

fn look_alike(c: char) -> char {
    let twins = [
        ('a', 'а'),
        ('c', 'с'),
        ('e', 'е'),
        ('o', 'о'),
        ('p', 'р'),
        ('x', 'х'),
        ('y', 'у'),
        ('i', 'і'),
        ('s', 'ѕ'),
    ];
    twins.iter().find(|(latin, _)| *latin == c).map_or(c, |(_, twin)| *twin)
}

fn leet(c: char) -> char {
    match c {
        'a' | 'A' => '4',
        'e' | 'E' => '3',
        'i' | 'I' => '1',
        'o' | 'O' => '0',
        's' | 'S' => '5',
        't' | 'T' => '7',
        other => other,
    }
}

pub(super) const MUTATIONS: &[(&str, Mutation)] = &[
    ("upper case", |t| t.to_uppercase()),
    ("extra blanks", |t| t.replace(' ', "   ")),
    ("line breaks", |t| t.replace(' ', "\n")),
    ("letters apart", |t| between(t, " ")),
    ("dots", |t| between(t, ".")),
    ("zero width", |t| between(t, "\u{200b}")),
    ("soft hyphen", |t| between(t, "\u{ad}")),
    ("look-alikes", |t| chars(t, look_alike)),
    ("full width", |t| chars(t, |c| if c.is_ascii_graphic() { shifted(c, '!', 0xFF01) } else { c })),
    ("mathematical bold", |t| chars(t, bold)),
    ("combining marks", |t| between(t, "\u{301}")),
    ("leet", |t| chars(t, leet)),
    ("base64", |t| STANDARD.encode(t)),
    ("base64 for addresses", |t| URL_SAFE_NO_PAD.encode(t)),
    ("base64 twice", |t| STANDARD.encode(STANDARD.encode(t))),
    ("base64 by word", |t| t.split(' ').map(|w| STANDARD.encode(w)).collect::<Vec<_>>().join(" ")),
    ("hex", |t| hex::encode(t)),
    (r"\x", |t| bytes(t, |b| format!("\\x{b:02x}"))),
    ("percent", |t| bytes(t, |b| format!("%{b:02X}"))),
    ("percent twice", |t| bytes(t, |b| format!("%25{b:02X}"))),
    ("quoted-printable", |t| bytes(t, |b| format!("={b:02X}"))),
    ("entities", |t| t.chars().map(|c| format!("&#{};", u32::from(c))).collect()),
    (r"\u", |t| t.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()),
    ("tag characters", |t| chars(t, |c| if (' '..='~').contains(&c) { shifted(c, ' ', 0xE0020) } else { c })),
    ("comment", |t| format!("<!-- {t} -->")),
    ("code fence", |t| format!("```\n{t}\n```")),
    ("JSON, three deep", |t| {
        (0..3).fold(t.to_owned(), |inner, _| serde_json::json!({ "inner": inner }).to_string())
    }),
    ("JSON items", |t| serde_json::json!(t.split(' ').collect::<Vec<_>>()).to_string()),
    ("filler before", |t| format!("{}{t}", "The quarterly report is in the folder. ".repeat(105))),
    ("filler after", |t| format!("{t} {}", "The quarterly report is in the folder. ".repeat(105))),
];

#[test]
fn each_single_disguise_keeps_most_of_what_is_caught_and_blocks_nothing_else() {
    let Some(items) = tests_corpus::items() else { return };
    holds(&items, [ATTACKS, BENIGN], 1.0);
}

/// The same of texts that are in no corpus, most of which are caught for what stands together in them. Broken over lines,
/// every turn of a transcript begins one.
#[test]
fn each_single_disguise_keeps_most_of_what_is_caught_of_texts_of_our_own() {
    let own = [include_str!("../../testdata/seen.jsonl"), include_str!("../../testdata/unseen.jsonl")];
    let lines = own.iter().flat_map(|texts| texts.lines());
    let items = lines.map(|line| serde_json::from_str(line).expect("a line")).collect::<Vec<_>>();
    holds(&items, [items.len(), BENIGN], 2.0);
}

/// Of so many attacks that are caught, 95 of 100 are in every disguise, and of so many benign texts that are not, hardly
/// any in one.
fn holds(items: &[tests_corpus::Item], [attacks, benign]: [usize; 2], wrong_max: f64) {
    let inspector = Inspector::standard();
    let blocks = |text: &str| inspector.inspect("text/plain", text.as_bytes()).blocks();
    let spread = |class: &str, blocked: bool, sample: usize| {
        let all = items.iter().filter(|item| item.class == class && blocks(&item.text) == blocked);
        let all = all.map(|item| item.text.as_str()).collect::<Vec<_>>();
        let step = (all.len() / sample).max(1);
        all.into_iter().step_by(step).collect::<Vec<_>>()
    };
    let (caught, benign) = (spread("attack", true, attacks), spread("benign", false, benign));
    let mut wrong = Vec::new();
    for (name, mutate) in MUTATIONS {
        let share = |texts: &[&str]| {
            let changed = texts.iter().map(|text| (text, mutate(text))).filter(|(text, new)| *text != new);
            let (all, blocked) = changed.fold((0usize, 0usize), |(all, blocked), (_, new)| {
                (all + 1, blocked + usize::from(blocks(&new)))
            });
            blocked as f64 * 100.0 / all.max(1) as f64
        };
        let (kept, lost) = (share(&caught), share(&benign));
        eprintln!("{name:24} {kept:6.1} % kept, {lost:5.2} % of benign texts blocked");
        if kept < 95.0 || lost > wrong_max {
            wrong.push(format!("{name}: {kept:.1} % kept, {lost:.2} % of benign texts blocked"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
