//! Testudo: the secure message bus for swarms of AI agents.
//!
//! No message reaches an agent unless its sender, its freshness, its authority and its content have been
//! proved. This crate is the facade: a program with a swarm of its own needs [`Swarm`]; an agent of a swarm
//! elsewhere needs [`Identity`] (from a file, or by [`accept_invitation`]) and [`connect`]; an operator needs [`swarm`], [`server`] and [`operator`]. The parts
//! live in crates of their own:
//!
//! - [`wire`]: the words. *Invariant*: what decodes has exactly one encoding.
//! - [`rules`]: the decisions, pure. *Invariant*: a later stage cannot be reached without the earlier one.
//! - [`registry`]: who is here. *Invariant*: the registry sequence never goes down.
//! - [`bus`]: links, guard, audit writer. *Invariant*: no delivery without a verdict and a written record.
//! - [`agents`]: hosting of agents. *Invariant*: one agent's panic harms no other.
//!
//! This crate alone reads clocks, dice, files and the environment.

pub use testudo_agents as agents;
pub use testudo_bus as bus;
pub use testudo_registry as registry;
pub use testudo_rules as rules;
pub use testudo_wire as wire;

pub mod backup;
pub mod config;
mod connection;
mod dialling;
pub mod doctor;
pub mod embedded;
pub mod env;
pub mod export;
pub mod files;
pub mod health;
pub mod hosting;
pub mod identity;
pub mod issuer;
pub mod joining;
pub mod operator;
pub mod packs;
pub mod rollover;
mod runtime;
pub mod seen;
pub mod server;
pub mod swarm;
mod trouble;
pub mod witness;

pub use agents::{Agent, AgentError, Bus, Context, Handlers, Message, Wish};
pub use agents::{HostHandle, HostOptions};
pub use bus::client::{Client, Deliveries, Delivery, DialError, Member, Outgoing, Receipt, SendError};
pub use bus::metrics::Account;
pub use connection::{Connection, connect, join};
pub use embedded::{EmbeddedError, Role, RoleError, Swarm};
pub use identity::{Identity, dial};
pub use joining::{JoinError, accept_invitation};
pub use runtime::{ThreadError, run};
pub use wire::{AgentName, Capability, ContentType, CorrelationId, Refusal, Ttl};
