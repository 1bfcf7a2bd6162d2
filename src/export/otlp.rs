//! Events as OpenTelemetry logs, and spans as its traces: the few messages of OTLP 1.x that they need
//! (<https://github.com/open-telemetry/opentelemetry-proto>), written out, so that no SDK comes with them. A test
//! reads them with OpenTelemetry's own.
//!
//! An event is the body of its log record, signed, as one JSON text; what people search by stands in attributes.

use std::sync::Arc;

use serde_json::Value;
use testudo_rules::event::{CloudEvent, Content, Extension};

use super::source::Item;

mod spans;

pub(super) use spans::{Stamped, request as trace_request};

/// `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(bytes = "vec", tag = "9")]
    trace_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    event_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    /// The `string_value` of a `oneof`, which is on the wire even when it is empty.
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
    /// The `int_value` of the same; never both.
    #[prost(int64, optional, tag = "3")]
    int_value: Option<i64>,
}

/// `ExportLogsServiceResponse`, and `ExportTraceServiceResponse`, whose fields have the same tags.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<Partial>,
}

/// `ExportLogsPartialSuccess`, and `ExportTracePartialSuccess`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Partial {
    #[prost(int64, tag = "1")]
    pub(super) rejected: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

fn text(value: impl Into<String>) -> Option<AnyValue> {
    Some(AnyValue { string_value: Some(value.into()), int_value: None })
}

fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: text(value) }
}

/// Who speaks.
fn resource(service: &str, instance: &str) -> Resource {
    let attributes = vec![
        attribute("service.name", service),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
        attribute("service.instance.id", instance),
    ];
    Resource { attributes }
}

/// A batch as one request.
pub(super) fn request(batch: &[Arc<Item>]) -> Request {
    let source = batch.first().and_then(|item| item.event.core("source")).unwrap_or_default();
    let resource = resource("testudo", source);
    let scope = Scope { name: "dev.testudo.audit".into(), version: env!("CARGO_PKG_VERSION").into() };
    let log_records = batch.iter().map(|item| record(item)).collect();
    Request {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs { scope: Some(scope), log_records }],
        }],
    }
}

fn record(item: &Item) -> LogRecord {
    let event = &item.event;
    let data = match event.content() {
        Content::Json(data) => data,
        Content::Bytes(_) | Content::None => &Value::Null,
    };
    let nanos = data["at_ms"].as_u64().unwrap_or_default().saturating_mul(1_000_000);
    let severity_number = match event.extension("severitynumber") {
        Some(Extension::Integer(number)) => *number,
        Some(Extension::Boolean(_) | Extension::Text(_)) | None => 0,
    };
    LogRecord {
        time_unix_nano: nanos,
        severity_number,
        severity_text: event.extension("severitytext").map(Extension::text).unwrap_or_default(),
        body: text(item.line.as_str()),
        attributes: attributes(event, data),
        trace_id: trace_id(event).unwrap_or_default(),
        observed_time_unix_nano: nanos,
        event_name: event.kind().to_owned(),
    }
}

/// The trace of an event's `traceparent`. Its span is not known to the log.
fn trace_id(event: &CloudEvent) -> Option<Vec<u8>> {
    let parent = event.extension("traceparent")?.text();
    let trace = hex::decode(parent.split('-').nth(1)?).ok()?;
    (trace.len() == 16).then_some(trace)
}

/// What people search by, in the words of OpenTelemetry's conventions where it has some.
fn attributes(event: &CloudEvent, data: &Value) -> Vec<KeyValue> {
    let mut attributes = vec![attribute("messaging.system", "testudo")];
    for (key, name) in [
        ("cloudevents.event_id", "id"),
        ("cloudevents.event_source", "source"),
        ("cloudevents.event_spec_version", "specversion"),
        ("cloudevents.event_type", "type"),
        ("cloudevents.event_subject", "subject"),
    ] {
        attributes.extend(event.core(name).map(|value| attribute(key, value)));
    }
    for (key, name) in [("messaging.message.conversation_id", "correlationid"), ("session.id", "sessionid")] {
        attributes.extend(event.extension(name).map(|value| attribute(key, value.text())));
    }
    for (key, pointer) in [
        ("messaging.message.id", "/message"),
        ("messaging.destination.name", "/destination"),
        ("testudo.agent", "/agent"),
        ("testudo.capability", "/capability"),
        ("testudo.cause", "/cause"),
        ("testudo.refusal", "/verdict/refusal"),
        ("testudo.refusal", "/refusal"),
        ("testudo.receiver", "/to"),
    ] {
        attributes.extend(data.pointer(pointer).and_then(Value::as_str).map(|value| attribute(key, value)));
    }
    attributes
}
