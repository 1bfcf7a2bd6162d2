//! Agents as plain Rust, hosted on anything that can carry messages.
//!
//! An agent is an [`Agent`], or a set of closures, one per capability:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use testudo_agents::{Handlers, HandlersError, Served};
//!
//! #[derive(Deserialize)]
//! struct ReadLogs {
//!     last: usize,
//! }
//!
//! #[derive(Serialize)]
//! struct LogLines {
//!     lines: Vec<String>,
//! }
//!
//! fn reader() -> Result<Served, HandlersError> {
//!     Handlers::new()
//!         .on("read:logs", |request: ReadLogs, _| async move {
//!             Ok(LogLines { lines: vec!["all is well".to_owned(); request.last] })
//!         })
//!         .on_stream("follow:logs", |request: ReadLogs, _, mut stream| async move {
//!             for n in 0..request.last {
//!                 // Waits until the asker has room, and fails when it no longer listens.
//!                 stream.send_text(format!("line {n}")).await?;
//!             }
//!             Ok(stream.finish().await?)
//!         })
//!         .on_topic("alerts", |alert: String, context| async move {
//!             println!("{}: {alert}", context.sender().name);
//!             Ok(())
//!         })
//!         .build()
//! }
//! # assert!(reader().is_ok());
//! ```
//!
//! A handler may answer early ([`Context::reply`]) or in parts ([`Context::stream`]), act under the token that
//! came with its request ([`Context::on_behalf`]) and hand on a part of it ([`Context::delegate`]).
//!
//! [`host`] gives it messages from an [`Inbox`], one at a time, and sends its words through a [`Transport`].
//! An agent that panics is built anew by its factory; too many panics in a short time stop its host, have the
//! node revoke it, and harm nothing else.
//!
//! *Invariant*: only `shell.rs` knows actix; nothing here knows how messages travel.

mod agent;
mod answering;
mod bus;
mod carrier;
mod context;
mod delegated;
mod error;
mod failure;
mod handlers;
mod host;
mod incoming;
mod intensity;
mod keeper;
mod message;
mod parts;
mod shell;
mod signals;
mod stream;
#[cfg(test)]
mod tests;
mod token;
mod traced;
mod transport;

pub use agent::{Agent, Outcome};
pub use bus::{Bus, Tell};
pub use context::Context;
pub use delegated::{DelegatedError, delegated_content_type};
pub use error::{AgentError, ERROR_BYTES_MAX, ErrorCode, ErrorCodeError, error_content_type};
pub use failure::{AskError, JsonError, ReplyError, SendFailure, advice};
pub use handlers::{Handlers, HandlersError, Served};
pub use host::{HostHandle, HostOptions, Stopped, host};
pub use incoming::{Answer, Incoming, Receipt};
pub use message::{Message, To};
pub use parts::AnswerParts;
pub use stream::ReplyStream;
pub use token::{Delegate, TOKEN_TEXT_BYTES_MAX, TokenText, TokenTextError};
pub use transport::{Arrived, Inbox, Parts, Transport, Wish};
