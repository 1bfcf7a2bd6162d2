//! The view is the sum of what each sender said of itself.

use super::*;

#[test]
fn t_p15_what_is_heard_adds_up_by_sender() {
    let [boss, one, two] = ["orchestrator", "reader-1", "reader-2"].map(|name| name.parse().unwrap());
    let mut view = View::default();
    view.hear(boss, &Progress::Listed { files: 60 });
    for (from, files, findings) in [(one, 25, 2), (two, 25, 0), (one, 10, 1)] {
        view.hear(from, &Progress::Examined { files, findings });
    }
    assert_eq!((view.files, view.findings, view.ranked), (60, 3, None));
    assert_eq!(view.examined, BTreeMap::from([(one, 35), (two, 25)]));
    view.hear(boss, &Progress::Ranked { findings: 3 });
    assert_eq!((view.heard, view.ranked), (5, Some(3)));
}

#[test]
fn t_p16_the_watcher_hears_the_topic_and_nothing_else() {
    use testudo::Agent as _;
    let (told, _view) = watch::channel(View::default());
    let watcher = watcher(&told).unwrap();
    assert_eq!(watcher.topics(), [PROGRESS.parse().unwrap()]);
    assert_eq!(watcher.capabilities().count(), 0);
}
