//! The exporters' part of `/metrics`: labels are the names in the configuration, so they are few.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::state::{Breaker, ExporterStatus};
use super::traces::{Sampled, TracesStatus};

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Of {
    exporter: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Ended {
    exporter: String,
    outcome: &'static str,
}

fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SpansEnded {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Decided {
    decision: &'static str,
}

/// Adds the series of the spans.
pub(crate) fn register_traces(registry: &mut Registry, status: &TracesStatus) {
    let TracesStatus { counts, over_limit, no_room, messages, breaker, trouble: _ } = status;
    let Sampled { offered, traced, beyond_ratio, declined } = *messages;
    let [submitted, asked] = [counts.submitted, offered].map(|n| {
        let counter = Counter::<u64>::default();
        counter.inc_by(n);
        counter
    });
    let sampled = Family::<Decided, Counter>::default();
    for (decision, n) in [("traced", traced), ("beyond_ratio", beyond_ratio), ("declined", declined)] {
        sampled.get_or_create(&Decided { decision }).inc_by(n);
    }
    let ended = Family::<SpansEnded, Counter>::default();
    for (outcome, n) in [
        ("delivered", counts.delivered),
        ("failed", counts.failed),
        ("dropped_over_limit", *over_limit),
        ("dropped_no_room", *no_room),
    ] {
        ended.get_or_create(&SpansEnded { outcome }).inc_by(n);
    }
    let [queued, in_flight, open] = std::array::from_fn(|_| Gauge::<i64>::default());
    queued.set(gauge(counts.queued));
    in_flight.set(gauge(counts.in_flight));
    open.set(breaker_number(*breaker));
    registry.register("trace_spans_submitted", "Spans of sampled messages", submitted);
    registry.register("trace_spans", "Spans by outcome", ended);
    registry.register("trace_spans_queued", "Spans waiting", queued);
    registry.register("trace_spans_in_flight", "Spans on their way", in_flight);
    registry.register("trace_breaker", "0 closed, 1 half open, 2 open", open);
    registry.register("trace_messages_offered", "Messages whose senders asked for a trace", asked);
    registry.register("trace_messages", "Of them by decision", sampled);
}

const fn breaker_number(breaker: Breaker) -> i64 {
    match breaker {
        Breaker::Closed => 0,
        Breaker::HalfOpen => 1,
        Breaker::Open => 2,
    }
}

/// Adds the series of these exporters.
pub(crate) fn register(registry: &mut Registry, states: &[ExporterStatus]) {
    let submitted = Family::<Of, Counter>::default();
    let ended = Family::<Ended, Counter>::default();
    let [queued, in_flight, breaker, behind] = std::array::from_fn(|_| Family::<Of, Gauge<i64>>::default());
    for state in states {
        let of = Of { exporter: state.name.clone() };
        let counts = state.counts;
        submitted.get_or_create(&of).inc_by(counts.submitted);
        let ends = [("delivered", counts.delivered), ("failed", counts.failed), ("dropped", counts.dropped)];
        for (outcome, n) in ends {
            ended.get_or_create(&Ended { exporter: state.name.clone(), outcome }).inc_by(n);
        }
        queued.get_or_create(&of).set(gauge(counts.queued));
        in_flight.get_or_create(&of).set(gauge(counts.in_flight));
        behind.get_or_create(&of).set(gauge(state.behind));
        breaker.get_or_create(&of).set(breaker_number(state.breaker));
    }
    registry.register("export_submitted", "Events taken from the log, by exporter", submitted);
    registry.register("export_events", "Events by exporter and outcome", ended);
    registry.register("export_queued", "Events waiting, by exporter", queued);
    registry.register("export_in_flight", "Events on their way, by exporter", in_flight);
    registry.register("export_breaker", "0 closed, 1 half open, 2 open, by exporter", breaker);
    registry.register("export_behind_records", "Records not come to, by exporter", behind);
}
