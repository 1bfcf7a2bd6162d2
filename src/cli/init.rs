//! `testudo init`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use testudo::swarm::{self, Addresses};
use testudo::wire::NodeName;

use super::{Done, say};

/// Make a swarm in a folder.
#[derive(Args, Debug)]
pub(super) struct Init {
    /// The folder; made if it is not there
    dir: PathBuf,
    /// What people call the swarm; without it, the name of the folder if it is one for a swarm, or "swarm"
    #[arg(long)]
    name: Option<String>,
    /// Where agents will dial the node (UDP)
    #[arg(long, value_name = "ADDRESS", default_value_t = Addresses::default().listen)]
    listen: SocketAddr,
    /// Where health and metrics will be served (TCP)
    #[arg(long, value_name = "ADDRESS", default_value_t = Addresses::default().health)]
    health: SocketAddr,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Init {
    fn name(&self) -> String {
        let given = || self.name.clone();
        // What "." and ".." are called, too.
        let folder = || {
            let dir = std::path::absolute(&self.dir).ok()?;
            let dir = dir.canonicalize().unwrap_or(dir);
            let name = dir.file_name()?.to_str()?;
            NodeName::parse(name).is_ok().then(|| name.to_owned())
        };
        given().or_else(folder).unwrap_or_else(|| "swarm".to_owned())
    }

    pub(super) fn run(self) -> Done {
        let at = Addresses { listen: self.listen, health: self.health };
        let config = swarm::init(&self.dir, &self.name(), at, &testudo::env::System)?;
        let path = self.dir.join("testudo.toml");
        if self.json {
            say(&serde_json::json!({"swarm": config.swarm.id, "config": path}).to_string());
        } else {
            let path = path.display();
            say(&format!(
                "swarm {} ({}) is ready in {}",
                config.swarm.name,
                config.swarm.id.short(),
                self.dir.display()
            ));
            say(&format!(
                "next: testudo agent add NAME --config {path} --allow read:logs --out NAME.identity"
            ));
            say(&format!("then: testudo node --config {path}"));
        }
        Ok(())
    }
}
