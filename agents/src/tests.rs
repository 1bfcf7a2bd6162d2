//! Hosts and agents over an in-memory transport, on one thread and a paused clock.

mod answering;
mod delegating;
mod hosting;
mod net;
mod serving;
mod stopping;
mod streaming;
mod topics;

/// So that actix can be replaced by editing one file.
#[test]
fn one_file_knows_actix() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut knowing = Vec::new();
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if code.into_iter().any(|line| line.contains("actix")) {
                knowing.push(path.file_name().unwrap().to_owned());
            }
        }
    }
    assert_eq!(knowing, ["shell.rs"]);
}
