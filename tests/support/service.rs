//! The real binary as a child process, in a directory of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, provide_tls};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_davinci-siem");

/// Lines of the log that a failed test prints.
const LOGGED: usize = 200;

/// A directory with a configuration, in which the service can be started again and again.
pub struct Home {
    pub directory: TempDir,
    pub variables: Vec<(String, String)>,
    /// Command that runs each process started here: the program and its arguments.
    pub wrapper: Vec<String>,
}

/// A running service, killed on drop.
pub struct Service {
    child: Child,
    pub url: String,
    pub admin: String,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Home {
    /// Adds `config` to addresses and a spool for a test.
    pub fn new(config: &str) -> Home {
        Home::with_listen("", config)
    }

    /// Does the same as [`new`](Home::new), with more keys for `[listen]`.
    pub fn with_listen(listen: &str, config: &str) -> Home {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n{listen}\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\nlevel = \"debug\"\n{config}"
        );
        std::fs::write(directory.path().join("test.toml"), text).expect("written");
        Home { directory, variables: Vec::new(), wrapper: Vec::new() }
    }

    /// Returns a home with two file sinks, `one` and `two`, and more configuration.
    pub fn with_two_sinks(config: &str) -> Home {
        let sink =
            |name: &str| format!("[sinks.{name}]\ntype = \"file\"\npath = \"{name}.ndjson\"\n");
        Home::new(&format!("{}{}{config}", sink("one"), sink("two")))
    }

    /// Sets variables for every process started here.
    pub fn with_variables(mut self, variables: &[(&str, &str)]) -> Home {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables.extend(owned);
        self
    }

    /// Compiles a source of `tests/support` and preloads it into every process started here.
    pub fn preload(&mut self, source: &str) {
        let library = self.path(source).with_extension("so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(source);
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(compiled.expect("cc runs").success());
        self.variables.push(("LD_PRELOAD".to_owned(), library.display().to_string()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a command of the binary with this directory's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.wrapper.iter().map(String::as_str).chain([BINARY]);
        let mut command = Command::new(words.next().unwrap_or(BINARY));
        command
            .args(words)
            .current_dir(self.directory.path())
            .args(arguments)
            .args(["-c", "test.toml"])
            .env("NO_COLOR", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs a command while `service` uses the spool.
    pub fn run_with(&self, service: &Service, arguments: &[&str]) -> Output {
        let admin = service.admin.strip_prefix("http://").expect("a URL");
        self.command(arguments)
            .env("DAVINCI_SIEM__ADMIN__ADDRESS", admin)
            .output()
            .expect("the binary runs")
    }

    /// Starts the service and waits until it is ready.
    pub fn start(&self) -> Service {
        match self.try_start() {
            Ok(service) => service,
            Err((status, log)) => panic!("the service ended with {status}:\n{log}"),
        }
    }

    /// Starts the service. Returns status and log if it exits before it is ready.
    pub fn try_start(&self) -> Result<Service, (ExitStatus, String)> {
        provide_tls();
        let stdout =
            File::options().create(true).append(true).open(self.path("stdout")).expect("a file");
        let mut child = self
            .command(&["serve"])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (ready, is_ready) = mpsc::channel();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let lines = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some([scheme, listen, admin]) = ready_line(&line) {
                    drop(ready.send((format!("{scheme}://{listen}"), format!("http://{admin}"))));
                }
                lines.lock().expect("a lock").push(line);
            }
        });
        match is_ready.recv_timeout(PATIENCE) {
            Ok((listen, admin)) => {
                let url = format!("{listen}/webhooks/pingone");
                Ok(Service { child, url, admin, log, reader: Some(reader) })
            }
            Err(_) => {
                drop(child.kill());
                let status = child.wait().expect("a status");
                reader.join().expect("the log was read");
                let log = log.lock().expect("a lock").join("\n");
                Err((status, log))
            }
        }
    }

    /// Returns the quarantine entries that `quarantine list` prints; none if it fails.
    pub fn quarantine(&self) -> Vec<Value> {
        let listed = self.run(&["quarantine", "list", "--json", "--limit", "10000"]);
        if !listed.status.success() {
            return Vec::new();
        }
        let text = String::from_utf8(listed.stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Returns the whole lines of a file, parsed as JSON.
    pub fn lines(&self, name: &str) -> Vec<String> {
        read_lines(&self.path(name))
    }
}

/// Returns scheme, address and admin address from the line `ready`, which is JSON or text.
fn ready_line(line: &str) -> Option<[String; 3]> {
    const MEMBERS: [&str; 3] = ["scheme", "listen", "admin"];
    if let Ok(event) = serde_json::from_str::<Value>(line) {
        let member = |name: &str| event[name].as_str().expect("a text").to_owned();
        return (event["message"] == "ready").then(|| MEMBERS.map(member));
    }
    let (_, rest) = line.split_once(" INFO ready ")?;
    Some(MEMBERS.map(|name| {
        let mut members = rest.split(' ').filter_map(|member| member.split_once('='));
        let (_, value) = members.find(|(found, _)| *found == name).expect("a member");
        value.trim_matches('"').to_owned()
    }))
}

/// Returns the whole lines of a file; none without a file.
pub fn read_lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect()
}

impl Service {
    /// Sends SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Waits until the log contains a line with this text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        super::wait_for(text, || self.log().contains(text).then_some(()));
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM without waiting.
    pub fn signal_end(&self) {
        self.signal("TERM");
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let arguments = [&format!("-{name}"), &self.child.id().to_string()];
        assert!(Command::new("kill").args(arguments).status().expect("kill runs").success());
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal_end();
        self.wait()
    }

    /// Waits until the process exits by itself. Returns its status and its log.
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let status =
            super::wait_for("the service to end", || self.child.try_wait().expect("a status"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log was read");
        }
        (status, self.log())
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("a lock").join("\n")
    }

    /// Returns the answer of the admin listener: status and text.
    pub fn ask_admin(&self, path: &str) -> (u16, String) {
        super::block_on(async {
            let answer = reqwest::get(format!("{}{path}", self.admin)).await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        })
    }

    /// Posts a body, which must be acknowledged.
    pub fn post(&self, body: &str) {
        self.answer(body);
    }

    /// Does the same as [`post`](Service::post), and returns the answer.
    pub fn answer(&self, body: &str) -> Value {
        super::block_on(async {
            let post = reqwest::Client::new().post(&self.url).body(body.to_owned());
            let post = post.timeout(PATIENCE);
            let response = post.send().await.expect("an answer");
            assert_eq!(response.status(), 200);
            response.json().await.expect("JSON")
        })
    }

    /// Returns the answer to a body.
    pub fn try_post(&self, body: &str) -> (u16, String) {
        super::block_on(async {
            let post = reqwest::Client::new().post(&self.url).body(body.to_owned());
            let post = post.timeout(PATIENCE);
            let response = post.send().await.expect("an answer");
            (response.status().as_u16(), response.text().await.expect("text"))
        })
    }

    /// Returns the answer of `/readyz`.
    pub fn readiness(&self) -> Value {
        serde_json::from_str(&self.ask_admin("/readyz").1).expect("JSON")
    }

    /// Returns the value of a metric with these labels; 0 if it is missing.
    pub fn metric(&self, name: &str) -> f64 {
        self.find_metric(name).unwrap_or(0.0)
    }

    fn find_metric(&self, name: &str) -> Option<f64> {
        let text = self.ask_admin("/metrics").1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }

    /// Returns the number of events that a sink has not committed yet; infinity while the spool cannot be read.
    pub fn lag(&self, sink: &str) -> f64 {
        let lag = self.find_metric(&format!("davinci_siem_sink_lag_events{{sink=\"{sink}\"}}"));
        lag.unwrap_or(f64::INFINITY)
    }

    /// Waits until a sink has committed every acknowledged event.
    #[track_caller]
    pub fn wait_until_settled(&self, sink: &str) {
        super::wait_for(sink, || (self.lag(sink) == 0.0).then_some(()));
    }

    /// Returns the peak memory of the process, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("read");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        let digits = line.trim().strip_suffix(" kB").expect("kibibytes");
        digits.parse::<u64>().expect("a number") * 1024
    }

    /// Returns host and port of the webhook listener.
    pub fn address(&self) -> String {
        let (_, rest) = self.url.split_once("://").expect("a URL");
        rest.split('/').next().expect("an address").to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Usually, it has already exited.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LOGGED)..];
            eprintln!("--- the end of the service's log\n{}", last.join("\n"));
        }
    }
}
