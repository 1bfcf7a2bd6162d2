//! Identifiers: one newtype per role, so that a session can never be taken for a message.
//!
//! All are opaque random or derived bytes; nothing here may know how they are made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Text that is not the hex form of an identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected {expected} hex digits")]
pub struct IdError {
    expected: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes the raw bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first eight hex digits, for people and logs.
            #[must_use]
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}..)"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError { expected: 2 * $len })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_bytes(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_bytes(deserializer).map(Self)
            }
        }
    };
}

/// Bytes for machines, hex for people.
pub(crate) fn serialize_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&hex::encode(bytes))
    } else {
        serializer.serialize_bytes(bytes)
    }
}

/// The inverse of [`serialize_bytes`].
pub(crate) fn deserialize_bytes<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    struct Exactly<const N: usize>;
    impl<const N: usize> de::Visitor<'_> for Exactly<N> {
        type Value = [u8; N];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }
        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
            bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; N], E> {
            let mut bytes = [0; N];
            hex::decode_to_slice(text, &mut bytes).map_err(|_| E::invalid_length(text.len(), &self))?;
            Ok(bytes)
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Exactly)
    } else {
        deserializer.deserialize_bytes(Exactly)
    }
}

id!(
    /// A hash in the tree of the audit log (SHA-256, RFC 6962): its root above all.
    LogRoot,
    32
);
id!(
    /// A swarm: the fingerprint of its authority key, see [`SwarmId::of`].
    SwarmId,
    32
);
id!(
    /// One login of one agent at one node: 16 random bytes of the node, never reused.
    SessionId,
    16
);
id!(
    /// One message: 16 random bytes of its sender.
    MessageId,
    16
);
id!(
    /// What ties the messages of one piece of work together, across agents.
    CorrelationId,
    16
);
id!(
    /// A sealed token: BLAKE3 of its bytes.
    TokenId,
    32
);
id!(
    /// The `id` fact of a token block: what revocation lists hold.
    TokenFactId,
    16
);
id!(
    /// One invitation to join a swarm: 16 random bytes of the node that made it. No secret.
    InvitationId,
    16
);
id!(
    /// A CA's certificate, see [`CaFingerprint::of`].
    CaFingerprint,
    32
);
id!(
    /// A leaf or subtree of a bundle's Merkle tree. A leaf digest is the only digest of a message.
    Digest,
    32
);

impl SwarmId {
    /// The fingerprint of an authority key: BLAKE3 `derive_key("testudo/1 swarm", key)`.
    #[must_use]
    pub fn of(authority: &crate::PublicKey) -> Self {
        Self(blake3::derive_key("testudo/1 swarm", authority.as_bytes()))
    }
}

impl CaFingerprint {
    /// The fingerprint of a CA certificate: BLAKE3 `derive_key("testudo/1 ca", DER)`.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(blake3::derive_key("testudo/1 ca", certificate))
    }
}

impl TokenId {
    /// The id of a sealed token's bytes: plain BLAKE3.
    #[must_use]
    pub fn of(sealed: &[u8]) -> Self {
        Self(*blake3::hash(sealed).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_for_people_and_bytes_for_machines() {
        let id = MessageId::new([0xab; 16]);
        assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        let packed = rmp_serde::to_vec(&id).unwrap();
        assert_eq!(packed[..2], [0xc4, 16]);
        assert!("zz".parse::<MessageId>().is_err());
        assert!("ab".parse::<MessageId>().is_err());
    }
}
