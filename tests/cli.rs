//! The command as people and scripts meet it: real processes, folders and sockets. Every wrong configuration, key,
//! identity, argument and token ends in one line that says what is wrong, with its exit code and nothing changed.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]

#[path = "cli/agents.rs"]
mod agents;
#[path = "cli/audit.rs"]
mod audit;
#[path = "cli/backup.rs"]
mod backup;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/clock.rs"]
mod clock;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/exporters.rs"]
mod exporters;
#[path = "cli/folder.rs"]
mod folder;
#[path = "cli/grants.rs"]
mod grants;
#[path = "cli/guard.rs"]
mod guard;
#[path = "cli/joining.rs"]
mod joining;
#[path = "cli/kit.rs"]
mod kit;
#[path = "cli/mandates.rs"]
mod mandates;
#[path = "cli/node.rs"]
mod node;
#[path = "cli/operators.rs"]
mod operators;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/read_only.rs"]
mod read_only;
#[path = "cli/reading.rs"]
mod reading;
#[path = "cli/revoked.rs"]
mod revoked;
#[path = "cli/seen.rs"]
mod seen;
#[path = "cli/stolen.rs"]
mod stolen;
#[path = "cli/talk.rs"]
mod talk;
#[path = "cli/tokens.rs"]
mod tokens;
#[path = "cli/top.rs"]
mod top;
#[path = "cli/trust.rs"]
mod trust;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/witnessed.rs"]
mod witnessed;
