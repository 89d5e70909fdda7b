//! Messages that were written and may not have been read: sent again when the connection turns out to
//! be lost.
//!
//! The first repetition goes out at once, all of it. A message that is lost a second time goes
//! carefully: as many as the receiver is likely to take, then the end of the stream. A receiver that
//! ends it as well has read them ([`Connection::close`](super::Connection::close)), so that one which
//! takes little of each connection still gets on; where it does not, the next group is smaller. A
//! receiver that never ends a connection after us confirms nothing: it gets all of them again.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::ResendConfig;

/// The last messages, bounded by number and age.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    limits: ResendConfig,
    messages: VecDeque<Message>,
    /// Messages of a careful repetition at most.
    step: usize,
}

#[derive(Debug)]
struct Message {
    written_at: Instant,
    /// False until it has been written to a second connection.
    is_repeated: bool,
    bytes: Vec<u8>,
}

impl Unconfirmed {
    pub(super) fn new(limits: ResendConfig) -> Unconfirmed {
        Unconfirmed { limits, messages: VecDeque::new(), step: usize::MAX }
    }

    /// Messages that it can hold.
    pub(super) fn capacity(&self) -> usize {
        self.limits.messages
    }

    /// Remembers messages that have just been written.
    pub(super) fn add(&mut self, messages: &[&[u8]], now: Instant) {
        let skipped = messages.len().saturating_sub(self.limits.messages);
        self.messages.extend(messages[skipped..].iter().map(|message| Message {
            written_at: now,
            is_repeated: false,
            bytes: message.to_vec(),
        }));
        let excess = self.messages.len().saturating_sub(self.limits.messages);
        self.messages.drain(..excess);
    }

    /// Notes that the first `count` have been written once more.
    pub(super) fn renew(&mut self, count: usize, now: Instant) {
        for message in self.messages.iter_mut().take(count) {
            message.written_at = now;
            message.is_repeated = true;
        }
    }

    /// Forgets all of them: they have been read.
    pub(super) fn confirm(&mut self) {
        self.messages.clear();
        self.step = usize::MAX;
    }

    /// Forgets the first `count`, which have been read, and lets the next group be larger.
    pub(super) fn confirm_first(&mut self, count: usize) {
        self.messages.drain(..count.min(self.messages.len()));
        self.step = count.max(1).saturating_mul(2);
        if self.messages.is_empty() {
            self.step = usize::MAX;
        }
    }

    /// Makes the next careful group a part of `count`, which have not been confirmed.
    pub(super) fn go_smaller(&mut self, count: usize, divisor: usize) {
        self.step = (count / divisor).max(1);
    }

    /// Forgets messages that were written long before the connection ended. Returns how many are left:
    /// those may not have been read.
    pub(super) fn due(&mut self, ended: Instant) -> usize {
        let age = self.limits.age;
        self.messages.retain(|message| ended.saturating_duration_since(message.written_at) <= age);
        self.messages.len()
    }

    /// Size of the next careful group, where the first message is one that was repeated before.
    pub(super) fn careful(&self) -> Option<usize> {
        let is_repeated = self.messages.front().is_some_and(|message| message.is_repeated);
        is_repeated.then(|| self.step.min(self.messages.len()))
    }

    /// `count` messages from number `first` on.
    pub(super) fn range(&self, first: usize, count: usize) -> Vec<&[u8]> {
        self.messages.iter().skip(first).take(count).map(|message| &*message.bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn due(unconfirmed: &mut Unconfirmed, ended: Instant) -> Vec<&[u8]> {
        let count = unconfirmed.due(ended);
        unconfirmed.range(0, count)
    }

    #[test]
    fn the_last_ones_are_kept_for_a_while() {
        let mut unconfirmed =
            Unconfirmed::new(ResendConfig { messages: 3, age: Duration::from_secs(10) });
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        unconfirmed.add(&[b"1", b"2", b"3", b"4", b"5"], at(0));
        assert_eq!(due(&mut unconfirmed, at(1)), [b"3", b"4", b"5"]);
        unconfirmed.add(&[b"6"], at(8));
        assert_eq!(due(&mut unconfirmed, at(10)), [b"4", b"5", b"6"]);
        assert_eq!(due(&mut unconfirmed, at(11)), [b"6"]);
        unconfirmed.renew(1, at(50));
        assert_eq!(due(&mut unconfirmed, at(60)), [b"6"], "written again, lost again");
        unconfirmed.confirm();
        assert!(due(&mut unconfirmed, at(60)).is_empty());
    }

    #[test]
    fn messages_that_are_lost_twice_go_in_groups_that_halve_and_double() {
        let mut unconfirmed =
            Unconfirmed::new(ResendConfig { messages: 100, age: Duration::from_secs(10) });
        let now = Instant::now();
        unconfirmed.add(&[b".".as_slice(); 100], now);
        assert_eq!(unconfirmed.careful(), None, "the first repetition is all of them");
        unconfirmed.renew(100, now);
        let mut groups = Vec::new();
        while let Some(count) = unconfirmed.careful() {
            groups.push(count);
            // A receiver that takes 30 of each connection.
            if count > 30 {
                unconfirmed.go_smaller(count, 2);
            } else {
                unconfirmed.confirm_first(count);
            }
        }
        assert_eq!(groups, [100, 50, 25, 50, 25, 50, 25, 25]);
    }
}
