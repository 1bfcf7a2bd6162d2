//! Who certifies agents, as the configuration says: the embedded CA, or a PKI mount of Vault or OpenBao.
//!
//! The node's own certificate is always the embedded CA's: a node that certifies agents elsewhere is trusted to be a
//! node by its own CA, and to be nobody else.

mod error;
mod http;
mod login;
mod vault;
mod watch;

use std::sync::Arc;

use testudo_bus::env::SharedEnv;
use testudo_bus::tls::Issuer;

use crate::config::Config;

pub use error::VaultError;
pub use vault::VaultIssuer;

/// The issuer of a configuration whose agents are certified elsewhere than by the node's own CA.
///
/// # Errors
/// [`VaultError`] for what is wrong on this side; the service is not asked yet.
pub fn elsewhere(config: &Config, env: SharedEnv) -> Result<Option<Arc<dyn Issuer>>, VaultError> {
    match config.issuer.vault().map_err(VaultError::Settings)? {
        None => Ok(None),
        Some(settings) => Ok(Some(Arc::new(VaultIssuer::start(config.swarm.id, settings, env)?))),
    }
}
