//! Biscuit's own published samples, which ship inside the biscuit-auth crate: its signature layer, as we use it, says
//! of each what its authors say; and since none of their blocks is of our shapes, each is refused here, by name.

use std::path::PathBuf;

use biscuit_auth::{Algorithm, Biscuit};
use serde_json::Value;

use super::*;

/// What the authors say of the signatures, and what we say of the token: `testNNN`, good signatures, our refusal.
/// Block 1 is foreign unless something cheaper comes first: a key or signature that is not Ed25519's.
const TABLE: [(u16, bool, TokenError); 38] = {
    const FOREIGN: TokenError = TokenError::Foreign { block: 1 };
    const KEY: TokenError = TokenError::KeyType { block: 1 };
    let mut table = [(0, true, FOREIGN); 38];
    let mut n = 0;
    while n < 38 {
        let number = n as u16 + 1;
        let good = !matches!(number, 2..=6);
        table[n] = (number, good, if matches!(number, 3 | 36 | 37) { KEY } else { FOREIGN });
        n += 1;
    }
    table
};

/// Where cargo keeps the crate's source.
fn samples() -> Option<PathBuf> {
    let rustc = std::process::Command::new("rustc").arg("-vV").output().ok()?;
    let rustc = String::from_utf8(rustc.stdout).ok()?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "))?;
    // Only what is built here has been downloaded.
    let cargo = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let metadata: Value = serde_json::from_slice(&cargo.stdout).ok()?;
    let crates = metadata["packages"].as_array()?;
    let biscuit = crates.iter().find(|package| package["name"] == "biscuit-auth")?;
    let folder = PathBuf::from(biscuit["manifest_path"].as_str()?).parent()?.join("samples");
    folder.join("samples.json").is_file().then_some(folder)
}

/// Whether the authors expect a failure before anything is evaluated.
fn good_signatures(case: &Value) -> bool {
    let validations = case["validations"].as_object().unwrap();
    validations.values().all(|validation| validation["result"]["Err"]["Format"].is_null())
}

#[test]
fn biscuits_38_samples_are_judged_as_by_their_authors_and_refused_as_foreign() {
    let Some(folder) = samples() else {
        assert!(std::env::var_os("CI").is_none(), "CI must have biscuit's samples");
        eprintln!("SKIPPED: biscuit's samples are not here");
        return;
    };
    let suite: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("samples.json")).unwrap()).unwrap();
    let root: [u8; 32] = hex::decode(suite["root_public_key"].as_str().unwrap()).unwrap().try_into().unwrap();
    let ours = Trust::of(testudo_wire::PublicKey::parse(&root).unwrap());
    let root = biscuit_auth::PublicKey::from_bytes(&root, Algorithm::Ed25519).unwrap();
    let cases = suite["testcases"].as_array().unwrap();
    assert_eq!(cases.len(), TABLE.len());
    let wide = Limits { token_bytes_max: 1 << 20, token_blocks_max: 64, ..LIMITS };
    let mut counts = (0, 0);
    for (case, (number, good, refusal)) in cases.iter().zip(TABLE) {
        let file = case["filename"].as_str().unwrap();
        assert!(file.starts_with(&format!("test{number:03}_")), "{file}");
        assert_eq!(good_signatures(case), good, "{file}: the authors' word");
        let bytes = std::fs::read(folder.join(file)).unwrap();
        assert_eq!(Biscuit::from(&bytes, root).is_ok(), good, "{file}: the signature layer's word");
        assert_eq!(Meaning::of(&bytes, &ours, &wide), Err(refusal), "{file}: our word");
        counts = if good { (counts.0 + 1, counts.1) } else { (counts.0, counts.1 + 1) };
    }
    println!("biscuit samples: {} well signed, {} not; all refused here", counts.0, counts.1);
}
