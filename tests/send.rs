//! `send`: retries, permanent failures, and its messages.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::certificates::Certificates;
use crate::support::events::minted;
use crate::support::free_port;
use crate::support::service::{BINARY, Home};

fn send(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["send", "--count", "3", "--url", url]).args(arguments);
    command.output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Asserts that a message contains no text of a library and no credential.
fn assert_plain(text: &str) {
    for word in ["client error", "os error", "error sending", "(Connect)", "canary"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_url_without_a_scheme_is_a_mistake_with_its_correction() {
    let sent = send("localhost:8080", &[]);
    assert_eq!(sent.status.code(), Some(64), "{sent:?}");
    assert!(said(&sent).contains("give http://localhost:8080/webhooks/pingone"), "{sent:?}");
    let sent = send("ftp://me:canary@127.0.0.1/hook?key=canary", &[]);
    assert_eq!(sent.status.code(), Some(64), "{sent:?}");
    assert_plain(&said(&sent));
}

#[test]
fn permanent_failures_are_not_retried() {
    let home = Home::new(
        "[limits]\nbody = \"1 KiB\"\n[sources.pingone]\n\
         basic = [{ username = \"pingone\", password_env = \"PW\" }]\n[sources.open]\npath = \"/open\"\n",
    )
    .with_variables(&[("PW", "secret")]);
    let service = home.start();
    let open = service.url.replace("/webhooks/pingone", "/open");
    for (url, arguments, status, advice) in [
        (service.url.clone(), &[][..], "401 Unauthorized", "--user and --password-file"),
        (format!("{}/nowhere", service.url), &[], "404 Not Found", "correct --url"),
        (open, &["--batch", "3"], "413 Payload Too Large", "with --batch"),
    ] {
        // Retries have no time limit here, so that the command ends only if it does not retry.
        let sent = send(&url, &[arguments, &["--json"]].concat());
        assert_eq!(sent.status.code(), Some(1), "{sent:?}");
        let text = said(&sent);
        assert!(text.contains(status) && text.contains(advice), "{text}");
        assert!(text.contains("--like-pingone"), "{text}");
        let summary: Value = serde_json::from_slice(&sent.stdout).expect("JSON");
        assert_eq!((&summary["retries"], &summary["given_up"]), (&0.into(), &1.into()));
    }
    // RFC 6761, 6.4: no resolver may know a name below "invalid".
    let sent = send("http://siem.invalid/hook", &[]);
    assert_eq!(sent.status.code(), Some(1), "{sent:?}");
    assert!(said(&sent).contains("the name siem.invalid cannot be resolved"), "{sent:?}");
    assert_plain(&said(&sent));
}

#[test]
fn like_pingone_it_repeats_after_any_other_answer() {
    let home = Home::new(
        "[sources.pingone]\nbasic = [{ username = \"pingone\", password_env = \"PW\" }]\n",
    )
    .with_variables(&[("PW", "secret")]);
    let service = home.start();
    let mut sending = Command::new(BINARY)
        .args(["send", "--count", "1", "--like-pingone", "--url", &service.url])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let mut lines = BufReader::new(sending.stderr.take().expect("piped"));
    lines.read_line(&mut line).expect("a line");
    assert!(line.contains("401 Unauthorized") && line.contains("attempt 1 failed"), "{line}");
    sending.kill().expect("killed");
    sending.wait().expect("ended");
}

#[test]
fn a_refused_connection_is_retried_for_a_time_and_reported_in_plain_words() {
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://me:canary@{address}/hook?key=canary");
    let sent = send(&url, &["--give-up-after", "600ms"]);
    assert_eq!(sent.status.code(), Some(1), "{sent:?}");
    let text = said(&sent);
    assert!(text.contains(&format!("connection refused by {address}")), "{text}");
    assert!(text.contains("gave up on 1 batch: "), "{text}");
    assert_plain(&text);
}

#[test]
fn a_certificate_has_to_be_trusted_and_an_authority_can_be_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let own = certificates.issue("127.0.0.1", |_| ());
    let tls = format!("[listen.tls]\ncertificate = {:?}\nkey = {:?}\n", own.certificate, own.key);
    let home = Home::with_listen(&tls, "");
    let service = home.start();
    let other = Certificates::new(directory.path(), "b");
    let refused = send(&service.url, &["--cacert", other.ca.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let text = said(&refused);
    assert!(text.contains("signed by an authority that is not trusted"), "{text}");
    assert!(text.contains("--cacert FILE"), "{text}");
    assert_plain(&text);
    let sent = send(&service.url, &["--cacert", certificates.ca.to_str().expect("UTF-8")]);
    assert!(sent.status.success(), "{sent:?}");
    let missing = send(&service.url, &["--cacert", "nowhere.pem"]);
    assert_eq!(missing.status.code(), Some(64), "{missing:?}");
    assert!(said(&missing).contains("nowhere.pem"), "{missing:?}");
}

#[test]
fn files_of_any_size_are_sent_compressed_or_not_and_what_is_no_json_is_reported() {
    let home = Home::new("");
    let service = home.start();
    // More elements than one body may have.
    let lines: Vec<String> = (0..20_500).map(|index| minted(&format!("e{index}"))).collect();
    let write = |name: &str, text: &[u8]| {
        std::fs::write(home.path(name), text).expect("written");
        home.path(name).to_str().expect("UTF-8").to_owned()
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines[..20_400].join("\n").as_bytes()).expect("compressed");
    // The name says nothing about the compression.
    let first = write("first.ndjson", &gzip.finish().expect("compressed"));
    let mixed = [&lines[20_400..20_450], &["no event".to_owned()], &lines[20_450..]].concat();
    let second = write("second", &zstd::encode_all(mixed.join("\n").as_bytes(), 1).expect("zstd"));
    let empty = write("empty", b"\n");
    let sent = |files: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["send", "--json", "--url", &service.url]).args(files);
        command.output().expect("the binary runs")
    };
    let all = sent(&[&first, &second]);
    assert_eq!(all.status.code(), Some(1), "one line was not sent: {}", said(&all));
    assert!(said(&all).contains("second:51: "), "{}", said(&all));
    assert!(said(&all).contains("1 record could not be read as JSON"), "{}", said(&all));
    let summary: Value = serde_json::from_slice(&all.stdout).expect("JSON");
    assert_eq!((&summary["batches"], &summary["accepted"]), (&41.into(), &20_500.into()));
    let none = sent(&[&empty]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("empty: no events"), "{}", said(&none));
    let cut = write("cut", format!("[{},", minted("before-the-cut")).as_bytes());
    let (bracket, sent_before) = (write("bracket", b"["), sent(&[&cut]));
    for cut in [&sent_before, &sent(&[&bracket])] {
        assert_eq!(cut.status.code(), Some(1));
        assert!(said(cut).contains(":1: the array that begins here does not end"), "{}", said(cut));
    }
    let summary: Value = serde_json::from_slice(&sent_before.stdout).expect("JSON");
    assert_eq!(summary["accepted"], 1, "the element that is whole");
    let missing = sent(&[&first, "nowhere.json"]);
    assert_eq!(missing.status.code(), Some(64));
    assert!(said(&missing).contains("nowhere.json cannot be read"), "{}", said(&missing));
    let failure: Value = serde_json::from_slice(&missing.stdout).expect("JSON");
    assert!(failure["error"].is_string(), "nothing is sent before all files are there: {failure}");
}
