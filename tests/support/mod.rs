//! A swarm for tests: real node, real clients, real TLS, on an in-memory network and one paused clock.
//!
//! Every test binary takes what it needs from here.

pub(crate) mod careless;
pub(crate) mod certs;
pub(crate) mod crafted;
pub(crate) mod ledger;
pub(crate) mod mallory;
pub(crate) mod net;
pub(crate) mod site;
pub(crate) mod swarm;
pub(crate) mod tally;
pub(crate) mod world;

use std::time::Duration;

pub(crate) use swarm::Swarm;
pub(crate) use world::World;

/// Runs a test on one thread, under actix, on a clock that jumps whenever nothing is left to do.
pub(crate) fn sim<F: Future<Output = ()>>(test: F) {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    actix::System::with_tokio_rt(runtime).block_on(test);
}

/// Lets virtual time pass.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits for something that must come within ten virtual minutes.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let ever = Duration::from_secs(600);
    let waiting = async {
        while !holds() {
            pass(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(ever, waiting).await.is_ok(), "never: {what}");
}
