//! A walk over a JSON document for its strings. Strict (RFC 8259), borrows what needs no unescaping, allocates only in
//! the buffers of [`Leaves`].

use super::decode::{DEPTH_MAX, Leaves, Place, Refused};

/// Feeds the strings of the one document in `text` to `leaves`.
pub(super) fn walk(text: &str, leaves: &mut Leaves) -> Result<(), Refused> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.value(leaves, Place::Field)?;
    reader.blanks();
    if reader.at == text.len() { Ok(()) } else { Err(Refused::Malformed) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Where the next quotation mark, backslash or control character stands.
fn piece_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // The classic test, eight bytes at a time: the high bit of each byte that is below `n`. A byte after such a one
    // may be marked wrongly, and one from 128 on never is: the first mark is right, and that is all it is used for.
    let below = |word: u64, n: u8| word.wrapping_sub(ONES.wrapping_mul(u64::from(n))) & !word & HIGHS;
    let is = |word: u64, byte: u8| below(word ^ ONES.wrapping_mul(u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = below(word, 0x20) | is(word, b'"') | is(word, b'\\');
        if marks != 0 {
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    end.map(|end| words.len() * 8 + end)
}

/// What a string reads as: a piece of the document, or what was put together of it.
enum Read<'a> {
    Piece(&'a str),
    Unescaped(String),
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> Result<u8, Refused> {
        self.blanks();
        let byte = self.peek().ok_or(Refused::Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn value(&mut self, leaves: &mut Leaves, place: Place) -> Result<(), Refused> {
        leaves.count()?;
        match self.next()? {
            b'"' => match self.string(leaves)? {
                Read::Piece(text) => leaves.value(text, place),
                Read::Unescaped(text) => {
                    let outcome = leaves.value(&text, place);
                    leaves.give_back(text);
                    outcome
                }
            },
            b'{' => self.fields(leaves),
            b'[' => self.items(leaves),
            b't' => self.word("rue"),
            b'f' => self.word("alse"),
            b'n' => self.word("ull"),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            _ => Err(Refused::Malformed),
        }
    }

    fn enter(&mut self, leaves: &mut Leaves) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(leaves.over()) } else { Ok(()) }
    }

    fn items(&mut self, leaves: &mut Leaves) -> Result<(), Refused> {
        self.enter(leaves)?;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value(leaves, Place::Item)?;
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return Err(Refused::Malformed),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn fields(&mut self, leaves: &mut Leaves) -> Result<(), Refused> {
        self.enter(leaves)?;
        let mut next = self.next()?;
        if next != b'}' {
            loop {
                if next != b'"' {
                    return Err(Refused::Malformed);
                }
                self.key(leaves)?;
                if self.next()? != b':' {
                    return Err(Refused::Malformed);
                }
                self.value(leaves, Place::Field)?;
                match self.next()? {
                    b',' => next = self.next()?,
                    b'}' => break,
                    _ => return Err(Refused::Malformed),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn key(&mut self, leaves: &mut Leaves) -> Result<(), Refused> {
        leaves.count()?;
        match self.string(leaves)? {
            Read::Piece(text) => leaves.key(text),
            Read::Unescaped(text) => {
                leaves.key(&text);
                leaves.give_back(text);
            }
        }
        Ok(())
    }

    fn word(&mut self, rest: &str) -> Result<(), Refused> {
        let ahead = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !ahead.starts_with(rest.as_bytes()) {
            return Err(Refused::Malformed);
        }
        self.at += rest.len();
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self, first: u8) -> Result<(), Refused> {
        let first = if first == b'-' { self.peek().inspect(|_| self.at += 1) } else { Some(first) };
        match first {
            Some(b'0') => {}
            Some(b'1'..=b'9') => {
                self.digits();
            }
            _ => return Err(Refused::Malformed),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(Refused::Malformed);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(Refused::Malformed);
            }
        }
        Ok(())
    }

    /// From behind its opening quotation mark.
    fn string(&mut self, leaves: &mut Leaves) -> Result<Read<'a>, Refused> {
        let piece = self.piece()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Read::Piece(piece));
        }
        let mut text = leaves.buffer();
        text.push_str(piece);
        while self.peek() == Some(b'\\') {
            self.at += 1;
            let c = self.escape()?;
            text.push(c);
            text.push_str(self.piece()?);
        }
        self.at += 1;
        Ok(Read::Unescaped(text))
    }

    /// Up to the next quotation mark or backslash.
    fn piece(&mut self) -> Result<&'a str, Refused> {
        let rest = self.text.as_bytes().get(self.at..).ok_or(Refused::Malformed)?;
        let end = self.at + piece_end(rest).ok_or(Refused::Malformed)?;
        let piece = self.text.get(self.at..end).ok_or(Refused::Malformed)?;
        self.at = end;
        match self.peek() {
            Some(b'"' | b'\\') => Ok(piece),
            Some(_) | None => Err(Refused::Malformed),
        }
    }

    fn escape(&mut self) -> Result<char, Refused> {
        let byte = self.peek().ok_or(Refused::Malformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xD800..0xDC00).contains(&first) {
                    self.word("\\u")?;
                    let second = self.hex()?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err(Refused::Malformed);
                    }
                    0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                } else {
                    first
                };
                char::from_u32(code).ok_or(Refused::Malformed)?
            }
            _ => return Err(Refused::Malformed),
        })
    }

    fn hex(&mut self) -> Result<u32, Refused> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Refused::Malformed)?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |n, digit| Some((n << 4) | char::from(*digit).to_digit(16)?))
            .ok_or(Refused::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::piece_end;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_bytes_at_a_time_end_where_one_at_a_time_do(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), 0x1e..0x24_u8, 0x7e..0x84_u8, 0x20..0x7f_u8], 0..80,
        )) {
            let one = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            prop_assert_eq!(piece_end(&bytes), one);
        }
    }
}
