//! Access tokens of the `sentinel` sink: each identity, renewal, refusal, and a search for secrets.

use std::collections::HashSet;
use std::process::Command;

use crate::support::azure::{Azure, QUICK, client_secret, fresh, paused, workload_identity};
use crate::support::canary::{TOKEN, assert_silent, shown, text};
use crate::support::certificates::Certificates;
use crate::support::events::ids;
use crate::support::targets::Fault;
use crate::support::targets::azure::{CLIENT, RULE, STREAM, TENANT};
use crate::support::wait_for;

#[test]
fn a_token_is_renewed_before_it_expires() {
    let azure = Azure::start();
    azure.issuer.state().lifetime = 1;
    let home = azure.home("");
    let service = home.start();
    let mut posted = 0;
    wait_for("three tokens", || {
        service.post(&fresh([format!("event-{posted:04}")]));
        posted += 1;
        service.wait_until_settled("sentinel");
        (azure.issued() >= 3).then_some(())
    });
    assert_eq!(azure.ids(), ids(posted));
    assert_eq!(azure.ingestion.state().unauthorized, 0, "no request had an old token");
}

#[test]
fn a_refused_token_is_renewed_once_and_nothing_is_lost() {
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(1)));
    service.wait_until_settled("sentinel");
    azure.issuer.state().tokens.revoke();
    service.post(&fresh(["other".to_owned()]));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ["event-0000", "other"]);
    assert_eq!((azure.issued(), azure.ingestion.state().unauthorized), (2, 1));
    let failures = "davinci_siem_sink_failures_total{sink=\"sentinel\",verdict=\"fatal\"}";
    assert_eq!(service.metric(failures), 0.0, "the sink was not paused");
}

/// The token of an identity that was replaced is valid, but has no role.
#[test]
fn a_token_without_a_role_is_renewed_once() {
    let azure = Azure::start();
    azure.ingestion.fail([Fault::status(403)]);
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(3)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(3));
    assert_eq!(azure.issued(), 2);
    let failures = "davinci_siem_sink_failures_total{sink=\"sentinel\",verdict=\"fatal\"}";
    assert_eq!(service.metric(failures), 0.0, "the sink was not paused");
}

#[test]
fn tokens_that_are_never_accepted_pause_the_sink() {
    let azure = Azure::start();
    azure.ingestion.state().refuses_tokens = true;
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("refuses the access token"), "{reason}");
    azure.ingestion.state().refuses_tokens = false;
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(3));
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_wrong_secret_pauses_the_sink_until_its_file_is_corrected() {
    let azure = Azure::start();
    // Only the file's change can wake the sink in time.
    let retry = "retry = { min = \"1ms\", max = \"1h\" }\n";
    let home = azure.home_with(retry, &client_secret("secret_file = \"secret\""));
    std::fs::write(home.path("secret"), "an-expired-secret").expect("written");
    let service = home.start();
    service.post(&fresh(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("AADSTS7000215") && reason.contains("write its value"), "{reason}");
    std::fs::write(home.path("secret"), TOKEN).expect("written");
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(3));
}

#[test]
fn every_identity_signs_in() {
    let workload = workload_identity();
    for (identity, is_app, query) in [
        (workload.as_str(), false, ""),
        ("workload_identity = {}\n", false, ""),
        ("managed_identity = {}\n", false, "resource=https://monitor.azure.com"),
        (&format!("managed_identity = {{ object_id = \"{CLIENT}\" }}\n"), false, "object_id="),
        (&format!("managed_identity = {{ client_id = \"{CLIENT}\" }}\n"), true, "client_id="),
        (&format!("managed_identity = {{ object_id = \"{CLIENT}\" }}\n"), true, "object_id="),
        ("managed_identity = { resource_id = \"/subscriptions/x\" }\n", true, " mi_res_id=/sub"),
    ] {
        let azure = Azure::start();
        let home = azure.home_with(QUICK, identity);
        let token = home.path("token").display().to_string();
        let endpoint = format!("{}/msi/token", azure.issuer.url);
        let app = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", TOKEN)];
        let home = home
            .with_variables(&[
                ("AZURE_TENANT_ID", TENANT),
                ("AZURE_CLIENT_ID", CLIENT),
                ("AZURE_FEDERATED_TOKEN_FILE", &token),
                ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &azure.issuer.url),
            ])
            .with_variables(if is_app { &app } else { &[] });
        std::fs::write(&token, TOKEN).expect("written");
        let service = home.start();
        service.post(&fresh(ids(3)));
        service.wait_until_settled("sentinel");
        assert_eq!(azure.ids(), ids(3), "{identity}");
        let requested = azure.issuer.state().requested.join(" ");
        assert!(requested.contains(query), "{identity}: {requested}");
        // The other issuer's token is read again for each request.
        azure.issuer.state().assertion = "another".to_owned();
        std::fs::write(&token, "another").expect("written");
        azure.issuer.state().tokens.revoke();
        service.post(&fresh(["other".to_owned()]));
        service.wait_until_settled("sentinel");
        assert_eq!(azure.ids().len(), 4, "{identity}");
    }
}

#[test]
fn connections_share_one_token() {
    let azure = Azure::start();
    let home = azure.home("concurrency = 4\nbatch = { events = 5 }\n");
    let service = home.start();
    service.post(&fresh(ids(200)));
    service.wait_until_settled("sentinel");
    let mut stored = azure.ids();
    stored.sort();
    assert_eq!(stored, ids(200));
    assert_eq!(azure.issued(), 1);
}

/// The client secret, the other issuer's token, the app's header and every access token hold the canary.
#[test]
fn no_secret_or_token_is_in_anything_that_the_process_writes() {
    let workload = workload_identity();
    let secret = client_secret("secret_env = \"SECRET\"");
    for (identity, is_refused) in [
        (&secret, false),
        (&secret, true),
        (&workload, false),
        (&workload, true),
        (&"managed_identity = {}\n".to_owned(), false),
    ] {
        let azure = Azure::start();
        azure.ingestion.state().poison = HashSet::from(["event-0001".to_owned()]);
        if is_refused {
            azure.issuer.state().secret = "another".to_owned();
            azure.issuer.state().assertion = "another".to_owned();
        }
        let home = azure.home_with(QUICK, identity);
        std::fs::write(home.path("token"), TOKEN).expect("written");
        let endpoint = format!("{}/msi/token", azure.issuer.url);
        let home =
            home.with_variables(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", TOKEN)]);
        let service = home.start();
        service.post(&fresh(ids(3)));
        match is_refused {
            true => drop(paused(&service)),
            false => service.wait_until_settled("sentinel"),
        }
        let mut written = vec![shown(&service)];
        for arguments in [
            &["sink", "list", "--json"][..],
            &["quarantine", "list", "--json"],
            &["quarantine", "export"],
            &["quarantine", "show", "1"],
            &["status"],
            &["check"],
            &["check", "--connect"],
        ] {
            written.push(text(&home.run_with(&service, arguments)));
        }
        let answers = written.join("\n");
        assert!(is_refused || answers.contains("authorization: [secret]"), "{answers}");
        written.push(service.terminate().1);
        for name in ["spool.db", "spool.db-wal"] {
            let bytes = std::fs::read(home.path("data").join(name)).unwrap_or_default();
            written.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        for said in &written {
            assert_silent(said, TOKEN, identity);
        }
    }
}

/// Directory in which `.ci/azure` installs the clients of Microsoft.
const PYTHON: &str = "/opt/azure-clients/bin/python";

/// The fakes accept Microsoft's own clients, whose requests have the same target, query, media type, compression and
/// form as those of the sink.
#[test]
#[ignore = "needs Microsoft's clients for Python, which .ci/azure installs"]
fn microsofts_clients_send_the_same_requests() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "azure");
    let secret = client_secret("secret_env = \"SECRET\"");
    let workload = workload_identity();
    let managed = "managed_identity = {}\n";
    for (kind, identity) in [
        ("client_secret", secret.as_str()),
        ("workload_identity", &workload),
        ("managed_identity", managed),
        ("app", managed),
    ] {
        // Microsoft's clients refuse a sign-in without TLS, except on the same machine.
        let has_tls = identity != managed;
        let azure = Azure::start_with(|| has_tls.then(|| certificates.acceptor(false)));
        let (issuer, ingestion) = (azure.issuer.url.as_str(), azure.ingestion.url.as_str());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sentinel_identities/client.py");
        let output = Command::new(PYTHON)
            .args([script, kind, issuer, ingestion, RULE, STREAM, TENANT, CLIENT])
            .current_dir(directory.path())
            .env("SECRET", TOKEN)
            .env("CA", &certificates.ca)
            .output()
            .expect("the client runs: .ci/azure installs it");
        assert!(output.status.success(), "{kind}: {}", text(&output));
        assert_eq!(azure.ids(), ["theirs"], "{kind}");
        let ca = format!("tls = {{ ca = \"{}\" }}\n", certificates.ca.display());
        let keys = format!("{identity}{}", if has_tls { &ca } else { "" });
        let endpoint = format!("{issuer}/msi/token");
        let app = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", TOKEN)];
        let home = azure
            .home_with(QUICK, &keys)
            .with_variables(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", issuer)])
            .with_variables(if kind == "app" { &app } else { &[] });
        std::fs::write(home.path("token"), TOKEN).expect("written");
        let service = home.start();
        service.post(&fresh(ids(20)));
        service.wait_until_settled("sentinel");
        let tokens = azure.issuer.state().requested.clone();
        let records = azure.ingestion.state().requested.clone();
        for requests in [tokens, records] {
            assert_eq!(requests.len(), 2, "{kind}: {requests:?}");
            assert_eq!(requests[0], requests[1], "{kind}: theirs and ours");
        }
    }
}
