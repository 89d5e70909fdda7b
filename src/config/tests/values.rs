//! Values at their bounds, and variables that contradict each other.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::sinks::TargetConfig;

#[test]
fn no_time_span_is_so_long_that_adding_it_overflows_or_so_short_that_it_spins() {
    let stdout = "[sinks.a]\ntype = \"stdout\"\n";
    for (text, message) in [
        (
            format!("{stdout}retry = {{ max = \"500000000000y\" }}"),
            "sinks.a.retry.max: must be at most 10",
        ),
        (
            format!("{stdout}batch = {{ age = \"500000000000y\" }}"),
            "sinks.a.batch.age: must be at most 10",
        ),
        (format!("{stdout}retry = {{ min = \"0s\" }}"), "sinks.a.retry.min: must be more than 0"),
        (
            "[limits]\nshutdown_grace = \"11y\"".to_owned(),
            "limits.shutdown_grace: must be at most 10",
        ),
        ("[limits]\nbody_timeout = \"0s\"".to_owned(), "limits.body_timeout: must be more than 0"),
        (
            "[spool]\nretention = \"500000000000y\"".to_owned(),
            "spool.retention: must be at most 10",
        ),
        ("[spool.dedup]\nwindow = \"11y\"".to_owned(), "spool.dedup.window: must be at most 10"),
        ("[listen]\nreload = \"0s\"".to_owned(), "listen.reload: must be more than 0"),
    ] {
        let found = problems(&text);
        assert!(found.iter().any(|found| found.contains(message)), "{text}\n{found:#?}");
    }
    assert!(parse_with("[limits]\nshutdown_grace = \"10y\"", &[]).is_ok());
    let short = format!("[listen]\nreload = \"1ns\"\n{stdout}retry = {{ min = \"1ns\" }}");
    let config = parse_with(&short, &[]).expect("valid");
    assert_eq!(config.listen.reload, Duration::from_millis(10));
    assert_eq!(config.sinks[0].retry.min, Duration::from_millis(1));
}

#[test]
fn variables_say_one_thing_and_booleans_in_any_case() {
    let two =
        [("DAVINCI_SIEM__SPOOL__MAX_SIZE", "11 GiB"), ("DAVINCI_SIEM__spool__max_size", "12 GiB")];
    let found = problems_with("", &two).join("\n");
    assert!(found.contains("are the same key; unset one"), "{found}");
    for (text, expected) in [("TRUE", true), ("True", true), ("false ", false), ("FALSE", false)] {
        let config = parse_with("", &[("DAVINCI_SIEM__ADMIN__READ_ONLY", text)]).expect("valid");
        assert_eq!(config.admin.is_read_only, expected, "{text}");
    }
}

#[test]
fn an_empty_path_is_a_mistake() {
    for text in [
        "[sinks.a]\ntype = \"file\"\npath = \"\"",
        "[spool]\ndirectory = \"\"",
        "[listen.tls]\ncertificate = \"\"\nkey = \"x\"",
        "[admin]\npassword_file = \"\"",
    ] {
        let found = problems(text).join("\n");
        assert!(found.contains("is empty; write a path"), "{text}: {found}");
    }
}

#[test]
fn an_unknown_type_is_one_mistake() {
    let found = problems("[sinks.a]\ntype = \"slunk_hec\"\n[sinks.b]\ntype = \"nosuch\"\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("did you mean \"splunk_hec\"?"), "{found:?}");
}

#[test]
fn a_relative_path_is_relative_to_its_configuration_file() {
    let text = "[sinks.a]\ntype = \"file\"\npath = \"out.ndjson\"\n[sinks.b]\ntype = \"file\"\npath = \"/b\"\n";
    let file = Some(Path::new("/etc/siem/c.toml"));
    let variable = ("DAVINCI_SIEM__SINKS__B__PATH".into(), "from-variable".into());
    let config = parse(text, file, [variable].into_iter()).expect("valid");
    let path = |sink: &SinkConfig| match &sink.target {
        TargetConfig::File(file) => file.path.clone(),
        other => panic!("{other:?}"),
    };
    let paths: Vec<PathBuf> = config.sinks.iter().map(path).collect();
    assert_eq!(paths, ["/etc/siem/out.ndjson", "from-variable"].map(PathBuf::from));
    assert_eq!(config.spool.directory, PathBuf::from("/etc/siem/data"), "the default, too");
    let config = parse(text, None, std::iter::empty()).expect("valid");
    assert_eq!(
        config.spool.directory,
        PathBuf::from("data"),
        "without a file, the working directory"
    );
}

#[test]
fn an_endpoint_holds_no_path_of_the_api_that_the_sink_adds() {
    for (sink, own) in [
        (
            "type = \"splunk_hec\"\ntoken_env = \"PW\"\nendpoint = \"https://x/services/collector/event\"",
            "/services/collector",
        ),
        ("type = \"elasticsearch\"\nendpoint = \"https://x/prefix/_bulk\"", "/_bulk"),
        (
            "type = \"sentinel\"\nendpoint = \"https://x/dataCollectionRules/dcr-1\"",
            "/dataCollectionRules",
        ),
    ] {
        let found = problems_with(&format!("[sinks.a]\n{sink}"), &[("PW", "secret")]);
        let expected = format!("endpoint: has {own}, which the sink adds itself");
        assert!(found.iter().any(|found| found.contains(&expected)), "{found:?}");
    }
}
