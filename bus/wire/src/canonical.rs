//! MessagePack with exactly one encoding per value (measured fact M5, threat A28).
//!
//! [`Reader`] and [`Writer`] walk known shapes without allocating; [`check`] walks any one value;
//! [`decode`] and [`encode`] carry small frames through serde and refuse what would not re-encode to
//! itself. Integers, lengths and extensions take their shortest form, floats are never integral and
//! take four bytes when those lose nothing, map keys ascend strictly, and nothing may follow the value.
//!
//! Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Limits;

/// Why bytes are not the one encoding of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CanonicalError {
    /// The value goes on beyond the bytes.
    #[error("truncated")]
    Truncated,
    /// Bytes follow the value.
    #[error("trailing bytes")]
    Trailing,
    /// A longer form than needed, a wrong order, or a duplicate.
    #[error("not the shortest form")]
    NotShortest,
    /// Another type, or a value out of range.
    #[error("unexpected type or value")]
    Unexpected,
    /// Too deep, too many elements or too long.
    #[error("beyond the limits")]
    Limit,
}

type Result<T> = std::result::Result<T, CanonicalError>;

/// Reads canonical values off the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether exactly these bytes come next; reads them if so.
    pub(crate) fn has(&mut self, bytes: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(bytes);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(CanonicalError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8> {
        self.fixed().map(|[byte]| byte)
    }

    /// A number of 1, 2, 4 or 8 bytes.
    fn big_endian(&mut self, n: usize) -> Result<u64> {
        Ok(match n {
            1 => u64::from(self.byte()?),
            2 => u64::from(u16::from_be_bytes(self.fixed()?)),
            4 => u64::from(u32::from_be_bytes(self.fixed()?)),
            _ => u64::from_be_bytes(self.fixed()?),
        })
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(CanonicalError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A big-endian number of `n` bytes that must not have fitted a smaller form.
    fn at_least(&mut self, n: usize, least: u64) -> Result<u64> {
        let value = self.big_endian(n)?;
        if value < least { Err(CanonicalError::NotShortest) } else { Ok(value) }
    }

    fn length(&mut self, n: usize, least: u64) -> Result<usize> {
        usize::try_from(self.at_least(n, least)?).map_err(|_| CanonicalError::Limit)
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`CanonicalError`], as for all readers below.
    pub fn uint(&mut self) -> Result<u64> {
        match self.byte()? {
            small @ 0..=0x7f => Ok(u64::from(small)),
            0xcc => self.at_least(1, 0x80),
            0xcd => self.at_least(2, 0x100),
            0xce => self.at_least(4, 0x1_0000),
            0xcf => self.at_least(8, 0x1_0000_0000),
            _ => Err(CanonicalError::Unexpected),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn boolean(&mut self) -> Result<bool> {
        match self.byte()? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(CanonicalError::Unexpected),
        }
    }

    /// Whether nil comes next; reads it if so.
    pub fn nil(&mut self) -> bool {
        let nil = self.rest.first() == Some(&0xc0);
        if nil {
            self.rest = &self.rest[1..];
        }
        nil
    }

    /// UTF-8 text.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn str(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.text()?).map_err(|_| CanonicalError::Unexpected)
    }

    /// Text that nobody has looked at yet: it may not be UTF-8.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn text(&mut self) -> Result<&'a [u8]> {
        let len = match self.byte()? {
            fix @ 0xa0..=0xbf => usize::from(fix & 0x1f),
            0xd9 => self.length(1, 0x20)?,
            0xda => self.length(2, 0x100)?,
            0xdb => self.length(4, 0x1_0000)?,
            _ => return Err(CanonicalError::Unexpected),
        };
        self.take(len)
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn bin(&mut self) -> Result<&'a [u8]> {
        let len = match self.byte()? {
            0xc4 => self.length(1, 0)?,
            0xc5 => self.length(2, 0x100)?,
            0xc6 => self.length(4, 0x1_0000)?,
            _ => return Err(CanonicalError::Unexpected),
        };
        self.take(len)
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn bin_of<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bin()?.try_into().map_err(|_| CanonicalError::Unexpected)
    }

    /// The head of an array: its length.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn array(&mut self) -> Result<usize> {
        match self.byte()? {
            fix @ 0x90..=0x9f => Ok(usize::from(fix & 0x0f)),
            0xdc => self.length(2, 0x10),
            0xdd => self.length(4, 0x1_0000),
            _ => Err(CanonicalError::Unexpected),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`CanonicalError::Trailing`] when something is left.
    pub const fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(CanonicalError::Trailing) }
    }

    fn negative(&mut self, n: usize, most: i64) -> Result<()> {
        let raw = self.big_endian(n)?;
        let shift = 64 - 8 * n;
        let value = (raw << shift).cast_signed() >> shift;
        if value > most { Err(CanonicalError::NotShortest) } else { Ok(()) }
    }

    fn float(&mut self, marker: u8) -> Result<()> {
        let value = if marker == 0xca {
            f64::from(f32::from_bits(u32::try_from(self.big_endian(4)?).unwrap_or_default()))
        } else {
            let value = f64::from_bits(self.big_endian(8)?);
            #[expect(clippy::cast_possible_truncation, reason = "asks whether the short form loses anything")]
            let short = f64::from(value as f32);
            if short.to_bits() == value.to_bits() {
                return Err(CanonicalError::NotShortest);
            }
            value
        };
        let integral = value.fract() == 0.0 && value.abs() < 18_446_744_073_709_551_616.0;
        if integral { Err(CanonicalError::NotShortest) } else { Ok(()) }
    }

    fn ext(&mut self, marker: u8) -> Result<()> {
        let len = match marker {
            0xd4..=0xd8 => 1 << (marker - 0xd4),
            0xc7 => match self.length(1, 0)? {
                1 | 2 | 4 | 8 | 16 => return Err(CanonicalError::NotShortest),
                len => len,
            },
            0xc8 => self.length(2, 0x100)?,
            _ => self.length(4, 0x1_0000)?,
        };
        self.take(len + 1).map(|_| ())
    }

    fn value(&mut self, depth: usize, elements: &mut usize) -> Result<()> {
        *elements = elements.checked_sub(1).ok_or(CanonicalError::Limit)?;
        let marker = *self.rest.first().ok_or(CanonicalError::Truncated)?;
        match marker {
            0x00..=0x7f | 0xcc..=0xcf => self.uint().map(|_| ()),
            0xa0..=0xbf | 0xd9..=0xdb => self.str().map(|_| ()),
            0xc4..=0xc6 => self.bin().map(|_| ()),
            0x90..=0x9f | 0xdc | 0xdd => {
                let len = self.array()?;
                let depth = depth.checked_sub(1).ok_or(CanonicalError::Limit)?;
                (0..len).try_for_each(|_| self.value(depth, elements))
            }
            0x80..=0x8f | 0xde | 0xdf => self.map(depth, elements),
            0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => self.byte().map(|_| ()),
            0xca | 0xcb => self.byte().and_then(|marker| self.float(marker)),
            0xd0 => self.byte().and_then(|_| self.negative(1, -33)),
            0xd1 => self.byte().and_then(|_| self.negative(2, -129)),
            0xd2 => self.byte().and_then(|_| self.negative(4, -32_769)),
            0xd3 => self.byte().and_then(|_| self.negative(8, -2_147_483_649)),
            0xc7..=0xc9 | 0xd4..=0xd8 => self.byte().and_then(|marker| self.ext(marker)),
            0xc1 => Err(CanonicalError::Unexpected),
        }
    }

    fn map(&mut self, depth: usize, elements: &mut usize) -> Result<()> {
        let len = match self.byte()? {
            fix @ 0x80..=0x8f => usize::from(fix & 0x0f),
            0xde => self.length(2, 0x10)?,
            _ => self.length(4, 0x1_0000)?,
        };
        let depth = depth.checked_sub(1).ok_or(CanonicalError::Limit)?;
        let mut last: Option<&[u8]> = None;
        for _ in 0..len {
            let before = self.rest;
            self.value(depth, elements)?;
            let key = &before[..before.len() - self.rest.len()];
            if last.is_some_and(|last| last >= key) {
                return Err(CanonicalError::NotShortest);
            }
            last = Some(key);
            self.value(depth, elements)?;
        }
        Ok(())
    }
}

/// Whether `bytes` are the one encoding of one value, within the limits.
///
/// # Errors
/// [`CanonicalError`] naming the first fault.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<()> {
    let mut reader = Reader::new(bytes);
    let mut elements = limits.elements_max;
    reader.value(limits.depth_max, &mut elements)?;
    reader.finish()
}

/// Decodes one frame and refuses every encoding of it but the one [`encode`] makes.
///
/// # Errors
/// [`CanonicalError`].
pub fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8], limits: &Limits) -> Result<T> {
    check(bytes, limits)?;
    let value: T =
        rmp_serde::from_read(std::io::Cursor::new(bytes)).map_err(|_| CanonicalError::Unexpected)?;
    if encode(&value)? == bytes { Ok(value) } else { Err(CanonicalError::NotShortest) }
}

/// Encodes one frame: structs as arrays, integers shortest.
///
/// # Errors
/// [`CanonicalError::Unexpected`] for what MessagePack cannot hold.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec(value).map_err(|_| CanonicalError::Unexpected)
}

/// The same, behind what `out` holds already and in its room.
///
/// # Errors
/// [`CanonicalError::Unexpected`]; `out` may end in a part then.
pub fn encode_to<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    rmp_serde::encode::write(out, value).map_err(|_| CanonicalError::Unexpected)
}

/// Appends canonical values to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Goes on behind what a buffer holds already, and in its room.
    #[must_use]
    pub const fn over(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How much was written so far, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes over bytes that were written before; those beyond the end are left out.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        for (old, new) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *old = *new;
        }
    }

    /// Writes again what was written there.
    pub(crate) fn again(&mut self, at: Range<usize>) {
        self.bytes.extend_from_within(at);
    }

    fn head(&mut self, marker: u8, number: &[u8]) {
        self.bytes.push(marker);
        self.bytes.extend_from_slice(number);
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) {
        let bytes = value.to_be_bytes();
        match value {
            0..=0x7f => self.bytes.push(bytes[7]),
            0x80..=0xff => self.head(0xcc, &bytes[7..]),
            0x100..=0xffff => self.head(0xcd, &bytes[6..]),
            0x1_0000..=0xffff_ffff => self.head(0xce, &bytes[4..]),
            _ => self.head(0xcf, &bytes),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.bytes.push(0xc2 + u8::from(value));
    }

    /// Nil.
    pub fn nil(&mut self) {
        self.bytes.push(0xc0);
    }

    /// Text of at most 65,535 bytes; what is longer is cut by nobody: callers hold bounded names.
    pub fn str(&mut self, text: &str) {
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let [high, low] = len.to_be_bytes();
        match len {
            0..=0x1f => self.bytes.push(0xa0 | low),
            0x20..=0xff => self.head(0xd9, &[low]),
            _ => self.head(0xda, &[high, low]),
        }
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Bytes, at most 65,535.
    pub fn bin(&mut self, bytes: &[u8]) {
        self.bin_head(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        self.bytes.extend_from_slice(bytes);
    }

    fn bin_head(&mut self, len: u16) {
        let [high, low] = len.to_be_bytes();
        match len {
            0..=0xff => self.head(0xc4, &[low]),
            _ => self.head(0xc5, &[high, low]),
        }
    }

    /// As many bytes, zero until the caller fills them.
    pub fn bin_room(&mut self, len: u16) -> &mut [u8] {
        self.bin_head(len);
        let at = self.bytes.len();
        self.bytes.resize(at + usize::from(len), 0);
        &mut self.bytes[at..]
    }

    /// The head of an array of `len` elements, at most 65,535.
    pub fn array(&mut self, len: u16) {
        let [high, low] = len.to_be_bytes();
        match len {
            0..=0x0f => self.bytes.push(0x90 | low),
            _ => self.head(0xdc, &[high, low]),
        }
    }

    /// The head of a map of `len` entries, at most 15.
    pub fn map(&mut self, len: u8) {
        self.bytes.push(0x80 | len.min(0x0f));
    }

    /// Bytes as they are: a body after its header.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Path of a vector suite, or `None` (loudly) where a user's clone has no `../shared`.
    fn suite(name: &str) -> Option<String> {
        let path = format!("{}/../../../shared/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(_) => {
                assert!(std::env::var_os("CI").is_none(), "CI must have the vector suite {name}");
                eprintln!("SKIPPED: vector suite {name} is not here");
                None
            }
        }
    }

    #[test]
    fn t_a28_the_messagepack_suite_one_encoding_per_value() {
        let Some(text) = suite("msgpack-test-suite.json") else { return };
        let suite: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (mut values, mut encodings) = (0, 0);
        for case in suite.as_object().unwrap().values().flat_map(|group| group.as_array().unwrap()) {
            let forms = case["msgpack"].as_array().unwrap();
            let accepted = forms
                .iter()
                .filter(|form| {
                    let bytes = hex::decode(form.as_str().unwrap().replace('-', "")).unwrap();
                    check(&bytes, &Limits::standard()).is_ok()
                })
                .count();
            assert_eq!(accepted, 1, "{case}");
            values += 1;
            encodings += forms.len();
        }
        assert_eq!((values, encodings), (85, 233));
    }

    #[test]
    fn t_m06_lies_and_bombs_end_at_once() {
        let limits = Limits::standard();
        for lie in ["c6ffffffff", "dbffffffff", "ddffffffff", "dfffffffff", "c9ffffffff01"] {
            assert_eq!(check(&hex::decode(lie).unwrap(), &limits), Err(CanonicalError::Truncated), "{lie}");
        }
        assert_eq!(check(&[0x91; 100_000], &limits), Err(CanonicalError::Limit));
        let mut wide = vec![0xdd, 0, 1, 0, 0];
        wide.resize(70_000, 0x90);
        assert_eq!(check(&wide, &limits), Err(CanonicalError::Limit));
    }

    #[test]
    fn t_m05_maps_have_one_order_and_no_duplicates() {
        let limits = Limits::standard();
        assert_eq!(check(&[0x82, 0xa1, b'a', 1, 0xa1, b'b', 2], &limits), Ok(()));
        assert!(check(&[0x82, 0xa1, b'b', 1, 0xa1, b'a', 2], &limits).is_err());
        assert!(check(&[0x82, 0xa1, b'a', 1, 0xa1, b'a', 2], &limits).is_err());
        assert_eq!(check(&[1, 2], &limits), Err(CanonicalError::Trailing));
    }

    proptest! {
        #[test]
        fn what_the_writer_writes_the_reader_reads(n: u64, text in "[ -~]{0,300}", bytes: Vec<u8>, flag: bool) {
            let mut writer = Writer::default();
            writer.array(20);
            writer.uint(n);
            writer.str(&text);
            writer.bin(&bytes);
            writer.boolean(flag);
            let written = writer.into_bytes();
            let mut reader = Reader::new(&written);
            prop_assert_eq!(reader.array(), Ok(20));
            prop_assert_eq!(reader.uint(), Ok(n));
            prop_assert_eq!(reader.str(), Ok(text.as_str()));
            prop_assert_eq!(reader.bin(), Ok(bytes.as_slice()));
            prop_assert_eq!(reader.boolean(), Ok(flag));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn no_bytes_make_the_checker_panic(bytes: Vec<u8>) {
            let _ = check(&bytes, &Limits::standard());
        }
    }
}
