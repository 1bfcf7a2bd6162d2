//! The `testudo` command: nats-like verbs, `--json` wherever a machine may read, one line for every error.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 usage or configuration. Only this folder prints.

mod agent;
mod audit;
mod demo;
mod doctor;
mod given;
mod guard;
mod init;
mod invite;
mod join;
mod node;
mod one;
mod rights;
mod swarm;
mod talk;
mod through;
mod token;
mod top;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use testudo::backup::BackupError;
use testudo::config::ConfigError;
use testudo::files::FileError;
use testudo::identity::IdentityError;
use testudo::server::{AskError, ServerError};
use testudo::swarm::SwarmError;
use tokio::signal::unix::{SignalKind, signal};

/// The secure message bus for swarms of AI agents.
#[derive(Debug, Parser)]
#[command(name = "testudo", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Enrol, list, revoke and reinstate agents
    #[command(subcommand)]
    Agent(agent::Agent),
    /// Read and verify the audit log
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Run the example swarm on a folder, under attack
    Demo(demo::Demo),
    /// One process of the example swarm; `demo` starts them
    #[command(hide = true)]
    DemoRole(demo::Role),
    /// Look whether everything is in place
    Doctor(doctor::Doctor),
    /// Try the content guard on text
    #[command(subcommand)]
    Guard(guard::Guard),
    /// Make a swarm: four keys and a configuration
    Init(init::Init),
    /// Join a swarm by an invitation, and write an identity file
    Join(join::Join),
    /// Run a node
    Node(node::RunNode),
    /// Publish messages to a topic
    Publish(talk::Publish),
    /// Ask an agent, and print its answer as it comes
    Request(talk::Request),
    /// Send messages to an agent
    Send(talk::Send),
    /// How a running node is
    Status(node::Status),
    /// Print the messages of topics as they come
    Subscribe(talk::Subscribe),
    /// Keep a swarm's keys safe
    #[command(subcommand)]
    Swarm(swarm::Swarm),
    /// Make, narrow, hand on and read capability tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Watch a running node and its agents work
    Top(top::Top),
}

/// Which swarm folder a command works on.
#[derive(Args, Clone, Debug)]
struct At {
    /// The swarm's configuration file
    #[arg(long, value_name = "FILE", default_value = "testudo.toml")]
    config: PathBuf,
}

/// What ends a command.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Wrong usage or configuration: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Refused or failed: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// An operator put itself out, and so heard no more.
    #[error("this operator is revoked, as it asked")]
    RevokedItself,
}

macro_rules! usage {
    ($($error:ty),+) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::Usage(error.to_string())
            }
        }
    )+};
}
usage!(BackupError, ConfigError, FileError, IdentityError, ServerError, SwarmError);

macro_rules! failed {
    ($($error:ty),+) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::Failed(error.to_string())
            }
        }
    )+};
}
failed!(
    AskError,
    std::io::Error,
    serde_json::Error,
    testudo::DialError,
    testudo::SendError,
    testudo::ThreadError
);

impl From<testudo::rules::token::TokenError> for CliError {
    fn from(error: testudo::rules::token::TokenError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<testudo::rules::token::BuildError> for CliError {
    fn from(error: testudo::rules::token::BuildError) -> Self {
        Self::Failed(error.to_string())
    }
}

type Done = Result<(), CliError>;

/// Reads the arguments and does what they say.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say_error(&usage_line(&error));
            return ExitCode::from(2);
        }
    };
    match logging(cli.verb.logs()).and_then(|()| cli.verb.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = error.to_string().replace('\n', " ");
            say_error(&line);
            match error {
                CliError::Usage(_) => ExitCode::from(2),
                CliError::Failed(_) | CliError::RevokedItself => ExitCode::FAILURE,
            }
        }
    }
}

impl Verb {
    /// What is logged when nobody asks for more: those who talk say themselves what becomes of their link.
    const fn logs(&self) -> &'static str {
        match self {
            Self::Publish(_) | Self::Request(_) | Self::Send(_) | Self::Subscribe(_) => "error",
            // An operator's link is told of in the same way; what is amiss in a folder is not.
            Self::Agent(_)
            | Self::Audit(_)
            | Self::Guard(_)
            | Self::Status(_)
            | Self::Token(_)
            | Self::Top(_) => "warn,testudo_bus::client=error",
            Self::Demo(_)
            | Self::DemoRole(_)
            | Self::Doctor(_)
            | Self::Init(_)
            | Self::Join(_)
            | Self::Node(_)
            | Self::Swarm(_) => "warn",
        }
    }

    fn run(self) -> Done {
        match self {
            Self::Agent(verb) => verb.run(),
            Self::Audit(verb) => verb.run(),
            Self::Demo(demo) => demo.run(),
            Self::DemoRole(role) => role.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Guard(verb) => verb.run(),
            Self::Init(init) => init.run(),
            Self::Join(join) => join.run(),
            Self::Node(node) => node.run(),
            Self::Publish(verb) => verb.run(),
            Self::Request(verb) => verb.run(),
            Self::Send(verb) => verb.run(),
            Self::Status(status) => status.run(),
            Self::Subscribe(verb) => verb.run(),
            Self::Swarm(verb) => verb.run(),
            Self::Token(verb) => verb.run(),
            Self::Top(top) => top.run(),
        }
    }
}

/// Warnings to standard error; more with `TESTUDO_LOG=info` and the like.
fn logging(default: &str) -> Done {
    let text = std::env::var("TESTUDO_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&text).map_err(|error| {
        CliError::Usage(format!("the environment variable TESTUDO_LOG: {error}; write a level such as info"))
    })?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}

/// What clap says over several lines, in one.
fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("testudo --help");
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return format!("something is missing; use it as `{usage}`, and see --help");
    }
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<_> = said.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    let said = said.join(" ");
    format!("{}; see --help", said.strip_prefix("error: ").unwrap_or(&said))
}

/// Whether somebody still reads what a command says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reader {
    Here,
    Gone,
}

/// A line for people or machines. A reader that has gone away ends the output, not the command.
fn say(line: &str) {
    let _ = try_say(line);
}

fn try_say(line: &str) -> Reader {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}").map_or(Reader::Gone, |()| Reader::Here)
}

fn say_error(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "testudo: {line}");
}

/// Returns when somebody wants the command to end.
async fn interrupted() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Runs under actix on one thread, as a node does.
fn actor_system<F: Future<Output = Done>>(work: F) -> Done {
    testudo::run(work)?
}

/// Runs on one thread, without actors.
fn plain<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
