//! The shapes as Datalog, as docs/protocol.md gives them, and their bytes. To change what is pinned here
//! is to change the wire.

use biscuit_auth::UnverifiedBiscuit;

use super::*;

const AUTHORITY: &str = r#"swarm(hex:SWARM);
id(hex:01010101010101010101010101010101);
holder("ada", hex:ADA);
right("publish", "alerts");
right("read", "logs");
right("write", "logs");
delegatable("publish", "alerts");
delegatable("read", "logs");
expires(1970-01-01T00:01:40Z);
minted(7);
hops(3);
check if here($s), swarm($s);
check if request($operation, $resource), right($operation, $resource);
check if time($time), $time <= 1970-01-01T00:01:40Z;
check if delegations(0), holder($user, $k), sender($user, $k) or holder($user, $k), delegation(1, $k);
check if delegations(0) or request($operation, $resource), delegatable($operation, $resource);
check if delegations($n), $n <= 3;
"#;

const ATTENUATION: &str = r#"only("read", "logs");
to("bob");
to("cyd");
until(1970-01-01T00:00:40Z);
check if request($operation, $resource), only($operation, $resource);
check if destination($d), to($d);
check if time($time), $time <= 1970-01-01T00:00:40Z;
"#;

const DELEGATION: &str = r#"id(hex:02020202020202020202020202020202);
to_holder("bob", hex:BOB);
grant("read", "logs");
grant_on("read", "logs");
expires(1970-01-01T00:00:30Z);
hops(1);
check if request($operation, $resource), grant($operation, $resource);
check if time($time), $time <= 1970-01-01T00:00:30Z;
check if delegations(1), to_holder($user, $k), sender($user, $k) or to_holder($user, $k), delegation(2, $k);
check if delegations(1) or request($operation, $resource), grant_on($operation, $resource);
check if delegations($n), $n <= 2;
"#;

#[test]
fn the_three_shapes_are_these() {
    let seed = || Fresh::from_random([9; 32]);
    let narrow =
        Attenuation { only: Some(capabilities("read:logs")), to: Some(agents(0b110)), until: Some(at(40)) };
    let token = mint().sign(authority(), seed(), &LIMITS).unwrap();
    let token = token.attenuate(&narrow, seed()).unwrap();
    let token = token.delegate(&Delegation { expires: at(30), ..to_bob() }, key_of("ada"), seed()).unwrap();

    let stock = UnverifiedBiscuit::from(token.bytes()).unwrap();
    for (block, shape) in [AUTHORITY, ATTENUATION, DELEGATION].into_iter().enumerate() {
        let wanted = shape
            .replace("SWARM", &trust().swarm.to_string())
            .replace("ADA", &agent("ada").key.to_string())
            .replace("BOB", &agent("bob").key.to_string());
        assert_eq!(stock.print_block_source(block).unwrap(), wanted);
    }
    assert_eq!(
        token.seal().unwrap().id().to_string(),
        "1baf914f059d0da8fb726c64f3e42a06a5c23fc5e8b8b7654597d7b5c927fd95"
    );
}
