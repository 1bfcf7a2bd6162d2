//! Rolling over what a swarm trusts, as operators ask for it.

use serde::{Deserialize, Serialize};
use testudo_bus::roots::Change;
use testudo_wire::{CaFingerprint, PublicKey, SwarmId};

use super::{Answer, Done, Operator};

/// What is to change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Roll {
    /// A new CA, beside the ones that there are.
    RotateCa,
    /// A new authority key, beside the ones that there are.
    RotateAuthority,
    /// Every CA but the newest goes.
    RetireCa,
    /// Every authority key but the newest goes.
    RetireAuthority,
}

/// What a swarm trusts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TrustView {
    /// The swarm.
    pub swarm: SwarmId,
    /// The number of the statement in force; 0 before the first.
    pub number: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Authority keys, oldest first; tokens are minted under the last.
    pub authorities: Vec<PublicKey>,
    /// Fingerprints of CAs, oldest first; certificates are issued under the last.
    pub cas: Vec<CaFingerprint>,
}

impl Operator {
    pub(super) fn trust(&self) -> TrustView {
        let rooted = self.office.roots.load();
        let trust = &rooted.trust;
        TrustView {
            swarm: trust.swarm(),
            number: trust.number(),
            time_ms: trust.time().as_millis(),
            authorities: trust.authorities().to_vec(),
            cas: trust.cas().iter().map(|ca| CaFingerprint::of(ca)).collect(),
        }
    }

    pub(super) async fn roll(&self, roll: Roll, force: bool) -> Done {
        let change = match roll {
            Roll::RotateCa => Change::AddCa,
            Roll::RotateAuthority => Change::AddAuthority,
            Roll::RetireCa => Change::RetireCas,
            Roll::RetireAuthority => Change::RetireAuthorities,
        };
        let done = self.office.roll(change, force, &*self.keep, &*self.env).await;
        done.map_err(|error| error.to_string())?;
        Ok(Answer::Trust(Box::new(self.trust())))
    }
}
