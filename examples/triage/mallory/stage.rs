//! Where the attacks are played: mallory's present link, the accomplice, and the count of what arrives there.

use testudo::bus::env::random;
use testudo::env::System;
use testudo::rules::token::SealedToken;
use testudo::wire::{
    Bundle, Capability, ContentType, Destination, Header, Limits, MessageId, TokenFactId, TokenId,
};
use testudo::{Client, Deliveries, Identity, Outgoing, SendError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Loot;
use super::link::RawLink;
use super::mishap::Mishap;
use super::tokens::Handover;

/// The body of every message that is not itself the attack.
pub(super) const HELLO: &[u8] = b"hello";
/// How long a delegation lives.
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

/// Both agents, and what is known of them.
pub(super) struct Stage<'a> {
    pub(super) mallory: &'a Identity,
    pub(super) accomplice: &'a Identity,
    pub(super) loot: &'a Loot,
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

/// Takes whatever the accomplice is sent.
async fn take(mut inbox: Deliveries, arrived: watch::Sender<Vec<MessageId>>) {
    while let Some(delivery) = inbox.next().await {
        arrived.send_modify(|all| all.push(delivery.message()));
    }
}

impl<'a> Stage<'a> {
    /// Connects the accomplice, and captures an honest message of mallory on a link that then ends.
    pub(super) async fn set(
        mallory: &'a Identity,
        accomplice: &'a Identity,
        loot: &'a Loot,
    ) -> Result<Self, Mishap> {
        let (hello, admin) = (Capability::parse("say:hello")?, Capability::parse("say:admin")?);
        let (helper, inbox) = testudo::connect(accomplice).await?;
        let (arrivals, arrived) = watch::channel(Vec::new());
        let taking = tokio::spawn(take(inbox, arrivals));
        let mut link = RawLink::dial(mallory).await?;
        let header = link.header(Destination::Agent(accomplice.client.name), hello);
        let captured = link.sign(&[(header, HELLO)])?;
        let mut stage = Self {
            mallory,
            accomplice,
            loot,
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

    /// The accomplice tries to send itself something under a token.
    pub(super) async fn helper_tries(&self, what: Capability, token: TokenId) -> Result<String, Mishap> {
        match self.helper.tell(self.note(what, token)).await {
            Ok(_) => Ok("accepted".to_owned()),
            Err(SendError::Refused { refusal, .. }) => Ok(refusal.to_string()),
            Err(error) => Err(error.into()),
        }
    }

    fn note(&self, what: Capability, token: TokenId) -> Outgoing {
        let mut note = Outgoing::new(self.accomplice.client.name, what, HELLO);
        note.content_type = ContentType::text();
        note.token = Some(token);
        note
    }

    /// Both leave.
    pub(super) async fn leave(self) {
        self.helper.goodbye().await;
        self.taking.abort();
    }
}
