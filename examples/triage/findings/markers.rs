//! The notes that authors leave in a file: `TODO`, `FIXME`, `XXX`, `HACK`. Knows one line at a time.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::Rule;

/// Upper case and standing alone, so that `XXX-XXX` and `TODO_LIST` are not taken for notes.
#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test")]
static MARKER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)(?:^|[\s/#*;!(<-])(?:(TODO)|FIXME|XXX|HACK)(?:[:(!.,]|\s|$)").expect("a valid pattern")
});

pub(super) fn scan(window: &[u8], hits: &mut BTreeSet<Rule>) {
    for found in MARKER.captures_iter(window) {
        hits.insert(if found.get(1).is_some() { Rule::Todo } else { Rule::Fixme });
    }
}
