//! A bounded walk over a MessagePack body for its strings. Borrows; allocates only what the leaves need.
//!
//! Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>. Anything the format does not define, any
//! rest after the first value, and text that is not UTF-8 is refused.

use super::decode::{DEPTH_MAX, Leaves, Place, Refused};

/// An open array or map.
struct Frame {
    /// Elements still to come; a map of n fields has 2n.
    left: usize,
    map: Option<Field>,
}

/// Which half of a field comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Key,
    Value,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Refused> {
        let (head, rest) = self.rest.split_at_checked(bytes).ok_or(Refused::Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, Refused> {
        let head = self.take(bytes)?;
        Ok(head.iter().fold(0usize, |n, byte| (n << 8) | usize::from(*byte)))
    }
}

enum Item<'a> {
    Plain,
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Array(usize),
    Map(usize),
}

/// Feeds the strings of the one value in `body` to `leaves`.
pub(super) fn walk(body: &[u8], leaves: &mut Leaves) -> Result<(), Refused> {
    let mut reader = Reader { rest: body };
    let mut open: Vec<Frame> = Vec::new();
    loop {
        let item = next(&mut reader)?;
        leaves.count()?;
        let field = open.last_mut().and_then(step);
        let place = if field.is_some() || open.is_empty() { Place::Field } else { Place::Item };
        match item {
            Item::Plain => {}
            Item::Str(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Refused::InvalidUtf8)?;
                take_text(leaves, text, field, place)?;
            }
            // Raw bytes are text only if they happen to be.
            Item::Bin(bytes) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    take_text(leaves, text, field, place)?;
                }
            }
            Item::Array(left) => enter(&mut open, Frame { left, map: None })?,
            Item::Map(fields) => {
                let left = fields.checked_mul(2).ok_or(Refused::OverLimit)?;
                enter(&mut open, Frame { left, map: Some(Field::Key) })?;
            }
        }
        while open.last().is_some_and(|frame| frame.left == 0) {
            open.pop();
        }
        if open.is_empty() {
            return if reader.rest.is_empty() { Ok(()) } else { Err(Refused::Malformed) };
        }
    }
}

/// Counts one element off the frame and says which half of a field it was, if it is a map.
const fn step(frame: &mut Frame) -> Option<Field> {
    frame.left -= 1;
    let now = frame.map;
    frame.map = match now {
        Some(Field::Key) => Some(Field::Value),
        Some(Field::Value) => Some(Field::Key),
        None => None,
    };
    now
}

fn enter(open: &mut Vec<Frame>, frame: Frame) -> Result<(), Refused> {
    if open.len() == DEPTH_MAX {
        return Err(Refused::OverLimit);
    }
    open.push(frame);
    Ok(())
}

fn take_text(leaves: &mut Leaves, text: &str, field: Option<Field>, place: Place) -> Result<(), Refused> {
    if field == Some(Field::Key) {
        leaves.key(text);
        return Ok(());
    }
    leaves.value(text, place)
}

fn next<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, Refused> {
    let marker = reader.number(1)?;
    let low = marker & 0x0f;
    Ok(match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Item::Plain,
        0x80..=0x8f => Item::Map(low),
        0x90..=0x9f => Item::Array(low),
        0xa0..=0xbf => Item::Str(reader.take(marker & 0x1f)?),
        0xc4..=0xc6 => {
            let length = reader.number(1 << (marker - 0xc4))?;
            Item::Bin(reader.take(length)?)
        }
        0xc7..=0xc9 => {
            let length = reader.number(1 << (marker - 0xc7))?;
            reader.take(1)?;
            Item::Bin(reader.take(length)?)
        }
        0xca | 0xce | 0xd2 => skip(reader, 4)?,
        0xcb | 0xcf | 0xd3 => skip(reader, 8)?,
        0xcc | 0xd0 => skip(reader, 1)?,
        0xcd | 0xd1 => skip(reader, 2)?,
        0xd4..=0xd8 => {
            reader.take(1)?;
            Item::Bin(reader.take(1 << (marker - 0xd4))?)
        }
        0xd9..=0xdb => {
            let length = reader.number(1 << (marker - 0xd9))?;
            Item::Str(reader.take(length)?)
        }
        0xdc | 0xdd => Item::Array(reader.number(2 << (marker - 0xdc))?),
        0xde | 0xdf => Item::Map(reader.number(2 << (marker - 0xde))?),
        // 0xc1 is the one marker the format never uses.
        _ => return Err(Refused::Malformed),
    })
}

fn skip<'a>(reader: &mut Reader<'a>, bytes: usize) -> Result<Item<'a>, Refused> {
    reader.take(bytes)?;
    Ok(Item::Plain)
}
