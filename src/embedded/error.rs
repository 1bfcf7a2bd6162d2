//! Why something could not be done with an embedded swarm.

use std::path::PathBuf;

use testudo_bus::client::DialError;
use testudo_wire::{AgentName, NameError};

use super::role::RoleError;
use crate::config::ConfigError;
use crate::files::FileError;
use crate::runtime::ThreadError;
use crate::server::ServerError;
use crate::swarm::SwarmError;

/// Why something could not be done with an embedded swarm. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The folder's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An agent could not connect.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The name of an agent breaks the grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The folder is another swarm's.
    #[error("{} holds the swarm {found:?}, not {wanted:?}; choose another folder or that name", folder.display())]
    OtherSwarm {
        /// The folder.
        folder: PathBuf,
        /// Its swarm's name.
        found: String,
        /// The name that was given.
        wanted: String,
    },
    /// The registry says no.
    #[error("{0}: {1}")]
    Refused(AgentName, String),
    /// The role cannot be given.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The node cannot be started.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The keys cannot be made or read.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The swarm's thread.
    #[error(transparent)]
    Thread(#[from] ThreadError),
}
