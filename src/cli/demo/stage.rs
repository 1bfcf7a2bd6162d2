//! The stage of a demo: makes the swarm, starts its processes, does mallory's favours, collects what all say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testudo::Identity;
use testudo::bus::audit::verify_dir;
use testudo::bus::env::random;
use testudo::config::Config;
use testudo::env::System;
use testudo::operator::{Answer, Request};
use testudo::server::{ask, audit_dir, origin};
use testudo::swarm::{self, Addresses, KeyPurpose};
use testudo::wire::standing::{Quota, RevocationCause};
use testudo::wire::{AgentName, Capability, Grant, Holder, SecretKey};
use tokio::time::{Instant, interval};

use super::child::Child;
use super::role::Stolen;
use super::show::Live;
use super::watch::Watch;
use super::{AuditResult, Honest};
use crate::cli::CliError;
use crate::triage::mallory::Attack;
use crate::triage::report::Report;
use crate::triage::swarm::{BEGIN, EXAMINE, Job, PROGRESS, RANK, READ, REPORT};

/// How often the live view is drawn.
const DRAW: Duration = Duration::from_millis(200);
/// What mallory may say, and to whom: the accomplice serves it.
const SAY: &str = "say:hello";
/// What the accomplice may ask and nobody serves.
const ORACLE: &str = "say:oracle";
/// Mallory floods: with less to spend it is sooner over its quota, and honest agents have as much as ever.
const MALLORYS_QUOTA: Quota = Quota { bundles_per_second: 100, bytes_per_second: 16 * 1024 * 1024 };

/// What came of it.
pub(super) struct Played {
    pub(super) honest: Honest,
    pub(super) attacks: Vec<Attack>,
    pub(super) report: Report,
    pub(super) audit: AuditResult,
    pub(super) unread: usize,
    files: usize,
    examined_twice: usize,
    balanced: bool,
}

impl Played {
    /// Everything that keeps this from being a success.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let Honest { sent, delivered, refused: _ } = self.honest;
        if sent != delivered {
            faults.push(format!("{sent} honest messages were sent but {delivered} delivered"));
        }
        if self.report.files_examined != self.files {
            faults.push(format!("{} of {} files were examined", self.report.files_examined, self.files));
        }
        if self.examined_twice > 0 {
            faults.push(format!("{} files were examined twice", self.examined_twice));
        }
        let passed = self.attacks.iter().filter(|attack| !attack.refused);
        faults.extend(
            passed.map(|attack| format!("{}: {}, not {}", attack.name, attack.reason, attack.expected)),
        );
        if self.attacks.is_empty() {
            faults.push("mallory tried nothing".into());
        }
        if !self.audit.verified {
            faults.push("the audit log does not verify".into());
        }
        if !self.balanced {
            faults.push("the node's account is not balanced".into());
        }
        faults
    }
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(error.to_string())
}

/// A swarm in a folder of its own, with a node.
struct Stage {
    folder: tempfile::TempDir,
    config: Config,
    node: Child,
}

fn capabilities(list: &[&str]) -> Result<BTreeSet<Capability>, CliError> {
    list.iter().map(|text| Capability::parse(text).map_err(failed)).collect()
}

impl Stage {
    async fn open() -> Result<Self, CliError> {
        let folder = tempfile::Builder::new().prefix("testudo-demo-").tempdir()?;
        let any = ([127, 0, 0, 1], 0).into();
        swarm::init(folder.path(), "demo", Addresses { listen: any, health: any }, &System)?;
        let path = folder.path().join("testudo.toml");
        let config = Config::load(&path, testudo::config::Overrides::default())?;
        let path = path.to_string_lossy().into_owned();
        let mut node =
            Child::start("the node", &["node", "--json", "--until-stdin-closes", "--config", &path])?;
        node.hear().await?;
        Ok(Self { folder, config, node })
    }

    async fn ask(&self, request: &Request) -> Result<Answer, CliError> {
        let answer = ask(&self.config.node.data, request).await?;
        if let Answer::Refused { error } = answer { Err(CliError::Failed(error)) } else { Ok(answer) }
    }

    /// Enrols an agent and writes its identity file.
    async fn enrol(&self, name: &str, grant: Grant) -> Result<Enrolled, CliError> {
        let name = AgentName::parse(name).map_err(failed)?;
        let key = SecretKey::from_seed(&random(&System));
        let holder = Holder { name, key: key.public() };
        let answer = self.ask(&Request::AgentAdd { name, key: holder.key, grant, csr: None }).await?;
        let Answer::Credentials(credentials) = answer else { return Err(failed("no credentials")) };
        let identity = Identity::issued(name, key, *credentials).map_err(failed)?;
        let path = self.folder.path().join(format!("{name}.identity"));
        identity.save(&path)?;
        Ok(Enrolled { holder, identity, path })
    }

    async fn favour(&self, event: &Value) -> Result<(), CliError> {
        let request = if let Some(id) = event["token"].as_str() {
            Request::TokenRevoke { id: id.parse().map_err(failed)? }
        } else {
            let name = event["agent"].as_str().unwrap_or_default();
            let name = AgentName::parse(name).map_err(failed)?;
            Request::AgentRevoke { name, cause: RevocationCause::Compromised }
        };
        self.ask(&request).await.map(|_| ())
    }
}

struct Enrolled {
    holder: Holder,
    identity: Identity,
    path: PathBuf,
}

impl Enrolled {
    fn start(&self, part: &str) -> Result<Child, CliError> {
        let path = self.path.to_string_lossy().into_owned();
        Child::start(self.holder.name.as_str(), &["demo-role", part, "--identity", &path])
    }
}

fn grant(right: &[&str], serve: &[&str], delegatable: &[&str]) -> Result<Grant, CliError> {
    let (right, serve) = (capabilities(right)?, capabilities(serve)?);
    Ok(Grant { right, serve, delegatable: capabilities(delegatable)?, ..Grant::default() })
}

/// The honest agents: processes, linked, and the watcher in this one.
struct Cast {
    orchestrator: Child,
    others: Vec<Child>,
    watch: Watch,
}

impl Cast {
    /// Enrols and starts them; the orchestrator has its job when this returns.
    async fn enter(stage: &Stage, root: &Path, readers: u8) -> Result<(Self, Enrolled), CliError> {
        let publish = format!("publish:{PROGRESS}");
        let asks = [READ, BEGIN, EXAMINE, REPORT, RANK, &publish];
        let orchestrator = stage.enrol("orchestrator", grant(&asks, &[READ], &[READ])?).await?;
        let analyst = stage.enrol("analyst", grant(&[], &[REPORT, RANK], &[])?).await?;
        let watcher = grant(&[&format!("subscribe:{PROGRESS}")], &[], &[])?;
        let watch = Watch::start(&stage.enrol("watcher", watcher).await?.identity).await?;
        let mut others = vec![analyst.start("analyst")?];
        let mut names = Vec::new();
        for n in 1..=readers {
            let reader = grant(&[REPORT, &publish], &[BEGIN, EXAMINE], &[])?;
            let reader = stage.enrol(&format!("reader-{n}"), reader).await?;
            names.push(reader.holder.name);
            others.push(reader.start("reader")?);
        }
        for child in &mut others {
            child.hear().await?;
        }
        let mut first = orchestrator.start("orchestrator")?;
        first.hear().await?;
        let (root, list) = (root.to_owned(), stage.folder.path().join("files.json"));
        let job = Job { root, list, readers: names, analyst: analyst.holder.name };
        first.tell(&serde_json::to_value(&job)?).await?;
        Ok((Self { orchestrator: first, others, watch }, orchestrator))
    }

    /// Ends them and adds up what each says it sent and received.
    async fn leave(self) -> Result<Honest, CliError> {
        let mut honest = Honest::default();
        for child in std::iter::once(self.orchestrator).chain(self.others) {
            let ledger = child.end().await?.unwrap_or_default();
            let number = |field: &str| ledger[field].as_u64().unwrap_or_default();
            honest.add(number("sent"), number("received"), number("refused"));
        }
        self.watch.end(&mut honest).await;
        Ok(honest)
    }
}

/// Plays the whole piece.
pub(super) async fn play(root: &Path, readers: u8, silent: bool) -> Result<Played, CliError> {
    let stage = Stage::open().await?;
    let mallory = Grant { quota: MALLORYS_QUOTA, ..grant(&[SAY], &[], &[SAY])? };
    let mallory = stage.enrol("mallory", mallory).await?;
    let expired = expired(&stage, &mallory).await?;
    let expires = Instant::now() + Duration::from_secs(1);
    let (cast, orchestrator) = Cast::enter(&stage, root, readers).await?;
    let stolen = steal(&stage, &orchestrator, expired).await?;
    // A token of no seconds is good through the second that it was minted in: mallory tries it later.
    tokio::time::sleep_until(expires).await;
    let mut attacker = mallory.start("mallory")?;
    attacker.tell(&serde_json::to_value(&stolen)?).await?;
    act(stage, cast, attacker, silent).await
}

/// A token of mallory's that has run out soon.
async fn expired(stage: &Stage, mallory: &Enrolled) -> Result<String, CliError> {
    let mint = Request::TokenMint {
        name: mallory.holder.name,
        rights: BTreeSet::new(),
        delegatable: BTreeSet::new(),
        seconds: 0,
        hops: 0,
    };
    let Answer::Token { token } = stage.ask(&mint).await? else { return Err(failed("no token")) };
    Ok(token)
}

/// Mallory's friends, and what it has got hold of before it begins.
async fn steal(stage: &Stage, victim: &Enrolled, expired: String) -> Result<Stolen, CliError> {
    let accomplice = stage.enrol("accomplice", grant(&[SAY, ORACLE], &[SAY], &[])?).await?;
    let sloth = stage.enrol("sloth", grant(&[SAY], &[SAY], &[])?).await?;
    let crony = stage.enrol("crony", grant(&[SAY], &[], &[])?).await?;
    Ok(Stolen {
        accomplice: accomplice.path,
        crowd: [sloth.path, crony.path],
        token: victim.identity.client.token.seal()?.to_text(),
        expired,
        victim: victim.holder.name,
        victim_key: victim.holder.key,
    })
}

/// Everything that happens until orchestrator and mallory are done.
async fn act(stage: Stage, mut cast: Cast, mut attacker: Child, silent: bool) -> Result<Played, CliError> {
    let mut live = Live::new(silent);
    let mut draws = interval(DRAW);
    let (mut drawn, mut tried) = (Instant::now(), 0);
    let (mut finished, mut attacks) = (None, None);
    while finished.is_none() || attacks.is_none() {
        tokio::select! {
            event = cast.orchestrator.hear(), if finished.is_none() => finished = Some(event?),
            event = attacker.hear(), if attacks.is_none() => {
                let event = event?;
                match event["event"].as_str() {
                    Some("favour") => {
                        stage.favour(&event).await?;
                        attacker.tell(&json!({"done": true})).await?;
                    }
                    Some("attack") => {
                        tried += 1;
                        live.attack(tried, &serde_json::from_value(event["attack"].clone())?);
                    }
                    _ => attacks = Some(serde_json::from_value(event["attacks"].clone())?),
                }
            }
            _ = draws.tick() => {
                if let Ok(Answer::Status(status)) = stage.ask(&Request::Status).await {
                    live.draw(&status, &cast.watch.view(), drawn.elapsed());
                    drawn = Instant::now();
                }
            }
        }
    }
    live.clear();
    let finished = finished.unwrap_or_default();
    attacker.end().await?;
    let honest = cast.leave().await?;
    let Stage { node, config, folder } = stage;
    let last = node.end().await?.unwrap_or_default();
    let played = Played {
        honest,
        attacks: attacks.unwrap_or_default(),
        report: serde_json::from_value(finished["report"].clone())?,
        audit: audit(&config)?,
        unread: serde_json::from_value(finished["unread"].clone())?,
        files: serde_json::from_value(finished["files"].clone())?,
        examined_twice: serde_json::from_value(finished["examined_twice"].clone())?,
        balanced: balanced(&last["account"]),
    };
    folder.close()?;
    Ok(played)
}

/// submitted == delivered + failed + dropped, with nothing queued or in flight after the end.
fn balanced(account: &Value) -> bool {
    let number = |field: &str| account[field].as_u64();
    let ended = [number("delivered"), number("failed"), number("dropped")];
    let ended: Option<u64> = ended.into_iter().sum();
    ended.is_some()
        && number("submitted") == ended
        && number("queued") == Some(0)
        && number("in_flight") == Some(0)
}

fn audit(config: &Config) -> Result<AuditResult, CliError> {
    let key = swarm::read_key(&config.node.keys, KeyPurpose::Log)?.public();
    Ok(match verify_dir(&audit_dir(config), &key, &origin(config)) {
        Ok(verified) => AuditResult { records: verified.records, verified: true },
        Err(error) => {
            tracing::error!(%error, "the audit log does not verify");
            AuditResult { records: 0, verified: false }
        }
    })
}
