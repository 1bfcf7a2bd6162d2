//! Attacks by token: delegations that say too much, by the wrong hand, or after their time.

use testudo::wire::{SecretKey, TokenFactId};

use super::super::Favour;
use super::super::mishap::Mishap;
use super::super::stage::Stage;
use super::super::tokens;

type Answer = Result<String, Mishap>;

/// A delegation of mallory's token to the accomplice, sealed.
fn delegated(stage: &Stage<'_>) -> Result<(TokenFactId, Vec<u8>), Mishap> {
    let grant = [stage.hello];
    let handover = stage.handover(&grant);
    let client = &stage.mallory.client;
    Ok((handover.id, handover.sign(&client.token, &client.key)?))
}

/// The token itself is good as far as mallory's own right goes; beyond it there is nothing.
pub(super) async fn widened(stage: &mut Stage<'_>) -> Answer {
    let (grant, admin) = ([stage.admin, stage.hello], stage.admin);
    let client = &stage.mallory.client;
    let block = stage.handover(&grant).sign(&client.token, &client.key)?;
    let token = tokens::wrap(&client.token, &block)?;
    let id = stage.helper_uses(&token).await?;
    stage.helper_tries(admin, id).await
}

/// Signed by a key that never held the token.
pub(super) async fn by_a_stranger(stage: &mut Stage<'_>) -> Answer {
    let grant = [stage.hello];
    let stranger = SecretKey::from_seed(&testudo::bus::env::random(&testudo::env::System));
    let parent = &stage.mallory.client.token;
    let block = stage.handover(&grant).sign(parent, &stranger)?;
    let token = tokens::wrap(parent, &block)?;
    Ok(stage.helper_presents(&token).await?.err().unwrap_or_else(|| "accepted".to_owned()))
}

/// The same signed block in the same parent again: to the library it is another token, with another id.
pub(super) async fn re_wrapped<D>(stage: &mut Stage<'_>, desk: &mut D) -> Answer
where
    D: AsyncFnMut(Favour) -> Result<(), String>,
{
    let (id, block) = delegated(stage)?;
    let parent = &stage.mallory.client.token;
    let (first, again) = (tokens::wrap(parent, &block)?, tokens::wrap(parent, &block)?);
    stage.helper_uses(&first).await?;
    desk(Favour::RevokeToken(id)).await.map_err(Mishap::Desk)?;
    Ok(stage.helper_presents(&again).await?.err().unwrap_or_else(|| "accepted".to_owned()))
}

pub(super) async fn datalog(stage: &mut Stage<'_>) -> Answer {
    let token = tokens::with_datalog(&stage.mallory.client.token)?;
    let refusal = stage.link().await?.present(&token).await?;
    Ok(refusal.map_or_else(|| "accepted".to_owned(), |refusal| refusal.to_string()))
}

/// While mallory is still in: the accomplice gets something to remember it by.
pub(super) async fn bequeath(stage: &mut Stage<'_>) -> Result<(), Mishap> {
    let (_, block) = delegated(stage)?;
    let token = tokens::wrap(&stage.mallory.client.token, &block)?;
    stage.inherited = Some(stage.helper_uses(&token).await?);
    Ok(())
}

/// What a revoked agent handed on is void, also on links where it was good before.
pub(super) async fn inherited(stage: &mut Stage<'_>) -> Answer {
    let token = stage.inherited.ok_or(Mishap::Forgery("nothing was handed on in time"))?;
    stage.helper_tries(stage.hello, token).await
}
