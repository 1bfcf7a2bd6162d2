//! Literals of which every match of a pattern holds some, read off the pattern itself: a rule need not list them, and
//! cannot list them wrongly. The required substrings of Cox ("Regular Expression Matching with a Trigram Index", 2012);
//! of each way in which the pattern matches two lists, since that is what the gate asks for.
//!
//! A gap may be any number of blanks, so no literal runs over one. Knows nothing of what a rule is.

use std::cmp::Reverse;

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind};

use super::gate::LITERAL_MAX;
use super::pattern::is_gap;

/// A word so long tells enough by itself, in bytes.
const LONG: usize = 9;
/// Shortest literal, in bytes.
const BYTES_MIN: usize = 3;
/// Most texts that one part of a pattern is spelt out into, and most of one class of bytes.
const TEXTS_MAX: usize = 200;
const CLASS_MAX: usize = 10;
/// Words in so many texts that they tell of nothing.
const COMMON: &[&str] =
    &["and", "are", "for", "from", "its", "that", "the", "their", "then", "this", "was", "were", "with"];

/// Texts of which one stands in every match.
type List = Vec<String>;

/// Literals of one or several ways in which a pattern matches: each such match holds one of either list; of the second,
/// if there are any in it.
pub(super) type Watch = [List; 2];

/// What to watch for: each match is told by one of them. Ways that one long word tells are watched for together, the
/// others each alone: the first word of one and the second of another are no match of either. Nothing if the pattern can
/// match without any literal.
pub(super) fn watches(hir: &Hir) -> Option<Vec<Watch>> {
    let (mut plain, mut others) = (List::new(), Vec::new());
    for way in ways(hir) {
        let [first, second] = of(&way)?;
        if telling(&second) == 0 || telling(&first) >= LONG {
            plain.extend(first);
        } else {
            others.push([first, second]);
        }
    }
    if !plain.is_empty() {
        others.push([shortest(plain), List::new()]);
    }
    for shared in [1, 0] {
        others = merged(others, shared);
    }
    Some(others)
}

/// The same with those put together that share this list.
fn merged(watches: Vec<Watch>, shared: usize) -> Vec<Watch> {
    let (other, mut all) = (1 - shared, Vec::<Watch>::new());
    for watch in watches {
        let same = |known: &&mut Watch| known[shared] == watch[shared] && !known[other].is_empty();
        match all.iter_mut().find(same).filter(|_| !watch[other].is_empty()) {
            Some(known) => {
                let both = [known[other].as_slice(), watch[other].as_slice()].concat();
                known[other] = shortest(both);
            }
            None => all.push(watch),
        }
    }
    all
}

/// Both lists of a pattern, the second of which may be empty; nothing if it can match without any literal.
fn of(hir: &Hir) -> Option<Watch> {
    let mut lists = lists(hir).into_iter();
    Some([lists.next()?, lists.next().unwrap_or_default()])
}

/// The ways in which a pattern matches, as it has them side by side.
fn ways(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Capture(capture) => ways(&capture.sub),
        HirKind::Alternation(all) => all.iter().flat_map(ways).collect(),
        // What all ways begin with stands before them once.
        HirKind::Concat(parts) if let [before, after] = parts.as_slice() => {
            ways(after).into_iter().map(|way| Hir::concat(vec![before.clone(), way])).collect()
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_)
        | HirKind::Concat(_) => vec![hir.clone()],
    }
}

/// Lists of which each has a text in every match, the most telling first.
fn lists(hir: &Hir) -> Vec<List> {
    let found = match (hir.kind(), texts_of(hir)) {
        (_, Some(texts)) => either(texts.iter().map(|text| words(text))),
        (HirKind::Repetition(repetition), None) if repetition.min > 0 => lists(&repetition.sub),
        (HirKind::Capture(capture), None) => lists(&capture.sub),
        (HirKind::Alternation(ways), None) => either(ways.iter().map(lists)),
        (HirKind::Concat(parts), None) => of_parts(parts),
        (
            HirKind::Empty
            | HirKind::Look(_)
            | HirKind::Literal(_)
            | HirKind::Class(_)
            | HirKind::Repetition(_),
            None,
        ) => Vec::new(),
    };
    told_best(found)
}

/// Those of parts that stand one after the other, as many of them as possible spelt out together.
fn of_parts(parts: &[Hir]) -> Vec<List> {
    let (mut found, mut rest) = (Vec::new(), parts);
    while let Some((first, after)) = rest.split_first() {
        let spelt = rest.iter().take_while(|part| texts_of(part).is_some()).count();
        let together =
            (2..=spelt).rev().find(|many| texts_of(&Hir::concat(rest[..*many].to_vec())).is_some());
        match together {
            Some(many) => {
                found.extend(lists(&Hir::concat(rest[..many].to_vec())));
                rest = &rest[many..];
            }
            None => {
                found.extend(lists(first));
                rest = after;
            }
        }
    }
    found
}

/// All texts that it matches, if they are few.
fn texts_of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut extractor = Extractor::new();
    extractor.limit_class(CLASS_MAX).limit_total(TEXTS_MAX).limit_literal_len(4 * LITERAL_MAX);
    let found = extractor.extract(hir);
    let all = found.literals().filter(|_| found.is_exact())?;
    Some(all.iter().map(|literal| literal.as_bytes().to_ascii_lowercase()).collect())
}

/// The words of one text, each a list of its own.
fn words(text: &[u8]) -> Vec<List> {
    let words = text.split(|byte| is_gap(*byte)).map(|word| word.get(..LITERAL_MAX).unwrap_or(word));
    let words = words.filter(|word| word.len() >= BYTES_MIN && word.is_ascii());
    told_best(words.map(|word| vec![String::from_utf8_lossy(word).into_owned()]).collect())
}

/// Where one of several ways is taken, a list holds one list of each.
fn either(ways: impl Iterator<Item = Vec<List>>) -> Vec<List> {
    let ways = ways.collect::<Vec<_>>();
    let many = ways.iter().map(Vec::len).max().unwrap_or(0);
    if ways.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let nth = |nth: usize| {
        ways.iter().filter_map(move |way| way.get(nth).or_else(|| way.last())).flatten().cloned().collect()
    };
    (0..many).map(nth).collect()
}

/// The most telling ones first.
fn told_best(lists: Vec<List>) -> Vec<List> {
    let mut lists = lists.into_iter().map(shortest).collect::<Vec<_>>();
    lists.sort_by_key(|list| (Reverse(telling(list)), list.len()));
    lists.dedup();
    lists.truncate(2);
    lists
}

/// A list without those texts of which another is a part.
fn shortest(mut list: List) -> List {
    list.sort_by_key(String::len);
    let mut least = List::new();
    for text in list {
        if !least.iter().any(|known| text.contains(known.as_str())) {
            least.push(text);
        }
    }
    least
}

/// How much it tells that one of these texts is there: as much as the one that tells least.
fn telling(list: &List) -> usize {
    let of = |text: &String| if COMMON.contains(&text.as_str()) { 0 } else { text.len() };
    list.iter().map(of).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::{self, Case};
    use super::super::rules;
    use super::super::tests_near::{Dice, write};
    use super::*;

    fn watched(pattern: &str) -> Option<Vec<Watch>> {
        watches(&pattern::parse_in(pattern, Case::Counts).expect("a pattern"))
    }

    fn watch(first: &[&str], second: &[&str]) -> Watch {
        [first, second].map(|list| list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_to_watch_for_is_read_off_a_pattern() {
        assert_eq!(
            watched(r"\bstamp(?:s|ed)? \w+ (?:approved|valid)\b"),
            Some(vec![watch(&["stamp"], &["valid", "approved"])])
        );
        assert_eq!(
            watched("copy page|copying[ ,]+that|replicat(?:e|ing)"),
            Some(vec![watch(&["copy"], &["page"]), watch(&["copying", "replicate", "replicating"], &[]),])
        );
        assert_eq!(
            watched("copy page|sell page|copy book"),
            Some(vec![watch(&["copy", "sell"], &["page"]), watch(&["copy"], &["book"])])
        );
        assert_eq!(watched("no|[a-z]+ then"), None, "a word of two letters wakes too many");
        assert_eq!(watched(r"\d+"), None);
        assert_eq!(watched(r"(?:secret)?"), None);
    }

    #[test]
    fn every_match_is_told_by_a_watch() {
        let mut dice = Dice(23);
        for rule in rules::standard() {
            let hir = pattern::parse_in(&rule.text(), Case::Counts).expect("a pattern");
            let Some(watches) = watches(&hir) else { continue };
            for _ in 0..60 {
                let mut text = Vec::new();
                write(&hir, &mut dice, &mut text);
                let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
                let has = |list: &List| {
                    list.is_empty() || list.iter().any(|literal| text.contains(literal.as_str()))
                };
                assert!(watches.iter().any(|watch| watch.iter().all(has)), "{}: {text:?}", rule.id);
            }
        }
    }
}
