//! Many agents of one swarm in one process: half of a circle, or a crowd that is linked and silent.

use std::path::Path;

use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use testudo::bus::client::Arrivals;
use testudo::config::{Config, Overrides};
use testudo::wire::SessionId;
use testudo::wire::standing::Grant;
use testudo::{AgentName, Capability, Client, Deliveries, Identity, Member, Outgoing};

use crate::many::{Circle, Crowd};
use crate::testudo_peer::{CAPABILITY, enrol, flush, goodbye, link, next, text};
use crate::{AT_ONCE, CROWD, Done, PAYLOAD};

/// Messages that one agent may have under way to each of the others: all that come to one then fit what the node
/// keeps for it.
const EACH: u32 = 16;

/// Half of a circle.
pub(crate) struct Half {
    links: Vec<(Client, Deliveries)>,
    first: usize,
    names: Vec<AgentName>,
    what: Capability,
}

impl Half {
    pub(crate) async fn open(first: &str, identities: &[String]) -> Done<Self> {
        let links = try_join_all(identities.iter().map(|identity| link(identity))).await?;
        let names = (0..CROWD).map(|n| AgentName::parse(&format!("circle-{n}"))).collect::<Result<_, _>>()?;
        Ok(Self { links, first: first.parse()?, names, what: CAPABILITY.parse()? })
    }
}

impl Circle for Half {
    async fn exchange(&mut self, each: u32) -> Done {
        let (names, what, first) = (&self.names, &self.what, self.first);
        let all = self.links.iter_mut().enumerate().map(|(n, (client, deliveries))| {
            let client = &*client;
            let sending = async move {
                for n_th in 1..=each {
                    for (_, name) in names.iter().enumerate().filter(|(to, _)| *to != first + n) {
                        let body = Bytes::from_static(PAYLOAD.as_bytes());
                        client.post(text(Outgoing::new(*name, *what, body))).await?;
                    }
                    if n_th % EACH == 0 {
                        flush(client).await?;
                    }
                }
                flush(client).await
            };
            let taking = async {
                for _ in 0..each as usize * (CROWD - 1) {
                    next(deliveries).await?;
                }
                Ok(())
            };
            try_join(sending, taking)
        });
        try_join_all(all).await.map(drop)
    }

    async fn leave(self) -> Done {
        goodbye(&self.links).await;
        Ok(())
    }
}

/// Members that do nothing.
pub(crate) struct Idle {
    identities: Vec<Identity>,
    links: Vec<(Member, Arrivals)>,
    marked: Vec<Option<SessionId>>,
}

impl Idle {
    /// Enrols them.
    pub(crate) async fn enrol(config: &str, many: &str) -> Done<Self> {
        let config = Config::load(Path::new(config), Overrides::default())?;
        let one = async |n| -> Done<Identity> {
            let grant = Grant { right: [CAPABILITY.parse()?].into(), ..Grant::default() };
            enrol(&config, &format!("crowd-{n}"), grant).await
        };
        let all = stream::iter(0..many.parse::<usize>()?).map(one).buffer_unordered(AT_ONCE);
        Ok(Self { identities: all.try_collect().await?, links: Vec::new(), marked: Vec::new() })
    }
}

impl Crowd for Idle {
    async fn gather(&mut self) -> Done {
        let join = async |identity| -> Done<_> { Ok(testudo::join(identity).await?) };
        let all = stream::iter(&self.identities).map(join).buffer_unordered(AT_ONCE);
        self.links = all.try_collect().await?;
        Ok(())
    }

    fn mark(&mut self) {
        self.marked = self.links.iter().map(|(member, _)| member.session()).collect();
    }

    fn missing(&self) -> usize {
        let away = |((member, _), marked): &(&(Member, Arrivals), &Option<SessionId>)| {
            !member.is_connected() || member.session() == **marked
        };
        self.links.iter().zip(&self.marked).filter(away).count()
    }
}
