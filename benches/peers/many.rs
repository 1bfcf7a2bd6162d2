//! What many agents do together, whatever the bus: everyone writes to everyone; all link, and come back.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::Done;
use crate::role::{Commands, answer, wall_us};

/// How often it is looked who is back.
const LOOK: Duration = Duration::from_millis(5);
/// The longest that all may take to come back.
const BACK: Duration = Duration::from_secs(90);

/// Half of a circle of agents, each of whom writes to everyone else of the whole circle.
pub(crate) trait Circle {
    /// Each agent here sends so many messages to each other one, and takes in as many from each of them.
    async fn exchange(&mut self, each: u32) -> Done;
    /// Says goodbye.
    async fn leave(self) -> Done;
}

/// Agents that are linked and do nothing.
pub(crate) trait Crowd {
    /// Links all of them, and returns when they are.
    async fn gather(&mut self) -> Done;
    /// Remembers the links of now.
    fn mark(&mut self);
    /// How many have no newer link than the marked one.
    fn missing(&self) -> usize;
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command {
    Exchange(u32),
    Gather,
    Mark,
    /// All are to be back.
    Back,
}

/// Exchanges what it is told to.
pub(crate) async fn circle(mut links: impl Circle) -> Done {
    let mut commands = Commands::open();
    while let Some(command) = commands.next().await? {
        let Command::Exchange(each) = command else { return Err("a circle does nothing else".into()) };
        let began = wall_us()?;
        links.exchange(each).await?;
        answer(&json!({ "began": began, "ended": wall_us()? }));
    }
    links.leave().await
}

/// Links, waits, comes back.
pub(crate) async fn crowd(mut links: impl Crowd) -> Done {
    let mut commands = Commands::open();
    while let Some(command) = commands.next().await? {
        match command {
            Command::Exchange(_) => return Err("a crowd says nothing".into()),
            Command::Gather => {
                let began = Instant::now();
                links.gather().await?;
                answer(&json!({ "seconds": began.elapsed().as_secs_f64() }));
            }
            Command::Mark => {
                links.mark();
                answer(&json!({ "marked": true }));
            }
            Command::Back => {
                let began = Instant::now();
                while links.missing() > 0 {
                    if began.elapsed() > BACK {
                        return Err(
                            format!("{} are not back after {} s", links.missing(), BACK.as_secs()).into()
                        );
                    }
                    sleep(LOOK).await;
                }
                answer(&json!({ "ended": wall_us()? }));
            }
        }
    }
    Ok(())
}
