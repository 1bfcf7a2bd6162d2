//! Exporters against receivers of other makes: a web server that takes CloudEvents batches, and one that reads OTLP
//! with OpenTelemetry's own messages. From a swarm in this process, through its public door.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "exporters/collector.rs"]
mod collector;
#[path = "exporters/kit.rs"]
mod kit;
#[path = "exporters/secure.rs"]
mod secure;
#[path = "exporters/traces.rs"]
mod traces;
#[path = "exporters/webhook.rs"]
mod webhook;
