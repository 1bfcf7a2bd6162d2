//! The ends of the relay's links: they make frames and count them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::sleep;

use crate::many::{Circle, Crowd};
use crate::raw::{Link, about, frame};
use crate::role::{Receiver, Sender};
use crate::{AT_ONCE, CROWD, Done, PAYLOAD, sample};

/// Messages of one frame where many send: as Testudo's senders have under way.
const EACH: u32 = 32;
/// Messages of one agent to one other in a frame, where all write to all: as many as Testudo's have under way.
const TOGETHER: u32 = 16;
/// Between two dials to a relay that is not there.
const AGAIN: Duration = Duration::from_millis(50);

async fn open(folder: &Path, relay: SocketAddr, first: u32, many: u32) -> Done<Vec<Link>> {
    try_join_all((first..first + many).map(|number| Link::open(folder, relay, number))).await
}

async fn close(links: &[Link]) -> Done {
    join_all(links.iter().map(Link::close)).await;
    Ok(())
}

/// A frame for somebody, made once.
#[derive(Default)]
struct Frames(HashMap<(u32, u32, u32, usize), Bytes>);

impl Frames {
    fn of(&mut self, to: u32, from: u32, messages: u32, bytes: usize) -> Done<Bytes> {
        if let Some(made) = self.0.get(&(to, from, messages, bytes)) {
            return Ok(made.clone());
        }
        let made = frame(to, from, messages, &sample::bundle(messages, bytes)?)?;
        self.0.insert((to, from, messages, bytes), made.clone());
        Ok(made)
    }
}

/// Links that send, one after the other.
pub(crate) struct Sending {
    /// Each with what was posted and is not sent yet.
    links: Vec<(Link, u32)>,
    frames: Frames,
    /// One message, as a request.
    request: Bytes,
    to: u32,
    /// Messages of a frame, where it is not to be as many as it holds.
    bundle: u32,
    bytes: usize,
    next: usize,
}

impl Sending {
    pub(crate) async fn open(folder: &Path, relay: SocketAddr, [to, first, many]: [u32; 3]) -> Done<Self> {
        let links: Vec<_> =
            open(folder, relay, first, many).await?.into_iter().map(|link| (link, 0)).collect();
        let mut frames = Frames::default();
        let request = frames.of(to, first, 1, PAYLOAD.len())?;
        Ok(Self { links, frames, request, to, bundle: 0, bytes: 0, next: 0 })
    }

    fn most(&self) -> u32 {
        let most = sample::most(self.bytes);
        match (self.bundle, self.links.len()) {
            (0, 1) => most,
            (0, _) => most.min(EACH),
            (bundle, _) => most.min(bundle),
        }
    }

    async fn send(&mut self, at: usize) -> Done {
        let (link, queued) = &mut self.links[at];
        let messages = std::mem::take(queued);
        if messages == 0 {
            return Ok(());
        }
        link.send(self.frames.of(self.to, link.number, messages, self.bytes)?).await
    }
}

impl Sender for Sending {
    fn bundles_of(&mut self, messages: u32) {
        self.bundle = messages;
    }

    async fn post(&mut self, body: &Bytes) -> Done {
        self.bytes = body.len();
        self.next = (self.next + 1) % self.links.len();
        self.links[self.next].1 += 1;
        if self.links[self.next].1 >= self.most() { self.send(self.next).await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Done {
        for at in 0..self.links.len() {
            self.send(at).await?;
        }
        Ok(())
    }

    async fn ask(&self) -> Done {
        let (link, _) = &self.links[0];
        link.send(self.request.clone()).await?;
        link.next().await.map(drop)
    }

    async fn leave(self) -> Done {
        close(&self.links.into_iter().map(|(link, _)| link).collect::<Vec<_>>()).await
    }
}

/// Links that receive, all of them under one number.
pub(crate) struct Receiving {
    links: Vec<Link>,
}

impl Receiving {
    pub(crate) async fn open(folder: &Path, relay: SocketAddr, [number, many]: [u32; 2]) -> Done<Self> {
        let links = (0..many).map(|_| Link::open(folder, relay, number));
        Ok(Self { links: try_join_all(links).await? })
    }
}

async fn take(link: &Link, messages: u32) -> Done {
    let mut taken = 0;
    while taken < messages {
        taken += about(&link.next().await?).1;
    }
    Ok(())
}

impl Receiver for Receiving {
    async fn take(&mut self, count: u32) -> Done {
        try_join_all(self.links.iter().map(|link| take(link, count))).await.map(drop)
    }

    async fn answer(&mut self) -> Done {
        let link = &self.links[0];
        let request = link.next().await?;
        let (from, messages) = about(&request);
        // The same bundle back.
        link.send(frame(from, link.number, messages, request.get(16..).unwrap_or_default())?).await
    }

    async fn leave(self) -> Done {
        close(&self.links).await
    }
}

/// Half of a circle.
pub(crate) struct Half {
    links: Vec<Link>,
    all: std::ops::Range<u32>,
    frames: Frames,
}

impl Half {
    pub(crate) async fn open(folder: &Path, relay: SocketAddr, [all, of, many]: [u32; 3]) -> Done<Self> {
        let links = open(folder, relay, all + of, many).await?;
        Ok(Self { links, all: all..all + CROWD as u32, frames: Frames::default() })
    }
}

impl Circle for Half {
    async fn exchange(&mut self, each: u32) -> Done {
        let (together, mut plan) = (each.clamp(1, TOGETHER), Vec::new());
        for link in &self.links {
            for to in self.all.clone().filter(|to| *to != link.number) {
                plan.push((link, self.frames.of(to, link.number, together, PAYLOAD.len())?));
            }
        }
        let links = self.links.iter().map(|link| {
            let mine: Vec<_> =
                plan.iter().filter(|(from, _)| from.number == link.number).map(|(_, frame)| frame).collect();
            let sending = async move {
                for _ in 0..each.div_ceil(together) {
                    for frame in &mine {
                        link.send(Bytes::clone(frame)).await?;
                    }
                }
                Ok(())
            };
            try_join(sending, take(link, each * (CROWD as u32 - 1)))
        });
        try_join_all(links).await.map(drop)
    }

    async fn leave(self) -> Done {
        close(&self.links).await
    }
}

/// Links that do nothing, each with the number of times that it was opened.
pub(crate) struct Idle {
    folder: PathBuf,
    relay: SocketAddr,
    numbers: std::ops::Range<u32>,
    links: Vec<Arc<AtomicUsize>>,
    marked: Vec<usize>,
}

impl Idle {
    pub(crate) fn new(folder: &Path, relay: SocketAddr, [first, many]: [u32; 2]) -> Self {
        let (folder, numbers) = (folder.to_owned(), first..first + many);
        Self { folder, relay, numbers, links: Vec::new(), marked: Vec::new() }
    }
}

/// Opens a link again whenever it has ended.
async fn hold(first: Link, folder: PathBuf, relay: SocketAddr, times: Arc<AtomicUsize>) {
    let mut link = first;
    loop {
        link.connection.closed().await;
        link = loop {
            if let Ok(link) = Link::open(&folder, relay, link.number).await {
                break link;
            }
            sleep(AGAIN).await;
        };
        times.fetch_add(1, Ordering::Relaxed);
    }
}

impl Crowd for Idle {
    async fn gather(&mut self) -> Done {
        let open = async |number| -> Done<_> {
            let link = Link::open(&self.folder, self.relay, number).await?;
            let times = Arc::new(AtomicUsize::new(1));
            tokio::spawn(hold(link, self.folder.clone(), self.relay, times.clone()));
            Ok(times)
        };
        let all = stream::iter(self.numbers.clone()).map(open).buffer_unordered(AT_ONCE);
        self.links = all.try_collect().await?;
        Ok(())
    }

    fn mark(&mut self) {
        self.marked = self.links.iter().map(|times| times.load(Ordering::Relaxed)).collect();
    }

    fn missing(&self) -> usize {
        let away = |(times, marked): &(&Arc<AtomicUsize>, &usize)| times.load(Ordering::Relaxed) <= **marked;
        self.links.iter().zip(&self.marked).filter(away).count()
    }
}
