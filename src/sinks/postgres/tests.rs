//! Rows, the statement, and the mistakes of a configuration; with the feature, the consequence of each SQLSTATE.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::config;
#[cfg(feature = "postgres")]
use crate::sinks::{TargetConfig, Verdict};

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
    // In the transaction of the insert: no session keeps it.
    assert!(statement.contains("WHERE (SELECT set_config('synchronous_commit', CASE "));
    assert!(statement.contains(" END, true)) IS NOT NULL ON CONFLICT"));
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
        (&["22P05", "22P02", "22021", "23505", "23514", "54000"][..], SqlClass::Row),
        (
            &[
                "28P01", "28000", "3D000", "42501", "42P01", "42703", "42P10", "42804", "0A000",
                "23502",
            ],
            SqlClass::Fatal,
        ),
        (
            &[
                "08006", "40001", "40P01", "53300", "53100", "57P01", "57P03", "25006", "58030",
                "XX000",
            ],
            SqlClass::Retry,
        ),
        (&["57014"], SqlClass::Late),
    ] {
        for code in codes {
            assert_eq!(class_of(code).0, class, "{code}");
        }
    }
}

/// Returns the verdict after the first answer of a server.
#[cfg(feature = "postgres")]
async fn verdict_after(first: &[u8], mode: tokio_postgres::config::SslMode) -> Verdict {
    use tokio::io::AsyncWriteExt;
    let (client, mut server) = tokio::io::duplex(1024);
    server.write_all(first).await.expect("written");
    let mut config = tokio_postgres::Config::new();
    config.user("davinci_siem").ssl_mode(mode);
    let error = config.connect_raw(client, tokio_postgres::NoTls).await.err().expect("refused");
    answer::verdict(&error, "db:5432")
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_sign_in_that_the_client_gives_up_pauses_the_sink() {
    use tokio_postgres::config::SslMode::{Disable, Require};
    for (first, mode, said) in [
        (&b"R\0\0\0\x08\0\0\0\x03"[..], Disable, "db:5432: the server wants a password"),
        (b"R\0\0\0\x08\0\0\0\x07", Disable, "db:5432: the sign-in does not work"),
        (b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", Disable, "the server wants a password"),
        (b"N", Require, "db:5432: the server refuses TLS"),
    ] {
        let verdict = verdict_after(first, mode).await;
        assert!(matches!(verdict, Verdict::Fatal { .. }), "{said}: {verdict:?}");
        let found = verdict.into_reason().message;
        assert!(found.contains(said), "{said}: {found}");
    }
    let unknown = verdict_after(b"Z\0\0\0\x05I", Disable).await;
    assert!(matches!(unknown, Verdict::Retry { .. }), "{unknown:?}");
}

/// A server that accepts a connection and stays silent gets as many events as before.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_connection_that_takes_too_long_is_not_the_fault_of_the_batch() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let text = format!(
        "[sinks.s]\ntype = \"postgres\"\naddress = \"{address}\"\ndatabase = \"d\"\nusername = \"u\"\n\
         transport = \"tcp\"\nconnect_timeout = \"100ms\"\n"
    );
    let config = config::parse(&text, None, std::iter::empty()).expect("valid");
    let TargetConfig::Postgres(settings) = &config.sinks[0].target else { panic!("a sink") };
    let verdict = connect::connect(settings, None).await.expect_err("no connection");
    assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
    let reason = verdict.into_reason();
    assert!(reason.message.contains("no connection within") && !reason.is_late, "{reason:?}");
}
