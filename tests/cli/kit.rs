//! Runs the command in a folder of its own, and nodes that end with their test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Looks at a process so often, 10 ms apart, before it counts as hung.
const LOOKS: u32 = 1000;

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A folder to work in.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

pub(crate) fn testudo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.stdin(Stdio::null()).env_remove("TESTUDO_LOG");
    command
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A folder on a certain disk.
    pub(crate) fn on(disk: &std::path::Path) -> Self {
        Self { dir: tempfile::tempdir_in(disk).unwrap() }
    }

    /// A folder with a swarm in `s`.
    pub(crate) fn swarm() -> Self {
        let place = Self::new();
        place.does("init s");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a private file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
        self.mode(name, 0o600);
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    pub(crate) fn mode_of(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Every file below the folder with its content: what must not change when something is refused.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut folders) = (Vec::new(), vec![self.dir.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    found.push((path, Vec::new()));
                } else {
                    let content = std::fs::read(&path).unwrap_or_default();
                    found.push((path, content));
                }
            }
        }
        found.sort();
        found
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = testudo();
        command.args(args).current_dir(self.dir.path());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let args: Vec<_> = line.split_whitespace().collect();
        finished(self.command(&args))
    }

    /// Runs with text on standard input.
    pub(crate) fn fed(&self, line: &str, input: &str) -> Ran {
        let args: Vec<_> = line.split_whitespace().collect();
        let mut command = self.command(&args);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // A command may end without having read it all.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Must work; what it said.
    #[track_caller]
    pub(crate) fn does(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
        ran.out.trim_end().to_owned()
    }

    /// Must work and say one JSON value.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let out = self.does(line);
        assert_eq!(out.lines().count(), 1, "{line}: {out}");
        serde_json::from_str(&out).unwrap()
    }

    /// Must fail with this code and one line that holds `says`.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, line: &str, says: &str) {
        self.run(line).fails(code, says, line);
    }

    /// Must fail with code 1; its last line holds `says`. A log line may stand before it.
    #[track_caller]
    pub(crate) fn fails_at_last(&self, line: &str, says: &str) {
        let ran = self.run(line);
        let last = ran.err.lines().last().unwrap_or_default();
        assert!(
            ran.code == Some(1) && last.starts_with("testudo: ") && last.contains(says),
            "{line}: {ran:?}"
        );
    }

    /// The names of all enrolled agents and their states.
    pub(crate) fn states(&self) -> Vec<(String, String)> {
        let agents = self.json("agent list --json --config s/testudo.toml");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        agents.as_array().unwrap().iter().map(|a| (text(&a["name"]), text(&a["state"]))).collect()
    }
}

/// Runs a command to its end.
pub(crate) fn finished(mut command: Command) -> Ran {
    Ran::of(command.output().unwrap())
}

impl Ran {
    fn of(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, says: &str, what: &str) {
        assert_eq!(self.code, Some(code), "{what}: {self:?}");
        assert_eq!(self.err.lines().count(), 1, "{what}: one line: {self:?}");
        assert!(self.err.starts_with("testudo: ") && self.err.contains(says), "{what}: {self:?}");
    }
}

/// Waits for a process to end by itself.
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    for _ in 0..LOOKS {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("the process did not end");
}

/// A running node.
pub(crate) struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    out: BufReader<ChildStdout>,
    pub(crate) listen: String,
    pub(crate) health: String,
}

impl Node {
    /// Starts a node of the swarm in `s` on ports of the system's choice.
    pub(crate) fn start(place: &Place) -> Self {
        let line = "node --json --until-stdin-closes --listen 127.0.0.1:0 --health 127.0.0.1:0 --config s/testudo.toml";
        Self::of(place.command(&line.split(' ').collect::<Vec<_>>()))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (stdin, mut out) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no start: {line:?}"));
        let address = |key: &str| started[key].as_str().unwrap().to_owned();
        let (listen, health) = (address("listen"), address("health"));
        Self { child, stdin, out, listen, health }
    }

    fn last_words(&mut self) -> (Option<i32>, Value) {
        let status = ended(&mut self.child);
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (status.code(), serde_json::from_str(&rest).unwrap())
    }

    /// Ends in good order.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        let (code, said) = self.last_words();
        assert_eq!((code, said["event"].as_str()), (Some(0), Some("stopped")));
    }

    /// Sends a signal while standard input stays open.
    pub(crate) fn signalled(mut self, signal: &str) -> (Option<i32>, Value) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.last_words()
    }

    /// Sends a signal that does not end it; what it says to it.
    pub(crate) fn nudged(&mut self, signal: &str) -> Value {
        self.signal(signal);
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a signal that does not end it.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// As if the machine lost power.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Status line and body of a health page.
    pub(crate) fn page(&self, path: &str) -> (String, String) {
        self.page_with(path, "")
    }

    /// The same with further header lines.
    pub(crate) fn page_with(&self, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.health).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
