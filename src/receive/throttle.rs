//! Counts what addresses do in a minute, in memory of a fixed size: who has been wrong too often is
//! told to wait, and the log gets one line instead of thousands.
//!
//! Addresses are counted in a table of slots. Two that share a slot share its count, which is harmless:
//! nobody with correct credentials is ever held up by it. Were it otherwise, a stranger behind the same
//! proxy could keep PingOne out.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// 32 KiB in all.
const SLOTS: usize = 4096;

/// Lines a minute for all addresses together.
const MAX_LINES: u32 = 100;

/// Counts per address and minute.
pub(crate) struct Throttle {
    /// The minute in the upper half, the count in the lower.
    slots: Box<[AtomicU64]>,
    /// The same for what has been said of all of them.
    said: AtomicU64,
    /// Of this process: nobody can aim at somebody else's slot.
    random: RandomState,
}

impl Throttle {
    pub(crate) fn new() -> Throttle {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Throttle { slots, said: AtomicU64::new(0), random: RandomState::new() }
    }

    /// Counts once more. Returns the count of this minute, itself included. `now` is in milliseconds
    /// since the epoch.
    pub(crate) fn count(&self, address: IpAddr, now: i64) -> u32 {
        let slot = self.random.hash_one(network(address)) as usize % SLOTS;
        one_more(&self.slots[slot], now)
    }

    /// Whether another line may be logged this minute: whoever has thousands of addresses gets no
    /// thousands of lines.
    pub(crate) fn may_say(&self, now: i64) -> bool {
        one_more(&self.said, now) <= MAX_LINES
    }
}

fn one_more(counter: &AtomicU64, now: i64) -> u32 {
    let minute = u32::try_from(now / 60_000).unwrap_or(0);
    let next = |value: u64| {
        let (then, count) = ((value >> 32) as u32, value as u32);
        let count = if then == minute { count.saturating_add(1) } else { 1 };
        Some(u64::from(minute) << 32 | u64::from(count))
    };
    // The closure never declines.
    let before = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    before.ok().and_then(next).map_or(1, |value| value as u32)
}

/// Whoever has one IPv6 address has 2^64 of them.
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
        let said = |now| (0..1000).filter(|_| throttle.may_say(now)).count();
        assert_eq!([said(0), said(59_999), said(60_000)], [100, 0, 100]);
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
