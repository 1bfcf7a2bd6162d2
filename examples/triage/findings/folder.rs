//! Findings about the folder as a whole: a missing licence, files far larger than the rest. Works on a list of files.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::super::walk::{Walk, WalkedFile};
use super::{CONTENT_BYTES_MAX, FINDINGS_PER_FILE_MAX, Finding, Rule};

/// Below this size no file is an outlier, however small the others are.
pub(crate) const OUTLIER_BYTES_MIN: u64 = 256 * 1024;

/// With fewer files there is no usual size.
const OUTLIER_FILES_MIN: usize = 8;

/// Manifests of the usual package managers, looked at in the root only.
const MANIFESTS: [&str; 8] = [
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "composer.json",
    "pom.xml",
    "build.gradle",
];

const LICENCE_NAMES: [&str; 4] = ["license", "licence", "copying", "unlicense"];

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test")]
static LICENCE_FIELD: LazyLock<Regex> = LazyLock::new(|| {
    let field = r#"(?im-u)^[^#\n]*?(?:\blicen[cs]es?(?:[-_.](?:file|files|workspace|expression))?["']?\s*[=:]\s*["'\[{]*\s*[a-z0-9]|<licenses?>)"#;
    Regex::new(field).expect("a valid pattern")
});

/// One finding when the root has neither a licence file nor a manifest that names a licence. `manifest` gives the
/// content of a file in the root, or nothing when it cannot be read. An empty folder needs no licence.
pub(crate) fn missing_licence(walk: &Walk, manifest: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Finding> {
    let has_file = walk.files.iter().any(|file| is_licence(&file.path));
    let has_field = || {
        let listed = MANIFESTS.iter().filter(|name| walk.files.iter().any(|file| file.path == **name));
        listed.filter_map(|name| manifest(name)).any(|content| names_licence(&content))
    };
    let is_missing = !walk.files.is_empty() && !has_file && !has_field();
    is_missing.then(|| Finding::whole_file(".", Rule::MissingLicence))
}

/// The root holds `LICENSE`, `COPYING.txt` and so on, or the folder of the REUSE specification.
fn is_licence(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.starts_with("licenses/")
        || (!lower.contains('/') && LICENCE_NAMES.iter().any(|name| lower.starts_with(name)))
}

fn names_licence(content: &[u8]) -> bool {
    LICENCE_FIELD.is_match(&content[..content.len().min(CONTENT_BYTES_MAX)])
}

/// Files whose size is far from the usual one: modified z-score above 3.5 (Iglewicz and Hoaglin 1993, from the median
/// absolute deviation), and at least [`OUTLIER_BYTES_MIN`]. The largest come first; no more than 200.
pub(crate) fn size_outliers(files: &[WalkedFile]) -> Vec<Finding> {
    if files.len() < OUTLIER_FILES_MIN {
        return Vec::new();
    }
    let usual = median(files.iter().map(|file| file.bytes).collect());
    let deviation = median(files.iter().map(|file| file.bytes.abs_diff(usual)).collect());
    // Where most files are alike the deviation is near nothing; a tenth of the usual size is no news.
    let deviation = u128::from(deviation.max(usual / 10).max(1));
    let is_outlier = |bytes: u64| {
        // 0.6745 * distance / deviation > 3.5, in whole numbers.
        bytes >= OUTLIER_BYTES_MIN && u128::from(bytes.saturating_sub(usual)) * 6745 > deviation * 35_000
    };
    let mut outliers: Vec<&WalkedFile> = files.iter().filter(|file| is_outlier(file.bytes)).collect();
    outliers.sort_by(|left, right| right.bytes.cmp(&left.bytes).then_with(|| left.path.cmp(&right.path)));
    outliers.truncate(FINDINGS_PER_FILE_MAX);
    outliers.into_iter().map(|file| Finding::whole_file(&file.path, Rule::LargeFile)).collect()
}

/// The middle value (of an even number, the upper of the two); 0 of nothing.
fn median(mut values: Vec<u64>) -> u64 {
    let middle = values.len() / 2;
    if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
}
