//! Certificates and credentials that change while the service runs.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::{Client, StatusCode};

use crate::support::certificates::{Certificates, Issued};
use crate::support::events::{batch, ids};
use crate::support::service::{Home, Service};
use crate::support::{block_on, runtime, wait_for};

const APPLIED: &str = "davinci_siem_reloads_total{result=\"applied\"}";
const EXPIRES: &str =
    "davinci_siem_certificate_expires_timestamp_seconds{certificate=\"listen.tls.certificate\"}";
const REFUSED: &str = "davinci_siem_reloads_total{result=\"refused\"}";

/// Mounts a secret as Kubernetes does: the names lead through a link that is replaced at once.
fn mount(directory: &Path, generation: u32, issued: &Issued) {
    let data = directory.join(format!("..{generation}"));
    std::fs::create_dir(&data).expect("a directory");
    std::fs::copy(&issued.certificate, data.join("tls.crt")).expect("copied");
    std::fs::copy(&issued.key, data.join("tls.key")).expect("copied");
    let link = directory.join("..data_tmp");
    symlink(&data, &link).expect("a link");
    std::fs::rename(&link, directory.join("..data")).expect("replaced");
    for name in ["tls.crt", "tls.key"] {
        if !directory.join(name).is_symlink() {
            symlink(Path::new("..data").join(name), directory.join(name)).expect("a link");
        }
    }
}

fn mounted(directory: &Path, more: &str) -> String {
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    format!("reload = \"20ms\"\n[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n{more}")
}

/// Returns the certificate that the service shows to a new connection.
fn shown(service: &Service, certificates: &Certificates) -> Vec<u8> {
    block_on(certificates.shown_by(&service.address()))
}

#[test]
fn certificates_are_replaced_under_load_without_a_failed_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let issue = || certificates.issue("127.0.0.1", |_| ());
    let secret = directory.path().join("secret");
    std::fs::create_dir(&secret).expect("a directory");
    mount(&secret, 0, &issue());
    let home = Home::with_listen(&mounted(&secret, ""), "");
    let service = home.start();
    let (is_over, posted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let runtime = runtime();
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (is_over, posted) = (Arc::clone(&is_over), Arc::clone(&posted));
            let (url, kept) = (service.url.clone(), certificates.http(None));
            let new_one = certificates.client_maker();
            runtime.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    // Two clients keep their connection, two open a new one each time.
                    let client = if number % 2 == 0 { kept.clone() } else { new_one() };
                    let answer = client.post(&url).body(batch(ids(1))).send().await;
                    assert_eq!(answer.expect("an answer").status(), 200);
                    posted.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for generation in 1..=10 {
        let next = issue();
        let before = posted.load(Ordering::Relaxed);
        mount(&secret, generation, &next);
        if generation % 2 == 0 {
            service.signal("HUP");
        }
        wait_for("the new certificate", || {
            (shown(&service, &certificates) == next.der.as_ref()).then_some(())
        });
        wait_for("more requests", || (posted.load(Ordering::Relaxed) > before + 20).then_some(()));
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        block_on(client).expect("no request failed");
    }
    // The service may have read the first files already at its start, which is not a reload.
    assert!(service.metric(APPLIED) >= 9.0);
    assert_eq!(service.metric(REFUSED), 0.0);
}

fn expired(certificates: &Certificates) -> Issued {
    certificates.issue("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1))
}

#[test]
fn an_unusable_certificate_does_not_replace_the_current_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let first = certificates.issue("127.0.0.1", |_| ());
    let second = certificates.issue("127.0.0.1", |_| ());
    let expired = expired(&certificates);
    let secret = directory.path().join("secret");
    std::fs::create_dir(&secret).expect("a directory");
    mount(&secret, 0, &first);
    let home = Home::with_listen(&mounted(&secret, ""), "");
    let service = home.start();
    // 4096-01-01, the expiry of certificates in tests.
    wait_for("the expiry", || (service.metric(EXPIRES) == 67_090_118_400.0).then_some(()));
    let mixed = Issued { key: first.key.clone(), ..second.clone() };
    let junk = Issued { certificate: first.key.clone(), ..second.clone() };
    for (generation, broken, message) in [
        (1, &mixed, "does not belong to"),
        (2, &junk, "holds no usable"),
        (3, &expired, "has expired"),
    ] {
        let refused = service.metric(REFUSED);
        mount(&secret, generation, broken);
        wait_for("a refusal", || (service.metric(REFUSED) > refused).then_some(()));
        service.wait_for_log(message);
        assert_eq!(shown(&service, &certificates), first.der.as_ref(), "{message}");
    }
    mount(&secret, 4, &second);
    wait_for("the new certificate", || {
        (shown(&service, &certificates) == second.der.as_ref()).then_some(())
    });
}

#[test]
fn a_certificate_that_was_expired_at_the_start_is_reported_and_blocks_no_reload() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let expired = expired(&certificates);
    let secret = directory.path().join("secret");
    std::fs::create_dir(&secret).expect("a directory");
    mount(&secret, 0, &expired);
    let home = Home::with_listen(&mounted(&secret, ""), "");
    let service = home.start();
    wait_for("the expiry", || (service.metric(EXPIRES) == 1_609_459_200.0).then_some(()));
    service.signal("HUP");
    wait_for("it to be read again", || (service.metric(APPLIED) >= 1.0).then_some(()));
    assert_eq!(service.metric(REFUSED), 0.0);
}

fn status(service: &Service, client: &Client, password: &str) -> Option<StatusCode> {
    block_on(async {
        let post = client.post(&service.url).basic_auth("pingone", Some(password)).body("[]");
        post.send().await.ok().map(|answer| answer.status())
    })
}

#[test]
fn a_password_is_changed_in_its_file() {
    let home = Home::with_listen(
        "reload = \"20ms\"",
        "[sources.p]\nbasic = [{ username = \"pingone\", password_file = \"password\" }]\n",
    );
    std::fs::write(home.path("password"), "first").expect("written");
    let service = home.start();
    let client = Client::new();
    let status = |password| status(&service, &client, password);
    assert_eq!(status("first"), Some(StatusCode::OK));
    std::fs::write(home.path("password"), "").expect("written");
    wait_for("a refusal", || (service.metric(REFUSED) > 0.0).then_some(()));
    assert_eq!(status("first"), Some(StatusCode::OK), "an empty file changes nothing");
    assert_eq!(status(""), Some(StatusCode::UNAUTHORIZED));
    std::fs::write(home.path("password"), "second").expect("written");
    wait_for("the new password", || (status("second") == Some(StatusCode::OK)).then_some(()));
    assert_eq!(status("first"), Some(StatusCode::UNAUTHORIZED));
    assert!(!service.log().contains("second"), "no secret in the log");
}

#[test]
fn a_certificate_that_is_no_longer_pinned_is_refused_on_its_open_connection() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let own = certificates.issue("127.0.0.1", |_| ());
    let client = certificates.http(Some(&certificates.issue("pingone.example.com", |_| ())));
    let listen = format!(
        "reload = \"1h\"\n[listen.tls]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
        own.certificate, own.key, certificates.ca
    );
    let list = "[sources.p]\ncertificates = [{ san = \"DNS:pingone.example.com\" }]\n";
    let home = Home::with_listen(&listen, list);
    let service = home.start();
    let status = || status(&service, &client, "");
    assert_eq!(status(), Some(StatusCode::OK));
    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let changed = config.replace("DNS:pingone", "DNS:another");
    std::fs::write(home.path("test.toml"), changed.replace("1h", "one hour")).expect("written");
    service.signal("HUP");
    service.wait_for_log("reload refused; nothing was changed");
    assert_eq!(status(), Some(StatusCode::OK), "the file had a mistake");
    let more = format!("{changed}[sources.new]\npath = \"/new\"\n");
    std::fs::write(home.path("test.toml"), more).expect("written");
    service.signal("HUP");
    service.wait_for_log("sources.new: adding a source needs a restart");
    assert_eq!(status(), Some(StatusCode::OK), "all or nothing");
    std::fs::write(home.path("test.toml"), changed).expect("written");
    service.signal("HUP");
    wait_for("a reload", || (service.metric(APPLIED) == 1.0).then_some(()));
    assert_eq!(status(), Some(StatusCode::UNAUTHORIZED));
    service.wait_for_log("sources.p.credentials");
}
