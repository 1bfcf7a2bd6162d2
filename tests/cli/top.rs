//! `top`: a node as it works, for people at a terminal and for machines.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use super::kit::{Node, Place, ended};

const C: &str = "--config s/testudo.toml";
/// Looks until what is sent must be seen.
const LOOKS: usize = 100;

/// A terminal that shows nothing for so long counts as hung.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// An agent that sends what it is told to, until its input is closed.
struct Sender(Child, ChildStdin);

impl Sender {
    fn of(place: &Place) -> Self {
        place.does(&format!("agent add a {C} --allow publish:news --out a.id"));
        let args = ["publish", "news", "--identity", "a.id", "--lines"];
        let mut command = place.command(&args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        Self(child, stdin)
    }

    fn says(&mut self, line: &str) {
        writeln!(self.1, "{line}").unwrap();
    }

    fn end(self) {
        let Self(mut child, stdin) = self;
        drop(stdin);
        ended(&mut child);
    }
}

#[test]
fn what_an_agent_sends_and_what_of_it_is_refused_is_seen_at_once() {
    let place = Place::swarm();
    let node = Node::start(&place);
    let mut sender = Sender::of(&place);
    let line = format!("top {C} --every 0.1 --json");
    let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
    let mut top = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut looks = BufReader::new(top.stdout.take().unwrap()).lines();
    let mut seen = |what: &str, line: &str| {
        (0..LOOKS).any(|_| {
            sender.says(line);
            let look: Value = serde_json::from_str(&looks.next().unwrap().unwrap()).unwrap();
            let agents = look["agents"].as_array().unwrap();
            let a = agents.iter().find(|agent| agent["name"] == "a");
            a.is_some_and(|a| a[what].as_f64().unwrap() > 0.0)
        })
    };
    assert!(seen("allowed_a_second", "the report is done"));
    assert!(seen("refused_a_second", "rm -rf / --no-preserve-root"));
    let _ = top.kill();
    ended(&mut top);
    sender.end();
    node.end();
}

#[test]
fn without_a_terminal_it_says_each_look_and_ends_after_as_many_as_were_asked_for() {
    let place = Place::swarm();
    place.fails(1, &format!("top {C}"), "no node runs on");
    for wrong in ["0", "3601", "soon"] {
        place.fails(2, &format!("top {C} --every {wrong}"), "0.1 to 3600");
    }
    let node = Node::start(&place);
    let said = place.does(&format!("top {C} --every 0.1 --count 2"));
    assert_eq!(said.matches("healthy, 0 agents linked").count(), 2, "{said}");
    // From elsewhere, over one link, which is left in good order.
    place.does(&format!("agent add ops {C} --operator --out ops.id"));
    let said = place.does("top --identity ops.id --every 0.1 --count 3");
    assert!(said.contains("ops") && said.contains("office"), "{said}");
    assert_eq!(place.states(), [("ops".to_owned(), "offline".to_owned())]);
    node.end();
}

#[test]
fn a_terminal_is_taken_whole_and_given_back_as_it_was() {
    let place = Place::swarm();
    let node = Node::start(&place);
    let sender = Sender::of(&place);
    for (end, answers) in [("q", true), ("\x1b", true), ("\x03", true), ("q", false)] {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: 12, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs =
            || File::from(rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap());
        let modes = |file: &File| tcgetattr(file).unwrap().local_modes;
        let (kept, ours) = (theirs(), File::from(ours));
        let before = modes(&kept);
        assert!(before.contains(LocalModes::ECHO | LocalModes::ICANON));
        let mut command = place.command(&["top", "--config", "s/testudo.toml", "--every", "0.1"]);
        command.stdin(theirs()).stdout(theirs()).stderr(Stdio::piped());
        let mut top = command.spawn().unwrap();
        // The command holds its own ends.
        drop(command);
        let (mut shown, mut part) = (String::new(), [0; 4096]);
        let mut until = |what: &str, shown: &mut String| {
            while !shown.contains(what) {
                let mut waits = [PollFd::new(&ours, PollFlags::IN)];
                assert_eq!(poll(&mut waits, Some(&PATIENCE)).unwrap(), 1, "no {what:?} in {shown:?}");
                let read = (&ours).read(&mut part).unwrap();
                shown.push_str(&String::from_utf8_lossy(&part[..read]));
            }
        };
        until("\x1b[?1049h", &mut shown);
        until("order by:", &mut shown);
        assert!(shown.contains("agents linked") && shown.contains("receives/s"), "{shown:?}");
        assert!(!modes(&kept).contains(LocalModes::ICANON), "keys count as they are pressed");
        if !answers {
            node.signal("-STOP");
        }
        (&ours).write_all(end.as_bytes()).unwrap();
        until("\x1b[?1049l", &mut shown);
        assert!(ended(&mut top).success());
        assert_eq!(modes(&kept), before);
        node.signal("-CONT");
    }
    sender.end();
    node.end();
}
