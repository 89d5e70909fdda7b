//! What a sink's worker tells about itself, and what it is told.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
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
    state: Mutex<SinkState>,
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
}

impl SinkState {
    /// Every state's name.
    pub const NAMES: [&str; 3] = ["running", "retrying", "paused"];

    /// The state's name, for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            SinkState::Running => "running",
            SinkState::Retrying { .. } => "retrying",
            SinkState::Paused { .. } => "paused",
        }
    }
}

impl SinkStatus {
    /// A sink that has not begun.
    pub fn new(name: Arc<str>, cursor: u64, is_paused: bool) -> SinkStatus {
        SinkStatus {
            name,
            cursor: AtomicU64::new(cursor),
            waiting_since: AtomicI64::new(0),
            state: Mutex::new(if is_paused { by_operator() } else { SinkState::Running }),
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

    /// Its state now.
    pub fn state(&self) -> SinkState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds it, or lets it go on. An attempt that is under way is finished first.
    pub fn pause(&self, is_paused: bool) {
        self.control.send_modify(|control| control.is_paused = is_paused);
        self.set(if is_paused { by_operator() } else { SinkState::Running });
    }

    /// Has it read its credentials and certificates again and try at once.
    pub fn reload(&self) {
        self.control.send_modify(|control| control.reloads += 1);
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

    /// Sets the state; returns the one before. What an operator wants is not overwritten.
    pub(super) fn set(&self, state: SinkState) -> SinkState {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = if self.control.borrow().is_paused { by_operator() } else { state };
        std::mem::replace(&mut current, state)
    }
}

fn by_operator() -> SinkState {
    let reason = "paused by an operator; davinci-siem sink resume NAME lets it go on".to_owned();
    SinkState::Paused { reason }
}
