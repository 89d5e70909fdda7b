//! An operator who runs commands, edits the configuration and rotates files beside a loaded service.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::Value;

use super::oracle::Oracle;
use super::service::{Home, Service};
use super::{block_on, wait_for};

/// PingOne's user name and password.
pub const LOGIN: [&str; 2] = ["pingone", "b3tween-Lighthouse-and-Sea"];

const APPLIED: &str = "davinci_siem_reloads_total{result=\"applied\"}";
const REFUSED: &str = "davinci_siem_reloads_total{result=\"refused\"}";

/// Client number of the operator's own events, for the oracle.
const CLIENT: u64 = 1_000;

/// An action of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Check,
    CheckConnect,
    Verify,
    Stats,
    Trace,
    Status,
    Drift,
    Health,
    ListQuarantine,
    ReloadGood,
    ReloadBad,
    ReloadEmpty,
    ReloadHalf,
    RemoveCredentials,
    PauseAndResume,
    Quarantine,
    Retry,
    RetryWithNothing,
    Purge,
    Replay,
    RotateByRename,
    RotateByRenameAndCreate,
    RotateByCopyAndTruncate,
    SecondProcess,
    SecondProcessElsewhere,
    Kill,
    Restart,
}

impl Action {
    /// All actions, in an order in which each has an effect.
    pub const ALL: [Action; 28] = [
        Action::Check,
        Action::CheckConnect,
        Action::Verify,
        Action::Stats,
        Action::Trace,
        Action::Status,
        Action::Drift,
        Action::Health,
        Action::ReloadGood,
        Action::ReloadBad,
        Action::ReloadEmpty,
        Action::ReloadHalf,
        Action::RemoveCredentials,
        Action::PauseAndResume,
        Action::Quarantine,
        Action::ListQuarantine,
        Action::RetryWithNothing,
        Action::Retry,
        Action::Quarantine,
        Action::Purge,
        Action::Replay,
        Action::RotateByRename,
        Action::RotateByRenameAndCreate,
        Action::RotateByCopyAndTruncate,
        Action::SecondProcess,
        Action::SecondProcessElsewhere,
        Action::Kill,
        Action::Restart,
    ];
}

/// The operator, with the state that its actions need.
pub struct Operator<'a> {
    home: &'a Home,
    oracle: &'a Oracle,
    random: StdRng,
    /// Rotated files of the sink `one`, oldest first.
    rotated: Vec<PathBuf>,
    /// Serial number of created events and files.
    made: usize,
    /// True if the spool's servers are killed meanwhile: commands and starts are repeated until they succeed.
    is_patient: bool,
}

impl<'a> Operator<'a> {
    pub fn new(home: &'a Home, oracle: &'a Oracle, random: &mut StdRng) -> Operator<'a> {
        let random = StdRng::seed_from_u64(random.random());
        Operator { home, oracle, random, rotated: Vec::new(), made: 0, is_patient: false }
    }

    /// Returns an operator who repeats what fails.
    #[cfg(feature = "nats")]
    pub fn patient(self) -> Operator<'a> {
        Operator { is_patient: true, ..self }
    }

    /// Returns a random action.
    pub fn choose(&mut self) -> Action {
        *Action::ALL.choose(&mut self.random).expect("there are some")
    }

    /// Returns the lines of the sink `one`, those of rotated files first.
    pub fn lines_of_one(&self) -> Vec<String> {
        let files = self.rotated.iter().cloned().chain([self.home.path("one.ndjson")]);
        files.flat_map(|file| super::service::read_lines(&file)).collect()
    }

    /// Runs an action. Returns the service, which may be another process.
    pub fn act(&mut self, action: Action, service: Service) -> Service {
        match action {
            Action::Check => self.succeed(&service, &["check"]),
            Action::CheckConnect => self.succeed(&service, &["check", "--connect"]),
            Action::Verify => self.succeed(&service, &["spool", "verify"]),
            Action::Stats => self.succeed(&service, &["spool", "stats", "--json"]),
            Action::Trace => {
                let id = self.oracle.any_acknowledged(&mut self.random);
                self.run(&service, &["trace", &id, "--json"]);
            }
            // Its exit code depends on the state of the service, which may be any now.
            Action::Status => drop(self.run(&service, &["status"])),
            Action::Health => drop(self.run(&service, &["health"])),
            Action::Drift => self.succeed(&service, &["drift"]),
            Action::ListQuarantine => self.succeed(&service, &["quarantine", "list"]),
            Action::ReloadGood => self.reload_good(&service),
            Action::ReloadBad => self.reload_refused(&service, |text| format!("{text}\nbad = 1\n")),
            Action::ReloadEmpty => self.reload_refused(&service, |_| String::new()),
            Action::ReloadHalf => {
                let share = self.random.random_range(0.0..0.9);
                self.reload_refused(&service, |text| {
                    text.chars().take((text.len() as f64 * share) as usize).collect()
                });
            }
            Action::RemoveCredentials => self.reload_refused(&service, |text| {
                text.lines()
                    .filter(|line| !line.starts_with("basic"))
                    .collect::<Vec<_>>()
                    .join("\n")
            }),
            Action::PauseAndResume => {
                self.succeed(&service, &["sink", "pause", "one"]);
                self.pass();
                self.succeed(&service, &["sink", "resume", "one"]);
            }
            Action::Quarantine => self.quarantine(&service),
            Action::Retry => self.retry(&service),
            Action::RetryWithNothing => self.retry_with_nothing(&service),
            Action::Purge => {
                if let Some(id) = self.first_entry(&service) {
                    self.settle(&service, &id, &["quarantine", "purge", &id]);
                }
            }
            Action::Replay => {
                self.succeed(&service, &["replay", "--sink", "two", "--from", "1s"]);
            }
            Action::RotateByRename => self.rename_away(),
            Action::RotateByRenameAndCreate => {
                self.rename_away();
                // Operator and service may create the file; the first one wins.
                drop(std::fs::File::options().append(true).create(true).open(self.one()));
                service.signal("HUP");
            }
            Action::RotateByCopyAndTruncate => self.copy_and_truncate(&service),
            Action::SecondProcess => self.second_process(),
            Action::SecondProcessElsewhere => self.second_process_elsewhere(),
            Action::Kill => {
                service.kill();
                return self.start();
            }
            Action::Restart => {
                let (status, log) = service.terminate();
                assert!(status.success(), "{log}");
                return self.start();
            }
        }
        service
    }

    fn one(&self) -> PathBuf {
        self.home.path("one.ndjson")
    }

    fn pass(&mut self) {
        std::thread::sleep(Duration::from_millis(self.random.random_range(0..100)));
    }

    fn run(&self, service: &Service, arguments: &[&str]) -> Output {
        self.home.run_with(service, arguments)
    }

    fn succeed(&self, service: &Service, arguments: &[&str]) {
        self.output(service, arguments);
    }

    /// Returns the output of a command that succeeds.
    fn output(&self, service: &Service, arguments: &[&str]) -> Output {
        if self.is_patient {
            return wait_for("a command to succeed", || {
                Some(self.run(service, arguments)).filter(|output| output.status.success())
            });
        }
        let output = self.run(service, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    /// Runs a command that removes the oldest entry. The answer of a command that has done so may be lost.
    fn settle(&self, service: &Service, id: &str, arguments: &[&str]) {
        if !self.is_patient {
            return self.succeed(service, arguments);
        }
        wait_for("an entry to be removed", || {
            let is_gone = || self.first_entry(service).as_deref() != Some(id);
            (self.run(service, arguments).status.success() || is_gone()).then_some(())
        });
    }

    fn start(&self) -> Service {
        match self.is_patient {
            true => wait_for("the service to start", || self.home.try_start().ok()),
            false => self.home.start(),
        }
    }

    /// Replaces the configuration like an editor: a new file is renamed.
    fn write(&self, text: &str) {
        std::fs::write(self.home.path("new.toml"), text).expect("written");
        std::fs::rename(self.home.path("new.toml"), self.home.path("test.toml")).expect("renamed");
    }

    /// Adds a second password, which must be accepted then, and removes it again.
    fn reload_good(&mut self, service: &Service) {
        let text = std::fs::read_to_string(self.home.path("test.toml")).expect("read");
        let more = ", { username = \"second\", password_file = \"second\" }]";
        self.write(&text.replace("\"password\" }]", &format!("\"password\" }}{more}")));
        self.reload(service, APPLIED);
        let second = ["second", "an0ther-Lighthouse-by-the-Sea"];
        assert_eq!(post(service, Some(second), "[]").0, 200, "a reload lets the new password in");
        self.write(&text);
        self.reload(service, APPLIED);
        assert_eq!(post(service, Some(second), "[]").0, 401, "a reload ends the old password");
    }

    /// Writes an invalid configuration, in place and in parts.
    fn reload_refused(&mut self, service: &Service, change: impl Fn(&str) -> String) {
        let text = std::fs::read_to_string(self.home.path("test.toml")).expect("read");
        std::fs::write(self.home.path("test.toml"), change(&text)).expect("written");
        self.reload(service, REFUSED);
        assert_eq!(post(service, None, "[]").0, 401, "a refused reload lets nobody in");
        assert_eq!(post(service, Some(LOGIN), "[]").0, 200, "a refused reload locks nobody out");
        std::fs::write(self.home.path("test.toml"), text).expect("written");
        self.reload(service, APPLIED);
    }

    fn reload(&self, service: &Service, metric: &str) {
        let before = service.metric(metric);
        service.signal("HUP");
        wait_for(metric, || (service.metric(metric) > before).then_some(()));
    }

    /// Posts an event without a required field.
    fn quarantine(&mut self, service: &Service) {
        self.made += 1;
        let body = format!("[{{\"id\":\"refused-{}\"}}]", self.made);
        let answer = wait_for("an acknowledgement", || {
            let (status, text) = post(service, Some(LOGIN), &body);
            (status == 200).then(|| serde_json::from_str::<Value>(&text).expect("JSON"))
        });
        assert_eq!(answer["quarantined"], 1, "{answer}");
    }

    /// Returns the number of the oldest entry.
    fn first_entry(&self, service: &Service) -> Option<String> {
        let output = self.output(service, &["quarantine", "list", "--json", "--limit", "1"]);
        let entry: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        // A failure is an object, too.
        entry.and_then(|entry| Some(entry["id"].as_i64()?.to_string()))
    }

    /// Replaces an entry by a valid event, which must be delivered like all others.
    fn retry(&mut self, service: &Service) {
        let Some(id) = self.first_entry(service) else { return };
        let batch = self.oracle.mint(CLIENT, 1);
        std::fs::write(self.home.path("corrected.json"), &batch.body).expect("written");
        self.settle(service, &id, &["quarantine", "retry", &id, "--replace", "corrected.json"]);
        self.oracle.release(&batch);
    }

    /// Replaces an entry by an empty body, after which it must stay in quarantine.
    fn retry_with_nothing(&mut self, service: &Service) {
        let Some(id) = self.first_entry(service) else { return };
        for nothing in ["[]", "", " \n"] {
            std::fs::write(self.home.path("corrected.json"), nothing).expect("written");
            let arguments = ["quarantine", "retry", &id, "--replace", "corrected.json"];
            let output = self.run(service, &arguments);
            assert!(!output.status.success(), "{nothing:?}: {output:?}");
        }
        assert_eq!(self.first_entry(service), Some(id), "the entry stays");
    }

    /// Returns a free name for a rotated file.
    fn rotated_name(&mut self) -> PathBuf {
        let name = self.home.path(&format!("one.ndjson.{}", self.rotated.len()));
        self.rotated.push(name.clone());
        name
    }

    fn rename_away(&mut self) {
        if self.one().exists() {
            let name = self.rotated_name();
            std::fs::rename(self.one(), name).expect("renamed");
        }
    }

    /// Stops the service meanwhile: lines that are written between copy and truncation are lost with this method.
    fn copy_and_truncate(&mut self, service: &Service) {
        if !self.one().exists() {
            return;
        }
        service.signal("STOP");
        let name = self.rotated_name();
        std::fs::copy(self.one(), name).expect("copied");
        std::fs::File::options().write(true).truncate(true).open(self.one()).expect("truncated");
        service.signal("CONT");
    }

    /// Starts a second process on the same spool, which must exit by itself.
    fn second_process(&self) {
        let second = self.home.run(&["serve"]);
        assert!(!second.status.success(), "a second process took the spool: {second:?}");
    }

    /// Starts a second service that delivers to the same file: its events arrive, and no other event is lost.
    fn second_process_elsewhere(&mut self) {
        self.made += 1;
        let directory = self.home.path(&format!("spool-{}", self.made));
        let home = Home::new("").with_variables(&[(
            "DAVINCI_SIEM__SPOOL__DIRECTORY",
            directory.to_str().expect("UTF-8"),
        )]);
        let text = std::fs::read_to_string(self.home.path("test.toml")).expect("read");
        let here = |name: &str| format!("\"{}\"", self.home.path(name).display());
        let text = ["one.ndjson", "two.ndjson", "password"]
            .iter()
            .fold(text, |text, name| text.replace(&format!("\"{name}\""), &here(name)));
        std::fs::write(home.path("test.toml"), text).expect("written");
        let second = home.start();
        let batch = self.oracle.mint(CLIENT + 1, 1);
        assert_eq!(post(&second, Some(LOGIN), &batch.body).0, 200);
        self.pass();
        second.kill();
    }
}

/// Posts a body to the source `other`: the oracle counts the clients' own source.
pub fn post(service: &Service, login: Option<[&str; 2]>, body: &str) -> (u16, String) {
    let url = service.url.replace("/webhooks/pingone", "/webhooks/other");
    block_on(async {
        let post = Client::new().post(url).body(body.to_owned());
        let post = login.map_or(post.try_clone().expect("a request"), |[name, password]| {
            post.basic_auth(name, Some(password))
        });
        let response = post.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("text"))
    })
}
