//! The documentation of the configuration is correct: the reference, the pages of the sinks, the examples.

use std::time::Duration;

use super::*;
use crate::sinks::TargetConfig;

#[test]
fn the_reference_contains_exactly_the_defaults() {
    let reference = parse_with(REFERENCE, &[]).expect("a valid file");
    let defaults = parse_with("", &[]).expect("the defaults");
    assert_eq!(format!("{reference:?}"), format!("{defaults:?}"));
}

/// Returns the reference with its examples, which are comments there.
pub(super) fn examples() -> String {
    // Examples are the commented lines that set something; sentences stay comments.
    let example = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let is_key = rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        (rest.starts_with('[') || is_key).then(|| rest.to_owned())
    };
    REFERENCE.lines().map(|line| example(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// Returns a text without one of its tables.
fn without(text: &str, heading: &str) -> String {
    let mut is_out = false;
    let keep = |line: &&str| {
        if line.starts_with('[') {
            is_out = line.starts_with(heading);
        }
        !is_out
    };
    text.lines().filter(keep).map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn the_reference_with_its_examples_is_valid() {
    let text = examples();
    let directory = tempfile::tempdir().expect("a directory");
    let password = directory.path().join("password");
    std::fs::write(&password, "secret\n").expect("written");
    let mut text = text.replace("/run/secrets/pingone", &password.display().to_string());
    for name in ["collector-ca.pem", "davinci-siem.pem", "davinci-siem.key"] {
        let file = directory.path().join(name);
        std::fs::write(&file, "PEM\n").expect("written");
        text = text.replace(&format!("/etc/ssl/{name}"), &file.display().to_string());
    }
    // A build without a feature refuses its tables. Traces are the last table.
    let text = if cfg!(feature = "nats") { text } else { without(&text, "[sinks.nats]") };
    let text = if cfg!(feature = "otlp") { text } else { without(&text, "[sinks.otlp]") };
    let end = text.find("[traces]").filter(|_| cfg!(not(feature = "otlp"))).unwrap_or(text.len());
    let text = &text[..end];
    // Two examples exclude others.
    let text = text.replace("compression = \"none\"", "").replace("include = []", "");
    let secrets = [
        "PINGONE_WEBHOOK_KEY",
        "ADMIN_PASSWORD",
        "COLLECTOR_KEY",
        "SPLUNK_TOKEN",
        "PROXY_PASSWORD",
        "ELASTIC_API_KEY",
        "AZURE_CLIENT_SECRET",
        "DATADOG_API_KEY",
        "OTLP_TOKEN",
        "GOOGLE_CREDENTIALS",
        "AWS_SECRET",
        "AWS_SESSION",
        "NATS_CREDENTIALS",
        "PINGONE_CLIENT_SECRET",
    ];
    let mut secrets: Vec<(&str, &str)> = secrets.iter().map(|name| (*name, "secret")).collect();
    secrets.push(("SIGNING_KEY", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"));
    secrets.push(("ALERTS_URL", "https://hooks.example.com/services/T0/B0/X0"));
    secrets.push(("REDACTION_KEY", "0123456789abcdef"));
    let config = parse_with(&text, &secrets).expect("valid examples");
    assert!(config.redact.is_some_and(|redact| redact.key.is_some()));
    assert_eq!(config.traces.map(|traces| traces.ratio), cfg!(feature = "otlp").then_some(0.1));
    assert_eq!(config.sources[0].credentials.len(), 5);
    let sink = |name: &str| config.sinks.iter().find(|sink| sink.name == name).expect("a sink");
    let TargetConfig::File(file) = &sink("archive").target else { panic!("a file sink") };
    assert_eq!((file.rotate_size, file.keep), (Some(1024 * 1024 * 1024), Some(30)));
    assert_eq!(file.rotate_age, Some(Duration::from_hours(24)));
    assert_eq!(sink("archive").routing.exclude[0].connectors.len(), 1);
}

/// Types of sinks, each with its required keys and its tables.
pub(super) const SINKS: [(&str, &str, &[&str]); 19] = [
    (
        "stdout",
        "",
        &[
            "batch",
            "retry",
            "include",
            "exclude",
            "sample",
            "redact",
            "products.davinci",
            "products.pingone",
        ],
    ),
    ("file", "path = \"/x\"\n", &["rotate"]),
    ("http", "url = \"http://x\"\n", &["tls", "proxy", "basic", "hmac"]),
    ("splunk_hec", "endpoint = \"http://x\"\ntoken_env = \"T\"\n", &["acknowledgement"]),
    ("elasticsearch", "endpoint = \"http://x\"\n", &["basic"]),
    ("loki", "endpoint = \"http://x\"\n", &["basic"]),
    ("clickhouse", "endpoint = \"http://x\"\n", &["basic"]),
    ("postgres", "address = \"x:1\"\ndatabase = \"d\"\nusername = \"u\"\n", &["tls"]),
    (
        "sentinel",
        "endpoint = \"http://x\"\nrule_id = \"dcr-0123456789abcdef0123456789abcdef\"\n",
        &["client_secret", "managed_identity", "workload_identity"],
    ),
    ("datadog", "api_key_env = \"T\"\n", &["tls"]),
    ("otlp", "endpoint = \"http://x\"\n", &["tls", "proxy", "basic"]),
    (
        "google_secops",
        "project = \"p\"\nlocation = \"eu\"\ninstance = \"66666666-7777-8888-9999-000000000000\"\nlog_type = \"OCSF\"\n",
        &["metadata_server"],
    ),
    ("pubsub", "project = \"p\"\ntopic = \"t\"\n", &["metadata_server"]),
    ("kinesis", "region = \"eu-central-1\"\nstream = \"s\"\n", &["access_key"]),
    ("firehose", "region = \"eu-central-1\"\nstream = \"s\"\n", &["access_key"]),
    ("syslog", "address = \"x:1\"\n", &["tls", "resend"]),
    ("kafka", "brokers = [\"x:1\"]\ntopic = \"t\"\n", &["tls", "sasl", "entra"]),
    ("nats", "servers = [\"nats://x\"]\n", &["tls", "basic"]),
    (
        "object_store",
        "gcs = { bucket = \"archive\" }\n",
        &[
            "tls",
            "proxy",
            "s3",
            "s3.access_key",
            "s3.web_identity",
            "s3.instance_role",
            "s3.assume_role",
            "security_lake",
            "azure",
            "azure.client_secret",
            "azure.managed_identity",
            "azure.workload_identity",
        ],
    ),
];

/// Returns the keys of a table, which the message about an unknown key lists.
pub(super) fn keys_of(table: &str, before: &str) -> Vec<String> {
    let heading =
        if before.contains(&format!("[{table}]")) { String::new() } else { format!("[{table}]\n") };
    let messages = problems(&format!("{before}{heading}qqqqqqqq = 1\n"));
    let message = messages.iter().find(|message| message.contains("qqqqqqqq"));
    let (_, keys) = message.and_then(|text| text.split_once("the keys are ")).expect("keys");
    keys.split(", ").map(str::to_owned).collect()
}

/// Returns every key of a sink type, those of its tables included.
pub(super) fn keys_of_sink(kind: &str, required: &str, tables: &[&str]) -> Vec<String> {
    let head = format!("[sinks.a]\ntype = \"{kind}\"\n{required}");
    let mut keys = keys_of("sinks.a", &head);
    for table in tables {
        let inside = keys_of(&format!("sinks.a.{table}"), &head);
        keys.extend(inside.into_iter().map(|key| format!("{table}.{key}")));
    }
    keys
}

#[test]
fn the_reference_names_every_key() {
    let mut keys = Vec::new();
    for table in [
        "listen",
        "sources.a",
        "outcomes",
        "redact",
        "limits",
        "spool",
        "spool.dedup",
        "interactions",
        "admin",
        "log",
        "pingone",
        "reconcile",
        "traces",
    ] {
        keys.extend(keys_of(table, ""));
    }
    for kind in ["slack", "json", "pagerduty"] {
        keys.extend(keys_of("alerts", &format!("[alerts]\ntype = \"{kind}\"\n")));
    }
    for (kind, required, tables) in SINKS {
        keys.extend(keys_of_sink(kind, required, tables));
    }
    for key in keys {
        let last = key.rsplit('.').next().expect("a key");
        // A secret is shown in one of its two forms.
        let forms = [last.to_owned(), last.replace("_file", "_env"), last.replace("_env", "_file")];
        assert!(
            forms.iter().any(|form| REFERENCE.contains(&format!("{form} = ")))
                || REFERENCE.contains(&format!("[spool.{last}]")),
            "{key} is not in the reference"
        );
    }
}

#[test]
fn every_sink_has_a_page_that_explains_its_keys() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sinks");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a page");
    let shared = read("README.md");
    for (kind, required, tables) in SINKS {
        let page = read(&format!("{kind}.md"));
        for key in keys_of_sink(kind, required, tables) {
            let named = |text: &str| text.contains(&format!("`{key}`"));
            let is_table =
                page.contains(&format!("`{key}.")) || shared.contains(&format!("`{key}."));
            let in_filter = ["include.", "exclude."].iter().any(|table| {
                key.strip_prefix(table)
                    .is_some_and(|list| shared.contains(&format!("| `{list}` |")))
            });
            assert!(named(&page) || named(&shared) || is_table || in_filter, "{kind}.md: {key}");
        }
    }
}

#[cfg(feature = "nats")]
#[test]
fn the_page_about_several_receivers_explains_its_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scaling.md");
    let page = std::fs::read_to_string(path).expect("a page");
    let before = "[spool]\nengine = \"jetstream\"\n[spool.jetstream]\nservers = [\"nats://a\"]\n";
    let mut keys = keys_of("spool.jetstream", before);
    let inside = keys_of("spool.jetstream.tls", before);
    keys.extend(inside.into_iter().map(|key| format!("tls.{key}")));
    for key in keys {
        let forms = [key.replace("_env", "_file"), key.replace("_file", "_env"), key.clone()];
        assert!(forms.iter().any(|form| page.contains(&format!("`{form}`"))), "{key}");
    }
}

#[test]
fn the_example_configurations_are_valid() {
    let shared = cfg!(feature = "nats").then_some("jetstream");
    let otlp = cfg!(feature = "otlp").then_some("otlp");
    for name in [
        "splunk",
        "elasticsearch",
        "sentinel",
        "datadog",
        "google_secops",
        "pubsub",
        "kinesis",
        "firehose",
        "http",
        "syslog",
        "alerts",
    ]
    .into_iter()
    .chain(shared)
    .chain(otlp)
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/{name}.toml"));
        let text = std::fs::read_to_string(path).expect("an example");
        let secrets = [
            "PINGONE_PASSWORD",
            "SPLUNK_HEC_TOKEN",
            "ELASTIC_API_KEY",
            "AZURE_CLIENT_SECRET",
            "DATADOG_API_KEY",
            "OTLP_TOKEN",
            "GOOGLE_CREDENTIALS",
            "COLLECTOR_TOKEN",
            "NATS_TOKEN",
            "PAGERDUTY_ROUTING_KEY",
        ];
        let config = parse_with(&text, &secrets.map(|name| (name, "0r4ngUt4n-b1cycle-L3mon")))
            .expect("valid");
        assert!(!config.sources[0].credentials.is_empty(), "{name}: an example others can reach");
        assert_eq!(config.sinks.len(), 1, "{name}");
    }
}
