//! What a stolen disk tells: who spoke to whom and when, and nothing that was said, no token, no secret key (threat A70).

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

#[test]
fn t_a70_no_body_no_token_and_no_secret_key_lies_in_the_data_folder() {
    let place = Place::swarm();
    let exporter = "\n[[exporter]]\nname = \"out\"\nkind = \"file\"\npath = \"data/events.jsonl\"\n";
    place.write("s/testudo.toml", place.read("s/testudo.toml") + exporter);
    let node = Node::start(&place);
    place.does(&format!("agent add a {C} --allow publish:news --out a.id"));
    place.does("publish news planted-canary-6f1c --identity a.id");
    node.end();
    let config = place.read("s/testudo.toml");
    // The identity's token and secret key, and the swarm's four keys; what the configuration holds, too, is public.
    let words = |text: &str| -> Vec<String> {
        let long = |word: &&str| word.len() >= 40 && !config.contains(*word);
        text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=_-".contains(c))
            .filter(long)
            .map(str::to_owned)
            .collect()
    };
    let mut planted = words(&place.read("a.id"));
    assert!(planted.len() >= 2, "a token and a key");
    for key in ["authority", "ca", "log", "node"] {
        let found = words(&place.read(&format!("s/keys/{key}.key")));
        assert!(!found.is_empty(), "{key}");
        planted.extend(found);
    }
    planted.push("planted-canary-6f1c".to_owned());
    let data: Vec<_> =
        place.files().into_iter().filter(|(path, _)| path.starts_with(place.path("s/data"))).collect();
    assert!(
        data.len() > 4
            && data.iter().any(|(path, bytes)| path.ends_with("events.jsonl") && !bytes.is_empty())
    );
    for (path, bytes) in &data {
        for word in &planted {
            let word = word.as_bytes();
            assert!(!bytes.windows(word.len()).any(|here| here == word), "{}", path.display());
        }
    }
}
