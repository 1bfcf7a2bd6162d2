//! The example swarm `triage`: an orchestrator has readers examine the files of a folder, each under a token
//! delegated to it; readers report to an analyst, which ranks what they found; a watcher shows how far they
//! are. Beside them mallory, enrolled but compromised, attacks.
//!
//! Copy this to start a swarm of your own: [`swarm`] holds the four honest agents, each a page long. They show
//! a request to a named agent with a token for it, a service, a topic, and an answer in parts.

pub(crate) mod findings;
pub(crate) mod mallory;
pub(crate) mod report;
pub(crate) mod swarm;
pub(crate) mod walk;
