//! From decoding to the signature: what refuses a whole bundle, and that nothing is spent too early.

use std::time::Duration;

use testudo_wire::standing::Quota;
use testudo_wire::{
    Bundle, Destination, Envelope, Header, Limits, Refusal, Sequence, SessionId, SwarmId, TokenId,
};

use super::world::*;
use crate::pipeline::Decoded;
use crate::quota::Bucket;

const PASSED: Result<Vec<Option<Refusal>>, Refusal> = Ok(Vec::new());

fn one(refusal: Option<Refusal>) -> Result<Vec<Option<Refusal>>, Refusal> {
    PASSED.map(|_| vec![refusal])
}

fn world() -> (World, TokenId) {
    World::with("ada", "read:logs")
}

#[test]
fn an_honest_bundle_goes_all_the_way() {
    let (world, token) = world();
    let bytes = bundle(&[ask(1, token), ask(2, token), ask(7, token)]);
    assert_eq!(Decoded::of(bytes.clone(), &LIMITS).unwrap().messages(), 3);
    let inspected = Link::of("ada").send(&world, bytes.clone()).unwrap();
    assert_eq!(inspected.bundle().bytes(), &bytes, "as it came");
    let sequences: Vec<_> = inspected.allowed().map(|(at, e)| (at, e.header().sequence.0)).collect();
    assert_eq!(sequences, [(0, 1), (1, 2), (2, 7)]);
}

#[test]
fn what_is_not_the_one_encoding_is_malformed() {
    let (world, token) = world();
    let good = bundle(&[ask(1, token), ask(2, token)]).to_vec();
    let mut cases = vec![Vec::new(), good[..40].to_vec(), good[..good.len() - 1].to_vec()];
    cases.push([&good[..], &[0]].concat());
    cases.push([&[0, 0], &good[2..]].concat());
    cases.push([&[0, 3], &good[2..]].concat());
    let disagreeing = [
        Header { capability: None, ..ask(1, token) },
        Header { in_reply_to: Some(message(9)), ..ask(1, token) },
        Header { destination: topic("alerts"), ..ask(1, token) },
        Header { in_reply_to: None, ..answer(1, token, "bob", message(9)) },
        Header { lane: 5, ..ask(1, token) },
    ];
    cases.extend(disagreeing.map(|header| bundle(&[header]).to_vec()));
    for (n, case) in cases.into_iter().enumerate() {
        let outcome = Link::of("ada").outcomes(&world, case.into());
        assert_eq!(outcome, Err(Refusal::Malformed), "case {n}");
    }
}

#[test]
fn t_a61_what_is_too_large_is_refused_before_anything_else() {
    let (world, token) = world();
    let huge = Limits { bundle_bytes_max: 1 << 22, bundle_envelopes_max: 1000, ..LIMITS };
    // By nobody of this swarm: size comes first.
    let sign = |sizes: &[usize]| {
        let envelopes =
            sizes.iter().zip(1..).map(|(size, n)| Envelope::encode(ask(n, token), &vec![b'a'; *size]));
        Bundle::sign(envelopes.collect(), &key_of("mallory"), &huge).unwrap().bytes().clone()
    };
    let edge = LIMITS.body_bytes_max;
    for (sizes, refusal) in [
        (vec![edge + 1], Refusal::Oversized),
        (vec![edge; 4], Refusal::Oversized),
        (vec![0; 257], Refusal::Malformed),
        (vec![edge], Refusal::Unauthentic),
        (vec![0; 256], Refusal::Unauthentic),
    ] {
        let outcome = Link::of("ada").outcomes(&world, sign(&sizes));
        assert_eq!(outcome, Err(refusal), "{} of {}", sizes.len(), sizes[0]);
    }
}

#[test]
fn a_pruned_bundle_from_an_agent_is_malformed() {
    let (world, token) = world();
    let whole = bundle_by(&key_of("ada"), &[ask(1, token), ask(2, token), ask(3, token)]);
    for kept in 0..3 {
        let pruned = whole.prune(&|at| at == kept).unwrap();
        assert!(pruned.is_signed_by(&key_of("ada").public()));
        let outcome = Link::of("ada").outcomes(&world, pruned.bytes().clone());
        assert_eq!(outcome, Err(Refusal::Malformed));
    }
}

#[test]
fn t_a16_only_the_links_own_identity_may_speak_on_it() {
    let (mut world, token) = world();
    let mallory = key_of("mallory");
    let foreign = *mallory.public().as_bytes();
    world.show(&signed(&mint("mallory", "read:logs")));
    let ada = ask(1, token);
    let cases = [
        // Ada's own bundle, carried over Mallory's link.
        ("mallory", key_of("ada"), ada),
        // Mallory under Ada's name, and under Ada's key, on either link.
        ("ada", key_of("mallory"), Header { key: foreign, ..ada }),
        ("mallory", key_of("mallory"), Header { key: foreign, ..ada }),
        ("ada", key_of("mallory"), Header { sender: name("mallory"), ..ada }),
        ("mallory", key_of("mallory"), Header { sender: name("mallory"), ..ada }),
        // Ada as a member of another swarm.
        ("ada", key_of("ada"), Header { swarm: SwarmId::new([1; 32]), ..ada }),
    ];
    for (n, (link, key, header)) in cases.into_iter().enumerate() {
        let bytes = bundle_by(&key, &[header]).bytes().clone();
        assert_eq!(Link::of(link).outcomes(&world, bytes), Err(Refusal::WrongPeer), "case {n}");
    }
}

#[test]
fn the_data_stream_is_lane_0() {
    let (world, token) = world();
    for lane in 1..5 {
        let bytes = bundle(&[Header { lane, ..ask(1, token) }]);
        assert_eq!(Link::of("ada").outcomes(&world, bytes), Err(Refusal::Malformed), "lane {lane}");
    }
}

#[test]
fn t_a25_a_bundle_of_another_session_is_refused_and_cannot_be_moved() {
    let (world, token) = world();
    let elsewhere = SessionId::new([0x77; 16]);
    let captured = bundle(&[Header { session: elsewhere, ..ask(1, token) }]);
    let mut link = Link::of("ada");
    assert_eq!(link.outcomes(&world, captured.clone()), Err(Refusal::WrongSession));

    let mut moved = captured.to_vec();
    let at = moved.windows(16).position(|bytes| bytes == elsewhere.as_bytes()).unwrap();
    moved[at..at + 16].copy_from_slice(SESSION.as_bytes());
    assert_eq!(link.outcomes(&world, moved.into()), Err(Refusal::Unauthentic));
    assert_eq!(link.outcomes(&world, bundle(&[ask(1, token)])), one(None), "nothing was burnt");
}

#[test]
fn t_a39_a_revoked_sender_is_refused_before_its_signature_is_checked() {
    let (mut world, token) = world();
    world.revoked.insert(name("ada"));
    let mut link = Link::of("ada");
    assert_eq!(link.outcomes(&world, bundle(&[ask(1, token)])), Err(Refusal::Revoked));
    let forged = bundle_by(&key_of("mallory"), &[ask(1, token)]).bytes().clone();
    assert_eq!(link.outcomes(&world, forged), Err(Refusal::Revoked));
    let mut replaced = Link::of("ada");
    replaced.peer.holder.key = key_of("mallory").public();
    let header = Header { key: *key_of("mallory").public().as_bytes(), ..ask(1, token) };
    let bytes = bundle_by(&key_of("mallory"), &[header]).bytes().clone();
    assert_eq!(replaced.outcomes(&World::default(), bytes), Err(Refusal::Revoked), "a key no longer hers");
}

#[test]
fn t_a22_quota_is_taken_before_the_signature_and_burns_no_sequence() {
    let (world, token) = world();
    let honest = bundle(&[ask(1, token)]);
    let forged = bundle_by(&key_of("mallory"), &[ask(1, token)]).bytes().clone();
    let quota = Quota { bundles_per_second: 2, bytes_per_second: 1 << 20 };
    let mut link = Link::of("ada");
    link.bucket = Bucket::new(quota, Duration::ZERO);
    assert_eq!(link.outcomes(&world, forged.clone()), Err(Refusal::Unauthentic), "costs as any other");
    assert_eq!(link.outcomes(&world, forged.clone()), Err(Refusal::Unauthentic));
    assert_eq!(link.outcomes(&world, forged), Err(Refusal::OverQuota));
    assert_eq!(link.outcomes(&world, honest.clone()), Err(Refusal::OverQuota));
    link.bucket = Bucket::new(quota, Duration::ZERO);
    assert_eq!(link.outcomes(&world, honest), one(None));
}

#[test]
fn quota_counts_the_bytes_of_a_bundle() {
    let (world, token) = world();
    let honest = bundle(&[ask(1, token)]);
    for (spare, expected) in [(0, one(None)), (-1, Err(Refusal::OverQuota))] {
        let bytes_per_second = (honest.len() as u64).checked_add_signed(spare).unwrap();
        let mut link = Link::of("ada");
        link.bucket = Bucket::new(Quota { bundles_per_second: 9, bytes_per_second }, Duration::ZERO);
        assert_eq!(link.outcomes(&world, honest.clone()), expected);
    }
}

#[test]
fn what_is_not_of_this_link_costs_no_quota() {
    let (world, token) = world();
    let mut link = Link::of("ada");
    link.bucket = Bucket::new(Quota { bundles_per_second: 1, bytes_per_second: 1 << 20 }, Duration::ZERO);
    let elsewhere = bundle(&[Header { session: SessionId::new([1; 16]), ..ask(1, token) }]);
    assert_eq!(link.outcomes(&world, elsewhere), Err(Refusal::WrongSession));
    assert_eq!(link.outcomes(&world, bundle(&[ask(1, token)])), one(None));
}

#[test]
fn t_a19_r_r10_both_edges_of_time_are_fresh_and_one_tick_beyond_is_stale() {
    let (world, token) = world();
    let at = |sequence, ms| Header { timestamp: later(ms), ..ask(sequence, token) };
    let bytes = bundle(&[at(1, -300_001), at(2, -300_000), at(3, 0), at(4, 300_000), at(5, 300_001)]);
    let mut link = Link::of("ada");
    let stale = Some(Refusal::Stale);
    assert_eq!(link.outcomes(&world, bytes), Ok(vec![stale, None, None, None, stale]));
    // The window reached sequence 4: a stale one recorded nothing.
    assert_eq!(link.outcomes(&world, bundle(&[ask(1, token), ask(5, token)])), Ok(vec![None, None]));
}

#[test]
fn a_stale_bundle_with_a_bad_signature_is_unauthentic_as_a_whole() {
    let (world, token) = world();
    let old = Header { timestamp: later(-400_000), ..ask(1, token) };
    let forged = bundle_by(&key_of("mallory"), &[old]).bytes().clone();
    assert_eq!(Link::of("ada").outcomes(&world, forged), Err(Refusal::Unauthentic));
}

#[test]
fn any_other_signature_or_content_is_unauthentic() {
    let (world, token) = world();
    let good = bundle(&[ask(1, token), ask(2, token)]).to_vec();
    let mut cases = vec![bundle_by(&key_of("mallory"), &[ask(1, token)]).bytes().to_vec()];
    // A bit of the signature, then one of the last body.
    for at in [2, 40, 65, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        cases.push(changed);
    }
    // The signature of one bundle on another.
    let mut spliced = bundle(&[ask(3, token), ask(4, token)]).to_vec();
    spliced[2..66].copy_from_slice(&good[2..66]);
    cases.push(spliced);
    let mut link = Link::of("ada");
    for (n, case) in cases.into_iter().enumerate() {
        assert_eq!(link.outcomes(&world, case.into()), Err(Refusal::Unauthentic), "case {n}");
    }
    assert_eq!(link.outcomes(&world, good.into()), Ok(vec![None, None]), "none of them burnt anything");
}

#[test]
fn t_a21_r_r05_a_forged_copy_first_does_not_burn_the_sequence_of_the_honest_one() {
    let (world, token) = world();
    let mut link = Link::of("ada");
    for _ in 0..3 {
        let far = Header { sequence: Sequence(u64::MAX - 1), ..ask(9, token) };
        let forged = bundle_by(&key_of("mallory"), &[ask(1, token), far]).bytes().clone();
        assert_eq!(link.outcomes(&world, forged), Err(Refusal::Unauthentic));
    }
    assert_eq!(link.outcomes(&world, bundle(&[ask(1, token)])), one(None));
}

#[test]
fn t_a17_r_r03_a_replayed_bundle_is_refused_envelope_by_envelope() {
    let (world, token) = world();
    let mut link = Link::of("ada");
    let first = bundle(&[ask(1, token), ask(3, token)]);
    let replayed = Some(Refusal::Replayed);
    assert_eq!(link.outcomes(&world, first.clone()), Ok(vec![None, None]));
    assert_eq!(link.outcomes(&world, first), Ok(vec![replayed, replayed]));
    let partly = bundle(&[ask(1, token), ask(2, token), ask(3, token), ask(4, token)]);
    assert_eq!(link.outcomes(&world, partly), Ok(vec![replayed, None, replayed, None]));
}

#[test]
fn t_a17_what_is_too_far_behind_to_tell_counts_as_replayed() {
    let (world, token) = world();
    let mut link = Link::of("ada");
    assert_eq!(link.outcomes(&world, bundle(&[ask(2000, token)])), one(None));
    assert_eq!(link.outcomes(&world, bundle(&[ask(976, token)])), one(Some(Refusal::Replayed)));
    assert_eq!(link.outcomes(&world, bundle(&[ask(977, token)])), one(None));
}

#[test]
fn r_r19_a_duplicate_with_a_bad_signature_answers_like_any_bad_signature() {
    let (world, token) = world();
    let mut link = Link::of("ada");
    assert_eq!(link.outcomes(&world, bundle(&[ask(1, token)])), one(None));
    let forged = |sequence| bundle_by(&key_of("mallory"), &[ask(sequence, token)]).bytes().clone();
    let (seen, unseen) = (link.outcomes(&world, forged(1)), link.outcomes(&world, forged(2)));
    assert_eq!(seen, Err(Refusal::Unauthentic));
    assert_eq!(seen, unseen);
}

#[test]
fn r_r02_no_field_under_the_signature_can_be_changed() {
    let (mut world, token) = world();
    let other = world.show(&signed(&mint("ada", "read:logs write:logs")));
    let base = ask(1, token);
    let signature = bundle(&[base])[..66].to_vec();
    let changes = [
        Header { destination: to("cyd"), ..base },
        Header { destination: Destination::Service, ..base },
        Header { capability: Some(capability("write:logs")), ..base },
        Header { message: message(99), ..base },
        Header { timestamp: later(1), ..base },
        Header { sequence: Sequence(2), ..base },
        Header { token: other, ..base },
        Header { content_type: testudo_wire::ContentType::json(), ..base },
    ];
    for (n, header) in changes.into_iter().enumerate() {
        let mut bytes = bundle(&[header]).to_vec();
        bytes[..66].copy_from_slice(&signature);
        let outcome = Link::of("ada").outcomes(&world, bytes.into());
        assert_eq!(outcome, Err(Refusal::Unauthentic), "change {n}");
    }
}
