//! Comparison of flow runs: PingOne's list of each flow's runs against the received `START_INTERACTION` events.
//!
//! PingOne's list of runs has no events, so a missing run is reported and cannot be taken in.

use super::audit::SubscribedTypes;
use super::class::{LookUps, RecordClass};
use super::local::LocalIndex;
use super::report::{ReconcileReport, RecordCounts, list, time_text};
use super::{Comparison, Network, Progress, ReconcileError};
use crate::pingone::{FlowRun, encoded, flow_id};

/// Type of the event that each run begins with.
const START: &str = "DAVINCI_INTERACTION.START_INTERACTION";

/// Runs per page.
const PAGE_RUNS: &str = "500";

/// Compares the runs of all flows, and notes the reason if PingOne does not offer them.
pub(super) fn compare(
    comparison: &Comparison<'_>,
    network: &mut Network,
    subscribed: &SubscribedTypes,
    local: &LocalIndex,
    report: &mut ReconcileReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ReconcileError> {
    (report.runs, report.missing_runs) = (None, Vec::new());
    if !subscribed.contains(START) {
        report
            .note(format!("flow runs are not compared: no webhook to this service sends {START}"));
        return Ok(());
    }
    let mut counts = RecordCounts::default();
    match each_flow(comparison, network, local, report, &mut counts, progress) {
        Ok(()) => report.runs = Some(counts),
        Err(error) => {
            let Some(reason) = error.refusal() else { return Err(error) };
            report.missing_runs.clear();
            report.note(format!("flow runs are not compared: {reason}"));
        }
    }
    Ok(())
}

fn each_flow(
    comparison: &Comparison<'_>,
    network: &mut Network,
    local: &LocalIndex,
    report: &mut ReconcileReport,
    counts: &mut RecordCounts,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ReconcileError> {
    let mut flows: Vec<String> = Vec::new();
    let take = |page: Vec<String>| -> Result<(), ReconcileError> {
        flows.extend(page);
        Ok(())
    };
    report.unreadable += network.each("/flows", String::new(), "flows", take, |raw| {
        flow_id(&raw).filter(|id| is_plain(id))
    })?;
    let (from, to) = (comparison.range.start, comparison.range.end);
    let filter =
        format!("timestamp ge \"{}\" and timestamp le \"{}\"", time_text(from), time_text(to));
    let query = encoded(&[("filter", &filter), ("limit", PAGE_RUNS)]);
    let listed = report.events.listed();
    for flow in flows {
        let path = format!("/flows/{flow}/interactions");
        let unreadable = network.each(
            &path,
            query.clone(),
            "interactions",
            |page: Vec<FlowRun>| {
                for run in page.iter().filter(|run| comparison.range.contains(&run.started_at)) {
                    count(run, &flow, local, report, counts);
                }
                progress(Progress::Records(listed + counts.listed()));
                Ok(())
            },
            |raw| FlowRun::read(&raw),
        )?;
        report.unreadable += unreadable;
    }
    Ok(())
}

fn count(
    run: &FlowRun,
    flow: &str,
    local: &LocalIndex,
    report: &mut ReconcileReport,
    counts: &mut RecordCounts,
) {
    let class = LookUps {
        is_received: local.has_run(&run.id),
        is_quarantined: local.is_quarantined(&run.id),
        is_subscribed: true,
        // Remembered ids are those of events, not of runs.
        is_certain: local.is_retained(run.started_at),
    }
    .class();
    match class {
        RecordClass::Received => counts.received += 1,
        RecordClass::Quarantined => counts.quarantined += 1,
        RecordClass::NotSubscribed => counts.not_subscribed += 1,
        RecordClass::Unknown => counts.unknown += 1,
        RecordClass::Missing => {
            counts.missing += 1;
            list(&mut report.missing_runs, &run.id, run.started_at, flow);
        }
    }
}

/// Returns true if an id can be a part of a path.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
