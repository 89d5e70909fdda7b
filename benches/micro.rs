//! Single steps over the fixtures: `cargo bench --bench micro`.

#![expect(clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use davinci_siem::decode;
use davinci_siem::format::{self, Received};
use davinci_siem::format::{Format, FormatConfig};
use davinci_siem::metrics::Metrics;
use davinci_siem::observe::{Observer, Summaries};
use davinci_siem::spool::{Batch, DedupKey, NewEvent, Spool, SpoolConfig};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// The documented events, compact, until there are `count`.
fn events(count: usize) -> Vec<String> {
    let documented = include_str!("../fixtures/documented_batch.json");
    let values: Vec<serde_json::Value> = serde_json::from_str(documented).expect("JSON");
    values.iter().cycle().take(count).map(ToString::to_string).collect()
}

fn body(count: usize) -> String {
    format!("[{}]", events(count).join(","))
}

/// Bytes to typed events.
#[divan::bench(args = [1, 20, 500])]
fn decode_body(bencher: Bencher<'_, '_>, count: usize) {
    let body = body(count);
    bencher
        .counter(ItemsCount::new(count))
        .bench(|| decode::body(black_box(body.as_bytes()), false).expect("events").len());
}

/// What observing adds to decoding: the summaries, and what is made of them once they are stored.
#[divan::bench(args = [1, 20, 500])]
fn observe_batch(bencher: Bencher<'_, '_>, count: usize) {
    let body = Bytes::from(body(count));
    let metrics = Arc::new(Metrics::new().expect("registered"));
    let observer = Observer::new(["bench"].into_iter(), metrics, 0);
    let elements = decode::body(&body, false).expect("events");
    let typed: Vec<_> = elements
        .into_iter()
        .map(|element| (body.slice_ref(element.raw), element.verdict.expect("an event").event))
        .collect();
    bencher.counter(ItemsCount::new(count)).bench(|| {
        let mut summaries = Summaries::default();
        for (raw, event) in &typed {
            summaries.add(event, raw.clone(), Vec::new());
        }
        observer.stored("bench", 1_700_000_000_000, black_box(&summaries), &[]);
    });
}

/// What a sink's worker does again.
#[divan::bench]
fn decode_one_event(bencher: Bencher<'_, '_>) {
    let events = events(5);
    bencher.counter(ItemsCount::new(events.len())).bench(|| {
        for event in &events {
            black_box(decode::event(black_box(event.as_bytes())).expect("an event"));
        }
    });
}

/// A typed event to a line.
#[divan::bench(args = ["native", "ecs", "ocsf", "cef", "leef"])]
fn render(bencher: Bencher<'_, '_>, name: &str) {
    let (_, format) = Format::ALL.into_iter().find(|(known, _)| *known == name).expect("a format");
    let formatting = FormatConfig::of(format);
    let events = events(5);
    let typed: Vec<_> =
        events.iter().map(|raw| decode::event(raw.as_bytes()).expect("an event").event).collect();
    bencher.counter(ItemsCount::new(events.len())).bench(|| {
        for (raw, event) in events.iter().zip(&typed) {
            let received = Received { event, raw: raw.as_bytes(), received_at: 0, source: "bench" };
            black_box(format::render(&formatting, received));
        }
    });
}

/// Packing and compressing, on the thread that received.
#[divan::bench(args = [1, 20, 500])]
fn prepare_batch(bencher: Bencher<'_, '_>, count: usize) {
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| batch(count))
        .bench_values(Batch::prepare);
}

/// One durable commit, its sync included.
#[divan::bench(args = [1, 20, 500], sample_count = 50)]
fn append_batch(bencher: Bencher<'_, '_>, count: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = SpoolConfig {
        engine: davinci_siem::spool::Engine::Embedded,
        directory: directory.path().join("spool"),
        ..davinci_siem::config::parse("", None, std::iter::empty()).expect("defaults").spool
    };
    let spool = Spool::open(&settings, davinci_siem::app::system_clock()).expect("a spool");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| batch(count).prepare())
        .bench_values(|prepared| runtime.block_on(spool.append(prepared)).expect("stored"));
}

fn batch(count: usize) -> Batch {
    let key = || DedupKey::new("bench", &uuid::Uuid::new_v4().to_string(), (0, 0));
    let event = |raw: String| NewEvent { key: key(), bytes: Bytes::from(raw) };
    Batch {
        source: Arc::from("bench"),
        events: events(count).into_iter().map(event).collect(),
        ..Batch::default()
    }
}
