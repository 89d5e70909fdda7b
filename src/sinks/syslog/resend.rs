//! What was written and may not have been read: sent again when the connection turns out to be lost.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::config::Resend;

/// The last messages, bounded by number and age.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    limits: Resend,
    messages: VecDeque<(Instant, Vec<u8>)>,
}

impl Unconfirmed {
    pub(super) fn new(limits: Resend) -> Unconfirmed {
        Unconfirmed { limits, messages: VecDeque::new() }
    }

    /// Remembers what has just been written.
    pub(super) fn add(&mut self, messages: &[&[u8]], now: Instant) {
        let skipped = messages.len().saturating_sub(self.limits.messages);
        self.messages.extend(messages[skipped..].iter().map(|message| (now, message.to_vec())));
        let excess = self.messages.len().saturating_sub(self.limits.messages);
        self.messages.drain(..excess);
    }

    /// All of them have been written once more.
    pub(super) fn renew(&mut self, now: Instant) {
        self.messages.iter_mut().for_each(|(at, _)| *at = now);
    }

    /// None of them is needed any more.
    pub(super) fn confirm(&mut self) {
        self.messages.clear();
    }

    /// What was written not long before the connection ended: it may not have been read. The rest is
    /// forgotten.
    pub(super) fn due(&mut self, ended: Instant) -> Vec<&[u8]> {
        let age = self.limits.age;
        self.messages.retain(|(at, _)| ended.saturating_duration_since(*at) <= age);
        self.messages.iter().map(|(_, message)| message.as_slice()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_ones_are_kept_for_a_while() {
        let mut unconfirmed =
            Unconfirmed::new(Resend { messages: 3, age: Duration::from_secs(10) });
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        unconfirmed.add(&[b"1", b"2", b"3", b"4", b"5"], at(0));
        assert_eq!(unconfirmed.due(at(1)), [b"3", b"4", b"5"]);
        unconfirmed.add(&[b"6"], at(8));
        assert_eq!(unconfirmed.due(at(10)), [b"4", b"5", b"6"]);
        assert_eq!(unconfirmed.due(at(11)), [b"6"]);
        unconfirmed.renew(at(50));
        assert_eq!(unconfirmed.due(at(60)), [b"6"], "written again, lost again");
        unconfirmed.confirm();
        assert!(unconfirmed.due(at(60)).is_empty());
    }
}
