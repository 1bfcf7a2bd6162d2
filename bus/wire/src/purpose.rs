//! Every purpose for which a Testudo key signs. A signature made for one is void for all others.
//!
//! Signed bytes start with `testudo/1 <purpose>\0`. The same keys also sign TLS 1.3 handshakes (64
//! spaces first, RFC 8446 4.4.3), PKCS #10 requests (a DER SEQUENCE, 0x30 first) and Biscuit blocks
//! (`\0BLOCK\0`, `\0EXTERNAL\0` or, in the older signature version, a protobuf field of the block first): no tag
//! can be taken for one of those (threat A27).

/// What a signature is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The node confirms that verdicts are durable on its audit log.
    Accepted,
    /// An agent signs a bundle of envelopes.
    Bundle,
    /// An agent shows that it is alive.
    Heartbeat,
    /// A newcomer proves its invitation.
    Join,
    /// A receiver confirms delivery.
    Receipt,
    /// The node announces revocations.
    Revoked,
    /// An agent says which head of the audit log it was told.
    Sighting,
    /// The authority changes what a swarm trusts.
    Trust,
    /// The node opens a session.
    Welcome,
}

impl Purpose {
    /// All purposes, for tests that compare every pair.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Bundle,
        Self::Heartbeat,
        Self::Join,
        Self::Receipt,
        Self::Revoked,
        Self::Sighting,
        Self::Trust,
        Self::Welcome,
    ];

    /// The bytes that come first under every signature of this purpose.
    #[must_use]
    pub const fn tag(self) -> &'static [u8] {
        match self {
            Self::Accepted => b"testudo/1 accepted\0",
            Self::Bundle => b"testudo/1 bundle\0",
            Self::Heartbeat => b"testudo/1 heartbeat\0",
            Self::Join => b"testudo/1 join\0",
            Self::Receipt => b"testudo/1 receipt\0",
            Self::Revoked => b"testudo/1 revoked\0",
            Self::Sighting => b"testudo/1 sighting\0",
            Self::Trust => b"testudo/1 trust\0",
            Self::Welcome => b"testudo/1 welcome\0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_a27_no_tag_is_a_prefix_of_another_or_of_what_the_same_key_signs_elsewhere() {
        let tls = [0x20; 64];
        let foreign: [&[u8]; 4] = [&tls, &[0x30], b"\0BLOCK\0", b"\0EXTERNAL\0"];
        for one in Purpose::ALL {
            assert!(one.tag().ends_with(b"\0") && one.tag().starts_with(b"testudo/1 "));
            for other in Purpose::ALL {
                assert!(one == other || !one.tag().starts_with(other.tag()), "{one:?} {other:?}");
            }
            for tag in foreign {
                assert!(!one.tag().starts_with(tag) && !tag.starts_with(one.tag()));
                assert_ne!(one.tag()[0], tag[0], "{one:?}: told apart by the first byte");
            }
            // A Biscuit block of the old signature version starts with a protobuf field of the block:
            // field 1, 2 or 4 to 8 length-delimited, or field 3 as a varint, never with `t` (0x74).
            assert!(![0x0a, 0x12, 0x18, 0x22, 0x2a, 0x32, 0x3a, 0x42].contains(&one.tag()[0]));
        }
    }
}
