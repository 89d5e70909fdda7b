//! What can be told of a position and a sink. The spool keeps a cursor and totals, no record per event: where
//! those leave several answers, all of them are given.

use serde::Serialize;

use super::found::Found;
use crate::cli::output::safe;
use crate::config::Config;
use crate::deliver::SinkConfig;
use crate::spool::{DedupKey, Disposition, Millis, SpoolStats};

/// A stored event and one sink.
#[derive(Debug, Serialize)]
pub(super) struct Fate {
    pub(super) sink: String,
    pub(super) state: State,
    /// Every way in which the sink may have got past it; one, where that is certain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) possible: Vec<Way>,
    /// Whether the sink's filter lets it through, as the configuration is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wanted_now: Option<bool>,
    /// What in its filter does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filtered_by: Option<String>,
    /// The sink that the copy is for, where that is another.
    #[serde(skip)]
    other_sink: Option<String>,
    /// Entries of the quarantine that hold it for this sink.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dead_letters: Vec<i64>,
    pub(super) is_configured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// The sink's cursor has not passed it: still to be delivered.
    Waiting,
    /// Its cursor has.
    Passed,
    /// It has not, but receivers that deliver in parallel may have settled it before others.
    Unknown,
    /// A copy for another sink.
    NotForIt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    Delivered,
    Filtered,
    DeadLettered,
    /// The sink did not begin with the first position, or was not configured for a while: its totals do
    /// not add up to its cursor.
    Skipped,
}

/// A dead letter with the id.
pub(super) struct Letter {
    pub(super) entry: i64,
    pub(super) at: Millis,
    pub(super) sink: String,
    /// `None` for what is no event.
    pub(super) key: Option<DedupKey>,
}

/// What is known of one sink.
struct Stage<'a> {
    name: &'a str,
    cursor: u64,
    ways: Vec<Way>,
    /// The position that it began after, if that is known.
    began_after: Option<u64>,
    /// Whether every dead letter of the sink is still in quarantine.
    has_all_letters: bool,
    is_configured: bool,
    /// Whether what lies after the cursor has still to be settled.
    is_ordered: bool,
}

/// What each sink has made of `found`, one of `copies`.
pub(super) fn of(
    found: &Found,
    copies: &[Found],
    stats: &SpoolStats,
    letters: &[Letter],
    config: &Config,
) -> Vec<Fate> {
    stages(stats, config).iter().map(|stage| one(found, copies, stage, letters)).collect()
}

/// Sinks that the spool knows, and those that are configured and have never run.
fn stages<'a>(stats: &'a SpoolStats, config: &'a Config) -> Vec<Stage<'a>> {
    let is_ordered = config.spool.engine.is_ordered();
    // Who was retried or purged is not recorded.
    let is_gone =
        |counted: Disposition| matches!(counted, Disposition::Released | Disposition::Purged);
    let has_all_letters =
        !stats.totals.iter().any(|(_, counted, count)| is_gone(*counted) && *count > 0);
    let known = stats.sinks.iter().map(|sink| {
        let is_configured = config.sinks.iter().any(|configured| configured.name == sink.sink);
        let (ways, began_after) = match is_ordered {
            true => ways(stats, &sink.sink, sink.cursor),
            false => (Vec::new(), None),
        };
        let (name, cursor) = (sink.sink.as_str(), sink.cursor);
        Stage { name, cursor, ways, began_after, has_all_letters, is_configured, is_ordered }
    });
    let is_new = |sink: &&SinkConfig| stats.sinks.iter().all(|known| known.sink != sink.name);
    let new = config.sinks.iter().filter(is_new);
    let new = new.map(|sink| Stage {
        name: &sink.name,
        cursor: 0,
        ways: Vec::new(),
        began_after: None,
        has_all_letters,
        is_configured: true,
        is_ordered,
    });
    known.chain(new).collect()
}

/// The ways in which a sink has got past anything at all, and the position that it began after, where that is known.
fn ways(stats: &SpoolStats, sink: &str, cursor: u64) -> (Vec<Way>, Option<u64>) {
    let total = |disposition: &str| {
        let is_its = |(name, counted, _): &&(String, Disposition, u64)| {
            name == sink && counted.as_str() == disposition
        };
        stats.totals.iter().find(is_its).map_or(0, |(_, _, count)| *count)
    };
    let delivered = total("delivered");
    let (filtered, dead_lettered) = (total("filtered"), total("dead_lettered"));
    // Not every engine and not every spool counts these.
    let (retired, before_start) = (total("retired"), total("before_start"));
    let passed = delivered + filtered + dead_lettered + total("not_addressed");
    let is_complete = passed + retired + before_start == cursor;
    let ways = [
        (Way::Delivered, delivered > 0),
        (Way::Filtered, filtered > 0),
        (Way::DeadLettered, dead_lettered > 0),
        (Way::Skipped, passed != cursor),
    ];
    let ways = ways.into_iter().filter_map(|(way, is_possible)| is_possible.then_some(way));
    (ways.collect(), Some(before_start).filter(|_| is_complete && retired == 0))
}

fn one(found: &Found, copies: &[Found], stage: &Stage<'_>, letters: &[Letter]) -> Fate {
    let Stage { name, cursor, is_configured, is_ordered, .. } = *stage;
    let is_for_it = |found: &Found| found.only_sink.as_deref().is_none_or(|only| only == name);
    let state = match found.position {
        _ if !is_for_it(found) => State::NotForIt,
        position if position <= cursor => State::Passed,
        _ if is_ordered => State::Waiting,
        _ => State::Unknown,
    };
    let its_key = found.recorded.as_ref().map(|(_, key)| *key);
    let is_its = |letter: &&Letter| {
        letter.sink == name && letter.key == its_key && letter.at >= found.received_at
    };
    let its_letters: Vec<i64> = letters.iter().filter(is_its).map(|letter| letter.entry).collect();
    // A letter does not say which copy it was, and a copy outlives what it was made of. Only where the
    // original is all there is, it must have been that.
    let copies = copies.iter().filter(|copy| is_for_it(copy)).count();
    let filtered = found.filtered.iter().find(|(sink, _)| sink == name).map(|(_, by)| by);
    let wanted = filtered.map(Option::is_none);
    let is_original = found.only_sink.is_none() && copies == 1;
    let possible = match state {
        State::Waiting | State::Unknown | State::NotForIt => Vec::new(),
        State::Passed if is_original && !its_letters.is_empty() => vec![Way::DeadLettered],
        State::Passed => possible(stage, found.position, wanted, !its_letters.is_empty()),
    };
    let is_for_it = state != State::NotForIt;
    Fate {
        sink: name.to_owned(),
        state,
        possible,
        wanted_now: wanted.filter(|_| is_for_it),
        filtered_by: filtered.cloned().flatten().filter(|_| is_for_it),
        other_sink: found.only_sink.as_deref().filter(|_| !is_for_it).map(str::to_owned),
        dead_letters: if is_for_it { its_letters } else { Vec::new() },
        is_configured,
    }
}

/// The ways in which a sink may have got past an event that it has passed: of those that it has gone at all, without
/// what its filter and the quarantine rule out.
fn possible(stage: &Stage<'_>, position: u64, wanted: Option<bool>, has_letters: bool) -> Vec<Way> {
    let Stage { ways, began_after, has_all_letters, .. } = stage;
    if began_after.is_some_and(|before| position <= before) {
        return vec![Way::Skipped];
    }
    if wanted == Some(false) && ways.contains(&Way::Filtered) {
        return vec![Way::Filtered];
    }
    let is_ruled_out = |way: &Way| match way {
        Way::Filtered => wanted == Some(true),
        Way::DeadLettered => !has_letters && *has_all_letters,
        Way::Skipped => began_after.is_some(),
        Way::Delivered => false,
    };
    let left: Vec<Way> = ways.iter().filter(|way| !is_ruled_out(way)).copied().collect();
    // The filter was another then.
    if left.is_empty() { ways.clone() } else { left }
}

impl Fate {
    /// For people.
    pub(super) fn words(&self) -> String {
        let mut words = match (self.state, &*self.possible) {
            (State::NotForIt, _) => {
                let other = safe(self.other_sink.as_deref().unwrap_or_default());
                return format!("replayed or retried for sink {other} only: not for this sink");
            }
            (State::Waiting, _) => "not delivered yet".to_owned(),
            (State::Unknown, _) => {
                "not delivered yet, or before others: receivers deliver in parallel".to_owned()
            }
            // Its totals are gone; its cursor is not.
            (State::Passed, []) => "passed; how is not recorded".to_owned(),
            (State::Passed, [Way::Filtered]) if self.filtered_by.is_some() => {
                format!("filtered: {}", self.filtered_by.as_deref().unwrap_or_default())
            }
            (State::Passed, [way]) => way.word().to_owned(),
            (State::Passed, ways) => {
                let words: Vec<&str> = ways.iter().map(|way| way.word()).collect();
                format!("passed: {}; which is not recorded per event", words.join(" or "))
            }
        };
        if !self.dead_letters.is_empty() {
            let entries: Vec<String> = self.dead_letters.iter().map(i64::to_string).collect();
            words += &format!(" (quarantine {})", entries.join(", "));
        }
        match (&self.filtered_by, self.possible.contains(&Way::Filtered)) {
            (Some(by), false) => {
                words += &format!("; its filter, as it is now, leaves it out ({by})");
            }
            (None, true) if self.wanted_now == Some(true) => {
                words += "; its filter, as it is now, lets it through";
            }
            _ => {}
        }
        if !self.is_configured {
            words += "; the sink is not configured now";
        }
        words
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Way::Delivered => "delivered",
            Way::Filtered => "filtered",
            Way::DeadLettered => "dead-lettered",
            Way::Skipped => {
                "skipped (received before the sink began, or while it was not configured)"
            }
        }
    }
}
