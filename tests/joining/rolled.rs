//! Joining a swarm whose first CA and authority key are retired: the invitation names the swarm all the same.

use testudo::operator::{Answer, Request, Roll};
use testudo_rules::trust::Trust;
use testudo_wire::trust::SignedStatement;

use super::kit::{Hall, key};
use super::support::sim;
use super::support::world::message;

#[test]
fn f27_a_newcomer_to_a_swarm_that_was_rolled_over_checks_every_statement_from_the_first_key() {
    sim(async {
        let hall = Hall::new(31);
        for (number, roll) in
            (1..).zip([Roll::RotateCa, Roll::RotateAuthority, Roll::RetireCa, Roll::RetireAuthority])
        {
            let answer = hall.operator.answer(Request::TrustRoll { roll, force: false }).await;
            let Answer::Trust(view) = answer else { panic!("{roll:?}: {answer:?}") };
            assert_eq!(view.number, number);
        }
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let joined = hall.ask(&token, &key(50)).await.unwrap();
        let chain: Vec<_> = joined.trust.iter().map(|one| SignedStatement::decode(one).unwrap()).collect();
        let genesis = || Trust::genesis(joined.authority, Vec::new());
        let trust = genesis().fold(&chain).unwrap();
        assert_eq!((trust.swarm(), trust.number()), (token.swarm, 4));
        assert!(genesis().fold(&chain[1..]).is_err(), "none may be missing");
        let identity = hall.identity(&joined, &key(50));
        let ada = hall.world.dial(identity.clone()).await.unwrap();
        assert_eq!(identity.learnt.number(), 4);
        assert!(ada.client.tell(message("nobody", "read:logs", "hello")).await.is_err(), "nobody is there");
        drop(hall.port);
        hall.world.end().await;
    });
}
