//! An agent that takes messages and reads none of them, so that whoever sends to it would wait for ever. It has
//! a link of its own and attacks beside all the others: the node's patience is seconds.

use testudo::Identity;
use testudo::wire::{Capability, Destination, MessageId};
use tokio::task::JoinHandle;

use super::link::RawLink;
use super::mishap::{Mishap, word};

/// Bytes of each message: nine of them fill what a stream may have on its way.
const BODY_BYTES: usize = 56 * 1024;
/// Messages that the slow reader sends itself, and that its crony adds. One sender alone stops at its own
/// window; the two leave something waiting that cannot be written.
const OWN: usize = 8;
const ADDED: usize = 4;

/// The attack, under way.
pub(super) struct SlowReader(JoinHandle<Result<String, Mishap>>);

impl SlowReader {
    pub(super) fn start(sloth: &Identity, crony: &Identity) -> Self {
        Self(tokio::spawn(sleep(sloth.clone(), crony.clone())))
    }

    /// How its link ended.
    pub(super) async fn end(&mut self) -> Result<String, Mishap> {
        (&mut self.0).await.map_err(|_| Mishap::Forgery("the slow reader has crashed"))?
    }
}

impl Drop for SlowReader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn sleep(sloth: Identity, crony: Identity) -> Result<String, Mishap> {
    let mut reader = RawLink::dial(&sloth).await?;
    let mut sender = RawLink::dial(&crony).await?;
    let (to, hello) = (Destination::Agent(sloth.client.name), Capability::parse("say:hello")?);
    let body = "all is well. ".repeat(BODY_BYTES / 13);
    for (link, messages) in [(&mut reader, OWN), (&mut sender, ADDED)] {
        let mut last = (0, MessageId::new([0; 16]));
        for _ in 0..messages {
            let header = link.header(to, hello);
            let bundle = link.sign(&[(header, body.as_bytes())])?;
            last = (link.send(bundle.bytes()).await?, header.message);
        }
        let verdict = link.verdict(last.0, &last.1).await?;
        if verdict != "accepted" {
            return Ok(format!("the messages to be left unread were {verdict}"));
        }
    }
    // Control frames are read, the data stream never.
    let end = word(&reader.closed().await);
    sender.goodbye().await?;
    Ok(end)
}
