//! The token of docs/protocol.md, made anew from this crate: what the page shows must be what the code writes.
//! With `TESTUDO_REGENERATE=1` the blocks are rewritten in place.

#![expect(clippy::unwrap_used, reason = "a test of fixed inputs")]

use std::collections::BTreeSet;

use testudo_rules::token::{Attenuation, Delegation, Fresh, Mint, SealedToken, Token, Trust};
use testudo_wire::{
    AgentName, Capability, Holder, Limits, RegistrySequence, SecretKey, SwarmId, Timestamp, TokenFactId,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
/// 2027-01-01T00:00:00Z.
const EXPIRES: Timestamp = Timestamp::from_millis(1_798_761_600_000);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn holder(name: &str, seed: u8) -> Holder {
    Holder { name: AgentName::parse(name).unwrap(), key: key(seed).public() }
}

fn read_logs() -> BTreeSet<Capability> {
    BTreeSet::from([Capability::parse("read:logs").unwrap()])
}

/// Hex, 64 digits a line.
fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).map(hex::encode).collect::<Vec<_>>().join("\n")
}

fn sealed(token: &Token) -> SealedToken {
    let sealed = token.seal().unwrap();
    let trust = Trust::of(key(1).public());
    assert!(SealedToken::read(sealed.bytes(), &trust, &Limits::standard()).is_ok());
    sealed
}

fn examples() -> Vec<(&'static str, String)> {
    let mint = Mint {
        swarm: SwarmId::of(&key(1).public()),
        id: TokenFactId::new([0x1d; 16]),
        holder: holder("ada", 3),
        rights: read_logs(),
        delegatable: read_logs(),
        expires: EXPIRES,
        minted: RegistrySequence(7),
        hops: 1,
    };
    let token = mint.sign(&key(1), Fresh::from_random([0xf1; 32]), &Limits::standard()).unwrap();
    let narrow =
        Attenuation { to: Some([AgentName::parse("cyd").unwrap()].into()), ..Attenuation::default() };
    let delegation = Delegation {
        id: TokenFactId::new([0x2d; 16]),
        to: holder("bob", 4),
        grant: read_logs(),
        grant_on: BTreeSet::new(),
        expires: EXPIRES,
        hops: 0,
    };
    let long = token.attenuate(&narrow, Fresh::from_random([0xf2; 32])).unwrap();
    let long = long.delegate(&delegation, &key(3), Fresh::from_random([0xf3; 32])).unwrap();
    let (token, long) = (sealed(&token), sealed(&long));
    vec![
        ("token", hex(token.bytes())),
        ("token-id", token.id().to_string()),
        ("token-text", token.to_text()),
        ("token-chain", hex(long.bytes())),
        ("token-chain-id", long.id().to_string()),
    ]
}

/// Puts `block` in the place of the one that stands after the same comment.
fn replace(page: &str, comment: &str, block: &str) -> String {
    let at = page.find(comment).unwrap_or_else(|| panic!("no place for {comment}"));
    let body = at + comment.len() + page[at + comment.len()..].find("```text").unwrap() + "```text".len();
    let end = body + page[body..].find("\n```").unwrap() + "\n```".len();
    format!("{}{block}{}", &page[..at], &page[end..])
}

#[test]
fn the_page_shows_the_token_that_the_code_makes() {
    let mut page = std::fs::read_to_string(PAGE).unwrap();
    let regenerate = std::env::var_os("TESTUDO_REGENERATE").is_some_and(|value| value == "1");
    for (name, text) in examples() {
        let comment = format!("<!-- example: {name} -->");
        let block = format!("{comment}\n```text\n{text}\n```");
        if regenerate {
            page = replace(&page, &comment, &block);
        }
        assert!(page.contains(&block), "docs/protocol.md lacks this block; see TESTUDO_REGENERATE\n{block}");
    }
    if regenerate {
        std::fs::write(PAGE, page).unwrap();
    }
}
