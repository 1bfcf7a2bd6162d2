//! Mallory: enrolled, with a certificate, a token and an accomplice inside the swarm, and compromised. It tries
//! everything that a stolen identity can try, one attack after the other, and reports what the bus answered.
//!
//! What became of an attack is judged at the far end too: the accomplice counts what really arrives, and after
//! every attack an honest message must still pass and nothing else may have.

mod link;
mod mishap;
mod slow;
mod stage;
mod tokens;
mod tricks;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use testudo::Identity;
use testudo::rules::token::{SealedToken, Token};
use testudo::wire::{AgentName, PublicKey, TokenFactId};
use tokio::time::timeout;

use mishap::Mishap;
use stage::Stage;
use tricks::Trick;

/// Longest wait for what must come at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// One attack and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attack {
    /// What was tried.
    pub(crate) name: String,
    /// Whether it was refused for exactly the expected reason, and nothing of it was delivered.
    pub(crate) refused: bool,
    /// What the bus answered, or what happened instead.
    pub(crate) reason: String,
    /// What it must answer.
    pub(crate) expected: String,
}

/// The identities that mallory plays with. Mallory must hold `say:hello` and may hand it on; the accomplice must
/// hold and serve it, and hold `say:oracle`, which nobody serves; the sloth must hold and serve `say:hello`, its
/// crony hold it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crew<'a> {
    /// Who attacks.
    pub(crate) mallory: &'a Identity,
    /// To whom it speaks, and who counts what arrives.
    pub(crate) accomplice: &'a Identity,
    /// Who takes messages and reads none.
    pub(crate) sloth: &'a Identity,
    /// Who sends to it.
    pub(crate) crony: &'a Identity,
}

/// What mallory has that it should not have.
#[derive(Debug)]
pub(crate) struct Loot {
    /// Another agent's token.
    pub(crate) stolen: SealedToken,
    /// Mallory's own, out of time.
    pub(crate) expired: Token,
    /// Whom it poses as.
    pub(crate) victim: AgentName,
    /// That agent's public key.
    pub(crate) victim_key: PublicKey,
}

/// What the operator does on request, so that attacks after a revocation can be tried.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Favour {
    /// Void a token and everything delegated from it.
    RevokeToken(TokenFactId),
    /// Put an agent out.
    RevokeAgent(AgentName),
}

/// Tries every attack. `desk` is where favours are asked, `progress` hears of each attack as it ends.
pub(crate) async fn run<D, F>(crew: &Crew<'_>, loot: &Loot, mut desk: D, mut progress: F) -> Vec<Attack>
where
    D: AsyncFnMut(Favour) -> Result<(), String>,
    F: FnMut(&Attack),
{
    let mut attacks = Vec::with_capacity(Trick::ALL.len());
    let mut stage = Box::pin(patient(PATIENCE, Stage::set(crew, loot))).await;
    for trick in Trick::ALL.iter().copied() {
        let attack = match &mut stage {
            Ok(stage) => Box::pin(attempt(trick, stage, &mut desk)).await,
            Err(mishap) => trick.came_to(false, format!("not tried: {mishap}")),
        };
        progress(&attack);
        attacks.push(attack);
    }
    if let Ok(stage) = stage {
        stage.leave().await;
    }
    attacks
}

/// One attack, and the proof that it changed nothing.
async fn attempt<D>(trick: Trick, stage: &mut Stage<'_>, desk: &mut D) -> Attack
where
    D: AsyncFnMut(Favour) -> Result<(), String>,
{
    let answer = match patient(trick.patience(), trick.play(stage, desk)).await {
        Ok(answer) => answer,
        Err(mishap) => {
            // Nobody knows what this link still carries.
            stage.hang_up();
            return trick.came_to(false, mishap.to_string());
        }
    };
    match patient(PATIENCE, stage.prove()).await {
        Ok(()) => trick.came_to(answer == trick.expected(), answer),
        Err(mishap) => trick.came_to(false, format!("{answer}, but {mishap}")),
    }
}

async fn patient<T>(patience: Duration, what: impl Future<Output = Result<T, Mishap>>) -> Result<T, Mishap> {
    timeout(patience, what).await.map_err(|_| Mishap::Silence)?
}
