//! Whoever waits on a link hears exactly one word, whatever order the words come in.

use super::super::desk::Desk;
use super::*;
use testudo_wire::tree;
use tokio::sync::oneshot;

const SESSION: SessionId = SessionId::new([1; 16]);

fn id(n: u8) -> MessageId {
    MessageId::new([n; 16])
}

fn digest(n: u8) -> Digest {
    tree::leaf(&[n])
}

fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn receipt(
    waiting: &mut Waiting,
    place: Place,
    messages: &[u8],
) -> Vec<oneshot::Receiver<Result<Receipt, SendError>>> {
    let (messages, words) = messages
        .iter()
        .map(|n| {
            let (answer, word) = oneshot::channel();
            ((id(*n), digest(*n), Waiter::Receipt(answer)), word)
        })
        .unzip();
    waiting.sent(place, SESSION, 100, messages);
    words
}

#[test]
fn lanes_are_settled_each_for_itself() {
    let mut waiting = Waiting::default();
    let mut small = receipt(&mut waiting, (0, 0, 0), &[1]);
    let mut large = receipt(&mut waiting, (0, 2, 0), &[2]);
    assert_eq!((waiting.bundles.unsettled(0, 0), waiting.bundles.unsettled_all()), (100, 200));
    assert!(waiting.bundles.settled(0, 2, 1).is_empty());
    assert_eq!((waiting.bundles.unsettled(0, 0), waiting.bundles.unsettled(0, 2)), (100, 0));
    waiting.bundles.settled(0, 2, 1);
    assert_eq!(waiting.bundles.unsettled_all(), 100, "settled twice counts once");
    waiting.bundles.accepted((0, 2, 0), &[0], 7);
    let word = large[0].try_recv().unwrap().unwrap();
    assert_eq!((word.message, word.digest, word.record), (id(2), digest(2), 7));
    assert!(small[0].try_recv().is_err(), "the same number on another lane");
    assert!(waiting.bundles.digests((0, 2, 0)).is_none(), "done with");
    assert!(waiting.bundles.digests((0, 0, 0)).is_some());
}

#[test]
fn one_copy_refused_is_no_word_on_the_message() {
    let mut waiting = Waiting::default();
    let mut words = receipt(&mut waiting, (0, 0, 0), &[1]);
    waiting.refused_copies(Refusal::Overloaded, 1);
    assert!(words[0].try_recv().is_err());
    assert_eq!((waiting.counts.copies[&Refusal::Overloaded], waiting.counts.refused.len()), (1, 0));
    waiting.refused_message(&id(1), Refusal::Unauthorised, Vec::new());
    assert_eq!(words[0].try_recv().unwrap(), Err(SendError::refused(Refusal::Unauthorised)));
}

#[test]
fn a_bundle_refused_whole_ends_all_that_wait_for_it() {
    let mut waiting = Waiting::default();
    let flow = Arc::new(Flow::new(1024));
    waiting.open(id(3), None, flow.clone());
    let (accepted, mut one) = oneshot::channel();
    let (delivered, mut two) = oneshot::channel();
    let messages = vec![
        (id(1), digest(1), Waiter::Receipt(accepted)),
        (id(2), digest(2), Waiter::Delivered(None, delivered)),
        (id(3), digest(3), Waiter::Reply),
        (id(4), digest(4), Waiter::Nothing),
    ];
    waiting.sent((0, 1, 5), SESSION, 10, messages);
    waiting.refused_bundle((0, 0, 5), Refusal::OverQuota);
    assert!(one.try_recv().is_err(), "another lane");
    waiting.refused_bundle((0, 1, 5), Refusal::OverQuota);
    let why = SendError::refused(Refusal::OverQuota);
    assert_eq!(one.try_recv().unwrap(), Err(why.clone()));
    assert_eq!(two.try_recv().unwrap(), Err(why.clone()));
    assert!(matches!(flow.take(), super::super::inflow::Taken::End(Err(end)) if end == why));
    assert_eq!(waiting.counts.refused[&Refusal::OverQuota], 4);
}

#[test]
fn a_request_given_up_is_cancelled_once_the_node_certainly_has_it() {
    let mut waiting = Waiting::default();
    let open = |waiting: &mut Waiting, n: u8| waiting.open(id(n), None, Arc::new(Flow::new(1)));
    open(&mut waiting, 1);
    assert!(!waiting.abandon(&id(1)) && !waiting.requests.is_open(&id(1)), "not gone: it will not go");
    for (n, bundle) in [(2, 0), (3, 1)] {
        open(&mut waiting, n);
        waiting.sent((0, 0, bundle), SESSION, 10, vec![(id(n), digest(n), Waiter::Reply)]);
    }
    assert!(!waiting.abandon(&id(3)), "it may still be on its way");
    assert!(waiting.bundles.settled(0, 0, 1).is_empty());
    assert!(waiting.abandon(&id(2)), "settled: now");
    assert_eq!(waiting.bundles.settled(0, 0, 2), [id(3)]);
    assert!(!waiting.abandon(&id(2)), "once");
}

#[test]
fn what_is_lost_is_unknown_and_what_comes_after_the_end_too() {
    let mut waiting = Waiting::default();
    let (flow, late) = (Arc::new(Flow::new(1)), Arc::new(Flow::new(1)));
    waiting.open(id(1), Some(name("a")), flow.clone());
    let mut words = receipt(&mut waiting, (0, 0, 0), &[2]);
    waiting.lost(&id(1));
    waiting.lost(&id(2));
    waiting.lost(&id(9));
    let is_unknown = |flow: &Flow<Delivery>| {
        matches!(flow.take(), super::super::inflow::Taken::End(Err(SendError::Unknown)))
    };
    assert!(is_unknown(&flow));
    assert_eq!(words[0].try_recv().unwrap(), Err(SendError::Unknown));
    assert_eq!(waiting.counts.lost, 3);
    waiting.end();
    waiting.open(id(3), None, late.clone());
    assert!(is_unknown(&late));
    let mut words = receipt(&mut waiting, (0, 0, 1), &[4]);
    assert!(words[0].try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    assert_eq!(waiting.bundles.unsettled_all(), 0);
}

#[test]
fn a_topic_is_ours_until_the_node_says_otherwise() {
    let (mut waiting, mut desk) = (Waiting::default(), Desk::default());
    let topic = Resource::parse("alerts").unwrap();
    let mut word = desk.subscribe(topic);
    waiting.subscribed(topic, None);
    desk.subscribed(topic, None);
    assert_eq!(word.try_recv().unwrap(), Ok(()));
    assert!(waiting.topics().contains(&topic));
    waiting.subscribed(topic, Some(Refusal::Unauthorised));
    assert!(waiting.topics().is_empty(), "unasked");
}

#[test]
fn with_a_link_that_was_renewed_ends_only_what_was_not_settled_on_it() {
    let mut waiting = Waiting::default();
    let flows: Vec<_> = (1..=3).map(|n| (n, Arc::new(Flow::new(1)))).collect();
    flows.iter().for_each(|(n, flow)| waiting.open(id(*n), None, flow.clone()));
    let request = |n: u8| vec![(id(n), digest(n), Waiter::Reply)];
    waiting.sent((0, 0, 0), SESSION, 10, request(1));
    waiting.sent((0, 0, 1), SESSION, 10, request(2));
    assert!(waiting.bundles.settled(0, 0, 1).is_empty());
    assert_eq!(waiting.succeed(), Some(1));
    waiting.sent((1, 0, 0), SESSION, 10, request(3));
    let mut words = receipt(&mut waiting, (0, 0, 2), &[4]);
    assert!(!waiting.is_done(0) && !waiting.link_ended(0));
    assert!(waiting.is_done(0) && !waiting.is_done(1));
    assert!(words[0].try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    let open: Vec<_> = (1..=3).filter(|n| waiting.requests.is_open(&id(*n))).collect();
    assert_eq!(open, [1, 3], "the node had the first, and the third went on the newer link");
    assert_eq!(waiting.bundles.unsettled_all(), 10);
    let mut late = receipt(&mut waiting, (0, 0, 3), &[5]);
    assert!(late[0].try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    assert!(waiting.link_ended(1) && waiting.has_ended() && waiting.succeed().is_none());
    assert!(!waiting.requests.is_open(&id(1)));
}
