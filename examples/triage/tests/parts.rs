//! Parts fit a message, keep their order, and lose no more than the one name that is refused.

use super::*;
use crate::triage::findings::Rule;

fn finding(path: &str, line: u32) -> Finding {
    let line_hash = if line == 0 { String::new() } else { format!("{line:016x}") };
    let rule = Rule::Todo;
    Finding { path: path.to_owned(), line, rule, severity: rule.severity(), line_hash }
}

fn told(mut parts: Parts, poison: &str) -> (Vec<Vec<Finding>>, usize) {
    let (mut told, mut refused) = (Vec::new(), 0);
    while let Some(part) = parts.next() {
        if part.iter().any(|finding| finding.path == poison) {
            refused += 1;
            parts.refused(part).unwrap();
        } else {
            told.push(part);
        }
    }
    (told, refused)
}

#[test]
fn t_p11_parts_are_bounded_by_count_and_by_names_and_keep_their_order() {
    let few: Vec<_> = (1..=250).map(|line| finding("a", line)).collect();
    let (parts, _) = told(Parts::of(few.clone()), "");
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    assert_eq!(parts.concat(), few);
    let long: Vec<_> = (1..=9).map(|line| finding(&"n".repeat(4096), line)).collect();
    let (parts, _) = told(Parts::of(long.clone()), "");
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 1]);
    assert_eq!(parts.concat(), long);
}

#[test]
fn t_p12_nothing_found_is_one_part() {
    assert_eq!(told(Parts::of(Vec::new()), "").0, [Vec::<Finding>::new()]);
}

#[test]
fn t_p13_one_poisoned_name_costs_one_name() {
    let findings: Vec<_> = (0..100).map(|n| finding(&format!("file-{n}"), 1)).collect();
    let (parts, refused) = told(Parts::of(findings.clone()), "file-37");
    let all = parts.concat();
    let withheld: Vec<_> = all.iter().filter(|finding| finding.path.starts_with(WITHHELD)).collect();
    assert_eq!((all.len(), withheld.len()), (100, 1));
    assert!(refused <= 8, "{refused}");
    let kept = |finding: &&Finding| !finding.path.starts_with(WITHHELD);
    let left = findings.iter().filter(|finding| finding.path != "file-37");
    assert!(all.iter().filter(kept).eq(left), "in their order");
}

#[test]
fn t_p14_what_is_refused_without_its_name_ends_the_work() {
    let mut parts = Parts::of(vec![finding("bad", 1)]);
    let part = parts.next().unwrap();
    parts.refused(part).unwrap();
    let again = parts.next().unwrap();
    parts.refused(again).unwrap_err();
    Parts::of(Vec::new()).refused(Vec::new()).unwrap_err();
}
