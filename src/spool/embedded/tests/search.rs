//! Searches in the spool of a running service, and remembered ids of removed events.

use std::collections::BTreeSet;

use super::*;

fn positions(
    spool: &inspect::EmbeddedInspection,
    mut visit: impl FnMut(u64),
) -> (Vec<u64>, Vec<(u64, u64)>) {
    let mut found = Vec::new();
    let unread = spool.each_event(
        |stored| {
            found.push(stored.position);
            visit(stored.position);
        },
        |done, total| assert!(done <= total, "{done} of {total}"),
    );
    (found, unread.expect("read"))
}

#[test]
fn what_is_removed_meanwhile_is_no_damage() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let bench = SpoolBench::new(|_| {});
    let spool = runtime.block_on(async {
        let spool = bench.open();
        register(&spool, &["one"]).await;
        for batch in 0..10 {
            bench.append(&spool, batch * 10..batch * 10 + 10).await;
        }
        spool
    });
    let inspection = inspect::open(&bench.settings.directory).expect("opened");
    let all: Vec<u64> = (1..=100).collect();
    assert_eq!(positions(&inspection, |_| ()), (all, Vec::new()));
    let sink = "one".into();
    let remove = |position| {
        if position == 15 {
            let commit = spool.commit(&sink, 60, Tally::default(), Vec::new());
            runtime.block_on(commit).expect("committed");
        }
    };
    let (found, unread) = positions(&inspection, remove);
    let left: Vec<u64> = (1..=20).chain(61..=100).collect();
    assert_eq!((found, unread), (left, Vec::new()));
}

#[tokio::test]
async fn ids_are_remembered_when_the_events_are_gone() {
    let bench = SpoolBench::new(|settings| settings.sync = false);
    let spool = bench.open();
    // More commits than one query reads.
    for id in 0..1100 {
        bench.append(&spool, [id]).await;
    }
    bench.append(&spool, [2000, 2001]).await;
    let inspection = inspect::open(&bench.settings.directory).expect("opened");
    let keys =
        [0, 1099, 2001, 3000].map(|id: u64| DedupKey::new("source", &id.to_string(), (0, 0)));
    assert_eq!(inspection.remembers(&keys).expect("read"), [true, true, true, false]);
    assert_eq!(inspection.remembers(&[]).expect("read"), [false; 0]);
    bench.pass(2 * DAY);
    bench.append(&spool, [3000]).await;
    let [oldest, .., newest] = inspection.remembers(&keys).expect("read")[..] else {
        panic!("four")
    };
    assert_eq!((oldest, newest), (false, true), "the window has moved on");
}

#[tokio::test]
async fn a_broken_page_hides_nothing_without_a_word() {
    let original = damage::original().await;
    let size = std::fs::metadata(original.copy.join("spool.db")).expect("a file").len();
    let mut searched = 0;
    for at in (0..size / schema::PAGE_SIZE).map(|number| number * schema::PAGE_SIZE) {
        original.restore();
        // The kind of the page.
        original.harm("spool.db", damage::Harm::Flip(at, 3));
        let Ok(inspection) = inspect::open(original.directory()) else { continue };
        let mut accounted = BTreeSet::new();
        let visit = |stored: StoredEvent| {
            let sent = original.stored.get(&stored.position);
            assert!(sent.is_none_or(|sent| *sent == stored.bytes), "made up at {at}");
            accounted.insert(stored.position);
        };
        let Ok(unread) = inspection.each_event(visit, |_, _| ()) else { continue };
        searched += 1;
        accounted.extend(unread.into_iter().flat_map(|(first, last)| first..=last));
        let left_out = original.stored.keys().find(|position| !accounted.contains(position));
        assert_eq!(left_out, None, "with page at {at} broken");
    }
    assert!(searched > 10, "{searched} pages");
}
