-- Table of the sink `clickhouse`. Rows with the same uid are repetitions of one event: ClickHouse merges them in the
-- background, and `FINAL` in a query at once.
CREATE TABLE IF NOT EXISTS default.pingone_events
(
    time           DateTime64(3, 'UTC'),
    recorded_at    DateTime64(3, 'UTC'),
    event_id       String,
    event_uid      FixedString(40),
    action_type    LowCardinality(String),
    outcome        LowCardinality(String),
    severity       LowCardinality(String),
    interaction_id String,
    flow_id        String,
    flow_name      LowCardinality(String),
    connector_id   LowCardinality(String),
    environment_id LowCardinality(String),
    source         LowCardinality(String),
    event          String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (toStartOfHour(time), action_type, event_uid)
TTL toDateTime(time) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;
