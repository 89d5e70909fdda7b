//! State of a sink, and its control by operators.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

/// State of a sink, shared by its worker, the admin API and the metrics.
#[derive(Debug)]
pub(crate) struct SinkStatus {
    /// The sink's name.
    pub(crate) name: Arc<str>,
    cursor: AtomicU64,
    /// Receive time of the oldest uncommitted event, in ms since the Unix epoch; 0 if there is none.
    waiting_since: AtomicI64,
    /// Events that the target has taken since the start.
    delivered: AtomicU64,
    /// True if a batch waits for an idle connection.
    has_next: AtomicBool,
    /// One state per connection, and the worker's as the last.
    states: Mutex<Vec<PartState>>,
    last_error: Mutex<Option<LastError>>,
    target: Mutex<SinkTarget>,
    control: watch::Sender<Control>,
}

/// State of one connection or of the worker, and the time of its next attempt.
#[derive(Debug, Clone)]
struct PartState {
    state: SinkState,
    next_attempt: Option<Instant>,
}

/// Last failure of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastError {
    /// Reason, in an operator's words.
    pub(crate) reason: String,
    /// Time of the failure.
    pub(crate) at: Instant,
}

/// Type and address of a sink's target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SinkTarget {
    /// Value of `type` in the configuration.
    pub(crate) kind: &'static str,
    /// Address without credentials.
    pub(crate) address: String,
}

/// State requested by operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) is_paused: bool,
    /// Number of requested reloads of its files.
    pub(super) reloads: u64,
}

/// State of delivery to a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum SinkState {
    /// Delivering, or waiting for events.
    Running,
    /// The last attempt failed; the next follows after the backoff.
    Retrying {
        /// Number of failed attempts with this batch.
        attempts: u32,
        /// Reason of the last failure.
        reason: String,
    },
    /// An operator has to act; the events are kept.
    Paused {
        /// Reason, with the setting to change.
        reason: String,
    },
    /// Another receiver holds the lease. This one takes over when that lease expires.
    Standby {
        /// Holder of the lease.
        leader: String,
    },
}

impl SinkState {
    /// Names of all states.
    pub(crate) const NAMES: [&str; 4] = ["running", "retrying", "paused", "standby"];

    fn severity(&self) -> u8 {
        match self {
            SinkState::Running => 0,
            SinkState::Retrying { .. } => 1,
            SinkState::Paused { .. } => 2,
            // The connections' states are from a lease that has ended.
            SinkState::Standby { .. } => 3,
        }
    }

    /// Returns the state's name, for metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            SinkState::Running => "running",
            SinkState::Retrying { .. } => "retrying",
            SinkState::Paused { .. } => "paused",
            SinkState::Standby { .. } => "standby",
        }
    }
}

impl SinkStatus {
    /// Creates the status of a sink that has not started.
    pub(crate) fn new(
        name: Arc<str>,
        cursor: u64,
        is_paused: bool,
        connections: usize,
    ) -> SinkStatus {
        SinkStatus {
            name,
            cursor: AtomicU64::new(cursor),
            waiting_since: AtomicI64::new(0),
            delivered: AtomicU64::new(0),
            has_next: AtomicBool::new(false),
            states: Mutex::new(vec![PartState::running(); connections + 1]),
            last_error: Mutex::default(),
            target: Mutex::default(),
            control: watch::Sender::new(Control { is_paused, reloads: 0 }),
        }
    }

    /// Returns the committed cursor.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor.load(Ordering::Relaxed)
    }

    /// Returns the receive time of the oldest uncommitted event, in ms since the Unix epoch.
    pub(crate) fn waiting_since(&self) -> Option<i64> {
        Some(self.waiting_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// Returns the state: paused by an operator, or else the most severe of its connections and worker.
    pub(crate) fn state(&self) -> SinkState {
        if self.control.borrow().is_paused {
            return by_operator();
        }
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let states = states.iter().map(|part| &part.state);
        states.max_by_key(|state| state.severity()).cloned().unwrap_or(SinkState::Running)
    }

    /// Returns the last failure since the start, also after recovery.
    pub(crate) fn last_error(&self) -> Option<LastError> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the time of the next attempt of a sink that waits after a failure. A sink that an operator has paused
    /// makes none.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        if self.control.borrow().is_paused {
            return None;
        }
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().filter_map(|part| part.next_attempt).min()
    }

    /// Returns type and address of the target.
    pub(crate) fn target(&self) -> SinkTarget {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets type and address of the target. `address` contains no credentials.
    pub(super) fn set_target(&self, kind: &'static str, address: String) {
        let target = SinkTarget { kind, address };
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Returns true if an operator has paused the sink.
    pub(crate) fn is_paused_by_operator(&self) -> bool {
        self.control.borrow().is_paused
    }

    /// Pauses the sink after the attempt in flight.
    pub(crate) fn pause(&self) {
        self.control.send_modify(|control| control.is_paused = true);
    }

    /// Resumes the sink. Its credentials and certificates are read again.
    pub(crate) fn resume(&self) {
        self.control.send_modify(|control| {
            control.is_paused = false;
            control.reloads += 1;
        });
    }

    /// Applies the pause flag that an operator set on another receiver.
    pub(super) fn follow(&self, is_paused: bool) {
        let was_paused = self.control.borrow().is_paused;
        match (was_paused, is_paused) {
            (false, true) => self.pause(),
            (true, false) => self.resume(),
            _ => {}
        }
    }

    /// Resets the connections, of which there are `connections` now, and the worker to running.
    pub(super) fn begin(&self, connections: usize) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        *states = vec![PartState::running(); connections + 1];
    }

    /// Reads credentials and certificates again and retries at once.
    pub(crate) fn reload(&self) {
        self.control.send_modify(|control| control.reloads += 1);
    }

    /// Adds `count` to the delivered events. Returns the sum.
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

    pub(super) fn set_cursor(&self, cursor: u64) {
        self.cursor.store(cursor, Ordering::Relaxed);
    }

    pub(super) fn set_waiting_since(&self, received_at: Option<i64>) {
        self.waiting_since.store(received_at.unwrap_or(0), Ordering::Relaxed);
    }

    /// Sets the state of one connection or of the worker. Returns the previous state.
    pub(super) fn set(&self, part: usize, state: SinkState) -> SinkState {
        if let SinkState::Retrying { reason, .. } | SinkState::Paused { reason } = &state {
            let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(LastError { reason: reason.clone(), at: Instant::now() });
        }
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get_mut(part) {
            Some(current) => {
                let new = PartState { state, next_attempt: None };
                std::mem::replace(current, new).state
            }
            None => state,
        }
    }

    /// Sets the time of the next attempt of one connection. [`set`](SinkStatus::set) removes it.
    pub(super) fn set_next_attempt(&self, part: usize, at: Instant) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = states.get_mut(part) {
            current.next_attempt = Some(at);
        }
    }
}

impl PartState {
    fn running() -> PartState {
        PartState { state: SinkState::Running, next_attempt: None }
    }
}

fn by_operator() -> SinkState {
    let reason = "paused by an operator; resume it with davinci-siem sink resume NAME".to_owned();
    SinkState::Paused { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_severe_state_is_shown() {
        let status = SinkStatus::new("s".into(), 0, false, 2);
        let paused = SinkState::Paused { reason: "token".to_owned() };
        let retrying = SinkState::Retrying { attempts: 1, reason: "busy".to_owned() };
        status.set(0, paused.clone());
        status.set(1, SinkState::Running);
        status.set(2, retrying.clone());
        assert_eq!(status.state(), paused, "though another connection delivers");
        assert_eq!(status.set(0, SinkState::Running), paused);
        assert_eq!(status.state(), retrying);
        status.set(2, SinkState::Running);
        assert_eq!(status.state(), SinkState::Running);
        let at = Instant::now();
        status.set_next_attempt(0, at);
        assert_eq!(status.next_attempt(), Some(at));
        assert_eq!(status.last_error().map(|error| error.reason).as_deref(), Some("busy"));
        status.pause();
        assert_eq!(status.next_attempt(), None, "a paused sink makes no attempt");
        status.set(0, SinkState::Running);
        assert_eq!(status.state(), by_operator(), "no failure hides an operator's pause");
        status.resume();
        assert_eq!(status.state(), SinkState::Running);
        assert_eq!(status.next_attempt(), None, "the attempt was made");
        assert_eq!(*status.control().borrow(), Control { is_paused: false, reloads: 1 });
    }
}
