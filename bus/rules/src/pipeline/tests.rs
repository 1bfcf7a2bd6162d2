//! The way of a message, stage by stage and refusal by refusal, with real bundles and real tokens.

mod content;
mod model;
mod rights;
mod way;
pub(crate) mod world;
