//! From bodies to verdicts, many at a time: each is decoded and looked at, then the gate hears the texts of all of them
//! side by side, and then each is judged by itself.
//!
//! *Invariant*: what is found in a body, and what it is said to say, is the same whatever bodies stand beside it.

use super::bytes;
use super::context::{BORDER, Said};
use super::decode::{self, Leaves, Refused};
use super::scan::{self, Findings, Looked};
use super::{Alert, Inspection, Inspector, Kind, SCRATCH_MAX, Severity};

/// Bodies looked at together: enough to fill all lanes of the gate most of the time.
const TOGETHER: usize = 32;
/// Texts of one body: values, names of fields, and phrases of lists joined.
const TEXTS: usize = 3;
/// Which of them are the names, and which is the last.
const NAMES: usize = 1;
const GLUED: usize = 2;

/// One body to vet, under which capability it came, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Body<'t> {
    /// What a pack allows to this capability alerts but does not block. Empty for none.
    pub capability: &'t str,
    /// How the bytes are read.
    pub content_type: &'t str,
    /// The bytes.
    pub bytes: &'t [u8],
}

/// Buffers that one inspection leaves to the next, so that ordinary bodies need no memory of their own.
#[derive(Debug, Default)]
pub struct Scratch {
    first: Buffers,
    /// For bodies looked at together.
    more: Vec<Buffers>,
}

/// The buffers for one body.
#[derive(Debug, Default)]
struct Buffers {
    leaves: Leaves,
    opaque: String,
}

/// The texts of one body, and what was found before any of them was read.
type Opened<'t> = ([&'t str; TEXTS], Option<Alert>);

impl Inspector {
    /// Vets a body under its content type. The same input always gets the same answer.
    #[must_use]
    pub fn inspect(&self, content_type: &str, body: &[u8]) -> Inspection {
        self.inspect_with(&mut Scratch::default(), content_type, body)
    }

    /// The same, with buffers kept by the caller: a clean body that is ASCII allocates nothing.
    #[must_use]
    pub fn inspect_with(&self, scratch: &mut Scratch, content_type: &str, body: &[u8]) -> Inspection {
        self.inspect_for(scratch, "", content_type, body)
    }

    /// The same for a message under a capability: what a pack allows to it alerts but does not block.
    #[must_use]
    pub fn inspect_for(
        &self,
        scratch: &mut Scratch,
        capability: &str,
        content_type: &str,
        body: &[u8],
    ) -> Inspection {
        self.vet(scratch, capability, content_type, body).0
    }

    /// The same, and what the body says for [`super::Context::follow`].
    #[must_use]
    pub fn vet<'t>(
        &self,
        scratch: &'t mut Scratch,
        capability: &str,
        content_type: &str,
        bytes: &'t [u8],
    ) -> (Inspection, Said<'t>) {
        let (texts, found) = self.open(&mut scratch.first, content_type, bytes);
        match texts {
            // The usual case, in which two empty ones would take a tenth of the time.
            [values, "", ""] => self.judge(&self.heard([values]), found, capability, bytes.len()),
            all => self.judge(&self.heard(all), found, capability, bytes.len()),
        }
    }

    /// Vets many bodies, mostly in much less time than one after the other, and gives each with what was found in
    /// it, in their order.
    pub fn vet_each<'t>(
        &self,
        scratch: &mut Scratch,
        bodies: &[Body<'t>],
        mut each: impl FnMut(usize, Inspection, Said<'_>),
    ) {
        let together = bodies.len().min(TOGETHER).max(scratch.more.len());
        scratch.more.resize_with(together, Buffers::default);
        for (turn, bodies) in bodies.chunks(TOGETHER).enumerate() {
            let mut texts = Vec::with_capacity(bodies.len() * TEXTS);
            let mut found = Vec::with_capacity(bodies.len());
            for (body, buffers) in bodies.iter().zip(&mut scratch.more) {
                let (opened, alert) = self.open(buffers, body.content_type, body.bytes);
                let first = texts.len();
                let used = opened.iter().rposition(|text| !text.is_empty()).map_or(0, |last| last + 1);
                texts
                    .extend(opened.into_iter().take(used).enumerate().map(|(place, text)| look(place, text)));
                found.push((first..texts.len(), alert));
            }
            self.rules.gate().hear_all(&mut texts);
            for (at, (body, (range, found))) in bodies.iter().zip(found).enumerate() {
                let texts = texts.get(range).unwrap_or_default();
                let (inspection, said) = self.judge(texts, found, body.capability, body.bytes.len());
                each(turn * TOGETHER + at, inspection, said);
            }
        }
    }

    /// Decodes a body.
    fn open<'t>(&self, buffers: &'t mut Buffers, content_type: &str, body: &'t [u8]) -> Opened<'t> {
        if body.len() > self.body_bytes_max {
            return (Default::default(), Some(Alert::guard_error("guard.too-long")));
        }
        if Self::is_opaque(content_type) {
            let text = text_within(body, &mut buffers.opaque);
            let alert = Alert::new(Severity::Medium, "content.opaque", Kind::Opaque);
            return ([text, "", ""], Some(alert));
        }
        match decode::texts(content_type, body, &mut buffers.leaves) {
            Ok(texts) => ([texts.values(), texts.keys(), texts.glued()], None),
            Err(why) => (Default::default(), Some(alert_of(why))),
        }
    }

    /// The texts of one body, or the first of them, looked at and heard.
    fn heard<'t, const MANY: usize>(&self, texts: [&'t str; MANY]) -> [Looked<'t>; MANY] {
        let mut looked = std::array::from_fn(|place| look(place, texts[place]));
        self.rules.gate().hear_all(&mut looked);
        looked
    }

    /// What is found in one of them, and what it says.
    fn judge<'t>(
        &self,
        texts: &[Looked<'t>],
        found: Option<Alert>,
        capability: &str,
        bytes: usize,
    ) -> (Inspection, Said<'t>) {
        let mut findings = Findings::new(bytes);
        match found {
            Some(alert) if alert.severity >= Severity::High => {
                return (Inspection::of(alert), Said::default());
            }
            Some(alert) => findings.add(alert),
            None => {}
        }
        self.read(texts, capability, &mut findings);
        let Some(values) = texts.first() else { return (findings.into(), Said::default()) };
        let gate = self.rules.gate();
        let end = values.heard().map_or_else(|| gate.end_of(values.text.as_bytes()), |heard| heard.end);
        let mut trace = *findings.trace();
        trace.veiled |= values.may_be_piece();
        if values.heard().is_none() && values.text.contains(BORDER) {
            // It reads otherwise where that stands for a border.
            trace.lone = self.rules.lone_of(&trace.woken);
        }
        let said = Said::of(values.text, trace, end);
        (findings.into(), said)
    }

    /// Reads the texts of one body: what lists join is read only where nothing else blocks.
    fn read(&self, texts: &[Looked<'_>], capability: &str, findings: &mut Findings) {
        for (place, text) in texts.iter().enumerate() {
            if place < GLUED || !findings.block() {
                scan::scan(&self.rules, text, capability, findings);
            }
        }
    }

    /// What is found in a text by itself.
    pub(super) fn inspect_text(&self, text: &str, capability: &str) -> Inspection {
        let mut findings = Findings::new(text.len());
        let [text] = self.heard([text]);
        scan::scan(&self.rules, &text, capability, &mut findings);
        findings.into()
    }

    /// The views in which a body is read, to show people what [`super::Span`]s point at. Costs much more than inspecting.
    #[must_use]
    pub fn views(&self, content_type: &str, body: &[u8]) -> Vec<String> {
        let mut buffers = Buffers::default();
        let (texts, found) = self.open(&mut buffers, content_type, body);
        let mut findings = Findings::keeping(body.len());
        if found.is_none_or(|alert| alert.severity < Severity::High) {
            self.read(&self.heard(texts), "", &mut findings);
        }
        findings.into_views()
    }
}

/// The text in this place of a body, before the gate has heard it.
fn look(place: usize, text: &str) -> Looked<'_> {
    let survey = bytes::survey(text);
    Looked::at(text, if place == NAMES { survey.of_names() } else { survey })
}

/// What of a body is text, pieces parted by line ends.
fn text_within<'t>(body: &[u8], text: &'t mut String) -> &'t str {
    text.clear();
    text.shrink_to(SCRATCH_MAX);
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('\n');
        }
    }
    text
}

fn alert_of(refused: Refused) -> Alert {
    match refused {
        Refused::Charset => Alert::new(Severity::Critical, "encoding.charset", Kind::Encoding),
        Refused::InvalidUtf8 => Alert::guard_error("guard.invalid-utf8"),
        Refused::Malformed => Alert::guard_error("guard.malformed"),
        Refused::OpaqueWithin => Alert::guard_error("guard.opaque-within"),
        Refused::OverLimit => Alert::guard_error("guard.over-limit"),
    }
}
