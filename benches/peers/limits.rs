//! File descriptors: thousands of links need as many, in the node and in the process of its agents.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process needs besides its links.
const BESIDES: u64 = 200;

/// Raises this process's limit, which those that it starts inherit, as far as the system lets it.
///
/// # Errors
/// What to do, when that is less than so many links need.
pub(crate) fn raise(links: usize) -> Result<(), String> {
    let needed = links as u64 + BESIDES;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if enough(limit.current) {
        return Ok(());
    }
    // What cannot be raised shows below.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let now = getrlimit(Resource::Nofile).current;
    if enough(now) {
        return Ok(());
    }
    let now = now.unwrap_or_default();
    Err(format!(
        "{links} links need {needed} file descriptors and the limit is {now}: ulimit -Hn {needed}, as root"
    ))
}
