//! Failures of comparable programs, one test each: they must never happen here. The comments name the reports.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use davinci_siem::spool;
use reqwest::Client;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::events::{batch, id, ids, large, minted_with};
use crate::support::machine::Machine;
use crate::support::power::{Loss, Power};
use crate::support::service::{Home, Service};
use crate::support::targets::webhook::Webhook;
use crate::support::targets::{Fault, Target};
use crate::support::{block_on, wait_for};

const FILE: &str = "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n";

fn status(service: &Service, body: &str) -> (u16, Value) {
    block_on(async {
        let post = Client::new().post(&service.url).body(body.to_owned());
        let response = post.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    })
}

/// Waits until a file contains all of these ids, and returns its number of lines.
fn arrived(home: &Home, file: &str, expected: &[String]) -> usize {
    let expected: BTreeSet<&String> = expected.iter().collect();
    wait_for("all of them", || {
        let lines = home.lines(file);
        let found: BTreeSet<String> = lines.iter().map(|line| id(line)).collect();
        expected.iter().all(|id| found.contains(*id)).then_some(lines.len())
    })
}

fn hook(target: &Target<Webhook>) -> String {
    format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n\
         retry = {{ min = \"1ms\", max = \"20ms\" }}\n",
        target.url
    )
}

/// A file was removed before the cursor that had passed it was durable: vectordotdev/vector#25570.
#[test]
fn events_stay_until_the_cursor_that_passed_them_is_durable() {
    let target = Target::start(Webhook::default());
    let machine = Machine::new(&hook(&target));
    let service = machine.home.start();
    target.state().traffic.delay = Duration::from_millis(300);
    service.post(&batch(ids(20)));
    wait_for("the request", || (target.requests() > 0).then_some(()));
    // The event is delivered at once, but the cursor cannot be stored.
    let full = machine.trigger("fail-write");
    wait_for("the delivery", || (target.state().stored.len() >= 20).then_some(()));
    wait_for("the refused cursor", || {
        service.log().contains("cannot commit the cursor").then_some(())
    });
    service.kill();
    drop(full);
    target.state().stored.clear();
    let service = machine.home.start();
    wait_for("all of them again", || (target.state().ids() == ids(20)).then_some(()));
    drop(service);
}

/// Readers were woken before the length that they may read was published: vectordotdev/vector#25872.
#[test]
fn a_woken_reader_can_read_the_event() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = spool::SpoolConfig {
        engine: spool::Engine::Embedded,
        directory: directory.path().join("spool"),
        sync: false,
        ..davinci_siem::config::parse("", None, std::iter::empty()).expect("defaults").spool
    };
    let open = spool::Spool::open(&settings, davinci_siem::app::system_clock()).expect("a spool");
    let spool = Arc::new(open);
    block_on(async {
        let reader = spool.reader("siem").expect("a reader");
        let mut head = reader.head();
        let writing = Arc::clone(&spool);
        let writer = tokio::spawn(async move {
            for number in 0..300 {
                let key = spool::DedupKey::new("source", &number.to_string(), (0, 0));
                let event = spool::NewEvent { key, bytes: b"{}".to_vec().into() };
                let batch = spool::Batch { events: vec![event], ..spool::Batch::default() };
                writing.append(batch.prepare()).await.expect("stored");
            }
        });
        let mut read = 0;
        while read < 300 {
            let told = *head.wait_for(|head| *head > read).await.expect("open");
            let found = reader.read(read, 1 << 20).await.expect("readable").len() as u64;
            assert!(read + found >= told, "told of {told}, {read} read before, {found} found");
            read += found;
        }
        writer.await.expect("it ends well");
    });
    spool.close();
}

/// The size was counted from zero after a restart: fluent/fluent-bit#3060.
#[test]
fn a_full_spool_is_still_full_after_a_restart() {
    let home = Home::new(
        "[limits]\nbody = \"512 KiB\"\nin_flight = \"4 MiB\"\n[spool]\nmax_size = \"6 MiB\"\n\
         dedup = { max_ids = 1000 }\n[sinks.hook]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\n",
    );
    let service = home.start();
    let mut bodies = (0..100).map(|number| large(&number.to_string()));
    let refused = bodies.find(|body| status(&service, body).0 == 503).expect("it is full");
    let used = service.metric("davinci_siem_spool_bytes");
    service.kill();
    let service = home.start();
    assert_eq!(service.metric("davinci_siem_spool_bytes"), used);
    assert_eq!(status(&service, &refused).0, 503);
}

/// An event that could not be stored ended the process, or was counted as delivered:
/// vectordotdev/vector#25795, vectordotdev/vector#26099.
#[test]
fn an_invalid_element_is_quarantined_and_the_others_are_accepted() {
    let home = Home::new(FILE);
    let service = home.start();
    let deep = format!("{{\"id\":\"deep\",\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let [a, b] = ["a", "b"].map(|id| minted_with(id, &"long ".repeat(100_000)));
    let answer = service.answer(&format!("[{a},{deep},17,{{\"id\":}},{b}]"));
    assert_eq!((&answer["accepted"], &answer["quarantined"]), (&json!(2), &json!(3)));
    assert_eq!(arrived(&home, "out.ndjson", &["a".to_owned(), "b".to_owned()]), 2);
    assert_eq!(home.quarantine().len(), 3);
}

/// A stored event was nested too deeply to be read again: vectordotdev/vector#25795.
#[test]
fn every_accepted_event_can_be_rendered_in_every_format() {
    let formats = ["native", "ecs", "ocsf", "cef", "leef"];
    let sinks = formats.map(|format| {
        format!("[sinks.{format}]\ntype = \"file\"\npath = \"{format}\"\nformat = \"{format}\"\n")
    });
    let home = Home::new(&sinks.concat());
    let service = home.start();
    let event = |depth: usize| {
        let mut event: Value = serde_json::from_str(&minted_with("x", "")).expect("JSON");
        event["id"] = depth.to_string().into();
        event["deep"] = "HERE".into();
        event
            .to_string()
            .replace("\"HERE\"", &format!("{}1{}", "[".repeat(depth), "]".repeat(depth)))
    };
    let deepest = davinci_siem::decode::MAX_DEPTH as usize;
    // The event itself is one level.
    let answer = service.answer(&format!("[{},{}]", event(deepest - 1), event(deepest)));
    assert_eq!((&answer["accepted"], &answer["quarantined"]), (&json!(1), &json!(1)));
    for format in formats {
        wait_for(format, || (home.lines(format).len() == 1).then_some(()));
    }
    let dead =
        service.metric("davinci_siem_sink_events_total{result=\"dead_lettered\",sink=\"ocsf\"}");
    assert_eq!(dead, 0.0);
}

/// A torn end or a damaged middle made the rest unreadable, and the advice was to delete the directory:
/// vectordotdev/vector#18130, elastic/logstash#9961.
#[test]
fn a_torn_end_and_a_damaged_middle_cost_only_themselves() {
    let home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"directory\"\nretry = { min = \"1ms\", max = \"20ms\" }\n",
    );
    std::fs::create_dir(home.path("directory")).expect("made");
    let service = home.start();
    for part in ["a", "b", "c"] {
        service.post(&batch([format!("{part}1"), format!("{part}2"), format!("{part}3")]));
    }
    service.kill();
    // Torn: the beginning of a frame that was never acknowledged.
    let mut wal = std::fs::File::options().append(true).open(home.path("data/spool.db-wal"));
    wal.as_mut().expect("opened").write_all(&[7; 1000]).expect("written");
    // Damaged: one flipped bit in the second chunk.
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    let damage = "UPDATE chunks SET checksum = checksum + 1 WHERE last = 6";
    assert_eq!(store.execute(damage, []).expect("changed"), 1);
    drop(store);
    std::fs::remove_dir(home.path("directory")).expect("removed");
    let service = home.start();
    let expected = ["a1", "a2", "a3", "c1", "c2", "c3"].map(str::to_owned);
    assert_eq!(arrived(&home, "directory", &expected), 6);
    wait_for("the count", || {
        (service.metric("davinci_siem_damaged_events_total{sink=\"out\"}") == 3.0).then_some(())
    });
}

/// An overflow of numbers caused a crash loop: vectordotdev/vector#19759.
#[test]
fn positions_at_the_end_of_their_range_are_refused_not_reused() {
    let home = Home::new(FILE);
    let service = home.start();
    service.post(&batch(ids(1)));
    arrived(&home, "out.ndjson", &ids(1));
    assert!(service.terminate().0.success());
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    store.execute("UPDATE state SET next = ?, checksum = NULL", [i64::MAX - 5]).expect("changed");
    store
        .execute("UPDATE cursors SET position = ?, checksum = NULL", [i64::MAX - 6])
        .expect("changed");
    drop(store);
    let service = home.start();
    service.post(&batch(["last".to_owned()]));
    arrived(&home, "out.ndjson", &["last".to_owned()]);
    assert_eq!(status(&service, &batch(ids(20))).0, 503, "there are not so many positions");
    assert_eq!(home.lines("out.ndjson").len(), 2);
    assert_eq!(service.ask_admin("/livez").0, 200);
}

/// After a failed sync the next one succeeded, although the pages were lost:
/// <https://wiki.postgresql.org/wiki/Fsync_Errors>.
#[test]
fn nothing_is_acknowledged_by_the_process_whose_sync_has_failed() {
    let machine = Machine::new(FILE);
    let mut service = machine.home.start();
    service.post(&batch(ids(10)));
    let failing = machine.trigger("fail-sync");
    let refused = block_on(async {
        let post = Client::new().post(&service.url).body(batch(["x".to_owned()]));
        post.send().await.ok().map(|response| response.status().as_u16())
    });
    assert!(refused.is_none_or(|status| status == 503));
    let (status, log) = service.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    drop(failing);
    let service = machine.home.start();
    service.post(&batch(["x".to_owned()]));
    let all = [ids(10), vec!["x".to_owned()]].concat();
    assert!(arrived(&machine.home, "out.ndjson", &all) >= 11);
}

/// A file was synced, but not the directory with its name. POSIX requires both.
#[test]
fn names_are_as_durable_as_what_they_name() {
    let mut home = Home::new(
        "[spool]\ndirectory = \"a/b\"\n[sinks.out]\ntype = \"file\"\npath = \"c/d/out.ndjson\"\n",
    );
    let mut power = Power::connect(&mut home, 9);
    let service = home.start();
    service.post(&batch(ids(5)));
    service.wait_until_settled("out");
    service.kill();
    power.cut(Loss::Everything);
    assert_eq!(home.lines("c/d/out.ndjson").len(), 5);
    assert_eq!(home.start().answer(&batch(ids(5)))["duplicates"], 5);
}

/// Some calls handled a full disk, others did not: vectordotdev/vector#8763,
/// elastic/logstash#8098.
#[test]
fn a_disk_that_is_full_at_any_write_costs_nothing() {
    let machine = Machine::new(FILE);
    let service = machine.home.start();
    let mut expected = Vec::new();
    for after in 0..25 {
        let id = format!("after-{after}");
        let body = batch([id.clone()]);
        let full = machine.full_after(after);
        assert!([200, 503].contains(&status(&service, &body).0));
        drop(full);
        assert_eq!(status(&service, &body).0, 200, "there is room again");
        expected.push(id);
    }
    assert_eq!(arrived(&machine.home, "out.ndjson", &expected), 25, "each once");
    assert!(service.terminate().0.success());
    assert!(machine.home.run(&["spool", "verify"]).status.success());
}

/// Events that a target refused were counted as sent: vectordotdev/vector#10870, vectordotdev/vector#11311.
#[test]
fn refused_events_are_not_counted_as_delivered() {
    let target = Target::start(Webhook::default());
    target.state().poison.insert("event-0003".to_owned());
    let home = Home::new(&hook(&target));
    let service = home.start();
    service.post(&batch(ids(10)));
    let disposition = |disposition: &str| {
        service.metric(&format!(
            "davinci_siem_sink_events_total{{result=\"{disposition}\",sink=\"hook\"}}"
        ))
    };
    wait_for("all to be settled", || {
        (disposition("delivered") + disposition("dead_lettered") == 10.0).then_some(())
    });
    assert_eq!((disposition("delivered"), disposition("dead_lettered")), (9.0, 1.0));
    let entries = home.quarantine();
    assert_eq!((entries.len(), &entries[0]["target"]["status"]), (1, &json!(400)));
}

/// A fault of the server was answered as a fault of the client, which then gave up:
/// open-telemetry/opentelemetry-collector#8132, open-telemetry/opentelemetry-collector#15126.
#[test]
fn a_fault_of_the_server_is_a_503_with_retry_after() {
    let machine = Machine::new("[limits]\nbody = \"64 KiB\"\nin_flight = \"128 KiB\"\n");
    let service = machine.home.start();
    let ask = || {
        block_on(async {
            let response = Client::new()
                .post(&service.url)
                .body(batch(ids(3)))
                .send()
                .await
                .expect("an answer");
            (response.status().as_u16(), response.headers().contains_key("retry-after"))
        })
    };
    let full = machine.trigger("fail-write");
    assert_eq!(ask(), (503, true), "the disk is full");
    drop(full);
    let head = "POST /webhooks/pingone HTTP/1.1\r\nhost: x\r\ncontent-length: 65000\r\n\r\n";
    let holding = [(), ()].map(|()| {
        let mut stream = TcpStream::connect(service.address()).expect("connected");
        stream.write_all(&[head.as_bytes(), &[b' '; 64_500]].concat()).expect("sent");
        stream
    });
    wait_for("the bytes in flight", || (ask() == (503, true)).then_some(()));
    drop(holding);
    wait_for("room", || (ask().0 == 200).then_some(()));
}

/// A timeout was handled as "not stored", and the repetition as new events: vectordotdev/vector#22847.
#[test]
fn a_client_that_times_out_and_repeats_causes_no_duplicate() {
    let machine = Machine::new(FILE);
    let service = machine.home.start();
    let slow = machine.trigger("slow-sync");
    for _ in 0..5 {
        let mut stream = TcpStream::connect(service.address()).expect("connected");
        let body = batch(ids(10));
        let length = body.len();
        let head = format!(
            "POST /webhooks/pingone HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + &body).as_bytes()).expect("sent");
    }
    drop(slow);
    let answer = service.answer(&batch(ids(10)));
    assert_eq!(answer["received"], 10);
    assert_eq!(arrived(&machine.home, "out.ndjson", &ids(10)), 10);
    service.post(&batch(["after".to_owned()]));
    assert_eq!(arrived(&machine.home, "out.ndjson", &["after".to_owned()]), 11, "and no more came");
}

/// Idle connections delayed the shutdown: vectordotdev/vector#25054.
#[test]
fn connections_kept_alive_do_not_hold_up_the_end() {
    let home = Home::new("[limits]\nshutdown_grace = \"1h\"\nheader_timeout = \"1h\"\n");
    let service = home.start();
    let idle: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(service.address()).expect("connected");
            stream.write_all(b"GET /webhooks/pingone HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
            stream.read_exact(&mut [0; 12]).expect("an answer");
            stream
        })
        .collect();
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    drop(idle);
}

/// No event was lost, but delivery stopped: vectordotdev/vector#24949.
#[test]
fn after_the_faults_a_fresh_event_flows() {
    let mut target = Target::start(Webhook::default());
    let machine = Machine::new(&format!("{FILE}{}", hook(&target)));
    let mut service = machine.home.start();
    let full = machine.trigger("fail-write");
    assert_eq!(status(&service, &batch(ids(5))).0, 503);
    drop(full);
    target.stop();
    service.post(&batch(ids(5)));
    service.signal("STOP");
    service.signal("CONT");
    let failing = machine.trigger("fail-sync");
    block_on(async {
        drop(Client::new().post(&service.url).body(batch(["x".to_owned()])).send().await);
    });
    service.wait();
    drop(failing);
    let service = machine.home.start();
    target.restart();
    target.fail([Fault::status(500), Fault::Reset(503)]);
    service.post(&batch(["fresh".to_owned()]));
    arrived(&machine.home, "out.ndjson", &["fresh".to_owned()]);
    wait_for("the other sink", || target.state().ids().contains(&"fresh".to_owned()).then_some(()));
}
