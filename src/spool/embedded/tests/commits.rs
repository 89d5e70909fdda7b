//! The group commit and its cursors: the time and the content of each answer, and the state of the store at that
//! moment.
//!
//! The writer is one thread, and all commands reach it through one queue. So runs can only differ in the commands that
//! have arrived when it takes the next group, and in the failing operations: [`schedules`] tries all of these for short
//! queues, in one thread. Schedulers such as loom or shuttle have fewer choices: neither has channels with a timeout,
//! and neither controls SQLite and tokio. [`stress`] combines real threads, syncs and faults.

mod faults;
mod schedules;
mod stress;
mod watched;
