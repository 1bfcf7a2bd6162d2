//! Something that blocks, used from a task: one use at a time, each on a thread where it harms nobody. A use that
//! hangs is waited for by the next one, never doubled.

use std::io;

use tokio::task::{JoinHandle, spawn_blocking};

/// What blocks.
#[derive(Debug)]
pub(super) struct Held<W> {
    idle: Option<W>,
    busy: Option<JoinHandle<(W, io::Result<()>)>>,
}

impl<W: Send + 'static> Held<W> {
    pub(super) const fn new(what: W) -> Self {
        Self { idle: Some(what), busy: None }
    }

    /// Uses it. When the caller gives up meanwhile, the use goes on, and what it does is done.
    pub(super) async fn with(
        &mut self,
        job: impl FnOnce(&mut W) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        if self.busy.is_some() {
            // An earlier use that nobody waited for: its own result came too late to count.
            let _ = self.finished().await?;
        }
        let mut what = self.idle.take().ok_or_else(|| io::Error::other("lost to a panic"))?;
        self.busy = Some(spawn_blocking(move || {
            let result = job(&mut what);
            (what, result)
        }));
        self.finished().await?
    }

    async fn finished(&mut self) -> io::Result<io::Result<()>> {
        let Some(busy) = &mut self.busy else { return Ok(Ok(())) };
        let ended = busy.await;
        self.busy = None;
        let (what, result) = ended.map_err(io::Error::other)?;
        self.idle = Some(what);
        Ok(result)
    }
}
