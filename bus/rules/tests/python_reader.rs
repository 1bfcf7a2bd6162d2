//! An independent reader: the official CloudEvents SDK for Python reads the golden events and checks every
//! signature with code that shares nothing with ours. Needs Python with pip; CI must have both.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the reader needs, to the version.
const PACKAGES: [&str; 2] = ["cloudevents==2.2.0", "cryptography==50.0.2"];

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let tail = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("{command:?}: {}{}", tail(&output.stdout), tail(&output.stderr)))
}

/// A Python of our own under target, made once.
fn python() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-reader");
    let (python, made) = (home.join("bin/python"), home.join("made"));
    if std::fs::read_to_string(&made).is_ok_and(|text| text == PACKAGES.join("\n")) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    std::fs::write(made, PACKAGES.join("\n")).map_err(|error| error.to_string())?;
    Ok(python)
}

#[test]
fn r_c09_r_c10_the_official_python_sdk_reads_and_verifies_every_event() {
    let python = match python() {
        Ok(python) => python,
        Err(missing) => {
            assert!(std::env::var_os("CI").is_none(), "CI must have Python, pip and venv: {missing}");
            eprintln!("SKIPPED: the Python reader needs python3, venv, pip and their index: {missing}");
            return;
        }
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (script, events) = (here.join("tests/read_events.py"), here.join("testdata/events.jsonl"));
    let events_made = std::fs::read_to_string(&events).unwrap().lines().count() - 1;
    let output = run(Command::new(python).arg(script).arg(events)).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("verified {events_made}\n"));
    assert!(events_made > 40);
}
