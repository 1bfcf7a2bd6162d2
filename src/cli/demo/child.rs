//! A child process that speaks JSON lines and ends with its standard input.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::cli::CliError;

/// A child that is asked to end has so long.
const END: Duration = Duration::from_secs(10);

/// One process of the demo.
pub(super) struct Child {
    name: String,
    process: Process,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts this program again with other arguments.
    pub(super) fn start<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::Failed(format!("cannot start {name}: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A Ctrl-C of the terminal is for the demo alone: children that end by themselves look like a fault.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let missing = || CliError::Failed(format!("cannot talk to {name}"));
        let stdin = process.stdin.take().ok_or_else(missing)?;
        let lines = BufReader::new(process.stdout.take().ok_or_else(missing)?).lines();
        Ok(Self { name: name.to_owned(), process, stdin: Some(stdin), lines })
    }

    /// The next line, which must be JSON.
    pub(super) async fn hear(&mut self) -> Result<Value, CliError> {
        let line = self.lines.next_line().await?;
        let line = line.ok_or_else(|| CliError::Failed(format!("{} ended too early", self.name)))?;
        let value: Value = serde_json::from_str(&line)?;
        match value["error"].as_str() {
            Some(error) => Err(CliError::Failed(format!("{}: {error}", self.name))),
            None => Ok(value),
        }
    }

    /// Says something.
    pub(super) async fn tell(&mut self, value: &Value) -> Result<(), CliError> {
        let stdin =
            self.stdin.as_mut().ok_or_else(|| CliError::Failed(format!("{} has ended", self.name)))?;
        stdin.write_all(format!("{value}\n").as_bytes()).await?;
        Ok(())
    }

    /// Closes its standard input, hears its last line, and waits for its end.
    pub(super) async fn end(mut self) -> Result<Option<Value>, CliError> {
        self.stdin = None;
        let ending = async {
            let mut last = None;
            while let Some(line) = self.lines.next_line().await? {
                last = serde_json::from_str(&line).ok();
            }
            self.process.wait().await?;
            Ok(last)
        };
        match timeout(END, ending).await {
            Ok(last) => last,
            Err(_) => Err(CliError::Failed(format!("{} did not end when asked", self.name))),
        }
    }
}
