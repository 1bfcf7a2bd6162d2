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
//!         .build()
//! }
//! # assert!(reader().is_ok());
//! ```
//!
//! [`host`] gives it messages from an [`Inbox`], one at a time, and sends its words through a [`Transport`].
//! An agent that panics is built anew by its factory; too many panics in a short time stop its host, and
//! nothing but its host.
//!
//! *Invariant*: only `shell.rs` knows actix; nothing here knows how messages travel.

mod agent;
mod bus;
mod error;
mod handlers;
mod host;
mod intensity;
mod keeper;
mod message;
mod shell;
mod signals;
#[cfg(test)]
mod tests;
mod transport;

pub use agent::{Agent, Outcome};
pub use bus::Bus;
pub use error::{
    AgentError, AskError, ERROR_BYTES_MAX, ErrorCode, ErrorCodeError, JsonError, SendFailure,
    error_content_type,
};
pub use handlers::{Context, Handlers, HandlersError, Served};
pub use host::{HostHandle, HostOptions, Stopped, host};
pub use message::{Answer, Incoming, Message, Receipt};
pub use transport::{Arrived, Inbox, Transport};
