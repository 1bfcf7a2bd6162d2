//! What an operator asks before the first start, or when something is odd: is everything in place? Every finding that is
//! not healthy says what to do.
//!
//! Looks and changes nothing: it opens no store and no log. Of a running node it knows what that says of itself.

use std::io;
use std::path::Path;

use testudo_bus::env::Env;

use crate::config::Config;
use crate::health::{Finding, State};
use crate::operator::{Answer, Request};
use crate::packs::Packs;
use crate::server::{self, AskError, SOCKET_BYTES};
use crate::swarm::Keys;

/// Less room than this on the disk of the data, in bytes, is too little to sleep well.
const ROOM_MIN: u64 = 1 << 30;
/// Where Linux keeps that limit.
const SOCKET_LIMITS: [&str; 2] = ["net.core.rmem_max", "net.core.wmem_max"];

/// What was looked at, and how it is.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What.
    pub what: String,
    /// How it is.
    pub finding: Finding,
}

impl Examined {
    fn of(what: impl Into<String>, finding: Finding) -> Self {
        Self { what: what.into(), finding }
    }
}

/// Looks at everything that a configuration names.
pub async fn examine(config: &Config, env: &dyn Env) -> Vec<Examined> {
    let mut found = vec![
        Examined::of("keys", keys(config, env)),
        Examined::of("guard rules", well(Packs::read(&config.guard.packs))),
        Examined::of("disk", disk(&config.node.data)),
    ];
    found.extend(SOCKET_LIMITS.iter().filter_map(|limit| Some(Examined::of(*limit, socket_limit(limit)?))));
    found.extend(node(config).await);
    found
}

fn well<T>(done: Result<T, impl std::fmt::Display>) -> Finding {
    done.map_or_else(|error| Finding::unhealthy(error.to_string()), |_| Finding::healthy())
}

/// Whether the keys are there, private, this swarm's and of one piece, and the CAs have time left.
fn keys(config: &Config, env: &dyn Env) -> Finding {
    let keys = match Keys::read(&config.node.keys) {
        Ok(keys) => keys,
        Err(error) => return Finding::unhealthy(error.to_string()),
    };
    match server::belong_together(config, &keys, env) {
        Ok(()) => server::ca_ends(keys.holding().cas.iter().map(|ca| &ca.certificate), env.now()),
        Err(error) => Finding::unhealthy(error.to_string()),
    }
}

/// Whether the data's disk has room: a full one stops every delivery, for what cannot be recorded does not go.
fn disk(data: &Path) -> Finding {
    // Before the first start there may be no folder yet: then the one that it will be made in.
    let there = data.ancestors().find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new("."));
    match rustix::fs::statvfs(there) {
        Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_MIN => Finding::degraded(format!(
            "less than 1 GiB is free for {}; make room, or keep less: [audit] in the configuration",
            data.display()
        )),
        Ok(_) => Finding::healthy(),
        Err(error) => Finding::unhealthy(format!("{}: {}", there.display(), io::Error::from(error))),
    }
}

/// Whether a socket may hold a burst; `None` where the system does not say.
fn socket_limit(name: &str) -> Option<Finding> {
    let file = Path::new("/proc/sys").join(name.replace('.', "/"));
    let bytes: usize = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let advice = || format!("{bytes}: bursts are lost; set it with `sysctl -w {name}={SOCKET_BYTES}`");
    Some(if bytes < SOCKET_BYTES { Finding::degraded(advice()) } else { Finding::healthy() })
}

/// What the running node says of itself; where none runs, whether one could listen.
async fn node(config: &Config) -> Vec<Examined> {
    let status = match server::ask(&config.node.data, &Request::Status).await {
        Ok(Answer::Status(status)) => status,
        Ok(_) => {
            let odd = Finding::unhealthy("the node answers something else; is it of the same version?");
            return vec![Examined::of("node", odd)];
        }
        Err(AskError::NoNode(_)) => return addresses(config),
        Err(error) => return vec![Examined::of("node", Finding::unhealthy(error.to_string()))],
    };
    let Some(health) = status.health else { return vec![Examined::of("node", Finding::healthy())] };
    let parts = health.components.into_iter().map(|(name, check)| {
        let finding =
            Finding { state: check.state, reason: check.reason, latency_ms: Some(check.latency_ms) };
        Examined::of(format!("node: {name}"), finding)
    });
    parts.collect()
}

fn addresses(config: &Config) -> Vec<Examined> {
    let (listen, health, join) = (config.node.listen, config.node.health, config.node.join_at());
    vec![
        Examined::of("address for agents", well(server::bind(listen, "node.listen"))),
        Examined::of("address for newcomers", well(server::bind(join, "node.join"))),
        Examined::of("address for health", well(server::bind_pages(health, "node.health"))),
    ]
}

/// How it all is: as its worst finding.
#[must_use]
pub fn worst(found: &[Examined]) -> State {
    found.iter().map(|examined| examined.finding.state).max().unwrap_or(State::Unhealthy)
}
