//! Tables after public suites: `traceparent` as the W3C's own test suite of Trace Context asks (its cases for version,
//! trace id, parent id and flags), SPIFFE IDs as go-spiffe's tests do, code point by code point. Counts are printed.

#![expect(clippy::unwrap_used, reason = "tests")]

use testudo_wire::{AgentName, NodeName, SpiffeId, SwarmId, TraceParent};

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

#[test]
fn traceparents_as_the_w3c_suite_has_them() {
    let good = format!("00-{TRACE}-{PARENT}-01");
    let of =
        |version: &str, trace: &str, parent: &str, flags: &str| format!("{version}-{trace}-{parent}-{flags}");
    let valid = [
        good.clone(),
        of("00", TRACE, PARENT, "00"),
        of("00", TRACE, PARENT, "ff"),
        of("00", "00000000000000000000000000000001", "0000000000000001", "02"),
        of("cc", TRACE, PARENT, "01"),
        format!("{}-what-the-future-will-be-like", of("cc", TRACE, PARENT, "01")),
        format!("{}-", of("fe", TRACE, PARENT, "01")),
    ];
    let zero = "0";
    let invalid = [
        // Version 00 has no more than it has.
        format!("{good}-what-the-future-will-be-like"),
        format!("{good}."),
        format!("{good}-"),
        format!("{}.what-the-future-will-not-be-like", of("cc", TRACE, PARENT, "01")),
        // The version: illegal, too long, too short.
        of("ff", TRACE, PARENT, "01"),
        format!("{}-what", of("ff", TRACE, PARENT, "01")),
        of(".0", TRACE, PARENT, "01"),
        of("0.", TRACE, PARENT, "01"),
        of("000", TRACE, PARENT, "01"),
        of("0000", TRACE, PARENT, "01"),
        of("0", TRACE, PARENT, "01"),
        of("CC", TRACE, PARENT, "01"),
        // The trace id: zero, illegal, too long, too short, upper case.
        of("00", &zero.repeat(32), PARENT, "01"),
        of("cc", &zero.repeat(32), PARENT, "01"),
        of("00", ".2345678901234567890123456789012", PARENT, "01"),
        of("00", "1234567890123456789012345678901.", PARENT, "01"),
        of("00", "123456789012345678901234567890123", PARENT, "01"),
        of("00", "1234567890123456789012345678901", PARENT, "01"),
        of("00", "ABCDEF78901234567890123456789012", PARENT, "01"),
        // The parent id.
        of("00", TRACE, &zero.repeat(16), "01"),
        of("cc", TRACE, &zero.repeat(16), "01"),
        of("00", TRACE, ".234567890123456", "01"),
        of("00", TRACE, "123456789012345.", "01"),
        of("00", TRACE, "12345678901234567", "01"),
        of("00", TRACE, "123456789012345", "01"),
        of("00", TRACE, "ABCDEF7890123456", "01"),
        // The flags.
        of("00", TRACE, PARENT, ".0"),
        of("00", TRACE, PARENT, "0."),
        of("00", TRACE, PARENT, "001"),
        of("00", TRACE, PARENT, "1"),
        of("00", TRACE, PARENT, "FF"),
        // What stands around or between.
        String::new(),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        good.replace('-', "_"),
        good.replace('-', ""),
        format!("é{}", &good[2..]),
    ];
    for text in &valid {
        let parsed: TraceParent = text.parse().unwrap_or_else(|_| panic!("{text}"));
        assert_eq!(parsed.to_string(), format!("00{}", &text[2..55]), "{text}");
        assert_eq!(parsed.to_string().parse(), Ok(parsed));
    }
    for text in &invalid {
        assert!(text.parse::<TraceParent>().is_err(), "{text:?}");
    }
    for at in 0..good.len() {
        assert!(good[..at].parse::<TraceParent>().is_err(), "cut at {at}");
    }
    println!("traceparent: {} valid, {} invalid, {} cut", valid.len(), invalid.len(), good.len());
}

/// go-spiffe's rule for one path segment, written down once more.
fn is_segment(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && text != "." && text != ".." && text.chars().all(plain)
}

#[test]
fn t_a32_spiffe_ids_code_point_by_code_point() {
    let swarm = SwarmId::new([0xab; 32]);
    let domain = swarm.to_string();
    let (mut taken, mut refused) = (0, 0);
    let mut judge = |uri: &str, expected: bool| {
        let parsed = SpiffeId::parse(uri);
        assert_eq!(parsed.is_ok(), expected, "{uri:?}");
        // One name, one text.
        parsed.iter().for_each(|id| assert_eq!(id.to_string(), uri));
        if expected { taken += 1 } else { refused += 1 }
    };
    for c in (0..=255_u32).map(|n| char::from_u32(n).unwrap()) {
        // In the trust domain: a swarm's is its fingerprint, 64 digits of lower-case hex.
        let hex = matches!(c, '0'..='9' | 'a'..='f');
        judge(&format!("spiffe://{c}{}/agent/a", &domain[1..]), hex);
        judge(&format!("spiffe://{}{c}/node/a", &domain[..63]), hex);
        judge(&format!("spiffe://{domain}{c}/agent/a"), false);
        // In the path: never anything that SPIFFE does not allow, and nothing that two people read differently.
        for (name, kind) in
            [(format!("{c}"), "agent"), (format!("a{c}b"), "agent"), (format!("a{c}"), "node")]
        {
            let ours = match kind {
                "agent" => AgentName::parse(&name).is_ok(),
                _ => NodeName::parse(&name).is_ok(),
            };
            assert!(
                !ours || (is_segment(&name) && !c.is_ascii_uppercase()),
                "{name:?} is a name and no segment"
            );
            judge(&format!("spiffe://{domain}/{kind}/{name}"), ours);
        }
        // Around it.
        judge(&format!("{c}spiffe://{domain}/agent/a"), false);
        judge(&format!("spiffe:{c}//{domain}/agent/a"), false);
        judge(&format!("spiffe://{domain}{c}agent/a"), c == '/');
        judge(&format!("spiffe://{domain}/agent/{c}/a"), false);
        judge(&format!("spiffe://{domain}/{c}agent/a"), false);
    }
    for uri in [
        String::new(),
        "spiffe://".into(),
        format!("spiffe://{domain}"),
        format!("spiffe://{domain}/"),
        format!("spiffe://{domain}/agent"),
        format!("spiffe://{domain}/agent/"),
        format!("spiffe://{domain}/agent/."),
        format!("spiffe://{domain}/agent/.."),
        format!("spiffe://{domain}/agent//a"),
        format!("spiffe://{domain}/agent/a/."),
        format!("spiffe://{domain}/workload/a"),
        format!("spiffe:///{domain}/agent/a"),
        format!("sPiFfE://{domain}/agent/a"),
        format!("http://{domain}/agent/a"),
        format!("spiffe://{domain}/agent/{}", "a".repeat(2048)),
        format!("spiffe://{domain}/agent/\u{435}"),
        format!("spiffe://{domain}/agent/%2e%2e"),
        format!("spiffe://{domain}:80/agent/a"),
        format!("spiffe://u:p@{domain}/agent/a"),
        format!("spiffe://{domain}/agent/a?q=1"),
        format!("spiffe://{domain}/agent/a#f"),
    ] {
        judge(&uri, false);
    }
    println!("SPIFFE IDs: {taken} taken, {refused} refused");
}
