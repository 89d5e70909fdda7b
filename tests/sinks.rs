//! Delivery by the real binary: independent sinks, the file sink's rotation and its failures.

use std::io::{Read, Write};
use std::process::Command;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::support::events::{batch, id, minted};
use crate::support::service::{Home, Service, read_lines};
use crate::support::wait_for;

fn wait_for_lines(home: &Home, name: &str, count: usize) -> Vec<String> {
    wait_for("lines", || Some(home.lines(name)).filter(|lines| lines.len() >= count))
}

#[test]
fn a_stuck_sink_delays_neither_the_other_nor_the_answer() {
    let home = Home::new(
        "[limits]\nshutdown_grace = \"1s\"\n[sinks.stuck]\ntype = \"file\"\npath = \"pipe\"\n\
         [sinks.fine]\ntype = \"file\"\npath = \"fine.ndjson\"\n",
    );
    // The pipe has no reader.
    assert!(Command::new("mkfifo").arg(home.path("pipe")).status().expect("mkfifo").success());
    let service = home.start();
    for round in 0..20 {
        service.post(&batch((0..50).map(|number| format!("{round}-{number}"))));
    }
    assert_eq!(wait_for_lines(&home, "fine.ndjson", 1000).len(), 1000);
    let stats: Value =
        serde_json::from_slice(&home.run(&["spool", "stats", "--json"]).stdout).expect("JSON");
    assert_eq!(stats["events"], 1000, "kept for the stuck one: {stats}");
    let (status, log) = service.terminate();
    assert!(status.success(), "a stuck sink does not hold up the end: {log}");

    // Its events have waited.
    std::fs::remove_file(home.path("pipe")).expect("removed");
    let service = home.start();
    let lines = wait_for_lines(&home, "pipe", 1000);
    assert!(
        lines.iter().map(|line| id(line)).eq(home.lines("fine.ndjson").iter().map(|line| id(line)))
    );
    drop(service);
}

#[test]
fn a_path_that_cannot_be_written_pauses_the_sink_and_keeps_its_events() {
    let home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"directory\"\nretry = { min = \"1ms\", max = \"50ms\" }\n",
    );
    std::fs::create_dir(home.path("directory")).expect("made");
    let service = home.start();
    service.post(&batch(["kept".to_owned()]));
    let ask = |service: &Service| {
        let (status, text) = service.ask_admin("/readyz");
        (status, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let (status, body) = wait_for("a pause", || {
        Some(ask(&service)).filter(|(_, body)| body["sinks"][0]["state"] == "paused")
    });
    assert_eq!(status, 200, "receiving goes on");
    assert!(
        body["sinks"][0]["reason"]
            .as_str()
            .expect("a reason")
            .contains("directory cannot be written"),
        "{body}"
    );
    // Stopping the service while the sink is paused does not move its cursor.
    assert!(service.terminate().0.success());
    let service = home.start();
    let ready = || ask(&service).1;
    wait_for("a pause", || (ready()["sinks"][0]["state"] == "paused").then_some(()));
    std::fs::remove_dir(home.path("directory")).expect("removed");
    assert_eq!(wait_for_lines(&home, "directory", 1).len(), 1, "it goes on by itself");
    wait_for("running", || (ready()["sinks"][0]["state"] == "running").then_some(()));
}

#[test]
fn files_rotate_by_size_are_compressed_and_lose_nothing() {
    let home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"logs/out.ndjson\"\nrotate = { size = \"20 KiB\" }\nbatch = { events = 5 }\n",
    );
    let service = home.start();
    for round in 0..10 {
        service.post(&batch((0..20).map(|number| format!("{round:02}-{number:02}"))));
    }
    let expected: Vec<String> = (0..10)
        .flat_map(|round| (0..20).map(move |number| format!("{round:02}-{number:02}")))
        .collect();
    let all = || {
        let mut files: Vec<_> = home
            .path("logs")
            .read_dir()
            .ok()?
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] != b'.'))
            .collect();
        files.sort();
        let compressed: Vec<_> = files
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "gz"))
            .collect();
        if files.len() != compressed.len() + 1 {
            return None;
        }
        let mut ids = Vec::new();
        for path in &compressed {
            let mut text = String::new();
            MultiGzDecoder::new(std::fs::File::open(path).ok()?)
                .read_to_string(&mut text)
                .expect("whole gzip files only");
            ids.extend(text.lines().map(id));
        }
        ids.extend(read_lines(&home.path("logs/out.ndjson")).iter().map(|line| id(line)));
        (ids.len() == 200).then_some((ids, compressed.len()))
    };
    let (ids, rotated) = wait_for("200 events in rotated files", all);
    assert_eq!(ids, expected, "in order, over all files");
    assert!(rotated >= 5, "{rotated} files of 20 KiB for about 200 KiB");
    drop(service);
}

#[test]
fn a_new_file_replaces_one_that_was_moved_away() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    service.post(&batch(["before".to_owned()]));
    service.wait_until_settled("out");
    std::fs::rename(home.path("out.ndjson"), home.path("out.ndjson.1")).expect("moved");
    service.post(&batch(["after".to_owned()]));
    assert_eq!(id(&wait_for_lines(&home, "out.ndjson", 1)[0]), "after");
    assert_eq!(home.lines("out.ndjson.1").len(), 1);
}

#[test]
fn a_torn_last_line_is_cut_and_its_event_delivered_again() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    service.post(&batch(["whole".to_owned()]));
    service.wait_until_settled("out");
    service.kill();
    append(&home, "{\"id\":\"torn");
    let service = home.start();
    service.post(&batch(["next".to_owned()]));
    let lines = wait_for_lines(&home, "out.ndjson", 2);
    assert_eq!(lines.iter().map(|line| id(line)).collect::<Vec<_>>(), ["whole", "next"]);
    assert!(service.log().contains("cut a torn last line"));
}

#[test]
fn an_open_line_of_another_process_is_ended() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    append(&home, "a document");
    let service = home.start();
    service.post(&batch(["next".to_owned()]));
    let lines = wait_for_lines(&home, "out.ndjson", 2);
    assert_eq!((lines[0].as_str(), id(&lines[1]).as_str()), ("a document", "next"));
    assert!(service.terminate().0.success());
    assert_eq!(
        std::fs::read_dir(home.directory.path()).expect("read").count(),
        4,
        "no record stays"
    );
}

fn append(home: &Home, text: &str) {
    let mut options = std::fs::File::options();
    let file = options.create(true).append(true).open(home.path("out.ndjson"));
    file.expect("opened").write_all(text.as_bytes()).expect("written");
}

#[test]
fn standard_output_carries_events_and_nothing_else() {
    let home = Home::new("[sinks.out]\ntype = \"stdout\"\nwrap = true\n");
    let service = home.start();
    service.post(&format!("[{}]", minted("x")));
    let lines = wait_for_lines(&home, "stdout", 1);
    let line: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!((&line["source"], &line["event"]["id"]), (&"pingone".into(), &"x".into()));
    assert!(line["received_at"].as_str().expect("a time").ends_with('Z'));
    assert!(service.terminate().0.success());
    assert_eq!(home.lines("stdout").len(), 1, "logs go elsewhere");
}

#[test]
fn a_sink_that_is_added_later_gets_what_is_kept() {
    let home = Home::new(
        "[spool]\nretention = \"1h\"\n[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n",
    );
    let service = home.start();
    service.post(&batch(["a".to_owned(), "b".to_owned()]));
    wait_for_lines(&home, "one.ndjson", 2);
    assert!(service.terminate().0.success());
    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let more = format!("{config}[sinks.two]\ntype = \"file\"\npath = \"two.ndjson\"\n");
    std::fs::write(home.path("test.toml"), more).expect("written");
    let service = home.start();
    assert_eq!(wait_for_lines(&home, "two.ndjson", 2).len(), 2);
    drop(service);
    assert_eq!(home.lines("one.ndjson").len(), 2, "the first one does not get them again");
}
