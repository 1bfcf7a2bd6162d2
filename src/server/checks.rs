//! What a node is asked about its health.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use testudo_bus::audit::Health as AuditHealth;
use testudo_bus::clock::NodeClock;
use testudo_bus::env::SharedEnv;
use testudo_bus::node::Node;
use testudo_bus::roots::{Roots, STATEMENTS_MAX, STATEMENTS_NEAR_MAX};
use testudo_bus::tls::{Issuer, IssuerHealth, LIFETIME, Leaf, not_after};
use testudo_wire::Timestamp;

use super::clock::Clock;
use crate::export::{ExporterStatus, States};
use crate::health::{Checker, Finding};

/// A check may take so long.
const CHECK_TIME: Duration = Duration::from_secs(2);
/// A registry whose disk fails for longer is unhealthy (threat F11).
const STORE_FAILING: Duration = Duration::from_secs(120);
/// The issuer may take so long before it counts.
const RENEWING: Duration = Duration::from_secs(180);
/// A CA's certificate that ends so soon is to be replaced.
const CA_NEAR_END: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The checks of a node.
pub(super) fn of_node(
    node: &Arc<Node>,
    exporters: States,
    issuer: &Arc<dyn Issuer>,
    clock: &Arc<NodeClock>,
) -> Checker {
    let env: SharedEnv = clock.clone();
    let checker = Checker::standard(CHECK_TIME, env.clone());
    let register = |name: &str, check: fn(&Node, Timestamp) -> Finding| {
        let (of, env) = (node.clone(), env.clone());
        checker.register(name, move || std::future::ready(check(&of, env.now())));
    };
    register("audit", |node, _| audit(node));
    register("registry", registry);
    register("actors", |node, _| {
        if node.actors_live() {
            Finding::healthy()
        } else {
            Finding::unhealthy("an actor or a task of the node has ended; restart the node")
        }
    });
    register("guard", |node, _| match node.metrics().guard_faults() {
        0 => Finding::healthy(),
        n => Finding::degraded(format!("the guard failed on {n} bundles, which were refused")),
    });
    register("certificate", |node, now| certificate(&node.certificate(), now));
    if !exporters.is_empty() {
        checker.register("exporters", move || std::future::ready(exporting(&exporters)));
    }
    register("ca", |node, now| {
        let roots = node.office().roots;
        let rooted = roots.load().clone();
        // The oldest certifies the node, the newest the agents, unless those are certified elsewhere.
        let own = [rooted.own().certificate(), rooted.issuing().certificate()];
        let elsewhere = roots.agents_elsewhere().unwrap_or_default();
        ca_ends(own.into_iter().chain(elsewhere), now)
    });
    let clock = Clock::new(clock.clone());
    checker.register("clock", move || std::future::ready(clock.check()));
    register("trust", |node, _| trust(&node.office().roots));
    let (issuer, env) = (issuer.clone(), env.clone());
    checker.register("issuer", move || std::future::ready(certifying(issuer.health(), env.now())));
    checker
}

/// Who certifies the agents. Without it nobody new comes in and nobody renews, but links and messages need it only when
/// the last certificate has run out: to be called unready before that would shut out those who could still connect.
fn certifying(health: IssuerHealth, now: Timestamp) -> Finding {
    match health {
        IssuerHealth::Well => Finding::healthy(),
        IssuerHealth::Unasked => Finding::degraded("the issuer of agents' certificates has not answered yet"),
        IssuerHealth::Failing { since, why } if now > since.after(LIFETIME) => Finding::unhealthy(format!(
            "no agent was certified for {} hours, and their certificates have run out: {why}",
            now.as_millis().saturating_sub(since.as_millis()) / 3_600_000
        )),
        IssuerHealth::Failing { why, .. } => Finding::degraded(why),
    }
}

/// Whether the swarm can still be rolled over.
fn trust(roots: &Roots) -> Finding {
    if roots.is_unsettled() {
        return Finding::degraded(
            "it is not known whether the last trust statement is kept; restart the node",
        );
    }
    let made = roots.number();
    if made < STATEMENTS_NEAR_MAX {
        return Finding::healthy();
    }
    Finding::degraded(format!(
        "{made} of {STATEMENTS_MAX} trust statements are made, more are not kept; plan a new swarm"
    ))
}

/// A certificate is replaced when it is due: one that was not is about to end, and no agent can come in any more.
fn certificate(leaf: &Leaf, now: Timestamp) -> Finding {
    let left = leaf.not_after.as_millis().saturating_sub(now.as_millis()) / 60_000;
    if now >= leaf.not_after {
        Finding::unhealthy("the node's certificate has run out; see its log for what its issuer says")
    } else if now > leaf.due().after(RENEWING) {
        Finding::degraded(format!("the node's certificate was not renewed and ends in {left} minutes"))
    } else {
        Finding::healthy()
    }
}

/// The CAs' certificates, of which the first to end counts.
pub(crate) fn ca_ends<'c>(
    certificates: impl Iterator<Item = &'c CertificateDer<'static>>,
    now: Timestamp,
) -> Finding {
    let advice = "a CA's certificate is near its end; roll it over with `testudo swarm trust rotate-ca`, then `retire-ca`, or replace the mount's in issuer.issuing_ca_file";
    let ends_at: Result<Vec<_>, _> = certificates.map(not_after).collect();
    match ends_at.map(|all| all.into_iter().min()) {
        Ok(Some(first)) => ends(first, CA_NEAR_END, now, advice),
        Ok(None) => Finding::unhealthy("there is no CA; restart the node"),
        Err(error) => Finding::unhealthy(error.to_string()),
    }
}

/// Something that ends: unhealthy behind its end, degraded near it.
fn ends(end: Timestamp, near: Duration, now: Timestamp, advice: &str) -> Finding {
    if now >= end {
        Finding::unhealthy(advice)
    } else if now.after(near) >= end {
        Finding::degraded(advice)
    } else {
        Finding::healthy()
    }
}

/// A receiver that is down, and every event that did not arrive, is worth a look (case r_H18).
fn exporting(exporters: &States) -> Finding {
    let amiss: Vec<_> = exporters.all().iter().filter_map(ExporterStatus::amiss).collect();
    if amiss.is_empty() { Finding::healthy() } else { Finding::degraded(amiss.join("; ")) }
}

fn audit(node: &Node) -> Finding {
    match node.audit().health() {
        AuditHealth::Working => Finding::healthy(),
        AuditHealth::Closed => Finding::unhealthy("the audit log is closed"),
        AuditHealth::Failing { reason } => Finding::unhealthy(format!("the audit log fails: {reason}")),
        AuditHealth::Poisoned { reason } => {
            Finding::unhealthy(format!("the audit log failed for good: {reason}"))
        }
    }
}

fn registry(node: &Node, now: Timestamp) -> Finding {
    if let Some(seen) = *node.stale().borrow() {
        return Finding::unhealthy(format!("the registry is an old copy: sequence {seen} was seen"));
    }
    let health = node.registry().health();
    match health.failing_since {
        None => Finding::healthy(),
        Some(since) => {
            let reason = format!("the registry's store fails; {} changes wait for it", health.backlog);
            if now > since.after(STORE_FAILING) {
                Finding::unhealthy(reason)
            } else {
                Finding::degraded(reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    #[test]
    fn what_ends_is_degraded_near_its_end_and_unhealthy_behind_it() {
        let end = Timestamp::from_millis(100_000);
        let at = |ms| ends(end, Duration::from_secs(10), Timestamp::from_millis(ms), "renew").state;
        assert_eq!([at(0), at(89_999)], [State::Healthy; 2]);
        assert_eq!([at(90_000), at(99_999)], [State::Degraded; 2]);
        assert_eq!([at(100_000), at(900_000)], [State::Unhealthy; 2]);
    }

    #[test]
    fn an_issuer_that_fails_is_degraded_and_unhealthy_when_certificates_run_out_for_it() {
        let at = |hours: u64| Timestamp::from_millis(hours * 3_600_000);
        let failing = || IssuerHealth::Failing { since: at(1), why: "the PKI service is sealed".into() };
        assert_eq!(certifying(IssuerHealth::Well, at(9)), Finding::healthy());
        assert_eq!(certifying(IssuerHealth::Unasked, at(9)).state, State::Degraded);
        assert_eq!(certifying(failing(), at(25)), Finding::degraded("the PKI service is sealed"));
        let late = certifying(failing(), at(26));
        assert_eq!(late.state, State::Unhealthy);
        assert!(late.reason.unwrap().ends_with("have run out: the PKI service is sealed"));
    }

    #[test]
    fn a_certificate_that_was_not_renewed_in_time_is_told_before_it_ends() {
        use testudo_wire::{NodeName, SecretKey, SpiffeId, SwarmId};
        let at = |hours: u64| Timestamp::from_millis(hours * 3_600_000);
        let name: NodeName = "n1".parse().unwrap();
        let leaf = Leaf {
            id: SpiffeId::Node(SwarmId::new([1; 32]), name),
            key: SecretKey::from_seed(&[1; 32]).public(),
            not_before: at(0),
            not_after: at(24),
        };
        assert_eq!(leaf.due(), at(16));
        let states = [0, 16, 17, 23, 24, 30].map(|hour| certificate(&leaf, at(hour)).state);
        use State::{Degraded, Healthy, Unhealthy};
        assert_eq!(states, [Healthy, Healthy, Degraded, Degraded, Unhealthy, Unhealthy]);
    }
}
