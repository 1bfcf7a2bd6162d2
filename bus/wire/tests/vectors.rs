//! Ed25519 suites that nobody here wrote, against the one strict rule (measured fact M2, promise P06).

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use serde_json::Value;
use testudo_wire::{PublicKey, Signature};

fn suite(name: &str) -> Option<Value> {
    let path = format!("{}/../../../shared/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "CI must have the vector suite {name}");
        eprintln!("SKIPPED: vector suite {name} is not here");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn accepts(key: &str, message: &str, signature: &str) -> bool {
    let (Ok(key), Ok(signature)) = (hex::decode(key), hex::decode(signature)) else { return false };
    let (Ok(key), Ok(signature)) = (<[u8; 32]>::try_from(key), <[u8; 64]>::try_from(signature)) else {
        return false;
    };
    PublicKey::parse(&key)
        .is_ok_and(|key| key.verifies_bytes(&hex::decode(message).unwrap(), &Signature::new(signature)))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[test]
fn wycheproof_151_without_a_mismatch() {
    let Some(suite) = suite("wycheproof_ed25519.json") else { return };
    let mut run = 0;
    for group in suite["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let accepted = accepts(text(&group["publicKey"], "pk"), text(test, "msg"), text(test, "sig"));
            assert_eq!(accepted, text(test, "result") == "valid", "tcId {}", test["tcId"]);
            run += 1;
        }
    }
    assert_eq!(run, 151);
    println!("wycheproof: {run} verifications, no mismatch");
}

#[test]
fn cctv_914_of_which_exactly_43_are_accepted() {
    let Some(suite) = suite("cctv_ed25519.json") else { return };
    let cases = suite.as_array().unwrap();
    let accepted = cases
        .iter()
        .filter(|case| accepts(text(case, "key"), &hex::encode(text(case, "msg")), text(case, "sig")))
        .count();
    assert_eq!((cases.len(), accepted), (914, 43));
    println!("cctv: {} signatures, {accepted} accepted", cases.len());
}

#[test]
fn speccheck_12_of_which_only_number_3_is_accepted() {
    let Some(suite) = suite("speccheck_ed25519.json") else { return };
    let accepted: Vec<_> = suite
        .as_array()
        .unwrap()
        .iter()
        .map(|case| accepts(text(case, "pub_key"), text(case, "message"), text(case, "signature")))
        .collect();
    assert_eq!(accepted.len(), 12);
    println!("speccheck: {} cases", accepted.len());
    assert_eq!(accepted.iter().enumerate().filter(|(_, a)| **a).map(|(i, _)| i).collect::<Vec<_>>(), [3]);
}
