//! No block widens what the blocks before it allow.

use proptest::prelude::*;

use super::*;
use crate::token::block::{Chain, Delegated, Narrowing};

/// A block after the first, drawn blindly: most are wider than what they narrow.
pub(super) fn narrowing() -> impl Strategy<Value = Narrowing> {
    let set = || proptest::option::of(any::<u8>());
    let attenuation = (set(), set(), proptest::option::of(0_u64..20)).prop_map(|(only, to, until)| {
        Narrowing::Attenuated(Attenuation {
            only: only.map(picked),
            to: to.map(agents),
            until: until.map(at),
        })
    });
    let delegation = (0..4_usize, 0..4_usize, any::<[u8; 3]>(), 0_u64..20, 0_u8..4).prop_map(
        |(by, to, [grant, grant_on, number], expires, hops)| {
            Narrowing::Delegated(Box::new(Delegated {
                by: agent(NAMES[by]).key,
                delegation: Delegation {
                    id: id(number),
                    to: agent(NAMES[to]),
                    grant: picked(grant),
                    grant_on: picked(grant_on),
                    expires: at(expires),
                    hops,
                },
            }))
        },
    );
    prop_oneof![attenuation, delegation]
}

pub(super) fn any_mint() -> impl Strategy<Value = Mint> {
    (any::<u8>(), any::<u8>(), 0_u64..20, 0_u8..5).prop_map(|(rights, delegatable, expires, hops)| Mint {
        rights: picked(rights),
        delegatable: picked(delegatable),
        expires: at(expires),
        hops,
        ..mint()
    })
}

/// Everything that can be asked in this little world.
fn requests() -> impl Iterator<Item = (Capability, Option<AgentName>, Timestamp)> {
    let to = || std::iter::once(None).chain(agents(0b1111).into_iter().map(Some));
    picked(0xff)
        .into_iter()
        .flat_map(move |capability| to().map(move |to| (capability, to)))
        .flat_map(|(capability, to)| [0, 5, 10, 19].map(|now| (capability, to, at(now))))
}

pub(super) fn never_wider(child: &Meaning, parent: &Meaning) -> Result<(), TestCaseError> {
    for (capability, to, now) in requests() {
        if child.covers(&capability, to.as_ref(), now).is_ok() {
            prop_assert_eq!(parent.covers(&capability, to.as_ref(), now), Ok(()));
        }
    }
    prop_assert!(child.delegatable().is_subset(parent.delegatable()));
    prop_assert!(child.delegatable().is_subset(child.rights()));
    prop_assert!(child.hops() <= parent.hops() && child.expires() <= parent.expires());
    prop_assert_eq!((child.swarm(), child.minted()), (parent.swarm(), parent.minted()));
    prop_assert!(parent.chain().eq(child.chain().take(parent.chain().count())));
    Ok(())
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn t_a45_t_a46_no_block_ever_widens(mint in any_mint(), narrowings in prop::collection::vec(narrowing(), 0..6)) {
        let mut meaning = Meaning::minted_as(&mint);
        let mut chain = Chain { mint, narrowings: Vec::new() };
        for narrowing in narrowings {
            let parent = meaning.clone();
            match &narrowing {
                Narrowing::Attenuated(attenuation) => {
                    meaning.attenuate(attenuation);
                    prop_assert_eq!(meaning.holder(), parent.holder());
                }
                Narrowing::Delegated(delegated) => {
                    let allowed = delegated.by == parent.holder().key && parent.hops() > 0;
                    let done = meaning.delegate(delegated, 2);
                    prop_assert_eq!(done.is_ok(), allowed);
                    if !allowed {
                        prop_assert_eq!(&meaning, &parent);
                        continue;
                    }
                    prop_assert_eq!(*meaning.holder(), delegated.delegation.to);
                    prop_assert!(meaning.hops() < parent.hops());
                    prop_assert!(meaning.rights().is_subset(parent.delegatable()));
                    prop_assert!(meaning.rights().is_subset(&delegated.delegation.grant));
                }
            }
            never_wider(&meaning, &parent)?;
            chain.narrowings.push(narrowing);
        }
        prop_assert_eq!(Meaning::fold(&chain), Ok(meaning));
    }
}
