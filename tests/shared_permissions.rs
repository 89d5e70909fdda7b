//! Permissions of the NATS user: the shipped ones are sufficient, and messages name a missing one.

use crate::support::events::{batch, ids};
use crate::support::nats::Cluster;
use crate::support::nats::shipped::{Changes, allowed};
use crate::support::receivers::Receivers;
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

const READ: &str = "$JS.API.STREAM.MSG.GET.davinci-siem";

/// Returns a home whose spool delivers in parallel, which needs all permissions.
fn parallel(cluster: &Cluster) -> Home {
    let config = format!("{}order = \"parallel\"\n", cluster.spool());
    let sinks = format!("[sinks.siem]\ntype = \"stdout\"\n{config}");
    Home::new(&sinks).with_variables(&cluster.variables())
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn check_names_every_missing_permission_and_changes_nothing() {
    let streams = ["davinci-siem", "davinci-siem-quarantine", "KV_davinci-siem-sinks"];
    let is_info = |subject: &&str| subject.starts_with("$JS.API.STREAM.INFO.");
    // Without access to information about streams, the service exits before it sends other requests.
    let denied: Vec<&str> = allowed().into_iter().filter(|subject| !is_info(subject)).collect();
    for (denied, is_good) in [(&denied[..], false), (&[], true)] {
        let cluster = Cluster::shipped_with(1, Changes { denied, ..Changes::default() });
        let home = parallel(&cluster);
        let client = cluster.client();
        let checked = || {
            let output = home.run(&["check", "--connect"]);
            assert_eq!(output.status.success(), is_good, "{output:?}");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).expect("UTF-8");
            for subject in denied {
                assert!(said.contains(&format!("publish to {subject}, for ")), "{subject}: {said}");
            }
            assert_eq!(said.contains("has every permission"), is_good, "{said}");
        };
        // Before the stream exists, and after.
        checked();
        assert!(streams.iter().all(|stream| client.state(stream).is_none()));
        if is_good {
            let service = home.start();
            service.post(&batch(ids(5)));
            service.post("no JSON at all");
            service.wait_until_settled("siem");
            let (status, log) = service.terminate();
            assert!(status.success(), "{log}");
            let before = streams.map(|stream| client.state(stream));
            assert!(before.iter().all(Option::is_some));
            checked();
            assert_eq!(streams.map(|stream| client.state(stream)), before);
        }
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_sink_that_cannot_be_taken_over_says_which_permission_is_missing() {
    let cluster = Cluster::shipped_with(1, Changes { denied: &[READ], ..Changes::default() });
    let target = Target::start(Webhook::default());
    let mut receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(40);
    // Before the first delivery, a sink starts without reading a cursor; after it, the cursor is read.
    receivers.get(0).post(&batch(all[..20].to_vec()));
    wait_for("the first events", || (target.state().stored.len() >= 20).then_some(()));
    receivers.get(0).wait_until_settled("siem");
    receivers.running.iter_mut().for_each(|running| running.take().expect("it runs").kill());
    receivers.restart();
    receivers.get(0).post(&batch(all[20..].to_vec()));
    for index in [0, 1] {
        wait_for("the sink to be in trouble", || {
            let ready = receivers.get(index).readiness();
            let reason = ready["sinks"][0]["reason"].as_str().unwrap_or_default();
            let is_named = |text: &str| text.contains(&format!("may not publish to {READ}, for"));
            let denied = ready["spool_denied"].as_str().unwrap_or_default();
            let is_told = ready["sinks"][0]["state"] == "retrying" && is_named(reason);
            (is_told && is_named(denied)).then_some(())
        });
    }
    let checked = receivers.homes[0].run(&["check", "--connect"]);
    assert!(!checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stderr).contains(READ), "{checked:?}");
    // No restart is necessary.
    cluster.grant(READ);
    wait_for("the rest", || (target.state().stored.len() >= all.len()).then_some(()));
    assert_eq!(target.state().ids(), all, "each once, in order");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_receiver_that_may_not_even_look_says_so_at_its_start() {
    let denied = ["$JS.API.STREAM.INFO.davinci-siem"];
    let cluster = Cluster::shipped_with(1, Changes { denied: &denied, ..Changes::default() });
    let (status, log) = parallel(&cluster).try_start().err().expect("it does not start");
    assert_eq!(status.code(), Some(1));
    let named = "stream davinci-siem: the NATS user may not publish to $JS.API.STREAM.INFO.davinci-siem, for";
    assert!(log.contains(named), "{log}");
}
