//! Who may send what to whom, said a second time in the plainest way, and held against the pipeline.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::Config;
use testudo_wire::{Capability, Destination, Header, Refusal, TokenId};

use super::world::*;
use crate::receive::Receiver;
use crate::replay::ReceiverWindows;
use crate::token::{Attenuation, Delegation, Mint};

const CAPABILITIES: [&str; 3] = ["read:logs", "write:logs", "publish:alerts"];
const PUBLISH: usize = 2;

/// A token: minted, perhaps limited to some agents, perhaps handed on once. Sets are bit masks.
#[derive(Clone, Debug)]
struct Plan {
    holder: usize,
    rights: u8,
    delegatable: u8,
    only_to: Option<u8>,
    handed_to: Option<(usize, u8)>,
    live: bool,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Agent(usize),
    Reply { requester: usize, request: u8 },
    Service,
    Topic,
}

/// One message: token by number (one too many is a token nobody has), capability, destination.
#[derive(Clone, Debug)]
struct Attempt {
    token: usize,
    capability: usize,
    target: Target,
}

#[derive(Clone, Debug)]
struct Case {
    plans: Vec<Plan>,
    sender: usize,
    revoked_agents: u8,
    delegated_only: u8,
    /// Two ids for each token: of the mint and of the delegation.
    revoked_ids: u16,
    /// Request, requester, replier.
    open: BTreeSet<(u8, usize, usize)>,
    attempts: Vec<Attempt>,
}

fn has(mask: u8, bit: usize) -> bool {
    mask >> bit & 1 == 1
}

impl Plan {
    /// What can be handed on at all.
    fn handed(&self) -> Option<(usize, u8)> {
        self.handed_to
            .map(|(to, grant)| (to, grant & self.rights & self.delegatable))
            .filter(|(_, g)| *g != 0)
    }
}

impl Case {
    /// The model.
    fn may(&self, attempt: &Attempt) -> Result<(), Refusal> {
        let plan = self.plans.get(attempt.token).ok_or(Refusal::Unauthorised)?;
        let handed = plan.handed();
        let (last, rights) = handed.unwrap_or((plan.holder, plan.rights));
        if last != self.sender {
            return Err(Refusal::Unauthorised);
        }
        let dead = |id: usize, agent: usize| {
            self.revoked_ids >> (2 * attempt.token + id) & 1 == 1 || has(self.revoked_agents, agent)
        };
        if dead(0, plan.holder) || handed.is_some_and(|(to, _)| dead(1, to)) {
            return Err(Refusal::Revoked);
        }
        if !plan.live {
            return Err(Refusal::ExpiredToken);
        }
        let authority = !has(self.delegated_only, plan.holder);
        let allowed = match attempt.target {
            Target::Reply { requester, request } => self.open.contains(&(request, requester, self.sender)),
            Target::Agent(to) => {
                let reaches = plan.only_to.is_none_or(|only| has(only, to));
                authority && has(rights, attempt.capability) && reaches
            }
            Target::Service => authority && has(rights, attempt.capability) && plan.only_to.is_none(),
            Target::Topic => authority && has(rights, PUBLISH) && plan.only_to.is_none(),
        };
        if allowed { Ok(()) } else { Err(Refusal::Unauthorised) }
    }

    /// The same with real tokens and real requests.
    fn build(&self) -> (World, Vec<TokenId>) {
        let mut world = World::default();
        let tokens = self.plans.iter().enumerate().map(|(n, plan)| make(&mut world, plan, n)).collect();
        let named = |mask: u8| (0..3).filter(move |n| has(mask, *n)).map(|n| name(NAMES[n])).collect();
        (world.revoked, world.delegated_only) = (named(self.revoked_agents), named(self.delegated_only));
        world.revoked_ids = (0..16).filter(|n| self.revoked_ids >> n & 1 == 1).map(fact).collect();
        world.open =
            self.open.iter().map(|(id, by, of)| (message(*id), name(NAMES[*by]), name(NAMES[*of]))).collect();
        (world, tokens)
    }

    fn headers(&self, tokens: &[TokenId]) -> Vec<Header> {
        let key = *key_of(NAMES[self.sender]).public().as_bytes();
        let header = |attempt: &Attempt, sequence| {
            let token = tokens.get(attempt.token).copied().unwrap_or(TokenId::new([0; 32]));
            let base = Header { sender: name(NAMES[self.sender]), key, ..ask(sequence, token) };
            let asked = Some(capability(CAPABILITIES[attempt.capability]));
            match attempt.target {
                Target::Agent(n) => Header { destination: to(NAMES[n]), capability: asked, ..base },
                Target::Service => Header { destination: Destination::Service, capability: asked, ..base },
                Target::Topic => Header {
                    destination: topic("alerts"),
                    capability: Some(capability(CAPABILITIES[PUBLISH])),
                    ..base
                },
                Target::Reply { requester, request } => Header {
                    destination: Destination::Reply(name(NAMES[requester])),
                    capability: None,
                    in_reply_to: Some(message(request)),
                    ..base
                },
            }
        };
        self.attempts.iter().zip(1..).map(|(attempt, sequence)| header(attempt, sequence)).collect()
    }
}

fn picked(mask: u8) -> BTreeSet<Capability> {
    (0..3).filter(|bit| has(mask, *bit)).map(|bit| capability(CAPABILITIES[bit])).collect()
}

fn make(world: &mut World, plan: &Plan, n: usize) -> TokenId {
    let expires = later(if plan.live { 0 } else { -1000 });
    let number = u8::try_from(2 * n).unwrap();
    let mut token = signed(&Mint {
        id: fact(number),
        rights: picked(plan.rights),
        delegatable: picked(plan.delegatable & plan.rights),
        expires,
        ..mint(NAMES[plan.holder], "read:logs")
    });
    if let Some(only) = plan.only_to {
        let to = Some((0..3).filter(|n| has(only, *n)).map(|n| name(NAMES[n])).collect());
        token = token.attenuate(&Attenuation { to, ..Attenuation::default() }, fresh_seed()).unwrap();
    }
    if let Some((to, grant)) = plan.handed() {
        let delegation = Delegation {
            id: fact(number + 1),
            to: holder(NAMES[to]),
            grant: picked(grant),
            grant_on: BTreeSet::new(),
            expires,
            hops: 0,
        };
        token = token.delegate(&delegation, &key_of(NAMES[plan.holder]), fresh_seed()).unwrap();
    }
    world.show(&token)
}

fn plan() -> impl Strategy<Value = Plan> {
    let only_to = prop::option::weighted(0.3, 1..8_u8);
    let handed_to = prop::option::of((0..3_usize, 1..8_u8));
    (0..3_usize, 1..8_u8, 0..8_u8, only_to, handed_to, prop::bool::weighted(0.9)).prop_map(
        |(holder, rights, delegatable, only_to, handed_to, live)| Plan {
            holder,
            rights,
            delegatable,
            only_to,
            handed_to,
            live,
        },
    )
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let target = prop_oneof![
        3 => (0..3_usize).prop_map(Target::Agent),
        2 => (0..3_usize, 0..3_u8).prop_map(|(requester, request)| Target::Reply { requester, request }),
        1 => Just(Target::Service),
        1 => Just(Target::Topic),
    ];
    (0..4_usize, 0..3_usize, target).prop_map(|(token, capability, target)| Attempt {
        token,
        capability,
        target,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let few = |bits: u16| prop_oneof![3 => Just(0), 1 => 0..bits];
    (
        prop::collection::vec(plan(), 1..5),
        0..3_usize,
        few(8),
        few(8),
        few(256),
        prop::collection::btree_set((0..3_u8, 0..3_usize, 0..3_usize), 0..12),
        prop::collection::vec(attempt(), 1..14),
    )
        .prop_map(|(plans, sender, agents, bound, revoked_ids, open, attempts)| Case {
            plans,
            sender,
            revoked_agents: u8::try_from(agents).unwrap(),
            delegated_only: u8::try_from(bound).unwrap(),
            revoked_ids,
            open,
            attempts,
        })
}

/// `PROPTEST_CASES` says otherwise, e.g. for a nightly run.
fn cases(usual: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    Config { cases, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn t_a43_t_a45_the_pipeline_agrees_with_the_model(case in case()) {
        let (world, tokens) = case.build();
        let sender = NAMES[case.sender];
        let bytes = bundle_by(&key_of(sender), &case.headers(&tokens)).bytes().clone();
        let expected = if has(case.revoked_agents, case.sender) {
            Err(Refusal::Revoked)
        } else {
            Ok(case.attempts.iter().map(|attempt| case.may(attempt).err()).collect())
        };
        prop_assert_eq!(Link::of(sender).outcomes(&world, bytes), expected);
    }

    /// A node that routes as it should is believed, and one that shows everything to everybody gains nothing.
    #[test]
    fn r_r26_receivers_agree_with_the_model(case in case()) {
        // Which agents act only under delegated tokens is the node's to know.
        let case = Case { delegated_only: 0, ..case };
        let (world, tokens) = case.build();
        let sender = holder(NAMES[case.sender]);
        let whole = bundle_by(&key_of(NAMES[case.sender]), &case.headers(&tokens));
        for (me, my_name) in NAMES.into_iter().enumerate() {
            let receiver = Receiver {
                swarm: swarm(),
                name: name(my_name),
                tokens: &world,
                standings: &world,
                awaits: &|id, of| world.open.contains(&(*id, name(my_name), *of)),
                limits: LIMITS,
            };
            let mine = |at: usize| {
                let attempt = &case.attempts[at];
                let for_me = match attempt.target {
                    Target::Agent(to) => to == me,
                    Target::Reply { requester, .. } => requester == me,
                    Target::Service | Target::Topic => true,
                };
                for_me && case.may(attempt).is_ok()
            };
            if let Ok(pruned) = whole.prune(&mine) {
                let vetted = receiver.verify(pruned.bytes().clone(), &mut ReceiverWindows::new(NOW), NOW);
                for one in vetted.unwrap() {
                    prop_assert_eq!(*one.unwrap().sender(), sender);
                }
            }
            if let Ok(all) = receiver.verify(whole.bytes().clone(), &mut ReceiverWindows::new(NOW), NOW) {
                for (at, one) in all.iter().enumerate() {
                    prop_assert_eq!(one.is_ok(), mine(at), "{} of {:?}: {:?}", at, me, one.as_ref().err());
                }
            }
        }
    }
}
