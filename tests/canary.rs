//! Malformed private keys, in every key of the configuration that takes one, and a search through the whole output of
//! the process.
//!
//! Operators paste keys without line breaks, encrypted, encoded twice, or into the wrong file. No part of such a key
//! may appear on the terminal, in the log, or at the admin listener, whose readiness is open to every client that
//! reaches it.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::canary::{TOKEN, assert_silent, shown, text};
use crate::support::certificates::Certificates;
use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::wait_for;

const REFUSED: &str = "davinci_siem_reloads_total{result=\"refused\"}";

/// Returns the malformed keys, each with the name of the mistake.
fn mistaken(pem: &str) -> Vec<(&'static str, Vec<u8>)> {
    let inner: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let body: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let middle = pem.len() / 2;
    let utf16 = |pem: &str| pem.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let der = STANDARD.decode(&inner).expect("base64");
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("on one line", pem.replace('\n', "").into()),
        ("on one line with blanks", pem.replace('\n', " ").into()),
        ("with literal \\n", pem.replace('\n', "\\n").into()),
        ("with literal \\r\\n", pem.replace('\n', "\\r\\n").into()),
        ("in quotation marks", format!("\"{}\"", pem.replace('\n', "\\n")).into()),
        ("base64 of base64", STANDARD.encode(pem).into()),
        (
            "base64 of base64 within markers",
            format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                STANDARD.encode(pem)
            )
            .into(),
        ),
        ("without markers", inner.clone().into()),
        ("without its first marker", pem.split_once('\n').expect("lines").1.into()),
        ("without its last marker", pem[..pem.rfind("-----END").expect("a marker")].into()),
        ("cut off", pem[..middle].into()),
        ("cut off in front", pem[middle..].into()),
        (
            "cut off in base64",
            format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                &inner[..inner.len() - 9]
            )
            .into(),
        ),
        (
            "cut off in DER",
            format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                STANDARD.encode(&der[..der.len() - 9])
            )
            .into(),
        ),
        ("with a byte order mark", format!("\u{feff}{pem}").into()),
        ("as UTF-16", utf16(pem)),
        ("with NUL bytes", pem.replace('\n', "\n\0").into()),
        ("with a NUL in the base64", pem.replacen(&inner[8..12], "\0", 1).into()),
        ("with another's characters", pem.replacen(&inner[8..12], "<!!>", 1).into()),
        ("encrypted", pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").into()),
        (
            "encrypted as OpenSSL once did",
            pem.replacen(
                "-----\n",
                "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
                1,
            )
            .into(),
        ),
        ("of OpenSSH", pem.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY").into()),
        ("of an unknown kind", pem.replace("PRIVATE KEY", "SECRET").into()),
        ("labelled as a certificate", pem.replace("PRIVATE KEY", "CERTIFICATE").into()),
        ("labelled as RSA", pem.replace("PRIVATE KEY", "RSA PRIVATE KEY").into()),
        (
            "labelled by its own base64",
            format!("-----BEGIN {inner}-----\n{inner}\n-----END {inner}-----\n").into(),
        ),
        (
            "after the first marker on its line",
            format!("-----BEGIN PRIVATE KEY-----{}", pem.split_once('\n').expect("lines").1).into(),
        ),
        ("indented", format!("  {}", pem.replace('\n', "\n  ")).into()),
        ("with four dashes", pem.replace("-----", "----").into()),
        ("in YAML", format!("key: |\n  {}", pem.replace('\n', "\n  ")).into()),
        ("in JSON", format!("{{\"key\":\"{}\"}}", pem.replace('\n', "\\n")).into()),
        ("as DER", der),
        ("two in one line", [body.concat(), body.concat()].concat().into()),
    ];
    forms
}

/// Returns the PEM text of a private key, and its certificate.
struct Pair {
    certificate: PathBuf,
    pem: String,
    inner: String,
    ca: PathBuf,
}

fn pair(directory: &Path) -> Pair {
    let certificates = Certificates::new(directory, "canary");
    let issued = certificates.issue("localhost", |_| ());
    let pem = std::fs::read_to_string(&issued.key).expect("a key").replace('\r', "");
    let inner = pem.lines().filter(|line| !line.starts_with('-')).collect();
    Pair { certificate: issued.certificate, pem, inner, ca: certificates.ca }
}

#[test]
fn a_broken_key_of_the_listener_is_not_shown_by_any_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let Pair { certificate, pem, inner, .. } = pair(directory.path());
    let key = directory.path().join("tls.key");
    let home = Home::with_listen(
        &format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"),
        "",
    );
    for (form, content) in mistaken(&pem) {
        std::fs::write(&key, content).expect("written");
        for arguments in [&["check"][..], &["check", "--json"], &["serve"]] {
            let output = home.run(arguments);
            let said = text(&output);
            assert!(!output.status.success(), "{form}: {said}");
            assert!(said.contains("listen.tls.key"), "{form}: it names the key: {said}");
            assert_silent(&said, &inner, form);
        }
    }
    // A key in place of certificates, and certificates in place of a key.
    let as_certificate = Home::with_listen(
        &format!("[listen.tls]\ncertificate = {key:?}\nkey = {certificate:?}\n"),
        "",
    );
    let as_authority = Home::with_listen(
        &format!(
            "[listen.tls]\ncertificate = {certificate:?}\nkey = {:?}\nclient_ca = {key:?}\nclient_crl = {key:?}\n",
            certificate.with_extension("key")
        ),
        "",
    );
    for (form, content) in [("whole", pem.clone().into_bytes())].into_iter().chain(mistaken(&pem)) {
        std::fs::write(&key, content).expect("written");
        for (home, place) in [(&as_certificate, "as certificate"), (&as_authority, "as authority")]
        {
            let said = text(&home.run(&["check"]));
            assert_silent(&said, &inner, &format!("{form} {place}"));
        }
    }
}

#[test]
fn a_broken_key_of_a_sink_is_shown_by_no_page_and_no_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let Pair { certificate, pem, inner, ca } = pair(directory.path());
    let mut config = String::new();
    let mut keys = Vec::new();
    for (index, (_, content)) in mistaken(&pem).into_iter().enumerate() {
        let key = directory.path().join(format!("{index}.key"));
        std::fs::write(&key, content).expect("written");
        let (name, target) = match index % 3 {
            0 => ("http", "type = \"http\"\nurl = \"https://localhost:1/x\""),
            1 => ("syslog", "type = \"syslog\"\naddress = \"localhost:1\""),
            _ => (
                "hec",
                "type = \"splunk_hec\"\nendpoint = \"https://localhost:1\"\ntoken_env = \"TOKEN\"",
            ),
        };
        config.push_str(&format!(
            "[sinks.{name}-{index}]\n{target}\ntls = {{ ca = {ca:?}, certificate = {certificate:?}, key = {key:?} }}\n"
        ));
        keys.push(key);
    }
    if cfg!(feature = "nats") {
        config.push_str(&format!(
            "[sinks.nats]\ntype = \"nats\"\nservers = [\"tls://127.0.0.1:1\"]\ntls = {{ ca = {ca:?}, certificate = {certificate:?}, key = {:?} }}\n",
            keys[0]
        ));
    }
    if cfg!(feature = "kafka") {
        config.push_str(&format!(
            "[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"127.0.0.1:1\"]\ntopic = \"t\"\ntls = {{ ca = {ca:?}, certificate = {certificate:?}, key = {:?} }}\n",
            keys[0]
        ));
    }
    let home = Home::new(&config).with_variables(&[("TOKEN", TOKEN)]);
    for arguments in [&["check"][..], &["check", "--connect"], &["check", "--connect", "--json"]] {
        assert_silent(&text(&home.run(arguments)), &inner, "check");
    }
    let service = home.start();
    service.post(&batch(ids(1)));
    wait_for("every sink to be in trouble", || {
        let sinks = service.readiness()["sinks"].clone();
        let sinks = sinks.as_array().expect("sinks");
        sinks.iter().all(|sink| sink["state"] != "running").then_some(())
    });
    let mut said = shown(&service);
    for arguments in [&["sink", "list"][..], &["status"], &["quarantine", "list"]] {
        said.push_str(&text(&home.run_with(&service, arguments)));
    }
    said.push_str(&service.terminate().1);
    assert!(said.contains("holds no usable private key"), "it says what is wrong: {said}");
    assert_silent(&said, &inner, "the service");
    assert_silent(&said, TOKEN, "the service");
}

#[test]
fn a_key_that_breaks_while_the_service_runs_is_not_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let Pair { certificate, pem, inner, .. } = pair(directory.path());
    let key = directory.path().join("tls.key");
    std::fs::write(&key, &pem).expect("written");
    let listen =
        format!("reload = \"1h\"\n[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let home = Home::with_listen(&listen, "");
    let service = home.start();
    let mut refused = service.metric(REFUSED);
    for (form, content) in mistaken(&pem) {
        std::fs::write(&key, content).expect("written");
        service.signal("HUP");
        wait_for(form, || (service.metric(REFUSED) > refused).then_some(()));
        refused = service.metric(REFUSED);
    }
    let mut said = shown(&service);
    said.push_str(&service.terminate().1);
    assert!(said.contains("holds no usable private key"), "it says what is wrong: {said}");
    assert_silent(&said, &inner, "a reload");
}
