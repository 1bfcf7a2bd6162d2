//! What is looked at again and again: whose time is over. Acts on what [`super::patience`] decides.

use std::sync::Arc;
use std::time::Duration;

use testudo_wire::frame::CloseReason;
use tokio::time::{MissedTickBehavior, interval};

use super::shared::Shared;

/// Between two looks at slow subscribers.
const LOOK: Duration = Duration::from_millis(250);

/// Four times a second: requests whose time is over; receivers that read too slowly, for every sender to them
/// waits for its window; receivers that senders need not wait for any more.
pub(super) async fn sweep(shared: Arc<Shared>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        shared.requests.sweep(now);
        for link in shared.open_links() {
            let relief = link.outboxes.let_senders_go(now);
            // One that was renewed has a time of its own, unless others wait for it.
            if relief.is_in_the_way || (!link.line.is_over() && link.outboxes.is_stuck(now)) {
                link.close(CloseReason::Lagging);
            }
            for (parcel, cause) in relief.given_up {
                shared.drop_parcel(&parcel, cause);
            }
        }
    }
}
