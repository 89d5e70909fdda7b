//! The listener and real HTTP clients: each client gets the documented status, also if the service answers before it
//! has read the body, and its next request on the same client succeeds.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::certificates::Certificates;
use crate::support::events::{large, minted};
use crate::support::service::{Home, Service};

/// Client, arguments of its program, and true if it uses TLS.
const CLIENTS: [(&str, &[&str], bool); 16] = [
    ("curl h1", &["curl.sh", "CA", "--http1.1"], false),
    ("curl h1, Expect", &["curl.sh", "CA", "--http1.1", "--header", "expect: 100-continue"], false),
    ("curl h1, TLS", &["curl.sh", "CA", "--http1.1"], true),
    ("curl h2", &["curl.sh", "CA", "--http2"], true),
    ("curl h2c", &["curl.sh", "CA", "--http2-prior-knowledge"], false),
    ("Go h1", &["client", "h1", "CA"], false),
    ("Go h1, Expect", &["client", "expect", "CA"], false),
    ("Go h2", &["client", "h2", "CA"], true),
    ("Node fetch", &["node", "client.mjs"], false),
    ("Java HttpClient h1", &["java", "Client", "h1", "CA"], false),
    ("Java HttpClient h2", &["java", "Client", "h2", "CA"], true),
    ("Apache HttpClient", &["java", "Client", "apache", "CA"], false),
    ("requests", &["python", "client.py", "requests", "CA"], false),
    ("httpx h1", &["python", "client.py", "httpx-h1", "CA"], false),
    ("httpx h2", &["python", "client.py", "httpx-h2", "CA"], true),
    ("httpx h2c", &["python", "client.py", "httpx-h2c", "CA"], false),
];

/// Request of every client: service, method, path, key, framing, body, encoding, and the expected status.
type Case = (
    usize,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    u16,
);

const WEBHOOK: &str = "/webhooks/pingone";
const USUAL: usize = 0;
const FULL: usize = 1;
const THROTTLES: usize = 2;

const CASES: [Case; 12] = [
    (USUAL, "POST", WEBHOOK, "wrong", "length", "1MB", "", 401),
    (USUAL, "POST", WEBHOOK, "wrong", "chunked", "1MB", "", 401),
    (USUAL, "POST", "/far", "k", "length", "1MB", "", 403),
    (USUAL, "POST", "/nowhere", "k", "length", "1MB", "", 404),
    (USUAL, "PUT", WEBHOOK, "k", "length", "1MB", "", 405),
    (USUAL, "POST", WEBHOOK, "k", "length", "3MB", "", 413),
    (USUAL, "POST", WEBHOOK, "k", "chunked", "3MB", "", 413),
    (USUAL, "POST", WEBHOOK, "k", "slow", "1MB", "", 408),
    (USUAL, "POST", WEBHOOK, "k", "length", "empty", "", 400),
    (USUAL, "POST", WEBHOOK, "k", "length", "gzip", "gzip", 200),
    (FULL, "POST", WEBHOOK, "k", "length", "large", "gzip, gzip", 503),
    (THROTTLES, "POST", WEBHOOK, "wrong", "length", "1MB", "", 429),
];

/// Services: default limits, small limits, and one allowed failure of authentication.
const LIMITS: [&str; 3] = [
    "body = \"2 MiB\"\nbody_timeout = \"3s\"\nfailed_logins = 1000000\n",
    "body = \"220 KiB\"\nin_flight = \"440 KiB\"\n",
    "failed_logins = 1\n",
];

struct Bench {
    directory: tempfile::TempDir,
    certificates: Certificates,
    /// First without, then with TLS.
    services: [Vec<(Home, Service)>; 2],
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().expect("a directory");
        let certificates = Certificates::new(directory.path(), "clients");
        let own = certificates.issue("127.0.0.1", |_| ());
        let tls =
            format!("[listen.tls]\ncertificate = {:?}\nkey = {:?}\n", own.certificate, own.key);
        let services = ["", &tls].map(|listen| {
            LIMITS
                .map(|limits| {
                    let home = Home::with_listen(
                        listen,
                        &format!(
                            "[limits]\n{limits}\
                             [sources.pingone]\nheaders = [{{ name = \"X-Key\", value_env = \"KEY\" }}]\n\
                             [sources.far]\npath = \"/far\"\nallow_from = [\"192.0.2.0/24\"]\n"
                        ),
                    );
                    let home = home.with_variables(&[("KEY", "k")]);
                    let service = home.start();
                    (home, service)
                })
                .into()
        });
        let bench = Bench { directory, certificates, services };
        bench.write_bodies();
        bench.build();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_bodies(&self) {
        let event = format!("[{}]", minted("real"));
        let gzip = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("compressed");
            encoder.finish().expect("compressed")
        };
        for (name, bytes) in [
            ("event", event.clone().into_bytes()),
            ("gzip", gzip(event.as_bytes())),
            ("empty", b" \n".to_vec()),
            ("1MB", vec![b' '; 1_000_000]),
            ("3MB", vec![b' '; 3_000_000]),
            // Compressed twice; its inflated size exceeds `limits.in_flight`.
            ("large", gzip(&gzip([large("1"), large("2")].concat().as_bytes()))),
        ] {
            std::fs::write(self.path(name), bytes).expect("written");
        }
    }

    fn build(&self) {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_clients");
        let run = |command: &mut Command| {
            let done = command.current_dir(&sources).output().expect("a compiler: .ci/clients");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let directory = self.directory.path();
        run(Command::new("go").args(["build", "-o"]).arg(self.path("client")).arg("client.go"));
        let java = ["-cp", CLASSES, "Client.java", "-d"];
        run(Command::new("javac").args(java).arg(directory));
        for script in ["client.mjs", "client.py", "curl.sh"] {
            std::fs::copy(sources.join(script), self.path(script)).expect("copied");
        }
    }

    /// Returns the cases in the format of the programs, each followed by a valid request.
    fn lines(&self, has_tls: bool) -> String {
        let mut lines = String::new();
        for (index, (service, method, path, key, framing, body, encoding, _)) in
            CASES.into_iter().enumerate()
        {
            let base = |service: usize| {
                let url = &self.services[usize::from(has_tls)][service].1.url;
                url.trim_end_matches(WEBHOOK).to_owned()
            };
            let (file, good) = (self.path(body), self.path("event"));
            let url = format!("{}{path}", base(service));
            let request =
                format!("{method}\t{url}\t{key}\t{framing}\t{}\t{encoding}", file.display());
            let next = match service {
                // One failure of authentication is allowed: the second request exceeds the limit.
                THROTTLES => request.clone(),
                _ => format!("POST\t{}{WEBHOOK}\tk\tlength\t{}\t", base(service), good.display()),
            };
            writeln!(lines, "{index}\t{request}\n{index}-next\t{next}").expect("a text");
        }
        lines
    }

    fn start(&self, arguments: &[&str], has_tls: bool) -> Child {
        let ca = self.certificates.ca.to_str().expect("UTF-8");
        let mut words = arguments.iter().map(|word| if *word == "CA" { ca } else { *word });
        let mut command = match words.next().expect("a program") {
            "java" => {
                let mut command = Command::new("java");
                command.args(["-Xmx256m", "-cp", &format!("{CLASSES}:.")]);
                command
            }
            "python" => Command::new("/opt/http-clients/bin/python"),
            "node" => Command::new("node"),
            own => Command::new(self.path(own)),
        };
        command.args(words).current_dir(self.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a client: .ci/clients");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(self.lines(has_tls).as_bytes()).expect("written");
        child
    }
}

const CLASSES: &str = "/usr/share/java/httpclient5.jar:/usr/share/java/httpcore5.jar:\
                       /usr/share/java/httpcore5-h2.jar:/usr/share/java/slf4j-api.jar";

/// Returns the differences between expected and actual answers.
fn judge(client: &str, output: &str) -> Vec<String> {
    let seen: HashMap<&str, &str> =
        output.lines().filter_map(|line| line.split_once('\t')).collect();
    let status = |name: &str| seen.get(name).copied().unwrap_or("nothing");
    let mut wrong = Vec::new();
    for (index, case) in CASES.into_iter().enumerate() {
        let (found, next) = (status(&index.to_string()), status(&format!("{index}-next")));
        let is_right = match case.7 {
            // A new minute may begin in between.
            429 => [(found, next), (next, found)]
                .into_iter()
                .any(|(one, other)| one == "429" && matches!(other, "401" | "429")),
            wanted => found == wanted.to_string() && next == "200",
        };
        if !is_right {
            wrong.push(format!("{client}: {case:?}: {found}, then {next}"));
        }
    }
    wrong
}

#[test]
#[ignore = "needs curl, Go, Node, Java, Apache HttpClient, httpx and requests: .ci/clients installs them"]
fn every_client_sees_the_status_that_is_promised() {
    let bench = Bench::new();
    // Four at a time: each waits most of the time for its slow body.
    let mut wrong = Vec::new();
    for some in CLIENTS.chunks(4) {
        let started: Vec<_> = some
            .iter()
            .map(|(name, arguments, has_tls)| (name, bench.start(arguments, *has_tls)))
            .collect();
        for (name, child) in started {
            let output = child.wait_with_output().expect("it ends");
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            let found = judge(name, &output);
            println!("{name}: {} of {} cases", CASES.len() - found.len(), CASES.len());
            wrong.extend(found);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
