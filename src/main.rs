//! The `testudo` command.

mod cli;
#[path = "../examples/triage/mod.rs"]
mod triage;

fn main() -> std::process::ExitCode {
    cli::main()
}
