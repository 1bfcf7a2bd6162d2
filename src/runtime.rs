//! The runtime that nodes and hosted agents need: actors on one thread, timers and sockets beside them. For a
//! caller with another runtime, a thread of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::SystemRunner;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Jobs on their way to a thread. They only start work there, so that none waits long.
const JOBS: usize = 64;
/// Tasks that run between two looks at the sockets while there is always one to run. Tokio's 61 turns of a node that
/// is flooded are milliseconds in which nobody's datagram is seen; a look costs a microsecond.
const SOCKETS: u32 = 16;

/// A system and the runtime that it shares with us, so that its end is ours to decide.
fn system() -> io::Result<(SystemRunner, Arc<Runtime>)> {
    let runtime = Arc::new(Builder::new_current_thread().enable_all().event_interval(SOCKETS).build()?);
    let shared = runtime.clone();
    Ok((actix::System::with_tokio_rt(move || shared), runtime))
}

/// Runs `work` to its end on this thread, under actix and tokio.
///
/// # Errors
/// When the system gives no runtime.
pub fn run<F: Future>(work: F) -> io::Result<F::Output> {
    let (system, _runtime) = system()?;
    Ok(system.block_on(work))
}

/// Why a thread did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// The system gives no thread or no runtime.
    #[error("the thread {0} cannot be started: {1}; raise the limits of this process")]
    Start(&'static str, io::Error),
    /// It, or the work, ended without a result.
    #[error("work on the thread {0} ended without a result: it was shut down, or panicked; see the log")]
    Ended(&'static str),
    /// It does not end.
    #[error(
        "the thread {0} does not end: an agent blocks it; move what blocks to tokio::task::spawn_blocking"
    )]
    Stuck(&'static str),
}

type Job = Box<dyn FnOnce() + Send>;

/// What a thread is given to do.
pub(crate) struct Jobs(mpsc::Receiver<Job>);

impl Jobs {
    /// Does what comes until the last [`Thread`] is dropped.
    pub(crate) async fn done(mut self) {
        while let Some(job) = self.0.recv().await {
            job();
        }
    }
}

/// Hears of a thread's end.
#[derive(Debug)]
pub(crate) struct End<T> {
    name: &'static str,
    outcome: oneshot::Receiver<T>,
}

impl<T> End<T> {
    /// What came of the thread's life. By then all that ran there is gone, but for blocking work on threads of
    /// its own, which nothing can end.
    ///
    /// # Errors
    /// [`ThreadError`] when the life panicked, or does not end in time.
    pub(crate) async fn within(self, time: Duration) -> Result<T, ThreadError> {
        let outcome = timeout(time, self.outcome).await.map_err(|_| ThreadError::Stuck(self.name))?;
        outcome.map_err(|_| ThreadError::Ended(self.name))
    }
}

/// A thread under an actix system. Clones are the same thread.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    name: &'static str,
    jobs: mpsc::Sender<Job>,
}

impl Thread {
    /// Starts a thread that lives as long as `life`, which is given what the thread has to do.
    ///
    /// # Errors
    /// [`ThreadError`].
    pub(crate) async fn start<L, F>(
        name: &'static str,
        life: L,
    ) -> Result<(Self, End<F::Output>), ThreadError>
    where
        L: FnOnce(Jobs) -> F + Send + 'static,
        F: Future<Output: Send + 'static>,
    {
        let (jobs, given) = mpsc::channel(JOBS);
        let (ready, is_ready) = oneshot::channel();
        let (last, outcome) = oneshot::channel();
        let body = move || match system() {
            Ok((system, runtime)) => {
                let _ = ready.send(Ok(()));
                let outcome = system.block_on(life(Jobs(given)));
                drop(system);
                if let Some(runtime) = Arc::into_inner(runtime) {
                    runtime.shutdown_background();
                }
                let _ = last.send(outcome);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        spawned.map_err(|error| ThreadError::Start(name, error))?;
        let started = is_ready.await.map_err(|_| ThreadError::Ended(name))?;
        started.map_err(|error| ThreadError::Start(name, error))?;
        Ok((Self { name, jobs }, End { name, outcome }))
    }

    /// Does `work` on the thread, beside what else it does there, and brings its result back. What panics
    /// there ends nothing but itself.
    ///
    /// # Errors
    /// [`ThreadError::Ended`].
    pub(crate) async fn run<W, F>(&self, work: W) -> Result<F::Output, ThreadError>
    where
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output: Send> + 'static,
    {
        let ended = || ThreadError::Ended(self.name);
        let (answer, word) = oneshot::channel();
        let job = Box::new(move || {
            actix::spawn(async move {
                let _ = answer.send(work().await);
            });
        });
        self.jobs.send(job).await.map_err(|_| ended())?;
        word.await.map_err(|_| ended())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_the_thread_and_its_result_comes_back() {
        let (thread, end) = Thread::start("worker", Jobs::done).await.unwrap();
        // What waits does not hold up what comes after it.
        let (go, gone) = oneshot::channel();
        let first = thread.run(|| async move { gone.await.unwrap() });
        let second = thread.run(|| async { std::thread::current().name().map(ToOwned::to_owned) });
        let (first, second) = tokio::join!(first, async {
            let name = second.await;
            go.send(7).unwrap();
            name
        });
        assert_eq!((first.unwrap(), second.unwrap().as_deref()), (7, Some("worker")));
        drop(thread);
        end.within(Duration::from_secs(20)).await.unwrap();
    }

    #[tokio::test]
    async fn what_panics_ends_nothing_but_itself() {
        let (thread, _end) = Thread::start("worker", Jobs::done).await.unwrap();
        let fault = thread.run(|| async { panic!("the test's own fault") }).await;
        assert!(matches!(fault, Err::<(), _>(ThreadError::Ended("worker"))));
        let early = thread.run(|| -> std::future::Ready<()> { panic!("the test's own fault") }).await;
        assert!(matches!(early, Err(ThreadError::Ended("worker"))));
        assert_eq!(thread.run(|| async { 1 }).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_life_that_panics_is_an_error_of_every_call() {
        let life = |_: Jobs| async { panic!("the test's own fault") };
        let (thread, end) = Thread::start("worker", life).await.unwrap();
        assert!(matches!(thread.run(|| async { 1 }).await, Err(ThreadError::Ended("worker"))));
        let end: Result<(), _> = end.within(Duration::from_secs(20)).await;
        assert!(matches!(end, Err(ThreadError::Ended("worker"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_is_blocked_is_not_waited_for_for_ever() {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let life = move |_: Jobs| async move { blocked.recv().is_ok() };
        let (_thread, end) = Thread::start("worker", life).await.unwrap();
        let stuck = end.within(Duration::from_secs(20)).await;
        assert!(matches!(stuck, Err(ThreadError::Stuck("worker"))));
        release.send(()).unwrap();
    }
}
