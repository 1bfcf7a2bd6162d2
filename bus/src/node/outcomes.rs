//! What becomes of messages after their verdict: each outcome is counted, recorded, and told to whom it concerns.

use testudo_rules::audit::{Cause, Event, Outcome, OutcomeOf, Outcomes};
use testudo_wire::Refusal;
use testudo_wire::frame::RefusedMessage;

use super::link::Link;
use super::outbox::Remains;
use super::parcel::{Answer, Ended, Parcel};
use super::shared::Shared;

impl Shared {
    fn note_ended(&self, ended: Ended) {
        for outcomes in Outcomes::split(ended.record, Some(ended.to), ended.outcomes) {
            self.note(Event::Outcomes(outcomes));
        }
    }

    /// Messages given up before hand-over: counted, recorded, and their sender hears of it.
    pub(crate) fn drop_parcel(&self, parcel: &Parcel, cause: Cause) {
        self.metrics.dropped(cause, parcel.places.len());
        parcel.trace(|_| Some(cause.as_str().to_owned()));
        self.note_ended(parcel.all(Outcome::Dropped(cause)));
        let refusal = match cause {
            Cause::Expired => Refusal::Expired,
            Cause::Overflow => Refusal::Overloaded,
            Cause::Revoked => Refusal::Revoked,
            Cause::AuditUnavailable
            | Cause::Crash
            | Cause::HandlerFailed
            | Cause::LinkLost
            | Cause::NoReceiver
            | Cause::ReceiverRefused(_)
            | Cause::Shutdown => Refusal::Unroutable,
        };
        let refused = |message| RefusedMessage { message, refusal, rules: Vec::new() };
        self.tell_sender(parcel, parcel.places.iter().map(|place| refused(place.message)).collect());
        if !matches!(cause, Cause::LinkLost | Cause::Shutdown) {
            self.give_up_answers(parcel, refusal);
        }
    }

    /// Answers that do not reach a requester who is still there: it waits no longer, and hears why, once.
    fn give_up_answers(&self, parcel: &Parcel, refusal: Refusal) {
        for Answer { request, is_last } in parcel.places.iter().filter_map(|place| place.answers) {
            if !is_last {
                self.requests.fail(&request, &parcel.sender, refusal);
            } else if let Some(requester) = self.routes().get(&parcel.to) {
                requester.refused([RefusedMessage { message: request, refusal, rules: Vec::new() }]);
            }
        }
    }

    /// A sender hears of messages that came to no good end; of copies, how many and whose.
    fn tell_sender(&self, parcel: &Parcel, refused: Vec<RefusedMessage>) {
        if parcel.is_copy {
            for one in &refused {
                parcel.sender.present().news.copies(parcel.to, one.refusal, 1);
            }
        } else if !refused.is_empty() {
            for one in &refused {
                self.requests.cancel(&one.message, &parcel.sender);
            }
            parcel.sender.refused(refused);
        }
    }

    /// Copies for which a subscriber had no room.
    pub(crate) fn drop_copies(&self, sender: &Link, ended: Ended) {
        let (n, to) = (ended.outcomes.len(), ended.to);
        self.metrics.dropped_at_once(Cause::Overflow, n);
        self.note_ended(ended);
        sender.present().news.copies(to, Refusal::Overloaded, n as u64);
    }

    /// Messages handed over whose receiver never answered: nobody can know what became of them.
    pub(crate) fn fail_parcel(&self, parcel: &Parcel, cause: Cause) {
        self.metrics.failed(cause, parcel.places.len());
        parcel.trace(|_| Some(cause.as_str().to_owned()));
        self.note_ended(parcel.all(Outcome::Failed(cause)));
        if !parcel.is_copy {
            let messages = parcel.places.iter().map(|place| place.message);
            messages.clone().for_each(|message| self.requests.cancel(&message, &parcel.sender));
            parcel.sender.lost(messages);
        }
    }

    /// The receiver's word on each message of a parcel.
    pub(crate) fn finish_parcel(&self, receiver: &Link, parcel: &Parcel, verdicts: &[Option<Refusal>]) {
        parcel.trace(|place| verdicts.get(place)?.map(|refusal| refusal.as_str().to_owned()));
        let mut refused = Vec::new();
        let outcomes = parcel.places.iter().zip(verdicts).map(|(place, verdict)| {
            let outcome = verdict.map_or(Outcome::Delivered, |refusal| {
                refused.push(RefusedMessage { message: place.message, refusal, rules: Vec::new() });
                self.metrics.failed(Cause::ReceiverRefused(refusal), 1);
                Outcome::Failed(Cause::ReceiverRefused(refusal))
            });
            OutcomeOf { position: place.position, outcome }
        });
        let ended = Ended { record: parcel.record, to: parcel.to, outcomes: outcomes.collect() };
        let delivered = ended.outcomes.len() - refused.len();
        self.metrics.delivered(delivered);
        receiver.line.tally.received(delivered);
        self.requests.delivered(parcel.places.iter().map(|place| place.message));
        self.note_ended(ended);
        self.tell_sender(parcel, refused);
    }

    /// What a link leaves behind.
    pub(crate) fn bury(&self, remains: &[Remains], cause: Cause) {
        for parcel in remains.iter().flat_map(|remains| &remains.queued) {
            self.drop_parcel(parcel, cause);
        }
        for parcel in remains.iter().flat_map(|remains| &remains.in_flight) {
            self.fail_parcel(parcel, cause);
        }
    }
}
