//! TLS in the listener: its versions, and the client certificates that it accepts.

use std::path::Path;

use rcgen::{CertificateParams, DnType, SanType, SerialNumber, date_time_ymd};
use reqwest::{Client, StatusCode, Version};

use crate::support::certificates::{Certificates, Issued};
use crate::support::events::{batch, ids};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

/// Returns `[listen.tls]` with the service's certificate and more keys.
fn tls(own: &Issued, more: &str) -> String {
    let Issued { certificate, key, .. } = own;
    format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n{more}\n")
}

fn authority(directory: &Path, name: &str) -> (Certificates, Issued) {
    let certificates = Certificates::new(directory, name);
    let own = certificates.issue("127.0.0.1", |_| ());
    (certificates, own)
}

/// Returns the status of a POST; `None` without a connection.
fn post(service: &Service, client: &Client) -> Option<StatusCode> {
    block_on(async {
        let post = client.post(&service.url).basic_auth("pingone", Some("wrong or right"));
        post.body(batch(ids(2))).send().await.ok().map(|answer| answer.status())
    })
}

#[test]
fn both_versions_of_tls_and_of_http_are_spoken_and_nothing_plain() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificates, own) = authority(directory.path(), "a");
    let home = Home::with_listen(&tls(&own, ""), "");
    let service = home.start();
    assert!(service.url.starts_with("https://"), "{}", service.url);
    block_on(async {
        let url = service.url.as_str();
        let get = |client: Client| async move {
            client.get(url).send().await.expect("an answer").version()
        };
        assert_eq!(get(certificates.http(None)).await, Version::HTTP_2, "by ALPN");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = certificates.config(&[version], &[b"http/1.1"]);
            let client = Client::builder().tls_backend_preconfigured(config).no_proxy();
            assert_eq!(get(client.build().expect("a client")).await, Version::HTTP_11);
        }
        let plain = service.url.replace("https://", "http://");
        assert!(reqwest::get(plain).await.is_err(), "not a word in the clear");
        let stranger = Certificates::new(directory.path(), "b").http(None);
        assert!(stranger.get(&service.url).send().await.is_err(), "another authority");
    });
}

#[test]
fn a_required_certificate_is_checked_before_any_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificates, own) = authority(directory.path(), "a");
    let other = Certificates::new(directory.path(), "b");
    let clients = format!("client_ca = {:?}", certificates.ca);
    let home = Home::with_listen(&tls(&own, &clients), "");
    let service = home.start();
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2090, 1, 1);
    let good = certificates.issue("pingone", |_| ());
    for (what, shown) in [
        ("none", None),
        ("another authority's", Some(other.issue("pingone", |_| ()))),
        ("expired", Some(certificates.issue("pingone", expired))),
        ("not valid yet", Some(certificates.issue("pingone", early))),
    ] {
        assert_eq!(post(&service, &certificates.http(shown.as_ref())), None, "{what}");
    }
    assert_eq!(post(&service, &certificates.http(Some(&good))), Some(StatusCode::OK));
    let failed = "davinci_siem_connection_ends_total{listener=\"webhooks\",reason=\"handshake\"}";
    wait_for("the handshakes", || (service.metric(failed) >= 4.0).then_some(()));
}

#[test]
fn a_source_accepts_only_its_pinned_certificates() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificates, own) = authority(directory.path(), "a");
    let named = |name: &'static str| {
        certificates.issue("x", move |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        })
    };
    let uri = certificates.issue("x", |params| {
        let uri = "spiffe://example.com/pingone".try_into().expect("a URI");
        params.subject_alt_names = vec![SanType::URI(uri)];
    });
    let print = named("print");
    let fingerprint = ring_sha256(&print.der);
    let source = |names: &str| format!("[sources.p]\ncertificates = [{names}]\n");
    for (wanted, right, wrong) in [
        (format!("{{ fingerprint = \"{fingerprint}\" }}"), &print, &named("print")),
        (
            "{ subject = 'O=Example\\, Inc.,CN=pingone' }".to_owned(),
            &named("pingone"),
            &named("pingtwo"),
        ),
        (
            "{ san = \"DNS:P1.example.com\" }".to_owned(),
            &certificates.issue("p1.example.com", |_| ()),
            &certificates.issue("p1.example.com.evil.net", |_| ()),
        ),
        ("{ san = \"URI:spiffe://example.com/pingone\" }".to_owned(), &uri, &named("pingone")),
        (
            "{ san = \"IP:192.0.2.7\" }".to_owned(),
            &certificates.issue("192.0.2.7", |_| ()),
            &certificates.issue("192.0.2.8", |_| ()),
        ),
    ] {
        let clients =
            format!("client_ca = {:?}\nclient_certificate = \"optional\"", certificates.ca);
        let home = Home::with_listen(&tls(&own, &clients), &source(&wanted));
        let service = home.start();
        let status = |shown| post(&service, &certificates.http(shown));
        assert_eq!(status(Some(right)), Some(StatusCode::OK), "{wanted}");
        assert_eq!(status(Some(wrong)), Some(StatusCode::UNAUTHORIZED), "{wanted}");
        assert_eq!(status(None), Some(StatusCode::UNAUTHORIZED), "{wanted}, without");
    }
}

/// Formats bytes in hexadecimal digits.
fn ring_sha256(der: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[test]
fn a_revoked_certificate_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificates, own) = authority(directory.path(), "a");
    let serial = |number: u64| {
        certificates
            .issue("pingone", |params| params.serial_number = Some(SerialNumber::from(number)))
    };
    let (good, revoked) = (serial(1001), serial(1002));
    let list = certificates.crl(&[1002]);
    let clients = format!("client_ca = {:?}\nclient_crl = {list:?}", certificates.ca);
    let home = Home::with_listen(&tls(&own, &clients), "");
    let service = home.start();
    assert_eq!(post(&service, &certificates.http(Some(&good))), Some(StatusCode::OK));
    assert_eq!(post(&service, &certificates.http(Some(&revoked))), None);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificates, own) = authority(directory.path(), "a");
    let another = certificates.issue("127.0.0.1", |_| ());
    let junk = directory.path().join("junk.pem");
    std::fs::write(&junk, "not PEM\n").expect("written");
    let expired =
        certificates.issue("127.0.0.1", |params| params.not_after = date_time_ymd(2021, 1, 1));
    let mixed = Issued { key: another.key, ..own.clone() };
    for (listen, message) in [
        (tls(&Issued { certificate: junk.clone(), ..own.clone() }, ""), "listen.tls.certificate: "),
        (tls(&Issued { key: junk.clone(), ..own.clone() }, ""), "holds no usable private key"),
        (tls(&mixed, ""), "does not belong to"),
        (tls(&own, &format!("client_ca = {junk:?}")), "listen.tls.client_ca: "),
        (
            tls(&own, &format!("client_ca = {:?}\nclient_crl = {junk:?}", certificates.ca)),
            "listen.tls.client_crl: ",
        ),
        (tls(&expired, ""), "listen.tls.certificate expired on 2021-01-01"),
    ] {
        let home = Home::with_listen(&listen, "");
        let checked = home.run(&["check"]);
        assert_eq!(checked.status.code(), Some(1), "{message}");
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(said.contains(message), "{said}");
        if !message.contains("expired") {
            let (status, log) = home.try_start().err().expect("it does not start");
            assert!(!status.success() && log.contains(message), "{log}");
        }
    }
    let checked = Home::with_listen(&tls(&own, ""), "").run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("webhooks on https://"), "{said}");
    assert!(said.contains("certificate is valid until 4096-01-01"), "{said}");
}
