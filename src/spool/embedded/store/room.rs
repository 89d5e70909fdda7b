//! The quarantine's room: what its entries take of `quarantine_max_size`, and whether anyone found none.
//!
//! What is refused comes from strangers, so it has a bound of its own, far below the one of the events.
//! Both senders and sinks can do without: a batch that finds no room is not acknowledged, and a sink does
//! not pass the event.

/// How much room there is, as of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuarantineRoom {
    max: u64,
    used: u64,
    /// The most that anyone was refused, until there is room for it.
    wanted: u64,
}

impl QuarantineRoom {
    /// The room that entries of `used` bytes leave, where `wanted` bytes found none.
    pub(crate) fn new(max: u64, used: u64, wanted: u64) -> QuarantineRoom {
        QuarantineRoom { max, used, wanted }
    }

    /// Takes room for what is added together; false if it does not fit.
    pub(crate) fn take(&mut self, size: u64) -> bool {
        let fits = size == 0 || self.used.saturating_add(size) <= self.max;
        self.settle(fits, size)
    }

    /// As [`take`](Self::take), for what cannot be divided. Larger than all of the room, it would wait for
    /// ever: the bound was lowered, or redaction has made it grow. It is let in while any room is free, so the
    /// bound is passed by one of these at most.
    pub(crate) fn take_undivided(&mut self, size: u64) -> bool {
        let is_oversized = size > self.max && self.used < self.max;
        let fits = is_oversized || size == 0 || self.used.saturating_add(size) <= self.max;
        self.settle(fits, size)
    }

    fn settle(&mut self, fits: bool, size: u64) -> bool {
        if fits {
            self.used += size;
        } else {
            // What is larger than all of it needs no more than some.
            self.wanted = self.wanted.max(if size > self.max { 1 } else { size });
        }
        fits
    }

    /// Gives the room of an entry back.
    pub(crate) fn free(&mut self, size: u64) {
        self.used = self.used.saturating_sub(size);
    }

    /// Bytes that entries take.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that are free.
    pub(crate) fn left(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    /// The most that anyone was refused, until there is room for it.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Whether what was refused would be refused again. Small entries that still fit do not end this
    /// state: only removing does, so that nobody who sends can make it come and go.
    pub(crate) fn is_full(&mut self) -> bool {
        if self.used.saturating_add(self.wanted) <= self.max {
            self.wanted = 0;
        }
        self.wanted > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_from_the_first_refusal_until_that_would_fit() {
        let mut room = QuarantineRoom::new(100, 40, 0);
        assert!(room.take(60) && !room.is_full(), "the last byte is room, too");
        assert!(room.take(0), "whoever adds nothing needs none");
        assert!(!room.take(30) && !room.take(1) && room.is_full());
        room.free(29);
        assert!(room.is_full(), "one byte is missing");
        assert!(room.take(29) && room.is_full(), "what is small enough goes in meanwhile");
        room.free(30);
        assert_eq!((room.is_full(), room.used(), room.left()), (false, 70, 30));
        assert!(room.take(30) && !room.is_full());
    }

    #[test]
    fn what_is_larger_than_all_of_it_is_let_in_one_at_a_time() {
        let mut room = QuarantineRoom::new(100, 99, 0);
        assert!(!room.take(101) && !room.is_full(), "a part of it finds room");
        assert!(room.take_undivided(101) && room.used() == 200);
        assert!(!room.take_undivided(101) && !room.take(1) && room.is_full());
        room.free(101);
        assert!(!room.is_full() && room.take_undivided(101));
        // As after the bound was lowered.
        let mut room = QuarantineRoom::new(100, 200, 0);
        assert_eq!((room.left(), room.take(0), room.take(1)), (0, true, false));
        assert!(room.is_full());
        room.free(500);
        assert_eq!((room.is_full(), room.used()), (false, 0));
    }
}
