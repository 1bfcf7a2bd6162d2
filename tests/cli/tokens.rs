//! `token`: mint, narrow, hand on, read, void.

use testudo::{Capability, ContentType, DialError, Identity, Outgoing};

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

/// A swarm with `a`, who may read and write logs and hand on the reading, and `b`.
fn granted() -> Place {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs write:logs --delegatable read:logs --out a.id"));
    place.does(&format!("agent add b {C} --serve read:logs write:logs --out b.id"));
    place
}

fn key(place: &Place, index: usize) -> String {
    place.json(&format!("agent list --json {C}"))[index]["key"].as_str().unwrap().to_owned()
}

/// Another letter for one of a token's.
fn forged(token: &str, at: usize) -> String {
    let letter = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{letter}{}", &token[..at], &token[at + 1..])
}

#[test]
fn minting_stays_within_the_grant() {
    let place = granted();
    for running in [false, true] {
        let node = running.then(|| Node::start(&place));
        let token =
            place.does(&format!("token mint a {C} --allow read:logs --delegatable read:logs --seconds 60"));
        let said = place.json(&format!("token inspect {token} --json {C}"));
        assert_eq!((said["vouched"].as_str(), said["form"].as_str()), (Some("yes"), Some("unsealed")));
        assert_eq!(
            (said["rights"].to_string(), said["expired"].as_bool()),
            ("[\"read:logs\"]".into(), Some(false))
        );
        for (args, says) in [
            ("a --allow read:logs delete:logs", "a was not granted delete:logs"),
            ("a --delegatable write:logs", "a may not hand on write:logs"),
            ("nobody", "no agent nobody is enrolled"),
        ] {
            place.fails(1, &format!("token mint {args} {C}"), says);
        }
        if let Some(node) = node {
            node.end();
        }
    }
    place.does(&format!("agent revoke a {C}"));
    place.fails(1, &format!("token mint a {C}"), "a is revoked");
}

#[test]
fn inspecting_says_what_a_token_claims_and_who_vouches() {
    let place = granted();
    place.does("init other");
    let token = place.does(&format!("token mint a {C}"));
    assert!(place.does(&format!("token inspect {token}")).contains("NOT VERIFIED"));
    assert!(place.does(&format!("token inspect {token} {C}")).contains("a trusted authority vouches"));
    assert_eq!(place.json(&format!("token inspect {token} --json"))["vouched"], "not_checked");
    let read = place.fed(&format!("token inspect - {C}"), &format!("  {token}\n"));
    assert!(read.code == Some(0) && read.out.contains("a trusted authority vouches"), "{read:?}");
    let other = format!("token inspect {token} --config other/testudo.toml");
    place.fails(2, &other, "the token is for another swarm");
    assert!(place.run(&other).out.contains("write:logs"), "and still what it claims");
    place.fails(2, &format!("token inspect {token} --config none.toml"), "none.toml does not exist");
}

#[test]
fn what_is_no_token_is_said_in_one_line() {
    let place = granted();
    let token = place.does(&format!("token mint a {C}"));
    for text in ["garbage", "testudo-token:", "testudo-token:AAAA", &token[..100], &token[..token.len() - 1]]
    {
        place.fails(2, &format!("token inspect {text}"), "copy it whole");
        place.fails(2, &format!("token attenuate {text} --only read:logs"), "copy it whole");
        place.fails(
            2,
            &format!(
                "token delegate --identity a.id --token {text} --to b --key {} --grant read:logs",
                key(&place, 1)
            ),
            "copy it whole",
        );
    }
    place.fed("token inspect -", "").fails(2, "copy it whole", "empty");
    place.fed("token inspect -", &"A".repeat(70_000)).fails(2, "", "long");
    for at in (20..token.len() - 60).step_by(97).chain([token.len() - 80]) {
        let forged = forged(&token, at);
        let ran = place.run(&format!("token inspect {forged} {C}"));
        ran.fails(2, "", &format!("letter {at}"));
        assert!(!ran.out.contains("vouches for this token"), "{at}: {ran:?}");
    }
}

#[test]
fn narrowing_never_widens() {
    let place = granted();
    let token = place.does(&format!("token mint a {C} --seconds 600"));
    let narrow = place.does(&format!("token attenuate {token} --only read:logs --to b --seconds 60"));
    let said = place.json(&format!("token inspect {narrow} --json {C}"));
    assert_eq!(said["rights"], serde_json::json!(["read:logs"]));
    assert_eq!(said["destinations"], serde_json::json!(["b"]));
    let read = place.fed("token attenuate - --only read:logs", &token);
    assert_eq!(read.code, Some(0), "{read:?}");
    place.fails(2, &format!("token attenuate {token}"), "give --only, --to or --seconds");
    place.fails(1, &format!("token attenuate {token} --only delete:logs"), "delete:logs goes beyond");
    place.fails(1, &format!("token attenuate {narrow} --only write:logs"), "write:logs goes beyond");
    place.fails(1, &format!("token attenuate {narrow} --to c"), "destination c goes beyond");
    place.fails(1, &format!("token attenuate {narrow} --seconds 600"), "ends earlier");
}

#[test]
fn handing_on_never_widens() {
    let place = granted();
    let key = key(&place, 1);
    let delegate = |rest: &str| format!("token delegate --identity a.id --to b --key {key} {rest}");
    let token = place.does(&delegate("--grant read:logs"));
    let said = place.json(&format!("token inspect {token} --json {C}"));
    assert_eq!((said["vouched"].as_str(), said["holder"]["name"].as_str()), (Some("yes"), Some("b")));
    for (rest, says) in [
        ("--grant write:logs", "write:logs is not delegatable"),
        ("--grant delete:logs", "delete:logs goes beyond"),
        ("--grant read:logs --grant-on write:logs", "write:logs goes beyond"),
        ("--grant read:logs --seconds 300000000", "ends earlier"),
        ("--grant read:logs --hops 9", "choose no more"),
    ] {
        place.fails(1, &delegate(rest), says);
    }
    let ours = place.does(&format!("token mint a {C} --delegatable read:logs"));
    let other = format!("token delegate --identity b.id --to b --key {key} --grant read:logs --token {ours}");
    place.fails(1, &other, "with the identity that holds the token");
    place.fails(2, &delegate("--grant read:logs --identity none.id"), "");
    let read = place.fed(&delegate("--grant read:logs --token -"), &ours);
    assert_eq!(read.code, Some(0), "{read:?}");
    // Without a word on it, no longer than what it is a part of.
    let short = place.does(&format!("token mint a {C} --delegatable read:logs --seconds 600"));
    let part = place.fed(&delegate("--grant read:logs --token -"), &short);
    let end = |token: &str| place.json(&format!("token inspect {} --json", token.trim()))["expires"].clone();
    assert_eq!((part.code, end(&part.out)), (Some(0), end(&short)), "{part:?}");
    place.fails(
        1,
        &format!("{} --token {short}", delegate("--grant read:logs --seconds 3000")),
        "ends earlier",
    );
}

/// Sends one message from `a` to `b`.
fn told(place: &Place) -> Result<(), Box<dyn std::error::Error>> {
    let load = |name: &str| Identity::load(&place.path(name)).unwrap();
    let (a, b) = (load("a.id"), load("b.id"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (receiver, mut inbox) = testudo::dial(&b).await?;
        let receiving = tokio::spawn(async move { while inbox.next().await.is_some() {} });
        let (sender, _inbox) = testudo::dial(&a).await?;
        let what = Capability::parse("read:logs").unwrap();
        let mut message = Outgoing::new(b.client.name, what, "the last lines, please".to_owned());
        message.content_type = ContentType::text();
        let told = sender.tell(message).await;
        sender.goodbye().await;
        receiver.goodbye().await;
        receiving.abort();
        told?;
        Ok(())
    })
}

#[test]
fn a_revoked_token_is_unusable_and_a_fresh_one_works() {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.does(&format!("agent add a {C} --allow read:logs --out a.id"));
    place.does(&format!("agent add b {C} --serve read:logs --out b.id"));
    told(&place).unwrap();
    let line = place.read("a.id").lines().find(|l| l.starts_with("token")).unwrap().to_owned();
    let token = line.trim_start_matches("token = ").trim_matches('"').to_owned();
    let said = place.json(&format!("token inspect {token} --json {C}"));
    let id = said["steps"][0]["id"].as_str().unwrap();
    assert!(place.does(&format!("token revoke {id} {C}")).starts_with("void from now on"));
    let refused = told(&place).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(DialError::Revoked)), "{refused}");
    place.does(&format!("agent renew --identity a.id {C}"));
    told(&place).unwrap();
    node.end();
}

/// The authority's key of the swarm in `s`.
fn authority(place: &Place) -> String {
    let line = place.read("s/testudo.toml").lines().find(|l| l.starts_with("authority")).unwrap().to_owned();
    line.trim_start_matches("authority = ").trim_matches('"').to_owned()
}

#[test]
fn verifying_answers_yes_or_names_the_refusal_the_block_and_the_fact() {
    let place = granted();
    place.does("init other");
    let ours = format!("--authority {}", authority(&place));
    let minted = place.does(&format!("token mint a {C} --seconds 600 --delegatable read:logs"));
    let narrow = place.does(&format!("token attenuate {minted} --only read:logs --to b"));
    let (key, hand) = (key(&place, 1), format!("token delegate --identity a.id --token {narrow} --to b"));
    let token = place.does(&format!("{hand} --key {key} --grant read:logs --seconds 60"));
    for whose in [C, &ours] {
        let yes =
            place.does(&format!("token verify {token} {whose} --capability read:logs --to b --holder b"));
        assert!(yes.starts_with("yes: b may use it for read:logs towards b until "), "{yes}");
        assert_eq!(yes.contains("nobody in its chain is revoked"), whose == C, "{yes}");
        assert_eq!(yes.contains("revocation was not asked"), whose != C, "{yes}");
        place.does(&format!("token verify {token} {whose}"));
        for (question, says, block, fact) in [
            (
                "--capability write:logs --to b",
                "no, unauthorised: block 2 has no only(write, logs)",
                2,
                "only(",
            ),
            ("--capability run:job --to b", "no, unauthorised: block 1 has no right(run, job)", 1, "right("),
            ("--capability read:logs --to a", "block 2 limits it to other receivers than a", 2, "to(b)"),
            ("--capability read:logs", "than services and topics: to(b)", 2, "to(b)"),
            ("--holder a", "block 3 gives it to b, not to a", 3, "to_holder(b"),
            ("--at 2100-01-01T00:00:00Z", "no, expired token: at 2100-01-01T00:00:00Z", 1, "expires("),
        ] {
            let line = format!("token verify {token} {whose} {question}");
            place.fails(1, &line, says);
            let ran = place.run(&format!("{line} --json"));
            let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!((ran.code, said["allowed"].as_bool()), (Some(1), Some(false)), "{said}");
            assert_eq!(said["denial"]["block"], block, "{said}");
            assert!(said["denial"]["fact"].as_str().unwrap().starts_with(fact), "{said}");
            place.fails(1, &format!("token inspect {token} {whose} {question}"), "no, ");
        }
    }
    let said = place.json(&format!("token verify {minted} --json {C} --capability write:logs"));
    assert_eq!((said["allowed"].as_bool(), said["revocation"]["state"].as_str()), (Some(true), Some("good")));
    let read = place.fed(&format!("token verify - {ours}"), &token);
    assert_eq!(read.code, Some(0), "{read:?}");
    place.fails(
        1,
        &format!("token verify {token} --config other/testudo.toml"),
        "the token is for another swarm",
    );
    let cut = forged(&minted, minted.len() - 80);
    place.fails(1, &format!("token verify {cut} {ours}"), "no authority of this swarm vouches");
}

#[test]
fn verifying_wants_to_know_whose_tokens_count_and_a_whole_token() {
    let place = granted();
    let token = place.does(&format!("token mint a {C}"));
    place.fails(
        2,
        &format!("token verify {token}"),
        "give the swarm's --config FILE, or its --authority KEY",
    );
    place.fails(2, &format!("token inspect {token} --holder a"), "a claim allows nothing");
    place.fails(
        2,
        &format!("token verify {token} {C} --authority {}", authority(&place)),
        "cannot be used with",
    );
    place.fails(2, &format!("token verify {token} --authority 12"), "--authority");
    place.fails(2, &format!("token verify {token} --config none.toml"), "none.toml does not exist");
    for at in ["tomorrow", "2030-02-30T00:00:00Z", "1893456000", "2030-01-01"] {
        place.fails(2, &format!("token verify {token} {C} --at {at}"), "write a time in UTC such as");
    }
    for text in ["garbage", "testudo-token:AAAA", &token[..token.len() - 1]] {
        place.fails(2, &format!("token verify {text} {C}"), "copy it whole");
    }
    // A yes without the registry that was named would be a guess; explaining goes on.
    std::fs::rename(place.path("s/keys"), place.path("s/away")).unwrap();
    place.fails(2, &format!("token verify {token} {C}"), "or leave revocation out with --authority");
    assert!(place.does(&format!("token inspect {token} {C}")).contains("revocation was not asked: "));
}

#[test]
fn whoever_in_the_chain_is_revoked_is_named_with_the_block() {
    for running in [false, true] {
        let place = granted();
        let node = running.then(|| Node::start(&place));
        let hand =
            format!("token delegate --identity a.id --to b --key {} --grant read:logs", key(&place, 1));
        let (first, second) = (place.does(&hand), place.does(&hand));
        let said = place.json(&format!("token inspect {first} --json {C}"));
        assert_eq!(said["revocation"]["state"], "good", "{said}");
        let id = said["steps"][1]["id"].as_str().unwrap();
        place.does(&format!("token revoke {id} {C}"));
        place.fails(1, &format!("token verify {first} {C}"), "no, revoked: block 2, for b: its id");
        place.fails(1, &format!("token inspect {first} {C}"), "no, revoked: block 2, for b: its id");
        assert!(place.run(&format!("token inspect {first} {C}")).out.contains("REVOKED: block 2, for b"));
        place.does(&format!("token verify {second} {C}"));

        place.does(&format!("agent revoke a {C}"));
        let line = format!("token verify {second} {C} --capability read:logs");
        place.fails(1, &line, "no, revoked: block 1, for a: a is revoked (operator)");
        let ran = place.run(&format!("{line} --json"));
        let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let denial = &said["denial"];
        assert_eq!(
            (denial["refusal"].as_str(), denial["block"].as_u64()),
            (Some("revoked"), Some(1)),
            "{said}"
        );
        place
            .does(&format!("token verify {second} --authority {} --capability read:logs", authority(&place)));
        if let Some(node) = node {
            node.end();
        }
    }
}

#[test]
fn no_minted_token_lives_longer_than_the_configuration_lets_it() {
    let place = granted();
    place.does(&format!("token mint a {C} --seconds 31536000"));
    let mint = |seconds: u32| format!("token mint a {C} --seconds {seconds}");
    place.fails(1, &mint(31_536_001), "a token lives 31536000 seconds at most here; ask for less");
    let file = place.read("s/testudo.toml");
    place.write("s/testudo.toml", file.replace("token_days_max = 365", "token_days_max = 1"));
    place.does(&mint(86_400));
    place.fails(1, &mint(86_401), "a token lives 86400 seconds at most here");
    let node = Node::start(&place);
    place.fails(1, &mint(86_401), "raise swarm.token_days_max");
    node.end();
    place.write("s/testudo.toml", file.replace("token_days_max = 365", "token_days_max = 0"));
    place.fails(2, &mint(60), "swarm.token_days_max is 0");
    place.write("s/testudo.toml", file.replace("token_days_max = 365\n", ""));
    place.does(&mint(31_536_000));
}

#[test]
fn authority_of_ones_own_that_counts_for_nothing_is_said() {
    let place = Place::swarm();
    place.does(&format!("agent add c {C} --allow read:logs --delegated-only --out c.id"));
    let token = place.does(&format!("token mint c {C}"));
    place.fails(1, &format!("token verify {token} {C} --capability read:logs"), "good for replies alone");
    place.fails(
        1,
        &format!("token verify {token} {C} --capability run:job"),
        "block 1 has no right(run, job)",
    );
    assert!(place.does(&format!("token verify {token} {C}")).contains("good for replies alone"));
}
