//! How an operator's verb reaches the node: through the socket in the data folder, on the folder itself when no node runs,
//! or, as an agent with an operator's identity, over the network.

use std::path::PathBuf;

use clap::Args;
use testudo::config::{Config, Overrides};
use testudo::identity::Identity;
use testudo::operator::{Answer, Remote, RemoteError, Request};
use testudo::rules::token::Token;
use testudo::server::{self, AskError};
use testudo::wire::{Limits, SwarmId};

use super::given::token_or_file;
use super::{At, CliError, actor_system, interrupted, plain};

/// Who asks, and where.
#[derive(Args, Clone, Debug)]
pub(super) struct Through {
    #[command(flatten)]
    at: At,
    /// Ask over the network as this operator, see `testudo agent add --operator`; without it, the folder of --config is
    /// worked on
    #[arg(long, value_name = "FILE", env = "TESTUDO_OPERATOR__IDENTITY")]
    identity: Option<PathBuf>,
    /// Ask under this token instead of the identity's own: its text, a file, or `-` for standard input
    #[arg(
        long,
        value_name = "TOKEN",
        requires = "identity",
        env = "TESTUDO_OPERATOR__TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

/// The same for a verb whose `--identity` is another one.
#[derive(Args, Clone, Debug)]
pub(super) struct By {
    #[command(flatten)]
    at: At,
    /// Ask over the network as the operator of this identity; without it, the folder of --config is worked on
    #[arg(long, value_name = "FILE", env = "TESTUDO_OPERATOR__IDENTITY")]
    by: Option<PathBuf>,
}

impl From<By> for Through {
    fn from(By { at, by }: By) -> Self {
        Self { at, identity: by, token: None }
    }
}

impl From<At> for Through {
    fn from(at: At) -> Self {
        Self { at, identity: None, token: None }
    }
}

/// Whom to ask.
enum Door {
    Local(Box<Config>),
    Remote(Box<(Identity, Option<Token>)>),
}

impl Through {
    fn door(&self) -> Result<Door, CliError> {
        let Some(path) = &self.identity else {
            return Ok(Door::Local(Box::new(Config::load(&self.at.config, Overrides::default())?)));
        };
        let token = self.token.as_deref().map(token_or_file).transpose()?;
        let token = token.map(|text| Token::from_text(&text, &Limits::standard())).transpose()?;
        Ok(Door::Remote(Box::new((Identity::load(path)?, token))))
    }

    /// The folder's configuration.
    pub(super) const fn at(&self) -> &At {
        &self.at
    }

    /// Whether it goes over the network.
    pub(super) const fn is_remote(&self) -> bool {
        self.identity.is_some()
    }

    /// The swarm that it is about.
    pub(super) fn swarm(&self) -> Result<SwarmId, CliError> {
        Ok(match self.door()? {
            Door::Local(config) => config.swarm.id,
            Door::Remote(who) => who.0.client.swarm(),
        })
    }

    /// The operator's identity, if it is one that asks.
    pub(super) fn operator(&self) -> Result<Option<Identity>, CliError> {
        self.identity.as_deref().map(Identity::load).transpose().map_err(CliError::from)
    }

    /// Does a request. What was refused is an error.
    pub(super) fn ask(&self, request: Request) -> Result<Answer, CliError> {
        match self.door()? {
            Door::Local(config) => local(&config, request),
            Door::Remote(who) => remote(&who.0, who.1.as_ref(), &request),
        }
    }

    /// The way to ask a running node again and again.
    pub(super) async fn asking(&self) -> Result<Asking, CliError> {
        Ok(match self.door()? {
            Door::Local(config) => Asking::Local(config.node.data),
            Door::Remote(who) => Asking::elsewhere(&who.0, who.1.as_ref()).await?,
        })
    }

    /// Does a request that only a running node can answer.
    pub(super) fn ask_node(&self, request: Request) -> Result<Answer, CliError> {
        match self.door()? {
            Door::Local(config) => plain(async { Asking::Local(config.node.data).ask(&request).await }),
            Door::Remote(who) => remote(&who.0, who.1.as_ref(), &request),
        }
    }
}

/// A way to ask a running node again and again: over one link, where it is elsewhere.
pub(super) enum Asking {
    /// Through the socket in this data folder.
    Local(PathBuf),
    /// As an agent.
    Remote(Box<Remote>),
}

impl Asking {
    async fn elsewhere(identity: &Identity, token: Option<&Token>) -> Result<Self, CliError> {
        Ok(Self::Remote(Box::new(Remote::open(identity, token).await?)))
    }

    /// Does a request. What was refused is an error.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, CliError> {
        done(match self {
            Self::Local(data) => server::ask(data, request).await?,
            Self::Remote(remote) => remote.ask(request).await?,
        })
    }

    /// Leaves in good order: who is gone without goodbye is revoked as silent.
    pub(super) async fn leave(self) {
        if let Self::Remote(remote) = self {
            remote.leave().await;
        }
    }
}

/// Through the node that runs on the folder, or on the folder itself.
fn local(config: &Config, request: Request) -> Result<Answer, CliError> {
    let mut answer = None;
    actor_system(async {
        answer = Some(match server::ask(&config.node.data, &request).await {
            Ok(answer) => answer,
            Err(AskError::NoNode(_)) => {
                let operator = server::offline(config)?;
                let answer = operator.answer(request).await;
                operator.office.close().await;
                answer
            }
            Err(error) => return Err(error.into()),
        });
        Ok(())
    })?;
    done(answer.ok_or_else(unexpected)?)
}

/// As an agent. Whatever ends it, it leaves in good order: who is gone without goodbye is revoked as silent.
fn remote(identity: &Identity, token: Option<&Token>, request: &Request) -> Result<Answer, CliError> {
    plain(async {
        let asking = Asking::elsewhere(identity, token).await?;
        let asked = tokio::select! {
            asked = asking.ask(request) => asked,
            _ = interrupted() => Err(CliError::Failed("interrupted; whether it was done is unknown".into())),
        };
        asking.leave().await;
        asked
    })
}

fn done(answer: Answer) -> Result<Answer, CliError> {
    if let Answer::Refused { error } = answer { Err(CliError::Failed(error)) } else { Ok(answer) }
}

/// An answer to something else.
pub(super) fn unexpected() -> CliError {
    CliError::Failed("the node gave an answer of another kind; are both of one version?".into())
}

impl From<RemoteError> for CliError {
    fn from(error: RemoteError) -> Self {
        if matches!(error, RemoteError::RevokedItself) {
            return Self::RevokedItself;
        }
        Self::Failed(error.to_string())
    }
}
