//! Tests of the tracker with a clock in seconds.

use super::*;
use crate::alerts::config::AlertsConfig;
use crate::settings::{Secrets, read};

const MINUTE: i64 = 60;

fn config(keys: &str) -> AlertsConfig {
    let text = format!("[alerts]\ntype = \"json\"\nurl = \"http://localhost:1\"\n{keys}");
    let environment = std::iter::empty();
    let read = read(&text, None, environment, Secrets::All, AlertsConfig::read);
    read.expect("valid").expect("there")
}

fn conditions(problems: &[(AlertKind, &str)]) -> Vec<Condition> {
    let problems = problems.iter().map(|(kind, subject)| Condition {
        kind: *kind,
        subject: (*subject).to_owned(),
        summary: format!("{kind:?}"),
    });
    problems.collect()
}

/// Returns the messages of a look, all of which are sent.
fn look(
    tracker: &mut AlertTracker,
    config: &AlertsConfig,
    second: i64,
    problems: &[(AlertKind, &str)],
) -> Vec<(AlertStatus, String)> {
    let now = second * 1000;
    let conditions = conditions(problems);
    tracker.observe(now, &conditions, config.after);
    let mut messages = Vec::new();
    while let Some((status, alert)) = tracker.due(now, config) {
        tracker.sent(now, status, &alert);
        messages.push((status, alert.subject));
    }
    messages
}

const PAUSED: (AlertKind, &str) = (AlertKind::SinkPaused, "a");
const BLOCKED: (AlertKind, &str) = (AlertKind::SourceBlocked, "p");

fn firing(subject: &str) -> (AlertStatus, String) {
    (AlertStatus::Firing, subject.to_owned())
}

fn resolved(subject: &str) -> (AlertStatus, String) {
    (AlertStatus::Resolved, subject.to_owned())
}

#[test]
fn a_problem_has_one_message_per_interval_and_one_at_its_end() {
    let (config, mut tracker) = (config("repeat = \"10m\""), AlertTracker::default());
    let mut at = |second, problems: &[_]| look(&mut tracker, &config, second, problems);
    assert_eq!(at(0, &[PAUSED]), [], "it may pass");
    assert_eq!(at(59, &[PAUSED]), []);
    assert_eq!(at(MINUTE, &[PAUSED, BLOCKED]), [firing("a")]);
    assert_eq!(at(2 * MINUTE, &[PAUSED, BLOCKED]), [firing("p")]);
    assert_eq!(at(10 * MINUTE, &[PAUSED, BLOCKED]), []);
    assert_eq!(at(11 * MINUTE, &[PAUSED, BLOCKED]), [firing("a")]);
    assert_eq!(at(12 * MINUTE, &[PAUSED]), [], "it may come back");
    assert_eq!(
        at(12 * MINUTE + 30, &[PAUSED, BLOCKED]),
        [firing("p")],
        "it is back, and still open"
    );
    assert_eq!(at(13 * MINUTE, &[PAUSED]), []);
    assert_eq!(at(14 * MINUTE, &[PAUSED]), [resolved("p")]);
    assert_eq!(at(15 * MINUTE, &[]), []);
    assert_eq!(at(16 * MINUTE, &[]), [resolved("a")]);
    assert_eq!(at(60 * MINUTE, &[]), []);
}

#[test]
fn a_problem_that_passes_quickly_has_no_message() {
    let (config, mut tracker) = (config(""), AlertTracker::default());
    for round in 0..10 {
        let at = round * 3 * MINUTE;
        assert_eq!(look(&mut tracker, &config, at, &[PAUSED]), []);
        assert_eq!(look(&mut tracker, &config, at + 30, &[]), []);
        assert_eq!(look(&mut tracker, &config, at + 90, &[]), []);
    }
    assert_eq!(tracker, AlertTracker::default());
}

#[test]
fn a_problem_that_comes_and_goes_is_one_problem() {
    let (config, mut tracker) = (config(""), AlertTracker::default());
    let mut at = |second, problems: &[_]| look(&mut tracker, &config, second, problems);
    assert_eq!(at(0, &[PAUSED]), []);
    assert_eq!(at(40, &[]), []);
    assert_eq!(at(70, &[]), [], "no message while it is gone");
    assert_eq!(at(80, &[PAUSED]), [firing("a")]);
    assert_eq!(at(120, &[]), []);
    assert_eq!(at(150, &[PAUSED]), []);
    assert_eq!(at(160, &[]), []);
    assert_eq!(at(220, &[]), [resolved("a")]);
}

#[test]
fn the_rate_is_bounded_and_what_does_not_fit_is_sent_later_the_most_severe_first() {
    let (config, mut tracker) =
        (config("after = \"0s\"\nmax_per_hour = 2"), AlertTracker::default());
    let problems: Vec<(AlertKind, &str)> = ["a", "b", "c"]
        .map(|sink| (AlertKind::SinkPaused, sink))
        .into_iter()
        .chain([BLOCKED])
        .collect();
    let mut at = |second, problems: &[_]| look(&mut tracker, &config, second, problems);
    assert_eq!(at(0, &problems), [firing("p"), firing("a")]);
    assert_eq!(at(HOUR_MS / 1000, &problems), []);
    assert_eq!(at(HOUR_MS / 1000 + 1, &problems), [firing("b"), firing("c")]);
}

#[test]
fn a_reminder_waits_for_first_messages_and_for_older_reminders() {
    let keys = "after = \"0s\"\nmax_per_hour = 1\nrepeat = \"1h\"";
    let (config, mut tracker) = (config(keys), AlertTracker::default());
    let problems = ["a", "b", "c"].map(|sink| (AlertKind::SinkPaused, sink));
    let sent: Vec<_> = (0..6)
        .flat_map(|round| look(&mut tracker, &config, round * (HOUR_MS / 1000 + 1), &problems))
        .collect();
    assert_eq!(sent, ["a", "b", "c", "a", "b", "c"].map(firing));
}

#[test]
fn a_message_that_is_refused_does_not_block_others() {
    let (config, mut tracker) = (config("after = \"0s\""), AlertTracker::default());
    tracker.observe(0, &conditions(&[PAUSED, (AlertKind::SinkPaused, "b")]), config.after);
    let mut attempt = |now: i64| {
        let (status, alert) = tracker.due(now, &config)?;
        if alert.subject == "a" {
            let wait = tracker.failed(now, &alert, None);
            return Some((alert.subject, Some(wait.as_secs())));
        }
        tracker.sent(now, status, &alert);
        Some((alert.subject, None))
    };
    let refused = |seconds| Some(("a".to_owned(), Some(seconds)));
    assert_eq!(attempt(0), refused(1));
    assert_eq!(attempt(1), Some(("b".to_owned(), None)));
    assert_eq!(attempt(999), None);
    let mut now = 1000;
    for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
        assert_eq!(attempt(now), refused(seconds));
        let wait = i64::try_from(seconds).expect("small") * 1000;
        assert_eq!(attempt(now + wait - 1), None);
        now += wait;
    }
}

#[test]
fn a_wait_that_the_receiver_requests_holds_for_all_messages_up_to_an_hour() {
    let (config, mut tracker) = (config("after = \"0s\""), AlertTracker::default());
    tracker.observe(0, &conditions(&[PAUSED, BLOCKED]), config.after);
    let (_, alert) = tracker.due(0, &config).expect("due");
    let day = Duration::from_hours(24);
    assert_eq!(tracker.failed(0, &alert, Some(day)), Duration::from_hours(1));
    assert_eq!(tracker.due(HOUR_MS - 1, &config), None);
    assert!(tracker.due(HOUR_MS, &config).is_some());
    let wait = Duration::from_millis(1500);
    assert_eq!(tracker.failed(HOUR_MS, &alert, Some(wait)), wait);
    assert_eq!(tracker.due(HOUR_MS + 1499, &config), None);
}

#[test]
fn a_restart_repeats_nothing_and_forgets_nothing() {
    let (config, mut tracker) = (config(""), AlertTracker::default());
    look(&mut tracker, &config, 0, &[PAUSED]);
    assert_eq!(look(&mut tracker, &config, 60, &[PAUSED]), [firing("a")]);
    for restart in 1..=50 {
        let text = serde_json::to_string(&tracker).expect("JSON");
        tracker = serde_json::from_str(&text).expect("read");
        assert_eq!(look(&mut tracker, &config, 60 + restart, &[PAUSED]), []);
    }
    look(&mut tracker, &config, 200, &[]);
    assert_eq!(look(&mut tracker, &config, 260, &[]), [resolved("a")]);
    // A clock that was set back does not silence a problem for longer than `repeat`.
    let mut ahead = AlertTracker::default();
    look(&mut ahead, &config, 1_000_000, &[PAUSED]);
    look(&mut ahead, &config, 1_000_060, &[PAUSED]);
    assert_eq!(look(&mut ahead, &config, 0, &[PAUSED]), []);
    assert_eq!(look(&mut ahead, &config, 4 * 3600, &[PAUSED]), [firing("a")]);
}
