//! What an attempt means for its batch, where one event may be to blame for all failures.

use std::sync::Arc;

use tokio::time::Instant;

use super::SinkConnection;
use crate::deliver::batch::Batch;
use crate::deliver::suspect::{Suspect, may_be_its_fault};
use crate::sinks::{Report, Verdict};

impl SinkConnection {
    /// Returns whether the first event has failed alone for so long that the next one is to be tried.
    pub(super) fn wants_neighbour(&self, batch: &Batch) -> bool {
        let (Some(suspect), Some(first)) = (&self.suspect, batch.items.first()) else {
            return false;
        };
        let (delivered, rule) = (self.status.count_delivered(0), self.config.retry.give_up);
        // Several connections tell by what the others have delivered.
        let has_one =
            batch.items.len() > 1 || (self.config.concurrency == 1 && self.status.has_next());
        has_one
            && batch.groups.front() == Some(&1)
            && suspect.wants_neighbour(first.position, delivered, Instant::now(), rule)
    }

    /// Settles the event that was sent to see if the target takes it. Returns true if the target did.
    pub(super) fn settle_neighbour(&mut self, batch: &mut Batch, report: Report) -> bool {
        let verdict = report.verdicts.into_iter().next().unwrap_or(Verdict::NotTried);
        let is_delivered = verdict == Verdict::Delivered;
        self.status.count_delivered(u64::from(is_delivered));
        if let Some(suspect) = &mut self.suspect {
            suspect.compared();
        }
        batch.settle_second(verdict, &self.status.name);
        is_delivered
    }

    /// Settles the first group. Returns true if anything has moved on.
    pub(super) fn settle(&mut self, batch: &mut Batch, mut report: Report) -> bool {
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
        let has_moved = batch.settle(report.verdicts, &name);
        if has_moved {
            self.suspect = None;
        }
        has_moved
    }
}
