//! How a PKI service is, as a running node's health page tells it: asked now and then, so that a mount that went away or
//! a login that is dead is known before the first certificate runs out.
//!
//! What the service says is kept off that page (threat A65): its statuses and our own words are on it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testudo_bus::tls::IssuerHealth;
use testudo_wire::Timestamp;
use tokio::sync::Notify;

use super::VaultError;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(30);
/// A certificate that was not issued is a fault for so long, if none is issued meanwhile: whoever needs one asks again
/// within minutes.
const REFUSED: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct Seen {
    /// Since when a look finds it failing, and why at last.
    failing: Option<(Timestamp, String)>,
    /// When and why it last issued nothing.
    refused: Option<(Timestamp, String)>,
    has_looked: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
    wanted: Notify,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is looked at.
    pub(super) fn begin(&self) {
        self.wanted.notify_one();
    }

    /// Returns when somebody wants to know.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// What a look found.
    pub(super) fn looked(&self, found: Result<(), VaultError>, now: Timestamp) {
        let mut seen = self.seen();
        seen.has_looked = true;
        seen.failing = found.err().map(|error| {
            let since = seen.failing.as_ref().map_or(now, |(since, _)| *since);
            (since, error.own_words())
        });
    }

    /// A certificate was issued, or why not.
    pub(super) fn issued(&self, issued: Result<(), String>, now: Timestamp) {
        self.seen().refused = issued.err().map(|why| (now, why));
    }

    /// How it is now.
    pub(super) fn health(&self, now: Timestamp) -> IssuerHealth {
        let seen = self.seen();
        let refused = seen.refused.as_ref().filter(|(at, _)| at.after(REFUSED) > now);
        match seen.failing.as_ref().or(refused) {
            Some((since, why)) => IssuerHealth::Failing { since: *since, why: why.clone() },
            None if seen.has_looked => IssuerHealth::Well,
            None => IssuerHealth::Unasked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn said() -> String {
        ": Operator: run agent add x --operator".to_owned()
    }

    #[test]
    fn it_fails_since_the_first_look_that_failed_and_is_well_after_the_first_that_does_not() {
        let watch = Watch::default();
        assert_eq!(watch.health(at(0)), IssuerHealth::Unasked);
        watch.looked(Ok(()), at(1));
        assert_eq!(watch.health(at(2)), IssuerHealth::Well);
        watch.looked(Err(VaultError::Sealed), at(30));
        watch.looked(Err(VaultError::TooMany), at(60));
        let why = VaultError::TooMany.to_string();
        assert_eq!(watch.health(at(61)), IssuerHealth::Failing { since: at(30), why });
        watch.looked(Ok(()), at(90));
        assert_eq!(watch.health(at(91)), IssuerHealth::Well);
    }

    #[test]
    fn a_certificate_that_was_not_issued_is_a_fault_until_one_is_or_for_ten_minutes() {
        let watch = Watch::default();
        watch.looked(Ok(()), at(0));
        watch.issued(Err("refused".into()), at(10));
        let fault = IssuerHealth::Failing { since: at(10), why: "refused".into() };
        assert_eq!(watch.health(at(609)), fault);
        assert_eq!(watch.health(at(610)), IssuerHealth::Well);
        watch.issued(Ok(()), at(20));
        assert_eq!(watch.health(at(21)), IssuerHealth::Well);
    }

    #[test]
    fn t_a65_what_the_service_says_is_not_on_the_page() {
        let path = "pki/sign/agents".to_owned();
        for error in [
            VaultError::Forbidden { path, said: said() },
            VaultError::Internal { status: 500, said: said() },
            VaultError::Status { status: 418, said: said() },
            VaultError::Login(said()),
            VaultError::Role(said()),
        ] {
            let whole = error.to_string();
            let watch = Watch::default();
            watch.looked(Err(error), at(1));
            let IssuerHealth::Failing { why, .. } = watch.health(at(1)) else { panic!("{whole}") };
            assert!(whole.contains("Operator") && !why.contains("Operator"), "{why}");
            assert!(why.starts_with("the PKI "), "{why}");
        }
    }
}
