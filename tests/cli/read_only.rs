//! Disks that turn read-only under a running node. Real ones: a file system that is shadowed by a read-only mount of
//! itself, and one that its own kernel remounts read-only after an error. Where nothing can be mounted these say so.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testudo::agents::{Agent, AgentError, Bus, Context, Incoming, Message, Outcome, SendFailure};
use testudo::wire::{AgentName, Refusal};
use testudo::{ContentType, HostOptions, Identity};

use super::kit::{Node, Place, finished};

const C: &str = "--config s/testudo.toml";

fn does(program: &str, args: &[&str]) -> bool {
    let done = Command::new(program).args(args).output();
    done.is_ok_and(|done| done.status.success())
}

/// A mount that ends with its test.
struct Mounted(PathBuf);

impl Mounted {
    /// A read-only mount of a folder over itself: what has a file open goes on with it, nobody opens another to write.
    fn over(folder: &Path) -> Option<Self> {
        let at = folder.to_str().unwrap();
        if does("mount", &["--bind", at, at]) {
            let mounted = Self(folder.to_owned());
            if does("mount", &["-o", "remount,ro,bind", at]) {
                return Some(mounted);
            }
        }
        eprintln!("SKIPPED: nothing can be mounted here (needs root)");
        None
    }

    /// An ext4 file system in a file, which goes read-only at the first error.
    fn image(image: &Path, at: &Path) -> Option<Self> {
        let (file, folder) = (image.to_str().unwrap(), at.to_str().unwrap());
        if does("mount", &["-t", "ext4", "-o", "loop,errors=remount-ro", file, folder]) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("SKIPPED: no file can be mounted here (needs root and loop devices)");
        None
    }

    /// The kernel finds an error in it.
    fn breaks(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let at = self.0.to_str().unwrap();
        let device = mounts.lines().find_map(|line| {
            line.strip_suffix(at).or_else(|| {
                let (device, rest) = line.split_once(' ')?;
                rest.starts_with(&format!("{at} ")).then_some(device)
            })
        });
        let device = Path::new(device.unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Waits for a page to answer like this.
fn until(node: &Node, path: &str, status: &str) {
    for _ in 0..1000 {
        if node.page(path).0.contains(status) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{path} never said {status}: {:?}", node.page(path));
}

/// Counts what it is given.
struct Counting(Arc<AtomicUsize>);

impl Agent for Counting {
    async fn handle(&mut self, _: Incoming, _: &Context) -> Result<Outcome, AgentError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Outcome::Done)
    }
}

/// `a` sends to `b`, both in this process, while `work` runs.
fn talking(place: &Place, node: &Node, work: impl AsyncFnOnce(&Bus, &AtomicUsize)) {
    place.does(&format!("agent add a {C} --allow send:x --out a.id"));
    place.does(&format!("agent add b {C} --serve send:x --out b.id"));
    let [a, b] = ["a.id", "b.id"].map(|file| {
        place.write(file, place.read(file).replace("127.0.0.1:7600", &node.listen));
        Identity::load(&place.path(file)).unwrap()
    });
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let run = async move {
        let host = testudo::connect(&b).await.unwrap();
        let host = host.host(move || Counting(counted.clone()), HostOptions::default()).await.unwrap();
        let sender = testudo::connect(&a).await.unwrap();
        work(&sender.bus(), &taken).await;
        host.stop();
        host.stopped().await;
        sender.goodbye().await;
    };
    testudo::run(run).unwrap();
}

async fn tell(bus: &Bus) -> Result<(), SendFailure> {
    let to = AgentName::parse("b").unwrap();
    let message = Message::new(to, "send:x".parse().unwrap(), ContentType::text(), "x");
    bus.tell(message).await.map(|_| ())
}

fn is_unrecorded(told: &Result<(), SendFailure>) -> bool {
    matches!(told, Err(SendFailure::Refused { refusal: Refusal::AuditUnavailable, .. }))
}

#[test]
fn t_f03_r_h11_a_folder_that_turns_read_only_delivers_nothing_and_comes_back_without_a_restart() {
    let place = Place::swarm();
    let mut command = place.command(&[
        "node",
        "--json",
        "--until-stdin-closes",
        "--listen",
        "127.0.0.1:0",
        "--health",
        "127.0.0.1:0",
        "--config",
        "s/testudo.toml",
    ]);
    // The next segment is soon to be begun.
    command.env("TESTUDO_AUDIT__SEGMENT_BYTES", "65536");
    let node = Node::of(command);
    let ran = Cell::new(false);
    talking(&place, &node, async |bus, taken| {
        tell(bus).await.unwrap();
        let Some(shadow) = Mounted::over(&place.path("s/data/audit")) else { return };
        let mut passed = 1;
        // Into the segment that is open everything goes; there is no next one.
        let refused = loop {
            match tell(bus).await {
                Ok(()) => passed += 1,
                refused @ Err(_) => break refused,
            }
            assert!(passed < 2_000, "the segment is full");
        };
        assert!(is_unrecorded(&refused), "{refused:?}");
        for _ in 0..20 {
            let again = tell(bus).await;
            assert!(is_unrecorded(&again), "{again:?}");
        }
        assert!(node.page("/readyz").0.contains("503") && node.page("/livez").0.contains("200"));
        assert!(node.page("/metrics").1.contains("testudo_audit_up 0"));
        let status = place.does(&format!("status {C}"));
        assert!(status.contains("UNHEALTHY") && status.contains("Read-only file system"), "{status}");
        drop(shadow);
        until(&node, "/readyz", "200");
        tell(bus).await.unwrap();
        for _ in 0..1000 {
            if taken.load(Ordering::Relaxed) == passed + 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // An error of the disk stops hand-over at once: on a busy machine the last that was accepted before it had not gone
        // out yet. It is in the account.
        let taken = taken.load(Ordering::Relaxed);
        assert!((passed..=passed + 1).contains(&taken), "{taken} of {passed} accepted before and one after");
        let delivered = format!("testudo_messages_total{{outcome=\"delivered\"}} {taken}\n");
        let is_counted = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            node.page("/metrics").1.contains(&delivered)
        });
        assert!(is_counted, "{}", node.page("/metrics").1);
        ran.set(true);
    });
    let resumed = place.does(&format!("audit tail -n 0 {C}"));
    assert_eq!(resumed.contains("could write again"), ran.get(), "{resumed}");
    node.end();
    place.does(&format!("audit verify {C}"));
}

#[test]
fn t_f03_t_f06_a_file_system_that_its_kernel_turned_read_only_is_not_ready_and_the_next_start_is_whole() {
    let disk = tempfile::tempdir().unwrap();
    let (image, at) = (disk.path().join("image"), disk.path().join("at"));
    std::fs::create_dir(&at).unwrap();
    std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    if !does("mkfs.ext4", &["-q", image.to_str().unwrap()]) {
        return eprintln!("SKIPPED: there is no mkfs.ext4 here");
    }
    let Some(mounted) = Mounted::image(&image, &at) else { return };
    let folder = at.join("work");
    std::fs::create_dir(&folder).unwrap();
    let place = Place::on(&folder);
    place.does("init s");
    let node = Node::start(&place);
    talking(&place, &node, async |bus, taken| {
        for _ in 0..20 {
            tell(bus).await.unwrap();
        }
        mounted.breaks();
        let told = tell(bus).await;
        assert!(told.is_err(), "nobody is told that it was accepted");
        for _ in 0..20 {
            let told = tell(bus).await;
            assert!(is_unrecorded(&told), "{told:?}");
        }
        until(&node, "/readyz", "503");
        assert!(node.page("/livez").0.contains("200"));
        assert!(node.page("/metrics").1.contains("testudo_audit_up 0"));
        let taken = taken.load(Ordering::Relaxed);
        assert!((20..=21).contains(&taken), "at most the one whose record was written still came: {taken}");
    });
    node.kill();
    // Nothing can be begun on it, and that is said.
    let line = format!("node --json --listen 127.0.0.1:0 --health 127.0.0.1:0 {C}");
    let started = finished(place.command(&line.split(' ').collect::<Vec<_>>()));
    assert_eq!((started.code, started.err.lines().count()), (Some(2), 1), "{started:?}");
    assert!(started.err.to_lowercase().contains("read-only"), "{started:?}");
    // What the operator does: the file system is mended, and the node started again.
    assert!(does("umount", &[at.to_str().unwrap()]));
    drop(mounted);
    let _mended = does("e2fsck", &["-fy", image.to_str().unwrap()]);
    let _mounted = Mounted::image(&image, &at).unwrap();
    let node = Node::start(&place);
    assert!(node.page("/readyz").0.contains("200"));
    let line = place.json(&format!("audit stats --json {C}"));
    assert!(line["messages"].as_u64().unwrap_or_default() >= 20, "{line}");
    node.end();
    place.does(&format!("audit verify {C}"));
}
