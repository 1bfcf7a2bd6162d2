//! Bundles: what verifies in every pruned form, and what no change of a byte survives.

use super::*;
use crate::header::tests::sample;
use proptest::prelude::*;

fn key() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

fn bundle(n: u64) -> Bundle {
    let envelopes =
        (0..n).map(|i| Envelope::encode(sample(0, i + 1), format!("body {i}").as_bytes())).collect();
    Bundle::sign(envelopes, &key(), &Limits::standard()).unwrap()
}

#[test]
fn a_signed_bundle_decodes_whole_and_verifies() {
    for n in [1, 2, 3, 7, 8, 255, 256] {
        let made = bundle(n);
        let read = Bundle::decode(made.bytes().clone(), &Limits::standard()).unwrap();
        assert!(read.is_whole() && read.is_signed_by(&key().public()), "{n}");
        assert_eq!(read.root(), made.root());
        assert_eq!(read.envelopes().count() as u64, n);
    }
}

#[test]
fn a_bundle_made_in_one_piece_is_the_same_bundle() {
    for n in [1, 2, 5, 256] {
        let body = |i: u64| format!("body {i}").into_bytes();
        let mut sealer = Sealer::with_capacity(100);
        (0..n).for_each(|i| sealer.push(&sample(0, i + 1), &body(i)));
        let sealed = sealer.sign(&key(), &Limits::standard()).unwrap();
        let made = bundle(n);
        assert_eq!(sealed.bytes, made.bytes());
        assert_eq!(sealed.digests, made.envelopes().map(Envelope::digest).collect::<Vec<_>>());
    }
    let nothing = Sealer::with_capacity(0).sign(&key(), &Limits::standard());
    assert_eq!(nothing.unwrap_err(), BundleError::Shape);
    let mut many = Sealer::with_capacity(0);
    (0..257).for_each(|i| many.push(&sample(0, i + 1), b""));
    assert_eq!(many.sign(&key(), &Limits::standard()).unwrap_err(), BundleError::TooLarge);
}

/// Headers of one sender that differ in what may differ, each with a body.
fn mixed() -> impl Strategy<Value = Vec<(Header, Vec<u8>)>> {
    let one = (0..8_u8, 0..4_u8, 0..3_u8, prop::collection::vec(any::<u8>(), 0..80));
    prop::collection::vec(one, 1..20).prop_map(|all| {
        let of = |(at, (bits, to, right, body)): (usize, (u8, u8, u8, Vec<u8>))| {
            let mut header = sample(bits, at as u64 + 1);
            let topic = crate::Resource::parse("alerts").unwrap();
            match to {
                0 if bits & 1 == 0 => header.destination = crate::Destination::Service,
                1 if bits & 1 == 0 => {
                    header.destination = crate::Destination::Topic(topic);
                    header.capability = Some(crate::Capability::publish(&topic));
                }
                2 if bits & 1 == 0 => header.capability = Some(crate::Capability::parse("write:x").unwrap()),
                _ => {}
            }
            if right > 0 {
                header.token = crate::TokenId::new([right; 32]);
                header.content_type = crate::ContentType::parse("text/plain").unwrap();
            }
            (header, body)
        };
        all.into_iter().enumerate().map(of).collect()
    })
}

proptest! {
    #[test]
    fn headers_that_differ_read_as_each_alone(all in mixed(), keep in any::<u32>(), at: prop::sample::Index, flip: u8) {
        let limits = Limits::standard();
        let envelopes: Vec<_> = all.iter().map(|(header, body)| Envelope::encode(*header, body)).collect();
        let made = Bundle::sign(envelopes, &key(), &limits).unwrap();
        let mut sealer = Sealer::with_capacity(0);
        all.iter().for_each(|(header, body)| sealer.push(header, body));
        prop_assert_eq!(sealer.sign(&key(), &limits).unwrap().bytes, made.bytes());
        let kept = |at: usize| keep >> (at % 32) & 1 == 1;
        let pruned = if (0..all.len()).any(kept) { made.prune(&kept).unwrap() } else { made };
        let mut changed = pruned.bytes().to_vec();
        let at = at.index(changed.len());
        changed[at] ^= flip;
        for bytes in [pruned.bytes().clone(), changed.into()] {
            let Ok(read) = Bundle::decode(bytes, &limits) else { continue };
            for envelope in read.envelopes() {
                let alone = Envelope::decode(envelope.bytes().to_vec().into(), &limits).unwrap();
                prop_assert_eq!(alone.header(), envelope.header());
                prop_assert_eq!(alone.body(), envelope.body());
                prop_assert_eq!(alone.digest(), envelope.digest());
            }
        }
        let read = Bundle::decode(pruned.bytes().clone(), &limits).unwrap();
        let expected: Vec<_> = if pruned.is_whole() { all } else {
            all.into_iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, one)| one).collect()
        };
        let found: Vec<_> = read.envelopes().map(|one| (*one.header(), one.body().to_vec())).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn the_number_of_leaves_is_signed() {
    let mut bytes = bundle(1).bytes().to_vec();
    bytes[1] = 2;
    assert_eq!(Bundle::decode(bytes.into(), &Limits::standard()).unwrap_err(), BundleError::Shape);
}

#[test]
fn another_key_is_no_signer() {
    let other = SecretKey::from_seed(&[3; 32]).public();
    assert!(!bundle(3).is_signed_by(&other));
}

#[test]
fn what_does_not_belong_together_is_no_bundle() {
    let limits = Limits::standard();
    let envelope = |change: &dyn Fn(&mut Header)| {
        let mut header = sample(0, 2);
        change(&mut header);
        Envelope::encode(header, b"")
    };
    let first = || Envelope::encode(sample(0, 1), b"");
    for change in [
        (&|h: &mut Header| h.sequence.0 = 1) as &dyn Fn(&mut Header),
        &|h| h.lane = 1,
        &|h| h.key = [0; 32],
        &|h| h.sender = "other".parse().unwrap(),
        &|h| h.session = crate::SessionId::new([0; 16]),
        &|h| h.swarm = crate::SwarmId::new([0; 32]),
    ] {
        let error = Bundle::sign(vec![first(), envelope(change)], &key(), &limits).unwrap_err();
        assert_eq!(error, BundleError::Mixed);
    }
    assert_eq!(Bundle::sign(vec![], &key(), &limits).unwrap_err(), BundleError::Shape);
}

#[test]
fn a_split_subtree_is_not_canonical() {
    // Four leaves of which only the last is kept: [pruned 2][pruned 1][envelope] is canonical,
    // [pruned 1][pruned 1][pruned 1][envelope] is the same tree in another encoding.
    let whole = bundle(4);
    let digests: Vec<_> = whole.items().iter().map(item_digest).collect();
    let one = |i: usize| Item::Pruned { leaves: 1, digest: digests[i] };
    let last = whole.items()[3].clone();
    let split = encode(4, &whole.signature, &[one(0), one(1), one(2), last]);
    assert_eq!(Bundle::decode(split, &Limits::standard()).unwrap_err(), BundleError::Shape);
    let pruned = whole.prune(&|i| i == 3).unwrap();
    assert_eq!(pruned.items().len(), 3);
    assert!(!pruned.is_whole());
}

#[test]
fn nothing_kept_is_no_bundle() {
    assert_eq!(bundle(4).prune(&|_| false).unwrap_err(), BundleError::Shape);
    let pruned = bundle(4).prune(&|i| i == 1).unwrap();
    assert_eq!(pruned.prune(&|_| true).unwrap_err(), BundleError::Shape, "only whole bundles are pruned");
}

#[test]
fn a_cut_is_of_positions_that_rise_and_are_there() {
    let whole = bundle(5);
    let pruner = whole.pruner().unwrap();
    for wrong in [&[][..], &[5], &[1, 1], &[2, 1], &[0, 7]] {
        assert_eq!(pruner.cut(wrong).unwrap_err(), BundleError::Shape, "{wrong:?}");
    }
    assert_eq!(pruner.cut(&[0, 1, 2, 3, 4]).unwrap(), whole.bytes());
    assert_eq!(whole.prune(&|i| i == 2).unwrap().pruner().unwrap_err(), BundleError::Shape);
}

#[test]
fn a_question_is_of_one_key_one_statement_and_one_signature() {
    let (whole, other) = (bundle(4), bundle(5));
    let key = key().public();
    let question = whole.question(&key).unwrap();
    assert_eq!(whole.prune(&|i| i == 2).unwrap().question(&key), Ok(question), "a part says the same");
    assert_ne!(other.question(&key), Ok(question));
    let mut forged = whole.bytes().to_vec();
    forged[2] ^= 1;
    let forged = Bundle::decode(forged.into(), &Limits::standard()).unwrap();
    assert_ne!(forged.question(&key), Ok(question));
    let stranger = SecretKey::from_seed(&[99; 32]).public();
    assert_eq!(whole.question(&stranger), Err(BundleError::Mixed));
}

#[test]
fn t_a26_no_two_different_tuples_have_one_preimage() {
    // Every signed part has a fixed length, so the joined bytes split back in one way only.
    let header = sample(0, 1);
    let lengths: Vec<_> =
        signed_parts(&header, &[0, 1], &Digest::new([0; 32])).iter().map(|p| p.len()).collect();
    assert_eq!(lengths, [32, 32, 16, 2, 32]);
}

proptest! {
    #[test]
    fn any_pruned_form_verifies_and_proves_each_envelope(n in 1..=64_u64, mask: u64) {
        let whole = bundle(n);
        let keep = |i: usize| mask >> i & 1 == 1;
        let kept: Vec<_> = (0..n as usize).filter(|i| keep(*i)).collect();
        match whole.prune(&keep) {
            Err(error) => prop_assert!(kept.is_empty(), "{error}"),
            Ok(pruned) => {
                let read = Bundle::decode(pruned.bytes().clone(), &Limits::standard()).unwrap();
                prop_assert!(read.is_signed_by(&key().public()));
                prop_assert_eq!(read.root(), whole.root());
                let bodies: Vec<_> = read.envelopes().map(Envelope::body).collect();
                let expected: Vec<_> = kept.iter().map(|i| Bytes::from(format!("body {i}"))).collect();
                prop_assert_eq!(bodies, expected);
                prop_assert_eq!(read.is_whole(), kept.len() as u64 == n);
                prop_assert_eq!(encode(read.leaves, &read.signature, &read.items), read.bytes().clone());
            }
        }
    }

    #[test]
    fn any_change_of_any_byte_is_refused(n in 1..=9_u64, mask in 1..512_u64, at: prop::sample::Index, flip in 1..=255_u8) {
        let whole = bundle(n);
        let bundle = whole.prune(&|i| mask >> i & 1 == 1).unwrap_or(whole);
        let mut bytes = bundle.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let accepted = Bundle::decode(bytes.into(), &Limits::standard())
            .is_ok_and(|changed| changed.is_signed_by(&key().public()));
        prop_assert!(!accepted);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        let _ = Bundle::decode(bytes.into(), &Limits::standard());
    }
}
