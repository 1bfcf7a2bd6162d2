//! A child process that speaks JSON lines and ends with its standard input. Knows nothing of what it does.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::{Done, role};

/// The longest that a child may be busy before it says something.
const PATIENCE: Duration = Duration::from_secs(120);
/// A child that is asked to end has so long.
const END: Duration = Duration::from_secs(15);

/// What happens to a child whose owner gives up on it; either way its standard input closes.
#[derive(Clone, Copy)]
pub(crate) enum Abandoned {
    /// It is killed.
    Killed,
    /// It ends by itself, because it has a process of its own to end first.
    LeftToEnd,
}

/// One process of the bench.
pub(crate) struct Child {
    name: &'static str,
    process: Process,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// This program as one of the bench's parts.
pub(crate) fn part(arguments: &[&str]) -> Done<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role::FLAG).args(arguments);
    Ok(command)
}

impl Child {
    /// Starts it.
    pub(crate) fn start(name: &'static str, mut command: Command, abandoned: Abandoned) -> Done<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.kill_on_drop(match abandoned {
            Abandoned::Killed => true,
            Abandoned::LeftToEnd => false,
        });
        let mut process = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        let stdin = process.stdin.take().ok_or("no standard input")?;
        let lines = BufReader::new(process.stdout.take().ok_or("no standard output")?).lines();
        Ok(Self { name, process, stdin, lines })
    }

    /// The next line, which must be JSON.
    pub(crate) async fn hear(&mut self) -> Done<Value> {
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .map_err(|_| format!("{} said nothing for {} s", self.name, PATIENCE.as_secs()))??
            .ok_or_else(|| format!("{} ended too early", self.name))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Says something.
    pub(crate) async fn tell(&mut self, value: &Value) -> Done {
        self.stdin.write_all(format!("{value}\n").as_bytes()).await?;
        Ok(())
    }

    /// Processor time that it and the processes below it have used, in microseconds; `None` where the system does
    /// not tell.
    pub(crate) fn cpu_us(&self) -> Option<f64> {
        self.sum(cpu_us)
    }

    /// Memory that it and the processes below it have in use, in KiB; `None` where the system does not tell.
    pub(crate) fn memory_kib(&self) -> Option<f64> {
        self.sum(memory_kib)
    }

    fn sum(&self, of: fn(u32) -> Option<f64>) -> Option<f64> {
        let pid = self.process.id()?;
        let below = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let below = below.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(of);
        Some(of(pid)? + below.sum::<f64>())
    }

    /// Closes its standard input and waits for its end.
    pub(crate) async fn end(self) -> Done {
        let Self { name, mut process, stdin, mut lines } = self;
        drop(stdin);
        let ending = async {
            while lines.next_line().await?.is_some() {}
            process.wait().await
        };
        let status = timeout(END, ending).await.map_err(|_| format!("{name} did not end when asked"))??;
        if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}").into()) }
    }
}

/// User and system time of a process: fields 14 and 15 of proc(5)'s `stat`, in hundredths of a second.
fn cpu_us(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() * 10_000.0)
}

/// What of a process is in memory: `VmRSS` of proc(5)'s `status`.
fn memory_kib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
