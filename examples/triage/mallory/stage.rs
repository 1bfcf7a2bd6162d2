//! Where the attacks are played: mallory's present link, the accomplice, and the count of what arrives there.

use std::time::Duration;

use testudo::bus::env::random;
use testudo::env::System;
use testudo::rules::token::SealedToken;
use testudo::wire::{
    Bundle, Capability, ContentType, Destination, Header, Limits, MessageId, TokenFactId, TokenId,
};
use testudo::{Client, Deliveries, Identity, Outgoing, SendError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::link::RawLink;
use super::mishap::Mishap;
use super::slow::SlowReader;
use super::tokens::Handover;
use super::{Crew, Loot};

/// The body of every message that is not itself the attack.
pub(super) const HELLO: &[u8] = b"hello";
/// How long a delegation lives.
const HOUR: Duration = Duration::from_secs(3600);

/// Mallory and its accomplice, and what is known of them.
pub(super) struct Stage<'a> {
    pub(super) mallory: &'a Identity,
    pub(super) accomplice: &'a Identity,
    pub(super) loot: &'a Loot,
    /// How the link of an agent that reads nothing ends; it takes seconds, and nobody waits for it before.
    pub(super) slow_reader: SlowReader,
    /// What mallory may do.
    pub(super) hello: Capability,
    /// What it may not.
    pub(super) admin: Capability,
    /// A bundle that an earlier link of mallory carried.
    pub(super) captured: Bundle,
    /// A token that mallory delegated to the accomplice before it was put out.
    pub(super) inherited: Option<TokenId>,
    link: Option<RawLink>,
    helper: Client,
    taking: JoinHandle<()>,
    arrived: watch::Receiver<Vec<MessageId>>,
    honest: Vec<MessageId>,
}

/// A task that ends with whoever waits for it.
pub(super) struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes whatever the accomplice is sent.
async fn take(mut inbox: Deliveries, arrived: watch::Sender<Vec<MessageId>>) {
    while let Some(delivery) = inbox.next().await {
        arrived.send_modify(|all| all.push(delivery.message()));
    }
}

impl<'a> Stage<'a> {
    /// Connects the accomplice, and captures an honest message of mallory on a link that then ends.
    pub(super) async fn set(crew: &Crew<'a>, loot: &'a Loot) -> Result<Self, Mishap> {
        let Crew { mallory, accomplice, sloth, crony } = *crew;
        let slow_reader = SlowReader::start(sloth, crony);
        let (hello, admin) = (Capability::parse("say:hello")?, Capability::parse("say:admin")?);
        let (helper, inbox) = testudo::dial(accomplice).await?;
        let (arrivals, arrived) = watch::channel(Vec::new());
        let taking = tokio::spawn(take(inbox, arrivals));
        let mut link = RawLink::dial(mallory).await?;
        let header = link.header(Destination::Agent(accomplice.client.name), hello);
        let captured = link.sign(&[(header, HELLO)])?;
        let mut stage = Self {
            mallory,
            accomplice,
            loot,
            slow_reader,
            hello,
            admin,
            captured,
            inherited: None,
            link: None,
            helper,
            taking,
            arrived,
            honest: Vec::new(),
        };
        link.send(stage.captured.bytes()).await?;
        stage.arrives(header.message).await?;
        link.goodbye().await?;
        Ok(stage)
    }

    /// Mallory's link, and a fresh one when the last has ended.
    pub(super) async fn link(&mut self) -> Result<&mut RawLink, Mishap> {
        let link = match self.link.take().filter(RawLink::is_open) {
            Some(link) => link,
            None => RawLink::dial(self.mallory).await?,
        };
        Ok(self.link.insert(link))
    }

    /// Mallory's link, to be used while the accomplice does something; to be given back.
    pub(super) async fn take_link(&mut self) -> Result<RawLink, Mishap> {
        self.link().await?;
        self.link.take().ok_or(Mishap::Forgery("there is no link"))
    }

    /// Gives mallory's link back.
    pub(super) fn give_back(&mut self, link: RawLink) {
        self.link = Some(link);
    }

    /// Gives up mallory's link.
    pub(super) fn hang_up(&mut self) {
        self.link = None;
    }

    /// A header for the accomplice that is right in everything.
    pub(super) async fn header(&mut self) -> Result<Header, Mishap> {
        let (to, hello) = (self.accomplice.client.name, self.hello);
        Ok(self.link().await?.header(Destination::Agent(to), hello))
    }

    /// An honest message: it must arrive.
    pub(super) async fn arrives(&mut self, message: MessageId) -> Result<(), Mishap> {
        self.honest.push(message);
        let arriving = self.arrived.wait_for(|all| all.contains(&message)).await;
        arriving.map(|_| ()).map_err(|_| Mishap::Forgery("the accomplice has lost its link"))
    }

    /// An honest message still passes, and nothing has arrived but what was sent in honesty.
    pub(super) async fn prove(&mut self) -> Result<(), Mishap> {
        // Once mallory is out, honest messages do not pass either.
        if self.inherited.is_none() {
            let header = self.header().await?;
            let link = self.link().await?;
            let bundle = link.sign(&[(header, HELLO)])?;
            link.send(bundle.bytes()).await?;
            self.arrives(header.message).await?;
        }
        let mut arrived = self.arrived.borrow().clone();
        let mut honest = self.honest.clone();
        arrived.sort_unstable();
        honest.sort_unstable();
        if arrived == honest {
            return Ok(());
        }
        let tally = Mishap::Tally { arrived: arrived.len(), honest: honest.len() };
        // Told once: the next attack is judged by itself.
        self.honest = arrived;
        Err(tally)
    }

    /// A delegation of mallory's to the accomplice, with a fresh id.
    pub(super) fn handover<'g>(&self, grant: &'g [Capability]) -> Handover<'g> {
        let env = System::shared();
        Handover {
            id: TokenFactId::new(random(&*env)),
            to: self.accomplice.client.holder(),
            grant,
            until: env.now().after(HOUR),
        }
    }

    /// The accomplice shows a sealed token; what the node says of it.
    pub(super) async fn helper_presents(&self, token: &[u8]) -> Result<Result<TokenId, String>, Mishap> {
        let token = SealedToken::from_bytes(token, &Limits::standard())?;
        match self.helper.present(&token).await {
            Ok(id) => Ok(Ok(id)),
            Err(SendError::Refused { refusal, .. }) => Ok(Err(refusal.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// The accomplice shows a token that must be good, and sends itself an honest message under it.
    pub(super) async fn helper_uses(&mut self, token: &[u8]) -> Result<TokenId, Mishap> {
        let id =
            self.helper_presents(token).await?.map_err(|_| Mishap::Forgery("a good token is refused"))?;
        let receipt = self.helper.tell(self.note(self.hello, id)).await?;
        self.arrives(receipt.message).await?;
        Ok(id)
    }

    /// The accomplice asks itself something that it never answers, and waits until it has been asked; meanwhile
    /// the request is open. Dropping what this returns gives it up.
    pub(super) async fn open_request(&mut self) -> Result<(MessageId, AbortOnDrop), Mishap> {
        let (helper, known) = (self.helper.clone(), self.arrived.borrow().len());
        let ask = self.to_itself(self.hello);
        let asking = AbortOnDrop(tokio::spawn(async move { _ = helper.request(ask).await }));
        let arriving = self.arrived.wait_for(|all| all.len() > known).await;
        let request = arriving.ok().and_then(|all| all.last().copied());
        let request = request.ok_or(Mishap::Forgery("the accomplice has lost its link"))?;
        self.honest.push(request);
        Ok((request, asking))
    }

    /// The accomplice asks whoever serves a capability; what the node says of it.
    pub(super) async fn helper_asks_anybody(&self, what: Capability) -> Result<String, Mishap> {
        let ask = Outgoing { content_type: ContentType::text(), ..Outgoing::service(what, HELLO) };
        match self.helper.tell(ask).await {
            Ok(_) => Ok("accepted".to_owned()),
            Err(SendError::Refused { refusal, .. }) => Ok(refusal.to_string()),
            Err(error) => Err(error.into()),
        }
    }

    /// Honest messages of the accomplice to itself, one after the other: how long the slowest took to be accepted.
    pub(super) async fn honest_work(&mut self, messages: usize) -> Result<Duration, Mishap> {
        let mut slowest = Duration::ZERO;
        for _ in 0..messages {
            let began = Instant::now();
            let receipt = self.helper.tell(self.to_itself(self.hello)).await?;
            slowest = slowest.max(began.elapsed());
            self.arrives(receipt.message).await?;
        }
        Ok(slowest)
    }

    /// The accomplice tries to send itself something under a token.
    pub(super) async fn helper_tries(&self, what: Capability, token: TokenId) -> Result<String, Mishap> {
        match self.helper.tell(self.note(what, token)).await {
            Ok(_) => Ok("accepted".to_owned()),
            Err(SendError::Refused { refusal, .. }) => Ok(refusal.to_string()),
            Err(error) => Err(error.into()),
        }
    }

    fn note(&self, what: Capability, token: TokenId) -> Outgoing {
        Outgoing { token: Some(token), ..self.to_itself(what) }
    }

    fn to_itself(&self, what: Capability) -> Outgoing {
        let note = Outgoing::new(self.accomplice.client.name, what, HELLO);
        Outgoing { content_type: ContentType::text(), ..note }
    }

    /// Both leave.
    pub(super) async fn leave(self) {
        self.helper.goodbye().await;
        self.taking.abort();
    }
}
