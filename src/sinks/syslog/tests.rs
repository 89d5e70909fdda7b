//! Messages, read back by an independent reader of the RFCs; and the repetition of lost messages.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::fuzzing::rfc5424::{parse, unframed};
use crate::fuzzing::syslog::settings;

const RAW: &[u8] = include_bytes!("../../../fixtures/events/custom_analytics.json");

fn encoded(more: &str, raw: &[u8], line: &str) -> Result<String, Reason> {
    let event = crate::decode::event(raw).expect("an event").event;
    let rendered = Rendered { line: line.as_bytes().to_vec(), event: &event, source: "pingone" };
    encode::encode(&settings(more), rendered)
        .map(|(payload, _)| String::from_utf8(payload).expect("whole characters only"))
}

/// Returns the fixture with a change.
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
async fn unconfirmed_messages_are_sent_again_after_new_certificates() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut settings = settings("");
    settings.address = listener.local_addr().expect("an address").to_string();
    let mut sink = Syslog::open(&settings).expect("opened");
    let item = |text: &str| Item { position: 1, payload: Bytes::copy_from_slice(text.as_bytes()) };
    assert_eq!(sink.deliver(&[item("one.")]).await.verdicts, [Verdict::Delivered]);
    // Closing it with unread bytes resets the connection.
    drop(listener.accept().await.expect("a connection"));
    while sink.connection.as_ref().is_some_and(|connection| connection.ended().is_none()) {
        tokio::task::yield_now().await;
    }
    sink.reopen().await.expect("read again");
    assert_eq!(sink.deliver(&[item("two.")]).await.findings, [(SinkFinding::Resent, 1)]);
    let (mut stream, _) = listener.accept().await.expect("a connection");
    assert_eq!(read(&mut stream, 2).await, ["one.", "two."]);
    // A receiver that closes the connection in order confirms that it has read everything.
    tokio::join!(async { sink.reopen().await.expect("read again") }, async {
        use tokio::io::AsyncReadExt;
        assert_eq!(stream.read(&mut [0; 9]).await.expect("an end"), 0);
        drop(stream);
    });
    let report = sink.deliver(&[item("three.")]).await;
    assert!(report.findings.is_empty(), "{report:?}");
}

proptest! {
    #[test]
    fn any_id_and_text_is_read_back(id in ".{1,60}", text in ".{0,60}") {
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

async fn listening(more: &str) -> (tokio::net::TcpListener, Syslog) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut settings = settings(more);
    settings.address = listener.local_addr().expect("an address").to_string();
    (listener, Syslog::open(&settings).expect("opened"))
}

/// Returns numbered messages of 1,000 bytes.
fn numbered(count: usize) -> Vec<Item> {
    let payload = |number: usize| Bytes::from(format!("{number:0>999}."));
    (0..count).map(|number| Item { position: number as u64, payload: payload(number) }).collect()
}

/// Delivers until nothing is left. Returns the number of attempts.
async fn deliver_all(sink: &mut Syslog, mut items: Vec<Item>) -> usize {
    let mut attempts = 0;
    while !items.is_empty() {
        let report = sink.deliver(&items).await;
        let mut verdicts = report.verdicts.into_iter();
        items.retain(|_| verdicts.next() != Some(Verdict::Delivered));
        attempts += 1;
    }
    attempts
}

#[tokio::test]
async fn after_a_stall_sending_starts_with_the_first_unconfirmed_message() {
    let (listener, mut sink) = listening("timeout = \"200ms\"\nresend.messages = 2000").await;
    let items = numbered(4000);
    let report = sink.deliver(&items).await;
    let taken = report.verdicts.iter().take_while(|verdict| **verdict == Verdict::Delivered);
    let taken = taken.count();
    assert!(taken > 0 && taken <= 2000, "no more than can be sent again: {taken}");
    let Verdict::Retry { reason, .. } = &report.verdicts[taken] else { panic!("{taken}") };
    assert!(reason.is_late && reason.message.contains("accepted no byte for 200ms"), "{reason}");
    let (mut stalled, _) = listener.accept().await.expect("a connection");
    sink.settings.timeout = std::time::Duration::from_secs(60);
    let (_, received) = tokio::join!(deliver_all(&mut sink, items[taken..].to_vec()), async {
        let (mut next, _) = listener.accept().await.expect("a connection");
        read(&mut next, 4000).await
    });
    let numbers: Vec<usize> =
        received.iter().map(|m| m[..999].parse().expect("a number")).collect();
    assert_eq!(numbers, (0..4000).collect::<Vec<_>>(), "from the first unconfirmed one, in order");
    drop(read(&mut stalled, 1).await);
}

#[tokio::test]
async fn a_receiver_that_resets_each_connection_after_100_messages_gets_every_message() {
    use tokio::io::AsyncReadExt;
    let (listener, mut sink) = listening("timeout = \"5s\"").await;
    let receiving = tokio::spawn(async move {
        let (mut received, mut connections) = (std::collections::BTreeSet::new(), 0);
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            connections += 1;
            let mut bytes = Vec::new();
            // Closing it with unread bytes resets the connection.
            while bytes.len() < 100_000 && stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {}
            let text = String::from_utf8(bytes).expect("UTF-8");
            received
                .extend(text.split_inclusive('.').filter(|m| m.len() == 1000).map(str::to_owned));
            if received.len() == 1000 {
                return connections;
            }
        }
    });
    let items = numbered(1000);
    let mut attempts = 0;
    let delivering = async {
        attempts += deliver_all(&mut sink, items.clone()).await;
        // Unconfirmed messages are sent with the next batch.
        while attempts < 2000 {
            attempts += deliver_all(&mut sink, items[999..].to_vec()).await;
        }
    };
    tokio::select! {
        connections = receiving => assert!(connections.expect("received") < 200),
        () = delivering => panic!("no progress"),
    }
}

#[tokio::test]
async fn a_message_on_which_every_connection_breaks_does_not_block_the_others() {
    use tokio::io::AsyncReadExt;
    let (listener, mut sink) = listening("timeout = \"5s\"").await;
    let receiving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
                if bytes.contains(&b'!') {
                    stream.set_zero_linger().expect("reset");
                    break;
                }
                if bytes.ends_with(b"last.") {
                    return;
                }
            }
        }
    });
    let item = |text: &str| Item { position: 1, payload: Bytes::copy_from_slice(text.as_bytes()) };
    let delivering = async {
        deliver_all(&mut sink, ["one.", "bad!", "two."].map(item).to_vec()).await;
        for _ in 0..500 {
            sink.deliver(&[item("last.")]).await;
        }
    };
    tokio::select! {
        received = receiving => received.expect("received"),
        () = delivering => panic!("no progress"),
    }
}
