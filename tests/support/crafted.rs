//! Certificates that are almost good: the table of what must not get in, and what is wrong with each.

use rcgen::{ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, SanType};
use testudo_bus::tls::LeafError;
use testudo_wire::SecretKey;

use super::Swarm;
use super::certs::{Chain, ca, common_name, deep, pair, profile, sign, strange_ca};

/// What a crafted chain is made of: a good profile and the ways to spoil it.
pub(crate) struct Craft<'a> {
    pub(crate) swarm: &'a Swarm,
    pub(crate) key: SecretKey,
    pub(crate) uri: String,
}

impl Craft<'_> {
    /// A leaf of the swarm's own CA.
    pub(crate) fn with(&self, spoil: impl FnOnce(&mut rcgen::CertificateParams)) -> Chain {
        let mut params = profile(self.swarm, &self.uri, Usage::ClientAuth);
        spoil(&mut params);
        vec![sign(&params, &self.key, &ca(self.swarm))]
    }

    /// A leaf for a key of another kind.
    fn of_kind(&self, kind: &'static rcgen::SignatureAlgorithm) -> Chain {
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let params = profile(self.swarm, &self.uri, Usage::ClientAuth);
        vec![params.signed_by(&key, &ca(self.swarm)).unwrap().der().clone()]
    }

    fn of(&self, uri: &str) -> Chain {
        self.with(|params| params.subject_alt_names = vec![san(uri)])
    }
}

fn san(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// What the check names first in the chains of [`crafted`].
pub(crate) const FAULTS: &[(LeafError, &[&str])] = &[
    (
        LeafError::Names,
        &[
            "two URI names",
            "a DNS name besides",
            "a DNS name instead",
            "a common name only",
            "an address besides",
            "a mailbox besides",
            "a DNS name before",
            "nobody's name at all",
            "a name of its own and the URI as common name",
        ],
    ),
    (
        LeafError::Usage,
        &[
            "code signing",
            "a usage of nobody's",
            "its own usage and nobody's",
            "no usage",
            "a server's usage",
            "both usages",
            "any usage",
        ],
    ),
    (
        LeafError::Identity,
        &[
            "a node's name",
            "a node's name and usage",
            "another swarm",
            "upper case",
            "an upper-case swarm",
            "a swarm cut short",
            "a swarm's name for its id",
            "a port",
            "a user",
            "a fragment",
            "no name",
            "an empty segment",
            "a dot segment",
            "a way up",
            "another kind",
            "space at the end",
            "a zero byte at the end",
            "a name too long",
            "an upper-case scheme",
            "a wildcard",
            "a path below",
            "a slash at the end",
            "a query",
            "an escape",
            "another scheme",
        ],
    ),
    (LeafError::Time, &["expired", "of tomorrow", "just expired"]),
    (
        LeafError::Path,
        &[
            "ended before it began",
            "a stranger's CA of the same name",
            "a stranger's CA, brought along",
            "a leaf as issuer",
            "signed by itself",
        ],
    ),
    (LeafError::Ca, &["a CA that may sign nothing below, as leaf", "a CA as leaf"]),
    (LeafError::Unparsable, &["an extension that nobody knows, critical", "longer than any"]),
    (LeafError::Key, &["a key on P-256", "a key on P-384"]),
    (LeafError::Depth, &["three intermediates", "twenty intermediates"]),
];

/// Chains that must not get in, by what is wrong with them. All are for the key of an enrolled agent.
pub(crate) fn crafted(craft: &Craft<'_>) -> Vec<(&'static str, Chain)> {
    let (swarm, uri) = (craft.swarm, craft.uri.as_str());
    let id = swarm.id;
    let other = Swarm::of(swarm.env.clone(), [9; 32]);
    let (stranger, strange) = strange_ca(swarm);
    let good = profile(swarm, uri, Usage::ClientAuth);
    let stolen = sign(&good, &craft.key, &strange);
    // An agent's own certificate and key, used as if they were a CA's.
    let leaf = sign(&good, &craft.key, &ca(swarm));
    let leaf_issuer = Issuer::from_ca_cert_der(&leaf, pair(&craft.key)).unwrap();
    let day = time::Duration::days(1);
    let node = uri.replace("/agent/", "/node/");
    vec![
        ("two URI names", craft.with(|p| p.subject_alt_names.push(san(uri)))),
        ("a DNS name besides", craft.with(|p| p.subject_alt_names.push(dns("crafty")))),
        ("a DNS name instead", craft.with(|p| p.subject_alt_names = vec![dns("crafty")])),
        (
            "a common name only",
            craft.with(|p| {
                p.subject_alt_names.clear();
                p.distinguished_name = common_name(uri);
            }),
        ),
        ("an address besides", craft.with(|p| p.subject_alt_names.push(address()))),
        ("a mailbox besides", craft.with(|p| p.subject_alt_names.push(mailbox()))),
        ("a DNS name before", craft.with(|p| p.subject_alt_names.insert(0, dns("x.y")))),
        (
            "nobody's name at all",
            craft.with(|p| {
                p.subject_alt_names.clear();
                p.distinguished_name = rcgen::DistinguishedName::new();
            }),
        ),
        (
            "a name of its own and the URI as common name",
            craft.with(|p| {
                p.subject_alt_names = vec![dns("crafty")];
                p.distinguished_name = common_name(uri);
            }),
        ),
        ("code signing", craft.with(|p| p.extended_key_usages = vec![Usage::CodeSigning])),
        (
            "a usage of nobody's",
            craft.with(|p| p.extended_key_usages = vec![Usage::Other(vec![1, 3, 6, 1, 4, 1, 9])]),
        ),
        (
            "its own usage and nobody's",
            craft.with(|p| p.extended_key_usages.push(Usage::Other(vec![1, 3, 6, 1, 4, 1, 9]))),
        ),
        ("no usage", craft.with(|p| p.extended_key_usages.clear())),
        ("a server's usage", craft.with(|p| p.extended_key_usages = vec![Usage::ServerAuth])),
        ("both usages", craft.with(|p| p.extended_key_usages.push(Usage::ServerAuth))),
        ("any usage", craft.with(|p| p.extended_key_usages = vec![Usage::Any])),
        ("a node's name", craft.of(&node)),
        (
            "a node's name and usage",
            craft.with(|p| {
                p.subject_alt_names = vec![san(&node)];
                p.extended_key_usages = vec![Usage::ServerAuth];
            }),
        ),
        ("another swarm", craft.of(&uri.replace(&id.to_string(), &other.id.to_string()))),
        ("upper case", craft.of(&uri.replace("crafty", "Crafty"))),
        ("an upper-case swarm", craft.of(&uri.replace(&id.to_string(), &id.to_string().to_uppercase()))),
        ("a swarm cut short", craft.of(&uri.replace(&id.to_string(), &id.to_string()[..62]))),
        ("a swarm's name for its id", craft.of(&uri.replace(&id.to_string(), "example.org"))),
        ("a port", craft.of(&uri.replace(&id.to_string(), &format!("{id}:443")))),
        ("a user", craft.of(&uri.replace("spiffe://", "spiffe://root@"))),
        ("a fragment", craft.of(&format!("{uri}#x"))),
        ("no name", craft.of(&uri.replace("/crafty", "/"))),
        ("an empty segment", craft.of(&uri.replace("/agent/", "//agent/"))),
        ("a dot segment", craft.of(&uri.replace("/agent/", "/agent/./"))),
        ("a way up", craft.of(&uri.replace("/agent/", "/node/../agent/"))),
        ("another kind", craft.of(&uri.replace("/agent/", "/admin/"))),
        ("space at the end", craft.of(&format!("{uri} "))),
        ("a zero byte at the end", craft.of(&format!("{uri}\0"))),
        ("a name too long", craft.of(&uri.replace("crafty", &"a".repeat(200)))),
        ("an upper-case scheme", craft.of(&uri.replace("spiffe", "SPIFFE"))),
        ("a wildcard", craft.of(&uri.replace("crafty", "*"))),
        ("a path below", craft.of(&format!("{uri}/deeper"))),
        ("a slash at the end", craft.of(&format!("{uri}/"))),
        ("a query", craft.of(&format!("{uri}?x"))),
        ("an escape", craft.of(&uri.replace("crafty", "craft%79"))),
        ("another scheme", craft.of(&uri.replace("spiffe:", "https:"))),
        (
            "expired",
            craft.with(|p| {
                p.not_before -= day * 2;
                p.not_after -= day * 2;
            }),
        ),
        ("of tomorrow", craft.with(|p| p.not_before += day / 2)),
        ("just expired", craft.with(|p| p.not_after = p.not_before + time::Duration::minutes(4))),
        ("ended before it began", craft.with(|p| std::mem::swap(&mut p.not_before, &mut p.not_after))),
        (
            "a CA that may sign nothing below, as leaf",
            craft.with(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0))),
        ),
        (
            "an extension that nobody knows, critical",
            craft.with(|p| p.custom_extensions.push(unknown_critical())),
        ),
        ("a key on P-256", craft.of_kind(&rcgen::PKCS_ECDSA_P256_SHA256)),
        ("a key on P-384", craft.of_kind(&rcgen::PKCS_ECDSA_P384_SHA384)),
        ("longer than any", craft.with(|p| p.custom_extensions.push(padding(5_000)))),
        (
            "a CA as leaf",
            craft.with(|p| {
                p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            }),
        ),
        ("a stranger's CA of the same name", vec![stolen.clone()]),
        ("a stranger's CA, brought along", vec![stolen, stranger]),
        ("a leaf as issuer", vec![sign(&good, &craft.key, &leaf_issuer), leaf]),
        ("three intermediates", deep(swarm, &good, &craft.key, 3)),
        ("twenty intermediates", deep(swarm, &good, &craft.key, 20)),
        ("signed by itself", vec![good.self_signed(&pair(&craft.key)).unwrap().der().clone()]),
    ]
}

fn address() -> SanType {
    SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())
}

fn mailbox() -> SanType {
    SanType::Rfc822Name("crafty@example.org".try_into().unwrap())
}

fn unknown_critical() -> rcgen::CustomExtension {
    let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9, 1], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

/// An extension that may be ignored, of so many bytes.
fn padding(bytes: usize) -> rcgen::CustomExtension {
    let mut content = vec![4, 0x82];
    content.extend(u16::try_from(bytes).unwrap().to_be_bytes());
    content.resize(bytes + 4, 0);
    rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9, 2], content)
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}
