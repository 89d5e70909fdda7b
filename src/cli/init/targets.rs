//! Targets of `init`, which are also the rows of the table "I have …" in docs/sinks/README.md.
//!
//! A target is one row here and one file in `config/`. A test compares the rows with the table, and every file of
//! `config/` with the rows.

/// A product that receives events, with a configuration to start from.
#[derive(Debug)]
pub(super) struct InitTarget {
    /// Name on the command line, and of the file in `config/`.
    pub(super) name: &'static str,
    pub(super) product: &'static str,
    /// Type of the sink and its profile, as Markdown.
    pub(super) sink: &'static str,
    /// Format that fits the product, as Markdown.
    pub(super) format: &'static str,
    /// Pages about it, as Markdown that is relative to `docs/sinks`.
    pub(super) page: &'static str,
    /// The configuration: the file `config/NAME.toml`.
    pub(super) text: &'static str,
}

/// Makes a row: the name of the file in `config/`, then the columns of the table.
macro_rules! target {
    ($name:literal, $product:literal, $sink:literal, $format:literal, $page:literal) => {
        InitTarget {
            name: $name,
            product: $product,
            sink: $sink,
            format: $format,
            page: $page,
            text: include_str!(concat!("../../../config/", $name, ".toml")),
        }
    };
}

/// All targets, in the order of the table.
pub(super) const TARGETS: &[InitTarget] = &[
    target!(
        "splunk",
        "Splunk Enterprise, Splunk Cloud",
        "`splunk_hec`",
        "`\"native\"`",
        "[splunk_hec](splunk_hec.md), [add-on](../../deploy/splunk/README.md)"
    ),
    target!(
        "elasticsearch",
        "Elastic Security, Elasticsearch",
        "`elasticsearch`",
        "`\"ecs\"`",
        "[elasticsearch](elasticsearch.md), [templates](../../deploy/elasticsearch/README.md)"
    ),
    target!(
        "opensearch",
        "OpenSearch",
        "`elasticsearch` with `flavor = \"opensearch\"`",
        "`\"ecs\"`",
        "[elasticsearch](elasticsearch.md#setting-up-opensearch), [template](../../deploy/opensearch/README.md)"
    ),
    target!(
        "sentinel",
        "Microsoft Sentinel, Azure Monitor",
        "`sentinel`",
        "`\"ecs\"`",
        "[sentinel](sentinel.md), [templates](../../deploy/sentinel/README.md)"
    ),
    target!("datadog", "Datadog", "`datadog`", "`\"native\"`", "[datadog](datadog.md)"),
    target!(
        "otlp",
        "OpenTelemetry's collector, Grafana, Honeycomb, Dynatrace, Coralogix",
        "`otlp`",
        "`\"native\"`",
        "[otlp](otlp.md)"
    ),
    target!(
        "google_secops",
        "Google Security Operations (Chronicle)",
        "`google_secops`",
        "`\"ocsf\"`",
        "[google_secops](google_secops.md)"
    ),
    target!("pubsub", "Google Cloud Pub/Sub", "`pubsub`", "`\"native\"`", "[pubsub](pubsub.md)"),
    target!(
        "kinesis",
        "Amazon Kinesis Data Streams",
        "`kinesis`",
        "`\"native\"`",
        "[kinesis](kinesis.md)"
    ),
    target!(
        "firehose",
        "Amazon Data Firehose",
        "`firehose`",
        "`\"native\"`",
        "[firehose](firehose.md)"
    ),
    target!(
        "crowdstrike_ngsiem",
        "CrowdStrike Falcon Next-Gen SIEM",
        "`splunk_hec` with `profile = \"crowdstrike_ngsiem\"`",
        "`\"native\"`",
        "[HEC profiles](hec-profiles.md#crowdstrike-falcon-next-gen-siem)"
    ),
    target!(
        "logscale",
        "Falcon LogScale",
        "`splunk_hec` with `profile = \"logscale\"`",
        "`\"native\"`",
        "[HEC profiles](hec-profiles.md#falcon-logscale)"
    ),
    target!(
        "secops_webhook",
        "Google SecOps, by a webhook feed",
        "`http` with `profile = \"secops_webhook\"`",
        "`\"ocsf\"`",
        "[HTTP profiles](http-profiles.md#google-secops)"
    ),
    target!(
        "xsiam",
        "Cortex XSIAM",
        "`http` with `profile = \"xsiam\"`",
        "`\"native\"`, `\"cef\"`, `\"leef\"`",
        "[HTTP profiles](http-profiles.md#cortex-xsiam)"
    ),
    target!(
        "qradar",
        "IBM QRadar",
        "`syslog`",
        "`\"leef\"`",
        "[syslog](syslog.md), [keys](../../deploy/leef/README.md)"
    ),
    target!(
        "qradar_http",
        "IBM QRadar, by its HTTP Receiver",
        "`http` with `profile = \"qradar_http\"`",
        "`\"leef\"`",
        "[HTTP profiles](http-profiles.md#ibm-qradar), [keys](../../deploy/leef/README.md)"
    ),
    target!(
        "arcsight",
        "ArcSight",
        "`syslog`",
        "`\"cef\"`",
        "[syslog](syslog.md), [keys](../../deploy/cef/README.md)"
    ),
    target!(
        "exabeam",
        "Exabeam",
        "`http` with `profile = \"exabeam\"`",
        "`\"native\"`",
        "[HTTP profiles](http-profiles.md#exabeam)"
    ),
    target!(
        "securonix",
        "Securonix",
        "`http` with `profile = \"securonix\"`",
        "`\"native\"`",
        "[HTTP profiles](http-profiles.md#securonix)"
    ),
    target!(
        "panther",
        "Panther",
        "`http` with `profile = \"panther\"`",
        "`\"native\"`, `\"ocsf\"`",
        "[HTTP profiles](http-profiles.md#panther)"
    ),
    target!(
        "sumo",
        "Sumo Logic",
        "`http` with `profile = \"sumo\"`",
        "`\"native\"`",
        "[HTTP profiles](http-profiles.md#sumo-logic)"
    ),
    target!(
        "new_relic",
        "New Relic",
        "`http` with `profile = \"new_relic\"`",
        "`\"native\"`",
        "[HTTP profiles](http-profiles.md#new-relic)"
    ),
    target!(
        "cloudwatch",
        "Amazon CloudWatch Logs",
        "`splunk_hec` with `profile = \"cloudwatch\"`",
        "`\"native\"`",
        "[HEC profiles](hec-profiles.md#amazon-cloudwatch-logs)"
    ),
    target!(
        "cribl",
        "Cribl Stream",
        "`splunk_hec` or `http` with `profile = \"cribl\"`",
        "`\"native\"`",
        "[HEC profiles](hec-profiles.md#cribl-stream), [HTTP profiles](http-profiles.md#cribl-stream)"
    ),
    target!(
        "loki",
        "Grafana Loki, Grafana Cloud Logs",
        "`loki`",
        "`\"native\"`",
        "[loki](loki.md)"
    ),
    target!(
        "clickhouse",
        "ClickHouse, ClickHouse Cloud",
        "`clickhouse`",
        "`\"native\"`",
        "[clickhouse](clickhouse.md), [table](../../deploy/clickhouse/README.md)"
    ),
    target!(
        "postgres",
        "PostgreSQL",
        "`postgres`",
        "`\"native\"`",
        "[postgres](postgres.md), [table](../../deploy/postgres/README.md)"
    ),
    target!(
        "object_store",
        "Amazon S3, MinIO, Azure Blob Storage, Google Cloud Storage: an archive or a data lake",
        "`object_store`",
        "`\"native\"`",
        "[object_store](object_store.md)"
    ),
    target!(
        "security_lake",
        "Amazon Security Lake",
        "`object_store` with `encoding = \"parquet\"`",
        "`\"ocsf\"`",
        "[object_store](object_store.md#amazon-security-lake)"
    ),
    target!(
        "syslog",
        "rsyslog, syslog-ng, another syslog receiver",
        "`syslog`",
        "`\"native\"`",
        "[syslog](syslog.md)"
    ),
    target!("kafka", "Apache Kafka", "`kafka`", "`\"native\"`", "[kafka](kafka.md)"),
    target!(
        "event_hubs",
        "Azure Event Hubs",
        "`kafka` with `profile = \"event_hubs\"`",
        "`\"native\"`",
        "[Event Hubs](event-hubs.md)"
    ),
    target!("nats", "NATS JetStream", "`nats`", "`\"native\"`", "[nats](nats.md)"),
    target!(
        "http",
        "another collector with an HTTP API",
        "`http`",
        "as it expects",
        "[http](http.md)"
    ),
    target!("file", "an agent that reads files", "`file`", "as it expects", "[file](file.md)"),
    target!(
        "stdout",
        "a container platform that reads standard output",
        "`stdout`",
        "as it expects",
        "[stdout](stdout.md)"
    ),
];
