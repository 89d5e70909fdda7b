//! The servers: the real binary, the floor, and the service without syncing.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use davinci_siem::app::App;
use davinci_siem::metrics::Metrics;
use davinci_siem::reload::Reload;
use davinci_siem::{config, shutdown, telemetry};
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Durable,
    /// The binary that `OTHER` names, as another tree built it.
    Other,
    Floor,
    Unsynced,
}

/// A running server, ended when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    child: Child,
    /// Its files, where they go when it ends.
    _directory: Option<TempDir>,
}

/// What a server has used so far.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Bytes written to the disk.
    pub(crate) written: u64,
    /// Most memory that was resident, bytes.
    pub(crate) resident: u64,
    /// Memory that is resident now, bytes.
    pub(crate) resident_now: u64,
}

const LISTENERS: &str = "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
     [log]\nformat = \"json\"\n";

/// A sink that takes everything.
pub(crate) const FILE: &str = "[sinks.file]\ntype = \"file\"\npath = \"out.ndjson\"\n";

impl Server {
    /// A server with nothing in its spool, and a file to deliver to.
    pub(crate) fn start(kind: Kind) -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Server::start_in(directory.path(), kind, FILE);
        server._directory = Some(directory);
        server
    }

    /// A server with these sinks, and what there is in the directory.
    pub(crate) fn start_in(directory: &Path, kind: Kind, more: &str) -> Server {
        std::fs::write(directory.join("config.toml"), format!("{LISTENERS}{more}"))
            .expect("written");
        let own = std::env::current_exe().expect("a path");
        let mut command = match kind {
            Kind::Durable => Command::new(env!("CARGO_BIN_EXE_davinci-siem")),
            Kind::Other => Command::new(std::env::var_os("OTHER").expect("OTHER names a binary")),
            Kind::Floor | Kind::Unsynced => Command::new(own),
        };
        command.args(match kind {
            Kind::Durable | Kind::Other => &["serve", "-c", "config.toml"][..],
            Kind::Floor => &["serve-floor"],
            Kind::Unsynced => &["serve-unsynced", "config.toml"],
        });
        let mut child = command
            .current_dir(directory)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let mut said = String::new();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .inspect(|line| said = format!("{said}{line}\n"))
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
            .find(|line| line["message"] == "ready");
        assert!(ready.is_some(), "it is not ready:\n{said}");
        let ready = ready.unwrap_or_default();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| eprintln!("{line}"));
        });
        let address = |name: &str| ready[name].as_str().and_then(|text| text.parse().ok());
        Server {
            address: address("listen").expect("an address"),
            admin: address("admin"),
            child,
            _directory: None,
        }
    }

    /// Waits for the file sink: its work counts.
    pub(crate) fn wait_until_delivered(&self) {
        let begun = Instant::now();
        while self.admin.is_some() && self.lag() > 0 {
            assert!(begun.elapsed() < Duration::from_mins(2), "the sink does not keep up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has nothing more to do: what was delivered is removed a little later.
    pub(crate) fn wait_until_idle(&self) {
        self.wait_until_delivered();
        loop {
            let before = self.usage().cpu;
            std::thread::sleep(Duration::from_millis(300));
            if self.usage().cpu - before <= Duration::from_millis(10) {
                return;
            }
        }
    }

    /// Events that the file sink has not delivered yet.
    pub(crate) fn lag(&self) -> u64 {
        let url = format!("http://{}/metrics", self.admin.expect("an address"));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let text = runtime.block_on(async { reqwest::get(&url).await?.text().await });
        let text = text.expect("metrics");
        let mut lines = text.lines();
        let lag = lines
            .find_map(|line| line.strip_prefix("davinci_siem_sink_lag_events{sink=\"file\"} "));
        lag.expect("a lag").parse().expect("a number")
    }

    pub(crate) fn usage(&self) -> Usage {
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("/proc")
        };
        let field = |text: &str, name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
            let number = line.split_whitespace().next().expect("a number");
            number.parse().expect("a number")
        };
        let stat = read("stat");
        let times = stat.rsplit(") ").next().expect("fields").split(' ').skip(11).take(2);
        let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Usage {
            // Linux counts in hundredths of a second, whatever its own clock.
            cpu: Duration::from_millis(ticks * 10),
            written: field(&read("io"), "write_bytes:"),
            resident: 1024 * field(&read("status"), "VmHWM:"),
            resident_now: 1024 * field(&read("status"), "VmRSS:"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("ended");
        self.child.wait().expect("ended");
    }
}

/// What this program is when it is started as a server.
pub(crate) fn serve(role: &str, arguments: &[String]) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match role {
        "serve-floor" => runtime.block_on(floor()),
        _ => runtime.block_on(unsynced(&arguments[0])),
    }
}

/// Reads the body and answers 200.
async fn floor() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    eprintln!("{{\"message\":\"ready\",\"listen\":\"{address}\"}}");
    let handler = async |body: bytes::Bytes| format!("{{\"received\":{}}}", body.len());
    let limit = axum::extract::DefaultBodyLimit::disable();
    let router =
        axum::Router::new().route("/webhooks/pingone", axum::routing::post(handler)).layer(limit);
    axum::serve(listener, router).await.expect("served");
}

/// The service, but nothing is synced. No configuration can ask for this.
async fn unsynced(file: &str) {
    let mut config = config::load(Some(file.as_ref()), std::iter::empty()).expect("valid");
    config.spool.sync = false;
    let metrics = std::sync::Arc::new(Metrics::new().expect("metrics"));
    let _telemetry = telemetry::start(&config.log, config.traces.as_ref(), &metrics);
    let (_trigger, shutdown) = shutdown::channel();
    let text = config::text_of(Some(file.as_ref())).expect("readable");
    let reload = Reload {
        now: std::sync::Arc::default(),
        file: Some(file.into()),
        text,
        environment: Vec::new(),
    };
    let app = Box::pin(App::build(config, metrics)).await.expect("built");
    let address = app.address().expect("an address");
    let admin = app.admin_address().expect("an address");
    eprintln!("{{\"message\":\"ready\",\"listen\":\"{address}\",\"admin\":\"{admin}\"}}");
    app.run(reload, shutdown).await.expect("served");
}
