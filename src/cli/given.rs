//! What is given as an argument, in a file, or on standard input.

use std::io::Read as _;
use std::path::Path;

use testudo::files;

use super::CliError;

/// Longest text of a token, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// What stands on standard input.
fn from_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// The text of a token, given as such or, by `-`, on standard input.
pub(super) fn token(given: &str) -> Result<String, CliError> {
    if given == "-" { from_stdin() } else { Ok(given.trim().to_owned()) }
}

/// The same, or the name of a file that holds it.
pub(super) fn token_or_file(given: &str) -> Result<String, CliError> {
    if given == "-" || given.starts_with("testudo-") && given.contains(':') {
        return token(given);
    }
    Ok(files::read_public(Path::new(given), TOKEN_BYTES_MAX)?.trim().to_owned())
}
