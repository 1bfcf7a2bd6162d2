//! Any body under any content type: a verdict and no panic, the same one twice, and nothing that a tail changes in
//! what blocks by itself. `cargo fuzz run guard` in `bus/rules`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use testudo_rules::inspect::{Context, Inspector, Scratch};

static INSPECTOR: LazyLock<Inspector> = LazyLock::new(Inspector::standard);

const TYPES: [&str; 6] = [
    "text/plain",
    "application/json",
    "application/msgpack",
    "application/octet-stream",
    "application/vnd.testudo.delegated+json",
    "text/plain; charset=utf-16",
];

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let content_type = TYPES[usize::from(*first) % TYPES.len()];
    let (before, body) = rest.split_at(usize::from(*first) * rest.len() / 256);
    let mut scratch = Scratch::default();
    let alone = INSPECTOR.inspect_with(&mut scratch, content_type, body);
    assert_eq!(alone, INSPECTOR.inspect(content_type, body), "buffers leave no trace");
    for alert in alone.alerts() {
        let views = INSPECTOR.views(content_type, body);
        let (start, length) = (alert.span.offset as usize, alert.span.length as usize);
        let view = views.get(usize::from(alert.span.view)).map_or("", String::as_str);
        assert!(length == 0 || view.get(start..start + length).is_some(), "a span of no view");
    }
    let mut tails = Context::default();
    tails.inspect(&INSPECTOR, &mut scratch, &(0u8, ()), "text/plain", before);
    let together = tails.inspect(&INSPECTOR, &mut scratch, &(0u8, ()), content_type, body);
    assert!(together.blocks() || !alone.blocks(), "a tail excused what blocks by itself");
});
