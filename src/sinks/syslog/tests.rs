//! Messages by the letter of the RFCs, read back by a reader that knows nothing of the writer.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::fuzzing::rfc5424::{parse, unframed};
use crate::fuzzing::syslog::settings;
use crate::sinks::Rendered;

const RAW: &[u8] = include_bytes!("../../../fixtures/events/custom_analytics.json");

fn encoded(more: &str, raw: &[u8], line: &str) -> Result<String, Reason> {
    let event = crate::decode::event(raw).expect("an event").event;
    let rendered = Rendered { line: line.as_bytes().to_vec(), event: &event };
    encode(&settings(more), rendered)
        .map(|(payload, _)| String::from_utf8(payload).expect("whole characters only"))
}

/// The fixture with something else in it.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut event = serde_json::from_slice(RAW).expect("JSON");
    change(&mut event);
    event.to_string()
}

#[test]
fn a_message_has_the_header_of_rfc_5424() {
    let frame = encoded("", RAW, "{\"é\":\"\u{1f600}\"}").expect("a message");
    let parsed = parse(unframed(&frame));
    assert_eq!(parsed.priority, 10 * 8 + 6);
    assert_eq!(parsed.header[0], "1");
    let time = &parsed.header[1];
    assert!(time.len() == 27 && time.ends_with('Z') && time.contains('T'), "{time}");
    assert_eq!(parsed.header[2..], ["pingone", "davinci-siem", "-", "CUSTOM_ANALYTICS"]);
    assert_eq!(parsed.text, "{\"é\":\"\u{1f600}\"}");
    insta::assert_snapshot!(unframed(&encoded("", RAW, "{}").expect("a message")));
}

#[test]
fn settings_show_in_the_message() {
    let message = |more: &str| encoded(more, RAW, "{\"a\":1}").expect("a message");
    assert!(message("framing = \"lf\"").ends_with(" {\"a\":1}\n"));
    assert!(message("bom = true").ends_with(" \u{feff}{\"a\":1}"));
    assert!(unframed(&message("facility = \"local3\"")).starts_with("<158>1 "));
    assert!(message("enterprise_number = 4711").contains(" [davinci@4711 id="));
    assert!(message("structured_data = false").ends_with(" CUSTOM_ANALYTICS - {\"a\":1}"));
    assert!(message("hostname = \"h\"\napp_name = \"a\"").contains("Z h a - CUSTOM"));
    let old = message("header = \"rfc3164\"\nframing = \"lf\"");
    let (head, text) = old.split_once(" pingone davinci-siem: ").expect("RFC 3164");
    assert_eq!(text, "{\"a\":1}\n");
    // <86>Feb 15 16:07:03
    assert!(head.starts_with("<86>") && head.len() == "<86>".len() + 15, "{head}");
}

#[test]
fn severity_follows_the_outcome() {
    let priority = |name: &str| {
        let path = format!("{}/fixtures/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let raw = std::fs::read(path).expect("a fixture");
        parse(unframed(&encoded("", &raw, "{}").expect("a message"))).priority
    };
    assert_eq!(priority("start_interaction"), 86);
    assert_eq!(priority("send_error_response"), 83);
    let fraud = changed(|event| {
        event["_embedded"]["flowInteractionEvent"]["outcomeStatus"] = "fraud".into();
    });
    let fraud = encoded("", fraud.as_bytes(), "{}").expect("a message");
    assert_eq!(parse(unframed(&fraud)).priority, 82);
}

#[test]
fn a_message_that_is_too_long_goes_where_configured() {
    let long = format!("{{\"text\":\"{}\"}}", "\u{1f600}".repeat(300));
    let refused = encoded("max_size = \"1000B\"", RAW, &long).expect_err("too long");
    assert!(refused.message.contains("max_size is 1000"), "{refused}");
    for size in 996..=1003 {
        let more = format!("max_size = \"{size}B\"\noversize = \"truncate\"");
        let cut = encoded(&more, RAW, &long).expect("a message");
        let message = unframed(&cut);
        assert!(message.len() <= size && message.len() + 4 > size, "{} of {size}", message.len());
    }
    let more = "max_size = \"1000B\"\noversize = \"compact\"";
    let compact = parse(unframed(&encoded(more, RAW, &long).expect("a message"))).text;
    assert_eq!(compact, "");
    let long_id = changed(|event| event["id"] = "x".repeat(1000).into());
    encoded(more, long_id.as_bytes(), "{}").expect_err("not even the header fits");
}

/// Reads octet-counted messages until there are `count`.
async fn read(stream: &mut tokio::net::TcpStream, count: usize) -> Vec<String> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    while bytes.iter().filter(|byte| **byte == b'.').count() < count {
        stream.read_buf(&mut bytes).await.expect("bytes");
    }
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.split_inclusive('.').map(str::to_owned).collect()
}

#[tokio::test]
async fn what_a_lost_connection_swallowed_survives_new_certificates() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut settings = settings("");
    settings.address = listener.local_addr().expect("an address").to_string();
    let mut sink = Syslog::open(&settings).expect("opened");
    let item = |text: &str| Item { position: 1, payload: Bytes::copy_from_slice(text.as_bytes()) };
    assert_eq!(sink.deliver(&[item("one.")]).await.verdicts, [Verdict::Delivered]);
    // Closing with bytes unread resets the connection.
    drop(listener.accept().await.expect("a connection"));
    while sink.connection.as_ref().is_some_and(|connection| connection.ended().is_none()) {
        tokio::task::yield_now().await;
    }
    sink.reopen().await.expect("read again");
    assert_eq!(sink.deliver(&[item("two.")]).await.notices, [(Notice::Resent, 1)]);
    let (mut stream, _) = listener.accept().await.expect("a connection");
    assert_eq!(read(&mut stream, 2).await, ["one.", "two."]);
    // A receiver that has read everything and says goodbye confirms it.
    tokio::join!(async { sink.reopen().await.expect("read again") }, async {
        use tokio::io::AsyncReadExt;
        assert_eq!(stream.read(&mut [0; 9]).await.expect("an end"), 0);
        drop(stream);
    });
    let report = sink.deliver(&[item("three.")]).await;
    assert!(report.notices.is_empty(), "{report:?}");
}

proptest! {
    #[test]
    fn whatever_an_event_says_is_read_back(id in ".{1,60}", text in ".{0,60}") {
        let raw = changed(|event| event["id"] = id.clone().into());
        let line = serde_json::json!({ "t": text }).to_string();
        for framing in ["", "framing = \"lf\""] {
            let frame = encoded(framing, raw.as_bytes(), &line).expect("a message");
            let message = if framing.is_empty() {
                unframed(&frame)
            } else {
                frame.strip_suffix('\n').expect("a line")
            };
            prop_assert!(!message.contains(['\n', '\r', '\0']));
            let parsed = parse(message);
            let printable = |text: &str| -> String {
                text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
            };
            prop_assert_eq!(&parsed.parameters[0], &("id".to_owned(), printable(&id)));
            prop_assert_eq!(&parsed.text, &line);
        }
    }
}
