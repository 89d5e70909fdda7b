//! Every sink with every useful format: the target gets what `map` prints.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::events::{documented, fixture};
use crate::support::service::{BINARY, Home, Service};
use crate::support::targets::Target;
use crate::support::targets::collector::Collector;
use crate::support::targets::elastic::Elastic;
use crate::support::targets::receiver::Receiver;
use crate::support::wait_for;

const JSON: [&str; 3] = ["native", "ecs", "ocsf"];
const ALL: [&str; 5] = ["native", "ecs", "ocsf", "cef", "leef"];

/// Returns the output of `map` for the documented events.
fn mapped(format: &str) -> Vec<String> {
    let file = fixture("documented_batch.json");
    let mut command = Command::new(BINARY);
    let output = command.args(["map", "--format", format]).arg(file).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// Parses a line as JSON, if it is JSON, and removes the receive time.
fn comparable(line: &str) -> Value {
    let Ok(mut value) = serde_json::from_str::<Value>(line) else { return line.into() };
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        assert!(metadata.remove("processed_time").is_some_and(|time| time.is_i64()));
    }
    value
}

fn are_as_mapped(lines: &[String], format: &str, sink: &str) {
    let comparable =
        |lines: &[String]| lines.iter().map(|line| comparable(line)).collect::<Vec<_>>();
    assert_eq!(comparable(lines), comparable(&mapped(format)), "{sink}, {format}");
}

fn deliver(home: &Home, sink: &str) -> Service {
    let service = home.start();
    service.post(&documented());
    wait_for("no lag", || {
        let lag = format!("davinci_siem_sink_lag_events{{sink=\"{sink}\"}}");
        (service.metric(&lag) == 0.0).then_some(())
    });
    service
}

#[test]
fn files_hold_every_format() {
    let sink = |format| {
        format!("[sinks.{format}]\ntype = \"file\"\npath = \"{format}\"\nformat = \"{format}\"\n")
    };
    let home = Home::new(&ALL.map(sink).concat());
    let service = deliver(&home, "native");
    for format in ALL {
        let lines = wait_for("lines", || Some(home.lines(format)).filter(|lines| lines.len() == 5));
        are_as_mapped(&lines, format, "file");
    }
    assert!(service.terminate().0.success());
}

#[test]
fn elasticsearch_gets_documents() {
    for format in JSON {
        let target = Target::start(Elastic::new("ApiKey a2V5"));
        let home = Home::new(&format!(
            "[sinks.a]\ntype = \"elasticsearch\"\nendpoint = \"{}\"\napi_key_env = \"API_KEY\"\n\
             format = \"{format}\"\n",
            target.url
        ));
        let home = home.with_variables(&[("API_KEY", "a2V5")]);
        let _service = deliver(&home, "a");
        let state = target.state();
        let lines: Vec<String> = state
            .stored
            .iter()
            .map(|(_, document)| {
                let mut document = document.clone();
                let members = document.as_object_mut().expect("an object");
                let time = members.get("@timestamp").and_then(Value::as_str).map(str::to_owned);
                assert!(time.is_some_and(|time| time.ends_with('Z')));
                // Data streams require `@timestamp`, so the sink adds it to formats without one.
                if format != "ecs" {
                    members.remove("@timestamp");
                }
                document.to_string()
            })
            .collect();
        are_as_mapped(&lines, format, "elasticsearch");
    }
}

#[test]
fn splunk_gets_events() {
    for format in JSON {
        let target = Target::start(Collector::new("good"));
        let home = Home::new(&format!(
            "[sinks.a]\ntype = \"splunk_hec\"\nendpoint = \"{}\"\ntoken_env = \"TOKEN\"\n\
             format = \"{format}\"\n",
            target.url
        ));
        let home = home.with_variables(&[("TOKEN", "good")]);
        let _service = deliver(&home, "a");
        let state = target.state();
        let lines: Vec<String> =
            state.stored.iter().map(|envelope| envelope["event"].to_string()).collect();
        are_as_mapped(&lines, format, "splunk_hec");
        let sourcetype = match format {
            "native" => "pingone:davinci".to_owned(),
            format => format!("pingone:davinci:{format}"),
        };
        assert_eq!(state.stored[0]["sourcetype"], sourcetype);
        are_the_fields_of_the_add_on(&state.stored[0]["fields"]);
    }
}

/// The Splunk add-on declares exactly the indexed fields that the sink sends.
fn are_the_fields_of_the_add_on(fields: &Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/splunk/davinci_siem/default");
    let conf = std::fs::read_to_string(root.join("fields.conf")).expect("a file");
    let stanzas = conf.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    let mut sent: Vec<&String> = fields.as_object().expect("an object").keys().collect();
    sent.sort();
    assert_eq!(stanzas.collect::<Vec<_>>(), sent);
    assert_eq!(conf.matches("INDEXED = true").count(), sent.len());
}

#[test]
fn syslog_carries_every_format() {
    for format in ALL {
        let receiver = Receiver::tcp();
        let home = Home::new(&format!(
            "[sinks.a]\ntype = \"syslog\"\naddress = \"{}\"\ntransport = \"tcp\"\n\
             format = \"{format}\"\n",
            receiver.address
        ));
        let _service = deliver(&home, "a");
        let messages = wait_for("messages", || {
            Some(receiver.messages()).filter(|messages| messages.len() == 5)
        });
        let text =
            |message: &String| message.split_once("] ").expect("structured data").1.to_owned();
        let lines: Vec<String> = messages.iter().map(text).collect();
        are_as_mapped(&lines, format, "syslog");
    }
}
