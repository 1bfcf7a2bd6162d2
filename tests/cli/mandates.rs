//! Every verb of the operator against every role (threat A36): a verb without its own right is denied and does nothing.

use std::collections::BTreeSet;

use testudo::config::{Config, Overrides};
use testudo::operator::{Answer, Mandate, Request, Roll, Verb, Wanted};
use testudo::wire::amend::Amendment;
use testudo::wire::standing::RevocationCause;
use testudo::wire::{AgentName, Capability, Grant, RegistrySequence, SecretKey, TokenFactId};

use super::kit::{Node, Place};

/// A request that works, of each kind: there is no verb without a row.
pub(crate) fn request(verb: Verb, turn: u16) -> Request {
    let name = AgentName::parse("a").unwrap();
    let [high, low] = turn.to_be_bytes();
    let seed: [u8; 32] = std::array::from_fn(|at| if at == 0 { high } else { low });
    match verb {
        Verb::AgentAdd => Request::AgentAdd {
            name: AgentName::parse(&format!("new-{turn}")).unwrap(),
            key: SecretKey::from_seed(&seed).public(),
            grant: Grant { right: ["read:logs".parse().unwrap()].into(), ..Grant::default() },
            csr: None,
        },
        Verb::AgentGrant => Request::AgentGrant {
            name,
            change: Box::new(Amendment {
                bundles_per_second: Some(5_000 - u32::from(turn)),
                ..Amendment::default()
            }),
        },
        Verb::AgentShow => Request::AgentShow { name },
        Verb::AgentInvite => Request::AgentInvite {
            name: AgentName::parse(&format!("guest-{turn}")).unwrap(),
            key: SecretKey::from_seed(&seed).public(),
            grant: Grant { right: ["read:logs".parse().unwrap()].into(), ..Grant::default() },
            seconds: 60,
            host: None,
        },
        Verb::AgentList => Request::AgentList,
        Verb::AuditTail => Request::AuditTail { wanted: Wanted { last: 5, ..Wanted::default() } },
        Verb::GuardReload => Request::GuardReload,
        Verb::InvitationCancel => Request::InvitationCancel { which: "guest-0".into() },
        Verb::InvitationList => Request::InvitationList,
        Verb::AgentReinstate => Request::AgentReinstate { name },
        Verb::AgentRenew => Request::AgentRenew { name, csr: None },
        Verb::AgentRevoke => Request::AgentRevoke { name, cause: RevocationCause::Silent },
        Verb::Status => Request::Status,
        Verb::TokenMint => Request::TokenMint {
            name,
            rights: BTreeSet::new(),
            delegatable: BTreeSet::new(),
            seconds: 60,
            hops: 0,
        },
        Verb::TokenRevoke => {
            Request::TokenRevoke { id: TokenFactId::new(std::array::from_fn(|at| seed[at])) }
        }
        Verb::TrustRoll => Request::TrustRoll { roll: Roll::RetireCa, force: true },
        Verb::TrustShow => Request::TrustShow,
        Verb::TokenStanding => Request::TokenStanding { chain: Vec::new(), minted: RegistrySequence(0) },
    }
}

pub(crate) fn right(verb: Verb) -> Capability {
    Capability::parse(verb.right()).unwrap()
}

/// The roles that are made of rights: none, some that sound alike, one role for each right, everybody but one.
pub(crate) fn rights() -> Vec<(String, BTreeSet<Capability>)> {
    let alike = ["operate:agent", "read:agent-add", "operate:agent-adds", "operate:agent/add", "run:status"];
    let all: BTreeSet<Capability> = Verb::ALL.into_iter().map(right).collect();
    let mut roles = vec![
        ("nobody, by rights".to_owned(), BTreeSet::new()),
        ("alike".to_owned(), alike.map(|text| Capability::parse(text).unwrap()).into()),
        ("all but nothing".to_owned(), all.clone()),
    ];
    for verb in Verb::ALL {
        roles.push((format!("only {verb:?}"), [right(verb)].into()));
        let but = all.iter().copied().filter(|other| *other != right(verb)).collect();
        roles.push((format!("all but {verb:?}"), but));
    }
    roles
}

/// Those, whoever has no mandate at all, and the owner.
fn roles() -> Vec<(String, Mandate)> {
    let mut roles = vec![("nobody".to_owned(), Mandate::default()), ("owner".to_owned(), Mandate::owner())];
    roles.extend(rights().into_iter().map(|(role, rights)| (role, Mandate::of(&rights))));
    roles
}

/// What a role's name promises.
pub(crate) fn may(role: &str, verb: Verb) -> bool {
    match role.split_once(' ') {
        Some(("only", one)) => one == format!("{verb:?}"),
        Some(("all", rest)) => rest.strip_prefix("but ").is_none_or(|one| one != format!("{verb:?}")),
        Some(_) | None => role == "owner",
    }
}

/// What brings the agent back to where this verb works.
pub(crate) fn ready(verb: Verb) -> Request {
    let name = AgentName::parse("a").unwrap();
    match verb {
        Verb::AgentReinstate => Request::AgentRevoke { name, cause: RevocationCause::Silent },
        Verb::InvitationCancel => request(Verb::AgentInvite, 0),
        Verb::AgentAdd
        | Verb::AgentGrant
        | Verb::AgentInvite
        | Verb::AgentList
        | Verb::AgentRenew
        | Verb::AgentRevoke
        | Verb::AgentShow
        | Verb::AuditTail
        | Verb::GuardReload
        | Verb::InvitationList
        | Verb::Status
        | Verb::TokenMint
        | Verb::TokenRevoke
        | Verb::TokenStanding
        | Verb::TrustRoll
        | Verb::TrustShow => Request::AgentReinstate { name },
    }
}

#[test]
fn t_a36_every_verb_against_every_role_denied_by_default() {
    let place = Place::swarm();
    place.does("agent add a --config s/testudo.toml --allow read:logs --out a.id");
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let (mut allowed, mut denied, mut turn) = (0, 0, 10);
    testudo::run(async {
        let operator = testudo::server::offline(&config).unwrap();
        for (role, mandate) in roles() {
            for verb in Verb::ALL {
                // It may stand there already.
                let _ = operator.answer(ready(verb)).await;
                turn += 1;
                let asked = request(verb, turn);
                assert_eq!(asked.verb(), verb);
                let before = operator.office.registry.directory().sequence();
                let answer = operator.answer_for(&mandate, asked).await;
                if may(&role, verb) {
                    let said = if let Answer::Refused { error } = answer { error } else { String::new() };
                    // No node runs here whose rules could be read again, and so many new CAs a day are not made that
                    // there were one to retire for each role.
                    let expected = if verb == Verb::GuardReload {
                        "no node runs"
                    } else if verb == Verb::TrustRoll {
                        "there is only one; make a new one first"
                    } else {
                        ""
                    };
                    assert!(
                        said.starts_with(expected) && said.is_empty() == expected.is_empty(),
                        "{role}: {said}"
                    );
                    allowed += 1;
                } else {
                    let Answer::Refused { error } = answer else { panic!("{role} may {verb:?}") };
                    assert!(error.contains(verb.right()), "{error}");
                    assert_eq!(operator.office.registry.directory().sequence(), before, "{role}, {verb:?}");
                    denied += 1;
                }
            }
        }
        operator.office.close().await;
    })
    .unwrap();
    println!("{} verbs, {} roles: {allowed} allowed, {denied} denied", Verb::ALL.len(), roles().len());
    assert_eq!(allowed + denied, Verb::ALL.len() * roles().len());
}

#[test]
fn t_a36_no_two_verbs_share_a_right_and_the_socket_is_its_owners() {
    let rights: BTreeSet<_> = Verb::ALL.into_iter().map(right).collect();
    assert_eq!(rights.len(), Verb::ALL.len());
    let place = Place::swarm();
    let node = Node::start(&place);
    assert_eq!((place.mode_of("s/data/admin.sock"), place.mode_of("s/data")), (0o600, 0o700));
    node.end();
}
