//! `doctor` against set-ups that are broken in one place each: it names that place, and no other.

use rcgen::{CertificateParams, date_time_ymd};
use serde_json::{Value, json};

use crate::support::canary::{self, TOKEN, assert_silent};
use crate::support::certificates::{Certificates, Issued};
use crate::support::free_port;
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::pingone::{ENVIRONMENT, PingOne, WORKER, subscription};

/// Password of the source.
const PASSWORD: &str = "0r4ngUt4n-b1cycle-L3mon";

const PATH: &str = "/webhooks/pingone";

/// URL of the webhook in PingOne. It differs from the probed URL, because PingOne does not reach this machine.
const PUBLIC: &str = "https://siem.example.com/webhooks/pingone";

fn home(pingone: &Target<PingOne>, own: &Issued) -> Home {
    let Issued { certificate, key, .. } = own;
    let tls = format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let url = &pingone.url;
    let config = format!(
        "[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n\
         [sources.pingone]\nbasic = [{{ username = \"pingone\", password_env = \"PASSWORD\" }}]\n\
         [pingone]\nenvironment = \"{ENVIRONMENT}\"\nregion = \"eu\"\nclient_id = \"{WORKER}\"\n\
         client_secret_env = \"PINGONE_SECRET\"\napi_url = \"{url}\"\nauth_url = \"{url}\"\n\
         request_interval = \"1ms\"\n"
    );
    Home::with_listen(&tls, &config)
        .with_variables(&[("PINGONE_SECRET", TOKEN), ("PASSWORD", PASSWORD)])
}

/// Returns exit code and checks of the command.
fn doctor(home: &Home, service: &Service, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = home.run_with(service, &[&["doctor", "--json"], arguments].concat());
    let text = canary::text(&output);
    assert_silent(&text, TOKEN, "doctor");
    assert!(!text.contains(PASSWORD), "{text}");
    let document: Value = serde_json::from_slice(&output.stdout).expect(&text);
    (output.status.code(), document["checks"].as_array().expect("checks").clone())
}

/// Returns the names of the checks in a state. Each problem has a remedy.
fn in_state(checks: &[Value], state: &str) -> Vec<String> {
    assert!(checks.iter().all(|it| (it["state"] == "problem") == it["fix"].is_string()));
    let found = checks.iter().filter(|check| check["state"] == state);
    found.map(|check| check["check"].as_str().expect("a name").to_owned()).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn each_broken_set_up_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let other = Certificates::new(directory.path(), "b");
    let own = certificates.issue("localhost", |_| ());
    let pingone = Target::start(PingOne::new());
    let mut home = home(&pingone, &own);
    let service = home.start();
    let port = service.address().rsplit(':').next().expect("a port").to_owned();
    let url = format!("https://localhost:{port}{PATH}");
    let ca = certificates.ca.display().to_string();
    let whole = ["--url", &*url, "--cacert", &*ca];
    let (code, checks) = doctor(&home, &service, &whole);
    assert_eq!((code, in_state(&checks, "problem")), (Some(0), Vec::new()), "{checks:?}");
    assert_eq!(checks.len(), 11, "{checks:?}");
    // Broken in PingOne.
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 8] = [
        ("webhook enabled", |webhook| webhook["enabled"] = json!(false)),
        ("TLS verification", |webhook| webhook["verifyTlsCertificates"] = json!(false)),
        ("event schema", |webhook| webhook["format"] = json!("SPLUNK")),
        ("event types", |webhook| {
            webhook["filterOptions"]["includedActionTypes"] = json!(["USER.UPDATED"]);
        }),
        ("webhook URL", |webhook| webhook["protocol"] = json!("TCP_IP")),
        ("webhook URL", |webhook| {
            webhook["httpEndpoint"]["url"] = json!("http://siem.example.com/webhooks/pingone");
        }),
        ("webhook URL", |webhook| {
            webhook["httpEndpoint"]["url"] = json!("https://[2001:db8::1]/webhooks/pingone");
        }),
        ("webhook", |webhook| {
            webhook["httpEndpoint"]["url"] = json!("https://siem.example.com/webhooks/other");
        }),
    ];
    for (name, change) in changes {
        let mut webhook = subscription(PUBLIC);
        change(&mut webhook);
        pingone.state().subscriptions = vec![webhook];
        let (code, checks) = doctor(&home, &service, &whole);
        assert_eq!((code, in_state(&checks, "problem")), (Some(1), vec![name.to_owned()]));
    }
    pingone.state().subscriptions = vec![subscription(PUBLIC)];
    pingone.state().secret = "another".to_owned();
    let (_, checks) = doctor(&home, &service, &whole);
    assert_eq!(in_state(&checks, "problem"), ["PingOne access"]);
    pingone.state().secret = TOKEN.to_owned();
    // Broken on the way, and in the service's certificate.
    let proxy = Target::start_with(PingOne::new(), Some(certificates.acceptor(false)));
    proxy.state().traffic.down = Some(200);
    let proxied = format!("{}{PATH}", proxy.url);
    let closed = format!("https://localhost:{}{PATH}", free_port());
    let by_address = format!("https://127.0.0.1:{port}{PATH}");
    let wrong_path = format!("https://localhost:{port}/webhook");
    let other_ca = other.ca.display().to_string();
    for (arguments, problems) in [
        (["--url", &*proxied, "--cacert", &*ca], &["credentials"][..]),
        (["--url", &*closed, "--cacert", &*ca], &["reachable"]),
        (["--url", &*by_address, "--cacert", &*ca], &["certificate"]),
        (["--url", &*url, "--cacert", &*other_ca], &["certificate"]),
        (["--url", &*wrong_path, "--cacert", &*ca], &["connection test", "credentials"]),
    ] {
        let (code, checks) = doctor(&home, &service, &arguments);
        assert_eq!((code, in_state(&checks, "problem").as_slice()), (Some(1), &*owned(problems)));
    }
    // The running service has another password than the configuration.
    home.variables.push(("PASSWORD".to_owned(), "an0ther-P4ssw0rd-1s-here".to_owned()));
    let (_, checks) = doctor(&home, &service, &whole);
    assert_eq!(in_state(&checks, "problem"), ["credentials"]);
    let refused = checks.iter().find(|check| check["check"] == "credentials").expect("a check");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("401")), "{refused}");
    assert_eq!(service.metric("davinci_siem_spool_events"), 0.0, "no event was sent");
}

#[test]
fn credentials_go_only_to_the_one_enabled_webhook_and_never_in_clear_text() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let own = certificates.issue("localhost", |_| ());
    let pingone = Target::start(PingOne::new());
    let home = home(&pingone, &own);
    let service = home.start();
    // Another receiver, in place of the service.
    let stranger = Target::start_with(PingOne::new(), Some(certificates.acceptor(false)));
    let open = Target::start(PingOne::new());
    let ca = certificates.ca.display().to_string();
    let port = service.address().rsplit(':').next().expect("a port").to_owned();
    let urls = [
        format!("{}{PATH}", stranger.url),
        format!("https://localhost:{port}{PATH}"),
        format!("{}{PATH}", open.url.replace("127.0.0.1", "localhost")),
    ];
    let of = |urls: &[&String]| urls.iter().map(|url| subscription(url)).collect::<Vec<_>>();
    let authorized = |target: &Target<PingOne>| {
        let state = target.state();
        state.traffic.headers.iter().filter(|it| it.contains_key("authorization")).count()
    };
    // Two enabled webhooks: one of them is another receiver.
    pingone.state().subscriptions = of(&[&urls[0], &urls[1]]);
    let (_, checks) = doctor(&home, &service, &["--cacert", &ca]);
    assert_eq!(in_state(&checks, "skipped"), ["reachable"], "{checks:?}");
    // The other one is disabled.
    pingone.state().subscriptions[0]["enabled"] = json!(false);
    let (_, checks) = doctor(&home, &service, &["--cacert", &ca]);
    assert_eq!(in_state(&checks, "skipped"), [""; 0], "{checks:?}");
    assert!(in_state(&checks, "ok").contains(&"credentials".to_owned()), "{checks:?}");
    assert_eq!(authorized(&stranger), 0);
    // A URL without TLS.
    pingone.state().subscriptions = of(&[&urls[2]]);
    let (code, checks) = doctor(&home, &service, &[]);
    assert_eq!((code, in_state(&checks, "skipped")), (Some(1), owned(&["credentials"])));
    assert!(!open.state().traffic.headers.is_empty(), "the URL was asked");
    assert_eq!(authorized(&open), 0);
}

#[test]
fn an_expired_certificate_and_a_stopped_service_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let expired = certificates.issue("localhost", |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let pingone = Target::start(PingOne::new());
    let home = home(&pingone, &expired);
    let service = home.start();
    let port = service.address().rsplit(':').next().expect("a port").to_owned();
    let url = format!("https://localhost:{port}{PATH}");
    let ca = certificates.ca.display().to_string();
    let whole = ["--url", &*url, "--cacert", &*ca];
    let (_, checks) = doctor(&home, &service, &whole);
    assert_eq!(in_state(&checks, "problem"), ["certificate"]);
    let message = checks.iter().find(|check| check["check"] == "certificate").expect("a check");
    assert!(message["message"].as_str().is_some_and(|it| it.contains("has expired")), "{message}");
    // Without credentials for PingOne, the rest is examined.
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let (before, _) = text.split_once("[pingone]").expect("the table");
    std::fs::write(home.path("test.toml"), before).expect("written");
    let (_, checks) = doctor(&home, &service, &whole);
    assert_eq!(in_state(&checks, "skipped"), ["PingOne access"]);
    assert_eq!(in_state(&checks, "problem"), ["certificate"]);
    let (_, checks) = doctor(&home, &service, &[]);
    assert_eq!(in_state(&checks, "skipped"), ["PingOne access", "reachable"], "no URL is known");
    let admin = service.admin.strip_prefix("http://").expect("a URL").to_owned();
    drop(service);
    let mut command = home.command(&["doctor", "--json", "--url", &url, "--cacert", &ca]);
    let output = command.env("DAVINCI_SIEM__ADMIN__ADDRESS", admin).output().expect("it runs");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = document["checks"].as_array().expect("checks");
    assert_eq!(in_state(checks, "problem"), ["service ready", "reachable"]);
}
