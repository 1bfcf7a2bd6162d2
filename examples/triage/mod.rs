//! The example swarm `triage`: an orchestrator asks readers to examine the files of a folder, each under a
//! token delegated to it; readers report to an analyst, which ranks what they found. Beside them mallory,
//! enrolled but compromised, attacks.
//!
//! Copy this to start a swarm of your own: [`swarm`] holds the three honest agents, some 60 lines each.

pub(crate) mod findings;
pub(crate) mod mallory;
pub(crate) mod report;
pub(crate) mod swarm;
pub(crate) mod walk;
