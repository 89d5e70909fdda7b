//! Unconfirmed messages: written, but possibly not read. They are sent again after the connection is lost.
//!
//! The first repetition sends all of them. Messages that are lost a second time are sent in groups: the sink writes a
//! group and closes the connection. A receiver that closes it in order, too, has read the group
//! ([`SyslogConnection::close`](super::SyslogConnection::close)), and the next group is larger; otherwise the next group
//! is smaller. So a receiver that reads only a few messages per connection still makes progress. A receiver that never
//! closes a connection in order confirms nothing and gets all of them again.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::ResendConfig;

/// The last written messages, bounded by number and age.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    limits: ResendConfig,
    messages: VecDeque<Message>,
    /// Upper bound of the next group, in messages.
    group_limit: usize,
}

#[derive(Debug)]
struct Message {
    written_at: Instant,
    /// True once the message was written to a second connection.
    is_repeated: bool,
    bytes: Vec<u8>,
}

impl Unconfirmed {
    pub(super) fn new(limits: ResendConfig) -> Unconfirmed {
        Unconfirmed { limits, messages: VecDeque::new(), group_limit: usize::MAX }
    }

    /// Returns the upper bound of the remembered messages.
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

    /// Marks the first `count` messages as written again, at `now`.
    pub(super) fn renew(&mut self, count: usize, now: Instant) {
        for message in self.messages.iter_mut().take(count) {
            message.written_at = now;
            message.is_repeated = true;
        }
    }

    /// Forgets all messages, because the receiver has read them.
    pub(super) fn confirm(&mut self) {
        self.messages.clear();
        self.group_limit = usize::MAX;
    }

    /// Forgets the first `count` messages, which the receiver has read, and doubles the next group.
    pub(super) fn confirm_first(&mut self, count: usize) {
        self.messages.drain(..count.min(self.messages.len()));
        self.group_limit = count.max(1).saturating_mul(2);
        if self.messages.is_empty() {
            self.group_limit = usize::MAX;
        }
    }

    /// Sets the size of the next group to `count / divisor`, at least 1, after an unconfirmed group of `count`.
    pub(super) fn shrink_group(&mut self, count: usize, divisor: usize) {
        self.group_limit = (count / divisor).max(1);
    }

    /// Forgets messages that were written more than `age` before the connection ended. Returns the number of the
    /// others, which may not have been read.
    pub(super) fn due(&mut self, ended: Instant) -> usize {
        let age = self.limits.age;
        self.messages.retain(|message| ended.saturating_duration_since(message.written_at) <= age);
        self.messages.len()
    }

    /// Returns the size of the next group; `None` if the first message was not repeated yet.
    pub(super) fn group_size(&self) -> Option<usize> {
        let is_repeated = self.messages.front().is_some_and(|message| message.is_repeated);
        is_repeated.then(|| self.group_limit.min(self.messages.len()))
    }

    /// Returns up to `count` messages from index `first` on.
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
        assert_eq!(unconfirmed.group_size(), None, "the first repetition is all of them");
        unconfirmed.renew(100, now);
        let mut groups = Vec::new();
        while let Some(count) = unconfirmed.group_size() {
            groups.push(count);
            // A receiver that reads 30 messages of each connection.
            if count > 30 {
                unconfirmed.shrink_group(count, 2);
            } else {
                unconfirmed.confirm_first(count);
            }
        }
        assert_eq!(groups, [100, 50, 25, 50, 25, 50, 25, 25]);
    }
}
