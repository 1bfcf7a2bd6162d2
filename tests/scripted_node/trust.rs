//! Trust statements from a node that may be anybody who has its key: an agent believes the authority alone.

use testudo_rules::trust::Trust;
use testudo_wire::SecretKey;
use testudo_wire::frame::{FromAgent, FromNode, Trusts};
use testudo_wire::trust::SignedStatement;

use super::support::sim;
use super::{Refusal, Scripted, World, identity, write_frame};

/// The next statement with these authorities and the CA that there is, signed by this key.
fn next(
    world: &World,
    before: &Trust,
    authorities: &[&SecretKey],
    by: &SecretKey,
) -> (SignedStatement, Trust) {
    let keys = authorities.iter().map(|key| key.public()).collect();
    before.next((keys, before.cas().to_vec()), testudo_bus::env::Env::now(&*world.swarm.env), by).unwrap()
}

fn genesis(world: &World) -> Trust {
    Trust::genesis(world.swarm.authority.public(), vec![world.swarm.ca.certificate().to_vec()])
}

#[test]
fn f27_a_node_without_the_authority_pushes_no_statement() {
    sim(async {
        for forged in [true, false] {
            let (mut node, client, _inbox) = Scripted::link().await;
            let (start, thief) = (genesis(&node.world), SecretKey::from_seed(&[0x66; 32]));
            let own = node.world.swarm.authority.clone();
            let (mut signed, _) = next(&node.world, &start, &[&thief], &own);
            if forged {
                // Whoever has the node's key and its CA has no authority's.
                signed = signed.statement.sign(&node.world.swarm.node_key).unwrap();
            }
            node.say(FromNode::Trust(Box::new(signed))).await;
            if forged {
                node.connection.closed().await;
                assert!(!client.is_open(), "it leaves such a node");
            } else {
                assert_eq!(node.hear().await, FromAgent::Trusts(Trusts { number: 1 }));
                assert!(client.is_open());
            }
        }
    });
}

#[test]
fn f27_a_receiver_refuses_tokens_of_a_retired_authority_from_then_on() {
    sim(async {
        let (mut node, client, mut inbox) = Scripted::link().await;
        let sender = identity(&node.world, "sender");
        let newer = SecretKey::from_seed(&[0x77; 32]);
        let old = node.world.swarm.authority.clone();
        let (added, then) = next(&node.world, &genesis(&node.world), &[&old, &newer], &old);
        let (retired, _) = next(&node.world, &then, &[&newer], &newer);
        let mut number = 0;
        for statement in [None, Some(added), Some(retired)] {
            let is_last = statement.as_ref().is_some_and(|signed| signed.statement.number == 2);
            if let Some(signed) = statement {
                let said = signed.statement.number;
                node.say(FromNode::Trust(Box::new(signed))).await;
                while node.hear().await != FromAgent::Trusts(Trusts { number: said }) {}
            }
            number += 1;
            let frame = node.delivery(&sender, number, node.header(&sender, 0, number), b"said");
            write_frame(&mut node.deliveries, frame).await.unwrap();
            if is_last {
                // Known before or introduced again: it counts no more.
                let FromAgent::Acknowledge(word) = node.hear().await else { panic!("no acknowledgement") };
                assert_eq!(word.refused[0].refusal, Refusal::Unauthorised);
            } else {
                assert_eq!(inbox.next().await.unwrap().body(), "said");
            }
        }
        assert!(client.is_open());
    });
}
