//! Room in the quarantine: bytes of `quarantine_max_size` in use, and the largest refused request.
//!
//! Quarantine entries come from untrusted senders, so their bound is separate from, and far below, the one of
//! events. A batch that finds no room is not acknowledged, and a sink does not commit the event.

/// Room in the quarantine, as of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuarantineRoom {
    max: u64,
    used: u64,
    /// Largest refused request in bytes, until there is room for it.
    wanted: u64,
}

impl QuarantineRoom {
    /// Room beside entries of `used` bytes, with `wanted` bytes refused before.
    pub(crate) fn new(max: u64, used: u64, wanted: u64) -> QuarantineRoom {
        QuarantineRoom { max, used, wanted }
    }

    /// Reserves bytes; returns false if they do not fit.
    pub(crate) fn take(&mut self, size: u64) -> bool {
        let fits = size == 0 || self.used.saturating_add(size) <= self.max;
        self.settle(fits, size)
    }

    /// As [`take`](Self::take), for an indivisible entry. An entry above the whole bound would wait without end: the
    /// bound was lowered, or redaction has enlarged the entry. It is accepted while any room is free, so the bound
    /// is exceeded by at most one of these.
    pub(crate) fn take_undivided(&mut self, size: u64) -> bool {
        let is_oversized = size > self.max && self.used < self.max;
        let fits = is_oversized || size == 0 || self.used.saturating_add(size) <= self.max;
        self.settle(fits, size)
    }

    fn settle(&mut self, fits: bool, size: u64) -> bool {
        if fits {
            self.used += size;
        } else {
            // An entry above the whole bound needs some room only.
            self.wanted = self.wanted.max(if size > self.max { 1 } else { size });
        }
        fits
    }

    /// Returns the room of a removed entry.
    pub(crate) fn free(&mut self, size: u64) {
        self.used = self.used.saturating_sub(size);
    }

    /// Returns the bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Returns the free bytes.
    pub(crate) fn left(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    /// Returns the largest refused request in bytes, 0 if there is room for it.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Returns true if the refused entry would be refused again. Smaller entries that fit do not end this state,
    /// only removals do, so that a sender cannot make it flap.
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
        // State after the bound was lowered.
        let mut room = QuarantineRoom::new(100, 200, 0);
        assert_eq!((room.left(), room.take(0), room.take(1)), (0, true, false));
        assert!(room.is_full());
        room.free(500);
        assert_eq!((room.is_full(), room.used()), (false, 0));
    }
}
