//! Rows, the statement, and the mistakes of a configuration; with the feature, the consequence of each SQLSTATE.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::config;

const RAW: &[u8] = include_bytes!("../../../fixtures/events/custom_analytics.json");

fn encoded(line: &str) -> Result<Vec<u8>, Reason> {
    let event = crate::decode::event(RAW).expect("an event").event;
    let line = line.as_bytes().to_vec();
    encode::encode(Rendered { line, event: &event, source: "pingone" })
}

#[test]
fn an_event_is_a_row_with_every_column() {
    let row: Value = serde_json::from_slice(&encoded("{\"a\":[1]}").expect("a row")).expect("JSON");
    assert_eq!(row["event"], serde_json::json!({ "a": [1] }));
    assert_eq!(row["time"], "2024-02-15T16:07:03.947+00:00");
    assert_eq!(row["event_id"], "c452dcdf-a535-43f6-8cc3-a09ccb440e91");
    let names: Vec<&String> = row.as_object().expect("a row").keys().collect();
    let mut columns = encode::COLUMNS.map(|(name, _)| name);
    columns.sort_unstable();
    assert_eq!(names, columns);
    assert!(encoded("CEF:0|x").is_err(), "no JSON");
}

/// The table in `deploy/` has exactly the columns of the statement, with their types.
#[test]
fn the_table_has_the_columns_of_the_statement() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/postgres/table.sql");
    let sql = std::fs::read_to_string(path).expect("a file");
    let (_, rest) = sql.split_once("(\n").expect("columns");
    let (columns, _) = rest.split_once("\n)").expect("columns");
    let columns: Vec<(&str, &str)> = columns
        .lines()
        .map(|line| {
            let mut words = line.trim_end_matches(',').split_whitespace();
            (words.next().expect("a name"), words.next().expect("a type"))
        })
        .collect();
    assert_eq!(columns, encode::COLUMNS);
    let statement = encode::statement("public.pingone_events");
    assert!(statement.starts_with("INSERT INTO public.pingone_events (event_uid, event_id, time,"));
    assert!(statement.ends_with("ON CONFLICT (event_uid) DO NOTHING"));
}

#[test]
fn mistakes_are_reported() {
    let good = "address = \"db:5432\"\ndatabase = \"siem\"\nusername = \"u\"\n";
    for (keys, said) in [
        ("database = \"siem\"\nusername = \"u\"".to_owned(), "address: is missing"),
        ("address = \"u:p@db:5432\"".to_owned(), "address: is not a host with its port"),
        ("address = \"db\"".to_owned(), "address: is not a host with its port"),
        (format!("{good}table = \"a;b\""), "table: is not a table"),
        (format!("{good}table = \"a.b.c\""), "table: is not a table"),
        (format!("{good}password = \"canary\""), "use password_file or password_env"),
        (format!("{good}format = \"cef\""), "which this target does not take"),
        (
            format!("{good}transport = \"tcp\"\ntls = {{ ca = \"/dev/null\" }}"),
            "tls: is for transport = \"tls\" only",
        ),
    ] {
        let text = format!("[sinks.s]\ntype = \"postgres\"\n{keys}\n");
        let found = config::parse(&text, None, std::iter::empty()).expect_err(&keys).to_string();
        assert!(found.contains(said) && !found.contains("canary"), "{keys}: {found}");
    }
}

#[cfg(feature = "postgres")]
#[test]
fn every_code_has_its_consequence() {
    use super::answer::{SqlClass, class_of};
    for (codes, class) in [
        (&["22P05", "22P02", "22021", "23502", "23514", "54000"][..], SqlClass::Row),
        (
            &["28P01", "28000", "3D000", "42501", "42P01", "42703", "42P10", "42804", "0A000"],
            SqlClass::Fatal,
        ),
        (
            &[
                "08006", "40001", "40P01", "53300", "53100", "57P01", "57P03", "25006", "58030",
                "XX000",
            ],
            SqlClass::Retry,
        ),
    ] {
        for code in codes {
            assert_eq!(class_of(code).0, class, "{code}");
        }
    }
}
