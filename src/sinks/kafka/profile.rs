//! Profiles: the defaults of Apache Kafka, and of Azure Event Hubs, which has Kafka's protocol. A key of the
//! configuration wins over the value of its profile.

/// Defaults for one kind of broker.
#[derive(Debug, PartialEq, Eq)]
pub struct KafkaProfile {
    /// `sasl.mechanism`, as the file would write it.
    pub(super) mechanism: &'static str,
    /// `sasl.username`, if every client has the same.
    pub(super) username: Option<&'static str>,
    /// `compression`, as the file would write it.
    pub(super) compression: &'static str,
    /// True if the brokers accept no compression but gzip.
    pub(super) accepts_gzip_only: bool,
    /// True if every client must sign in, by `sasl` or `entra`.
    pub(super) needs_sign_in: bool,
    /// `timeout`, as the file would write it.
    pub(super) timeout: &'static str,
    /// Upper bound of `max_size`, in bytes.
    pub(super) max_record_bytes: u64,
    /// Further settings of librdkafka.
    pub(super) client: &'static [(&'static str, &'static str)],
}

/// Apache Kafka, or any broker with its protocol.
pub(super) const KAFKA: KafkaProfile = KafkaProfile {
    mechanism: "SCRAM-SHA-512",
    username: None,
    compression: "lz4",
    accepts_gzip_only: false,
    needs_sign_in: false,
    timeout: "30s",
    max_record_bytes: 100_000_000,
    client: &[],
};

/// Azure Event Hubs: it closes a connection after 240 s without a request, or with a request of more than 1,046,528
/// bytes, and accepts no compression but gzip, in its tiers Premium and Dedicated.
/// <https://learn.microsoft.com/azure/event-hubs/apache-kafka-configurations>
const EVENT_HUBS: KafkaProfile = KafkaProfile {
    mechanism: "PLAIN",
    username: Some("$ConnectionString"),
    compression: "none",
    accepts_gzip_only: true,
    needs_sign_in: true,
    timeout: "90s",
    max_record_bytes: 1_000_000,
    client: &[
        ("request.timeout.ms", "60000"),
        ("metadata.max.age.ms", "180000"),
        ("connections.max.idle.ms", "180000"),
    ],
};

/// All profiles, by their names in the configuration.
pub(super) const PROFILES: [(&str, &KafkaProfile); 2] =
    [("kafka", &KAFKA), ("event_hubs", &EVENT_HUBS)];

impl KafkaProfile {
    /// Returns true if the brokers may accept this compression.
    pub(super) fn accepts(&self, compression: &str) -> bool {
        !self.accepts_gzip_only || matches!(compression, "none" | "gzip")
    }
}
