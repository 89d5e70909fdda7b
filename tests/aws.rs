//! The sinks `kinesis` and `firehose` against their services: records, results of single records, credentials, outages,
//! and a search for secrets.

use std::collections::{HashMap, HashSet};
use std::process::{Child, Command, Stdio};

use crate::support::azure::{QUICK, paused};
use crate::support::canary::{TOKEN, assert_silent, shown, text};
use crate::support::clouds::{PYTHON, numbered, written};
use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::targets::aws::{Aws, KEY_ID, REGION, STREAM};
use crate::support::targets::{Fault, Target};
use crate::support::{free_port, wait_for};

const SINKS: [&str; 2] = ["kinesis", "firehose"];

fn home_with(url: &str, sink: &str, keys: &str) -> Home {
    let home = Home::new(&format!(
        "[sinks.aws]\ntype = \"{sink}\"\nendpoint = \"{url}\"\nregion = \"{REGION}\"\nstream = \"{STREAM}\"\n{keys}"
    ));
    home.with_variables(&[("SECRET", TOKEN)])
}

fn home(aws: &Target<Aws>, sink: &str, more: &str) -> Home {
    let key = format!("access_key = {{ id = \"{KEY_ID}\", secret_env = \"SECRET\" }}\n");
    home_with(&aws.url, sink, &format!("{key}{QUICK}{more}"))
}

#[test]
fn events_become_records() {
    for sink in SINKS {
        let aws = Target::start(Aws::new());
        let home = home(&aws, sink, "");
        let service = home.start();
        service.post(&batch(ids(100)));
        service.wait_until_settled("aws");
        let state = aws.state();
        assert_eq!(state.ids(), ids(100), "{sink}");
        assert!(state.partitions.iter().all(|key| *key == state.partitions[0]), "one flow run");
        assert!(!state.traffic.headers[0].contains_key("content-encoding"));
    }
}

#[test]
fn only_the_records_that_failed_are_sent_again() {
    for sink in SINKS {
        let aws = Target::start(Aws::new());
        aws.state().throttled =
            HashMap::from([("event-0003".to_owned(), 2), ("event-0007".to_owned(), 1)]);
        let home = home(&aws, sink, "");
        let service = home.start();
        service.post(&batch(ids(20)));
        service.wait_until_settled("aws");
        let state = aws.state();
        let mut stored = state.ids();
        assert_eq!(stored.len(), 20, "each record once: {stored:?}");
        stored.sort();
        assert_eq!(stored, ids(20), "{sink}");
        assert!(home.quarantine().is_empty());
    }
}

#[test]
fn a_request_is_halved_where_it_is_too_large_or_has_a_bad_event() {
    for sink in SINKS {
        let aws = Target::start(Aws::new());
        aws.state().limit = 40_000;
        aws.state().poison = HashSet::from(["event-0050".to_owned()]);
        let home = home(&aws, sink, "");
        let service = home.start();
        service.post(&batch(ids(100)));
        service.wait_until_settled("aws");
        let mut expected = ids(100);
        expected.remove(50);
        assert_eq!(aws.state().ids(), expected, "{sink}");
        let entries = home.quarantine();
        assert_eq!(
            (entries.len(), &entries[0]["target"]["code"]),
            (1, &"ValidationException".into())
        );
    }
}

#[test]
fn an_outage_and_a_restart_lose_and_double_nothing() {
    for sink in SINKS {
        let aws = Target::start(Aws::new());
        aws.fail([Fault::retry_after(503, "0"), Fault::status(500)]);
        let home = home(&aws, sink, "batch = { events = 7 }\n");
        let service = home.start();
        service.post(&batch(ids(20)));
        service.wait_until_settled("aws");
        aws.state().traffic.down = Some(503);
        service.post(&batch(numbered(20..60)));
        wait_for("an attempt", || {
            (service.readiness()["sinks"][0]["state"] == "retrying").then_some(())
        });
        service.kill();
        let service = home.start();
        aws.state().traffic.down = None;
        service.wait_until_settled("aws");
        assert_eq!(aws.state().ids(), ids(60), "{sink}");
        assert!(home.quarantine().is_empty());
    }
}

#[test]
fn mistakes_pause_the_sink_and_check_says_so() {
    for sink in SINKS {
        let aws = Target::start(Aws::new());
        let home = home(&aws, sink, "");
        let checked = home.run(&["check", "--connect"]);
        assert!(checked.status.success(), "{}", text(&checked));
        aws.state().keys.insert(KEY_ID.to_owned(), ("another".to_owned(), String::new()));
        let checked = home.run(&["check", "--connect"]);
        assert!(text(&checked).contains("InvalidSignatureException"), "{}", text(&checked));
        let service = home.start();
        service.post(&batch(ids(3)));
        let reason = paused(&service);
        assert!(reason.contains("the secret access key or the region is wrong"), "{reason}");
        aws.state().keys.insert(KEY_ID.to_owned(), (TOKEN.to_owned(), String::new()));
        service.wait_until_settled("aws");
        aws.state().is_allowed = false;
        service.post(&batch(["other".to_owned()]));
        let reason = paused(&service);
        assert!(reason.contains("allow the action on the stream"), "{reason}");
        aws.state().is_allowed = true;
        service.wait_until_settled("aws");
        assert_eq!(aws.state().ids().len(), 4);
        assert!(home.quarantine().is_empty(), "no event is to blame");
    }
}

#[test]
fn temporary_credentials_come_from_the_machine_or_the_pod() {
    for (kind, file) in [("instance", false), ("pod", false), ("pod", true)] {
        let aws = Target::start(Aws::new());
        let home = home_with(&aws.url, "kinesis", QUICK);
        let token = home.path("token").display().to_string();
        std::fs::write(&token, format!("pod-{TOKEN}")).expect("written");
        let (uri, value) = (format!("{}/pod", aws.url), format!("pod-{TOKEN}"));
        let pod = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
            match file {
                true => ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
                false => ("AWS_CONTAINER_AUTHORIZATION_TOKEN", value.as_str()),
            },
        ];
        let home = home
            .with_variables(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.url)])
            .with_variables(if kind == "pod" { &pod } else { &[] });
        let service = home.start();
        service.post(&batch(ids(3)));
        service.wait_until_settled("aws");
        service.post(&batch(["other".to_owned()]));
        service.wait_until_settled("aws");
        let state = aws.state();
        assert_eq!(state.ids().len(), 4, "{kind}");
        assert_eq!(state.sign_ins, [kind], "the credentials are requested once");
        let sent = state.traffic.headers.last().expect("a request");
        assert!(sent.contains_key("x-amz-security-token"));
        drop(state);
        let log = service.terminate().1;
        assert_silent(&log, TOKEN, kind);
    }
}

#[test]
fn the_token_service_gives_credentials_of_a_role() {
    let key = format!("access_key = {{ id = \"{KEY_ID}\", secret_env = \"SECRET\" }}\n");
    for sink in SINKS {
        for (is_exchanged, is_assumed) in [(true, false), (false, true), (true, true)] {
            let aws = Target::start(Aws::new());
            let url = &aws.url;
            let own = match is_exchanged {
                true => format!("web_identity = {{ sts_endpoint = \"{url}\" }}\n"),
                false => key.clone(),
            };
            let role = format!(
                "assume_role = {{ role_arn = \"arn:aws:iam::123456789012:role/lake\", external_id = \"partner-7\", \
                 sts_endpoint = \"{url}\" }}\n"
            );
            let role = if is_assumed { role } else { String::new() };
            let home = home_with(url, sink, &format!("{own}{role}{QUICK}"));
            let token = home.path("token").display().to_string();
            std::fs::write(&token, format!("proof-{TOKEN}\n")).expect("written");
            let home = home.with_variables(&[
                ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
            ]);
            let service = home.start();
            service.post(&batch(ids(3)));
            service.wait_until_settled("aws");
            service.post(&batch(["other".to_owned()]));
            service.wait_until_settled("aws");
            let once: Vec<String> =
                [(is_exchanged, "AssumeRoleWithWebIdentity"), (is_assumed, "AssumeRole")]
                    .into_iter()
                    .filter(|(is_used, _)| *is_used)
                    .map(|(_, name)| name.to_owned())
                    .collect();
            assert_eq!(aws.state().sign_ins, once, "requested once");
            // They expire: AWS refuses them, and the token of the pod was replaced by a wrong one.
            let known: Vec<String> = aws.state().keys.keys().cloned().collect();
            let temporary = known.into_iter().filter(|id| id.starts_with("ASIA"));
            aws.state().expired = temporary.collect();
            service.post(&batch(["third".to_owned()]));
            service.wait_until_settled("aws");
            assert_eq!(aws.state().ids().len(), 5, "{sink} {own}{role}");
            assert_eq!(aws.state().sign_ins, [once.clone(), once].concat());
            assert!(home.quarantine().is_empty(), "no event is to blame");
            let shown = [shown(&service), text(&home.run_with(&service, &["check", "--connect"]))];
            shown.iter().for_each(|shown| assert_silent(shown, TOKEN, sink));
            assert_silent(&service.terminate().1, TOKEN, sink);
        }
    }
}

#[test]
fn a_refused_role_pauses_the_sink_until_its_token_changes() {
    let aws = Target::start(Aws::new());
    let keys = format!("web_identity = {{ sts_endpoint = \"{}\" }}\n{QUICK}", aws.url);
    let home = home_with(&aws.url, "kinesis", &keys.replace("100ms", "1h"));
    let token = home.path("token").display().to_string();
    std::fs::write(&token, format!("wrong-{TOKEN}")).expect("written");
    let home = home.with_variables(&[
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
    ]);
    let service = home.start();
    service.post(&batch(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("HTTP 403, AccessDenied; correct the ARN of the role"), "{reason}");
    std::fs::write(&token, format!("proof-{TOKEN}")).expect("written");
    service.wait_until_settled("aws");
    assert_eq!(aws.state().ids(), ids(3));
    let shown = [shown(&service), text(&home.run_with(&service, &["check", "--connect"]))];
    shown.iter().for_each(|shown| assert_silent(shown, TOKEN, "a refused role"));
    assert_silent(&service.terminate().1, TOKEN, "a refused role");
}

#[test]
fn expired_credentials_are_replaced_once() {
    let aws = Target::start(Aws::new());
    let home = home_with(&aws.url, "kinesis", QUICK)
        .with_variables(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.url)]);
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("aws");
    aws.state().expired = HashSet::from(["ASIATEMPORARY0000001".to_owned()]);
    service.post(&batch(["other".to_owned()]));
    service.wait_until_settled("aws");
    assert_eq!(aws.state().ids().len(), 4);
    assert_eq!(aws.state().sign_ins.len(), 2);
    assert!(home.quarantine().is_empty(), "no event is to blame");
}

/// A process replaces the three files of temporary credentials, while the service runs.
#[test]
fn temporary_credentials_in_files_can_be_replaced() {
    let aws = Target::start(Aws::new());
    let home = Home::new("");
    let files = ["id", "secret", "session"].map(|name| home.path(name).display().to_string());
    let write = |id: &str| {
        let session = format!("session-of-{id}");
        for (file, content) in files.iter().zip([id, TOKEN, &session]) {
            std::fs::write(file, content).expect("written");
        }
        aws.state().keys.insert(id.to_owned(), (TOKEN.to_owned(), session));
    };
    let [id, secret, session] = &files;
    let key = format!(
        "access_key = {{ id_file = \"{id}\", secret_file = \"{secret}\", session_token_file = \"{session}\" }}\n"
    );
    write("ASIATEMPORARY0000001");
    let home = home_with(&aws.url, "firehose", &format!("{key}{QUICK}"));
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("aws");
    write("ASIATEMPORARY0000002");
    aws.state().expired = HashSet::from(["ASIATEMPORARY0000001".to_owned()]);
    service.post(&batch(["other".to_owned()]));
    service.wait_until_settled("aws");
    assert_eq!(aws.state().ids().len(), 4);
    aws.state().expired.insert("ASIATEMPORARY0000002".to_owned());
    service.post(&batch(["third".to_owned()]));
    let reason = paused(&service);
    assert!(reason.contains("the session token has expired"), "{reason}");
}

#[test]
fn a_stream_with_another_source_pauses_the_sink_and_check_says_so() {
    let aws = Target::start(Aws::new());
    aws.state().source = "KinesisStreamAsSource";
    let home = home(&aws, "firehose", "");
    let checked = home.run(&["check", "--connect"]);
    assert!(text(&checked).contains("source Direct PUT"), "{}", text(&checked));
    let service = home.start();
    service.post(&batch(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("source Direct PUT"), "{reason}");
    assert!(home.quarantine().is_empty(), "no event is to blame");
}

#[test]
fn a_machine_without_a_role_pauses_the_sink() {
    let aws = Target::start(Aws::new());
    aws.state().has_role = false;
    let home = home_with(&aws.url, "firehose", QUICK)
        .with_variables(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.url)]);
    let service = home.start();
    service.post(&batch(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("has no role that the sink can use"), "{reason}");
}

#[test]
fn no_secret_is_in_anything_that_the_process_writes() {
    for sink in SINKS {
        let aws = Target::start(Aws::new());
        aws.state().poison = HashSet::from(["event-0001".to_owned()]);
        let token = format!("session-{TOKEN}");
        aws.state().keys.insert(KEY_ID.to_owned(), (TOKEN.to_owned(), token.clone()));
        let key = format!(
            "access_key = {{ id = \"{KEY_ID}\", secret_env = \"SECRET\", session_token_env = \"SESSION\" }}\n"
        );
        let home = home_with(&aws.url, sink, &format!("{key}{QUICK}"))
            .with_variables(&[("SESSION", &token)]);
        let service = home.start();
        service.post(&batch(ids(3)));
        service.wait_until_settled("aws");
        for output in written(&home, service) {
            assert_silent(&output, TOKEN, sink);
        }
    }
}

/// moto, ended on drop.
struct Moto {
    server: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn moto(arguments: &[&str], url: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud_clients/aws.py");
    let output = Command::new(PYTHON).arg(script).args(arguments).args([url, STREAM]).output();
    let output = output.expect("python runs: .ci/cloud-clients installs it");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// moto, a server by other authors, stores the records, and AWS's own client for Python reads them.
#[test]
#[ignore = "needs moto and boto3, which .ci/cloud-clients installs"]
fn moto_stores_every_record() {
    for sink in SINKS {
        let port = free_port();
        let server = Command::new(PYTHON)
            .args(["-m", "moto.server", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let url = format!("http://127.0.0.1:{port}");
        let server = Moto { server: server.expect("moto starts"), url };
        wait_for("moto", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        moto(&["create", sink], &server.url);
        let key = format!("access_key = {{ id = \"{KEY_ID}\", secret_env = \"SECRET\" }}\n");
        let home = home_with(&server.url, sink, &format!("{key}{QUICK}"));
        let checked = home.run(&["check", "--connect"]);
        assert!(checked.status.success(), "{}", text(&checked));
        let service = home.start();
        service.post(&batch(ids(1200)));
        service.wait_until_settled("aws");
        let read = moto(&["read", sink], &server.url);
        let mut stored: Vec<&str> = read.lines().collect();
        stored.sort_unstable();
        assert_eq!(stored, ids(1200), "{sink}");
        assert!(home.quarantine().is_empty());
    }
}
