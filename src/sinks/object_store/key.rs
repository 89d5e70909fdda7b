//! Names of objects. A name follows from the planned range, the source and the hour, and from nothing else.

use chrono::DateTime;

use crate::sinks::objects::ObjectRange;

/// Milliseconds of one hour.
const HOUR_MILLIS: i64 = 3_600_000;

/// Events that share an object: one source and one hour of receipt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    pub(super) source: String,
    /// Hours since the Unix epoch, in UTC.
    pub(super) hour: i64,
}

impl Partition {
    /// Returns the partition of an event that was received at `received_at`, in ms since the Unix epoch.
    pub(super) fn of(source: &str, received_at: i64) -> Partition {
        Partition { source: source.to_owned(), hour: received_at.div_euclid(HOUR_MILLIS) }
    }
}

/// Returns the name of an object. Names of one partition sort by position.
pub(super) fn object_key(
    prefix: &str,
    partition: &Partition,
    range: ObjectRange,
    ending: &str,
) -> String {
    let ObjectRange { first, last, id } = range;
    let Partition { source, hour } = partition;
    // Receive times are from a clock, so they are within the range of dates.
    let time = DateTime::from_timestamp_millis(hour * HOUR_MILLIS).unwrap_or_default();
    let directory = time.format("dt=%Y-%m-%d/hour=%H");
    let name = format!("{first:016}-{last:016}-{id:016x}.{ending}");
    below(prefix, &format!("source={source}/{directory}/{name}"))
}

/// Returns the name of the empty object that `check --connect` writes. Query engines skip names that begin with `_`.
#[cfg(feature = "object_store")]
pub(super) fn probe_key(prefix: &str) -> String {
    below(prefix, "_davinci-siem-probe")
}

fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_follows_from_range_source_and_hour() {
        let range = ObjectRange { first: 7, last: 1234, id: 0xabc };
        for (prefix, source, received_at, key) in [
            (
                "",
                "prod",
                0,
                "source=prod/dt=1970-01-01/hour=00/0000000000000007-0000000000001234-0000000000000abc.ndjson.zst",
            ),
            (
                "siem/davinci",
                "eu-1",
                1_732_924_799_999,
                "siem/davinci/source=eu-1/dt=2024-11-29/hour=23/0000000000000007-0000000000001234-0000000000000abc.ndjson.zst",
            ),
            (
                "p",
                "s",
                1_732_924_800_000,
                "p/source=s/dt=2024-11-30/hour=00/0000000000000007-0000000000001234-0000000000000abc.ndjson.zst",
            ),
        ] {
            let partition = Partition::of(source, received_at);
            assert_eq!(object_key(prefix, &partition, range, "ndjson.zst"), key);
        }
    }
}
