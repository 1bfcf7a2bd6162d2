//! A reader: examines the files that the orchestrator gives it, under the token that it was handed.

use std::path::Path;
use std::sync::Arc;

use testudo::Client;
use testudo::agents::{Agent, AgentError, Bus, Incoming, Outcome};
use testudo::rules::token::Token;
use testudo::wire::{Limits, TokenId};

use super::{Batch, Begin, EXAMINE, Next, READ, message, read_list, report};
use crate::triage::findings::{CONTENT_BYTES_MAX, Finding, examine};
use crate::triage::walk::{WalkedFile, read};

/// One reader. It needs its link to show the token that it is given.
pub(crate) struct Reader(pub(crate) Client);

impl Agent for Reader {
    async fn handle(&mut self, incoming: Incoming, bus: &Bus) -> Result<Outcome, AgentError> {
        if incoming.capability.as_str() != EXAMINE {
            return Err(AgentError::bad_request("only examine:files is served here"));
        }
        let begin: Begin = incoming.json().map_err(AgentError::bad_request)?;
        if begin.orchestrator != incoming.sender.name {
            return Err(AgentError::bad_request("the work must come from whoever hands it out"));
        }
        let token = Token::from_text(&begin.token, &Limits::standard()).map_err(AgentError::bad_request)?;
        let sealed = token.seal().map_err(AgentError::failed)?;
        let token = self.0.present(&sealed).await.map_err(AgentError::failed)?;
        work(bus, &begin, token).await?;
        Outcome::json(&Next {}).map_err(AgentError::failed)
    }
}

/// One batch after the other, until there is none.
async fn work(bus: &Bus, begin: &Begin, token: TokenId) -> Result<(), AgentError> {
    let files: Arc<[WalkedFile]> = read_list(&begin.list)?.into();
    let mut key = [0; 32];
    hex::decode_to_slice(&begin.key, &mut key).map_err(AgentError::bad_request)?;
    loop {
        let mut ask = message(begin.orchestrator, READ, &Next {})?;
        ask.token = Some(token);
        let batch: Batch = bus.request(ask).await?.json().map_err(AgentError::failed)?;
        let Some((from, to)) = batch.range else { return Ok(()) };
        let (list, root) = (files.clone(), begin.root.clone());
        // Examining costs time on the processor: heartbeats must not wait for it.
        let found = tokio::task::spawn_blocking(move || examine_files(&root, &list, from, to, &key));
        let (unread, findings) = found.await.map_err(AgentError::failed)?;
        report(bus, begin.analyst, (from..to).collect(), unread, findings).await?;
    }
}

/// What was found, and how many files could not be read: gone since they were listed, forbidden, or of a name
/// that had to be escaped.
fn examine_files(
    root: &Path,
    files: &[WalkedFile],
    from: usize,
    to: usize,
    key: &[u8; 32],
) -> (usize, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut unread = 0;
    for file in files.iter().take(to).skip(from) {
        match read(root, &file.path, CONTENT_BYTES_MAX) {
            Ok(content) => findings.extend(examine(&file.path, &content, key)),
            Err(_) => unread += 1,
        }
    }
    (unread, findings)
}
