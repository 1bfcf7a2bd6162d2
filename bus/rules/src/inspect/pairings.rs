//! Things that are harmless alone and an attack together: a persona and its licence, a secret and a way out, an order
//! to the model and its concealment.

use super::rules::{Mention, Pairing};
use super::{Kind, Severity};

/// The pairings.
pub(super) const PAIRINGS: &[Pairing] = &[
    Pairing {
        id: "injection.jailbreak",
        kind: Kind::Injection,
        mention: Mention::Counts,
        ..high(&[&["part.persona"], &["part.licence"]], 2_000)
    },
    Pairing {
        id: "exfil.secret-way-out",
        kind: Kind::Exfiltration,
        ..high(
            &[
                &["part.way-out"],
                &["part.secret"],
                &["part.conceal", "part.stealth", "part.order", "part.read-file"],
            ],
            300,
        )
    },
    Pairing {
        id: "poison.concealed-order",
        ..high(
            &[
                &["part.conceal", "part.stealth"],
                &["part.order", "part.way-out", "part.side-door", "part.read-file"],
            ],
            300,
        )
    },
    Pairing {
        id: "theft.code",
        kind: Kind::Exfiltration,
        ..high(&[&["part.private-source"], &["part.code-sends"]], 1_200)
    },
    Pairing {
        id: "theft.fingerprint",
        kind: Kind::Exfiltration,
        severity: Severity::Medium,
        ..high(&[&["part.fingerprint"], &["part.code-sends"]], 1_200)
    },
    Pairing { id: "poison.side-door", ..high(&[&["part.side-door"], &["part.read-file"]], 300) },
    Pairing {
        id: "poison.side-door-secret",
        ..high(&[&["part.side-door"], &["part.secret"], &["part.order"]], 300)
    },
    Pairing {
        id: "poison.offered-code",
        ..high(&[&["part.insert-code"], &["part.into-answer"], &["part.risky-code"]], 700)
    },
    Pairing {
        id: "poison.lured-answer",
        kind: Kind::Injection,
        ..high(&[&["part.say"], &["part.lure"]], 120)
    },
    Pairing { id: "poison.concealment", severity: Severity::Medium, ..high(&[&["part.conceal"]], 0) },
    Pairing {
        id: "exfil.sends-secret",
        kind: Kind::Exfiltration,
        severity: Severity::Medium,
        ..high(&[&["part.way-out"], &["part.secret"]], 120)
    },
    Pairing {
        id: "poison.ordered-secret",
        severity: Severity::Medium,
        ..high(&[&["part.order"], &["part.secret", "part.read-file"]], 200)
    },
];

const fn high(sides: &'static [&'static [&'static str]], apart: usize) -> Pairing {
    Pairing {
        id: "",
        kind: Kind::ToolPoisoning,
        severity: Severity::High,
        mention: Mention::Excused,
        sides,
        apart,
    }
}
