//! A member renews its certificate, its token and its link by itself, for as long as it has one.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::Core;
use super::run::Endpoints;
use crate::client::{Client, DialError, RenewError};
use crate::env::{random, until};

/// Between two tries, at least; a node certifies an agent once a minute.
const AGAIN: Duration = Duration::from_secs(60);
/// Between two tries where there is no token to be had: what the agent has goes on under its link of now.
const SELDOM: Duration = Duration::from_secs(3600);
/// Over how much time a swarm renews that was rolled over.
const SPREAD: Duration = Duration::from_secs(60);

/// Any part of a time. Milliseconds of less than a day times 64 bits fit.
fn part_of(time: Duration, random: [u8; 8]) -> Duration {
    let share = u128::from(u64::from_be_bytes(random));
    Duration::from_millis(u64::try_from((time.as_millis() * share) >> 64).unwrap_or(u64::MAX))
}

/// Runs for as long as the link and those that renew it.
pub(super) async fn keep(core: Arc<Core>, endpoints: Endpoints, client: Client) {
    loop {
        let early = part_of(client.renewal_spread(), random(&*core.env));
        tokio::select! {
            () = until(&*core.env, client.renewal_due().before(early)) => {}
            () = core.renew.notified() => {}
            () = rolled(&core, &client) => {}
            () = client.voided(false) => {}
        }
        while let Err(error) = renew(&core, &endpoints, &client).await {
            tracing::warn!(%error, "trying again");
            // A node without the authority's key has none a minute later, either.
            let again = if matches!(error, RenewError::NoToken) { SELDOM } else { AGAIN };
            tokio::select! {
                () = sleep(again + part_of(again, random(&*core.env))) => {}
                () = client.voided(true) => {}
            }
        }
        tracing::debug!("renewed");
        // Whatever it was given: never without end. But a grant may be changed again, or was meanwhile.
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = client.voided(false) => {}
        }
    }
}

/// Returns some time after the swarm has begun to go by another CA or authority key than this link does. What was
/// learnt is kept at once.
async fn rolled(core: &Core, client: &Client) {
    let mut changed = core.identity().learnt.changed();
    loop {
        let number = *changed.borrow_and_update();
        if core.trusts.fetch_max(number, Ordering::AcqRel) < number {
            core.identity.send_modify(|_| ());
        }
        if client.is_outdated() {
            // A swarm does not renew as one.
            return sleep(part_of(SPREAD, random(&*core.env))).await;
        }
        if changed.changed().await.is_err() {
            return pending().await;
        }
    }
}

async fn renew(core: &Core, endpoints: &Endpoints, client: &Client) -> Result<(), RenewError> {
    let identity = Arc::new(client.certify_anew().await?);
    // Good for the next link, too, should the second one not come about.
    core.identity.send_replace(identity.clone());
    client.counts(&identity)?;
    let endpoint = endpoints().map_err(|error| DialError::Link(error.to_string()))?;
    let seen = client.renew(&endpoint, identity).await?;
    core.kept().saw(seen);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_time_is_less_than_it() {
        const SPREAD: Duration = Duration::from_secs(3600);
        assert_eq!(part_of(SPREAD, [0; 8]), Duration::ZERO);
        assert_eq!(part_of(SPREAD, (1_u64 << 63).to_be_bytes()), SPREAD / 2);
        assert!(part_of(SPREAD, [0xff; 8]) < SPREAD);
    }
}
