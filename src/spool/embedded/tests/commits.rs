//! The group commit and the cursors in it: who is answered when, with what, and what is there by then.
//!
//! The writer is one thread, and all that others do reaches it through one queue. So what can differ from one
//! run to another is what has come by the time it asks, and what of it fails: [`schedules`] goes through all
//! of that, for short queues, in one thread. A scheduler such as loom or shuttle would have less to decide:
//! neither has channels whose waiting ends, and what happens in SQLite and tokio is out of their sight.
//! [`stress`] lets real threads, syncs and faults meet.

mod faults;
mod schedules;
mod stress;
mod watched;
