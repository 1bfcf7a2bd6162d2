//! One conversation at the join port: handshake, one question, one answer.
//!
//! Nothing of ours is read before the handshake is done (threat A08); all of it must be over within seconds.

use std::time::Duration;

use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use testudo_registry::Newcomer;
use testudo_wire::PublicKey;
use testudo_wire::join::{EXPORTER_LABEL, Exporter, JoinAnswer, JoinRefusal, JoinRequest, REQUEST_BYTES_MAX};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Desk, Question, Turned};
use crate::ending;
use crate::stream::{FrameReader, write_frame};
use crate::tls::{newcomer_key, requested_key};

/// From the first datagram to the whole question.
const QUESTION_TIME: Duration = Duration::from_secs(3);
/// The registry's disk may be slow; the newcomer asks again with the same key.
const DECISION_TIME: Duration = Duration::from_secs(5);
/// The answer is to be read within this.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Why a connection came to nothing.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// It asked and was refused.
    Refused(Turned),
    /// It did not come to a question.
    Silent(String),
}

fn silent(what: impl Into<String>) -> Ended {
    Ended::Silent(what.into())
}

/// A newcomer who has proved its key, and its question's two halves.
struct Caller {
    connection: Connection,
    key: PublicKey,
    exporter: Exporter,
}

/// Serves one connection to its end. What came to nothing is noted before the newcomer hears of it.
pub(super) async fn serve(desk: &dyn Desk, incoming: Incoming, note: &(dyn Fn(&Ended) + Sync)) {
    let deadline = Instant::now() + QUESTION_TIME;
    let caller = match timeout_at(deadline, greet(incoming)).await {
        Ok(Ok(caller)) => caller,
        Ok(Err(ended)) => return note(&ended),
        Err(_) => return note(&silent("too slow")),
    };
    match timeout_at(deadline, question(&caller)).await {
        Ok(Ok((answers, asked))) => converse(desk, asked, answers, note).await,
        Ok(Err(ended)) => note(&ended),
        Err(_) => note(&silent("no question in time")),
    }
    caller.connection.close(VarInt::from_u32(0), b"");
}

async fn greet(incoming: Incoming) -> Result<Caller, Ended> {
    let connecting = incoming.accept().map_err(|error| silent(ending::reason(&error)))?;
    let connection = connecting.await.map_err(|error| silent(ending::reason(&error)))?;
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or_else(|| silent("no certificate"))?;
    let key = newcomer_key(&chain).map_err(|error| silent(error.to_string()))?;
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
        .map_err(|_| silent("no keying material"))?;
    Ok(Caller { connection, key, exporter })
}

async fn converse(
    desk: &dyn Desk,
    asked: Option<Question>,
    mut answers: SendStream,
    note: &(dyn Fn(&Ended) + Sync),
) {
    let decided = match asked {
        None => Err(turned(JoinRefusal::Malformed, "not a join request for the connection's key")),
        Some(asked) => timeout(DECISION_TIME, desk.admit(asked))
            .await
            .unwrap_or_else(|_| Err(turned(JoinRefusal::Unavailable, "the registry does not answer"))),
    };
    let answer = match decided {
        Ok(joined) => JoinAnswer::Joined(Box::new(joined)),
        Err(turned) => {
            let refusal = turned.refusal;
            note(&Ended::Refused(turned));
            JoinAnswer::Refused(refusal)
        }
    };
    // Whoever does not take its answer may ask again.
    if !matches!(timeout(ANSWER_TIME, say(&mut answers, &answer)).await, Ok(Some(()))) {
        tracing::debug!("a newcomer did not take its answer");
    }
}

fn turned(refusal: JoinRefusal, why: &str) -> Turned {
    Turned { refusal, agent: None, why: why.to_owned() }
}

/// The question, if it is one and about the key of the connection.
async fn question(caller: &Caller) -> Result<(SendStream, Option<Question>), Ended> {
    let opened = caller.connection.accept_bi().await;
    let (answers, questions): (SendStream, RecvStream) =
        opened.map_err(|error| silent(ending::reason(&error)))?;
    let asked = match FrameReader::new(questions, REQUEST_BYTES_MAX).next().await {
        Ok(Some(frame)) => read(&frame, caller),
        Ok(None) => None,
        Err(error) => {
            tracing::debug!(%error, "a join request that is none");
            None
        }
    };
    Ok((answers, asked))
}

fn read(frame: &[u8], caller: &Caller) -> Option<Question> {
    let JoinRequest { id, signature, csr: request } = JoinRequest::decode(frame).ok()?;
    let key = requested_key(&request).ok().filter(|key| *key == caller.key)?;
    Some(Question { newcomer: Newcomer { id, key, exporter: caller.exporter, signature }, request })
}

/// Says the answer and waits until it has been taken.
async fn say(answers: &mut SendStream, answer: &JoinAnswer) -> Option<()> {
    write_frame(answers, answer.encode().ok()?).await.ok()?;
    answers.finish().ok()?;
    // The peer takes it whole, or goes.
    matches!(answers.stopped().await, Ok(None)).then_some(())
}
