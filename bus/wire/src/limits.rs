//! Every size and count that a stranger could otherwise choose. Decoders take them as an argument.

/// Bounds of the wire. `standard()` must agree across a swarm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Envelopes in one bundle; bounds the tree and one mailbox message.
    pub bundle_envelopes_max: u16,
    /// Bytes of one bundle on lane 0; bounds what is buffered before the signature is checked.
    pub bundle_bytes_max: usize,
    /// Bytes of one body on lane 0; larger bodies need a lane of their own.
    pub body_bytes_max: usize,
    /// Bytes of one header; all its fields are bounded, this is their sum.
    pub header_bytes_max: usize,
    /// Bytes of one control frame.
    pub control_bytes_max: usize,
    /// Bytes of one sealed token (measured fact M3: 1,071 bytes burned 12.9 s of CPU).
    pub token_bytes_max: usize,
    /// Blocks of one token, the authority block included.
    pub token_blocks_max: usize,
    /// Depth of a MessagePack value.
    pub depth_max: usize,
    /// Elements of a MessagePack value, all levels together (measured fact M6: 24-fold growth).
    pub elements_max: usize,
    /// Bytes of bodies by which an answer in parts may be ahead of what its requester has taken in.
    pub stream_window_bytes: usize,
    /// Bytes of the annotations before a delivered bundle: one token for each sender it introduces.
    pub annotation_bytes_max: usize,
}

impl Limits {
    /// The limits of protocol version 1.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            bundle_envelopes_max: 256,
            bundle_bytes_max: 256 * 1024,
            body_bytes_max: 64 * 1024,
            header_bytes_max: 1024,
            control_bytes_max: 64 * 1024,
            token_bytes_max: 4096,
            token_blocks_max: 8,
            depth_max: 16,
            elements_max: 10_000,
            stream_window_bytes: 256 * 1024,
            annotation_bytes_max: 192 * 1024,
        }
    }

    /// The limits of lanes 1 to 4: one envelope a bundle, with a body of at most so many bytes.
    #[must_use]
    pub const fn of_lanes(body_bytes_max: usize) -> Self {
        let mut limits = Self::standard();
        limits.bundle_envelopes_max = 1;
        limits.body_bytes_max = body_bytes_max;
        limits.bundle_bytes_max = body_bytes_max + limits.header_bytes_max + 128;
        limits
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::standard()
    }
}
