//! A real Prometheus scrapes the real service, with the alerts of `deploy/prometheus`; only `for` and the ranges are
//! shortened.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::events::{documented, minted};
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{block_on, wait_for};

/// Directory into which `.ci/prometheus` unpacks it.
const DIRECTORY: &str = "/opt/davinci-siem-prometheus/usr/bin";

/// A running Prometheus, killed on drop.
struct Prometheus {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(service: &Service) -> Prometheus {
        let directory = tempfile::tempdir().expect("a directory");
        let rules = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/prometheus/alerts.yml"
        ));
        let minutes = regex::Regex::new(r"for: \d+[mh]").expect("a pattern");
        let rules =
            minutes.replace_all(&rules.expect("the rules"), "for: 1s").replace("[15m]", "[4s]");
        let target = service.admin.strip_prefix("http://").expect("a URL");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [alerts.yml]\n\
             scrape_configs:\n- job_name: davinci-siem\n  static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        for (name, text) in [("alerts.yml", &*rules), ("prometheus.yml", &*config)] {
            let mut file = std::fs::File::create(directory.path().join(name)).expect("a file");
            file.write_all(text.as_bytes()).expect("written");
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("bound")
            .local_addr()
            .expect("an address")
            .port();
        let child = Command::new(format!("{DIRECTORY}/prometheus"))
            .current_dir(directory.path())
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus is there: .ci/prometheus unpacks it");
        Prometheus { child, url: format!("http://127.0.0.1:{port}"), _directory: directory }
    }

    /// Returns the names of the firing alerts, without the one about the disk of this machine.
    fn firing(&self) -> Option<Vec<String>> {
        let asked = block_on(async {
            let answer = reqwest::get(format!("{}/api/v1/alerts", self.url)).await.ok()?;
            answer.json::<Value>().await.ok()
        })?;
        let alerts = asked["data"]["alerts"].as_array()?.iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        Some(
            firing
                .filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned()))
                .filter(|name| name != "DavinciSiemDiskFilling")
                .collect(),
        )
    }

    /// Returns true if it has scraped the service.
    fn has_scraped(&self) -> Option<()> {
        let asked = block_on(async {
            let url = format!("{}/api/v1/query?query=davinci_siem_build_info", self.url);
            reqwest::get(url).await.ok()?.json::<Value>().await.ok()
        })?;
        asked["data"]["result"].as_array().filter(|found| !found.is_empty()).map(|_| ())
    }

    #[track_caller]
    fn wait_until(&self, alert: &str, is_firing: bool) {
        wait_for(&format!("{alert} is {is_firing}"), || {
            let firing = self.firing()?;
            (firing.iter().any(|found| found == alert) == is_firing).then_some(())
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "needs Prometheus: .ci/prometheus"]
fn alerts_fire_while_something_is_wrong_and_no_longer() {
    let mut target = Target::start(Webhook::default());
    let home = Home::new(&format!(
        "[sinks.out]\ntype = \"http\"\nurl = \"{}/events\"\nretry = {{ min = \"5ms\", max = \"100ms\" }}\n",
        target.url
    ));
    let service = home.start();
    let prometheus = Prometheus::start(&service);
    wait_for("a scrape", || prometheus.has_scraped());
    prometheus.wait_until("DavinciSiemAbsent", false);
    service.post(&format!("[{}]", minted("a")));
    service.wait_until_settled("out");
    let usual: Vec<String> = prometheus.firing().expect("an answer");
    assert!(usual.is_empty(), "all is well: {usual:?}");

    target.stop();
    service.post(&format!("[{}]", minted("b")));
    prometheus.wait_until("DavinciSiemSinkRetrying", true);
    target.restart();
    prometheus.wait_until("DavinciSiemSinkRetrying", false);

    service.post("[1]");
    prometheus.wait_until("DavinciSiemQuarantineGrows", true);
    prometheus.wait_until("DavinciSiemQuarantineGrows", false);

    service.kill();
    prometheus.wait_until("DavinciSiemDown", true);
}

#[test]
#[ignore = "needs Prometheus: .ci/prometheus"]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    service.post(&format!("[{},7]", minted("a")));
    service.post(&documented());
    service.wait_until_settled("out");
    let metrics = service.ask_admin("/metrics").1;
    let mut promtool = Command::new(format!("{DIRECTORY}/promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: .ci/prometheus unpacks it");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(metrics.as_bytes()).expect("written");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
