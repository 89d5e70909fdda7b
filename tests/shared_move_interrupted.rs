//! `spool move` interrupted between its steps, in both directions: the service starts with neither spool until the move
//! is complete, and a repetition completes it. Also a cluster that was emptied, a full disk, and the files beside the
//! spool.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::events::{batch, id, ids};
use crate::support::machine::Machine;
use crate::support::nats::Cluster;
use crate::support::service::Home;
use crate::support::wait_for;

/// Number of events in the spool that moves.
const EVENTS: usize = 20;

/// One home with the configurations `old.toml` (a directory), `new.toml` (a stream) and `back.toml` (another directory).
struct Configurations {
    home: Home,
    cluster: Cluster,
}

impl Configurations {
    fn new() -> Configurations {
        Configurations::of(Home::new)
    }

    fn of(home: impl FnOnce(&str) -> Home) -> Configurations {
        let cluster = Cluster::shipped(1);
        let home = home("[sinks.copy]\ntype = \"file\"\npath = \"copy.ndjson\"\n");
        let home = home.with_variables(&cluster.variables());
        let text = std::fs::read_to_string(home.path("test.toml")).expect("a configuration");
        let write =
            |name: &str, text: String| std::fs::write(home.path(name), text).expect("written");
        write("new.toml", format!("{text}{}", cluster.spool()));
        write("back.toml", format!("{text}[spool]\ndirectory = \"back\"\n"));
        write("summaries.toml", format!("{text}[interactions]\nenabled = true\n"));
        write("old.toml", text);
        Configurations { home, cluster }
    }

    fn activate(&self, name: &str) {
        std::fs::copy(self.home.path(name), self.home.path("test.toml")).expect("copied");
    }

    /// Gives the receiver of the stream another directory than `old.toml` has.
    fn use_another_directory(&self) {
        let text = std::fs::read_to_string(self.home.path("new.toml")).expect("read");
        let text = text.replace("[spool]\n", "[spool]\ndirectory = \"receiver\"\n");
        std::fs::write(self.home.path("new.toml"), text).expect("written");
    }

    /// Starts the service with a configuration, pauses the sink, and sends events.
    fn fill(&self, name: &str) {
        self.activate(name);
        let service = self.home.start();
        assert!(self.home.run_with(&service, &["sink", "pause", "copy"]).status.success());
        service.post(&batch(ids(EVENTS)));
        service.post("[7]");
        let (status, log) = service.terminate();
        assert!(status.success(), "{log}");
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.home.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.home.run(arguments);
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// Kills `spool move` as soon as this file exists.
    fn kill_move_at(&self, to: &str, file: &Path) {
        let mut command = self.home.command(&["spool", "move", "--to", to]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        wait_for("a step of the move", || file.exists().then_some(()));
        child.kill().expect("killed");
        assert!(!child.wait().expect("a status").success(), "the move was complete already");
    }

    /// Asserts that the service does not start with this configuration.
    fn refused_start(&self, name: &str) -> String {
        self.activate(name);
        let (status, log) = self.home.try_start().err().expect("the start is refused");
        assert!(!status.success(), "{log}");
        log
    }

    /// Starts the service with this configuration, and asserts that each event is delivered once.
    fn deliver(&self, name: &str) {
        self.activate(name);
        let service = self.home.start();
        assert!(self.home.run_with(&service, &["sink", "resume", "copy"]).status.success());
        service.wait_until_settled("copy");
        let lines = self.home.lines("copy.ndjson");
        let delivered: Vec<String> = lines.iter().map(|line| id(line)).collect();
        assert_eq!(delivered, ids(EVENTS), "each once, in order");
        let (status, log) = service.terminate();
        assert!(status.success(), "{log}");
    }

    fn delete_streams(&self) {
        for stream in ["davinci-siem", "davinci-siem-quarantine", "KV_davinci-siem-sinks"] {
            self.cluster.client().delete(stream);
        }
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_spool_that_has_made_summaries_moves_without_their_cursor() {
    let all = Configurations::new();
    all.fill("summaries.toml");
    all.activate("old.toml");
    let moved = all.succeeds(&["spool", "move", "--to", "new.toml"]);
    assert!(moved.contains("@interactions"), "{moved}");
    all.deliver("new.toml");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn no_service_starts_between_the_steps_of_a_move_to_a_directory() {
    let all = Configurations::of(|config| Machine::new(config).home);
    all.fill("new.toml");
    let (draft, database) = (all.home.path("back/moving"), all.home.path("back/spool.db"));

    // Killed before the stream is marked: it goes on, and the directory does not begin.
    std::fs::create_dir_all(&draft).expect("made");
    assert!(all.refused_start("back.toml").contains("has not ended"));
    all.activate("new.toml");
    drop(all.home.start().terminate());

    // Killed while the directory is filled.
    all.kill_move_at("back.toml", &draft.join("spool.db"));
    assert!(all.refused_start("new.toml").contains("was moved to directory"));
    std::fs::write(all.home.path("fail-after"), "0").expect("written");
    std::fs::write(all.home.path("fail-write"), "").expect("written");
    assert!(all.refused_start("back.toml").contains("has not ended"), "also on a full disk");
    all.activate("new.toml");
    let error = all.fails(&["spool", "move", "--to", "back.toml"]);
    assert!(error.contains("back cannot be written") && error.contains("full"), "{error}");
    std::fs::remove_file(all.home.path("fail-write")).expect("removed");
    let log = all.refused_start("back.toml");
    assert!(log.contains("Repeat davinci-siem spool move") && !database.exists(), "{log}");

    all.activate("new.toml");
    let moved = all.succeeds(&["spool", "move", "--to", "back.toml"]);
    assert!(moved.contains("20 events"), "{moved}");
    assert!(!draft.exists() && database.exists());

    // Killed after the last step but one: the spool is in its place, and the mark of the move as well.
    std::fs::create_dir_all(&draft).expect("made");
    assert!(all.refused_start("back.toml").contains("has not ended"));
    all.activate("new.toml");
    let again = all.succeeds(&["spool", "move", "--to", "back.toml"]);
    assert!(again.contains("before; nothing was changed") && !draft.exists(), "{again}");
    all.deliver("back.toml");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_spool_that_was_started_in_the_target_of_a_move_is_named_with_a_remedy() {
    let all = Configurations::new();
    all.fill("new.toml");
    all.kill_move_at("back.toml", &all.home.path("back/moving/spool.db"));
    // As an earlier version did: it starts, and leaves a spool there.
    all.activate("back.toml");
    let aside = all.home.path("aside");
    std::fs::rename(all.home.path("back/moving"), &aside).expect("moved aside");
    drop(all.home.start().terminate());
    std::fs::rename(&aside, all.home.path("back/moving")).expect("put back");
    all.activate("new.toml");
    let error = all.fails(&["spool", "move", "--to", "back.toml"]);
    assert!(error.contains("has another spool than this move builds"), "{error}");
    let files = ["spool.db", "spool.db-wal", "spool.db-shm", "spool.mark", "spool.lock"];
    std::fs::create_dir(&aside).expect("made");
    for file in files {
        let (from, to) = (all.home.path("back").join(file), aside.join(file));
        std::fs::rename(from, to).expect("moved aside");
    }
    all.succeeds(&["spool", "move", "--to", "back.toml"]);
    all.deliver("back.toml");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn an_unused_database_is_replaced_and_files_of_another_spool_are_not() {
    let all = Configurations::new();
    all.fill("new.toml");
    std::fs::create_dir(all.home.path("back")).expect("made");
    for foreign in ["repair.db", "spool.db-wal"] {
        std::fs::write(all.home.path("back").join(foreign), "foreign").expect("written");
        let error = all.fails(&["spool", "move", "--to", "back.toml"]);
        assert!(error.contains(foreign) && error.contains("another spool"), "{error}");
        std::fs::remove_file(all.home.path("back").join(foreign)).expect("removed");
    }
    // What a first start on a full disk leaves.
    for empty in ["spool.db", "spool.db-wal"] {
        std::fs::write(all.home.path("back").join(empty), "").expect("written");
    }
    all.succeeds(&["spool", "move", "--to", "back.toml"]);
    all.deliver("back.toml");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn an_interrupted_move_to_a_stream_goes_on_only_with_the_same_content() {
    let mut all = Configurations::new();
    all.use_another_directory();
    all.fill("old.toml");
    let mark = all.home.path("data/spool.moved");

    // Without room for the mark: nothing of it is left.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"];
    all.home.wrapper = limited.map(str::to_owned).to_vec();
    let error = all.fails(&["spool", "move", "--to", "new.toml"]);
    assert!(error.contains("spool.moved") && !mark.exists(), "{error}");
    all.home.wrapper.clear();
    assert!(all.refused_start("new.toml").contains("has not ended"));

    // Killed after both are marked: the move waits for the writer of a pipe.
    all.activate("old.toml");
    let pipe = all.home.path("data/audit.1.ndjson");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    all.kill_move_at("new.toml", &mark);
    std::fs::remove_file(pipe).expect("removed");
    assert!(all.refused_start("old.toml").contains("was moved to stream"));
    assert!(all.refused_start("new.toml").contains("has not ended"));

    // Interrupted after the events, before the quarantine.
    all.activate("old.toml");
    all.cluster.deny("davinci-siem.refused");
    all.fails(&["spool", "move", "--to", "new.toml"]);
    assert!(all.cluster.client().count("davinci-siem") > 0);
    assert!(all.refused_start("old.toml").contains("was moved to stream"));
    assert!(all.refused_start("new.toml").contains("has not ended"));
    all.cluster.grant("davinci-siem.refused");

    // Given up, and repeated without deleting the stream: it may have content that the spool no longer has.
    std::fs::remove_file(&mark).expect("removed");
    all.activate("old.toml");
    drop(all.home.start().terminate());
    let error = all.fails(&["spool", "move", "--to", "new.toml"]);
    assert!(error.contains("was given up") && error.contains("Delete"), "{error}");
    all.delete_streams();
    all.succeeds(&["spool", "move", "--to", "new.toml"]);

    // Used again after the move.
    std::fs::remove_file(&mark).expect("removed");
    let error = all.fails(&["spool", "move", "--to", "new.toml"]);
    assert!(error.contains("its mark spool.moved was deleted"), "{error}");
    all.deliver("new.toml");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn an_emptied_cluster_does_not_pass_for_the_one_with_the_events() {
    let all = Configurations::new();
    all.fill("old.toml");
    all.succeeds(&["spool", "move", "--to", "new.toml"]);
    all.delete_streams();
    let log = all.refused_start("new.toml");
    assert!(log.contains("does not have the content") && log.contains("20 events"), "{log}");
    let stats = all.fails(&["spool", "stats"]);
    assert!(stats.contains("there is no stream"), "the refused start has made none: {stats}");
    all.activate("old.toml");
    let error = all.fails(&["spool", "move", "--to", "new.toml"]);
    assert!(error.contains("delete") && error.contains("spool.moved"), "{error}");
    std::fs::remove_file(all.home.path("data/spool.moved")).expect("removed");
    all.succeeds(&["spool", "move", "--to", "new.toml"]);
    all.activate("new.toml");

    // Also while it moves back: the copy in the directory may be all that is left.
    all.kill_move_at("back.toml", &all.home.path("back/moving/spool.db"));
    all.delete_streams();
    std::fs::remove_dir_all(all.home.path("data")).expect("removed");
    drop(all.home.start().terminate());
    let error = all.fails(&["spool", "move", "--to", "back.toml"]);
    assert!(error.contains("emptied") && error.contains("back/moving"), "{error}");
    assert!(all.home.path("back/moving/spool.db").exists());
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn the_audit_log_drift_and_open_alerts_move_along() {
    let all = Configurations::new();
    all.use_another_directory();
    all.fill("old.toml");
    std::fs::write(all.home.path("data/alerts.json"), "{\"open\":[]}").expect("written");
    let drift = std::fs::read(all.home.path("data/drift.json")).expect("read");
    // A failed attempt is recorded, too, and does not keep the next one from moving the log.
    std::fs::write(all.home.path("receiver"), "").expect("written");
    all.fails(&["spool", "move", "--to", "new.toml"]);
    std::fs::remove_file(all.home.path("receiver")).expect("removed");
    let moved = all.succeeds(&["spool", "move", "--to", "new.toml"]);
    assert!(moved.contains("audit.ndjson, alerts.json, drift.json"), "{moved}");
    let records = |config: &str| -> Vec<[String; 3]> {
        all.activate(config);
        let text = all.succeeds(&["audit", "--json"]);
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        records
            .map(|record| {
                ["action", "object", "result"]
                    .map(|field| record[field].as_str().unwrap_or("-").to_owned())
            })
            .collect()
    };
    let expected = [
        ["pause", "copy", "ok"],
        ["move", "to stream davinci-siem", "failed"],
        ["move", "to stream davinci-siem", "ok"],
    ];
    assert_eq!(records("new.toml"), expected);
    assert_eq!(records("old.toml"), expected);
    assert_eq!(std::fs::read(all.home.path("receiver/drift.json")).expect("read"), drift);
    all.deliver("new.toml");

    // A directory keeps the files that it has: the command names them.
    std::fs::create_dir(all.home.path("back")).expect("made");
    std::fs::write(all.home.path("back/drift.json"), "{}").expect("written");
    let moved = all.succeeds(&["spool", "move", "--to", "back.toml", "--json"]);
    let moved: Value = serde_json::from_str(&moved).expect("JSON");
    assert_eq!(moved["files_left"], serde_json::json!(["drift.json"]), "{moved}");
    assert!(records("back.toml").ends_with(&[
        expected[2].map(str::to_owned),
        ["resume".to_owned(), "copy".to_owned(), "ok".to_owned(),],
        [
            "move".to_owned(),
            format!("to directory {}", all.home.path("back").display()),
            "ok".to_owned(),
        ]
    ]));
    drop(all.home.start().terminate());
}
