//! What a sink's worker tells about itself, and what it is told.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// A sink's state, shared with whoever shows it or steers it.
#[derive(Debug)]
pub struct SinkStatus {
    /// The sink's name.
    pub name: Arc<str>,
    cursor: AtomicU64,
    /// When the oldest unsettled event was received; 0 when there is none.
    waiting_since: AtomicI64,
    /// Events that its target has taken since the start.
    delivered: AtomicU64,
    /// True if a batch waits for an idle connection.
    has_next: AtomicBool,
    /// One for each connection, and one for the worker.
    states: Mutex<Vec<SinkState>>,
    last_error: Mutex<Option<String>>,
    control: watch::Sender<Control>,
}

/// What operators want of a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) is_paused: bool,
    /// How often it was told to read its files again.
    pub(super) reloads: u64,
}

/// Whether a sink is getting on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SinkState {
    /// Delivering, or waiting for events.
    Running,
    /// The last attempt failed; it goes on by itself.
    Retrying {
        /// Failed attempts of this batch.
        attempts: u32,
        /// What the target said last.
        reason: String,
    },
    /// Somebody has to change something; its events are kept.
    Paused {
        /// What has to be changed.
        reason: String,
    },
    /// Another receiver delivers; this one takes over when that is gone.
    Standby {
        /// Which.
        leader: String,
    },
}

impl SinkState {
    /// Every state's name.
    pub const NAMES: [&str; 4] = ["running", "retrying", "paused", "standby"];

    fn severity(&self) -> u8 {
        match self {
            SinkState::Running => 0,
            SinkState::Retrying { .. } => 1,
            SinkState::Paused { .. } => 2,
            // What its parts were in when it was this one's turn is no longer so.
            SinkState::Standby { .. } => 3,
        }
    }

    /// The state's name, for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            SinkState::Running => "running",
            SinkState::Retrying { .. } => "retrying",
            SinkState::Paused { .. } => "paused",
            SinkState::Standby { .. } => "standby",
        }
    }
}

impl SinkStatus {
    /// A sink that has not begun.
    pub fn new(name: Arc<str>, cursor: u64, is_paused: bool, connections: usize) -> SinkStatus {
        SinkStatus {
            name,
            cursor: AtomicU64::new(cursor),
            waiting_since: AtomicI64::new(0),
            delivered: AtomicU64::new(0),
            has_next: AtomicBool::new(false),
            states: Mutex::new(vec![SinkState::Running; connections + 1]),
            last_error: Mutex::default(),
            control: watch::Sender::new(Control { is_paused, reloads: 0 }),
        }
    }

    /// The last position it has settled durably.
    pub fn cursor(&self) -> u64 {
        self.cursor.load(Ordering::Relaxed)
    }

    /// When the oldest event it is working on was received, milliseconds since the epoch.
    pub fn waiting_since(&self) -> Option<i64> {
        Some(self.waiting_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// Its state now: what an operator wants, else the worst that any of its parts is in.
    pub fn state(&self) -> SinkState {
        if self.control.borrow().is_paused {
            return by_operator();
        }
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().max_by_key(|state| state.severity()).cloned().unwrap_or(SinkState::Running)
    }

    /// Why it last did not get on, since the start; also if it has long gone on.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds it: an attempt that is under way is finished first.
    pub fn pause(&self) {
        self.control.send_modify(|control| control.is_paused = true);
    }

    /// Lets it go on, with its credentials and certificates read again.
    pub fn resume(&self) {
        self.control.send_modify(|control| {
            control.is_paused = false;
            control.reloads += 1;
        });
    }

    /// Does as an operator wants who has told another receiver.
    pub(super) fn follow(&self, is_paused: bool) {
        let was_paused = self.control.borrow().is_paused;
        match (was_paused, is_paused) {
            (false, true) => self.pause(),
            (true, false) => self.resume(),
            _ => {}
        }
    }

    /// All of its parts begin anew.
    pub(super) fn begin(&self) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).fill(SinkState::Running);
    }

    /// Has it read its credentials and certificates again and try at once.
    pub fn reload(&self) {
        self.control.send_modify(|control| control.reloads += 1);
    }

    /// Counts events that the target has taken. Returns all of them.
    pub(super) fn count_delivered(&self, count: u64) -> u64 {
        self.delivered.fetch_add(count, Ordering::Relaxed) + count
    }

    pub(super) fn has_next(&self) -> bool {
        self.has_next.load(Ordering::Relaxed)
    }

    pub(super) fn set_next(&self, has_next: bool) {
        self.has_next.store(has_next, Ordering::Relaxed);
    }

    pub(super) fn control(&self) -> watch::Receiver<Control> {
        self.control.subscribe()
    }

    pub(super) fn settled(&self, cursor: u64) {
        self.cursor.store(cursor, Ordering::Relaxed);
    }

    pub(super) fn waits_since(&self, received_at: Option<i64>) {
        self.waiting_since.store(received_at.unwrap_or(0), Ordering::Relaxed);
    }

    /// Sets the state of one part; returns the one before.
    pub(super) fn set(&self, part: usize, state: SinkState) -> SinkState {
        if let SinkState::Retrying { reason, .. } | SinkState::Paused { reason } = &state {
            let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(reason.clone());
        }
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get_mut(part) {
            Some(current) => std::mem::replace(current, state),
            None => state,
        }
    }
}

fn by_operator() -> SinkState {
    let reason = "paused by an operator; davinci-siem sink resume NAME lets it go on".to_owned();
    SinkState::Paused { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_parts_is_shown() {
        let status = SinkStatus::new("s".into(), 0, false, 2);
        let paused = SinkState::Paused { reason: "token".to_owned() };
        let retrying = SinkState::Retrying { attempts: 1, reason: "busy".to_owned() };
        status.set(0, paused.clone());
        status.set(1, SinkState::Running);
        status.set(2, retrying.clone());
        assert_eq!(status.state(), paused, "though another connection gets on");
        assert_eq!(status.set(0, SinkState::Running), paused);
        assert_eq!(status.state(), retrying);
        status.set(2, SinkState::Running);
        assert_eq!(status.state(), SinkState::Running);
        assert_eq!(status.last_error().as_deref(), Some("busy"));
        status.pause();
        status.set(0, SinkState::Running);
        assert_eq!(status.state(), by_operator(), "nothing hides what an operator wants");
        status.resume();
        assert_eq!(status.state(), SinkState::Running);
        assert_eq!(*status.control().borrow(), Control { is_paused: false, reloads: 1 });
    }
}
