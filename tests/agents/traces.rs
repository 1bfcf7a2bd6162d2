//! Spans on the whole way: one tree for one piece of work, the wait apart from the work, no more than was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testudo::agents::{Bus, Context, Handlers, HostHandle, HostOptions, Served, host};
use testudo_bus::node::Commit;
use testudo_wire::{AgentName, Span, SpanId, SpanKind, SpanValue, Spans, TraceParent};
use tokio::time::sleep;

use super::kit::{agent, ask, can, grant, join, remote, stop};
use crate::support::world::message;
use crate::support::{World, sim};

/// Keeps every span.
#[derive(Debug, Default)]
struct Kept {
    spans: Mutex<Vec<Span>>,
    ids: AtomicU64,
    asked: AtomicU64,
}

impl Spans for Kept {
    fn wants(&self, trace: &TraceParent, _: &AgentName, _: u32) -> bool {
        assert!(trace.is_sampled());
        self.asked.fetch_add(1, Ordering::Relaxed);
        true
    }
    fn id(&self) -> SpanId {
        SpanId::new((self.ids.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes())
    }
    fn take(&self, span: Span) {
        self.spans.lock().unwrap().push(span);
    }
}

impl Kept {
    fn all(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    fn named(&self, name: &str) -> Vec<Span> {
        self.all().into_iter().filter(|span| span.name == name).collect()
    }
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let (_, value) = span.attributes.iter().find(|(key, _)| *key == name)?;
    Some(match value {
        SpanValue::Text(text) => text.clone(),
        SpanValue::Number(n) => n.to_string(),
    })
}

fn took(span: &Span) -> Duration {
    span.end - span.start
}

fn root() -> TraceParent {
    TraceParent::new([0xab; 16], SpanId::new([0xcd; 8]), true).unwrap()
}

/// Plans for 40 ms, then asks the reader.
fn planner() -> Served {
    let plan = |n: u64, context: Context| async move {
        sleep(Duration::from_millis(40)).await;
        Ok(context.bus().ask::<_, u64>(agent("reader"), can("read:logs"), &n).await?)
    };
    Handlers::new().on("plan:work", plan).build().unwrap()
}

/// Reads for 100 ms, one after the other; says under which trace.
fn reader(seen: &Arc<Mutex<Vec<Option<TraceParent>>>>) -> Served {
    let seen = seen.clone();
    let read = move |n: u64, context: Context| {
        seen.lock().unwrap().push(context.bus().trace());
        async move {
            sleep(Duration::from_millis(100)).await;
            if n == 0 { Err(testudo::AgentError::failed("nothing to read")) } else { Ok(n) }
        }
    };
    Handlers::new().on("read:logs", read).build().unwrap()
}

struct Swarm {
    world: World,
    kept: Arc<Kept>,
    seen: Arc<Mutex<Vec<Option<TraceParent>>>>,
    hosts: Vec<HostHandle>,
    asker: Bus,
    _mail: testudo::hosting::Mail,
}

/// An asker, a planner, a reader, and everybody traces.
async fn swarm(seed: u64, commit: Commit) -> Swarm {
    let (kept, seen) = (Arc::new(Kept::default()), Arc::<Mutex<Vec<_>>>::default());
    let world = World::traced(seed, commit, kept.clone());
    let (plans, reads) = (planner(), reader(&seen));
    let options = HostOptions { concurrency: 4.try_into().unwrap(), ..HostOptions::default() };
    let mut hosts = Vec::new();
    let of_planner = grant(&["read:logs"], &["plan:work"]);
    let identity = world.swarm.enrol(&world.node, "planner", &of_planner).await;
    let (out, mail) = join(&world, identity).await;
    hosts.push(host(out.traced(kept.clone()), mail, move || plans.clone(), options));
    let identity = world.swarm.enrol(&world.node, "reader", &grant(&[], &["read:logs"])).await;
    let (out, mail) = join(&world, identity).await;
    hosts.push(host(out.traced(kept.clone()), mail, move || reads.clone(), HostOptions::default()));
    let (out, mail) = join(&world, world.enrol("asker", &["plan:work", "read:logs"], &[]).await).await;
    let asker = Bus::new(out);
    Swarm { world, kept, seen, hosts, asker, _mail: mail }
}

impl Swarm {
    async fn end(self) -> Arc<Kept> {
        stop(self.hosts).await;
        let (account, _) = self.world.end().await;
        assert!(account.is_balanced());
        self.kept
    }
}

#[test]
fn one_request_across_three_agents_is_one_tree_and_waits_are_apart_from_work() {
    sim(async {
        let swarm = swarm(211, Commit::Receipt).await;
        let bus = swarm.asker.under_trace(root());
        let (first, second) =
            tokio::join!(ask(&bus, "planner", "plan:work", 1), ask(&bus, "planner", "plan:work", 2));
        assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
        let kept = swarm.end().await;

        let all = kept.all();
        let by_id: BTreeMap<_, _> = all.iter().map(|span| (*span.id.as_bytes(), span)).collect();
        assert_eq!(by_id.len(), all.len(), "no id twice");
        assert!(all.iter().all(|span| span.trace == root().trace_id() && span.end >= span.start));
        let parent = |span: &Span| {
            let id = *span.parent.unwrap().as_bytes();
            if id == *root().span_id().as_bytes() { "root" } else { by_id[&id].name }
        };
        let edges: BTreeSet<_> = all.iter().map(|span| (parent(span), span.name)).collect();
        let expected = [
            ("deliver", "hand-over"),
            ("deliver", "queue"),
            ("process", "inbox"),
            ("process", "process"),
            ("process", "route"),
            ("root", "inbox"),
            ("root", "process"),
            ("root", "route"),
            ("route", "deliver"),
            ("route", "guard"),
            ("route", "receive"),
            ("route", "record"),
            ("route", "wait"),
        ];
        assert_eq!(edges, expected.into());

        // Each of four messages: to the planner, on to the reader, back, and back.
        let routes = kept.named("route");
        assert_eq!(routes.len(), 2 * 4);
        for route in &routes {
            let kind = attribute(route, "testudo.destination.kind").unwrap();
            let sender = attribute(route, "testudo.sender").unwrap();
            let to = attribute(route, "messaging.destination.name").unwrap();
            let above = by_id.get(route.parent.unwrap().as_bytes());
            let doing = above.map(|span| attribute(span, "testudo.capability").unwrap());
            match (sender.as_str(), kind.as_str(), to.as_str()) {
                ("asker", "agent", "planner") => assert_eq!(doing, None),
                ("planner", "agent", "reader") | ("planner", "reply", "asker") => {
                    assert_eq!(doing.as_deref(), Some("plan:work"));
                }
                ("reader", "reply", "planner") => assert_eq!(doing.as_deref(), Some("read:logs")),
                other => panic!("{other:?}"),
            }
        }
        let (reads, waits) = (kept.named("process"), kept.named("inbox"));
        let of = |spans: &[Span], what: &str| -> Vec<Span> {
            let mut of: Vec<_> = spans
                .iter()
                .filter(|span| attribute(span, "testudo.capability").as_deref() == Some(what))
                .cloned()
                .collect();
            of.sort_by_key(|span| span.start);
            of
        };
        let (reads, waits) = (of(&reads, "read:logs"), of(&waits, "read:logs"));
        let ms = |span: &Span| took(span).as_millis();
        assert!(reads.iter().all(|read| (100..105).contains(&ms(read)) && read.kind == SpanKind::Consumer));
        assert!(ms(&waits[0]) < 5, "the first found the reader idle: {:?}", took(&waits[0]));
        assert!((90..=100).contains(&ms(&waits[1])), "the second waited for it: {:?}", took(&waits[1]));
        assert_eq!(reads[1].start, waits[1].end);
        let plans = of(&kept.named("process"), "plan:work");
        assert!(plans.iter().all(|plan| ms(plan) >= 140), "40 of its own, and the reader's");
    });
}

#[test]
fn who_does_not_sample_is_not_traced_and_the_context_goes_on_all_the_same() {
    sim(async {
        let swarm = swarm(212, Commit::Receipt).await;
        let unsampled = TraceParent::new([9; 16], SpanId::new([8; 8]), false).unwrap();
        for bus in [swarm.asker.clone(), swarm.asker.under_trace(unsampled)] {
            ask(&bus, "planner", "plan:work", 1).await.unwrap();
        }
        assert_eq!(*swarm.seen.lock().unwrap(), [None, Some(unsampled)], "carried on as it came");
        ask(&swarm.asker.under_trace(root()), "reader", "read:logs", 1).await.unwrap();
        let kept = swarm.end().await;
        let traces: BTreeSet<_> = kept.all().iter().map(|span| span.trace).collect();
        assert_eq!(traces, [root().trace_id()].into(), "and the sampled one is");
        assert_eq!(kept.asked.load(Ordering::Relaxed), 3, "two messages at the node, one at the reader");
    });
}

#[test]
fn hostile_trace_contexts_break_no_delivery_and_leave_no_false_spans() {
    sim(async {
        let kept = Arc::new(Kept::default());
        let world = World::traced(213, Commit::Receipt, kept.clone());
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let mut receiver = world.agent("receiver", &[], &["read:logs"]).await;
        let mut hostile = Vec::new();
        for flags in [0_u8, 1, 2, 0xff] {
            for (trace, span) in [(0, 0), (0, 1), (1, 0), (0xff, 0xff)] {
                let mut bytes = [flags; 25];
                bytes[..16].fill(trace);
                bytes[16..24].fill(span);
                hostile.push(TraceParent(bytes));
            }
        }
        for trace in &hostile {
            let mut outgoing = message("receiver", "read:logs", "hello");
            outgoing.trace = Some(*trace);
            sender.client.tell(outgoing).await.unwrap();
            let delivery = receiver.next().await.unwrap();
            assert_eq!(delivery.header().trace, Some(*trace), "signed, so as it was sent");
        }
        drop(receiver);
        let (account, _) = world.end().await;
        assert_eq!(account.delivered, hostile.len() as u64);
        let valid = hostile.iter().filter(|trace| trace.is_sampled()).count();
        assert_eq!((valid, kept.named("route").len()), (2, 2));
        assert!(kept.all().iter().all(|span| span.trace == [0xff; 16]));
    });
}

#[test]
fn a_refusal_and_a_failure_show_in_their_spans_and_nothing_of_a_body_does() {
    sim(async {
        let swarm = swarm(214, Commit::Delivery).await;
        let bus = swarm.asker.under_trace(root());
        assert!(ask(&bus, "asker", "plan:work", 7).await.is_err(), "it serves nothing");
        assert_eq!(remote(ask(&bus, "reader", "read:logs", 0).await), "failed");
        let kept = swarm.end().await;
        let refused: Vec<_> = kept.named("route").into_iter().filter(|route| route.error.is_some()).collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].error.as_deref(), Some("unroutable"));
        let below: BTreeSet<_> = kept
            .all()
            .iter()
            .filter(|span| span.parent == Some(refused[0].id))
            .map(|span| (span.name, span.error.is_some()))
            .collect();
        let steps =
            [("commit", false), ("guard", true), ("receive", false), ("record", false), ("wait", false)];
        assert_eq!(below, steps.into(), "it went nowhere, and waited for the disk as all do");
        let failed = kept.named("process");
        assert_eq!((failed.len(), failed[0].error.as_deref()), (1, Some("failed")));
        let text = format!("{:?}", kept.all());
        assert!(!text.contains("nothing to read"), "the sentence is for the asker alone");
    });
}
