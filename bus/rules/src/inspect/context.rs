//! What was said just before: a bounded tail of text for each pair of sender and receiver, so that a payload split
//! over consecutive messages is seen. Pure: who owns it decides whose messages it sees, and in what order.
//!
//! Most messages are quiet: nothing in them could be half of anything. For those only the border with the tail is
//! read; the whole is read again where either side is not.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::begun::Begun;
use super::border;
use super::disguise;
use super::gate::{Bits, Gate, HEARD_MAX, State, Woken};
use super::rules::RuleSet;
use super::scan::{self, Plain, Sides, Trace};
use super::tails::{Fair, Talk};
use super::{Alert, Inspection, Inspector, Kind, Scratch, Severity, Span};

/// Longest tail kept of one pair, in bytes.
pub const TAIL_BYTES_MAX: usize = 512;
/// Most pairs of which a tail is kept. The least recent one of a sender that has its share of them gives way.
pub const PAIRS_MAX: usize = 1_024;

/// Stands in a tail where one message ended. A text may have been parted between words or within one.
pub(super) const BORDER: char = '\u{1f}';
/// What may have stood there.
const GAPS: [&str; 2] = ["", " "];
/// Texts shorter than this, in bytes, may be crumbs of a disguise that shows only when they are put together.
const CRUMB_BYTES: usize = 32;
/// The rule that names such a verdict.
const RULE: &str = "context";

/// What one body says, as far as those after it may need it.
#[derive(Clone, Debug, Default)]
pub struct Said<'t> {
    head: Cow<'t, str>,
    end: Cow<'t, str>,
    bytes: usize,
    trace: Trace,
    /// Where its end has left the gate.
    state: State,
}

impl<'t> Said<'t> {
    pub(super) fn of(text: &'t str, mut trace: Trace, state: State) -> Self {
        trace.veiled |= is_crumb(text);
        let (head, end) = (head_of(text, TAIL_BYTES_MAX), end_of(text, TAIL_BYTES_MAX));
        if text.len() > TAIL_BYTES_MAX {
            // What is rare in the whole may be frequent in what is kept of it.
            trace.veiled |= [head, end].into_iter().any(disguise::may_begin_or_end);
        }
        Self { head: head.into(), end: end.into(), bytes: text.len(), trace, state }
    }

    /// The same, without the body it was read from.
    #[must_use]
    pub fn into_owned(self) -> Said<'static> {
        let (head, end) = (self.head.into_owned().into(), self.end.into_owned().into());
        Said { head, end, bytes: self.bytes, trace: self.trace, state: self.state }
    }

    /// The same, of a body that was read by the rules of `by`: nothing that other rules found quiet counts as quiet.
    pub(crate) fn under(mut self, inspector: &Inspector, by: &Rules) -> Self {
        if !by.are_of(inspector) {
            let gate = inspector.rules.gate();
            let mut woken = gate.hear(self.end.as_bytes()).woken;
            woken.join(&gate.hear(self.head.as_bytes()).woken);
            let lone = inspector.rules.all_lone();
            self.trace = Trace { woken, stirred: true, folds: true, veiled: true, marked: true, lone };
            self.state = gate.end_of(self.end.as_bytes());
        }
        self
    }
}

/// Which rules something was read by, without what they say.
#[derive(Clone)]
pub(crate) struct Rules(Arc<Gate>);

impl Rules {
    /// Those of an inspector.
    pub(crate) fn of(inspector: &Inspector) -> Self {
        Self(inspector.rules.gate().clone())
    }

    fn are_of(&self, inspector: &Inspector) -> bool {
        Arc::ptr_eq(&self.0, inspector.rules.gate())
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}

#[derive(Debug, Default)]
struct Tail {
    text: String,
    /// The literals of at least what is in the tail: those of the last so many bytes, and of as many before.
    woken: [Woken; 2],
    /// The concepts and parts that may stand in the same.
    lone: [Bits; 2],
    /// Bytes of the first of them.
    bytes: usize,
    /// Bytes until what was worth a look has left the tail, ...
    stirred: usize,
    /// ... what reads otherwise than it stands, ...
    folds: usize,
    /// ... what is in disguise, ...
    veiled: usize,
    /// ... and markup.
    marked: usize,
    begun: Begun,
    /// Where its end has left the gate, for each of the [`GAPS`].
    states: [State; 2],
}

/// What was learnt of a tail and a text, read beside each other.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    /// Concepts and parts of which a match may run over the border, ...
    crossing: Bits,
    /// ... and those of which none stands on either side, however they are joined.
    absent: Option<Bits>,
    /// Something that shows on neither side may run over the border.
    parted: bool,
    /// A letter on the border may read otherwise than it stands.
    folds: bool,
    /// Markup may run over the border.
    marked: bool,
}

impl Beside {
    /// What the border shows by itself.
    fn at(tail: &str, head: &str) -> Self {
        let (parted, folds) = (border::may_cross(tail, head), border::may_fold(tail, head));
        Self { parted, folds, ..Self::default() }
    }

    /// Whether tail and text may be more together, put together in one way, and what that tells of each.
    fn learn(&mut self, rules: &RuleSet, sides: &Sides<'_>, joined: &str, border: Range<usize>) -> bool {
        let both = scan::may_add(rules, joined, border, sides);
        self.crossing.join(&both.lone);
        self.marked |= both.marked;
        // The tail may be of several messages, which are joined in the same way.
        self.absent = Some(self.absent.map_or(both.absent, |absent| absent.meet(&both.absent)));
        both.adds
    }
}

/// The tails of many pairs, each known by a key of the caller's.
pub struct Context<K: Talk> {
    tails: Fair<K, Tail>,
    /// Who talks just now, mostly for many messages: its tail is not in its place meanwhile.
    talking: Option<(K, Tail)>,
    /// The rules by which the tails were read.
    by: Option<Rules>,
    scratch: Scratch,
}

impl<K: Talk> fmt::Debug for Context<K> {
    /// How many there are: tails are text of bodies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("pairs", &self.tails.len()).finish_non_exhaustive()
    }
}

impl<K: Talk> Default for Context<K> {
    fn default() -> Self {
        Self { tails: Fair::default(), talking: None, by: None, scratch: Scratch::default() }
    }
}

impl<K: Talk> Context<K> {
    /// Vets a body by itself and after what this pair was told before, and remembers its end if it may be delivered.
    /// A verdict that needed the tail says so.
    pub fn inspect(
        &mut self,
        inspector: &Inspector,
        scratch: &mut Scratch,
        pair: &K,
        content_type: &str,
        body: &[u8],
    ) -> Inspection {
        let (alone, said) = inspector.vet(scratch, "", content_type, body);
        self.follow(inspector, pair, "", &said, alone)
    }

    /// The same for a body that was vetted alone, under `capability`, and said this.
    pub fn follow(
        &mut self,
        inspector: &Inspector,
        pair: &K,
        capability: &str,
        said: &Said<'_>,
        alone: Inspection,
    ) -> Inspection {
        if alone.blocks() || said.bytes == 0 {
            return alone;
        }
        if !self.by.as_ref().is_some_and(|by| by.are_of(inspector)) {
            self.rules_changed(inspector);
        }
        let tail = self.tail(pair);
        let is_first = tail.text.is_empty();
        let border = if is_first { Woken::default() } else { tail.border(inspector, said) };
        let mut beside = Beside::default();
        if !is_first {
            let woken = tail.woken_beside(said, &border);
            beside = Beside::at(&tail.text, &said.head);
            if !tail.stirs(inspector, said, &woken, &beside) {
                beside.crossing = inspector.rules.lone_of(&woken);
            } else if let Some(together) =
                tail.after(inspector, capability, said, &alone, &woken, &mut beside)
            {
                tail.begun.keep(0..tail.text.len());
                return marked(together);
            }
        }
        tail.append(inspector.rules.gate(), said, &border, &beside);
        alone
    }

    /// Takes the buffers that the bundle before has left.
    pub(crate) fn scratch(&mut self) -> Scratch {
        std::mem::take(&mut self.scratch)
    }

    /// Gives them back for the next.
    pub(crate) fn give_back(&mut self, scratch: Scratch) {
        self.scratch = scratch;
    }

    /// The tail of a pair, which may be new.
    fn tail(&mut self, pair: &K) -> &mut Tail {
        if !self.talking.as_ref().is_some_and(|(talking, _)| talking == pair) {
            self.rest();
            let tail = std::mem::take(self.tails.get(pair));
            self.talking = Some((pair.clone(), tail));
        }
        let (_, tail) = self.talking.get_or_insert_with(|| (pair.clone(), Tail::default()));
        tail
    }

    /// Puts the tail of who talks back into its place.
    fn rest(&mut self) {
        if let Some((pair, tail)) = self.talking.take() {
            *self.tails.get(&pair) = tail;
        }
    }

    /// Other rules are in use: whatever was quiet under the old ones is looked at again.
    fn rules_changed(&mut self, inspector: &Inspector) {
        self.rest();
        self.tails.iter_mut().for_each(|tail| tail.read_again(&inspector.rules));
        self.by = Some(Rules::of(inspector));
    }

    /// How many pairs are remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tails.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tails.len() == 0
    }
}

impl Tail {
    /// The literals that begin in the tail and end in what follows.
    fn border(&self, inspector: &Inspector, said: &Said<'_>) -> Woken {
        let gate = inspector.rules.gate();
        let mut woken = Woken::default();
        for (state, gap) in self.states.into_iter().zip(GAPS) {
            let state = gate.after(state, gap.as_bytes());
            gate.note(state, &mut woken);
            gate.across(state, said.head.as_bytes(), &mut woken);
        }
        woken
    }

    /// Whether tail and text together could be more than each alone. Evidence counts where one of them alone holds
    /// the words of concepts enough for an alert: long ordinary talks hold those of many.
    fn stirs(&self, inspector: &Inspector, said: &Said<'_>, woken: &Woken, beside: &Beside) -> bool {
        self.stirred > 0
            || said.trace.stirred
            || !self.is_plain(said, beside)
            || self.is_veiled(said, beside)
            || inspector.rules.may_match(woken)
            || self.document(said).is_some()
    }

    /// Whether tail and text read as they stand, alone and together.
    const fn is_plain(&self, said: &Said<'_>, beside: &Beside) -> bool {
        self.folds == 0 && !said.trace.folds && !beside.folds
    }

    /// Whether something in them, or over the border, may be in disguise.
    const fn is_veiled(&self, said: &Said<'_>, beside: &Beside) -> bool {
        self.veiled > 0 || said.trace.veiled || beside.parted
    }

    /// The literals in tail and text, and over the border.
    fn woken_beside(&self, said: &Said<'_>, border: &Woken) -> Woken {
        let mut woken = *border;
        self.woken.iter().for_each(|own| woken.join(own));
        woken.join(&said.trace.woken);
        woken
    }

    /// Forgets what other rules found in it.
    fn read_again(&mut self, rules: &RuleSet) {
        let gate = rules.gate();
        [self.stirred, self.folds, self.veiled, self.marked] = [TAIL_BYTES_MAX; 4];
        self.begun = Begun::default();
        self.states = GAPS.map(|gap| gate.end_of(self.text.replace(BORDER, gap).as_bytes()));
        self.woken = GAPS.map(|gap| gate.hear(self.text.replace(BORDER, gap).as_bytes()).woken);
        // What is hidden in it wakes nothing as it stands.
        self.lone = [rules.all_lone(); 2];
        self.bytes = 0;
    }

    /// The verdict on the text together with what came before, if that makes it grave. What the tail alone holds
    /// counted when it came, and two things that a capability may say are not one that it may not.
    fn after(
        &mut self,
        inspector: &Inspector,
        capability: &str,
        said: &Said<'_>,
        alone: &Inspection,
        woken: &Woken,
        beside: &mut Beside,
    ) -> Option<Inspection> {
        let is_plain = self.is_plain(said, beside) && self.look_on(&inspector.rules, said);
        let sides = self.sides(said, woken, alone, is_plain, beside);
        let may_add =
            |joined: &str, border: Range<usize>| beside.learn(&inspector.rules, &sides, joined, border);
        self.after_where(inspector, capability, said, alone, may_add)
    }

    /// Looks for where matches may begin in what follows the tail; says whether all such places are known.
    fn look_on(&mut self, rules: &RuleSet, said: &Said<'_>) -> bool {
        self.begun.read_on(rules.starts(), &format!("{}{BORDER}{}", self.text, said.head))
    }

    /// What is known of the tail and of what follows, each by itself.
    fn sides<'a>(
        &'a self,
        said: &Said<'_>,
        woken: &'a Woken,
        alone: &'a Inspection,
        is_plain: bool,
        beside: &Beside,
    ) -> Sides<'a> {
        let marked = self.marked > 0 || said.trace.marked;
        let plain = is_plain.then_some(Plain { woken, begun: &self.begun, marked });
        let veiled = self.is_veiled(said, beside);
        Sides { lone: self.lone_beside(said), alerts: alone.alerts(), plain, veiled }
    }

    /// The concepts and parts that may stand in the tail, or in what follows.
    fn lone_beside(&self, said: &Said<'_>) -> Bits {
        self.lone.iter().fold(said.trace.lone, |lone, own| lone.with(own))
    }

    /// The same, where `may_add` says that both together need to be read at all.
    fn after_where(
        &self,
        inspector: &Inspector,
        capability: &str,
        said: &Said<'_>,
        alone: &Inspection,
        mut may_add: impl FnMut(&str, Range<usize>) -> bool,
    ) -> Option<Inspection> {
        let allowed = |rule: &str| {
            inspector.policy().names(capability, rule)
                && alone.alerts().iter().any(|a| a.rule.as_str() == rule)
        };
        let new = |joined: Inspection, tail: &str| {
            let is_new = rules_that_block(&joined).any(|rule| !allowed(rule)) && {
                let before = inspector.inspect_text(tail, capability);
                let known =
                    |rule: &str| allowed(rule) || rules_that_block(&before).any(|known| known == rule);
                !rules_that_block(&joined).all(known)
            };
            is_new.then_some(joined)
        };
        let joined = GAPS.iter().find_map(|gap| {
            let tail = self.text.replace(BORDER, gap);
            let joined = format!("{tail}{gap}{}", said.head);
            let is_read = may_add(&joined, tail.len()..tail.len() + gap.len());
            is_read.then(|| inspector.inspect_text(&joined, capability)).and_then(|joined| new(joined, &tail))
        });
        joined.or_else(|| {
            let whole = self.document(said)?;
            let whole =
                inspector.inspect_for(&mut Scratch::default(), capability, "text/plain", whole.as_bytes());
            new(whole, &self.text.replace(BORDER, GAPS[0]))
        })
    }

    /// The JSON that ends here and began in an earlier message, which its strings cannot be told from.
    fn document(&self, said: &Said<'_>) -> Option<String> {
        let close = match said.end.trim_ascii_end().bytes().last()? {
            b']' => '[',
            b'}' => '{',
            _ => return None,
        };
        let starts = self.text.match_indices(BORDER).map(|(at, _)| at + BORDER.len_utf8());
        let mut starts = std::iter::once(0).chain(starts).filter_map(|at| self.text.get(at..));
        let from = starts.find(|text| text.trim_ascii_start().starts_with(close))?;
        (said.bytes == said.head.len()).then(|| format!("{}{}", from.replace(BORDER, ""), said.head))
    }

    /// Adds a text that may be delivered.
    fn append(&mut self, gate: &Gate, said: &Said<'_>, border: &Woken, beside: &Beside) {
        self.states = if said.bytes < HEARD_MAX {
            let gaps = if self.text.is_empty() { [""; 2] } else { GAPS };
            let [touching, apart] = self.states;
            [(touching, gaps[0]), (apart, gaps[1])]
                .map(|(state, gap)| gate.after(gate.after(state, gap.as_bytes()), said.end.as_bytes()))
        } else {
            [said.state; 2]
        };
        if said.bytes >= TAIL_BYTES_MAX {
            self.text.clear();
            self.begun = Begun::default();
        } else if !self.text.is_empty() {
            self.text.push(BORDER);
        }
        self.text.push_str(&said.end);
        let cut = self.text.len() - end_of(&self.text, TAIL_BYTES_MAX).len();
        self.begun.keep(cut..self.text.len());
        self.text.drain(..cut);
        let passed = said.bytes + 1;
        let until = |is: bool, before: usize| if is { TAIL_BYTES_MAX } else { before.saturating_sub(passed) };
        self.stirred = until(said.trace.stirred, self.stirred);
        // What was parted may go on in the next, too.
        self.veiled = until(said.trace.veiled || beside.parted, self.veiled);
        self.folds = until(said.trace.folds || beside.folds, self.folds);
        self.marked = until(said.trace.marked || beside.marked, self.marked);
        if self.bytes >= TAIL_BYTES_MAX {
            self.woken = [Woken::default(), self.woken[0]];
            self.lone = [Bits::default(), self.lone[0]];
            self.bytes = 0;
        }
        self.bytes += passed;
        self.woken[0].join(&said.trace.woken);
        self.woken[0].join(border);
        let is_whole = said.bytes < TAIL_BYTES_MAX;
        if is_whole {
            // In the tail its own sign stands for a border: what it is in may say more there.
            let absent = beside.absent.filter(|_| !said.end.contains(BORDER)).unwrap_or_default();
            self.lone = self.lone.map(|lone| lone.without(&absent));
            self.lone[0].join(&said.trace.lone.without(&absent).with(&beside.crossing));
        } else {
            // Nothing is left of what was said before.
            self.lone = [said.trace.lone, Bits::default()];
        }
    }
}

fn rules_that_block(inspection: &Inspection) -> impl Iterator<Item = &str> {
    let high = inspection.alerts().iter().filter(|alert| alert.severity == Severity::High);
    high.map(|alert| alert.rule.as_str())
}

/// The same, saying that it comes of more than one message.
fn marked(mut inspection: Inspection) -> Inspection {
    let mark = Alert::at(Severity::High, RULE, Kind::Context, Span::default());
    inspection.alerts.insert(0, mark);
    inspection
}

/// Whether a short text is a crumb of something: single letters, or a run of letters and digits that is no word.
fn is_crumb(text: &str) -> bool {
    let is_letters = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_code = |word: &str| {
        let shapes: [fn(&u8) -> bool; 3] =
            [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
        word.len() >= 6 && shapes.iter().filter(|shape| word.bytes().any(|byte| shape(&byte))).count() >= 2
    };
    let mut words = text.split_ascii_whitespace();
    text.len() < CRUMB_BYTES
        && !text.is_empty()
        && (text.split_ascii_whitespace().any(is_code)
            || words.all(|word| word.len() <= 2 || !is_letters(word)))
}

fn head_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

fn end_of(text: &str, bytes: usize) -> &str {
    let start = (text.len().saturating_sub(bytes)..=text.len()).find(|start| text.is_char_boundary(*start));
    text.get(start.unwrap_or_default()..).unwrap_or_default()
}

#[cfg(test)]
#[path = "tests_context.rs"]
mod tests;
