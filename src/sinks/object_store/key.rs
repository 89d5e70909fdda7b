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
    let Partition { source, hour } = partition;
    // Receive times are from a clock, so they are within the range of dates.
    let time = DateTime::from_timestamp_millis(hour * HOUR_MILLIS).unwrap_or_default();
    let directory = time.format("dt=%Y-%m-%d/hour=%H");
    let name = format!("{}.{ending}", range_name(range));
    below(prefix, &format!("source={source}/{directory}/{name}"))
}

/// Layout of Amazon Security Lake: names by class, region and account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityLakeConfig {
    /// Beginning of the names of the custom sources. The number of the class follows.
    pub source: String,
    /// Region of the data lake.
    pub region: String,
    /// AWS account of the data, or `external_` and a name.
    pub account_id: String,
}

/// Returns the name of an object of one OCSF class and one day, in days since the Unix epoch.
#[cfg(feature = "parquet")]
pub(super) fn class_key(
    prefix: &str,
    lake: Option<&SecurityLakeConfig>,
    class: u32,
    day: i64,
    range: ObjectRange,
) -> String {
    let time = DateTime::from_timestamp_millis(day * 24 * HOUR_MILLIS).unwrap_or_default();
    let name = format!("{}.zstd.parquet", range_name(range));
    match lake {
        None => below(prefix, &format!("class={class}/dt={}/{name}", time.format("%Y-%m-%d"))),
        Some(SecurityLakeConfig { source, region, account_id }) => {
            let day = time.format("%Y%m%d");
            let directory = format!("region={region}/accountId={account_id}/eventDay={day}");
            below(prefix, &format!("ext/{source}-{class}/{directory}/{name}"))
        }
    }
}

/// Returns the part of a name that follows from the range.
fn range_name(range: ObjectRange) -> String {
    let ObjectRange { first, last, id } = range;
    format!("{first:016}-{last:016}-{id:016x}")
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

    #[cfg(feature = "parquet")]
    #[test]
    fn a_class_has_a_custom_source_of_its_own_in_security_lake() {
        let range = ObjectRange { first: 1, last: 2, id: 3 };
        let lake = SecurityLakeConfig {
            source: "pingone".to_owned(),
            region: "eu-central-1".to_owned(),
            account_id: "123456789012".to_owned(),
        };
        let name = "0000000000000001-0000000000000002-0000000000000003.zstd.parquet";
        assert_eq!(
            class_key("", Some(&lake), 3002, 20_514, range),
            format!(
                "ext/pingone-3002/region=eu-central-1/accountId=123456789012/eventDay=20260302/{name}"
            )
        );
        assert_eq!(
            class_key("lake", None, 6003, 20_514, range),
            format!("lake/class=6003/dt=2026-03-02/{name}")
        );
    }

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
