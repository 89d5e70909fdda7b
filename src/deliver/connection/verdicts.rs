//! Verdicts of an attempt applied to its batch, where a single event may cause every failure.

use std::sync::Arc;

use tokio::time::Instant;

use super::SinkConnection;
use crate::deliver::batch::DeliveryBatch;
use crate::deliver::suspect::{Suspect, may_be_its_fault};
use crate::sinks::{Report, SinkFinding, Verdict};

/// Counts the objects that exist as delivered: an earlier attempt with the same names was not confirmed.
pub(super) fn confirm_existing(report: &mut Report) {
    let mut found = 0;
    for verdict in &mut report.verdicts {
        if matches!(verdict, Verdict::Exists { .. }) {
            *verdict = Verdict::Delivered;
            found += 1;
        }
    }
    if found > 0 {
        report.findings.push((SinkFinding::AlreadyStored, found));
    }
}

impl SinkConnection {
    /// Returns true if the first event has failed alone for so long that the next event is to be tried.
    pub(super) fn wants_neighbour(&self, batch: &DeliveryBatch) -> bool {
        let (Some(suspect), Some(first)) = (&self.suspect, batch.items.first()) else {
            return false;
        };
        let (delivered, rule) = (self.status.count_delivered(0), self.config.retry.give_up);
        // With several connections, the deliveries of the others are the comparison.
        let has_one =
            batch.items.len() > 1 || (self.config.concurrency == 1 && self.status.has_next());
        has_one
            && batch.groups.front() == Some(&1)
            && suspect.wants_neighbour(first.position, delivered, Instant::now(), rule)
    }

    /// Applies the verdict of the comparison event. Returns true if the target took it.
    pub(super) fn apply_neighbour(&mut self, batch: &mut DeliveryBatch, report: Report) -> bool {
        let verdict = report.verdicts.into_iter().next().unwrap_or(Verdict::NotTried);
        let is_delivered = verdict == Verdict::Delivered;
        self.status.count_delivered(u64::from(is_delivered));
        if let Some(suspect) = &mut self.suspect {
            suspect.compared();
        }
        batch.apply_to_second(verdict, &self.status.name);
        is_delivered
    }

    /// Applies the verdicts of the first group. Returns true on progress.
    pub(super) fn apply(&mut self, batch: &mut DeliveryBatch, mut report: Report) -> bool {
        let is_delivered = |verdict: &&Verdict| **verdict == Verdict::Delivered;
        let count = report.verdicts.iter().filter(is_delivered).count();
        let delivered = self.status.count_delivered(count as u64);
        let is_alone = batch.groups.front() == Some(&1);
        let name = Arc::clone(&self.status.name);
        if is_alone
            && let Some(verdict) = report.verdicts.pop_if(|verdict| may_be_its_fault(verdict))
            && let Some(position) = batch.items.first().map(|item| item.position)
        {
            let (now, rule) = (Instant::now(), self.config.retry.give_up);
            if Suspect::note(&mut self.suspect, position, delivered, now, rule) {
                self.suspect = None;
                batch.give_up_first(verdict.into_reason(), &name);
                return true;
            }
            report.verdicts.push(verdict);
        }
        let has_moved = batch.apply(report.verdicts, &name);
        if has_moved {
            self.suspect = None;
        }
        has_moved
    }
}
