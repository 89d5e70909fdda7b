//! Rows, inserts, and the verdict of each code.

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::config;
use crate::sinks::TargetConfig;
use crate::sinks::tests::{answer, letters};

fn parse(keys: &str) -> Result<config::Config, crate::settings::Problems> {
    let text = format!("[sinks.s]\ntype = \"clickhouse\"\n{keys}\n");
    config::parse(&text, None, std::iter::empty())
}

fn letter(status: u16, body: &str) -> String {
    letters(&Report::from(vec![answer::verdict(&answer(status, body))]))
}

#[test]
fn every_code_has_its_verdict() {
    for (status, code, expected) in [
        (400, 27, 'S'),
        (400, 117, 'S'),
        (500, 53, 'F'),
        (400, 41, 'S'),
        (500, 469, 'S'),
        (404, 60, 'F'),
        (404, 81, 'F'),
        (400, 16, 'F'),
        (401, 194, 'F'),
        (403, 516, 'F'),
        (403, 497, 'F'),
        (500, 164, 'F'),
        (400, 452, 'F'),
        (400, 62, 'F'),
        (404, 115, 'F'),
        // The server's state.
        (500, 241, 'R'),
        (500, 252, 'R'),
        (500, 242, 'R'),
        (500, 202, 'R'),
        (400, 33, 'R'),
        (500, 319, 'R'),
        (408, 159, 'R'),
        (500, 99_999, 'R'),
        // After the header was sent.
        (200, 241, 'R'),
        (200, 117, 'S'),
    ] {
        let body = format!("Code: {code}. DB::Exception: said. (NAME) (version 26.3.1.1)\n");
        assert_eq!(letter(status, &body), expected.to_string(), "{status} {code}");
    }
    let unknown =
        "Code: 117. DB::Exception: Unknown field found while parsing JSONEachRow format: flow_id";
    assert_eq!(letter(400, unknown), "F", "a column is missing for every row");
}

#[test]
fn an_insert_that_is_too_large_is_repeated_with_fewer_rows() {
    for (code, said, expected) in [
        (159, "Timeout exceeded", true),
        (241, "Memory limit exceeded", true),
        (252, "Too many partitions for single INSERT block (more than 100)", true),
        // Fewer rows per insert would make more parts.
        (252, "Too many parts (3000)", false),
        (242, "Table is in readonly mode", false),
    ] {
        let body = format!("Code: {code}. DB::Exception: {said}. (NAME) (version 26.3.1.1)\n");
        let verdict = answer::verdict(&answer(500, &body));
        assert!(matches!(verdict, Verdict::Retry { .. }), "{code}");
        assert_eq!(verdict.into_reason().is_late, expected, "{code} {said}");
    }
}

#[test]
fn an_answer_without_a_code_is_judged_by_its_status() {
    for (status, body, expected) in [
        (200, "", 'D'),
        (200, "\n", 'D'),
        (200, "<html>welcome</html>", 'F'),
        (204, "", 'F'),
        (400, "<html>no</html>", 'R'),
        (400, "Code: x. Exception", 'R'),
        (413, "", 'S'),
        (401, "", 'F'),
        (404, "", 'F'),
        (302, "", 'F'),
        (429, "", 'R'),
        (502, "Bad Gateway", 'R'),
    ] {
        assert_eq!(letter(status, body), expected.to_string(), "{status} {body}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_no_success() {
    let mut torn = answer(200, "");
    torn.is_whole = false;
    assert_eq!(letters(&Report::from(vec![answer::verdict(&torn)])), "R");
}

fn row() -> Vec<u8> {
    let raw = include_bytes!("../../../fixtures/events/custom_analytics.json");
    let event = crate::decode::event(raw).expect("an event").event;
    let line = b"{\"a\":\"b\"}".to_vec();
    encode::encode(Rendered { line, event: &event, source: "pingone" })
}

#[test]
fn an_event_is_a_row() {
    let row: Value = serde_json::from_slice(&row()).expect("JSON");
    insta::assert_json_snapshot!(row);
    assert!(row.as_object().expect("a row").values().all(Value::is_string));
}

/// The table in `deploy/` has exactly the columns that a row has.
#[test]
fn the_table_has_the_columns_of_a_row() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/clickhouse/table.sql");
    let sql = std::fs::read_to_string(path).expect("a file");
    let columns =
        sql.split_once("(\n").and_then(|(_, rest)| rest.split_once("\n)")).expect("columns");
    let columns = columns.0.lines().filter_map(|line| line.split_whitespace().next());
    let mut columns: Vec<&str> = columns.filter(|name| *name != "--").collect();
    assert_eq!(columns, encode::COLUMNS, "the insert names each of them");
    columns.sort_unstable();
    // The event of the fixture has all optional values.
    let row: Value = serde_json::from_slice(&row()).expect("JSON");
    let names: Vec<&String> = row.as_object().expect("a row").keys().collect();
    assert_eq!(columns, names);
}

#[test]
fn an_insert_names_the_table_and_has_a_token() {
    let item = |position, text: &'static str| Item { position, payload: Bytes::from(text) };
    let token = |items: &[Item]| encode::token_of(items);
    let one = token(&[item(1, "a"), item(2, "b")]);
    assert_eq!(one, token(&[item(1, "a"), item(2, "b")]), "a repetition has it again");
    assert_ne!(one, token(&[item(1, "a"), item(3, "b")]));
    assert_ne!(one, token(&[item(1, "ab"), item(2, "")]));
    for (keys, expected) in [
        ("", ("default.pingone_events", "0")),
        ("database = \"iam\"\ntable = \"e\"\nasync_insert = true", ("iam.e", "1")),
    ] {
        drop(rustls::crypto::ring::default_provider().install_default());
        let config = parse(&format!("endpoint = \"https://x/in\"\n{keys}")).expect("valid");
        let TargetConfig::Clickhouse(settings) = &config.sinks[0].target else { panic!("a sink") };
        let sink = Clickhouse::open(settings).expect("a sink");
        let url = sink.insert_url("t");
        assert_eq!(url.path(), "/in");
        let (table, is_async) = expected;
        let insert = format!(
            "INSERT INTO {table} (time,recorded_at,event_id,event_uid,action_type,outcome,severity,interaction_id,\
             flow_id,flow_name,connector_id,environment_id,source,event) FORMAT JSONEachRow"
        );
        let sent: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let expected = [
            ("query", insert.as_str()),
            ("insert_deduplication_token", "t"),
            ("async_insert", is_async),
            ("wait_for_async_insert", "1"),
            ("input_format_skip_unknown_fields", "0"),
            ("input_format_allow_errors_num", "0"),
            ("input_format_allow_errors_ratio", "0"),
        ];
        assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

#[test]
fn mistakes_are_reported() {
    for (keys, said) in [
        ("", "endpoint: is missing"),
        ("endpoint = \"https://x/?user=me\"", "endpoint: has a query"),
        ("endpoint = \"https://x\"\ntable = \"a;DROP\"", "table: is not a name"),
        ("endpoint = \"https://x\"\ndatabase = \"\"", "database: is not a name"),
    ] {
        let found = parse(keys).expect_err(keys).to_string();
        assert!(found.contains(said), "{keys}: {found}");
    }
}
