//! Order, totals, the table and the saved file.

use super::*;

fn finding(path: &str, line: u32, rule: Rule) -> Finding {
    let line_hash = if line == 0 { String::new() } else { format!("{line:016x}") };
    Finding { path: path.to_owned(), line, rule, severity: rule.severity(), line_hash }
}

fn mixed() -> Vec<Finding> {
    vec![
        finding("b", 1, Rule::Todo),
        finding("b", 9, Rule::AccessToken),
        finding("a", 10, Rule::Password),
        finding("a", 9, Rule::Password),
        finding("z", 1, Rule::PrivateKey),
        finding(".", 0, Rule::MissingLicence),
        finding("a", 9, Rule::Password),
    ]
}

#[test]
fn t_p01_order_is_severity_rule_path_line() {
    let report = rank(mixed(), 3);
    let order: Vec<(Rule, &str, u32)> =
        report.findings.iter().map(|finding| (finding.rule, finding.path.as_str(), finding.line)).collect();
    assert_eq!(
        order,
        [
            (Rule::PrivateKey, "z", 1),
            (Rule::AccessToken, "b", 9),
            (Rule::Password, "a", 9),
            (Rule::Password, "a", 10),
            (Rule::MissingLicence, ".", 0),
            (Rule::Todo, "b", 1),
        ]
    );
}

#[test]
fn t_p02_the_order_of_the_answers_does_not_matter() {
    let report = rank(mixed(), 3);
    let mut turned = mixed();
    for _ in 0..turned.len() {
        turned.rotate_left(1);
        assert_eq!(rank(turned.clone(), 3), report);
    }
    turned.reverse();
    assert_eq!(rank(turned, 3), report);
}

#[test]
fn t_p03_totals_count_each_finding_once() {
    let report = rank(mixed(), 3);
    assert_eq!((report.total, report.files_examined), (6, 3));
    assert_eq!(report.by_rule[&Rule::Password], 2);
    assert_eq!(report.by_severity[&Severity::Critical], 2);
    assert_eq!(report.by_severity.values().sum::<usize>(), report.total);
    assert_eq!(report.by_rule.values().sum::<usize>(), report.total);
    let other_hash = Finding { line_hash: "f".repeat(16), ..finding("a", 9, Rule::Password) };
    assert_eq!(rank([mixed(), vec![other_hash]].concat(), 3).total, 6, "the same place under another hash");
}

#[test]
fn t_p04_a_flood_is_cut_at_its_mild_end_and_still_counted() {
    let mut flood: Vec<Finding> = (1..=60_000).map(|line| finding("a", line, Rule::Todo)).collect();
    flood.push(finding("z", 1, Rule::PrivateKey));
    let report = rank(flood, 1);
    assert_eq!((report.findings.len(), report.total), (FINDINGS_MAX, 60_001));
    assert_eq!(report.findings[0].rule, Rule::PrivateKey);
    assert_eq!(report.by_rule[&Rule::Todo], 60_000);
}

#[test]
fn t_p05_the_table_fits_80_columns_and_says_where_the_rest_is() {
    let long = format!("{}/end.rs", "very-long-folder-name/".repeat(20));
    let report = rank([mixed(), vec![finding(&long, 4_000_000_000, Rule::RemoveVariable)]].concat(), 3);
    let text = table(&report, 6, Path::new("out/report.json"));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("end.rs:4000000000") && text.contains("a:10"), "{text}");
    assert!(text.ends_with("\nand 1 more in out/report.json"), "{text}");
    assert!(text.contains("7 findings in 3 files examined: 2 critical, 2 high, 2 medium, 1 info"), "{text}");
    assert!(!table(&report, 7, Path::new("r")).contains("more in"));
    assert!(table(&report, 0, Path::new("r")).ends_with("and 7 more in r"));
}

#[test]
fn t_p06_nothing_found_is_one_sentence() {
    assert_eq!(table(&rank(Vec::new(), 1), 10, Path::new("r")), "0 findings in 1 file examined");
}

#[test]
fn t_p07_hostile_names_do_not_reach_the_terminal() {
    let report = rank(vec![finding("\u{1b}[2J\nx", 1, Rule::Todo), finding("b", 2, Rule::Todo)], 2);
    let text = table(&report, 1, Path::new("\u{1b}]0;x"));
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn t_p08_a_saved_report_reads_back_and_leaves_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    fs::write(&path, "old").unwrap();
    let report = rank(mixed(), 3);
    save(&report, &path).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&fs::read(&path).unwrap()).unwrap(), report);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let first = fs::read(&path).unwrap();
    save(&report, &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first, "the same report, the same bytes");
}

#[test]
fn t_p09_a_report_that_cannot_be_saved_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = rank(mixed(), 3);
    let taken = folder.path().join("taken");
    fs::create_dir_all(taken.join("full")).unwrap();
    let error = save(&report, &taken).unwrap_err();
    assert!(matches!(error, SaveError::Io(..)) && !error.to_string().contains('\n'), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
    assert!(save(&report, &folder.path().join("none/report.json")).is_err());
    assert!(matches!(save(&report, Path::new("..")), Err(SaveError::NoName(_))));
}

#[cfg(unix)]
#[test]
fn t_p10_a_link_is_replaced_not_followed_and_others_cannot_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (victim, path) = (folder.path().join("victim"), folder.path().join("report.json"));
    fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    save(&rank(mixed(), 3), &path).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.is_file());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}
