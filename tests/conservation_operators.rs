//! The promise while operators work: commands, reloads, rotations, retries and second processes beside a
//! loaded service.
//!
//! `OPERATOR_ROUNDS` raises the number of actions, `OPERATOR_SEED` repeats a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::Value;
use tokio::sync::watch;

use crate::support::clients::Clients;
use crate::support::operator::{Action, LOGIN, Operator, post};
use crate::support::oracle::Oracle;
use crate::support::service::{Home, Service};
use crate::support::{runtime, setting, wait_for};

const CLIENTS: u64 = 3;
const ROUNDS: u64 = 40;

/// Pause between two batches of a client: the test is about operators, not about load.
const PAUSE: Duration = Duration::from_millis(40);

fn home() -> Home {
    let source = |name: &str, path: &str| {
        format!(
            "[sources.{name}]\npath = \"{path}\"\n\
             basic = [{{ username = \"pingone\", password_file = \"password\" }}]\n"
        )
    };
    let home = Home::with_listen(
        "reload = \"1s\"",
        &format!(
            "{}{}[limits]\nfailed_logins = 1000000\n[spool]\nmax_size = \"1 GiB\"\nretention = \"1h\"\n\
             [sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n\
             [sinks.two]\ntype = \"file\"\npath = \"two.ndjson\"\n\
             rotate = {{ size = \"256 KiB\", gzip = false }}\n",
            source("pingone", "/webhooks/pingone"),
            source("other", "/webhooks/other"),
        ),
    );
    std::fs::write(home.path("password"), LOGIN[1]).expect("written");
    std::fs::write(home.path("second"), "an0ther-Lighthouse-by-the-Sea").expect("written");
    home
}

#[test]
fn operators_cause_no_loss_and_no_unauthorised_access() {
    let rounds = setting("OPERATOR_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("OPERATOR_SEED").unwrap_or_else(|| rand::rng().random());
    println!("OPERATOR_SEED={seed} OPERATOR_ROUNDS={rounds}");
    let home = home();
    let oracle = Arc::new(Oracle::default());
    let runtime = runtime();
    let mut random = StdRng::seed_from_u64(seed);
    let mut operator = Operator::new(&home, &oracle, &mut random);
    let stranger = Stranger::start(&runtime);
    let clients = runtime.block_on(async { Clients::paced(CLIENTS, PAUSE, &oracle, &mut random) });
    let mut service = home.start();
    for round in 0..rounds {
        clients.post_to_url(&with_login(&service));
        stranger.ask(&service);
        let before = oracle.acknowledged();
        wait_for("an acknowledgement", || (oracle.acknowledged() > before).then_some(()));
        let action = Action::ALL.get(round as usize).copied();
        let action = action.unwrap_or_else(|| operator.choose());
        println!("round {round}: {action:?}");
        service = operator.act(action, service);
    }
    runtime.block_on(clients.finish_at(&with_login(&service)));
    let refused = stranger.finish(&runtime);
    assert!(refused > 0, "the stranger was never heard");
    println!("{} acknowledged, {refused} requests of a stranger refused", oracle.acknowledged());
    judge(service, &home, &oracle, &operator);
}

/// Asserts that both sinks have all events, and that the totals count every event.
fn judge(service: Service, home: &Home, oracle: &Oracle, operator: &Operator<'_>) {
    let fresh = oracle.mint(CLIENTS, 1);
    let (status, text) = post(&service, Some(LOGIN), &fresh.body);
    assert_eq!(status, 200, "{text}");
    for sink in ["one", "two"] {
        service.wait_until_settled(sink);
    }
    println!("one: {} doubled", oracle.judge("one", &operator.lines_of_one()));
    println!("two: {} doubled", oracle.judge("two", &lines_of_two(home)));
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let stats = home.run(&["spool", "stats", "--json"]).stdout;
    let stats = serde_json::from_slice(&stats).expect("JSON");
    judge_sums(&stats);
    let verified = home.run(&["spool", "verify", "--json"]);
    let record = serde_json::from_slice(&verified.stdout).expect("JSON");
    Oracle::judge_record(&record, &stats, &["one", "two"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// Asserts that each source's events have a position or an entry, and that each sink has a disposition per position.
fn judge_sums(stats: &Value) {
    judge_positions(stats);
    let sources = ["pingone", "other"];
    let entries = stats["quarantined"].as_u64().expect("a number");
    // Each released or purged event had an entry.
    let left = sum(stats, &sources, &["released", "purged"]) + entries;
    assert_eq!(sum(stats, &sources, &["quarantined"]), left, "{stats}");
}

/// Asserts that each position has an event of a source, and a disposition of each sink.
pub(crate) fn judge_positions(stats: &Value) {
    let head = stats["head"].as_u64().expect("a number");
    let stored = sum(stats, &["pingone", "other"], &["accepted", "released", "replayed"]);
    assert_eq!(stored, head, "{stats}");
    for sink in ["one", "two"] {
        let rows = stats["totals"].as_array().expect("rows").iter().filter(|row| row[0] == sink);
        let passed: u64 = rows.map(|row| row[2].as_u64().expect("a number")).sum();
        assert_eq!(passed, head, "sink {sink}: the dispositions add up: {stats}");
    }
}

/// Returns the sum of the totals with these names and dispositions.
fn sum(stats: &Value, names: &[&str], dispositions: &[&str]) -> u64 {
    let rows = stats["totals"].as_array().expect("rows").iter().filter(|row| {
        names.iter().any(|name| row[0] == *name)
            && dispositions.iter().any(|disposition| row[1] == *disposition)
    });
    rows.map(|row| row[2].as_u64().expect("a number")).sum()
}

/// Returns the lines of the sink `two`, which rotates its own file: rotated names sort by time.
fn lines_of_two(home: &Home) -> Vec<String> {
    let listed = std::fs::read_dir(home.directory.path()).expect("a directory");
    let names =
        listed.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut rotated: Vec<String> =
        names.filter(|name| name.starts_with("two-") && name.ends_with(".ndjson")).collect();
    rotated.sort();
    rotated.push("two.ndjson".to_owned());
    rotated.iter().flat_map(|name| home.lines(name)).collect()
}

/// Returns the webhook's URL with PingOne's credentials.
fn with_login(service: &Service) -> String {
    with_credentials(&service.url)
}

/// Returns a URL with PingOne's credentials.
pub(crate) fn with_credentials(url: &str) -> String {
    let [name, password] = LOGIN;
    url.replacen("http://", &format!("http://{name}:{password}@"), 1)
}

/// A sender without credentials, whose requests must all be refused.
struct Stranger {
    url: watch::Sender<String>,
    is_over: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Stranger {
    fn start(runtime: &tokio::runtime::Runtime) -> Stranger {
        let (url, known) = watch::channel(String::new());
        let (is_over, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (done, count) = (Arc::clone(&is_over), Arc::clone(&refused));
        let task = runtime.spawn(async move {
            let http = Client::new();
            while !done.load(Ordering::Relaxed) {
                let target = known.borrow().clone();
                // A service that restarts refuses connections, which accepts no request either.
                if let Ok(answer) = http.post(target).body("[]").send().await {
                    assert_eq!(answer.status(), 401, "a stranger was not refused");
                    count.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
        Stranger { url, is_over, refused, task }
    }

    fn ask(&self, service: &Service) {
        self.url.send_replace(service.url.clone());
    }

    /// Stops the sender. Returns the number of refusals.
    fn finish(self, runtime: &tokio::runtime::Runtime) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        runtime.block_on(self.task).expect("it was never let in");
        self.refused.load(Ordering::Relaxed)
    }
}
