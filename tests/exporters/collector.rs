//! OTLP logs, read with OpenTelemetry's own messages.

use axum::http::StatusCode;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use prost_of_otel::Message as _;
use serde_json::Value;
use testudo::Role;
use testudo::export::config::ExporterKind;
use testudo::rules::event::Signed;

use super::kit::{Receiver, section, swarm, until};

fn text(value: Option<&opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    match value.and_then(|value| value.value.clone()) {
        Some(Any::StringValue(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

fn attribute(record: &LogRecord, key: &str) -> Option<String> {
    record.attributes.iter().find(|one| one.key == key).map(|one| text(one.value.as_ref()))
}

#[tokio::test]
async fn r_c22_a_collector_reads_severity_body_trace_and_what_people_search_by() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Box::new(|_| {
        (StatusCode::OK, ExportLogsServiceResponse { partial_success: None }.encode_to_vec())
    }))
    .await;
    let swarm = swarm(dir.path(), section(ExporterKind::Otlp, &receiver.url)).await;
    swarm.enrol("reader", Role::new().allow("read:logs")).await.unwrap();
    let name = testudo::AgentName::parse("reader").unwrap();
    swarm.revoke("reader").await.unwrap();
    swarm.shut_down().await.unwrap();

    let mut records = Vec::new();
    for came in receiver.came() {
        assert_eq!(came.headers["content-type"], "application/x-protobuf");
        let request = ExportLogsServiceRequest::decode(came.body).unwrap();
        for logs in request.resource_logs {
            let service = logs.resource.unwrap().attributes;
            assert_eq!(service[0].key, "service.name");
            assert_eq!(text(service[0].value.as_ref()), "testudo");
            for scope in logs.scope_logs {
                assert_eq!(scope.scope.unwrap().name, "dev.testudo.audit");
                records.extend(scope.log_records);
            }
        }
    }
    for record in &records {
        let body: Value = serde_json::from_str(&text(record.body.as_ref())).unwrap();
        assert!(Signed::parse(&body).is_ok(), "the signed event itself");
        assert_eq!(attribute(record, "cloudevents.event_id").unwrap(), body["id"].as_str().unwrap());
        assert_eq!(record.event_name, body["type"].as_str().unwrap());
        assert_eq!(attribute(record, "messaging.system").unwrap(), "testudo");
        assert_eq!(i64::from(record.severity_number), body["severitynumber"].as_i64().unwrap());
        assert_eq!(record.severity_text, body["severitytext"].as_str().unwrap());
        let ms = body["data"]["at_ms"].as_u64().unwrap();
        assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (ms * 1_000_000, ms * 1_000_000));
        assert!(record.trace_id.is_empty() || record.trace_id.len() == 16);
        assert!(record.span_id.is_empty());
    }
    let revoked = records.iter().find(|record| record.event_name == "dev.testudo.agent.revoked").unwrap();
    assert_eq!(revoked.severity_number(), SeverityNumber::Warn);
    assert_eq!(attribute(revoked, "testudo.agent").unwrap(), name.as_str());
    assert_eq!(attribute(revoked, "cloudevents.event_subject").unwrap(), "agent/reader");
    let started = records.iter().find(|record| record.event_name == "dev.testudo.node.started").unwrap();
    assert_eq!(started.severity_number(), SeverityNumber::Info);
}

#[tokio::test]
async fn what_a_collector_takes_in_part_is_not_sent_again_and_not_called_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Box::new(|_| {
        let partial = ExportLogsPartialSuccess { rejected_log_records: 1, error_message: "too old".into() };
        (StatusCode::OK, ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec())
    }))
    .await;
    let swarm = swarm(dir.path(), section(ExporterKind::Otlp, &receiver.url)).await;
    let state = until(&swarm, |state| state.behind == 0 && state.counts.failed > 0).await;
    assert_eq!(state.refusal.as_deref(), Some("it took only a part of a batch"), "t_a65: not its words");
    swarm.shut_down().await.unwrap();
    let sent: usize = receiver
        .came()
        .into_iter()
        .map(|came| {
            ExportLogsServiceRequest::decode(came.body).unwrap().resource_logs[0].scope_logs[0]
                .log_records
                .len()
        })
        .sum();
    assert!(sent >= 2, "the start of the first swarm and its end at least, each once: {sent}");
}

#[tokio::test]
async fn r_c21_one_that_is_off_never_calls_its_collector() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering([]).await;
    let mut off = section(ExporterKind::Otlp, &receiver.url);
    off.enabled = false;
    let swarm = swarm(dir.path(), off).await;
    let state = until(&swarm, |state| state.behind == 0 && state.counts.dropped > 0).await;
    assert_eq!((state.counts.delivered, state.counts.failed), (0, 0));
    assert!(state.amiss().unwrap().contains("switched off"));
    swarm.shut_down().await.unwrap();
    assert!(receiver.came().is_empty());
}
