//! The strict rule for Ed25519 (measured fact M2), decided as `verify_strict` of ed25519-dalek decides it, for less.
//!
//! That one takes `R` apart only to refuse points of small order. Both then compare the bytes of `R` with those of the
//! point that the equation gives, which are always the canonical ones. So an `R` that is not the canonical encoding of a
//! point is refused either way, and whether it is of small order shows in its bytes: eight encodings, no more.

use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

/// All canonical encodings of points of small order, without the sign of `x`, the highest bit.
const SMALL_ORDER: [[u8; 32]; 5] = [
    // y = 1: the identity.
    with_ends(0x01, 0x00, 0x00),
    // y = -1: order 2.
    with_ends(0xec, 0xff, 0x7f),
    // y = 0: order 4.
    with_ends(0x00, 0x00, 0x00),
    // Order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn with_ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Whether these bytes are the canonical encoding of a point of small order. Of others it may say anything.
fn is_small_order(point: &[u8; 32]) -> bool {
    let mut unsigned = *point;
    unsigned[31] &= 0x7f;
    SMALL_ORDER.contains(&unsigned)
}

/// Whether `signature` is that of `key`, which must not be weak, by the strict rule.
pub(crate) fn verifies(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    // A word more than the plain rule: what that takes and the strict one does not has an `R` of small order.
    #[expect(clippy::disallowed_methods, reason = "with the line above it, it is the strict rule")]
    let equation = || key.verify(message, &signature).is_ok();
    !is_small_order(signature.r_bytes()) && equation()
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::*;

    fn both(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let strict = key.verify_strict(message, &Signature::from_bytes(signature)).is_ok();
        assert_eq!(verifies(key, message, signature), strict, "{}", hex::encode(signature));
        strict
    }

    /// The scalar of the equation: with it whoever knows a secret makes signatures that no library would.
    fn hash(r: &[u8; 32], key: &VerifyingKey, message: &[u8]) -> Scalar {
        let joined = [&r[..], key.as_bytes(), message].concat();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &joined);
        Scalar::from_bytes_mod_order_wide(digest.as_ref().try_into().unwrap())
    }

    #[test]
    fn t_a30_all_points_of_small_order_are_known_by_their_bytes_and_no_other_is() {
        for point in EIGHT_TORSION {
            assert!(is_small_order(point.compress().as_bytes()));
        }
        let signed = |bytes: &[u8; 32]| {
            [0, 0x80].map(|sign| {
                let mut b = *bytes;
                b[31] |= sign;
                b
            })
        };
        let known = SMALL_ORDER.iter().flat_map(signed);
        let small: Vec<_> = EIGHT_TORSION.iter().map(|point| *point.compress().as_bytes()).collect();
        // Ten strings of bytes for eight points: the two others are no canonical encodings, so that no equation gives them.
        let strange: Vec<_> = known.filter(|bytes| !small.contains(bytes)).collect();
        assert_eq!(strange.len(), 2);
    }

    /// Signatures that satisfy the equation and have an `R` of small order, under keys with and without a part of small
    /// order: what the strict rule is for.
    #[test]
    fn t_a30_what_only_the_plain_rule_takes_is_refused() {
        let (mut plain, mut refused) = (0, 0);
        for (n, torsion) in (1_u64..).zip(EIGHT_TORSION) {
            let secret = Scalar::from(0x1234_5678_9abc_u64 * n);
            let public: EdwardsPoint = secret * ED25519_BASEPOINT_POINT + torsion;
            let key = VerifyingKey::from_bytes(public.compress().as_bytes()).unwrap();
            assert!(!key.is_weak());
            for small in EIGHT_TORSION {
                let r = *small.compress().as_bytes();
                for round in 0..32_u8 {
                    let message = [round; 7];
                    let s = hash(&r, &key, &message) * secret;
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(&r);
                    signature[32..].copy_from_slice(s.as_bytes());
                    assert!(!both(&key, &message, &signature));
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "to show that these are the signatures that matter"
                    )]
                    let takes = key.verify(&message, &Signature::from_bytes(&signature)).is_ok();
                    plain += u32::from(takes);
                    refused += 1;
                }
            }
        }
        assert!(plain > 200 && refused == 8 * 8 * 32, "{plain} of {refused}");
    }

    /// Signatures by a key with a part of small order, good and not, with an `R` of any order.
    #[test]
    fn mixed_orders_and_long_scalars_are_decided_alike() {
        let mut good = 0;
        for (n, torsion) in (1_u64..).zip(EIGHT_TORSION) {
            let (secret, nonce) = (Scalar::from(77 * n), Scalar::from(0xdead_beef_u64 + n));
            let key = secret * ED25519_BASEPOINT_POINT + torsion;
            let key = VerifyingKey::from_bytes(key.compress().as_bytes()).unwrap();
            for other in EIGHT_TORSION {
                let r = *(nonce * ED25519_BASEPOINT_POINT + other).compress().as_bytes();
                for round in 0..16_u8 {
                    let s = nonce + hash(&r, &key, &[round]) * secret;
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(&r);
                    signature[32..].copy_from_slice(s.as_bytes());
                    good += u32::from(both(&key, &[round], &signature));
                    // The same S, and the order of the group: what must not be reduced.
                    let order = -Scalar::ONE;
                    let mut carry = 1_u16;
                    for (at, byte) in order.as_bytes().iter().enumerate() {
                        carry += u16::from(signature[32 + at]) + u16::from(*byte);
                        signature[32 + at] = carry.to_le_bytes()[0];
                        carry >>= 8;
                    }
                    assert!(!both(&key, &[round], &signature));
                }
            }
        }
        assert!(good > 100, "{good}");
    }

    proptest! {
        #[test]
        fn a_signature_and_one_with_a_bit_turned_are_decided_alike(
            seed: [u8; 32], message: Vec<u8>, at in 0_usize..64, bit in 0_u8..8, rest: [u8; 32],
        ) {
            let key = SigningKey::from_bytes(&seed);
            let (public, mut signature) = (key.verifying_key(), key.sign(&message).to_bytes());
            prop_assert!(both(&public, &message, &signature));
            signature[at] ^= 1 << bit;
            prop_assert!(!both(&public, &message, &signature));
            signature[..32].copy_from_slice(&rest);
            both(&public, &message, &signature);
        }
    }
}
