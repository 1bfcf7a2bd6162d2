//! Merkle vectors, round trips, notes, checkpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{
    AgentName, Capability, CorrelationId, Destination, Digest, InvitationId, MessageId, Refusal,
    RegistrySequence, SecretKey, Sequence, SessionId, Signature, SwarmId, Timestamp, TokenFactId,
};

use super::checkpoint::{Notes, is_torn, key_id, last_whole, verifier_key};
use super::merkle::{
    ProofError, empty_root, leaf_hash, prove_consistency, prove_inclusion, root, verify_consistency,
    verify_inclusion,
};
use super::*;

/// The vector suite, or `None` (loudly) where a user's clone has no `../shared`.
pub(super) fn vectors(kind: &str) -> Option<Vec<(PathBuf, Value)>> {
    let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/merkle")).join(kind);
    if !top.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "CI must have the merkle vectors");
        eprintln!("SKIPPED: merkle vectors are not here");
        return None;
    }
    let mut dirs = vec![top];
    let mut cases = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let case = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                cases.push((path, case));
            }
        }
    }
    assert_eq!(cases.len(), 98);
    Some(cases)
}

/// A hash of the suite. Some hold words such as "don't care" instead: those stand for some other hash.
pub(super) fn hash(value: &Value) -> Option<LogHash> {
    let bytes = STANDARD.decode(value.as_str()?).ok().filter(|bytes| !bytes.is_empty())?;
    Some(bytes.as_slice().try_into().map_or_else(|_| leaf_hash(&bytes), LogHash::new))
}

pub(super) fn hashes(value: &Value) -> Option<Vec<LogHash>> {
    value.as_array().map_or(Some(Vec::new()), |proof| proof.iter().map(hash).collect())
}

#[test]
fn t_m19_the_inclusion_vectors() {
    let (mut run, mut bad) = (0, 0);
    for (path, case) in vectors("inclusion").into_iter().flatten() {
        (run, bad) = (run + 1, bad + u32::from(case["wantErr"] == true));
        let judge = || {
            let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
            let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
            verify_inclusion(&leaf, index, size, &hashes(&case["proof"])?, &root).ok()
        };
        assert_eq!(judge().is_none(), case["wantErr"].as_bool().unwrap(), "{}", path.display());
    }
    println!("transparency-dev, inclusion: {run} cases run, {bad} of them to be refused");
}

#[test]
fn t_m19_the_consistency_vectors() {
    let (mut run, mut bad) = (0, 0);
    for (path, case) in vectors("consistency").into_iter().flatten() {
        (run, bad) = (run + 1, bad + u32::from(case["wantErr"] == true));
        let judge = || {
            let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
            let (old_root, new_root) = (hash(&case["root1"])?, hash(&case["root2"])?);
            verify_consistency((old, &old_root), (new, &new_root), &hashes(&case["proof"])?).ok()
        };
        assert_eq!(judge().is_none(), case["wantErr"].as_bool().unwrap(), "{}", path.display());
    }
    println!("transparency-dev, consistency: {run} cases run, {bad} of them to be refused");
}

#[test]
fn t_m19_nothing_is_proved_from_size_0() {
    let root = leaf_hash(b"x");
    assert_eq!(verify_consistency((0, &empty_root()), (1, &root), &[]), Err(ProofError::Range));
    assert_eq!(verify_consistency((0, &empty_root()), (0, &empty_root()), &[]), Err(ProofError::Range));
    assert_eq!(prove_consistency(&[root], 0), Err(ProofError::Range));
}

#[test]
fn every_proof_up_to_33_leaves_verifies_and_no_other() {
    let leaves: Vec<_> = (0..33_u8).map(|n| leaf_hash(&[n])).collect();
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), LogHash::new(Sha256::digest(b"").into()));
    for size in 1..=leaves.len() {
        frontier.append(leaves[size - 1]);
        let tree = &leaves[..size];
        let (n, new_root) = (size as u64, root(tree));
        assert_eq!((frontier.size(), frontier.root()), (n, new_root));
        for (index, leaf) in tree.iter().enumerate() {
            let proof = prove_inclusion(tree, index).unwrap();
            assert_eq!(verify_inclusion(leaf, index as u64, n, &proof, &new_root), Ok(()));
            let other = (index + 1) % size;
            if other != index {
                assert!(verify_inclusion(leaf, other as u64, n, &proof, &new_root).is_err());
            }
        }
        for old in 1..=size {
            let proof = prove_consistency(tree, old).unwrap();
            let old_root = root(&leaves[..old]);
            assert_eq!(verify_consistency((old as u64, &old_root), (n, &new_root), &proof), Ok(()));
            let wrong = leaf_hash(b"another");
            assert!(verify_consistency((old as u64, &wrong), (n, &new_root), &proof).is_err());
        }
    }
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn envelope(n: u8, verdict: Verdict) -> EnvelopeRecord {
    EnvelopeRecord {
        message: MessageId::new([n; 16]),
        digest: Digest::new([n; 32]),
        sequence: Sequence(u64::from(n)),
        destination: EnvelopeRecord::destination_note(&Destination::Agent(name("writer"))),
        capability: (n.is_multiple_of(2)).then(|| Capability::parse("read:logs").unwrap()),
        correlation: CorrelationId::new([n; 16]),
        trace: (n % 2 == 1).then(|| TraceId::new([n; 16])),
        verdict,
    }
}

/// One of each event, and of each variant within.
pub(crate) fn events() -> Vec<Event> {
    let mut events: Vec<Event> = vec![
        Verdicts {
            session: SessionId::new([3; 16]),
            sender: name("reader-1"),
            key: SecretKey::from_seed(&[4; 32]).public(),
            lane: 0,
            root: Digest::new([5; 32]),
            envelopes: vec![
                envelope(1, Verdict::allowed([], 1)),
                envelope(2, Verdict::allowed(["unicode.bidi"], 3)),
                envelope(3, Verdict::refused(Refusal::Poisoned, ["inject.ignore", "poison.pipe-to-shell"])),
                envelope(4, Verdict::allowed([], 0)),
            ],
        }
        .into(),
        NodeEvent::Started { records: 7, recovered_bytes: 13 }.into(),
        NodeEvent::Rules { digest: Digest::new([7; 32]), packs: 2 }.into(),
        NodeEvent::Resumed { refused: 5, lost: 2 }.into(),
        NodeEvent::Stopped.into(),
        NodeEvent::Trust { number: 3, authorities: 1, cas: 2, statement: Digest::new([9; 32]) }.into(),
        NodeEvent::Cosigned {
            records: 7,
            witness: Note::new("w/1"),
            key: SecretKey::from_seed(&[3; 32]).public(),
        }
        .into(),
        NodeEvent::Exporting { exporters: 2, configuration: Digest::new([8; 32]) }.into(),
    ];
    for agent in [None, Some(name("reader-1"))] {
        let session = agent.map(|_| SessionId::new([3; 16]));
        events
            .push(BundleRefused { agent, session, refusal: Refusal::Malformed, bytes: 99, count: 3 }.into());
        let reason = Note::new("bad certificate");
        let by = Note::new("127.0.0.1:9");
        let topic = Note::new("alerts/disk");
        for what in [
            LinkChange::Certified { until: reason.clone() },
            LinkChange::Closed { reason: reason.clone() },
            LinkChange::Displaced { by: by.clone() },
            LinkChange::DisplacedTooOften { by },
            LinkChange::Opened,
            LinkChange::Refused { reason },
            LinkChange::Subscribed { topic: topic.clone() },
            LinkChange::SubscriptionRefused { topic: topic.clone(), refusal: Refusal::Unauthorised },
            LinkChange::SubscriptionWithdrawn { topic: topic.clone() },
            LinkChange::Unsubscribed { topic },
        ] {
            events.push(LinkEvent { agent, session, remote: "127.0.0.1:4433".into(), what }.into());
        }
        for change in [
            RegistryChange::Enrolled,
            RegistryChange::Narrowed,
            RegistryChange::Regranted,
            RegistryChange::Withdrawn,
            RegistryChange::Reinstated,
            RegistryChange::Rekeyed,
            RegistryChange::Revoked(RevocationCause::Compromised),
            RegistryChange::Revoked(RevocationCause::Failed),
            RegistryChange::TokenRevoked { id: TokenFactId::new([6; 16]) },
            RegistryChange::Invited { id: InvitationId::new([7; 16]) },
            RegistryChange::InvitationCancelled { id: InvitationId::new([7; 16]) },
            RegistryChange::Joined { id: InvitationId::new([7; 16]) },
        ] {
            events.push(RegistryEvent { agent, change }.into());
        }
    }
    let causes =
        [Cause::AuditUnavailable, Cause::Crash, Cause::Expired, Cause::HandlerFailed, Cause::LinkLost];
    let more = [Cause::NoReceiver, Cause::Overflow, Cause::ReceiverRefused(Refusal::Stale), Cause::Revoked];
    let ends = causes.into_iter().chain(more).chain([Cause::Shutdown]);
    let outcomes = ends.flat_map(|cause| [Outcome::Dropped(cause), Outcome::Failed(cause)]);
    let outcomes: Vec<_> = outcomes
        .chain([Outcome::Delivered])
        .zip(0..)
        .map(|(outcome, position)| OutcomeOf { position, outcome })
        .collect();
    events.push(Outcomes { of: 4, to: Some(name("writer")), outcomes: outcomes.clone() }.into());
    events.push(Outcomes { of: 4, to: None, outcomes }.into());
    events
}

pub(crate) fn record(event: Event) -> Record {
    Record { at: Timestamp::from_millis(1_700_000_000_123), registry: RegistrySequence(42), event }
}

#[test]
fn every_event_has_one_encoding_and_comes_back() {
    for event in events() {
        let record = record(event);
        let payload = record.encode().unwrap();
        assert_eq!(Record::decode(&payload), Ok(record.clone()));
        assert_eq!(payload[0], 0x93, "a struct is an array");
        for at in 0..payload.len() {
            assert!(Record::decode(&payload[..at]).is_err(), "{record:?} cut at {at}");
        }
    }
}

#[test]
fn what_is_settled_is_read_from_the_payload_as_from_the_record() {
    for event in events() {
        let payload = record(event.clone()).encode().unwrap();
        let expected = match event {
            Event::Verdicts(_) => Settlement::Opens { copies: vec![(0, 1), (1, 3)] },
            Event::Outcomes(Outcomes { of, to: _, outcomes }) => {
                Settlement::Settles { of, positions: outcomes.iter().map(|one| one.position).collect() }
            }
            Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => {
                Settlement::None
            }
        };
        assert_eq!(Settlement::of(&payload), Ok(expected));
        assert!(Settlement::of(&payload[..payload.len() - 1]).is_err());
    }
}

#[test]
fn every_cause_has_one_of_its_words_and_no_word_is_idle() {
    let outcomes = events().into_iter().filter_map(|event| match event {
        Event::Outcomes(outcomes) => Some(outcomes.outcomes),
        Event::BundleRefused(_)
        | Event::Link(_)
        | Event::Node(_)
        | Event::Registry(_)
        | Event::Verdicts(_) => None,
    });
    let said: std::collections::BTreeSet<_> = outcomes
        .flatten()
        .filter_map(|one| match one.outcome {
            Outcome::Delivered => None,
            Outcome::Dropped(cause) | Outcome::Failed(cause) => Some(cause.as_str()),
        })
        .collect();
    assert!(said.iter().eq(Cause::WORDS), "{said:?}");
}

#[test]
fn a_revocation_is_shown_with_its_cause() {
    use RevocationCause::{Compromised, Failed, Operator, Silent};
    let causes =
        [(Compromised, "compromised"), (Failed, "failed"), (Operator, "operator"), (Silent, "silent")];
    for (cause, word) in causes {
        let change = RegistryChange::Revoked(cause);
        let record = record(RegistryEvent { agent: Some(name("reader-1")), change }.into());
        let line = record.to_line(0);
        assert!(line.ends_with(&format!("reader-1 revoked ({word})")), "{line}");
        assert_eq!(record.to_json(0)["fields"]["cause"], word);
    }
}

#[test]
fn the_largest_bundle_fits_a_frame() {
    let rule = "x".repeat(500);
    let rules: Vec<_> = (0..400).map(|_| rule.as_str()).collect();
    let envelopes =
        (0..=255).map(|n| envelope(n, Verdict::refused(Refusal::Poisoned, rules.iter().copied()))).collect();
    let Event::Verdicts(verdicts) = events().swap_remove(0) else { panic!("the first is a verdict") };
    let record = record(Verdicts { envelopes, ..verdicts }.into());
    let payload = record.encode().unwrap();
    assert!(payload.len() < frame::PAYLOAD_BYTES_MAX, "{}", payload.len());
    assert_eq!(Record::decode(&payload), Ok(record));
}

#[test]
fn the_largest_bundle_for_everybody_fits_a_frame() {
    let rule = "x".repeat(500);
    let rules: Vec<_> = (0..400).map(|_| rule.as_str()).collect();
    let envelopes =
        (0..=255).map(|n| envelope(n, Verdict::allowed(rules.iter().copied(), u32::MAX))).collect();
    let Event::Verdicts(verdicts) = events().swap_remove(0) else { panic!("the first is a verdict") };
    let record = record(Verdicts { envelopes, ..verdicts }.into());
    let payload = record.encode().unwrap();
    assert!(payload.len() < frame::PAYLOAD_BYTES_MAX, "{}", payload.len());
    assert_eq!(Record::decode(&payload), Ok(record));
    let Ok(Settlement::Opens { copies }) = Settlement::of(&payload) else { panic!("it opens") };
    assert!(copies.len() == 256 && copies.iter().all(|(_, copies)| *copies == u32::MAX));
}

#[test]
fn many_outcomes_become_records_that_fit_a_frame() {
    let to = Some(name(&"w".repeat(AgentName::MAX)));
    let outcome = Outcome::Failed(Cause::ReceiverRefused(Refusal::AuditUnavailable));
    let all: Vec<_> = (0..600).map(|n| OutcomeOf { position: u16::MAX - n, outcome }).collect();
    let records: Vec<_> = Outcomes::split(u64::MAX, to, all.clone()).collect();
    assert_eq!(records.iter().map(|one| one.outcomes.len()).collect::<Vec<_>>(), [256, 256, 88]);
    assert!(records.iter().all(|one| (one.of, one.to) == (u64::MAX, to)));
    let again: Vec<_> = records.iter().flat_map(|one| one.outcomes.clone()).collect();
    assert_eq!(again, all);
    let record = record(records[0].clone().into());
    let payload = record.encode().unwrap();
    assert!(payload.len() < frame::PAYLOAD_BYTES_MAX / 32, "{}", payload.len());
    assert_eq!(Record::decode(&payload), Ok(record));
    assert_eq!(Outcomes::split(1, to, []).count(), 0, "no outcomes, no record");
}

#[test]
fn t_a65_a_note_is_short_and_cannot_act_on_a_terminal() {
    let note = Note::new("a\u{1b}[2J\r\nb\\c\u{202e}\u{e0041}é");
    assert_eq!(note.as_str(), "a\\u{1b}[2J\\u{d}\\u{a}b\\\\c\\u{202e}\\u{e0041}é");
    assert_eq!(Note::new(&"x".repeat(128)).as_str().len(), 128);
    assert_eq!(Note::new(&"x".repeat(129)).as_str(), format!("{}...", "x".repeat(125)));
    let forged = rmp_serde::to_vec("a\u{1b}b").unwrap();
    assert!(rmp_serde::from_read::<_, Note>(forged.as_slice()).is_err());
}

proptest! {
    #[test]
    fn t_a65_no_text_makes_a_bad_note(text in "\\PC{0,200}|(?s).{0,200}") {
        let note = Note::new(&text);
        prop_assert!(note.as_str().len() <= Note::MAX);
        let acts = |c: char| c.is_control() || c == '\u{202e}' || c == '\u{2028}';
        prop_assert!(!note.as_str().contains(acts));
        let packed = rmp_serde::to_vec(&note).unwrap();
        prop_assert_eq!(rmp_serde::from_read::<_, Note>(packed.as_slice()).unwrap(), note);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>, text: String) {
        let key = SecretKey::from_seed(&[1; 32]).public();
        let _ = Record::decode(&bytes);
        let _ = Settlement::of(&bytes);
        let _ = frame::FrameReader::new(bytes.as_slice()).next_frame().is_ok();
        let _ = last_whole(&bytes);
        let _ = Checkpoint::verify(&text, &origin(), &key);
    }
}

fn origin() -> Origin {
    Origin::of_swarm(&SwarmId::new([7; 32]))
}

/// What the C2SP pages say, written down once more without our parser.
fn independent_check(note: &str, key: &testudo_wire::PublicKey) -> (u64, Vec<u8>) {
    let at = note.rfind("\n\n").unwrap() + 1;
    let (text, rest) = (&note[..at], &note[at + 1..]);
    let words: Vec<_> = rest.trim_end_matches('\n').split(' ').collect();
    assert_eq!(words[0], "\u{2014}");
    let blob = STANDARD.decode(words[2]).unwrap();
    let mut preimage = words[1].as_bytes().to_vec();
    preimage.extend_from_slice(b"\n\x01");
    preimage.extend_from_slice(key.as_bytes());
    assert_eq!(blob[..4], Sha256::digest(preimage)[..4]);
    let signature = Signature::new(blob[4..].try_into().unwrap());
    assert!(key.verifies_bytes(text.as_bytes(), &signature));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, words[1]));
    (lines[1].parse().unwrap(), STANDARD.decode(lines[2]).unwrap())
}

#[test]
fn t_a72_a_checkpoint_is_a_c2sp_signed_note() {
    let key = SecretKey::from_seed(&[9; 32]);
    let checkpoint = Checkpoint { size: 1234, root: leaf_hash(b"x") };
    let note = checkpoint.sign(&origin(), &key);
    assert_eq!(independent_check(&note, &key.public()), (1234, leaf_hash(b"x").as_bytes().to_vec()));
    assert_eq!(Checkpoint::verify(&note, &origin(), &key.public()).unwrap(), checkpoint);
    let vkey = verifier_key(&origin(), &key.public());
    assert_eq!(vkey.split('+').nth(1), Some(hex::encode(key_id(&origin(), &key.public())).as_str()));
}

#[test]
fn the_key_id_is_that_of_the_go_implementation() {
    // The example of golang.org/x/mod/sumdb/note: PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW
    let key = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    let key = testudo_wire::PublicKey::parse(&key[1..].try_into().unwrap()).unwrap();
    let name = Origin::parse("PeterNeumann").unwrap();
    assert_eq!(hex::encode(key_id(&name, &key)), "c74f20a3");
    assert_eq!(
        verifier_key(&name, &key),
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    );
}

#[test]
fn a_checkpoint_is_read_strictly() {
    let key = SecretKey::from_seed(&[9; 32]);
    let note = Checkpoint { size: 12, root: leaf_hash(b"x") }.sign(&origin(), &key);
    let verify = |note: &str| Checkpoint::verify(note, &origin(), &key.public());
    for (bad, why) in [
        (note.replace("\n12\n", "\n012\n"), "a leading zero"),
        (note.replace("\n12\n", "\n+12\n"), "a sign"),
        (note.replace("=\n\n", "=\nextension\n\n"), "an extension line"),
        (note.replace("=\n\n", "=\n\n\n"), "two blank lines"),
        (note.trim_end().to_owned(), "no last newline"),
        (format!("{note}\n"), "an empty line behind"),
        (format!("{note}{}", &note[note.find('\u{2014}').unwrap()..]), "its signature twice"),
        (String::new(), "nothing"),
    ] {
        assert!(matches!(verify(&bad), Err(CheckpointError::Shape)), "{why}");
    }
    let witnessed = format!("{note}\u{2014} witness {}\n", STANDARD.encode([1; 76]));
    assert_eq!(verify(&witnessed).unwrap().size, 12);
    assert!(matches!(verify(&note.replace("\n12\n", "\n13\n")), Err(CheckpointError::Unauthentic)));
    assert!(matches!(verify(&note.replace("testudo/", "testudo-")), Err(CheckpointError::WrongOrigin)));
    let other =
        Checkpoint { size: 12, root: leaf_hash(b"x") }.sign(&origin(), &SecretKey::from_seed(&[8; 32]));
    assert!(matches!(verify(&other), Err(CheckpointError::Unauthentic)));
}

#[test]
fn a_file_of_checkpoints_is_cut_into_notes_and_its_torn_end_found() {
    let key = SecretKey::from_seed(&[9; 32]);
    let note = |size| Checkpoint { size, root: leaf_hash(b"x") }.sign(&origin(), &key);
    let witnessed = format!("{}\u{2014} witness {}\n", note(2), STANDARD.encode([1; 76]));
    let file = [note(1), witnessed.clone(), note(3)].concat();
    let mut notes = Notes::new(file.as_bytes());
    for expected in [note(1), witnessed.clone(), note(3)] {
        assert_eq!(notes.next_note().unwrap(), Some(expected));
    }
    assert_eq!(notes.next_note().unwrap(), None);

    let (one, two) = (note(1).len(), note(1).len() + witnessed.len());
    for cut in 0..=file.len() {
        let found = last_whole(&file.as_bytes()[..cut]);
        let own = one + note(2).len();
        let expected = match cut {
            _ if cut < one => None,
            _ if cut < own => Some(0..one),
            _ if cut < two => Some(one..own),
            _ if cut < file.len() => Some(one..two),
            _ => Some(two..file.len()),
        };
        assert_eq!(found, expected, "cut at {cut}");
        let rest = &file.as_bytes()[found.map_or(0, |found| found.end)..cut];
        assert!(is_torn(rest, &origin()) || cut > own && cut < two, "cut at {cut}");
    }
}
