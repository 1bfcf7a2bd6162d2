//! The runtime that nodes and hosted agents need: actors on one thread, timers and sockets beside them.

use std::io;

/// Runs `work` to its end on this thread, under actix and tokio.
///
/// # Errors
/// When the system gives no runtime.
pub fn run<F: Future>(work: F) -> io::Result<F::Output> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Built twice on purpose: the first tells an error that actix would turn into a panic.
    drop(runtime()?);
    #[expect(clippy::expect_used, reason = "it was built a moment ago")]
    let system = actix::System::with_tokio_rt(|| runtime().expect("a runtime"));
    Ok(system.block_on(work))
}
