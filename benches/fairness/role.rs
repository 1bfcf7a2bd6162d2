//! Processes that load the node while they are told to: one sends large bodies, one as many messages as it can.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use testudo::{Client, ContentType, Deliveries, Identity, Outgoing};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use crate::Done;
use crate::stage::{ASK, BULK_TO, LARGE, SERVER};

/// Says that this program is one of the bench's parts.
pub(crate) const FLAG: &str = "--part";

/// A body that the content guard reads to its end.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// Plays one part until standard input ends.
pub(crate) async fn play(part: &str, identities: &[String]) -> Done {
    let mut links = Vec::new();
    for identity in identities {
        links.push(testudo::dial(&Identity::load(Path::new(identity))?).await?);
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    say("ready", 0)?;
    match (part, links.as_mut_slice()) {
        ("bulk", [(sender, _), (_, inbox)]) => bulk(&mut lines, sender, inbox).await,
        ("flood", [(sender, _)]) => flood(&mut lines, sender).await,
        _ => Err("no such part".into()),
    }
}

fn say(what: &str, count: u64) -> Done {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{}", json!({ what: count }))?)
}

type Orders = Lines<BufReader<Stdin>>;

/// Large bodies, one after the other, each taken in by the receiver.
async fn bulk(orders: &mut Orders, sender: &Client, inbox: &mut Deliveries) -> Done {
    let line = "The quarterly report of the billing service lists every invoice by its number and day. ";
    let body: Bytes = line.repeat(BODY_BYTES / line.len()).into();
    while orders.next_line().await?.is_some() {
        say("started", 0)?;
        let mut sent = 0;
        loop {
            let mut message = Outgoing::new(BULK_TO.parse()?, LARGE.parse()?, body.clone());
            message.content_type = ContentType::text();
            let one = async { tokio::join!(sender.deliver(message), inbox.next()) };
            tokio::select! {
                biased;
                order = orders.next_line() => {
                    order?;
                    break;
                }
                (receipt, _) = one => {
                    receipt?;
                    sent += 1;
                }
            }
        }
        say("stopped", sent)?;
    }
    Ok(())
}

/// Small messages to the server that everybody asks, as fast as the node takes them.
async fn flood(orders: &mut Orders, sender: &Client) -> Done {
    while orders.next_line().await?.is_some() {
        say("started", 0)?;
        let mut sent = 0;
        loop {
            let message = Outgoing::new(SERVER.parse()?, ASK.parse()?, r#"{"question":"how are things?"}"#);
            tokio::select! {
                biased;
                order = orders.next_line() => {
                    order?;
                    break;
                }
                posted = sender.post(message) => {
                    posted?;
                    sent += 1;
                }
            }
        }
        say("stopped", sent)?;
    }
    Ok(())
}
