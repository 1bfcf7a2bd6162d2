//! Who may be in the middle of a handshake: so many at once, so many of one address, and nobody who waited for
//! longer than a dial lasts. A stranger with half-open dials holds up itself, not everyone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Handshakes under way at once (measured fact M13).
const AT_ONCE: usize = 64;
/// Of these from one address.
const OF_ONE_SOURCE: usize = 32;
/// Dials that wait for their turn.
const WAITING: usize = 2048;
/// Free places below which a dialler must prove its address first (measured fact M14: only when needed).
const BUSY_BELOW: usize = AT_ONCE / 2;
/// A dial that waited longer is turned away: half of the time that its agent gives it. Whoever is let in must have
/// enough left for the handshake. With as much patience as the other end has, a node that is behind would shake hands
/// with those alone who give up at that moment, and nobody would ever come back (case F21).
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Addresses after which those without a handshake are forgotten.
const SOURCES: usize = 4096;

/// The doors of one node.
#[derive(Debug)]
pub(crate) struct Doors {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    sources: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    of_one_source: usize,
}

/// A place for one handshake; given back when dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    _source: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Default for Doors {
    fn default() -> Self {
        Self::sized(AT_ONCE, OF_ONE_SOURCE)
    }
}

impl Doors {
    /// Doors for so many at once, so many of them of one address.
    pub(crate) fn sized(at_once: usize, of_one_source: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            sources: Mutex::default(),
            of_one_source,
        }
    }

    /// A place for a handshake with this address, if one is free now.
    pub(crate) fn try_enter(&self, source: IpAddr) -> Option<Handshake> {
        let source = self.source(source).try_acquire_owned().ok()?;
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Handshake { _source: source, _place: place })
    }

    /// Whether diallers should prove their address before they cost anything.
    pub(crate) fn is_busy(&self) -> bool {
        self.places.available_permits() < BUSY_BELOW
    }

    /// A place in the queue; `None` when it is full.
    pub(crate) fn queue(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// Waits for a place for a handshake with this address; `None` when it took too long.
    pub(crate) async fn enter(&self, source: IpAddr) -> Option<Handshake> {
        let source = self.source(source);
        let entering = async {
            let source = source.acquire_owned().await.ok()?;
            let place = self.places.clone().acquire_owned().await.ok()?;
            Some(Handshake { _source: source, _place: place })
        };
        timeout(PATIENCE, entering).await.ok().flatten()
    }

    fn source(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES {
            sources.retain(|_, places| Arc::strong_count(places) > 1);
        }
        sources.entry(address).or_insert_with(|| Arc::new(Semaphore::new(self.of_one_source))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::reconnect::backoff::Backoff;

    #[tokio::test(start_paused = true)]
    async fn one_stranger_cannot_take_every_place() {
        let doors = Doors::default();
        let (stranger, honest) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut held = Vec::new();
        while let Some(handshake) = doors.enter(stranger).await {
            held.push(handshake);
        }
        assert_eq!(held.len(), OF_ONE_SOURCE);
        assert!(!doors.is_busy() && doors.enter(honest).await.is_some());
        held.pop();
        assert!(doors.enter(stranger).await.is_some(), "a place that is given back is free");
    }

    /// Agents of one address return to a node that shakes so many hands a second; says how long it took until all were
    /// back. The node cannot know who has given up, and shakes their hands, too.
    async fn all_back(agents: u64, handshakes_a_second: u64) -> Duration {
        const DIAL: Duration = crate::client::DIAL_TIME;
        let handshake = Duration::from_secs(1) * u32::try_from(OF_ONE_SOURCE).unwrap()
            / u32::try_from(handshakes_a_second).unwrap();
        let doors = Arc::new(Doors::default());
        let began = tokio::time::Instant::now();
        let agents = (0..agents).map(|n| {
            let doors = doors.clone();
            async move {
                tokio::time::sleep(Duration::from_micros(n * 300)).await;
                let mut backoff = Backoff::default();
                for turn in 0.. {
                    let (welcome, welcomed) = tokio::sync::oneshot::channel();
                    if let Some(place) = doors.queue() {
                        let doors = doors.clone();
                        tokio::spawn(async move {
                            let entered = doors.enter(IpAddr::from([127, 0, 0, 1])).await;
                            drop(place);
                            if let Some(_handshake) = entered {
                                tokio::time::sleep(handshake).await;
                                let _ = welcome.send(());
                            }
                        });
                    } else {
                        drop(welcome);
                    }
                    let luck = blake3::hash(&[n.to_be_bytes(), u64::to_be_bytes(turn)].concat());
                    let luck = *luck.as_bytes().first_chunk().unwrap();
                    match timeout(DIAL, welcomed).await {
                        Ok(Ok(())) => return,
                        Ok(Err(_)) => tokio::time::sleep(backoff.next_of_busy(luck)).await,
                        Err(_) => tokio::time::sleep(backoff.next(luck)).await,
                    }
                }
            }
        });
        let back = timeout(Duration::from_secs(300), futures_util::future::join_all(agents)).await;
        assert!(back.is_ok(), "some are not back after five minutes");
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn r_f21_a_node_that_is_behind_lets_in_those_who_still_wait() {
        let back = all_back(1_000, 32).await;
        assert!(back < Duration::from_secs(2 * 1_000 / 32), "{back:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn r_f21_thousands_are_back_soon_after_the_last_could_have_been_let_in() {
        for agents in [2_000, 5_000] {
            let (back, least) = (all_back(agents, 450).await, Duration::from_secs(agents) / 450);
            assert!(back < least * 5 / 4, "{agents} agents: {back:?}, and {least:?} at best");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let doors = Doors::default();
        let waiting: Vec<_> = std::iter::from_fn(|| doors.queue()).collect();
        assert_eq!(waiting.len(), WAITING);
    }
}
