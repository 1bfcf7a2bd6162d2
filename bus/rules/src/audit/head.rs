//! A signed checkpoint as links carry it: [`LogHead`], which is the note without what all notes of a log repeat, and
//! back to the note, which anybody can check who has the log's key.

use testudo_wire::frame::LogHead;
use testudo_wire::{LogRoot, PublicKey, SecretKey};

use super::checkpoint::{Checkpoint, CheckpointError, Origin, claimed, note_of};
use super::merkle::LogHash;

impl Checkpoint {
    /// The same statement, signed, for links.
    #[must_use]
    pub fn head(&self, origin: &Origin, key: &SecretKey) -> LogHead {
        let signature = key.sign_bytes(self.text(origin).as_bytes());
        LogHead { log: key.public(), size: self.size, root: LogRoot::new(*self.root.as_bytes()), signature }
    }

    /// What a head says, whoever signed it.
    #[must_use]
    pub const fn of_head(head: &LogHead) -> Self {
        Self { size: head.size, root: LogHash::new(*head.root.as_bytes()) }
    }
}

/// Whether the key that a head names signed it, as the head of this log.
#[must_use]
pub fn is_head_signed(head: &LogHead, origin: &Origin) -> bool {
    head.log.verifies_bytes(Checkpoint::of_head(head).text(origin).as_bytes(), &head.signature)
}

/// The signed note that a head stands for.
#[must_use]
pub fn note_of_head(head: &LogHead, origin: &Origin) -> String {
    note_of(&Checkpoint::of_head(head).text(origin), origin, &head.log, &head.signature)
}

/// The head that a note stands for, whose signature is checked.
///
/// # Errors
/// [`CheckpointError`].
pub fn head_of(note: &str, origin: &Origin, key: &PublicKey) -> Result<LogHead, CheckpointError> {
    let Checkpoint { size, root } = Checkpoint::verify(note, origin, key)?;
    let (_, signature) = claimed(note, origin, key)?;
    Ok(LogHead { log: *key, size, root: LogRoot::new(*root.as_bytes()), signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_note_and_nothing_else() {
        let (origin, key) = (Origin::parse("testudo/log").unwrap(), SecretKey::from_seed(&[1; 32]));
        let checkpoint = Checkpoint { size: 7, root: LogHash::new([7; 32]) };
        let (note, head) = (checkpoint.sign(&origin, &key), checkpoint.head(&origin, &key));
        assert!(is_head_signed(&head, &origin));
        assert_eq!(note_of_head(&head, &origin), note);
        assert_eq!(head_of(&note, &origin, &key.public()).unwrap(), head);
        let others: [LogHead; 3] = [
            LogHead { size: 8, ..head },
            LogHead { root: LogRoot::new([8; 32]), ..head },
            LogHead { log: SecretKey::from_seed(&[2; 32]).public(), ..head },
        ];
        for other in others {
            assert!(!is_head_signed(&other, &origin), "{other:?}");
        }
        assert!(!is_head_signed(&head, &Origin::parse("testudo/other").unwrap()));
    }
}
