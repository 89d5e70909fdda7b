//! The text for Slack, whose markup must not come from a reason.

use super::*;
use crate::alerts::tracker::AlertTracker;
use crate::alerts::{AlertKind, Condition};
use crate::settings::{Secrets, read};

#[test]
fn a_reason_is_no_markup_in_slack() {
    let text = "[alerts]\ntype = \"slack\"\nurl = \"http://localhost/x\"\nafter = \"0s\"";
    let config = read(text, None, std::iter::empty(), Secrets::All, AlertsConfig::read);
    let config = config.expect("valid").expect("there");
    let mut tracker = AlertTracker::default();
    let summary = "Sink a is paused: <!channel> & co".to_owned();
    let condition = Condition { kind: AlertKind::SinkPaused, subject: "a".to_owned(), summary };
    tracker.observe(0, &[condition], config.after);
    let (status, alert) = tracker.due(0, &config).expect("due");
    let message = body(&config, status, &alert).expect("a body");
    let expected = "[warning] davinci-siem: Sink a is paused: &lt;!channel&gt; &amp; co";
    assert_eq!(message, json!({ "text": expected }));
    let end = body(&config, AlertStatus::Resolved, &alert).expect("a body");
    assert_eq!(end, json!({ "text": "[resolved] davinci-siem: sink_paused a" }));
}
