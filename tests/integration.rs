//! The real binary over real sockets. One test binary: it links once, and shares `support/`.
#![expect(unreachable_pub, reason = "`pub` here means: for the other test modules")]
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot help fails its test")]

mod support;

mod admin;
mod alerts;
mod answers;
mod attacks;
mod audit;
mod aws;
mod canary;
mod canary_tokens;
mod clickhouse;
mod client_address;
#[cfg(feature = "nats")]
mod cluster;
#[cfg(feature = "nats")]
mod cluster_operators;
mod command_line;
mod commands;
mod config_tests;
mod conservation;
mod conservation_operators;
mod console;
mod console_operations;
mod damage;
mod datadog;
mod delivery;
mod disk;
mod doctor;
mod early_answers;
mod elasticsearch;
#[cfg(feature = "kafka")]
mod event_hubs;
mod exhaustion;
mod faults;
mod features;
mod formats;
mod full_quarantine;
mod google;
mod http2;
mod http_sink;
mod interactions;
mod interactions_kills;
mod invariants;
mod json_output;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_broker;
mod limits;
mod listener_tls;
mod loki;
mod lookers;
mod metrics;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "object_store")]
mod object_store;
#[cfg(feature = "object_store")]
mod object_store_answers;
#[cfg(feature = "object_store")]
mod object_store_credentials;
#[cfg(feature = "object_store")]
mod object_store_kills;
#[cfg(feature = "parquet")]
mod object_store_parquet;
#[cfg(feature = "object_store")]
mod object_store_peers;
mod observed;
mod odd_bodies;
mod operators;
#[cfg(feature = "otlp")]
mod otlp_logs;
mod outages;
#[cfg(feature = "postgres")]
mod postgres;
mod power_loss;
mod profiles;
mod prometheus;
mod proxies;
mod quarantine;
mod real_clients;
mod reconcile;
mod reconcile_certainty;
mod redaction;
mod reload;
mod reload_access;
mod reload_diff;
mod reload_load;
mod reload_pairs;
mod reload_sinks;
mod request_ids;
mod retries;
mod sampling;
mod secrets;
mod send;
mod sentinel;
mod sentinel_identities;
#[cfg(all(feature = "nats", feature = "object_store"))]
mod shared_archive;
#[cfg(feature = "nats")]
mod shared_delivery;
#[cfg(feature = "nats")]
mod shared_faults;
#[cfg(feature = "nats")]
mod shared_health;
#[cfg(feature = "nats")]
mod shared_move;
#[cfg(feature = "nats")]
mod shared_move_interrupted;
#[cfg(feature = "nats")]
mod shared_permissions;
#[cfg(feature = "nats")]
mod shared_spool;
#[cfg(feature = "nats")]
mod shared_stream;
mod shutdown;
mod signals;
mod sinks;
mod soak;
mod splunk_hec;
mod spool;
mod spool_files;
mod status;
mod syslog;
mod syslog_peers;
mod tls;
mod top;
mod trace;
#[cfg(feature = "otlp")]
mod traces;
mod volume;
