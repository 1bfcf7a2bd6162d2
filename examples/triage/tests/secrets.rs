//! Secrets and what only looks like one. Every secret here is made up and put together when the test runs, so that
//! no scanner finds one in this file.

use super::super::Rule;
use super::rules;

const BODY: &str = "MC4CAQAwBQYDK2VwBCIEIJ7Hq0vZr3xkLwP5nT8sYdUe";

fn header(kind: &str) -> String {
    format!("-----BEGIN {kind} KEY-----")
}

#[test]
fn t_f20_blocks_of_private_keys_are_found() {
    for kind in ["PRIVATE", "RSA PRIVATE", "OPENSSH PRIVATE", "ENCRYPTED PRIVATE"] {
        assert_eq!(rules("key.pem", &format!("{}\n{BODY}\n", header(kind))), [Rule::PrivateKey], "{kind}");
    }
    let json = format!("{{\"key\": \"{}\\n{BODY}\\n\"}}", header("PRIVATE"));
    assert_eq!(rules("account.json", &json), [Rule::PrivateKey]);
    let late = format!("check({:?}); {} key = {:?}", header("PRIVATE"), "a = b; ".repeat(900), json);
    assert_eq!(rules("bundle.js", &late.replace("\\\\", "\\")), [Rule::PrivateKey]);
    let armour = format!("{}\nVersion: 1\n\n{BODY}\n", header("PGP PRIVATE").replace("KEY", "KEY BLOCK"));
    assert_eq!(rules("a.asc", &armour), [Rule::PrivateKey]);
}

#[test]
fn t_f21_public_keys_and_bare_headers_are_not() {
    assert_eq!(rules("key.pem", &format!("{}\n{BODY}\n", header("PUBLIC"))), []);
    assert_eq!(rules("check.rs", &format!("if line == \"{}\" {{ found() }}\n", header("PRIVATE"))), []);
    assert_eq!(rules("doc.md", &format!("{}\n...\n", header("PRIVATE"))), []);
    assert_eq!(rules("doc.md", &format!("{}\n{}\n", header("PRIVATE"), "x".repeat(64))), []);
}

#[test]
fn t_f22_tokens_of_known_form_are_found() {
    let tail = "q7Zk2mX9vB4nR8tY1wE6uP3sD5fG0hJqLc";
    for (head, tail) in [
        ("AKIA", "Q3EGWVZ5L7NRTK2D"),
        ("AIza", &format!("{tail}x")),
        ("ghp_", &format!("{tail}aB")),
        ("github_pat_", tail),
        ("glpat-", &tail[..20]),
        ("xoxb-", "2938475610-a8Kd9Lx0Qz"),
        ("https://hooks.slack.com/services/", "T01ABCDEF/B02GHIJKL/q7Zk2mX9vB4nR8tY1wE6uP3s"),
        ("sk_live_", &tail[..24]),
        ("rk_test_", &tail[..24]),
    ] {
        assert_eq!(rules("a.md", &format!("use {head}{tail} here")), [Rule::AccessToken], "{head}");
    }
}

#[test]
fn t_f23_stand_ins_for_tokens_are_not() {
    for (head, tail) in [
        ("AKIA", "IOSFODNN7EXAMPLE"),
        ("AKIA", "AAAAAAAAAAAAAAAA"),
        ("AKIA", "Q3EGWVZ5L7NRTK2DX"),
        ("ghp_", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("ghp_", "${GITHUB_TOKEN}"),
        ("sk_live_", "your_key_goes_here_please"),
        ("xoxb-", "your-token-here-please"),
        ("mask_live_", "q7Zk2mX9vB4nR8tY1wE6uP3s"),
    ] {
        assert_eq!(rules("a.md", &format!("use {head}{tail} here")), [], "{head}{tail}");
    }
}

#[test]
fn t_f24_literal_passwords_are_found() {
    let value = "tr0ub4dor&3";
    for text in [
        format!("password = \"{value}\""),
        format!("\"db_password\": \"{value}\","),
        format!("const PASSWD: &str = \"{value}\";"),
        format!("String dbPassword := '{value}'"),
        format!("{{ :passphrase => '{value}' }}"),
        format!("postgres://app:{value}@db.internal/main"),
    ] {
        assert_eq!(rules("a.rb", &text), [Rule::Password], "{text}");
    }
}

#[test]
fn t_f25_stand_ins_names_and_references_are_not_passwords() {
    for value in [
        "changeme1",
        "example-1",
        "xxxx1234",
        "${DB_PASS1}",
        "$DB_PASS_1",
        "<pass-1>",
        "{{ pass1 }}",
        "your-pass-1",
        "test1234",
        "newPassword",
        "user.password",
        "required",
        "/forgot/2",
        "12345",
        "%(pass1)s",
        "aaaa11",
        "****1",
        "#{pass_1}",
        "process.env.P1",
        "secrets.P1xyz",
    ] {
        assert_eq!(rules("a.rb", &format!("password = \"{value}\"")), [], "{value}");
    }
    for text in [
        "password = read_password_2(input)",
        "password_hash = \"tr0ub4dor&3\"",
        "#password_encryption = \"scram-sha-256\"",
        "password_url: \"a1b2c3d4&\"",
        "https://user:p4ssw0rd!@example.com/",
        "https://host:8080/path@2x.png",
        "postgres://app:${PASS_1}@db.internal/main",
    ] {
        assert_eq!(rules("a.rb", text), [], "{text}");
    }
}

#[test]
fn t_f26_bare_values_count_in_settings_only() {
    let text = "DB_PASSWORD=tr0ub4dor&3";
    for path in [".env", "app.properties", "deploy/values.yaml", "run.sh", "Dockerfile"] {
        assert_eq!(rules(path, text), [Rule::Password], "{path}");
    }
    for path in ["a.py", "README.md"] {
        assert_eq!(rules(path, text), [], "{path}");
    }
    for text in [
        "password: !vault tr0ub4dor3",
        "password: *anchor1",
        "PASSWORD=$(pass show 1)",
        "password: [a1b2c3d4]",
    ] {
        assert_eq!(rules("a.yaml", text), [], "{text}");
    }
}

#[test]
fn t_f27_random_values_of_secret_names_are_found() {
    for (name, value) in [
        ("api_key", "q7Zk2mX9vB4nR8tY1wE6"),
        ("clientSecret", "Vb3-kd8_Lq0zXw5.TnR7"),
        ("SIGNING_KEY", "9f86d081884c7d659a2feaa0c55ad015"),
        ("aws_secret_access_key", "wJ4lrXU7nFEMI/K7MDENG/bPxRfiCYzK9QpLm2Vt"),
    ] {
        assert_eq!(rules("a.py", &format!("{name} = '{value}'")), [Rule::RandomSecret], "{name}");
    }
}

#[test]
fn t_f28_dull_values_and_harmless_names_are_not() {
    for text in [
        "token = 'next_page_token_name'",
        "token = '11111111111111111111'",
        "secret = 'short1'",
        "secret = 'a1a1a1a1a1a1a1a1a1a1'",
        "token_url = 'q7Zk2mX9vB4nR8tY1wE6'",
        "secret_id = 'q7Zk2mX9vB4nR8tY1wE6'",
        "tokenizer = 'q7Zk2mX9vB4nR8tY1wE6'",
        "checksum = 'q7Zk2mX9vB4nR8tY1wE6'",
        "api_key = 'your-q7Zk2mX9vB4nR8tY1wE6'",
        "api_key = '0123456789abcdef0123456789abcdef'",
        "api_key = '/run/secrets/q7Zk2mX9vB4nR8tY1wE6'",
        "max_tokens: 100000",
    ] {
        assert_eq!(rules("a.yaml", text), [], "{text}");
    }
}
