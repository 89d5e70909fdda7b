//! Certificates towards targets: the authorities that a sink trusts, its own certificate, and changed files.

use crate::support::certificates::Certificates;
use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

fn home(url: &str, more: &str) -> Home {
    Home::new(&format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{url}/events\"\n\
         retry = {{ min = \"1ms\", max = \"100ms\" }}\n{more}"
    ))
}

#[test]
fn a_certificate_of_another_authority_is_refused_until_the_file_is_corrected() {
    let directory = tempfile::tempdir().expect("a directory");
    let right = Certificates::new(directory.path(), "right");
    let wrong = Certificates::new(directory.path(), "wrong");
    let target = Target::start_with(Webhook::default(), Some(right.acceptor(false)));
    let trusted = directory.path().join("trusted.pem");
    std::fs::copy(&wrong.ca, &trusted).expect("copied");
    let home = home(&target.url, &format!("tls = {{ ca = {trusted:?} }}\n"));
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_for("a refusal", || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == "retrying" && reason.contains("certificate")).then_some(())
    });
    assert_eq!(target.requests(), 0, "not a byte went there");
    std::fs::copy(&right.ca, &trusted).expect("copied");
    wait_for("the events", || (target.state().ids() == ids(3)).then_some(()));
}

#[test]
fn a_certificate_is_shown_to_a_target_that_asks_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "x");
    let target = Target::start_with(Webhook::default(), Some(certificates.acceptor(true)));
    let Certificates { ca, client, client_key, .. } = &certificates;
    let without = home(&target.url, &format!("tls = {{ ca = {ca:?} }}\n"));
    let checked = without.run(&["check", "--connect"]);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let own = format!("tls = {{ ca = {ca:?}, certificate = {client:?}, key = {client_key:?} }}\n");
    let with = home(&target.url, &own);
    assert!(with.run(&["check", "--connect"]).status.success());
    let service = with.start();
    service.post(&batch(ids(3)));
    wait_for("the events", || (target.state().ids() == ids(3)).then_some(()));
}

#[test]
fn files_that_are_no_certificates_pause_the_sink_and_say_which() {
    let directory = tempfile::tempdir().expect("a directory");
    let junk = directory.path().join("junk.pem");
    std::fs::write(&junk, "not PEM\n").expect("written");
    let home = home("https://localhost:1", &format!("tls = {{ ca = {junk:?} }}\n"));
    let checked = home.run(&["check", "--connect"]);
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("junk.pem holds no usable certificate: it is not PEM"), "{said}");
    let service = home.start();
    service.post(&batch(ids(1)));
    wait_for("a pause", || (service.readiness()["sinks"][0]["state"] == "paused").then_some(()));
}
