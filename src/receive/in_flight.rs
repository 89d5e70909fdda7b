//! Limit on the bytes of all bodies that are being received or stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counter of bytes in flight, with its limit.
#[derive(Debug)]
pub(super) struct InFlightBytes {
    used: AtomicU64,
    limit: u64,
}

/// Reserved bytes, released on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    from: Arc<InFlightBytes>,
    bytes: u64,
}

impl InFlightBytes {
    pub(super) fn new(limit: u64) -> Arc<InFlightBytes> {
        Arc::new(InFlightBytes { used: AtomicU64::new(0), limit })
    }

    /// Returns an empty reservation.
    pub(super) fn nothing(self: &Arc<Self>) -> Reservation {
        Reservation { from: Arc::clone(self), bytes: 0 }
    }
}

impl Reservation {
    /// Returns the number of reserved bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reserves more bytes. Returns false, and reserves nothing, above the limit.
    pub(super) fn grow(&mut self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.from.limit);
        let grown = self.from.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.from.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_what_is_dropped_is_free_again() {
        let in_flight = InFlightBytes::new(10);
        let (mut first, mut second) = (in_flight.nothing(), in_flight.nothing());
        assert!(first.grow(6) && !second.grow(5), "no room for 11");
        assert!(second.grow(4) && !second.grow(1), "room for 10 and no more");
        drop(first);
        assert!(second.grow(6), "what was dropped is free again");
        assert!(!second.grow(u64::MAX), "no overflow");
    }
}
