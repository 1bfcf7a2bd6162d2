//! Real folders in a temporary place: order, bounds, and names made to harm.

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    root
}

fn listed(root: &Path, limits: &WalkLimits) -> (Vec<String>, Walk) {
    let walk = walk(root, limits).unwrap();
    (walk.files.iter().map(|file| file.path.clone()).collect(), walk)
}

#[test]
fn t_w01_order_is_stable_and_files_come_before_folders() {
    let root = folder(&["b/z.txt", "b/a.txt", "z.txt", "a/k/x", "a/b", "A"]);
    let (paths, walk) = listed(root.path(), &WalkLimits::default());
    assert_eq!(paths, ["A", "z.txt", "a/b", "a/k/x", "b/a.txt", "b/z.txt"]);
    assert_eq!(walk.files[1].bytes, 5);
    assert!(!walk.truncated);
    assert_eq!(walk, super::walk(root.path(), &WalkLimits::default()).unwrap());
}

#[test]
fn t_w02_empty_folder_is_an_empty_walk() {
    let root = folder(&[]);
    assert_eq!(walk(root.path(), &WalkLimits::default()).unwrap(), Walk::default());
}

#[test]
fn t_w03_skipped_folders_are_counted_at_every_depth() {
    let root = folder(&[".git/config", "a/node_modules/x.js", "a/target/y", "targets/z", "a/.gitignore"]);
    let (paths, walk) = listed(root.path(), &WalkLimits::default());
    assert_eq!(paths, ["a/.gitignore", "targets/z"]);
    assert_eq!(walk.skipped_folders, 3);
}

#[cfg(unix)]
#[test]
fn t_w04_symbolic_links_are_neither_followed_nor_a_loop() {
    let root = folder(&["a/file"]);
    let outside = folder(&["secret"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("a/loop")).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("link")).unwrap();
    let (paths, walk) = listed(root.path(), &WalkLimits::default());
    assert_eq!(paths, ["a/file"]);
    assert_eq!(walk.not_followed, 3);
}

#[cfg(unix)]
#[test]
fn t_w05_the_root_itself_may_be_a_link() {
    let root = folder(&["a"]);
    let other = folder(&[]);
    let link = other.path().join("link");
    std::os::unix::fs::symlink(root.path(), &link).unwrap();
    assert_eq!(listed(&link, &WalkLimits::default()).0, ["a"]);
}

#[test]
fn t_w06_limits_stop_the_walk_and_are_told() {
    let root = folder(&["1", "2", "3", "d/4", "d/e/5"]);
    let limits = |files_max, depth_max, entries_max| WalkLimits { files_max, depth_max, entries_max };
    let (paths, walk) = listed(root.path(), &limits(2, 64, 100));
    assert_eq!((paths, walk.truncated), (vec!["1".to_owned(), "2".to_owned()], true));
    let (paths, walk) = listed(root.path(), &limits(100, 1, 100));
    assert_eq!((paths.len(), walk.truncated), (4, true));
    let (paths, walk) = listed(root.path(), &limits(100, 64, 2));
    assert!(paths.len() <= 2 && walk.truncated);
    let (paths, walk) = listed(root.path(), &limits(5, 2, 7));
    assert_eq!((paths.len(), walk.truncated), (5, false), "exactly at the limits nothing is left out");
}

#[test]
fn t_w07_a_wrong_root_is_one_line_that_says_what_to_do() {
    let root = folder(&["file"]);
    let missing = walk(&root.path().join("no\u{1b}[2J\nwhere"), &WalkLimits::default()).unwrap_err();
    assert!(matches!(missing, WalkError::Missing(_)));
    let text = missing.to_string();
    assert!(text.contains("name an existing folder") && is_shown(&text), "{text}");
    let file = walk(&root.path().join("file"), &WalkLimits::default()).unwrap_err();
    assert!(matches!(file, WalkError::NotAFolder(_)));
    assert!(file.to_string().contains("is not a folder"));
}

#[cfg(target_os = "linux")]
#[test]
fn t_w08_hostile_names_are_escaped() {
    use std::os::unix::ffi::OsStrExt as _;
    let root =
        folder(&["\u{1b}]0;owned\u{7}", "new\nline", "gpj.\u{202e}exe", "zero\u{200b}width", "c1\u{9b}31m"]);
    fs::write(root.path().join(OsStr::from_bytes(b"raw\xff\xfe")), b"").unwrap();
    let (paths, walk) = listed(root.path(), &WalkLimits::default());
    assert_eq!(paths.len(), 6);
    assert!(paths.iter().all(|path| is_shown(path)), "{paths:?}");
    for name in [r"\u{1b}]0;owned\u{7}", r"new\u{a}line", r"gpj.\u{202e}exe", r"raw\xff\xfe", r"c1\u{9b}31m"]
    {
        assert!(paths.iter().any(|path| path == name), "{name} in {paths:?}");
    }
    assert_eq!(walk.unreadable, 0);
}

#[cfg(unix)]
#[test]
fn t_w09_a_name_too_long_to_show_is_counted() {
    let part = "\u{1}".repeat(250);
    let path = format!("{part}/{part}/{part}/{part}");
    let root = folder(&[&path, "short"]);
    let (paths, walk) = listed(root.path(), &WalkLimits::default());
    assert_eq!((paths, walk.unreadable), (vec!["short".to_owned()], 1));
}

#[test]
fn t_w10_escaping_twice_changes_nothing_and_plain_names_stay() {
    let once = shown("a\u{1b}b\\c\u{2066}");
    assert_eq!(once, r"a\u{1b}b\c\u{2066}");
    assert_eq!(shown(&once), once);
    assert_eq!(shown("gr\u{fc}n/\u{6587}\u{4ef6}.rs"), "gr\u{fc}n/\u{6587}\u{4ef6}.rs");
}

#[test]
fn t_w11_read_gives_the_content_and_one_byte_more_than_the_bound() {
    let root = folder(&["a/file"]);
    assert_eq!(read(root.path(), "a/file", 100).unwrap(), b"a/file");
    assert_eq!(read(root.path(), "a/file", 3).unwrap(), b"a/fi");
    assert!(matches!(read(root.path(), "a/none", 3), Err(ReadError::Io(_))));
    assert!(matches!(read(root.path(), "a", 3), Err(ReadError::NotAFile)));
}

#[test]
fn t_w12_read_refuses_whatever_walk_would_not_list() {
    let root = folder(&["in/file", "secret", ".git/config"]);
    let inner = root.path().join("in");
    let absolute = root.path().join("secret");
    for name in ["../secret", "x/../../secret", "..", ".", "", "/etc/hostname", absolute.to_str().unwrap()] {
        assert!(matches!(read(&inner, name, 10), Err(ReadError::Outside)), "{name}");
    }
    assert!(matches!(read(root.path(), ".git/config", 10), Err(ReadError::Outside)));
    assert!(matches!(read(root.path(), &"a/".repeat(3000), 10), Err(ReadError::Outside)));
}

#[cfg(unix)]
#[test]
fn t_w13_read_follows_no_link_on_the_way() {
    let root = folder(&["a/file"]);
    let outside = folder(&["d/secret"]);
    std::os::unix::fs::symlink(outside.path().join("d"), root.path().join("d")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("d/secret"), root.path().join("link")).unwrap();
    for name in ["d/secret", "link"] {
        let error = read(root.path(), name, 10).unwrap_err();
        assert!(matches!(error, ReadError::NotAFile), "{name}");
        assert_eq!(error.to_string(), "not a regular file");
    }
}
