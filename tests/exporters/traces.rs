//! Spans over OTLP, read with OpenTelemetry's own messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Status;
use prost_of_otel::Message as _;
use testudo::agents::{Context, Handlers};
use testudo::export::{TracesSection, TracesStatus};
use testudo::wire::{SpanId, TraceParent};
use testudo::{AgentName, Capability, Connection, Role, Swarm};

use super::kit::{Came, Receiver};

fn can(text: &str) -> Capability {
    Capability::parse(text).unwrap()
}

fn agent(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn spans(came: Vec<Came>) -> Vec<Span> {
    let mut spans = Vec::new();
    for came in came {
        assert_eq!(came.headers["content-type"], "application/x-protobuf");
        for of in ExportTraceServiceRequest::decode(came.body).unwrap().resource_spans {
            let resource = of.resource.unwrap().attributes;
            assert_eq!(resource[0].key, "service.name");
            for scope in of.scope_spans {
                assert_eq!(scope.scope.unwrap().name, "dev.testudo.traces");
                spans.extend(scope.spans);
            }
        }
    }
    spans
}

fn attribute(span: &Span, key: &str) -> Option<Any> {
    let found = span.attributes.iter().find(|one| one.key == key)?;
    found.value.clone()?.value
}

fn text(span: &Span, key: &str) -> Option<String> {
    let value = attribute(span, key)?;
    let Any::StringValue(text) = value else { panic!("{key} is no text: {value:?}") };
    Some(text)
}

/// A swarm of a middle and a back, both traced, and who asks.
async fn swarm(traces: TracesSection) -> (Swarm, Connection) {
    let swarm = Swarm::builder("s").traces(traces).start().await.unwrap();
    let back = Handlers::new().on("read:logs", |n: u64, _| async move { Ok(n) }).build().unwrap();
    swarm.spawn("back", Role::new().serve("read:logs"), move || back.clone()).await.unwrap();
    let plan = |n: u64, context: Context| async move {
        Ok(context.bus().ask::<_, u64>(agent("back"), can("read:logs"), &n).await?)
    };
    let middle = Handlers::new().on("plan:work", plan).build().unwrap();
    let role = Role::new().serve("plan:work").allow("read:logs");
    swarm.spawn("middle", role, move || middle.clone()).await.unwrap();
    let front = swarm.connect("front", Role::new().allow("plan:work")).await.unwrap();
    (swarm, front)
}

fn root(n: u8) -> TraceParent {
    TraceParent::new([n; 16], SpanId::new([n; 8]), true).unwrap()
}

async fn ask(front: &Connection, trace: TraceParent) {
    let bus = front.bus().under_trace(trace);
    let answer: u64 = bus.ask(agent("middle"), can("plan:work"), &7_u64).await.unwrap();
    assert_eq!(answer, 7);
}

fn fine() -> (StatusCode, Vec<u8>) {
    (StatusCode::OK, ExportTraceServiceResponse { partial_success: None }.encode_to_vec())
}

fn status(swarm: &Swarm) -> TracesStatus {
    let status = swarm.traces().unwrap().status();
    assert!(status.counts.is_balanced(), "{status:?}");
    status
}

#[tokio::test]
async fn a_collector_reads_one_tree_with_times_kinds_and_conventional_names() {
    let receiver = Receiver::start(Box::new(|_| fine())).await;
    let (swarm, front) = swarm(TracesSection::to(&receiver.url)).await;
    ask(&front, root(5)).await;
    front.goodbye().await;
    let view = swarm.traces().unwrap();
    swarm.shut_down().await.unwrap();
    let all = spans(receiver.came());
    let counts = view.status().counts;
    assert_eq!((counts.submitted, counts.delivered), (all.len() as u64, all.len() as u64));

    let by_id: BTreeMap<_, _> = all.iter().map(|span| (span.span_id.clone(), span)).collect();
    assert_eq!(by_id.len(), all.len());
    let mut tops = 0;
    for span in &all {
        assert_eq!((span.trace_id.as_slice(), span.span_id.len(), span.flags), ([5; 16].as_slice(), 8, 1));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 1 << 60);
        match by_id.get(&span.parent_span_id) {
            Some(above) => assert!(above.start_time_unix_nano <= span.start_time_unix_nano, "{}", span.name),
            None => {
                assert_eq!(span.parent_span_id, [5; 8], "nothing hangs in the air");
                tops += 1;
            }
        }
        let kind = match span.name.as_str() {
            "process" => SpanKind::Consumer,
            "deliver" => SpanKind::Producer,
            _ => SpanKind::Internal,
        };
        assert_eq!(span.kind(), kind, "{}", span.name);
        assert!(span.status.is_none());
    }
    assert_eq!(tops, 3, "the first message's route, its wait and its work");
    let route = all.iter().find(|span| span.name == "route" && span.parent_span_id == [5; 8]).unwrap();
    assert_eq!(text(route, "messaging.system").unwrap(), "testudo");
    assert_eq!(text(route, "messaging.destination.name").unwrap(), "middle");
    assert!(matches!(attribute(route, "messaging.message.envelope.size"), Some(Any::IntValue(n)) if n > 100));
    assert!(matches!(attribute(route, "testudo.audit.record"), Some(Any::IntValue(_))));
    let guard = all.iter().find(|span| span.name == "guard").unwrap();
    let events: Vec<_> = guard.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["authorised", "inspected", "placed"]);
    let within = guard.start_time_unix_nano..=guard.end_time_unix_nano;
    assert!(guard.events.iter().all(|event| within.contains(&event.time_unix_nano)));
    let names: BTreeSet<_> = all.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names.len(), 10, "few names: {names:?}");
}

#[tokio::test]
async fn a_refused_message_is_an_error_and_a_share_of_none_records_none() {
    let receiver = Receiver::start(Box::new(|_| fine())).await;
    let none = TracesSection { ratio: 0.0, ..TracesSection::to(&receiver.url) };
    for (section, expected) in [(none, 0), (TracesSection::to(&receiver.url), 1)] {
        let (swarm, front) = swarm(section).await;
        let bus = front.bus().under_trace(root(6));
        bus.ask::<_, u64>(agent("back"), can("read:logs"), &1_u64).await.unwrap_err();
        front.goodbye().await;
        swarm.shut_down().await.unwrap();
        let all = spans(receiver.came());
        let refused: Vec<_> = all.iter().filter(|span| span.name == "route").collect();
        assert_eq!(refused.len(), expected);
        for route in refused {
            let status = route.status.clone().unwrap();
            assert_eq!((status.code(), status.message.as_str()), (Status::Error, "unauthorised"));
            assert_eq!(text(route, "error.type").unwrap(), "unauthorised");
        }
    }
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs_delays_nobody_and_costs_bounded_memory() {
    // It takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let section = TracesSection { queue: 64, batch: 8, ..TracesSection::to(&url) };
    let (swarm, front) = swarm(section).await;
    let asked = async {
        for _ in 0..50 {
            ask(&front, root(7)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("nobody waited for the collector");
    let state = status(&swarm);
    assert!(state.counts.queued + state.counts.in_flight <= 64, "{state:?}");
    assert!(state.no_room > 0, "{state:?}");
    front.goodbye().await;
    let view = swarm.traces().unwrap();
    let account = swarm.shut_down().await.unwrap();
    assert_eq!((account.submitted, account.delivered), (200, 200));
    let end = view.status().counts;
    assert!(end.is_balanced() && end.queued + end.in_flight == 0, "{end:?}");
    assert_eq!(end.delivered, 0);
}

#[tokio::test]
async fn what_fails_goes_again_and_what_a_collector_refuses_is_counted() {
    let mut answers = 0;
    let receiver = Receiver::start(Box::new(move |_| {
        answers += 1;
        match answers {
            1 => return (StatusCode::SERVICE_UNAVAILABLE, Vec::new()),
            2 => {}
            _ => return fine(),
        }
        let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".into() };
        (StatusCode::OK, ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec())
    }))
    .await;
    let section = TracesSection { batch: 16, ..TracesSection::to(&receiver.url) };
    let (swarm, front) = swarm(section).await;
    ask(&front, root(8)).await;
    for _ in 0..1000 {
        if status(&swarm).counts.failed > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let state = status(&swarm);
    let told = Some("it took only a part of a batch");
    assert_eq!((state.counts.failed, state.trouble.as_deref()), (2, told), "t_a65: not its words");
    let came = receiver.came();
    assert_eq!(came[0].body, came[1].body, "the same spans again, and no others with them");
    front.goodbye().await;
    swarm.shut_down().await.unwrap();
}
