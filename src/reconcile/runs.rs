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
    local: &mut LocalIndex,
    report: &mut ReconcileReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ReconcileError> {
    (report.runs, report.missing_runs) = (None, Vec::new());
    if !subscribed.contains(START) {
        report
            .note(format!("flow runs are not compared: no webhook to this service sends {START}"));
        return Ok(());
    }
    let flows = match flows(network, report) {
        Ok(flows) => flows,
        Err(error) => {
            let Some(reason) = error.refusal() else { return Err(error) };
            report.note(format!("flow runs are not compared: {reason}"));
            return Ok(());
        }
    };
    let mut counts = RecordCounts::default();
    let mut missing = Vec::new();
    for flow in flows {
        let of_flow = runs_of(
            &flow,
            comparison,
            network,
            report,
            |run| {
                if count(&run, local, &mut counts) == RecordClass::Missing {
                    missing.push((run, flow.clone()));
                }
                counts.listed()
            },
            progress,
        );
        if let Err(error) = of_flow {
            // A flow may be deleted meanwhile, or not be readable for the application.
            let Some(reason) = error.refusal() else { return Err(error) };
            report.note(format!("the runs of flow {flow} are not compared as a whole: {reason}"));
        }
    }
    add_missing(missing, comparison, local, &mut counts, report)?;
    report.runs = Some(counts);
    Ok(())
}

/// Adds the missing runs to the report, except those that were received while PingOne's lists were read.
fn add_missing(
    missing: Vec<(FlowRun, String)>,
    comparison: &Comparison<'_>,
    local: &mut LocalIndex,
    counts: &mut RecordCounts,
    report: &mut ReconcileReport,
) -> Result<(), ReconcileError> {
    if missing.is_empty() {
        return Ok(());
    }
    local.refresh_runs(comparison)?;
    counts.missing = 0;
    for (run, flow) in missing {
        if count(&run, local, counts) == RecordClass::Missing {
            list(&mut report.missing_runs, &run.id, run.started_at, &flow);
        }
    }
    Ok(())
}

/// Returns the ids of the environment's flows.
fn flows(
    network: &mut Network,
    report: &mut ReconcileReport,
) -> Result<Vec<String>, ReconcileError> {
    let mut flows: Vec<String> = Vec::new();
    let take = |page: Vec<String>| -> Result<(), ReconcileError> {
        flows.extend(page);
        Ok(())
    };
    report.unreadable += network.each("/flows", String::new(), "flows", take, |raw| {
        flow_id(&raw).filter(|id| is_plain(id))
    })?;
    Ok(flows)
}

/// Passes each run of a flow within the range to `visit`, which returns the number of runs so far.
fn runs_of(
    flow: &str,
    comparison: &Comparison<'_>,
    network: &mut Network,
    report: &mut ReconcileReport,
    mut visit: impl FnMut(FlowRun) -> u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ReconcileError> {
    let (from, to) = (comparison.range.start, comparison.range.end);
    let filter =
        format!("timestamp ge \"{}\" and timestamp le \"{}\"", time_text(from), time_text(to));
    let query = encoded(&[("filter", &filter), ("limit", PAGE_RUNS)]);
    let listed = report.events.listed();
    let take = |page: Vec<FlowRun>| {
        for run in page.into_iter().filter(|run| comparison.range.contains(&run.started_at)) {
            progress(Progress::Records(listed + visit(run)));
        }
        Ok(())
    };
    let path = format!("/flows/{flow}/interactions");
    report.unreadable +=
        network.each(&path, query, "interactions", take, |raw| FlowRun::read(&raw))?;
    Ok(())
}

/// Counts a run. Returns its class.
fn count(run: &FlowRun, local: &LocalIndex, counts: &mut RecordCounts) -> RecordClass {
    let class = LookUps {
        is_received: local.has_run(&run.id),
        is_quarantined: local.is_quarantined(&run.id),
        is_subscribed: true,
        // Remembered ids are those of events, not of runs.
        is_certain: local.is_retained(run.started_at),
    }
    .class();
    *match class {
        RecordClass::Received => &mut counts.received,
        RecordClass::Quarantined => &mut counts.quarantined,
        RecordClass::NotSubscribed => &mut counts.not_subscribed,
        RecordClass::Unknown => &mut counts.unknown,
        RecordClass::Missing => &mut counts.missing,
    } += 1;
    class
}

/// Returns true if an id can be a part of a path.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
