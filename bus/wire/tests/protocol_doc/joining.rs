//! The examples of joining: an invitation, the request for a certificate, the question and both answers.

use testudo_wire::join::{JoinAnswer, JoinRefusal, JoinRequest, JoinToken, Joined, spki};
use testudo_wire::{CaFingerprint, InvitationId, Purpose, SecretKey, Timestamp};

use super::{NOW, agent, hex, key, swarm};

const EXPORTER: [u8; 32] = [0xe1; 32];

fn token() -> JoinToken {
    JoinToken {
        address: "192.0.2.1:7602".parse().unwrap(),
        swarm: swarm(),
        ca: CaFingerprint::of(&[0xca; 3]),
        id: InvitationId::new([0x1d; 16]),
        until: Timestamp::from_millis(NOW.as_millis() + 3_600_000),
        key: SecretKey::from_seed(&[9; 32]),
    }
}

/// A PKCS #10 request that names nobody, byte by byte.
fn request(key: &SecretKey) -> Vec<u8> {
    let info =
        [&[0x30, 0x33, 0x02, 0x01, 0x00, 0x30, 0x00][..], &spki(&key.public()), &[0xa0, 0x00]].concat();
    let signature = key.sign_bytes(&info);
    let algorithm = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    [&[0x30, 0x7f][..], &info, &algorithm, &[0x03, 0x41, 0x00], signature.as_bytes()].concat()
}

pub(super) fn joining() -> Vec<(&'static str, String)> {
    let (token, ada) = (token(), key(3));
    assert_eq!(JoinToken::parse(&token.to_text()).unwrap().id, token.id);
    let preimage = [Purpose::Join.tag(), &EXPORTER, &spki(&ada.public())].concat();
    let signature = token.prove(&EXPORTER, &ada.public());
    assert_eq!(signature, token.key.sign_bytes(&preimage));
    let question = JoinRequest { id: token.id, signature, csr: request(&ada) };
    let frame = question.encode().unwrap();
    assert_eq!(JoinRequest::decode(&frame), Ok(question));
    let joined = JoinAnswer::Joined(Box::new(Joined {
        name: agent("ada"),
        node: "192.0.2.1:7600".parse().unwrap(),
        authority: key(1).public(),
        ca: vec![0xca; 3].into(),
        chain: vec![vec![0xce; 3].into()],
        token: vec![1, 2, 3].into(),
        trust: Vec::new(),
    }));
    let answer = joined.encode().unwrap();
    assert_eq!(JoinAnswer::decode(&answer), Ok(joined));
    vec![
        (
            "invitation",
            token.to_text().as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n"),
        ),
        ("csr", hex(&request(&ada))),
        ("join-preimage", hex(&preimage)),
        ("join-request", hex(&frame)),
        ("joined", hex(&answer)),
        ("join-refused", hex(&JoinAnswer::Refused(JoinRefusal::Used).encode().unwrap())),
    ]
}

#[test]
fn the_page_lists_every_refusal_of_a_newcomer() {
    let page = std::fs::read_to_string(super::PAGE).unwrap();
    let (_, joining) = page.split_once("\n## 15. Joining\n").unwrap();
    for refusal in JoinRefusal::ALL {
        let row = format!("\n| {} | {} | ", refusal.code(), refusal.as_str());
        assert!(joining.contains(&row), "docs/protocol.md lacks {row}");
    }
}
