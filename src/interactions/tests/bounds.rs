//! The bound of memory, for any number of open interactions.
//!
//! `INTERACTIONS_OFFERED` raises their number; `.ci/long` offers a million.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::decode;
use crate::event::Event;
use crate::interactions::InteractionsConfig;
use crate::interactions::table::{EndReason, LoggedEvent, OpenInteractions};

const MEMORY: usize = 4 * 1024 * 1024;
const OFFERED: u64 = 200_000;

fn config(memory: usize) -> InteractionsConfig {
    InteractionsConfig {
        enabled: true,
        timeout: Duration::from_hours(24),
        settle: Duration::from_hours(24),
        max_age: Duration::from_hours(24),
        memory: memory as u64,
        timeouts: [].into(),
    }
}

fn offered() -> u64 {
    let offered = std::env::var("INTERACTIONS_OFFERED").ok();
    offered.map_or(OFFERED, |text| text.parse().expect("a number"))
}

#[test]
fn open_interactions_stay_within_the_memory_however_many_are_offered() {
    offer(offered(), MEMORY);
}

/// Bound of the measured table, in bytes: large against the noise of the allocator.
#[cfg(target_os = "linux")]
const MEASURED: u64 = 64 * 1024 * 1024;

/// Variable with the file into which the measured process writes the growth of its memory.
#[cfg(target_os = "linux")]
const REPORT: &str = "INTERACTIONS_MEMORY_REPORT";

/// The kernel's count of the process's memory agrees with the table's own. The measured process runs this test alone.
#[cfg(target_os = "linux")]
#[test]
fn the_process_does_not_take_more_memory_than_the_bound() {
    if let Some(report) = std::env::var_os(REPORT) {
        let before = memory("VmRSS:");
        offer(offered(), MEASURED as usize);
        let grown = memory("VmHWM:").saturating_sub(before);
        std::fs::write(report, grown.to_string()).expect("written");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let report = directory.path().join("report");
    let name = "the_process_does_not_take_more_memory_than_the_bound";
    let measured = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([&*format!("interactions::tests::bounds::{name}"), "--exact"])
        .env(REPORT, &report)
        .output()
        .expect("a process");
    assert!(measured.status.success(), "{measured:?}");
    let grown: u64 = std::fs::read_to_string(report).expect("a report").parse().expect("a number");
    println!("{} KiB for a bound of {} KiB", grown / 1024, MEASURED / 1024);
    assert!(grown > MEASURED / 4, "the memory is used: {grown} bytes");
    // A quarter for the allocator, and for pages of the program that are read meanwhile.
    assert!(grown < MEASURED / 4 * 5, "{grown} bytes for a bound of {MEASURED}");
}

/// Returns a line of `/proc/self/status`, in bytes.
#[cfg(target_os = "linux")]
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    let number = line.trim().trim_end_matches(" kB");
    number.parse::<u64>().expect("a number") * 1024
}

/// Offers open interactions to a table with a bound.
fn offer(offered: u64, memory: usize) {
    let raw = include_bytes!("../../../fixtures/events/start_interaction.json");
    let mut event = decode::event(raw).expect("an event").event;
    let source: Arc<str> = "pingone".into();
    let mut table = OpenInteractions::new(&config(memory));
    table.advance(0);
    let (mut ended, mut most) = (0, 0);
    for position in 1..=offered {
        let Event::Interaction(run) = &mut event else { panic!("a run") };
        run.flow.interaction_id = Cow::Owned(format!("run-{position:08}"));
        let Event::Interaction(run) = &event else { panic!("a run") };
        assert!(table.add(LoggedEvent { source: &source, position, event: &event, run }));
        assert!(table.bytes() <= memory, "{} bytes after {position}", table.bytes());
        most = most.max(table.len());
        for oldest in table.take_ended() {
            ended += 1;
            assert_eq!((oldest.ended_by, oldest.run.first), (EndReason::Limit, ended));
        }
    }
    assert_eq!(ended + table.len() as u64, offered, "none is lost");
    assert!(most > 1000, "the memory is used: {most}");
}

#[test]
fn lists_and_texts_of_one_interaction_are_bounded() {
    let raw = include_bytes!("../../../fixtures/events/send_error_response.json");
    let mut event = decode::event(raw).expect("an event").event;
    let source: Arc<str> = "pingone".into();
    let mut table = OpenInteractions::new(&config(usize::MAX));
    table.advance(0);
    let long = "x".repeat(100_000);
    let mut add = |position: u64, id: String, table: &mut OpenInteractions| {
        let Event::Interaction(run) = &mut event else { panic!("a run") };
        run.flow.interaction_id = Cow::Owned(id);
        run.flow.flow_name = Some(Cow::Owned(format!("{position}{long}")));
        run.flow.reported.kind = Some(Cow::Owned(long.clone()));
        let Event::Interaction(run) = &event else { panic!("a run") };
        table.add(LoggedEvent { source: &source, position, event: &event, run })
    };
    for position in 1..=10_000 {
        assert!(add(position, "run".to_owned(), &mut table));
    }
    assert!(table.bytes() < 32 * 1024, "{} bytes", table.bytes());
    assert!(!add(10_001, "x".repeat(257), &mut table), "no interaction has such an id");
    assert_eq!(table.len(), 1);
    table.release(u64::MAX, 10);
    let ended = table.take_ended();
    assert_eq!((ended.len(), ended[0].run.errors()), (1, 10_000));
    assert_eq!((ended[0].run.steps.len(), ended[0].run.steps_omitted), (64, 10_000 - 64));
}

/// Events without a run, and copies for replays, move the end of the log, too.
#[test]
fn a_run_ends_when_it_keeps_too_much_of_the_log() {
    let raw = include_bytes!("../../../fixtures/events/start_interaction.json");
    let event = decode::event(raw).expect("an event").event;
    let Event::Interaction(run) = &event else { panic!("a run") };
    let source: Arc<str> = "pingone".into();
    for (memory, span) in [(1 << 20, 250_000), (64 << 20, (64 << 20) / 64), (1 << 40, 4_000_000)] {
        let mut table = OpenInteractions::new(&config(memory));
        table.advance(0);
        assert!(table.add(LoggedEvent { source: &source, position: 7, event: &event, run }));
        table.bound_span(7 + span);
        assert_eq!(table.len(), 1, "{memory}");
        table.bound_span(8 + span);
        let ended = table.take_ended();
        assert_eq!((ended.len(), ended[0].ended_by), (1, EndReason::Limit), "{memory}");
    }
}

/// A clock that was a day ahead does not keep interactions open for that day.
#[test]
fn a_clock_that_is_set_back_delays_no_summary() {
    let raw = include_bytes!("../../../fixtures/events/start_interaction.json");
    let event = decode::event(raw).expect("an event").event;
    let Event::Interaction(run) = &event else { panic!("a run") };
    let source: Arc<str> = "pingone".into();
    let minute = Duration::from_mins(1);
    let mut table =
        OpenInteractions::new(&InteractionsConfig { timeout: minute, ..config(usize::MAX) });
    table.advance(86_400_000);
    table.add(LoggedEvent { source: &source, position: 1, event: &event, run });
    table.advance(0);
    table.advance(59_999);
    assert_eq!(table.take_ended().len(), 0);
    table.advance(60_000);
    let ended = table.take_ended();
    assert_eq!((ended.len(), ended[0].ended_by), (1, EndReason::Timeout));
}
