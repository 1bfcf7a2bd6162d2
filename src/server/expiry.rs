//! The certificates' part of `/metrics`: when each ends, so that an alarm can be set on what is left.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use testudo_bus::node::Node;
use testudo_bus::tls::not_after;
use testudo_wire::Timestamp;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Of {
    certificate: &'static str,
}

/// Adds the series: the node's own certificate, the oldest CA, which certifies nodes, the newest, which certifies
/// agents, and the CAs of agents that are certified elsewhere, of which the first to end is told.
pub(super) fn register(registry: &mut Registry, node: &Node) {
    let ends = Family::<Of, Gauge>::default();
    let tell = |certificate, end: Timestamp| {
        let seconds = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
        ends.get_or_create(&Of { certificate }).set(seconds);
    };
    tell("node", node.certificate().not_after);
    let roots = node.office().roots;
    let rooted = roots.load();
    for (certificate, ca) in [("ca-oldest", rooted.own()), ("ca-newest", rooted.issuing())] {
        // One that cannot be read has no end to tell; the health page says so.
        if let Ok(end) = not_after(ca.certificate()) {
            tell(certificate, end);
        }
    }
    let elsewhere = roots.agents_elsewhere().unwrap_or_default();
    if let Some(end) = elsewhere.iter().filter_map(|ca| not_after(ca).ok()).min() {
        tell("ca-agents", end);
    }
    let help = "When a certificate ends, in seconds since the Unix epoch";
    registry.register_with_unit("certificate_expiry_timestamp", help, Unit::Seconds, ends);
}
