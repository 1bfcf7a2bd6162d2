//! A compiled pattern that is looked for in a part of a text, and how many words a match of it may run over.
//!
//! Words are parted by runs of blanks, commas and asterisks that hold a blank; a pattern's gaps stand for parts of such
//! runs. So a match has no greatest length in bytes, but mostly one in words, whatever an attacker fills the gaps with.

use std::ops::Range;
use std::sync::Arc;

use fearless_simd::{Level, Simd, dispatch};
use regex_automata::meta::{self, Regex};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::block::{BYTES, Block};
use super::relaxed::relaxed;
use super::starts::Beginnings;

/// Largest program of one pattern and largest cache of its automaton, in bytes.
const BYTES_MAX: usize = 1 << 21;
/// A match over more words is as good as one over all.
const REACH_MAX: u32 = 400;

/// A pattern that cannot be compiled, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PatternError(String);

/// A pattern for bytes, without Unicode classes and ignoring ASCII case, matched in time linear in the text.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// Matches whatever `regex` does, and more; cheaper to ask.
    relaxed: Option<Regex>,
    reach: Option<u32>,
    span: Span,
    beginnings: Option<Arc<Beginnings>>,
}

/// How long a match may be: nothing where there is no bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// No word of it is further from its first than so many.
    pub(super) words: Option<u32>,
    /// In bytes.
    pub(super) bytes: Option<usize>,
}

impl Pattern {
    /// Compiles it.
    pub(super) fn new(pattern: &str) -> Result<Self, PatternError> {
        let hir = parse(pattern)?;
        let config = meta::Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(BYTES_MAX))
            .hybrid_cache_capacity(BYTES_MAX);
        let build = |hir: &Hir| {
            let regex = Regex::builder().configure(config.clone()).build_from_hir(hir);
            regex.map_err(|_| PatternError(format!("it takes more than {BYTES_MAX} bytes")))
        };
        let reach = words(&hir).map(|words| words + 2);
        // Beginnings are found without regard to the case of ASCII letters alone.
        let ascii = if is_ascii(&hir) { Beginnings::of(&parse_in(pattern, Case::Counts)?) } else { None };
        Ok(Self {
            regex: build(&hir)?,
            // Without it every text is asked the dear way.
            relaxed: relaxed(&hir).and_then(|hir| build(&hir).ok()),
            reach,
            span: Span { words: reach, bytes: hir.properties().maximum_len() },
            beginnings: ascii.map(Arc::new),
        })
    }

    /// The same, of which it is not known how near its literals a match stands.
    pub(super) fn anywhere(self) -> Self {
        Self { reach: None, ..self }
    }

    /// From any word of a match no other is further away than this; nothing where there is no such bound.
    pub(super) const fn reach(&self) -> Option<u32> {
        self.reach
    }

    /// How long a match may be.
    pub(super) const fn span(&self) -> Span {
        self.span
    }

    /// How all matches begin, if that is known.
    pub(super) fn beginnings(&self) -> Option<&Beginnings> {
        self.beginnings.as_deref()
    }

    /// How many words before its beginnings a match may begin; nothing if it begins there.
    pub(super) fn led(&self) -> Option<u32> {
        self.beginnings().and_then(Beginnings::led)
    }

    /// The match that begins where a part of the text does.
    pub(super) fn find_first(&self, text: &[u8], part: Range<usize>) -> Option<Range<usize>> {
        self.search(Input::new(text).range(part).anchored(Anchored::Yes))
    }

    /// The first match within a part of the text. What stands around the part is seen, too.
    pub(super) fn find(&self, text: &[u8], part: Range<usize>) -> Option<Range<usize>> {
        self.search(Input::new(text).range(part))
    }

    fn search(&self, input: Input<'_>) -> Option<Range<usize>> {
        if self.relaxed.as_ref().is_some_and(|relaxed| !relaxed.is_match(input.clone())) {
            return None;
        }
        self.regex.search(&input).map(|found| found.range())
    }

    /// Whether it matches anywhere.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

/// Whether a pattern tells capital letters from small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As the pattern has it.
    Counts,
    /// As rules are matched.
    Ignored,
}

/// Reads a pattern.
pub(super) fn parse(pattern: &str) -> Result<Hir, PatternError> {
    parse_in(pattern, Case::Ignored)
}

/// The same, in either way.
pub(super) fn parse_in(pattern: &str, case: Case) -> Result<Hir, PatternError> {
    let config = syntax::Config::new().unicode(false).utf8(false).case_insensitive(case == Case::Ignored);
    syntax::parse_with(pattern, &config).map_err(|error| {
        let error = error.to_string();
        PatternError(error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
    })
}

/// The same pattern with each part of it replaced for which there is something else; the largest first.
pub(super) fn replaced(hir: &Hir, with: &impl Fn(&Hir) -> Option<Hir>) -> Hir {
    if let Some(other) = with(hir) {
        return other;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(replaced(&repetition.sub, with));
            Hir::repetition(Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => replaced(&capture.sub, with),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(|part| replaced(part, with)).collect()),
        HirKind::Alternation(ways) => Hir::alternation(ways.iter().map(|way| replaced(way, with)).collect()),
    }
}

/// What a gap is made of.
pub(super) const fn is_gap(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b',' | b'*')
}

/// What parts words.
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// Most runs that a match begins, ends or lies in, besides the first; nothing if there may be any number.
pub(super) fn words(hir: &Hir) -> Option<u32> {
    if is_all_gap(hir) {
        // However long, it is part of one run.
        return Some(1);
    }
    let words = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => {
            u32::try_from(literal.0.iter().filter(|byte| is_blank(**byte)).count()).ok()?
        }
        HirKind::Class(class) => u32::from(bytes_of(class).any(is_blank)),
        HirKind::Repetition(repetition) => match (words(&repetition.sub)?, repetition.max) {
            (0, _) => 0,
            // Between two runs stands a byte that is of none.
            (some, Some(most)) if is_byte(&repetition.sub) => some.checked_mul(most.min(most / 2 + 1))?,
            (some, most) => some.checked_mul(most?)?,
        },
        HirKind::Capture(capture) => words(&capture.sub)?,
        HirKind::Concat(parts) => parts.iter().try_fold(0_u32, |sum, part| sum.checked_add(words(part)?))?,
        HirKind::Alternation(ways) => ways.iter().map(words).try_fold(0, |most, way| Some(way?.max(most)))?,
    };
    (words <= REACH_MAX).then_some(words)
}

/// Whether everything that it matches is a part of a gap.
pub(super) fn is_all_gap(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.iter().all(|byte| is_gap(*byte)),
        HirKind::Class(class) => bytes_of(class).all(is_gap),
        HirKind::Repetition(repetition) => is_all_gap(&repetition.sub),
        HirKind::Capture(capture) => is_all_gap(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(is_all_gap),
    }
}

/// Whether no letter in it is another script's: of those, case is not the byte's.
fn is_ascii(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => literal.0.is_ascii(),
        HirKind::Class(Class::Bytes(_)) => true,
        HirKind::Class(Class::Unicode(class)) => class.ranges().iter().all(|range| range.end().is_ascii()),
        HirKind::Repetition(repetition) => is_ascii(&repetition.sub),
        HirKind::Capture(capture) => is_ascii(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(is_ascii),
    }
}

/// Whether whatever it matches is one byte.
fn is_byte(hir: &Hir) -> bool {
    hir.properties().maximum_len() == Some(1)
}

fn bytes_of(class: &Class) -> impl Iterator<Item = u8> {
    let ranges: Vec<(u8, u8)> = match class {
        Class::Bytes(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        // Of ASCII alone, or it were one of bytes.
        Class::Unicode(class) => {
            let narrow = |c: char| u8::try_from(u32::from(c)).unwrap_or(u8::MAX);
            class.ranges().iter().map(|range| (narrow(range.start()), narrow(range.end()))).collect()
        }
    };
    ranges.into_iter().flat_map(|(first, last)| first..=last)
}

/// Where the runs begin that part the words of a text: 64 places at a time, on masks.
pub(super) fn borders(text: &[u8]) -> Vec<u32> {
    dispatch!(Level::new(), simd => borders_with(simd, text))
}

#[inline(always)]
fn borders_with<S: Simd>(simd: S, text: &[u8]) -> Vec<u32> {
    let mut borders = Vec::with_capacity(text.len() / 5);
    // A run that has begun and holds no blank yet.
    let mut open = None;
    let mut before = false;
    for (block, bytes) in text.chunks(BYTES).enumerate() {
        let (gaps, blanks) = gaps_in(simd, bytes);
        let start = block * BYTES;
        let mut first = gaps & !(gaps << 1 | u64::from(before));
        if before && let Some(began) = open {
            // It goes on from the block before.
            let run = gaps.trailing_ones();
            if run > 0 && blanks.trailing_zeros() < run {
                borders.push(began);
            }
            if gaps != u64::MAX || blanks != 0 {
                open = None;
            }
        }
        while first != 0 {
            let at = first.trailing_zeros();
            first &= first - 1;
            let run = (gaps >> at).trailing_ones();
            let began = u32::try_from(start + at as usize).ok();
            if (blanks >> at).trailing_zeros() < run {
                borders.extend(began);
            } else if at + run == u64::BITS {
                open = began;
            }
        }
        before = gaps >> (u64::BITS - 1) == 1;
    }
    borders
}

/// Which of the first [`BYTES`] bytes are of a gap, and which are blanks.
#[inline(always)]
fn gaps_in<S: Simd>(simd: S, bytes: &[u8]) -> (u64, u64) {
    let block = Block::of(simd, bytes, 0);
    let blanks = block.within(b'\t', b'\r') | block.is(b' ');
    (blanks | block.is(b',') | block.is(b'*'), blanks)
}
