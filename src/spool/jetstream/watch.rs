//! Background tasks: look at the streams and the leases, and renew held leases.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::{ClusterInfo, Info};
use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::checkpoint::{self, Checkpoint};
use super::identity::StreamIdentity;
use super::sink_lease::{self, RENEW_INTERVAL, SinkLease};
use super::sinks::Sinks;
use super::status::LogStatus;
use super::streams::{self, StreamHandles};
use super::{lease, max_bytes, records, unreadable};
use crate::error_chain::error_chain;
use crate::spool::ReadError;

/// Age of a failure after which an answer of a majority clears it.
const RECOVERED_AFTER: Duration = Duration::from_secs(5);

/// Polling interval.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Share of its size below which a full stream accepts batches again.
const LOW: f64 = 0.9;

/// Share of its size above which replays are refused, and retention ends for committed events.
pub(super) const CROWDED: f64 = 0.7;

/// Time since a server was last heard of, above which it is not counted. Servers talk every second.
const SILENT_AFTER: Duration = Duration::from_secs(4);

/// Looks at the streams and the checkpoint until it is dropped.
pub(super) async fn streams(streams: StreamHandles, status: Arc<LogStatus>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut identity = StreamIdentity::default();
    loop {
        ticks.tick().await;
        let read = status.index().head();
        let began = std::time::Instant::now();
        let looked = match streams.events.get_info().await {
            Ok(info) => {
                note_info(&info, &status);
                follow_checkpoint(&streams, &status, &mut identity, read, &info).await
            }
            Err(error) => {
                let error = status.denials.explain(error_chain(&error), began);
                status.failing.set(Some(error));
                continue;
            }
        };
        if let Err(error) = looked {
            let error = status.denials.explain(error_chain(&error), began);
            tracing::debug!(error, "cannot follow the log's checkpoint");
        }
        if let Ok(info) = streams.quarantine.get_info().await {
            status.note_quarantine(info.state.bytes);
            if let Some(mistake) = streams::mistake(&info.config) {
                status.failing.set(Some(format!("the quarantine's stream was changed: {mistake}")));
            }
        }
    }
}

/// Records what a look at the stream says of its health and its room.
fn note_info(info: &Info, status: &LogStatus) {
    let share = info.state.bytes as f64 / max_bytes(info) as f64;
    if share < LOW {
        status.full.set(false);
    }
    status.crowded.set(share > CROWDED);
    match (streams::mistake(&info.config), quorum_loss(info.cluster.as_ref())) {
        (Some(mistake), _) => {
            status.failing.set(Some(format!("the stream was changed: {mistake}")));
        }
        (None, Some(loss)) => status.failing.set(Some(loss)),
        (None, None) => status.failing.forget_older(RECOVERED_AFTER),
    }
}

/// Returns the reason why the stream cannot store anything: no leader, or one that hears of too few others. A single
/// server reports no cluster.
fn quorum_loss(cluster: Option<&ClusterInfo>) -> Option<String> {
    let cluster = cluster?;
    if cluster.leader.is_none() {
        return Some("the stream has no leader".to_owned());
    }
    let is_there = |active: Duration, offline: bool| !offline && active < SILENT_AFTER;
    let replicas = cluster.replicas.iter();
    let present = 1 + replicas.filter(|peer| is_there(peer.active, peer.offline)).count();
    let count = 1 + cluster.replicas.len();
    (present <= count / 2).then(|| {
        format!("the stream's leader reaches {present} of {count} servers, itself included")
    })
}

/// Reads the checkpoint; creates the first one, and that of a new epoch.
async fn follow_checkpoint(
    streams: &StreamHandles,
    status: &LogStatus,
    identity: &mut StreamIdentity,
    read: checkpoint::Mark,
    info: &Info,
) -> Result<(), ReadError> {
    let failed = |error: &dyn std::error::Error| ReadError(error_chain(error).into());
    let stored = match records::read::<Checkpoint>(&streams.leases, checkpoint::KEY).await {
        Ok(stored) => stored,
        Err(error) => {
            // An administrator may have deleted the bucket.
            streams.recreate_bucket().await.map_err(|_| error)?;
            None
        }
    };
    let (known, revision) = match stored {
        Some(stored) => (stored.value, stored.revision),
        None => {
            let known = status.checkpoint().map(|(known, _)| known.as_ref().clone());
            let first = known.unwrap_or_else(|| Checkpoint::default().renumbered(info, 0));
            let created = records::update(&streams.leases, checkpoint::KEY, &first, 0).await;
            match created.map_err(|error| failed(&error))? {
                Some(revision) => (first, revision),
                // Another receiver was faster.
                None => return Ok(()),
            }
        }
    };
    let is_own = status.index().epoch == known.epoch;
    let read = if is_own { read } else { known.trimmed };
    if identity.changed(&streams.events, &known, read, info).await?.is_some() {
        // The look at the stream may be older than a checkpoint that another receiver has just written.
        let info = streams.events.get_info().await.map_err(unreadable)?;
        let changed = identity.changed(&streams.events, &known, read, &info).await?;
        let Some(reason) = changed else { return Ok(()) };
        let leases = sink_lease::all(&streams.leases).await?;
        let cursors = leases.iter().map(|(_, lease)| lease.value.cursor);
        let position = cursors.max().unwrap_or_default().max(read.position);
        let renumbered = known.renumbered(&info, position);
        let updated =
            records::update(&streams.leases, checkpoint::KEY, &renumbered, revision).await;
        if let Some(revision) = updated.map_err(|error| failed(&error))? {
            tracing::error!(
                position = renumbered.trimmed.position,
                "{reason}: every sink starts with the oldest stored event"
            );
            status.note_checkpoint(renumbered, revision);
        }
        return Ok(());
    }
    status.note_checkpoint(known, revision);
    Ok(())
}

/// Looks at the leases of this process's sinks, and renews the held ones, until it is dropped.
pub(super) async fn leases(
    streams: StreamHandles,
    status: Arc<LogStatus>,
    sinks: Arc<Sinks>,
    holder: String,
) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed = Instant::now();
    loop {
        ticks.tick().await;
        let is_due = renewed.elapsed() >= RENEW_INTERVAL;
        if is_due {
            renewed = Instant::now();
        }
        let all = sinks.all();
        join_all(all.iter().map(async |(name, sink)| {
            if is_due {
                lease::renew(&streams, &status, name, &holder, sink).await;
            }
            if let Ok(Some(stored)) = records::read::<SinkLease>(&streams.leases, name).await {
                sink.show(&stored.value, stored.revision, &holder);
            }
        }))
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_alone_stores_nothing() {
        let cluster = |leader: Option<&str>, silent: &[u64]| -> ClusterInfo {
            let peer = |seconds: &u64| {
                let active = seconds * 1_000_000_000;
                serde_json::json!({ "name": "n", "current": true, "active": active })
            };
            let replicas: Vec<_> = silent.iter().map(peer).collect();
            let cluster =
                serde_json::json!({ "name": "c", "leader": leader, "replicas": replicas });
            serde_json::from_value(cluster).expect("an answer")
        };
        for (cluster, is_lost) in [
            (cluster(Some("n"), &[]), false),
            (cluster(None, &[0, 0]), true),
            (cluster(Some("n"), &[0, 1]), false),
            (cluster(Some("n"), &[9, 1]), false),
            (cluster(Some("n"), &[9, 4]), true),
            (cluster(Some("n"), &[0, 9, 9, 1]), false),
            (cluster(Some("n"), &[0, 9, 9, 9]), true),
        ] {
            assert_eq!(quorum_loss(Some(&cluster)).is_some(), is_lost, "{cluster:?}");
        }
        assert_eq!(quorum_loss(None), None, "one server alone");
    }
}
