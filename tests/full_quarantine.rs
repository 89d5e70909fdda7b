//! A full quarantine: invalid events are refused, valid events pass, dead letters are not lost.

use reqwest::Client;
use serde_json::{Value, json};

use crate::support::events::{batch, ids, minted};
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{block_on, wait_for};

/// The smallest possible size: 18 bodies of 60 kB fill it.
pub const SMALL: &str = "[limits]\nbody = \"64 KiB\"\nin_flight = \"1 MiB\"\n\
                     [spool]\nmax_size = \"32 MiB\"\nquarantine_max_size = \"1088 KiB\"\n\
                     dedup = { max_ids = 100_000 }\n\
                     [sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n";

/// Status, presence of `Retry-After`, and the answer.
fn post(service: &Service, body: String) -> (u16, bool, Value) {
    block_on(async {
        let response = Client::new().post(&service.url).body(body).send().await.expect("an answer");
        let says_when = response.headers().contains_key("retry-after");
        (response.status().as_u16(), says_when, response.json().await.expect("JSON"))
    })
}

fn refused() -> (u16, bool, Value) {
    (503, true, json!({"error": "the quarantine is full"}))
}

fn stored(accepted: u64, duplicates: u64, quarantined: u64) -> (u16, bool, Value) {
    let received = accepted + duplicates + quarantined;
    let answer = json!({"received": received, "accepted": accepted, "duplicates": duplicates, "quarantined": quarantined});
    (200, false, answer)
}

fn garbage(number: usize, size: usize) -> String {
    format!("garbage {number} {}", "x".repeat(size))
}

/// Sends invalid bodies of a size until one is refused. Returns the number of accepted ones.
pub fn fill(service: &Service, size: usize, mut between: impl FnMut(usize)) -> usize {
    for number in 0..10_000 {
        between(number);
        let answer = post(service, garbage(number, size));
        if answer != stored(0, 0, 1) {
            assert_eq!(answer, refused());
            return number;
        }
    }
    panic!("garbage is never refused");
}

fn total(stats: &Value, name: &str, disposition: &str) -> u64 {
    let rows = stats["totals"].as_array().expect("rows");
    let row = rows.iter().find(|row| row[0] == name && row[1] == disposition);
    row.map_or(0, |row| row[2].as_u64().expect("a number"))
}

fn stats(home: &Home) -> Value {
    let stats = home.run(&["spool", "stats", "--json"]);
    serde_json::from_slice(&stats.stdout).expect("JSON")
}

fn lines_with(service: &Service, text: &str) -> usize {
    service.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn garbage_fills_the_quarantine_and_nothing_else() {
    let home = Home::new(SMALL);
    let service = home.start();
    let good = |service: &Service, id: String| {
        assert_eq!(post(service, batch([id])), stored(1, 0, 0), "good events pass at any time");
    };
    let taken = fill(&service, 60_000, |number| good(&service, format!("meanwhile-{number}")));
    assert!((17..19).contains(&taken), "{taken}");
    for number in 0..20 {
        assert_eq!(post(&service, garbage(100 + number, 60_000)), refused());
        good(&service, format!("later-{number}"));
    }
    let mixed = format!("[{},{{\"id\":\"{}\"}}]", minted("mixed"), "bad".repeat(18_000));
    assert_eq!(post(&service, mixed.clone()), refused());
    assert_eq!(post(&service, garbage(0, 60_000)), stored(0, 1, 0), "what is there is known");

    let (status, _) = service.ask_admin("/readyz");
    let ready = service.readiness();
    assert!(
        status == 200
            && ready["quarantine_full"].as_str().is_some_and(|text| text.contains("purge"))
    );
    let used = service.metric("davinci_siem_quarantine_bytes");
    let most = service.metric("davinci_siem_quarantine_max_bytes");
    assert_eq!((most, service.metric("davinci_siem_quarantine_full")), (1_114_112.0, 1.0));
    assert!(used <= most && used > most - 61_000.0, "{used}");
    assert_eq!(lines_with(&service, "the quarantine is full: batches"), 1, "said once");
    assert_eq!(stats(&home)["quarantine_size"], used, "and so says who looks from outside");
    service.kill();

    let service = home.start();
    assert_eq!(service.metric("davinci_siem_quarantine_bytes"), used);
    assert_eq!(post(&service, mixed.clone()), refused(), "also after a restart");
    let purged = home.run_with(&service, &["quarantine", "purge", "1"]);
    assert_eq!(String::from_utf8_lossy(&purged.stdout), "1 removed\n");
    assert_eq!(post(&service, mixed), stored(1, 0, 1), "nothing of it had been kept");
    assert_eq!(service.readiness()["quarantine_full"], Value::Null);
    assert_eq!(service.metric("davinci_siem_quarantine_full"), 0.0);
    assert_eq!(lines_with(&service, "the quarantine has room again"), 1);

    service.wait_until_settled("out");
    let disposition = |disposition: &str| {
        service.metric(&format!(
            "davinci_siem_events_total{{result=\"{disposition}\",source=\"pingone\"}}"
        ))
    };
    let accepted = (taken + 1 + 20 + 1) as f64;
    assert_eq!(
        (disposition("accepted"), home.lines("out.ndjson").len() as f64),
        (accepted, accepted)
    );
    let kept = service.metric("davinci_siem_quarantine_entries");
    assert_eq!(disposition("quarantined"), kept + disposition("purged"), "the dispositions add up");
}

#[test]
fn a_sink_waits_with_a_refused_event_until_the_quarantine_has_room() {
    let target = Target::start(Webhook::default());
    target.state().poison = ["event-0003", "event-0006"].map(str::to_owned).into();
    // Only free room lets the sink continue within the duration of this test.
    let home = Home::new(&format!(
        "{SMALL}[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n\
         retry = {{ min = \"1h\", max = \"1h\" }}\n",
        target.url
    ));
    let service = home.start();
    // Fills the room that is left for an entry of any size.
    let garbage = [60_000, 1000, 0].map(|size| fill(&service, size, |_| {}));
    let garbage: usize = garbage.iter().sum();
    service.post(&batch(ids(10)));
    let waits = |service: &Service| {
        let sinks = service.readiness()["sinks"].take();
        let hook = sinks.as_array().expect("sinks").iter().find(|sink| sink["sink"] == "hook");
        let reason = hook.expect("a sink")["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("the quarantine is full").then_some(())
    };
    wait_for("the sink to say what it waits for", || waits(&service));
    assert_eq!(service.lag("hook"), 7.0, "it has passed what comes before the dead letter");
    assert_eq!(target.state().stored.len(), 8, "the rest was delivered");
    service.wait_until_settled("out");
    assert_eq!(home.lines("out.ndjson").len(), 10, "other sinks know nothing of it");
    let refusals = target.requests();
    service.kill();

    let service = home.start();
    wait_for("the sink to wait again", || waits(&service));
    assert_eq!((service.lag("hook"), home.quarantine().len()), (7.0, garbage));
    assert!(target.requests() > refusals, "asked again, as nothing was kept");
    let sent: Vec<String> = target.state().ids();
    assert!(
        ["event-0000", "event-0001", "event-0002"]
            .iter()
            .all(|id| { sent.iter().filter(|sent| sent == id).count() == 1 }),
        "what was settled is not sent again: {sent:?}"
    );
    let purged = home.run_with(&service, &["quarantine", "purge", "--all", "--yes"]);
    assert_eq!(String::from_utf8_lossy(&purged.stdout), format!("{garbage} removed\n"));
    service.wait_until_settled("hook");
    let kept = home.quarantine();
    assert!(kept.iter().all(|entry| entry["sink"] == "hook" && entry["origin"] == "dead_letter"));
    assert_eq!(kept.len(), 2);
    assert!(waits(&service).is_none(), "and says so");

    target.state().poison.clear();
    let retried = home.run_with(&service, &["quarantine", "retry", "--all", "--sink", "hook"]);
    assert!(retried.status.success(), "{retried:?}");
    service.wait_until_settled("hook");
    let mut arrived = target.state().ids();
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived, ids(10), "nothing is lost");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let stats = stats(&home);
    let source = ["accepted", "released", "quarantined", "purged"];
    let source = source.map(|disposition| total(&stats, "pingone", disposition));
    assert_eq!(source, [10, 2, garbage as u64, garbage as u64], "{stats}");
    for (sink, dispositions) in [("hook", [10, 0, 2]), ("out", [10, 2, 0])] {
        let found = ["delivered", "not_addressed", "dead_lettered"]
            .map(|disposition| total(&stats, sink, disposition));
        assert_eq!(found, dispositions, "{sink}: {stats}");
        assert_eq!(found.iter().sum::<u64>(), stats["head"], "{sink}: the dispositions add up");
    }
}
