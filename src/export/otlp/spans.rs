//! Spans as OTLP traces.

use std::sync::Arc;

use testudo_wire::{Span as Taken, SpanKind, SpanValue};

use super::{AnyValue, KeyValue, Resource, Scope, attribute, resource, text};

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::export) struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    /// The W3C flags of the span; it is sampled.
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
/// The sampled flag.
const SAMPLED: u32 = 1;

/// A span with its times as the world tells them, in nanoseconds of Unix time.
#[derive(Debug)]
pub(in crate::export) struct Stamped {
    pub(in crate::export) span: Taken,
    pub(in crate::export) start: u64,
    pub(in crate::export) end: u64,
    pub(in crate::export) events: Vec<u64>,
}

/// A batch as one request, in the name of a service.
pub(in crate::export) fn request(service: &str, instance: &str, batch: &[Arc<Stamped>]) -> Request {
    let scope = Scope { name: "dev.testudo.traces".into(), version: env!("CARGO_PKG_VERSION").into() };
    let spans = batch.iter().map(|stamped| of(stamped)).collect();
    Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(service, instance)),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    }
}

fn of(stamped: &Stamped) -> Span {
    let span = &stamped.span;
    let value = |value: &SpanValue| match value {
        SpanValue::Number(n) => Some(AnyValue { string_value: None, int_value: Some(*n) }),
        SpanValue::Text(value) => text(value.as_str()),
    };
    let mut attributes: Vec<_> = span
        .attributes
        .iter()
        .map(|(key, of)| KeyValue { key: (*key).to_owned(), value: value(of) })
        .collect();
    attributes.extend(span.error.as_ref().map(|error| attribute("error.type", error.as_str())));
    let events = span.events.iter().zip(&stamped.events);
    Span {
        trace_id: span.trace.to_vec(),
        span_id: span.id.as_bytes().to_vec(),
        parent_span_id: span.parent.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        name: span.name.to_owned(),
        kind: match span.kind {
            SpanKind::Internal => 1,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
        start_time_unix_nano: stamped.start,
        end_time_unix_nano: stamped.end,
        attributes,
        events: events
            .map(|((name, _), at)| Event { time_unix_nano: *at, name: (*name).to_owned() })
            .collect(),
        status: span.error.as_ref().map(|error| Status { message: error.clone(), code: ERROR }),
        flags: SAMPLED,
    }
}
