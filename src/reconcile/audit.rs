//! Comparison of audit events, in slices of the time range: an ended comparison continues with the next slice.

use std::collections::HashSet;
use std::ops::Range;

use super::class::{LookUps, RecordClass};
use super::local::LocalIndex;
use super::report::{ReconcileReport, list, time_text};
use super::resume_point::ResumePoint;
use super::take_in::{self, TakeIn};
use super::{Comparison, Network, Progress, ReconcileError};
use crate::pingone::{Activity, Subscription, encoded};
use crate::spool::{DedupKey, Millis};

/// Length of a slice.
const SLICE: Millis = 3_600_000;

/// Events that are looked up together: one pass over the remembered ids.
const LOOKED_UP_TOGETHER: usize = 20_000;

/// Distance by which a query exceeds its slice: events at the border are listed by both neighbours, never by none.
const OVERLAP: Millis = 1000;

/// Events per page. PingOne may send fewer.
const PAGE_EVENTS: &str = "500";

const NOT_TAKEN_IN: &str = "some missing events are not taken in, because no webhook is known to send all events of their \
                            type to this service";

/// Types that webhooks send to the compared source.
#[derive(Debug)]
pub(super) struct SubscribedTypes {
    /// `None` if no webhook could be found; then every type counts as subscribed.
    webhooks: Option<Vec<Subscription>>,
}

impl SubscribedTypes {
    pub(super) fn contains(&self, kind: &str) -> bool {
        let webhooks = self.webhooks.as_ref();
        webhooks.is_none_or(|webhooks| webhooks.iter().any(|webhook| webhook.includes(kind)))
    }

    /// Returns true if a webhook is known to send each event of the type: an event that the operator excludes is never
    /// taken in.
    fn is_certain(&self, kind: &str) -> bool {
        let sends_all = |it: &Subscription| it.includes(kind) && !it.has_other_filters();
        self.webhooks.as_ref().is_some_and(|webhooks| webhooks.iter().any(sends_all))
    }
}

/// Reads the webhooks that post to the source. Notes why a missing event may not be sent yet, or at all.
pub(super) fn subscribed(
    comparison: &Comparison<'_>,
    network: &mut Network,
    report: &mut ReconcileReport,
) -> Result<SubscribedTypes, ReconcileError> {
    let mut found: Vec<Subscription> = Vec::new();
    let path = comparison.path;
    let listed = network.each(
        "/subscriptions",
        String::new(),
        "subscriptions",
        |page| {
            found.extend(page);
            Ok(())
        },
        |raw| Subscription::read(&raw).filter(|webhook| webhook.posts_to(path)),
    );
    if let Err(error) = listed {
        let Some(reason) = error.refusal() else { return Err(error) };
        report.note(format!(
            "the webhooks are not known, so every type counts as subscribed: {reason}"
        ));
        return Ok(SubscribedTypes { webhooks: None });
    }
    if found.is_empty() {
        report.note(format!(
            "no webhook of this environment posts to a URL that ends with {path}, so every type counts as subscribed"
        ));
        return Ok(SubscribedTypes { webhooks: None });
    }
    for webhook in &found {
        if !webhook.enabled {
            report.note(format!(
                "webhook {:?} is disabled: PingOne keeps its events for two weeks and sends them when it is enabled",
                webhook.name
            ));
        }
        if webhook.has_other_filters() {
            report.note(format!(
                "webhook {:?} also filters by application, population or tag: events that it excludes count as missing",
                webhook.name
            ));
        }
    }
    Ok(SubscribedTypes { webhooks: Some(found) })
}

/// Compares the audit events of all slices that the resume point does not have.
pub(super) fn compare(
    comparison: &Comparison<'_>,
    network: &mut Network,
    subscribed: &SubscribedTypes,
    local: &mut LocalIndex,
    mut take_in: Option<&mut TakeIn<'_>>,
    resume_point: &mut ResumePoint,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ReconcileError> {
    while let Some(slice) = next_slice(&comparison.range, resume_point.done_until) {
        // A slice that fails leaves no part of itself in the resume point.
        let mut judge = Judge {
            comparison,
            subscribed,
            local: &mut *local,
            slice: slice.clone(),
            report: resume_point.report.clone(),
            waiting: Vec::new(),
            seen: HashSet::new(),
        };
        let query = query(&slice);
        let unreadable = network.each(
            "/activities",
            query,
            "activities",
            |page| {
                judge.waiting.extend(page);
                if judge.waiting.len() >= LOOKED_UP_TOGETHER {
                    judge.look_up(take_in.as_deref_mut())?;
                    progress(Progress::Records(judge.report.events.listed()));
                }
                Ok(())
            },
            Activity::read,
        )?;
        judge.look_up(take_in.as_deref_mut())?;
        let Judge { mut report, .. } = judge;
        report.unreadable += unreadable;
        for (id, event) in local.unlisted(&slice) {
            report.events.only_here += 1;
            list(&mut report.only_here_events, id, event.recorded_at, &event.kind);
        }
        progress(Progress::Records(report.events.listed()));
        resume_point.advance(slice.end, report)?;
    }
    Ok(())
}

/// Classifies the events of one slice.
struct Judge<'a> {
    comparison: &'a Comparison<'a>,
    subscribed: &'a SubscribedTypes,
    local: &'a mut LocalIndex,
    slice: Range<Millis>,
    report: ReconcileReport,
    waiting: Vec<Activity>,
    /// Ids that were counted: a list may have an event twice.
    seen: HashSet<Box<str>>,
}

impl Judge<'_> {
    /// Looks the waiting events up, counts them, and passes the missing ones on.
    fn look_up(&mut self, take_in: Option<&mut TakeIn<'_>>) -> Result<(), ReconcileError> {
        let events = std::mem::take(&mut self.waiting);
        let key = |event: &Activity| {
            let nanos = event.recorded_at.rem_euclid(1000) as u32 * 1_000_000;
            let instant = (event.recorded_at.div_euclid(1000), nanos);
            DedupKey::new(self.comparison.source, &event.id, instant)
        };
        let keys: Vec<DedupKey> = events.iter().map(key).collect();
        let remembered = self.local.remembers(&keys)?;
        let mut missing = Vec::new();
        for (event, is_remembered) in events.iter().zip(remembered) {
            if self.classify(event, is_remembered) == Some(RecordClass::Missing) {
                missing.push(event);
            }
        }
        if let Some(take_in) = take_in {
            let all = missing.len();
            missing.retain(|event| self.subscribed.is_certain(&event.kind));
            if missing.len() < all {
                self.report.note(NOT_TAKEN_IN.to_owned());
            }
            self.report.events.fetched += take_in::pass(&missing, take_in)?;
        }
        Ok(())
    }

    /// Counts one event. `None` if it belongs to another slice, or was counted before.
    fn classify(&mut self, event: &Activity, is_remembered: bool) -> Option<RecordClass> {
        let Activity { id, recorded_at, kind, .. } = event;
        let found = self.local.event(id);
        let own_time = found.map(|found| {
            found.is_listed = true;
            found.recorded_at
        });
        if !self.slice.contains(recorded_at) || !self.seen.insert(id.as_str().into()) {
            return None;
        }
        let class = LookUps {
            is_received: own_time.is_some() || is_remembered,
            is_quarantined: self.local.is_quarantined(id),
            is_subscribed: self.subscribed.contains(kind),
            is_certain: self.local.is_certain(*recorded_at),
        }
        .class();
        let report = &mut self.report;
        let counts = &mut report.events;
        match class {
            RecordClass::Received => {
                counts.received += 1;
                let differs = own_time.is_some_and(|own| own != *recorded_at);
                counts.time_differs += u64::from(differs);
            }
            RecordClass::Quarantined => counts.quarantined += 1,
            RecordClass::NotSubscribed => {
                counts.not_subscribed += 1;
                *report.not_subscribed_types.entry(kind.clone()).or_default() += 1;
            }
            RecordClass::Unknown => counts.unknown += 1,
            RecordClass::Missing => {
                counts.missing += 1;
                list(&mut report.missing_events, id, *recorded_at, kind);
            }
        }
        Some(class)
    }
}

/// Returns the slice after `done_until`.
fn next_slice(range: &Range<Millis>, done_until: Millis) -> Option<Range<Millis>> {
    let start = range.start.max(done_until);
    (start < range.end).then(|| start..range.end.min(start + SLICE))
}

/// Returns the query for a slice. PingOne's bounds are exclusive.
fn query(slice: &Range<Millis>) -> String {
    let filter = format!(
        "recordedAt gt \"{}\" AND recordedAt lt \"{}\"",
        time_text(slice.start - OVERLAP),
        time_text(slice.end + OVERLAP)
    );
    encoded(&[("filter", &filter), ("limit", PAGE_EVENTS)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_range_without_gap_or_overlap() {
        for range in [0..1, 0..SLICE, 5..2 * SLICE + 7, 3..3] {
            let (mut done, mut at) = (Millis::MIN, range.start);
            while let Some(slice) = next_slice(&range, done) {
                assert!(slice.start == at && slice.end > slice.start, "{slice:?} of {range:?}");
                assert!(slice.end - slice.start <= SLICE);
                (done, at) = (slice.end, slice.end);
            }
            assert_eq!(at, range.end.max(range.start));
        }
    }
}
