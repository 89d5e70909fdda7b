//! Damaged files under the real service: it starts, reports the damage, delivers the intact events, and `spool repair`
//! moves the rest aside. `src/spool/embedded/tests/damage.rs` covers every kind of damage; these tests cover the
//! operator's view.

use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::events::{batch, id};
use crate::support::service::Home;
use crate::support::wait_for;

const PAGE: u64 = 16 * 1024;

/// Returns a home whose service was killed with 200 events in 20 chunks that its sink could not deliver.
fn home() -> Home {
    let home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"directory\"\nretry = { min = \"1ms\", max = \"20ms\" }\n",
    );
    std::fs::create_dir(home.path("directory")).expect("made");
    let service = home.start();
    for part in 0..20 {
        service.post(&batch((0..10).map(|number| format!("event-{part}-{number}"))));
    }
    service.kill();
    home
}

/// Lets the sink deliver, and waits until it has all deliverable events.
fn delivered(home: &Home, wanted: usize) -> Vec<String> {
    std::fs::remove_dir(home.path("directory")).expect("removed");
    let lines = wait_for("delivery", || {
        Some(home.lines("directory")).filter(|lines| lines.len() >= wanted)
    });
    lines.iter().map(|line| id(line)).collect()
}

fn flip(file: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(file).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 4], at).expect("written");
}

/// Writes the WAL back to the database, as a checkpoint does.
fn checkpoint(home: &Home) {
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
}

fn repair(home: &Home) -> Value {
    let done = home.run(&["spool", "repair", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn verify(home: &Home) -> (bool, String) {
    let verified = home.run(&["spool", "verify"]);
    (verified.status.success(), String::from_utf8_lossy(&verified.stdout).into_owned())
}

#[test]
fn a_sound_spool_is_not_repaired_and_a_running_one_neither() {
    let home = home();
    assert_eq!(
        verify(&home),
        (true, "no corruption found: read 20 chunks with 200 events\n".to_owned())
    );
    let done = home.run(&["spool", "repair"]);
    assert!(done.status.success());
    assert!(String::from_utf8_lossy(&done.stdout).contains("no corruption; nothing was changed"));
    assert_eq!(repair(&home), json!({ "problems": [] }));
    let service = home.start();
    let done = home.run(&["spool", "repair"]);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("in use by another process") && said.contains("Stop that one"), "{said}");
    assert!(service.readiness().get("spool_set_aside").is_none());
    assert_eq!(delivered(&home, 200).len(), 200);
}

#[test]
fn a_flipped_bit_in_the_log_costs_one_chunk_and_not_all_that_follow() {
    let home = home();
    let log = home.path("data/spool.db-wal");
    let size = std::fs::metadata(&log).expect("a log").len();
    // In a page in the middle of the WAL: SQLite would drop every commit from there on.
    flip(&log, 32 + size / (PAGE + 24) / 2 * (PAGE + 24) + 24 + PAGE - 100);
    let (is_sound, said) = verify(&home);
    assert!(!is_sound && said.contains("spool.db-wal: a frame is corrupt"), "{said}");
    let service = home.start();
    assert!(service.log().contains("the spool was repaired"), "{}", service.log());
    let aside = service.readiness()["spool_set_aside"].as_str().expect("a path").to_owned();
    assert!(home.path(&aside).join("spool.db-wal").exists(), "the files are kept");
    let ids = delivered(&home, 190);
    wait_for("the rest", || (service.lag("out") == 0.0).then_some(()));
    let reported = service.metric("davinci_siem_damaged_events_total{sink=\"out\"}");
    assert!(ids.len() as f64 + reported >= 200.0, "{} delivered, {reported} reported", ids.len());
    assert_eq!(service.metric("davinci_siem_spool_lost_events"), reported);
}

#[test]
fn a_lost_log_is_noticed_counted_and_reported() {
    let home = home();
    std::fs::remove_file(home.path("data/spool.db-wal")).expect("removed");
    let service = home.start();
    assert!(service.log().contains("acknowledged events are lost"), "{}", service.log());
    let lost = service.readiness()["spool_lost_events"].as_u64().expect("a number");
    assert_eq!(service.metric("davinci_siem_spool_lost_events"), lost as f64);
    service.post(&batch(["fresh".to_owned()]));
    let ids = delivered(&home, 201 - lost as usize);
    assert!(lost > 0 && ids.contains(&"fresh".to_owned()), "{lost} are lost");
    wait_for("the entry", || {
        home.quarantine().iter().any(|entry| entry["origin"] == "damage").then_some(())
    });
    let stats = home.run(&["spool", "stats", "--json"]).stdout;
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!((&stats["head"], &stats["lost"][0]["last"]), (&201.into(), &200.into()));
    assert!(service.terminate().0.success());
    let (is_sound, said) = verify(&home);
    assert!(is_sound && said.contains(&format!("{lost} events are lost")), "{said}");
}

#[test]
fn a_broken_page_stops_no_sink_and_is_repaired_on_demand() {
    let home = home();
    checkpoint(&home);
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    // A leaf of the chunks, but not the last one, which the writer uses.
    let page: u64 = store
        .query_row(
            "SELECT pageno FROM dbstat WHERE name = 'chunks' AND pagetype = 'leaf' ORDER BY path LIMIT 1",
            [],
            |row| row.get(0),
        )
        .expect("a leaf");
    drop(store);
    flip(&home.path("data/spool.db"), (page - 1) * PAGE + 2 * PAGE / 3);
    flip(&home.path("data/spool.db"), (page - 1) * PAGE + 3);
    let (is_sound, said) = verify(&home);
    assert!(!is_sound && said.contains("SQLite"), "{said}");
    let repaired = repair(&home);
    let kept = repaired["events"].as_u64().expect("a number");
    let lost = repaired["lost"].as_array().expect("a list").iter();
    let lost: u64 = lost
        .map(|loss| {
            loss["last"].as_u64().expect("a number") + 1 - loss["first"].as_u64().expect("one")
        })
        .sum();
    assert_eq!(kept + lost, 200, "{repaired}");
    assert!(home.path(repaired["set_aside"].as_str().expect("a path")).join("spool.db").exists());
    assert!(verify(&home).0, "the new one is sound");
    assert_eq!(repair(&home), json!({ "problems": [] }));
    let audit = home.run(&["audit", "--json"]).stdout;
    let audit: Value = serde_json::from_slice(&audit).expect("one record");
    assert_eq!((&audit["action"], &audit["counts"]["events"]), (&"repair".into(), &kept.into()));
    let service = home.start();
    service.post(&batch(["fresh".to_owned()]));
    let ids: HashSet<String> = delivered(&home, kept as usize + 1).into_iter().collect();
    assert!(ids.len() as u64 == kept + 1 && ids.contains("fresh"));
}

#[test]
fn something_else_in_a_files_place_is_explained_or_worked_around() {
    for name in ["spool.db", "spool.db-wal", "spool.lock", "spool.mark"] {
        let home = home();
        let file = home.path("data").join(name);
        std::fs::remove_file(&file).expect("removed");
        std::fs::create_dir(&file).expect("made");
        match home.try_start() {
            Ok(service) => {
                assert!(service.log().contains("\"ERROR\""), "{name}: {}", service.log());
                service.post(&batch(["fresh".to_owned()]));
            }
            Err((status, log)) => {
                assert_eq!(status.code(), Some(1), "{name}: {log}");
                assert!(log.contains("spool") && log.contains("data"), "{name}: {log}");
            }
        }
    }
}
