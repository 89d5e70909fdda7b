//! The files of a running spool are moved, deleted, replaced, or written by another process.

use super::*;
use crate::spool::chunk::{self, Label};

/// Asserts that an append is refused with a reason that names the path.
async fn refused(bench: &SpoolBench, spool: &EmbeddedSpool, id: u64, path: &str) {
    let answer = spool.append(bench.batch([id]).prepare()).await;
    assert!(
        matches!(&answer, Err(AppendError::Store(reason)) if reason.contains(path)),
        "{answer:?}"
    );
    let failing = spool.health().failing.expect("a reason");
    assert!(failing.contains(path) && failing.contains("put it back"), "{failing}");
}

/// Runs the periodic commit without a request.
async fn tick(spool: &EmbeddedSpool) -> bool {
    spool.remove(Vec::new()).await.is_ok()
}

#[tokio::test]
async fn a_directory_that_is_moved_takes_nothing_until_it_is_back() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    bench.append(&spool, [1]).await;
    let (here, there) =
        (&bench.settings.directory, bench.settings.directory.with_extension("moved"));
    std::fs::rename(here, &there).expect("moved");
    refused(&bench, &spool, 2, "spool is missing").await;
    let moved = spool.commit(&sink, 1, Tally::default(), Vec::new()).await;
    assert!(matches!(moved, Err(CommitError::Store(_))), "{moved:?}");
    // Another directory in its place, even with files of the same names.
    std::fs::create_dir(here).expect("made");
    for name in ["spool.lock", "spool.db", "spool.db-wal"] {
        std::fs::copy(there.join(name), here.join(name)).expect("copied");
    }
    refused(&bench, &spool, 2, "spool.lock is not the file").await;
    std::fs::remove_dir_all(here).expect("removed");
    std::fs::rename(&there, here).expect("moved");
    assert!(tick(&spool).await);
    assert_eq!(spool.health().failing, None);
    assert_eq!(bench.append(&spool, [1, 2]).await, receipt(1, 1));
    spool.close();
    assert_eq!(texts(&bench.open(), 0).await, ["1 event 1", "2 event 2"]);
}

#[tokio::test]
async fn a_file_that_is_removed_is_named_and_what_was_acknowledged_is_kept() {
    for name in ["spool.lock", "spool.db-wal"] {
        let bench = SpoolBench::new(|_| {});
        let spool = bench.open();
        bench.append(&spool, 1..=9).await;
        std::fs::remove_file(bench.settings.directory.join(name)).expect("removed");
        refused(&bench, &spool, 10, name).await;
        assert!(!tick(&spool).await, "nor does anything else go on");
        spool.close();
        assert_eq!(texts(&bench.open(), 0).await.len(), 9, "{name}");
    }
}

#[tokio::test]
async fn a_database_that_is_replaced_is_left_alone() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    bench.append(&spool, [1]).await;
    let database = schema::database(&bench.settings.directory);
    let other = database.with_extension("other");
    std::fs::copy(&database, &other).expect("copied");
    let before = std::fs::read(&other).expect("read");
    std::fs::rename(&other, &database).expect("replaced");
    refused(&bench, &spool, 2, "spool.db is not the file").await;
    assert_eq!(std::fs::read(&database).expect("read"), before);
}

#[tokio::test]
async fn a_second_process_is_refused_though_the_lock_file_is_gone() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    let directory = &bench.settings.directory;
    std::fs::remove_file(directory.join("spool.lock")).expect("removed");
    let second = EmbeddedSpool::open(&bench.settings, bench.clock());
    assert!(matches!(second, Err(OpenError::InUse { holder: Some(_), .. })), "{second:?}");
    // Also through another name of the same database.
    let other = directory.with_extension("other");
    std::fs::create_dir(&other).expect("made");
    std::fs::hard_link(schema::database(directory), schema::database(&other)).expect("linked");
    let settings = SpoolConfig { directory: other, ..bench.settings.clone() };
    let second = EmbeddedSpool::open(&settings, bench.clock());
    assert!(matches!(second, Err(OpenError::InUse { holder: Some(_), .. })), "{second:?}");
    spool.close();
}

#[tokio::test]
async fn nothing_is_written_over_what_another_process_has_stored() {
    let (is_sound, has_moved) = (true, true);
    for (is_sound, has_moved) in
        [(is_sound, !has_moved), (!is_sound, has_moved), (!is_sound, !has_moved)]
    {
        let bench = SpoolBench::new(|_| {});
        let spool = bench.open();
        bench.append(&spool, [1]).await;
        let store = Connection::open(schema::database(&bench.settings.directory)).expect("opened");
        if has_moved {
            store.execute("UPDATE state SET next = next + 5", []).expect("changed");
        } else {
            let (last, count, received_at, codec) = (2, 1, 0, 0);
            let label = Label { last, count, received_at, source: "other", only_sink: None, codec };
            let sum = chunk::checksum(label, b"\x01\0\0\0x") + u32::from(!is_sound);
            let row = "INSERT INTO chunks VALUES (2, 1, 0, 'other', NULL, 0, ?, x'0100000078')";
            store.execute(row, [sum]).expect("stored");
        }
        let answer = spool.append(bench.batch([2]).prepare()).await;
        if has_moved || is_sound {
            assert_eq!(answer, Err(AppendError::Closed));
            assert!(spool.failed().await.contains("another process has written"));
        } else {
            assert_eq!(
                answer.map(|receipt| receipt.accepted),
                Ok(1),
                "a broken row is in the way of none"
            );
            assert_eq!(texts(&spool, 1).await, ["2 event 2"]);
        }
    }
}
