//! Parquet of the `object_store` sink: read back by pyarrow, and compared with the same events as JSON.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::object_store::config;
use crate::support::canary::TOKEN;
use crate::support::events::fixture;
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::bucket::Bucket;

/// Returns all fixtures of events as one body, each with an id of its own.
fn all_fixtures() -> (usize, String) {
    let mut events: Vec<Value> = Vec::new();
    for directory in ["events", "pingone"] {
        for entry in fixture(directory).read_dir().expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a fixture");
            if let Ok(event) = serde_json::from_str::<Value>(&text)
                && event.is_object()
            {
                events.push(event);
            }
        }
    }
    for (number, event) in events.iter_mut().enumerate() {
        event["id"] = format!("event-{number:04}").into();
    }
    (events.len(), Value::Array(events).to_string())
}

/// Removes what a column cannot tell from a missing field: nulls, and objects and lists without a value.
fn pruned(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(fields) => {
            let fields =
                fields.into_iter().filter_map(|(name, value)| Some((name, pruned(value)?)));
            let fields: serde_json::Map<String, Value> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().filter_map(pruned).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        other => Some(other),
    }
}

/// Returns documents by `metadata.uid`.
fn by_id(documents: impl Iterator<Item = Value>) -> BTreeMap<String, Value> {
    let pair = |mut document: Value| {
        // A column holds an object as text.
        if let Some(text) = document["unmapped"].as_str() {
            document["unmapped"] = serde_json::from_str(text).expect("JSON");
        }
        let document = pruned(document).expect("fields");
        (document["metadata"]["uid"].as_str().expect("an id").to_owned(), document)
    };
    documents.map(pair).collect()
}

#[test]
#[ignore = "needs pyarrow, which .ci/object-stores installs"]
fn pyarrow_reads_every_event_as_the_file_sink_has_it() {
    let bucket = Target::start(Bucket::default());
    let keys = "format = \"ocsf\"\nencoding = \"parquet\"\nbatch = { age = \"10ms\" }\n\
                security_lake = { region = \"eu-central-1\", account_id = \"123456789012\" }\n\
                [sinks.json]\ntype = \"file\"\npath = \"events.ndjson\"\nformat = \"ocsf\"";
    let toml = config(&bucket, keys).replace("prefix = \"siem\"\n", "");
    let home = Home::new(&toml).with_variables(&[("SECRET", TOKEN)]);
    let service = home.start();
    let (count, body) = all_fixtures();
    service.post(&body);
    service.wait_until_settled("archive");
    service.wait_until_settled("json");
    let lines = home.lines("events.ndjson");
    let expected = by_id(lines.iter().map(|line| serde_json::from_str(line).expect("JSON")));
    assert!(expected.len() > count / 2, "{} of {count}", expected.len());

    let directory = tempfile::tempdir().expect("a directory");
    for (number, (name, content)) in bucket.state().objects.iter().enumerate() {
        let class = name.strip_prefix("ext/pingone-").and_then(|rest| rest.split('/').next());
        let class = class.unwrap_or_else(|| panic!("{name}"));
        assert!(name.contains("/region=eu-central-1/accountId=123456789012/eventDay=20"), "{name}");
        let file = directory.path().join(format!("{class}-{number}.parquet"));
        std::fs::write(file, content).expect("written");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/object_store_peers/parquet.py");
    let output = Command::new("/opt/object-stores/venv/bin/python")
        .arg(script)
        .arg(directory.path())
        .output()
        .expect("pyarrow runs: .ci/object-stores installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let found = by_id(text.lines().map(|line| serde_json::from_str(line).expect("JSON")));
    assert_eq!(found.len(), expected.len());
    for (id, document) in &expected {
        assert_eq!(found.get(id), Some(document), "{id}");
    }
}
