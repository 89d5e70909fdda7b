//! Parts that the tests of cloud targets share: findings, and the search through everything that the process writes.

use super::canary::{shown, text};
use super::service::{Home, Service};

/// Python with the clients of the targets, which `.ci/cloud-clients` installs.
pub const PYTHON: &str = "/opt/cloud-clients/bin/python";

/// Returns the count of a finding.
pub fn finding(service: &Service, sink: &str, kind: &str) -> f64 {
    let name = format!("davinci_siem_sink_findings_total{{kind=\"{kind}\",sink=\"{sink}\"}}");
    service.metric(&name)
}

/// Returns ids with these numbers.
pub fn numbered(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("event-{number:04}"))
}

/// Returns everything that a service and its commands write, the answers of targets in its spool included. Ends the
/// service, which has at least one dead letter.
#[track_caller]
pub fn written(home: &Home, service: Service) -> Vec<String> {
    let mut written = vec![shown(&service)];
    for arguments in [
        &["sink", "list", "--json"][..],
        &["quarantine", "list", "--json"],
        &["quarantine", "export"],
        &["quarantine", "show", "1"],
        &["status"],
        &["check"],
        &["check", "--connect"],
    ] {
        written.push(text(&home.run_with(&service, arguments)));
    }
    let commands = written.join("\n");
    assert!(commands.contains("[secret]"), "the target's answer repeats a secret: {commands}");
    written.push(service.terminate().1);
    for name in ["spool.db", "spool.db-wal"] {
        let bytes = std::fs::read(home.path("data").join(name)).unwrap_or_default();
        written.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    written
}
