//! Examples of the gossip stream, for the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testudo_wire::frame::{Ask, GossipFromAgent, GossipFromNode, LogHead, LogProof, Prove, Shown, Sighting};
use testudo_wire::{Limits, LogRoot, Purpose};

use super::{NOW, agent, hex, key, swarm};

fn from_agent(frame: &GossipFromAgent) -> String {
    let bytes = frame.encode().unwrap();
    assert_eq!(GossipFromAgent::decode(&bytes, &Limits::standard()).as_ref(), Ok(frame));
    hex(&bytes)
}

fn from_node(frame: &GossipFromNode) -> String {
    let bytes = frame.encode().unwrap();
    assert_eq!(GossipFromNode::decode(&bytes, &Limits::standard()).as_ref(), Ok(frame));
    hex(&bytes)
}

/// What the log's key signed, the head, what an agent says of it, and who asks for what.
pub(super) fn gossip() -> Vec<(&'static str, String)> {
    let (log, root) = (key(6), LogRoot::new([0x77; 32]));
    let text = format!("testudo/{}\n7\n{}\n", swarm(), STANDARD.encode(root.as_bytes()));
    let head = LogHead { log: log.public(), size: 7, root, signature: log.sign_bytes(text.as_bytes()) };
    let sighting = Sighting::sign(&key(3), &swarm(), head, NOW);
    let (size, time) = (7_u64.to_be_bytes(), NOW.as_millis().to_be_bytes());
    let mut preimage = Purpose::Sighting.tag().to_vec();
    preimage.extend([swarm().as_bytes().as_slice(), head.log.as_bytes()].concat());
    preimage.extend([size.as_slice(), root.as_bytes(), &time].concat());
    assert_eq!(sighting.signature, key(3).sign_bytes(&preimage));
    let shown = Shown { root: LogRoot::new([0x44; 32]), hashes: vec![LogRoot::new([0x45; 32]); 2] };
    vec![
        ("head-signed", text.trim_end().to_owned()),
        ("head", from_node(&GossipFromNode::Head(head))),
        ("sighting-preimage", hex(&preimage)),
        ("watch", from_agent(&GossipFromAgent::Watch)),
        ("sighting", from_agent(&GossipFromAgent::Sighting(sighting))),
        ("ask", from_agent(&GossipFromAgent::Ask(Ask { agents: vec![agent("ada"), agent("bob")] }))),
        ("sightings", from_node(&GossipFromNode::Sightings(vec![(agent("ada"), sighting)]))),
        ("prove", from_agent(&GossipFromAgent::Prove(Prove { old: 4, new: 7 }))),
        ("proof", from_node(&GossipFromNode::Proof(LogProof { old: 4, new: 7, shown: Some(shown) }))),
        ("proof-none", from_node(&GossipFromNode::Proof(LogProof { old: 4, new: 7, shown: None }))),
    ]
}
