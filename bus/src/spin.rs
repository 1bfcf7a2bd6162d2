//! Looking for more before sleeping: for a short while after a request or an answer passed, the runtime's thread polls its
//! sockets instead of being put to sleep. To wake an idle processor takes 30 us on a virtual machine, each way
//! (performance.md 4), and a round trip wakes four.
//!
//! One such task on a thread, however many links it has, and only where all tasks share one thread: elsewhere it would keep
//! another awake for nothing. Between two looks it gives the processor to whoever else wants it. Where looking finds nothing
//! it is left out more and more, and where another program keeps the processor, at once. Messages that nobody answers start
//! none, nor do many round trips at a time: what follows those keeps everybody awake as it is.

use std::cell::Cell;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

/// Looks of one go that finds nothing: about as many microseconds.
const LOOKS: u32 = 192;
/// Round trips under way at which looking begins, at most: where there are more, each waits for the others' work.
const ALONE: usize = 2;
/// Goes that are left out, at most, after several that found nothing.
const PAUSE_MAX: u32 = 64;

/// The same after another program had the processor for longer than any of ours is busy with a bundle.
const BUSY: u32 = 1024;
const SLICE: Duration = Duration::from_micros(500);

/// How it stands with this thread.
#[derive(Clone, Copy)]
struct State {
    /// Looks that are left; nothing looks while there are none.
    left: u32,
    /// Goes to be left out, because the last ones found nothing.
    pause: u32,
    /// How many that were the last time.
    paused: u32,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State { left: 0, pause: 0, paused: 0 }) };
}

/// A request or an answer passed, one of so many under way: the next one may be near.
pub(crate) fn expect(under_way: usize) {
    if under_way > ALONE {
        return;
    }
    let mut state = STATE.get();
    if state.left > 0 {
        // It paid, if it looked at all.
        if state.left + 2 < LOOKS {
            state.paused = 0;
        }
        state.left = LOOKS;
        return STATE.set(state);
    }
    if state.pause > 0 {
        state.pause -= 1;
        return STATE.set(state);
    }
    let runtime = Handle::try_current();
    if let Ok(runtime) = runtime.as_ref()
        && runtime.runtime_flavor() == RuntimeFlavor::CurrentThread
    {
        STATE.set(State { left: LOOKS, ..state });
        runtime.spawn(look(End));
    }
}

/// Ends the looking, also when the runtime ends before it.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        STATE.set(State { left: 0, ..STATE.get() });
    }
}

async fn look(_end: End) {
    loop {
        let mut state = STATE.get();
        state.left = state.left.saturating_sub(1);
        if state.left == 0 {
            state.paused = (state.paused * 2 + 1).min(PAUSE_MAX);
            state.pause = state.paused;
            return STATE.set(state);
        }
        STATE.set(state);
        if state.left + 2 < LOOKS && !is_idle() {
            return STATE.set(State { left: 0, pause: BUSY, paused: PAUSE_MAX });
        }
        tokio::task::yield_now().await;
    }
}

/// Gives the processor to whoever else wants it; `false` when that took it for long. On a machine whose processors are
/// never idle nobody has to be woken, and to look is to lose a turn.
fn is_idle() -> bool {
    let before = Instant::now();
    std::thread::yield_now();
    before.elapsed() < SLICE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether somebody looks now.
    fn looks_now() -> bool {
        STATE.get().left > 0
    }

    #[tokio::test(start_paused = true)]
    async fn looking_ends_by_itself_so_that_time_goes_on() {
        expect(1);
        assert!(looks_now());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!looks_now());
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_nothing_is_left_out_more_and_more_and_what_pays_is_not() {
        let mut goes = 0;
        for _ in 0..1000 {
            expect(1);
            goes += u32::from(looks_now());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!((6..=25).contains(&goes), "{goes} of 1000");
        // Until the next go, which finds something.
        while !looks_now() {
            expect(1);
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        expect(1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        expect(1);
        expect(1);
        assert!(looks_now(), "one go is left out after one that found nothing at its end");
    }

    #[tokio::test]
    async fn many_round_trips_start_nothing() {
        expect(ALONE + 1);
        assert!(!looks_now());
        expect(ALONE);
        assert!(looks_now());
    }

    #[test]
    fn without_a_runtime_nobody_looks() {
        expect(1);
        assert!(!looks_now());
    }

    #[test]
    fn a_runtime_that_ends_takes_its_looking_with_it() {
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime().block_on(async { expect(1) });
        assert!(!looks_now());
        runtime().block_on(async {
            expect(1);
            assert!(looks_now());
        });
    }
}
