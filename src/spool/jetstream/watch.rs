//! Background task: polls the streams and leases, renews held leases and trims.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Info;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::status::StreamStatus;
use super::streams::StreamHandles;
use super::{Order, error_chain, lease, lease_store, most, parallel, trim};
use crate::spool::Clock;

/// Polling interval. The sinks of this receiver learn of its own events at once.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Renewal interval of a held lease: several times within [`lease_store::LEASE_STALE_AFTER`].
const RENEW: Duration = Duration::from_secs(3);

/// Interval of trimming.
const TRIM: Duration = Duration::from_secs(2);

/// Share of its size below which a full stream accepts batches again.
const LOW: f64 = 0.9;

/// Polls until it is dropped.
pub(super) async fn run(
    streams: StreamHandles,
    shared: Arc<StreamStatus>,
    holder: String,
    order: Order,
    retention: Duration,
    clock: Clock,
) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut renewed, mut trimmed) = (Instant::now(), Instant::now());
    loop {
        ticks.tick().await;
        look(&streams, &shared).await;
        let is_due = renewed.elapsed() >= RENEW;
        if is_due {
            renewed = Instant::now();
        }
        for (name, sink) in shared.sinks() {
            if is_due {
                lease::renew(&streams, &name, &holder, &sink).await;
            }
            if let Ok(Some(held)) = lease_store::read(&streams.leases, &name).await {
                sink.show(&held.lease, held.revision, &holder);
            }
            if order == Order::Parallel {
                parallel::tend(&streams, &name, &sink, is_due).await;
            }
        }
        if trimmed.elapsed() >= TRIM {
            trimmed = Instant::now();
            let own = shared.sinks();
            if let Err(error) = trim::trim(&streams, order, &own, retention, (clock)()).await {
                tracing::debug!(%error, "could not trim the stream");
            }
        }
    }
}

async fn look(streams: &StreamHandles, shared: &StreamStatus) {
    match streams.events.get_info().await {
        Ok(info) => {
            shared.note_head(info.state.last_sequence);
            let is_roomy = (info.state.bytes as f64) < LOW * most(&info) as f64;
            if is_roomy {
                shared.set_full(false);
            }
            match has_leader(&info) {
                true => shared.set_answering(),
                false => shared.set_failing(Some("the stream has no leader".to_owned())),
            }
        }
        Err(error) => shared.set_failing(Some(error_chain(&error))),
    }
    if let Ok(info) = streams.quarantine.get_info().await {
        shared.note_quarantine(info.state.bytes);
    }
}

/// A single server reports no cluster and needs no leader.
fn has_leader(info: &Info) -> bool {
    info.cluster.as_ref().is_none_or(|cluster| cluster.leader.is_some())
}
