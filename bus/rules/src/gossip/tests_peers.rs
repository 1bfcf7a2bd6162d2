//! Who is waited for, who is asked for, and what counts as heard.

use std::time::Duration;

use testudo_wire::frame::{ASKED_MAX, LogHead, Sighting};
use testudo_wire::{AgentName, Holder, LogRoot, SecretKey, SwarmId, Timestamp};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SWARM: SwarmId = SwarmId::new([1; 32]);

fn key(n: u16) -> SecretKey {
    let mut seed = [5; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    SecretKey::from_seed(&seed)
}

fn holder(n: u16) -> Holder {
    Holder { name: AgentName::parse(&format!("a{n}")).unwrap(), key: key(n).public() }
}

fn sighting(n: u16, time: Timestamp) -> Sighting {
    let log = SecretKey::from_seed(&[9; 32]);
    let head = LogHead {
        log: log.public(),
        size: 8,
        root: LogRoot::new([7; 32]),
        signature: log.sign_bytes(b"looked at elsewhere"),
    };
    Sighting::sign(&key(n), &SWARM, head, time)
}

fn unwitnessed(peers: &Peers) -> Vec<AgentName> {
    peers.unwitnessed().collect()
}

#[test]
fn t_a74_who_speaks_on_while_nothing_is_heard_of_it_is_unwitnessed_until_it_is() {
    let mut peers = Peers::default();
    assert_eq!(peers.ask(), [], "nobody has spoken");
    for tick in 0..VAIN_MAX {
        peers.took(&holder(1));
        assert_eq!(peers.ask(), [holder(1).name]);
        assert_eq!(unwitnessed(&peers), [], "{tick}: an answer may still come");
    }
    assert_eq!(peers.ask(), [], "it has said nothing since");
    assert_eq!(unwitnessed(&peers), [holder(1).name]);
    peers.took(&holder(1));
    peers.ask();
    assert_eq!(unwitnessed(&peers), [holder(1).name]);
    let word = sighting(1, NOW);
    assert_eq!(peers.heard(&holder(1).name, &word, &SWARM, NOW), Heard::New);
    peers.witnessed(&holder(1).name, &word);
    assert_eq!(unwitnessed(&peers), []);
}

#[test]
fn t_a74_a_forged_old_or_unasked_sighting_says_nothing() {
    let mut peers = Peers::default();
    peers.took(&holder(1));
    let name = holder(1).name;
    let heard = |peers: &Peers, word: &Sighting| peers.heard(&name, word, &SWARM, NOW);
    assert_eq!(heard(&peers, &sighting(2, NOW)), Heard::Refused, "another's signature");
    assert_eq!(peers.heard(&holder(2).name, &sighting(2, NOW), &SWARM, NOW), Heard::Refused, "nobody asked");
    assert_eq!(peers.heard(&name, &sighting(1, NOW), &SwarmId::new([2; 32]), NOW), Heard::Refused);
    let late = NOW.before(Duration::from_secs(301));
    assert_eq!(heard(&peers, &sighting(1, late)), Heard::Refused, "kept back");
    assert_eq!(heard(&peers, &sighting(1, NOW.after(Duration::from_secs(301)))), Heard::Refused);
    assert_eq!(heard(&peers, &sighting(1, NOW)), Heard::New);
    peers.witnessed(&name, &sighting(1, NOW));
    assert_eq!(heard(&peers, &sighting(1, NOW)), Heard::Again);
    let before = NOW.before(Duration::from_secs(1));
    assert_eq!(heard(&peers, &sighting(1, before)), Heard::Refused, "an older one");
    // Enrolled anew, it has another key, and another history.
    peers.took(&Holder { name, key: key(7).public() });
    assert_eq!(heard(&peers, &sighting(1, NOW)), Heard::Refused);
}

#[test]
fn t_a74_a_crowd_takes_turns_and_is_bounded() {
    let mut peers = Peers::default();
    let crowd = u16::try_from(PEERS_MAX).unwrap();
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..2 {
        (0..crowd).for_each(|n| peers.took(&holder(n)));
        let names = peers.ask();
        assert_eq!(names.len(), ASKED_MAX);
        asked.extend(names);
    }
    assert_eq!(asked.len(), PEERS_MAX, "everybody within two ticks");
    (0..crowd).for_each(|n| peers.took(&holder(n)));
    (crowd..crowd + 10).for_each(|n| peers.took(&holder(n)));
    assert_eq!(peers.untracked(), 10);
    // Once some are silent, their places are given on.
    for _ in 0..8 {
        peers.took(&holder(0));
        peers.ask();
    }
    peers.took(&holder(crowd));
    assert_eq!(peers.untracked(), 10);
    assert!(peers.ask().contains(&holder(crowd).name));
}
