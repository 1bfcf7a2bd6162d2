//! `testudo node` and `testudo status`.

use std::net::SocketAddr;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use testudo::Account;
use testudo::config::{Config, Overrides};
use testudo::export::ExporterStatus;
use testudo::health::State;
use testudo::operator::{Answer, Request, Status as StatusOf};
use testudo::packs::InUse;
use testudo::server::Server;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::through::{Through, unexpected};
use super::{At, CliError, Done, actor_system, say};

/// Run a node until SIGTERM or Ctrl-C.
#[derive(Args, Debug)]
pub(super) struct RunNode {
    #[command(flatten)]
    at: At,
    /// UDP address for agents, instead of the configured one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// TCP address for health and metrics, instead of the configured one
    #[arg(long, value_name = "ADDRESS")]
    health: Option<SocketAddr>,
    /// UDP address for newcomers, instead of the configured one; open only while an invitation is outstanding
    #[arg(long, value_name = "ADDRESS")]
    join: Option<SocketAddr>,
    /// Start by this machine's clock although the audit log's last record is of a later time; without it, the node's
    /// time goes on from that record, so that nothing that has expired comes back
    #[arg(long)]
    clock_is_right: bool,
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
    /// End when standard input closes: for a node that another program starts
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// Why a node ends.
enum End {
    Asked,
    Stale(u64),
}

impl RunNode {
    pub(super) fn run(self) -> Done {
        let Self { listen, health, join, clock_is_right, .. } = self;
        let flags = Overrides { listen, health, join, clock_is_right };
        let config = Config::load(&self.at.config, flags)?;
        actor_system(async {
            // From the first line on, a signal ends the node in good order.
            let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let server = Server::start(&config)?;
            self.tell_start(&config, &server);
            let end = self.wait(&server, &mut signals).await?;
            let account = server.shut_down().await;
            self.tell_end(&account);
            match end {
                End::Asked if !account.is_balanced() => Err(CliError::Failed(format!(
                    "the account of messages does not hold: {account}; keep data/audit and report it"
                ))),
                End::Asked => Ok(()),
                End::Stale(seen) => Err(CliError::Failed(format!(
                    "the registry is an old copy: an agent has seen sequence {seen}; restore the newest one"
                ))),
            }
        })
    }

    fn tell_start(&self, config: &Config, server: &Server) {
        let (listen, health) = (server.listen(), server.health());
        if self.json {
            let event = serde_json::json!({
                "event": "listening", "node": config.node.name, "swarm": config.swarm.id,
                "listen": listen, "health": health,
            });
            say(&event.to_string());
        } else {
            let (name, swarm) = (config.node.name, &config.swarm.name);
            say(&format!(
                "node {name} of swarm {swarm}: agents on {listen}, health on http://{health}/readyz"
            ));
        }
    }

    fn tell_rules(&self, reloaded: &Result<InUse, String>) {
        let (words, event) = match reloaded {
            Ok(rules) => {
                (format!("the guard vets by {rules}"), serde_json::json!({"event": "rules", "rules": rules}))
            }
            Err(error) => (error.clone(), serde_json::json!({"event": "rules-refused", "error": error})),
        };
        say(&if self.json { event.to_string() } else { words });
    }

    fn tell_end(&self, account: &Account) {
        if self.json {
            let balanced = account.is_balanced();
            let event = serde_json::json!({"event": "stopped", "account": account, "balanced": balanced});
            say(&event.to_string());
        } else {
            say(&format!("stopped: {account}"));
        }
    }

    async fn wait(
        &self,
        server: &Server,
        (terminate, interrupt): &mut (Signal, Signal),
    ) -> Result<End, CliError> {
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut stale = server.stale();
        // A thread of its own: the runtime would wait for its own reader of standard input, and never end.
        let (open, closed) = oneshot::channel::<()>();
        let mut kept = None;
        if self.until_stdin_closes {
            std::thread::Builder::new().name("stdin".into()).spawn(move || {
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                drop(open);
            })?;
        } else {
            kept = Some(open);
        }
        let end = async {
            tokio::select! {
                _ = terminate.recv() => End::Asked,
                _ = interrupt.recv() => End::Asked,
                _ = closed => End::Asked,
                seen = stale.wait_for(Option::is_some) => {
                    End::Stale(seen.ok().and_then(|seen| *seen).unwrap_or_default().0)
                }
            }
        };
        // As daemons do: a hang-up is an order to read the rules again.
        let reloads = async {
            while hang_up.recv().await.is_some() {
                self.tell_rules(&server.reload().await);
            }
            std::future::pending().await
        };
        let end = tokio::select! { end = end => end, never = reloads => never };
        drop(kept);
        Ok(end)
    }
}

/// How an exporter is.
fn exporter_line(exporter: &ExporterStatus) -> String {
    let ExporterStatus { kind, counts, behind, .. } = exporter;
    let amiss = exporter.amiss().map(|amiss| format!("; {amiss}")).unwrap_or_default();
    format!("{kind}: {counts}, {behind} records behind{amiss}")
}

/// How a running node is.
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Done {
        let Answer::Status(status) = self.through.ask_node(Request::Status)? else {
            return Err(unexpected());
        };
        say(&if self.json { serde_json::to_string(&status)? } else { table(&status).to_string() });
        Ok(())
    }
}

/// A node's status for people.
fn table(status: &StatusOf) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    if let Some(health) = &status.health {
        row("state", format!("{} for {} s, version {}", word(health.state), health.uptime_s, health.version));
        for (name, check) in health.components.iter().filter(|(_, check)| check.reason.is_some()) {
            let reason = check.reason.as_deref().unwrap_or_default();
            row(&format!("- {name}"), format!("{}: {reason}", word(check.state)));
        }
    }
    let linked: Vec<_> = status.linked.iter().map(testudo::AgentName::as_str).collect();
    row("linked agents", format!("{} {}", linked.len(), linked.join(" ")).trim_end().to_owned());
    for key in ["submitted", "delivered", "failed", "dropped", "queued", "in_flight"] {
        let value = status.account.get(key).map_or_else(|| "-".to_owned(), ToString::to_string);
        row(&key.replace('_', " "), value);
    }
    let refusals: Vec<_> = status.refusals.iter().map(|(reason, n)| format!("{reason}: {n}")).collect();
    row("refusals", if refusals.is_empty() { "none".to_owned() } else { refusals.join(", ") });
    row("bundles refused", status.bundles_refused.to_string());
    let (first, records, durable) = (status.audit_first, status.audit_records, status.audit_durable);
    let kept = if first == 0 { String::new() } else { format!(", kept from #{first}") };
    row("audit records", format!("{records}, {durable} of them durable{kept}"));
    row("registry sequence", status.registry.to_string());
    row("trust statement", status.trust.to_string());
    for exporter in &status.exporters {
        row(&format!("exporter {}", exporter.name), exporter_line(exporter));
    }
    table
}

pub(super) const fn word(state: State) -> &'static str {
    match state {
        State::Healthy => "healthy",
        State::Degraded => "DEGRADED",
        State::Unhealthy => "UNHEALTHY",
    }
}
