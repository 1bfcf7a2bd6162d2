//! Which of two identities of one agent is the newer one: a file is never turned back, whoever writes over it and from
//! however old a copy of the swarm's keys.

use std::path::Path;

use testudo_bus::client::ClientIdentity;
use testudo_bus::env::Env as _;

use super::{Identity, IdentityError};
use crate::env::System;

impl Identity {
    /// Whether this may take the place of what is in a file.
    ///
    /// # Errors
    /// [`IdentityError`], which says why not.
    pub(super) fn supersedes(&self, there: &Self, path: &Path) -> Result<(), IdentityError> {
        let (new, old) = (self.newest(), there.newest());
        if old.holder() != new.holder() || old.swarm() != new.swarm() {
            return Err(IdentityError::Another(path.to_owned()));
        }
        let (have, got) = (old.learnt.number(), new.learnt.number());
        if have > got {
            return Err(IdentityError::OldTrust { path: path.to_owned(), have, got });
        }
        // One that has run out, or counts no more by what is known now, is not worth keeping whatever its dates. Nor is one
        // that was issued earlier for longer.
        let now = System.now();
        let old = ClientIdentity { chain: old.chain.clone(), ..new.as_ref().clone() };
        match (old.leaf(now), new.leaf(now)) {
            (Ok(old), Ok(new)) if old.not_before > new.not_before && old.not_after > new.not_after => {
                Err(IdentityError::Later(path.to_owned()))
            }
            // What counts is not written over by what does not.
            (Ok(_), Err(_)) => Err(IdentityError::Later(path.to_owned())),
            (Ok(_), Ok(_)) | (Err(_), _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testudo_bus::env::Env;
    use testudo_bus::tls::{EmbeddedCa, LIFETIME};
    use testudo_rules::token::{Fresh, Mint};
    use testudo_rules::trust::Trust;
    use testudo_wire::{
        AgentName, Holder, Limits, RegistrySequence, SecretKey, SpiffeId, Timestamp, TokenFactId,
    };

    use super::*;
    use crate::identity::Issued;
    use crate::swarm::{Keys, pem};

    /// The system's clock, so many seconds behind.
    #[derive(Debug)]
    struct Behind(u64);

    impl Env for Behind {
        fn now(&self) -> Timestamp {
            System.now().before(Duration::from_secs(self.0))
        }
        fn fill(&self, bytes: &mut [u8]) {
            System.fill(bytes);
        }
    }

    /// An agent's identity as it was issued so many seconds ago, to live so long, under this trust statement.
    fn issued(keys: &Keys, name: &str, ago: u64, lifetime: Duration, statement: u64) -> Identity {
        let (env, key) = (Behind(ago), SecretKey::from_seed(&[9; 32]));
        let name = AgentName::parse(name).unwrap();
        let ca = EmbeddedCa::load(keys.certificate.clone(), &keys.ca).unwrap();
        let leaf = ca.issue(&SpiffeId::Agent(keys.swarm(), name), &key.public(), lifetime, &env).unwrap();
        let mint = Mint {
            swarm: keys.swarm(),
            id: TokenFactId::new([1; 16]),
            holder: Holder { name, key: key.public() },
            rights: Default::default(),
            delegatable: Default::default(),
            expires: env.now().after(lifetime),
            minted: RegistrySequence(0),
            hops: 0,
        };
        let token = mint.sign(&keys.authority, Fresh::from_random([3; 32]), &Limits::standard()).unwrap();
        let cas = vec![keys.certificate.to_vec()];
        let mut trust = Trust::genesis(keys.authority.public(), cas.clone());
        let mut last = None;
        for _ in 0..statement {
            let same = (vec![keys.authority.public()], cas.clone());
            let (signed, next) = trust.next(same, env.now(), &keys.authority).unwrap();
            (trust, last) = (next, Some(signed));
        }
        Identity::of(Issued {
            node: ([127, 0, 0, 1], 1).into(),
            name,
            key,
            authority: keys.authority.public(),
            ca: pem(&keys.certificate),
            agents_ca: None,
            certificate: pem(&leaf),
            token: token.to_text().to_string(),
            statement: last,
        })
        .unwrap()
    }

    #[test]
    fn a_file_is_written_over_by_what_is_newer_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.id");
        let keys = Keys::make(&System).unwrap();
        let of = |ago, statement| issued(&keys, "a", ago, LIFETIME, statement);
        of(100, 1).save(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let refused = |identity: &Identity| {
            let why = identity.save_over(&path).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), before, "{why}");
            assert_eq!(why.to_string().lines().count(), 1, "{why}");
            why
        };
        assert!(matches!(refused(&of(200, 1)), IdentityError::Later(_)), "it was issued before");
        let old = refused(&of(0, 0));
        assert!(matches!(old, IdentityError::OldTrust { have: 1, got: 0, .. }), "{old}");
        assert!(matches!(refused(&issued(&keys, "b", 0, LIFETIME, 1)), IdentityError::Another(_)));
        let other = Keys::make(&System).unwrap();
        assert!(matches!(refused(&issued(&other, "a", 0, LIFETIME, 1)), IdentityError::Another(_)));
        of(100, 1).save_over(&path).unwrap();
        // Issued later for a shorter time, as another issuer does: that is the newer one.
        issued(&keys, "a", 50, LIFETIME / 2, 1).save_over(&path).unwrap();
        // By a later statement, though another issuer's clock is ahead.
        of(60, 2).save_over(&path).unwrap();
        assert_eq!(Identity::load(&path).unwrap().client.learnt.number(), 2);
        // A process that has heard of a statement does not take back what was issued since it renewed.
        assert!(matches!(of(90, 3).save_over(&path), Err(IdentityError::Later(_))));
        std::fs::write(&path, "not an identity").unwrap();
        assert!(of(0, 3).save_over(&path).is_err(), "what is there is not known");
    }

    #[test]
    fn what_has_run_out_is_never_worth_keeping() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.id");
        let keys = Keys::make(&System).unwrap();
        issued(&keys, "a", 100, Duration::from_secs(50), 0).save(&path).unwrap();
        issued(&keys, "a", 5_000, LIFETIME, 0).save_over(&path).unwrap();
        assert!(Identity::load(&path).unwrap().client.leaf(System.now()).is_ok());
    }
}
