//! The exporters' part of `/metrics`: labels are the names in the configuration, so they are few.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::state::{Breaker, ExporterStatus};

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
        breaker.get_or_create(&of).set(match state.breaker {
            Breaker::Closed => 0,
            Breaker::HalfOpen => 1,
            Breaker::Open => 2,
        });
    }
    registry.register("export_submitted", "Events taken from the log, by exporter", submitted);
    registry.register("export_events", "Events by exporter and outcome", ended);
    registry.register("export_queued", "Events waiting, by exporter", queued);
    registry.register("export_in_flight", "Events on their way, by exporter", in_flight);
    registry.register("export_breaker", "0 closed, 1 half open, 2 open, by exporter", breaker);
    registry.register("export_behind_records", "Records not come to, by exporter", behind);
}
