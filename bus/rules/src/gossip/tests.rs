//! One story is taken in whatever order its heads come; two are an alarm, and only the log's key can cause it.

use testudo_wire::frame::{LogHead, Shown};
use testudo_wire::{LogRoot, SecretKey, Signature};

use super::*;
use crate::audit::merkle::{leaf_hash, prove_consistency, root};
use crate::audit::{Checkpoint, LogHash, Origin};

fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

fn origin() -> Origin {
    Origin::parse("testudo/test").unwrap()
}

/// A log whose first five records are the same in every story.
fn leaves(story: u8, n: u64) -> Vec<LogHash> {
    (0..n).map(|n| leaf_hash(&[if n < 5 { 0 } else { story }, u8::try_from(n).unwrap()])).collect()
}

fn head(story: u8, n: u64) -> LogHead {
    Checkpoint { size: n, root: root(&leaves(story, n)) }.head(&origin(), &key())
}

/// What an honest node of this story answers.
fn shown(story: u8, old: u64, new: u64) -> Shown {
    let wire = |hash: &LogHash| LogRoot::new(*hash.as_bytes());
    let proof = prove_consistency(&leaves(story, new), usize::try_from(old).unwrap()).unwrap();
    Shown { root: wire(&root(&leaves(story, old))), hashes: proof.iter().map(wire).collect() }
}

fn view() -> View {
    View::new(origin(), None)
}

/// Takes a head in with whatever proofs that needs, from the node of a story.
fn take(view: &mut View, head: &LogHead, before: Option<&LogHead>, story: u8) -> Told {
    for _ in 0..3 {
        match view.told(head, before).unwrap() {
            Told::Prove(pair) => _ = view.proved(&pair, &shown(story, pair.old.size, pair.new.size)),
            told @ (Told::Same | Told::Alarm) => return told,
        }
    }
    panic!("no end of proofs")
}

#[test]
fn t_a74_one_story_is_taken_in_whatever_order_its_heads_come() {
    for order in [[3, 7, 12, 20], [20, 12, 7, 3], [7, 20, 3, 12], [12, 3, 20, 7]] {
        let mut view = view();
        view.told(&head(1, 5), None).unwrap();
        for size in order {
            assert_eq!(take(&mut view, &head(1, size), None, 1), Told::Same, "{order:?} {size}");
            assert_eq!(view.shown(&head(1, size)), Ok(Told::Same));
        }
        assert_eq!(view.newest(), Some(head(1, 20)), "{order:?}");
        assert_eq!(view.alarm(), None);
    }
}

#[test]
fn t_a74_two_heads_of_one_size_are_an_alarm_that_anybody_can_check() {
    let mut view = view();
    assert_eq!(view.told(&head(1, 8), None), Ok(Told::Same));
    assert_eq!(view.shown(&head(2, 8)), Ok(Told::Alarm));
    let alarm = view.alarm().unwrap().clone();
    assert_eq!((alarm.kind(), alarm.check(&origin())), ("split", Ok(())));
    assert_eq!(view.told(&head(1, 8), None), Ok(Told::Alarm), "it stays");
    let again = View::new(origin(), view.seen());
    assert_eq!(again.alarm(), Some(&alarm), "over a restart, too");
}

#[test]
fn t_a74_a_proof_from_the_other_story_is_the_evidence() {
    // Sizes that are powers of two need no first hash: the root that is shown beside makes up for it.
    for (old, new) in [(6, 9), (8, 9), (8, 16), (7, 16), (9, 31), (16, 17)] {
        let mut view = view();
        view.told(&head(1, old), None).unwrap();
        let Ok(Told::Prove(pair)) = view.told(&head(2, new), None) else { panic!("{old} {new}") };
        assert_eq!(view.proved(&pair, &shown(2, old, new)), Proved::Alarm, "{old} {new}");
        let alarm = view.alarm().unwrap();
        assert_eq!(alarm.check(&origin()), Ok(()), "{old} {new}");
        assert_eq!(alarm.check(&Origin::parse("testudo/other").unwrap()), Err(Unproved::Unsigned));
    }
}

#[test]
fn t_a74_a_proof_that_shows_nothing_is_no_alarm() {
    let mut view = view();
    view.told(&head(1, 8), None).unwrap();
    let Ok(Told::Prove(pair)) = view.told(&head(2, 20), None) else { panic!() };
    // The log that the agent knows cannot show anything about a head of the other one.
    let mut bad = vec![shown(1, 8, 20), shown(2, 7, 20), shown(2, 8, 19)];
    for at in 0..shown(2, 8, 20).hashes.len() {
        let mut changed = shown(2, 8, 20);
        changed.hashes[at] = LogRoot::new([1; 32]);
        bad.push(changed);
        let mut cut = shown(2, 8, 20);
        cut.hashes.remove(at);
        bad.push(cut);
    }
    bad.push(Shown { root: head(1, 8).root, ..shown(2, 8, 20) });
    for shown in bad {
        assert_eq!(view.proved(&pair, &shown), Proved::Nothing, "{shown:?}");
    }
    assert_eq!((view.alarm(), view.newest()), (None, Some(head(1, 8))));
}

#[test]
fn t_a74_a_log_that_goes_back_is_an_alarm_and_an_older_head_of_an_older_link_is_none() {
    let mut view = view();
    take(&mut view, &head(1, 8), None, 1);
    take(&mut view, &head(1, 20), None, 1);
    // Told to a link that was opened before the last one came.
    assert_eq!(take(&mut view, &head(1, 12), Some(&head(1, 8)), 1), Told::Same);
    assert_eq!(view.newest(), Some(head(1, 20)));
    assert_eq!(view.told(&head(1, 12), Some(&head(1, 20))), Ok(Told::Alarm));
    let alarm = view.alarm().unwrap();
    assert_eq!((alarm.kind(), alarm.check(&origin()), alarm.shows_itself()), ("shorter", Ok(()), false));
}

#[test]
fn t_a74_another_key_is_an_alarm_from_the_node_and_nothing_from_others() {
    let other = SecretKey::from_seed(&[10; 32]);
    let theirs = Checkpoint { size: 9, root: root(&leaves(1, 9)) }.head(&origin(), &other);
    let mut view = view();
    assert_eq!(view.shown(&head(1, 8)), Err(NotOurs::TooEarly), "who has seen nothing pins nothing");
    take(&mut view, &head(1, 8), None, 1);
    assert_eq!(view.shown(&theirs), Err(NotOurs::OtherKey));
    let forged = LogHead { signature: Signature::new([7; 64]), ..head(2, 8) };
    assert_eq!(view.shown(&forged), Err(NotOurs::Unsigned));
    assert_eq!(view.told(&forged, None), Err(NotOurs::Unsigned));
    assert_eq!(view.alarm(), None, "nobody but the log's key can cause one");
    assert_eq!(view.told(&theirs, None), Ok(Told::Alarm));
    assert_eq!((view.alarm().unwrap().kind(), view.alarm().unwrap().check(&origin())), ("other-key", Ok(())));
}

#[test]
fn t_a74_what_was_never_proved_is_kept_and_may_be_proved_or_refuted_later() {
    for story in [1, 2] {
        let mut view = view();
        take(&mut view, &head(1, 8), None, 1);
        let far = head(story, 20);
        assert!(matches!(view.told(&far, None), Ok(Told::Prove(_))));
        view.go_on_with(&far);
        assert_eq!((view.newest(), view.seen().unwrap().gaps), (Some(far), vec![head(1, 8)]));
        let mut again = View::new(origin(), view.seen());
        let [pair] = again.open()[..] else { panic!() };
        let proved = again.proved(&pair, &shown(story, 8, 20));
        assert_eq!(proved, if story == 1 { Proved::Holds } else { Proved::Alarm });
        assert_eq!(again.open().len(), usize::from(story == 2));
    }
    let mut view = view();
    for size in 5..40 {
        let _ = view.told(&head(1, size), None);
        view.go_on_with(&head(1, size));
    }
    let gaps: Vec<_> = view.seen().unwrap().gaps.iter().map(|gap| gap.size).collect();
    assert_eq!(gaps, [5, 36, 37, 38], "so many, and the first stays");
}

#[test]
fn t_a74_heads_beyond_the_end_are_held_against_one_another() {
    // Another agent was told more than this one: its head extends what is known, and so does what the node tells then,
    // but they do not belong together.
    let mut view = view();
    take(&mut view, &head(1, 5), None, 1);
    let Ok(Told::Prove(pair)) = view.shown(&head(1, 12)) else { panic!() };
    assert_eq!(view.proved(&pair, &shown(1, 5, 12)), Proved::Holds);
    let Ok(Told::Prove(pair)) = view.told(&head(2, 20), None) else { panic!() };
    assert_eq!((pair.old, pair.new), (head(1, 12), head(2, 20)));
    assert_eq!(view.proved(&pair, &shown(2, 12, 20)), Proved::Alarm);
}

#[test]
fn t_a74_what_is_remembered_is_bounded() {
    let mut view = view();
    for size in 5..=200 {
        take(&mut view, &head(1, size), None, 1);
    }
    assert_eq!(view.shown(&head(1, 200)), Ok(Told::Same));
    let Ok(Told::Prove(pair)) = view.shown(&head(1, 6)) else { panic!("forgotten, and to be proved again") };
    assert_eq!(pair.new, head(1, 169));
}

#[test]
fn t_a74_what_others_say_of_long_ago_is_proved_once_and_not_for_ever() {
    let mut view = view();
    for size in 10..=200 {
        take(&mut view, &head(1, size), None, 1);
    }
    for old in [6, 8, 7, 5] {
        let Ok(Told::Prove(pair)) = view.shown(&head(1, old)) else { panic!("forgotten") };
        assert_eq!(view.proved(&pair, &shown(1, pair.old.size, pair.new.size)), Proved::Holds);
        assert_eq!(view.shown(&head(1, old)), Ok(Told::Same), "{old}: nothing is to be proved any more");
    }
    assert_eq!((view.newest(), view.alarm()), (Some(head(1, 200)), None));
}

#[test]
fn t_a74_what_others_say_of_before_a_gap_does_not_keep_it_from_being_closed() {
    let mut view = view();
    take(&mut view, &head(1, 8), None, 1);
    assert!(matches!(view.told(&head(1, 20), None), Ok(Told::Prove(_))));
    view.go_on_with(&head(1, 20));
    let Ok(Told::Prove(pair)) = view.shown(&head(1, 6)) else { panic!() };
    assert_eq!(view.proved(&pair, &shown(1, 6, 20)), Proved::Holds);
    let [pair] = view.open()[..] else { panic!("{:?}", view.open()) };
    assert_eq!(pair, Pair { old: head(1, 8), new: head(1, 20) });
    assert_eq!(view.proved(&pair, &shown(1, 8, 20)), Proved::Holds);
    assert_eq!(view.open(), []);
}
