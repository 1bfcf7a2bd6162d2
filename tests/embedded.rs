//! A swarm inside a program, as its user sees it: in a plain multi-thread runtime, on real sockets.

#![expect(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testudo::agents::{
    Agent, AskError, Bus, Context, Delegate, Handlers, Incoming, Outcome, SendFailure, Served, Stopped,
};
use testudo::bus::audit::verify_dir;
use testudo::embedded::{EmbeddedError, Role, Swarm};
use testudo::operator::{Answer, Request};
use testudo::rules::audit::Origin;
use testudo::wire::Resource;
use testudo::wire::frame::CloseReason;
use testudo::wire::standing::RevocationCause;
use testudo::{
    AgentError, AgentName, Capability, DialError, HostOptions, Identity, Message, Refusal, Ttl, connect,
    dial, server,
};
use tokio::time::timeout;

/// As `#[tokio::main]` has it, on any of its threads; no test may hang.
fn multi(test: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(20), tokio::spawn(test)).await.unwrap().unwrap() });
}

/// Answers `double:number`, and fails over 0.
fn doubler() -> Served {
    let double = |n: u64, _| async move {
        assert_ne!(n, 0, "the test's own fault");
        Ok(2 * n)
    };
    Handlers::new().on("double:number", double).build().unwrap()
}

fn serves() -> Role {
    Role::new().serve("double:number")
}

fn asks() -> Role {
    Role::new().allow("double:number")
}

async fn double(bus: &Bus, of: &str, n: u64) -> Result<u64, AskError> {
    bus.ask(AgentName::parse(of).unwrap(), Capability::parse("double:number").unwrap(), &n).await
}

fn refusal(result: Result<u64, AskError>) -> Refusal {
    match result {
        Err(AskError::Send(SendFailure::Refused { refusal, .. })) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The port is free again: the swarm that had it is gone.
async fn free(address: SocketAddr) {
    while UdpSocket::bind(address).is_err() {
        tokio::task::yield_now().await;
    }
}

fn verifies(swarm: &Swarm, dir: &Path) -> impl Fn() -> u64 + use<> {
    let (dir, key, origin) = (dir.to_owned(), *swarm.log_key(), Origin::of_swarm(&swarm.id()));
    move || verify_dir(&dir, &key, &origin).unwrap().records
}

#[test]
fn who_asks_is_answered_and_who_may_not_is_refused() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let asker = swarm.connect("asker", asks()).await.unwrap();
        assert_eq!(double(&asker.bus(), "doubler", 21).await.unwrap(), 42);
        let other = swarm.connect("other", Role::new().allow("read:logs")).await.unwrap();
        assert_eq!(refusal(double(&other.bus(), "doubler", 21).await), Refusal::Unauthorised);
        assert_eq!(swarm.metrics().refusals(), [(Refusal::Unauthorised, 1)]);
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn acting_under_one_token_many_times_costs_one_presentation() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let boss = swarm.connect("boss", asks().delegatable("double:number")).await.unwrap();
        let other = swarm.connect("other", Role::new().allow("read:logs")).await.unwrap();
        let handed = Delegate::new(AgentName::parse("other").unwrap(), ["double:number".parse().unwrap()]);
        let token = boss.bus().delegate(&handed).await.unwrap();
        // A node takes ten presentations a second.
        for n in 1..=40 {
            let under = other.bus().on_behalf(&token).await.unwrap();
            assert_eq!(double(&under, "doubler", n).await.unwrap(), 2 * n);
        }
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn the_same_agent_runs_where_its_swarm_is_and_where_it_is_not() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        swarm.spawn("near", serves(), doubler).await.unwrap();
        // What another process would do with the file.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("far.identity");
        swarm.enrol("far", serves()).await.unwrap().save(&file).unwrap();
        let far = connect(&Identity::load(&file).unwrap()).await.unwrap();
        let host = far.host(doubler, HostOptions::default()).await.unwrap();
        let asker = swarm.connect("asker", asks()).await.unwrap();
        for name in ["near", "far"] {
            assert_eq!(double(&asker.bus(), name, 4).await.unwrap(), 8);
        }
        host.stop();
        assert_eq!(host.stopped().await, Stopped::Asked);
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn a_caller_with_actors_of_its_own_hosts_on_its_own_thread() {
    let here = std::thread::current().id();
    let hosted = testudo::run(async move {
        let swarm = Swarm::embedded("test").await.unwrap();
        let link = swarm.connect("where", Role::new().serve("tell:thread")).await.unwrap();
        let agent = Handlers::new()
            .on("tell:thread", move |(): (), _| async move { Ok(std::thread::current().id() == here) })
            .build()
            .unwrap();
        // A task of the runtime, which is no part of the actors' own set.
        let host = tokio::spawn(link.host(move || agent.clone(), HostOptions::default()));
        host.await.unwrap().unwrap();
        let asker = swarm.connect("asker", Role::new().allow("tell:thread")).await.unwrap();
        let (name, thread) = (AgentName::parse("where").unwrap(), Capability::parse("tell:thread").unwrap());
        let answer = asker.bus().ask::<_, bool>(name, thread, &()).await.unwrap();
        swarm.shut_down().await.unwrap();
        answer
    });
    assert!(hosted.unwrap());
    // This thread has had its system; what that left behind is not taken for one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        let link = swarm.connect("doubler", serves()).await.unwrap();
        link.host(doubler, HostOptions::default()).await.unwrap();
        let asker = swarm.connect("asker", asks()).await.unwrap();
        assert_eq!(double(&asker.bus(), "doubler", 1).await.unwrap(), 2);
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn two_swarms_of_one_process_do_not_mix() {
    multi(async {
        let (one, two) = (Swarm::embedded("same").await.unwrap(), Swarm::embedded("same").await.unwrap());
        assert_ne!(one.id(), two.id());
        assert_ne!(one.address(), two.address());
        one.spawn("doubler", serves(), doubler).await.unwrap();
        two.enrol("asker", asks()).await.unwrap();
        let mut stranger = one.enrol("asker", asks()).await.unwrap();
        stranger.node = two.address();
        let refused = connect(&stranger).await.unwrap_err();
        assert!(matches!(refused, DialError::NotOurNode(_)), "{refused:?}");
        // What went wrong there goes well at home.
        stranger.node = one.address();
        let asker = connect(&stranger).await.unwrap();
        assert_eq!(double(&asker.bus(), "doubler", 2).await.unwrap(), 4);
        two.shut_down().await.unwrap();
        assert_eq!(double(&asker.bus(), "doubler", 3).await.unwrap(), 6, "the end of one is not the other's");
        one.shut_down().await.unwrap();
    });
}

#[test]
fn a_factory_or_a_handler_that_panics_harms_no_neighbour() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let broken = swarm.spawn("broken", serves(), || -> Served { panic!("the test's own fault") });
        let broken = broken.await.unwrap();
        assert_eq!(broken.stopped().await, Stopped::TooManyFaults);
        let asker = swarm.connect("asker", asks()).await.unwrap();
        let fault = double(&asker.bus(), "doubler", 0).await.unwrap_err();
        assert!(matches!(fault, AskError::Send(SendFailure::Remote { .. })), "{fault:?}");
        assert_eq!(double(&asker.bus(), "doubler", 5).await.unwrap(), 10);
        assert!(swarm.shut_down().await.unwrap().is_balanced());
    });
}

#[test]
fn after_its_end_the_account_is_balanced_the_log_verifies_and_nothing_is_left() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        let host = swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let asker = Arc::new(swarm.connect("asker", asks()).await.unwrap());
        let asked: Vec<_> = (1..=20)
            .map(|n| {
                let asker = asker.clone();
                tokio::spawn(async move { double(&asker.bus(), "doubler", n).await })
            })
            .collect();
        for (n, answer) in (1..).zip(asked) {
            assert_eq!(answer.await.unwrap().unwrap(), 2 * n);
        }
        let (dir, address) = (swarm.audit_dir().to_owned(), swarm.address());
        assert!(verifies(&swarm, &dir)() > 0);
        let account = swarm.shut_down().await.unwrap();
        assert!(account.is_balanced());
        assert_eq!((account.submitted, account.delivered), (40, 40), "twenty questions, twenty answers");
        assert_eq!(host.stopped().await, Stopped::Asked);
        assert!(!dir.exists(), "the temporary folder goes with the swarm");
        UdpSocket::bind(address).unwrap();
    });
}

/// Takes its time to start.
struct Slow(Arc<AtomicBool>);

impl Agent for Slow {
    fn topics(&self) -> Vec<Resource> {
        vec![Resource::parse("alerts").unwrap()]
    }

    async fn on_start(&mut self, _: &Bus) -> Result<(), AgentError> {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        self.0.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn handle(&mut self, _: Incoming, _: &Context) -> Result<Outcome, AgentError> {
        Ok(Outcome::Done)
    }
}

#[test]
fn whoever_is_spawned_has_started_and_hears_its_topics() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        let crier = swarm.connect("crier", Role::new().publish("alerts")).await.unwrap();
        let (started, topic) = (Arc::new(AtomicBool::new(false)), Resource::parse("alerts").unwrap());
        let slow = started.clone();
        swarm.spawn("slow", Role::new().subscribe("alerts"), move || Slow(slow.clone())).await.unwrap();
        assert!(started.load(Ordering::SeqCst));
        crier.bus().publish(topic, &7).await.unwrap();
        crier.goodbye().await;
        let account = swarm.shut_down().await.unwrap();
        assert_eq!((account.submitted, account.delivered), (1, 1));
    });
}

#[test]
fn a_swarm_that_is_dropped_ends_by_itself() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        let host = swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let asker = swarm.connect("asker", asks()).await.unwrap();
        let (dir, address) = (swarm.audit_dir().to_owned(), swarm.address());
        drop(swarm);
        assert_eq!(host.stopped().await, Stopped::Asked, "its agents hear of it");
        let (doubler, what) =
            (AgentName::parse("doubler").unwrap(), Capability::parse("double:number").unwrap());
        let mut question = Message::json(doubler, what, &1).unwrap();
        // Short: an asker whose link is gone looks for another one for so long.
        question.ttl = Ttl::from_millis(1_000).unwrap();
        assert!(asker.bus().request(question).await.is_err());
        free(address).await;
        assert!(!dir.exists());
    });
}

#[test]
fn a_swarm_with_a_folder_is_the_same_swarm_the_next_time() {
    multi(async {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("swarm");
        let swarm = Swarm::builder("kept").data(&folder).start().await.unwrap();
        let identity = swarm.enrol("doubler", serves()).await.unwrap();
        let (id, verifies) = (swarm.id(), verifies(&swarm, swarm.audit_dir()));
        swarm.shut_down().await.unwrap();
        let records = verifies();

        let other = Swarm::builder("other").data(&folder).start().await.unwrap_err();
        assert!(matches!(other, EmbeddedError::OtherSwarm { .. }), "{other}");
        let swarm = Swarm::builder("kept").data(&folder).start().await.unwrap();
        assert_eq!(swarm.id(), id);
        let answer = server::ask(&folder.join("data"), &Request::AgentList).await.unwrap();
        assert!(matches!(answer, Answer::Agents { agents } if agents.len() == 1), "as the command asks");
        let again = swarm.enrol("doubler", serves()).await.unwrap_err();
        assert!(again.to_string().contains("the name is taken"), "{again}");
        let link = connect(&swarm.renew(&identity).await.unwrap()).await.unwrap();
        link.host(doubler, HostOptions::default()).await.unwrap();
        let asker = swarm.connect("asker", asks()).await.unwrap();
        assert_eq!(double(&asker.bus(), "doubler", 8).await.unwrap(), 16);
        swarm.shut_down().await.unwrap();
        assert!(verifies() > records);
    });
}

/// The agents of a program that ends and starts again, whatever became of what ran out meanwhile: nothing that runs
/// out is kept.
#[test]
fn the_second_start_of_a_folder_finds_the_agents_of_the_first() {
    multi(async {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("swarm");
        let start = || Swarm::builder("kept").data(&folder).start();
        let mut keys = Vec::new();
        for run in 1..=3 {
            let swarm = start().await.unwrap();
            let host = swarm.spawn("doubler", serves(), doubler).await.unwrap();
            host.ready().await.unwrap();
            let asker = swarm.connect("asker", asks()).await.unwrap();
            assert_eq!(double(&asker.bus(), "doubler", run).await.unwrap(), 2 * run);
            keys.push(asker.member().identity().holder());
            let again = swarm.spawn("doubler", serves(), doubler).await.unwrap_err().to_string();
            assert!(again.contains("the name is taken"), "one agent of a name in a run: {again}");
            assert_eq!(double(&asker.bus(), "doubler", 9).await.unwrap(), 18, "and the first is unharmed");
            if run == 1 {
                // As if it had been away for longer than it may.
                silenced(&folder, "doubler").await;
            }
            swarm.shut_down().await.unwrap();
        }
        assert!(keys[0] == keys[1] && keys[1] == keys[2], "the same agents: {keys:?}");
        for entry in std::fs::read_dir(folder.join("keys/agents")).unwrap() {
            let path = entry.unwrap().path();
            let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap());
            assert_eq!(mode & 0o777, 0o600, "{path:?}");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("testudo-key-1:agent:") && text.lines().count() == 1, "{path:?}");
        }
    });
}

async fn silenced(folder: &Path, name: &str) {
    let name = AgentName::parse(name).unwrap();
    let request = Request::AgentRevoke { name, cause: RevocationCause::Silent };
    let answer = server::ask(&folder.join("data"), &request).await.unwrap();
    assert!(matches!(answer, Answer::Changed { .. }), "{answer:?}");
}

#[test]
fn an_agent_whose_role_has_changed_or_whom_an_operator_put_out_is_another_agent_at_the_next_start() {
    multi(async {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("swarm");
        let start = || Swarm::builder("kept").data(&folder).start();
        let holder = async |swarm: &Swarm, role| {
            let asker = swarm.connect("asker", role).await.unwrap();
            asker.member().identity().holder()
        };
        let swarm = start().await.unwrap();
        let first = holder(&swarm, asks()).await;
        swarm.shut_down().await.unwrap();

        let swarm = start().await.unwrap();
        let wider = holder(&swarm, asks().allow("read:logs")).await;
        assert_ne!(first, wider);
        swarm.revoke("asker").await.unwrap();
        swarm.shut_down().await.unwrap();

        let swarm = start().await.unwrap();
        let other = holder(&swarm, asks().allow("read:logs")).await;
        assert_ne!(wider, other, "a key that was burnt is not used again");
        // Somebody else's agent is not taken for one's own.
        swarm.enrol("elsewhere", asks()).await.unwrap();
        swarm.shut_down().await.unwrap();
        let swarm = start().await.unwrap();
        let taken = swarm.connect("elsewhere", asks()).await.unwrap_err().to_string();
        assert!(taken.contains("the name is taken"), "{taken}");
        assert_eq!(holder(&swarm, asks().allow("read:logs")).await, other);
        swarm.shut_down().await.unwrap();
    });
}

/// Killed between the writing of a key and the end of its enrolment.
#[test]
fn a_start_that_was_killed_while_it_enrolled_leaves_no_name_to_nobody() {
    multi(async {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("swarm");
        let start = || Swarm::builder("kept").data(&folder).start();
        let swarm = start().await.unwrap();
        swarm.connect("asker", asks()).await.unwrap();
        swarm.shut_down().await.unwrap();
        let key = |kind: &str| folder.join("keys/agents").join(format!("asker.{kind}"));
        std::fs::rename(key("key"), key("new")).unwrap();
        let swarm = start().await.unwrap();
        swarm.connect("asker", asks()).await.unwrap();
        swarm.shut_down().await.unwrap();

        std::fs::write(key("key"), "testudo-key-1:authority:00").unwrap();
        let swarm = start().await.unwrap();
        let torn = swarm.connect("asker", asks()).await.unwrap_err().to_string();
        assert!(torn.contains("asker.key does not hold this swarm's agent key"), "{torn}");
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn who_was_connected_finds_out_a_swarm_on_an_old_copy_of_its_folder() {
    multi(async {
        let dir = tempfile::tempdir().unwrap();
        let [folder, old] = ["swarm", "old"].map(|name| dir.path().join(name));
        let swarm = Swarm::builder("kept").data(&folder).start().await.unwrap();
        let (identity, address) = (swarm.enrol("asker", asks()).await.unwrap(), swarm.address());
        swarm.shut_down().await.unwrap();
        assert!(Command::new("cp").arg("-a").args([&folder, &old]).status().unwrap().success());
        let kept = |folder: &Path| Swarm::builder("kept").data(folder).listen(address).start();

        let swarm = kept(&folder).await.unwrap();
        swarm.enrol("later", asks()).await.unwrap();
        connect(&identity).await.unwrap().goodbye().await;
        swarm.shut_down().await.unwrap();

        let swarm = kept(&old).await.unwrap();
        let refused = dial(&identity).await;
        assert!(matches!(refused, Err(DialError::Closed(CloseReason::StaleRegistry))), "{refused:?}");
        swarm.shut_down().await.unwrap();
    });
}

/// On real sockets: asked at once for what comes after 16 hours by itself.
#[test]
fn an_identity_is_renewed_in_its_file_and_in_a_file_that_is_another_s_by_now_it_is_not() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [asker, other] = ["asker", "other"].map(|name| folder.path().join(name));
        for file in [&asker, &other] {
            let name = file.file_name().unwrap().to_str().unwrap();
            swarm.enrol(name, asks()).await.unwrap().save(file).unwrap();
        }
        let read = |file: &Path| std::fs::read_to_string(file).unwrap();
        let first = read(&asker);
        let identity = Identity::load(&asker).unwrap();
        let agent = connect(&identity).await.unwrap();
        let session = agent.member().session();
        agent.member().renew();
        while agent.member().session() == session || read(&asker) == first {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(double(&agent.bus(), "doubler", 1).await.unwrap(), 2, "over the second link");
        let renewed = Identity::load(&asker).unwrap();
        assert_eq!(renewed.client.holder(), identity.client.holder());
        assert_ne!(renewed.client.chain, identity.client.chain);
        assert_eq!(renewed.client.chain, identity.newest().chain, "this process knows it, too");
        agent.goodbye().await;
        let again = connect(&renewed).await.unwrap();
        assert_eq!(double(&again.bus(), "doubler", 2).await.unwrap(), 4);

        let (agent, taken) = (connect(&Identity::load(&other).unwrap()).await.unwrap(), read(&asker));
        std::fs::write(&other, &taken).unwrap();
        let session = agent.member().session();
        agent.member().renew();
        while agent.member().session() == session {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(read(&other), taken);
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn who_is_revoked_is_out_and_its_name_is_free_for_another_key() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let identity = swarm.enrol("asker", asks()).await.unwrap();
        let asker = connect(&identity).await.unwrap();
        swarm.revoke("asker").await.unwrap();
        assert!(double(&asker.bus(), "doubler", 1).await.is_err());
        assert!(matches!(connect(&identity).await, Err(DialError::Revoked)));
        let asker = swarm.connect("asker", asks()).await.unwrap();
        assert_eq!(double(&asker.bus(), "doubler", 1).await.unwrap(), 2);
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn an_agent_elsewhere_joins_by_invitation_with_a_key_of_its_own() {
    multi(async {
        let swarm = Swarm::embedded("maths").await.unwrap();
        swarm.spawn("doubler", serves(), doubler).await.unwrap();
        let line = swarm.invite("asker", asks(), Duration::from_secs(60)).await.unwrap();
        let identity = testudo::accept_invitation(&line).await.unwrap();
        let asker = connect(&identity).await.unwrap();
        assert_eq!(double(&asker.bus(), "doubler", 21).await.unwrap(), 42);
        let again = testudo::accept_invitation(&line).await.unwrap_err().to_string();
        assert!(again.contains("has been used, with another key"), "{again}");
        let nonsense = testudo::accept_invitation("testudo-join:x").await.unwrap_err().to_string();
        assert!(nonsense.contains("copy the whole line"), "{nonsense}");
        asker.goodbye().await;
        swarm.shut_down().await.unwrap();
    });
}

#[test]
fn every_error_is_one_line_that_says_what_to_do() {
    multi(async {
        let swarm = Swarm::embedded("test").await.unwrap();
        swarm.enrol("taken", asks()).await.unwrap();
        let taken = swarm.address();
        let errors = [
            (Swarm::embedded("no name").await.err(), "is no name for a swarm; use"),
            (Swarm::builder("x").listen(taken).start().await.err(), "another address with Builder::listen"),
            (Swarm::builder("x").data("/dev/null/x").start().await.err(), "choose another path"),
            (swarm.enrol("No Name", asks()).await.err(), "is not an agent name (1 to 63 of a-z 0-9"),
            (swarm.enrol("taken", asks()).await.err(), "taken: the name is taken: choose another"),
            (swarm.enrol("a", Role::new()).await.err(), "the role may do nothing; add"),
            (swarm.enrol("a", Role::new().allow("read:*")).await.err(), "\"read:*\" is not "),
            (swarm.enrol("a", Role::new().publish("no topic")).await.err(), "\"publish:no topic\" is not "),
            (
                swarm.enrol("a", Role::new().delegatable("read:logs")).await.err(),
                "add allow(\"read:logs\") too",
            ),
            (
                swarm.enrol("a", asks().delegatable("double:number").delegated_only()).await.err(),
                "leave out delegatable(\"double:number\")",
            ),
            (swarm.revoke("nobody").await.err(), "nobody: no agent of this name is enrolled"),
        ];
        for (error, advice) in errors {
            let text = error.unwrap().to_string();
            assert!(text.contains(advice) && !text.contains('\n'), "{text}");
        }
        // What was refused left nothing behind.
        swarm.enrol("a", asks()).await.unwrap();
        swarm.shut_down().await.unwrap();
    });
}
