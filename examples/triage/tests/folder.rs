//! Findings about the whole folder: the licence, and files far larger than the rest.

use super::super::super::walk::{Walk, WalkedFile};
use super::super::{Rule, missing_licence, size_outliers};

fn walk_of(names: &[&str]) -> Walk {
    let files = names.iter().map(|name| WalkedFile { path: (*name).to_owned(), bytes: 1 }).collect();
    Walk { files, ..Walk::default() }
}

fn sized(sizes: &[u64]) -> Vec<WalkedFile> {
    sizes
        .iter()
        .enumerate()
        .map(|(at, bytes)| WalkedFile { path: format!("f{at:03}"), bytes: *bytes })
        .collect()
}

#[test]
fn t_f60_a_licence_file_in_the_root_is_enough() {
    for name in
        ["LICENSE", "LICENCE.md", "license-mit", "COPYING", "COPYING.LESSER", "UNLICENSE", "LICENSES/MIT.txt"]
    {
        assert_eq!(missing_licence(&walk_of(&["main.rs", name]), |_| None), None, "{name}");
    }
}

#[test]
fn t_f61_without_one_there_is_one_finding_about_the_folder() {
    for names in [&["main.rs"][..], &["main.rs", "vendor/LICENSE"], &["main.rs", "docs/COPYING"]] {
        let finding = missing_licence(&walk_of(names), |_| None).unwrap();
        assert_eq!((finding.path.as_str(), finding.line, finding.rule), (".", 0, Rule::MissingLicence));
    }
}

#[test]
fn t_f62_a_manifest_that_names_a_licence_is_enough() {
    for (name, content) in [
        ("Cargo.toml", "[package]\nlicense = \"Apache-2.0\"\n"),
        ("Cargo.toml", "license.workspace = true"),
        ("Cargo.toml", "license-file = \"terms.txt\""),
        ("package.json", "{\"name\": \"a\", \"license\": \"MIT\"}"),
        ("pyproject.toml", "license = {text = \"MIT\"}"),
        ("setup.py", "setup(name='a', license='MIT')"),
        ("pom.xml", "<licenses><license/></licenses>"),
    ] {
        let found = missing_licence(&walk_of(&[name]), |asked| (asked == name).then(|| content.into()));
        assert_eq!(found, None, "{name}: {content}");
    }
}

#[test]
fn t_f63_a_manifest_without_one_is_not() {
    for content in
        ["[package]\nname = \"a\"", "# license = \"MIT\"", "\"license\": \"\"", "license_key_count = 3"]
    {
        assert!(missing_licence(&walk_of(&["Cargo.toml"]), |_| Some(content.into())).is_some(), "{content}");
    }
    let below = missing_licence(&walk_of(&["sub/Cargo.toml"]), |_| Some("license = \"MIT\"".into()));
    assert!(below.is_some(), "a manifest below the root speaks for itself only");
}

#[test]
fn t_f64_an_empty_folder_needs_no_licence() {
    assert_eq!(missing_licence(&Walk::default(), |_| None), None);
}

#[test]
fn t_f65_a_file_far_larger_than_the_rest_is_found() {
    let mut sizes = [1000, 2000, 1500, 1800, 3000, 900, 1200, 400_000, 2500, 5_000_000];
    let found = size_outliers(&sized(&sizes));
    let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["f009", "f007"], "the largest first");
    assert!(found.iter().all(|finding| finding.rule == Rule::LargeFile && finding.line == 0));
    sizes[7] = super::super::folder::OUTLIER_BYTES_MIN - 1;
    assert_eq!(size_outliers(&sized(&sizes)).len(), 1, "below the floor nothing is an outlier");
}

#[test]
fn t_f66_alike_few_or_no_files_have_no_outlier() {
    assert_eq!(size_outliers(&sized(&[])), []);
    assert_eq!(size_outliers(&sized(&[1, 1, 90_000_000])), []);
    assert_eq!(size_outliers(&sized(&[1_000_000; 20])), []);
    let alike: Vec<u64> = (0..20).map(|at| 1_000_000 + at).collect();
    assert_eq!(size_outliers(&sized(&alike)), [], "a tiny deviation is no reason");
    assert_eq!(size_outliers(&sized(&[u64::MAX; 9])), []);
}
