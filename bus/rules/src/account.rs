//! An account that must balance: what became of everything that came, for the bus and for each exporter.

use std::fmt;

/// Things by where they are in their life, at one instant. Of the bus they are copies of messages: of each message in a
/// decodable bundle one for every receiver it was routed to, and one if it was refused or had no receiver. Of an
/// exporter they are events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Account {
    /// That came.
    pub submitted: u64,
    /// Taken by their receiver.
    pub delivered: u64,
    /// Refused by node or receiver, lost with a link after hand-over, or still failing when an exporter ended.
    pub failed: u64,
    /// Given up before hand-over, or without anywhere to go.
    pub dropped: u64,
    /// Waiting.
    pub queued: u64,
    /// On their way.
    pub in_flight: u64,
}

impl Account {
    /// The law.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.submitted == self.delivered + self.failed + self.dropped + self.queued + self.in_flight
    }
}

/// The law as an equation. Says so when it does not hold.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { submitted, delivered, failed, dropped, queued, in_flight } = self;
        let sign = if self.is_balanced() { "=" } else { "is not" };
        write!(
            f,
            "submitted {submitted} {sign} delivered {delivered} + failed {failed} + dropped {dropped} \
             + queued {queued} + in flight {in_flight}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_equation_says_whether_it_holds() {
        let mut account =
            Account { submitted: 120, delivered: 100, failed: 15, dropped: 5, ..Account::default() };
        let holds = "submitted 120 = delivered 100 + failed 15 + dropped 5 + queued 0 + in flight 0";
        assert_eq!(account.to_string(), holds);
        account.in_flight = 1;
        assert!(account.to_string().starts_with("submitted 120 is not delivered 100 +"));
    }
}
