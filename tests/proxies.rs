//! Real proxies in front of the service, with the files of `deploy/`: nginx and Caddy terminate HTTP, `HAProxy`
//! forwards TLS.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Client, RequestBuilder, Response, Version};
use serde_json::{Value, json};

use crate::support::certificates::{Certificates, Issued};
use crate::support::events::{self, batch};
use crate::support::proxy::{Kind, NAME, Proxy};
use crate::support::service::{Home, Service};
use crate::support::{block_on, free_port, wait_for};

const PER_BATCH: usize = 500;

const SINK: &str = "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n";

/// A running proxy, and a service that can be started behind it.
struct Bench {
    proxy: Proxy,
    home: Home,
    certificates: Certificates,
    _directory: tempfile::TempDir,
}

/// Answer to a client: status, `Retry-After`, and the text of the body.
type Answer = (u16, Option<String>, String);

impl Bench {
    fn new(kind: Kind, listen: &str, config: &str) -> Bench {
        let directory = tempfile::tempdir().expect("a directory");
        let certificates = Certificates::new(directory.path(), "a");
        let own = certificates.issue(NAME, |_| ());
        let Issued { certificate, key, .. } = &own;
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let listen = listen
            .replace("OWN", &format!("certificate = {certificate:?}\nkey = {key:?}"))
            .replace("CLIENTS", &format!("client_ca = {:?}", certificates.ca));
        let home = Home::with_listen(&listen, config)
            .with_variables(&[("DAVINCI_SIEM__LISTEN__ADDRESS", &upstream.to_string())]);
        let proxy = Proxy::start(kind, directory.path(), upstream, &own);
        Bench { proxy, home, certificates, _directory: directory }
    }

    /// Returns a client at an address of this machine, with a certificate if `identity` has one.
    fn client(&self, from: [u8; 4], shows: Option<&Issued>) -> Client {
        let builder = self.certificates.http_builder(shows).resolve(NAME, self.proxy.address);
        builder.local_address(IpAddr::from(from)).build().expect("a client")
    }

    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.proxy.address.port())
    }

    /// Posts to the webhook with a new client.
    fn post(&self) -> RequestBuilder {
        self.client([127, 0, 0, 1], None).post(self.url("/webhooks/pingone"))
    }

    /// Returns the ids that the sink has.
    fn delivered(&self) -> Vec<String> {
        let mut ids: Vec<String> =
            self.home.lines("out.ndjson").iter().map(|line| events::id(line)).collect();
        ids.sort();
        ids
    }

    /// Returns the number of accepted events, over all runs of the service.
    fn accepted(&self) -> Option<u64> {
        let stats = self.home.run(&["spool", "stats", "--json"]).stdout;
        let stats: Value = serde_json::from_slice(&stats).expect("JSON");
        let row = stats["totals"].as_array()?.iter().find(|row| row[1] == "accepted")?;
        row[2].as_u64()
    }
}

/// Sends a request. Every answer comes over HTTP/2.
fn sent(request: RequestBuilder) -> Answer {
    block_on(async {
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.version(), Version::HTTP_2);
        let header = |answer: &Response| {
            let value = answer.headers().get("retry-after")?;
            Some(value.to_str().expect("text").to_owned())
        };
        (answer.status().as_u16(), header(&answer), answer.text().await.expect("text"))
    })
}

fn status(request: RequestBuilder) -> u16 {
    sent(request).0
}

fn is_error(answer: &Answer, status: u16, retry_after: Option<&str>, message: &str) -> bool {
    let body: Option<Value> = serde_json::from_str(&answer.2).ok();
    (answer.0, answer.1.as_deref()) == (status, retry_after)
        && body == Some(json!({ "error": message }))
}

fn ids(number: usize) -> Vec<String> {
    (0..PER_BATCH).map(|event| format!("event-{number:03}-{event:03}")).collect()
}

#[test]
#[ignore = "needs nginx and Caddy; .ci/proxies installs them"]
fn proxies_forward_credentials_and_refusals() {
    let config = "[sources.p]\nbasic = [{ username = \"pingone\", password_env = \"PASSWORD\" }]\n\
                  headers = [{ name = \"X-Webhook-Key\", value_env = \"KEY\" }]\n\
                  [limits]\nfailed_logins = 1000\n";
    for kind in [Kind::Nginx, Kind::Caddy] {
        let mut bench = Bench::new(kind, "trusted_proxies = [\"127.0.0.1/32\"]", config);
        bench.home = bench
            .home
            .with_variables(&[("PASSWORD", "a password, as is"), ("KEY", "a key, as it is given")]);
        let _service = bench.home.start();
        let post = || bench.post().body(batch(ids(0)));
        let basic = |password| status(post().basic_auth("pingone", Some(password)));
        let header = |value| status(post().header("X-Webhook-Key", value));
        assert_eq!(basic("a password, as is"), 200, "{kind:?}");
        assert_eq!(header("a key, as it is given"), 200, "{kind:?}");
        assert_eq!(header("another key"), 401, "{kind:?}");
        // The service does not read the body; its answer must reach the client nevertheless.
        for _ in 0..50 {
            assert_eq!(basic("a password, as it is not"), 401, "{kind:?}");
        }
        let answer = sent(post());
        assert!(is_error(&answer, 401, None, "credentials are missing or wrong"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs nginx and Caddy; .ci/proxies installs them"]
fn the_service_sees_the_clients_real_address() {
    let config = "[sources.p]\nallow_from = [\"127.0.0.2/32\"]\n";
    for kind in [Kind::Nginx, Kind::Caddy] {
        let listen = "trusted_proxies = [\"127.0.0.1/32\"]\nforwarded_header = ";
        for (header, right) in [("x-forwarded-for", 200), ("forwarded", 403)] {
            let bench = Bench::new(kind, &format!("{listen}{header:?}"), config);
            let _service = bench.home.start();
            let post = |from| {
                let client = bench.client(from, None);
                client.post(bench.url("/webhooks/pingone")).body("[]")
            };
            assert_eq!(status(post([127, 0, 0, 2])), right, "{kind:?}");
            let forged = post([127, 0, 0, 3])
                .header("X-Forwarded-For", "127.0.0.2")
                .header("Forwarded", "for=127.0.0.2");
            assert_eq!(status(forged), 403, "{kind:?} passes a forged {header} on");
        }
    }
}

#[test]
#[ignore = "needs nginx and Caddy; .ci/proxies installs them"]
fn whole_batches_are_stored_compressed_or_not() {
    for kind in [Kind::Nginx, Kind::Caddy] {
        let bench = Bench::new(kind, "", SINK);
        let service = bench.home.start();
        let stored = json!({"received": 500, "accepted": 500, "duplicates": 0, "quarantined": 0});
        for number in 0..10 {
            let body = batch(ids(number));
            let post = if number % 2 == 0 {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                gzip.write_all(body.as_bytes()).expect("compressed");
                let body = gzip.finish().expect("compressed");
                bench.post().header("Content-Encoding", "gzip").body(body)
            } else {
                bench.post().body(body)
            };
            let (status, _, text) = sent(post);
            assert_eq!((status, serde_json::from_str(&text).ok()), (200, Some(stored.clone())));
        }
        service.wait_until_settled("out");
        assert_eq!(bench.delivered(), (0..10).flat_map(ids).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[test]
#[ignore = "needs nginx and Caddy; .ci/proxies installs them"]
fn a_service_that_is_down_is_never_a_200() {
    for kind in [Kind::Nginx, Kind::Caddy] {
        let bench = Bench::new(kind, "", SINK);
        let post = |number| bench.post().body(batch(ids(number)));
        for _ in 0..5 {
            assert_eq!(status(post(0)), 502, "{kind:?}, before the service has ever run");
        }
        let service = bench.home.start();
        assert_eq!(status(post(0)), 200, "{kind:?}");
        // A client that repeats each batch until the answer is 200, and a service that is killed meanwhile.
        let (acknowledged, refused) = (AtomicUsize::new(1), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                for number in 1..40 {
                    loop {
                        match status(post(number)) {
                            200 => break,
                            502..=504 => refused.fetch_add(1, Ordering::SeqCst),
                            other => panic!("{kind:?} answers {other}"),
                        };
                    }
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
            let reaches = |count: &AtomicUsize, wanted: usize| {
                wait_for("the client", || {
                    assert!(!client.is_finished(), "{kind:?}: too early");
                    (count.load(Ordering::SeqCst) >= wanted).then_some(())
                });
            };
            let mut service = service;
            for wanted in [5, 15, 25] {
                reaches(&acknowledged, wanted);
                service.kill();
                reaches(&refused, refused.load(Ordering::SeqCst) + 1);
                service = bench.home.start();
            }
            client.join().expect("a client ends well");
            service.wait_until_settled("out");
        });
        assert_eq!(bench.accepted(), Some(40 * PER_BATCH as u64), "{kind:?}: nothing twice");
        // After a kill, the file sink itself may write a line twice.
        let mut delivered = bench.delivered();
        delivered.dedup();
        assert_eq!(delivered, (0..40).flat_map(ids).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[test]
#[ignore = "needs nginx and Caddy; .ci/proxies installs them"]
fn refusals_of_the_service_pass_the_proxy_unchanged() {
    // The smallest possible quarantine: 18 bodies of 60 kB fill it.
    let config = "[limits]\nbody = \"64 KiB\"\nin_flight = \"1 MiB\"\n[spool]\nmax_size = \"32 MiB\"\n\
                  quarantine_max_size = \"1088 KiB\"\ndedup = { max_ids = 100_000 }\n";
    for kind in [Kind::Nginx, Kind::Caddy] {
        let bench = Bench::new(kind, "", config);
        let _service = bench.home.start();
        let full = (0..100).find_map(|number| {
            let garbage = format!("garbage {number} {}", "x".repeat(60_000));
            Some(sent(bench.post().body(garbage))).filter(|answer| answer.0 != 200)
        });
        let full = full.expect("it becomes full");
        assert!(is_error(&full, 503, Some("10"), "the quarantine is full"), "{kind:?}: {full:?}");
        let large = sent(bench.post().body(" ".repeat(70_000)));
        let message = "the body is larger than limits.body";
        assert!(is_error(&large, 413, None, message), "{kind:?}: {large:?}");
    }
}

#[test]
#[ignore = "needs nginx and Caddy; .ci/proxies installs them"]
fn a_body_over_the_limit_is_a_413() {
    for kind in [Kind::Nginx, Kind::Caddy] {
        let mut bench = Bench::new(kind, "", "");
        let service = bench.home.start();
        let post = |size: usize| sent(bench.post().body(format!("[{}]", " ".repeat(size - 2))));
        let limit = 32 * 1024 * 1024;
        assert_eq!(post(limit).0, 200, "{kind:?}: what the service takes, the proxy takes");
        let refused = "a body is larger than limits.body; PingOne repeats it";
        let answer = post(limit + 1);
        let message = "the body is larger than limits.body";
        assert!(is_error(&answer, 413, None, message), "{kind:?}: {answer:?}");
        service.wait_for_log(refused);
        drop(service);
        // An operator raises `limits.body` and forgets nginx's limit. Caddy has none.
        bench.home = bench.home.with_variables(&[("DAVINCI_SIEM__LIMITS__BODY", "64 MiB")]);
        let _service = bench.home.start();
        let body = format!("[{}]", " ".repeat(limit + 2 * 1024 * 1024));
        let (status, _, text) = sent(bench.post().body(body));
        assert_eq!(status, if kind == Kind::Nginx { 413 } else { 200 }, "{kind:?}: {text}");
    }
}

#[test]
#[ignore = "needs nginx and Caddy; .ci/proxies installs them"]
fn only_the_webhook_is_reachable() {
    for kind in [Kind::Nginx, Kind::Caddy] {
        let bench = Bench::new(kind, "", "");
        let service: Service = bench.home.start();
        let client = bench.client([127, 0, 0, 1], None);
        for path in
            ["/", "/livez", "/readyz", "/metrics", "/webhooks", "/webhooks/pingone/", "/other"]
        {
            assert_eq!(status(client.get(bench.url(path))), 404, "{kind:?}: GET {path}");
            assert_eq!(status(client.post(bench.url(path)).body("[]")), 404, "{kind:?}: {path}");
        }
        // Over HTTP/1.1, a client may name another host than in the TLS handshake.
        let tls = bench.certificates.config(rustls::ALL_VERSIONS, &[b"http/1.1"]);
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy();
        let client = client.resolve(NAME, bench.proxy.address).build().expect("a client");
        let other_name = client.post(bench.url("/")).header("Host", "other.example.com");
        let answer = block_on(other_name.body("[]").send()).expect("an answer");
        assert_eq!(answer.status(), 404, "{kind:?}: another name");
        assert!(!service.log().contains("answered 404"), "{kind:?} answers by itself");
        assert_eq!(status(bench.post().body("[]")), 200, "{kind:?}");
    }
}

const PASSED_ON: &str = "trusted_proxies = [\"127.0.0.1/32\"]\nproxy_protocol = true\n\
                         [listen.tls]\nOWN\nCLIENTS\n";

#[test]
#[ignore = "needs HAProxy; .ci/proxies installs it"]
fn a_client_certificate_and_its_address_reach_the_service() {
    let config = "[sources.p]\ncertificates = [{ san = \"DNS:pingone.example.com\" }]\n\
                  allow_from = [\"127.0.0.2/32\"]\n";
    let bench = Bench::new(Kind::Haproxy, PASSED_ON, &format!("{config}{SINK}"));
    let shown = bench.certificates.issue("pingone.example.com", |_| ());
    let other = bench.certificates.issue("other.example.com", |_| ());
    let post = |from, shows: Option<&Issued>| {
        let client = bench.client(from, shows);
        client.post(bench.url("/webhooks/pingone")).body(batch(ids(0)))
    };
    let fails = |request: RequestBuilder| block_on(async { request.send().await.is_err() });
    let right = [127, 0, 0, 2];
    assert!(fails(post(right, Some(&shown))), "without a service there is no answer at all");
    let service = bench.home.start();
    assert_eq!(status(post(right, Some(&shown))), 200);
    assert_eq!(status(post(right, Some(&other))), 401, "another certificate");
    assert!(fails(post(right, None)), "no certificate");
    let elsewhere = post([127, 0, 0, 3], Some(&shown)).header("X-Forwarded-For", "127.0.0.2");
    assert_eq!(status(elsewhere), 403, "another address");
    service.wait_until_settled("out");
    assert_eq!(bench.delivered(), ids(0));
}

#[test]
#[ignore = "needs nginx; .ci/proxies installs it"]
fn the_first_version_of_the_proxy_protocol_is_refused() {
    let bench = Bench::new(Kind::NginxStream, PASSED_ON, "");
    let shown = bench.certificates.issue("pingone.example.com", |_| ());
    let service = bench.home.start();
    let client = bench.client([127, 0, 0, 2], Some(&shown));
    let answer = block_on(client.post(bench.url("/webhooks/pingone")).body("[]").send());
    assert!(answer.is_err(), "{answer:?}");
    service.wait_for_log("no header of the PROXY protocol, version 2");
}
