//! Counts events per address and minute in a fixed amount of memory. An address with too many wrong
//! logins is told to wait, and the log gets one line instead of thousands.
//!
//! Addresses share a table of slots. A collision is harmless, because a request with correct
//! credentials is never refused by a count. Otherwise, a client behind the same proxy could block
//! PingOne.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of counters, 32 KiB in total.
const MAX_TRACKED_ADDRESSES: usize = 4096;

/// Maximum number of log lines per minute for all addresses together.
const MAX_LOG_LINES_PER_MINUTE: u32 = 100;

/// Counter per address and minute.
pub(crate) struct Throttle {
    /// The minute in the upper half, the count in the lower.
    slots: Box<[AtomicU64]>,
    /// The same for the log lines of all addresses.
    log_lines: AtomicU64,
    /// Hash seed of this process, so that no client can choose the slot of another.
    random: RandomState,
}

impl Throttle {
    pub(crate) fn new() -> Throttle {
        let slots = (0..MAX_TRACKED_ADDRESSES).map(|_| AtomicU64::new(0)).collect();
        Throttle { slots, log_lines: AtomicU64::new(0), random: RandomState::new() }
    }

    /// Counts one more event. Returns the count of this minute, including this event. `now` is in
    /// milliseconds since the Unix epoch.
    pub(crate) fn count(&self, address: IpAddr, now: i64) -> u32 {
        let slot = self.random.hash_one(network(address)) as usize % MAX_TRACKED_ADDRESSES;
        one_more(&self.slots[slot], now)
    }

    /// Returns whether another line may be logged in this minute. Limits a client with thousands of
    /// addresses.
    pub(crate) fn may_log(&self, now: i64) -> bool {
        one_more(&self.log_lines, now) <= MAX_LOG_LINES_PER_MINUTE
    }
}

fn one_more(counter: &AtomicU64, now: i64) -> u32 {
    let minute = u32::try_from(now / 60_000).unwrap_or(0);
    let next = |value: u64| {
        let (then, count) = ((value >> 32) as u32, value as u32);
        let count = if then == minute { count.saturating_add(1) } else { 1 };
        Some(u64::from(minute) << 32 | u64::from(count))
    };
    // The closure always returns `Some`.
    let before = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    before.ok().and_then(next).map_or(1, |value| value as u32)
}

/// Returns the counted network: one customer has at least a /64 of IPv6 addresses.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_is_counted_by_the_minute() {
        let throttle = Throttle::new();
        let one = address("203.0.113.1");
        let counts: Vec<u32> = (0..3).map(|second| throttle.count(one, second * 1000)).collect();
        assert_eq!(counts, [1, 2, 3]);
        assert_eq!(throttle.count(address("::ffff:203.0.113.1"), 59_999), 4, "the same address");
        assert_eq!(throttle.count(one, 60_000), 1, "another minute");
    }

    #[test]
    fn so_much_is_said_in_a_minute_and_no_more() {
        let throttle = Throttle::new();
        let allowed = |now| (0..1000).filter(|_| throttle.may_log(now)).count();
        assert_eq!([allowed(0), allowed(59_999), allowed(60_000)], [100, 0, 100]);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let throttle = Throttle::new();
        assert_eq!(throttle.count(address("2001:db8::1"), 0), 1);
        assert_eq!(throttle.count(address("2001:db8::ffff:2"), 0), 2);
    }

    #[test]
    fn other_addresses_have_their_own_counts_but_for_a_few() {
        let throttle = Throttle::new();
        assert_eq!((0..100).map(|_| throttle.count(address("203.0.113.1"), 0)).max(), Some(100));
        let others = (0..=255_u8).map(|last| throttle.count(IpAddr::from([198, 51, 100, last]), 0));
        assert!(others.filter(|count| *count > 10).count() < 5, "no more than collide by chance");
    }
}
