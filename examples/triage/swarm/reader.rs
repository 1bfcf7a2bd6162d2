//! A reader: examines the files that the orchestrator gives it, under the token that came with its first
//! request.

use std::path::Path;
use std::sync::Arc;

use testudo::agents::{Agent, AgentError, Context, Incoming, Outcome, TokenText};
use testudo::wire::AgentName;

use super::{BEGIN, Batch, Begin, EXAMINE, Next, Progress, READ, message, progress, read_list, report};
use crate::triage::findings::{CONTENT_BYTES_MAX, Finding, examine};
use crate::triage::walk::{WalkedFile, read};

/// One reader.
#[derive(Default)]
pub(crate) struct Reader {
    begun: Option<Begun>,
}

/// What it was given to begin with.
struct Begun {
    orchestrator: AgentName,
    token: TokenText,
    begin: Begin,
    key: [u8; 32],
    files: Arc<[WalkedFile]>,
}

impl Agent for Reader {
    async fn handle(&mut self, incoming: Incoming, context: &Context) -> Result<Outcome, AgentError> {
        match incoming.capability.as_str() {
            BEGIN => self.begun = Some(begin(&incoming, context).await?),
            EXAMINE => {
                let begun = self.begun.as_ref();
                let begun = begun.ok_or_else(|| AgentError::bad_request("nobody let this reader begin"))?;
                begun.examine(context).await?;
            }
            other => return Err(AgentError::bad_request(format_args!("{other} is not served here"))),
        }
        Outcome::json(&Next {}).map_err(AgentError::failed)
    }
}

async fn begin(incoming: &Incoming, context: &Context) -> Result<Begun, AgentError> {
    let begin: Begin = incoming.json().map_err(AgentError::bad_request)?;
    // A token that does not serve is said now, and not at the first batch.
    context.on_behalf().await?;
    let token = incoming.delegated.clone();
    let token = token.ok_or_else(|| AgentError::bad_request("no token came with the request"))?;
    let mut key = [0; 32];
    hex::decode_to_slice(&begin.key, &mut key).map_err(AgentError::bad_request)?;
    let files = read_list(&begin.list)?.into();
    Ok(Begun { orchestrator: incoming.sender.name, token, begin, key, files })
}

impl Begun {
    /// Takes a batch under the token, examines it, reports.
    async fn examine(&self, context: &Context) -> Result<(), AgentError> {
        let (bus, under) = (context.bus(), context.bus().on_behalf(&self.token).await?);
        let ask = message(self.orchestrator, READ, &Next {})?;
        let batch: Batch = under.request(ask).await?.json().map_err(AgentError::failed)?;
        let Some((from, to)) = batch.range else { return Ok(()) };
        let (list, root, key) = (self.files.clone(), self.begin.root.clone(), self.key);
        // Examining costs time on the processor: heartbeats must not wait for it.
        let found = tokio::task::spawn_blocking(move || examine_files(&root, &list, from, to, &key));
        let (unread, findings) = found.await.map_err(AgentError::failed)?;
        let examined = Progress::Examined { files: to - from, findings: findings.len() };
        report(bus, self.begin.analyst, (from..to).collect(), unread, findings).await?;
        progress(bus, examined).await
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
