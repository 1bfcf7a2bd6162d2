//! One answer on its way in: whole, or in parts that its requester takes in at its own pace.
//!
//! A state and nothing else: [`Inflow`] knows no link. [`Flow`] is one that two tasks share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use testudo_wire::{Part, Refusal};
use tokio::sync::Notify;

use super::SendError;

/// What a part counts for at least, against the window: however little it says, it is kept with its header.
const PART_MIN: u64 = 256;

/// What a part with a body of so many bytes counts for.
pub(super) fn weight(body: usize) -> u64 {
    (body as u64).max(PART_MIN)
}

/// What has come of one answer, and how far it was taken in.
#[derive(Debug)]
pub(super) struct Inflow<T> {
    window: u64,
    next: u32,
    arrived: u64,
    taken: u64,
    told: u64,
    ready: VecDeque<(u64, T)>,
    end: Option<Result<(), SendError>>,
}

/// What the requester finds.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Taken<T> {
    /// A part, and the credit to tell the replier of, if it is time.
    Part(T, Option<u64>),
    /// Nothing yet.
    Nothing,
    /// Nothing more.
    End(Result<(), SendError>),
}

impl<T> Inflow<T> {
    fn new(window: usize) -> Self {
        let window = window as u64;
        Self { window, next: 0, arrived: 0, taken: 0, told: 0, ready: VecDeque::new(), end: None }
    }

    /// A whole answer or a part of one. `true` when nothing more is to come.
    ///
    /// # Errors
    /// Why it is no good: out of order, or more than was asked for. The answer has ended then.
    fn push(&mut self, part: Option<Part>, body: usize, item: T) -> Result<bool, Refusal> {
        let last = part.is_none_or(|part| part.last);
        let in_order = self.end.is_none() && part.map_or(self.next == 0, |part| part.index == self.next);
        // One part may begin within the window and end beyond it.
        let refusal = match (in_order, self.arrived - self.told > self.window) {
            (false, _) => Refusal::Malformed,
            (true, true) => Refusal::Overloaded,
            (true, false) => {
                let weight = weight(body);
                self.next = self.next.saturating_add(1);
                self.arrived += weight;
                self.ready.push_back((weight, item));
                if last {
                    self.close(Ok(()));
                }
                return Ok(last);
            }
        };
        self.close(Err(SendError::refused(refusal)));
        Err(refusal)
    }

    /// Nothing more is to come. The first reason stays.
    fn close(&mut self, end: Result<(), SendError>) {
        self.end.get_or_insert(end);
    }

    /// What the requester takes in next.
    fn take(&mut self) -> Taken<T> {
        let Some((weight, item)) = self.ready.pop_front() else {
            return self.end.clone().map_or(Taken::Nothing, Taken::End);
        };
        self.taken += weight;
        let due = self.end.is_none() && self.taken - self.told >= self.window / 2;
        if due {
            self.told = self.taken;
        }
        Taken::Part(item, due.then_some(self.taken))
    }

    /// The credit that was not told yet, told now, whether it is due or not.
    fn tell(&mut self) -> Option<u64> {
        let owed = self.end.is_none() && self.taken > self.told;
        self.told = self.taken;
        owed.then_some(self.taken)
    }
}

/// An answer on its way in, shared by the link that brings it and the requester who takes it in.
#[derive(Debug)]
pub(super) struct Flow<T> {
    state: Mutex<Inflow<T>>,
    changed: Notify,
}

impl<T> Flow<T> {
    /// Nothing has come yet.
    pub(super) fn new(window: usize) -> Self {
        Self { state: Mutex::new(Inflow::new(window)), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, Inflow<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Inflow::push`].
    pub(super) fn push(&self, part: Option<Part>, body: usize, item: T) -> Result<bool, Refusal> {
        let pushed = self.state().push(part, body, item);
        self.changed.notify_one();
        pushed
    }

    /// See [`Inflow::close`].
    pub(super) fn close(&self, end: Result<(), SendError>) {
        self.state().close(end);
        self.changed.notify_one();
    }

    /// What there is now.
    pub(super) fn take(&self) -> Taken<T> {
        self.state().take()
    }

    /// See [`Inflow::tell`].
    pub(super) fn tell(&self) -> Option<u64> {
        self.state().tell()
    }

    /// Returns when there may be something to take.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u32, last: bool) -> Option<Part> {
        Some(Part { index, last })
    }

    #[test]
    fn parts_come_in_order_and_end_once() {
        let mut flow = Inflow::new(1024);
        assert_eq!(flow.take(), Taken::Nothing);
        assert_eq!(flow.push(part(0, false), 10, "a"), Ok(false));
        assert_eq!(flow.push(part(1, true), 10, "b"), Ok(true));
        flow.close(Err(SendError::Unknown));
        assert_eq!(flow.take(), Taken::Part("a", None));
        assert_eq!(flow.take(), Taken::Part("b", None));
        assert_eq!(flow.take(), Taken::End(Ok(())), "an end after the end changes nothing");
        assert_eq!(flow.push(part(2, true), 1, "c"), Err(Refusal::Malformed));
    }

    #[test]
    fn a_part_out_of_order_ends_the_answer_after_what_was_good() {
        for wrong in [part(0, false), part(2, true), None] {
            let mut flow = Inflow::new(1024);
            flow.push(part(0, false), 10, "a").unwrap();
            assert_eq!(flow.push(wrong, 10, "b"), Err(Refusal::Malformed));
            assert_eq!(flow.take(), Taken::Part("a", None));
            assert_eq!(flow.take(), Taken::End(Err(SendError::refused(Refusal::Malformed))));
        }
    }

    #[test]
    fn a_whole_answer_is_one_part_and_the_end() {
        let mut flow = Inflow::new(10);
        assert_eq!(flow.push(None, 5000, "all"), Ok(true));
        assert_eq!(flow.take(), Taken::Part("all", None), "no credit: nothing more is to come");
        assert_eq!(flow.take(), Taken::End(Ok(())));
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_window_and_one_part() {
        for body in [0, 300, 1024] {
            let mut flow = Inflow::new(2048);
            let kept = (0..).take_while(|i| flow.push(part(*i, false), body, ()).is_ok()).count() as u64;
            assert!((kept - 1) * weight(body) <= 2048, "{kept} parts of {body} bytes");
            assert!(kept * weight(body) >= 2048, "a whole window fits: {kept} of {body}");
            assert_eq!(flow.end, Some(Err(SendError::refused(Refusal::Overloaded))));
        }
    }

    #[test]
    fn credit_is_told_for_every_half_window_and_opens_the_window_again() {
        let mut flow = Inflow::new(1024);
        let mut told = Vec::new();
        for index in 0..100 {
            flow.push(part(index, false), 300, index).unwrap();
            let Taken::Part(at, credit) = flow.take() else { panic!("part {index} is lost") };
            assert_eq!(at, index);
            told.extend(credit);
        }
        let expected: Vec<_> = (1..=50).map(|n| n * 600).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn credit_may_be_told_before_it_is_due_but_only_once() {
        let mut flow = Inflow::new(1024);
        flow.push(part(0, false), 300, ()).unwrap();
        assert_eq!((flow.tell(), flow.take()), (None, Taken::Part((), None)));
        assert_eq!((flow.tell(), flow.tell()), (Some(300), None));
        flow.push(part(1, true), 300, ()).unwrap();
        assert_eq!((flow.take(), flow.tell()), (Taken::Part((), None), None), "nothing more is to come");
    }
}
