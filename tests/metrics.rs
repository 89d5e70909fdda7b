//! `docs/metrics.md`, and the alerts and the dashboard in `deploy/`, against the metrics of the real service.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::support::events::{documented, minted};
use crate::support::service::Home;
use crate::support::wait_for;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns every metric of the page with its type and labels.
fn documented_metrics() -> BTreeMap<String, (String, Vec<String>)> {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let row = line.strip_prefix("| `")?;
        Some(row).filter(|row| row.starts_with("davinci_siem_") || row.starts_with("process_"))
    });
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().expect("a name").trim_end_matches('`');
        let kind = cells.next().expect("a type").to_owned();
        let mut labels: Vec<String> = cells
            .next()
            .expect("labels")
            .split(", ")
            .map(|label| label.trim_matches('`').to_owned())
            .filter(|label| !label.is_empty())
            .collect();
        labels.sort();
        assert!(cells.all(|cell| !cell.is_empty()) || row.ends_with('|'), "{row}");
        (name.to_owned(), (kind, labels))
    })
    .collect()
}

/// Returns the names by which the source registers metrics.
fn registered() -> Vec<String> {
    let call = Regex::new(
        r#"(?:counter|gauge|histogram|set|flag|labelled|Counter::new|Gauge::new|HistogramOpts::new)\(\s*"([a-z_]+)",\s*""#,
    )
    .expect("a pattern");
    let sources = [read("src/metrics.rs"), read("src/admin/metrics.rs")].concat();
    let mut names: Vec<String> =
        call.captures_iter(&sources).map(|found| format!("davinci_siem_{}", &found[1])).collect();
    let process = read("src/admin/process.rs");
    names.extend(call.captures_iter(&process).map(|found| found[1].to_owned()));
    names.sort();
    names
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let page = documented_metrics();
    assert!(page.len() > 40, "the page was read");
    assert_eq!(registered(), page.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn metrics_agree_with_their_page() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    service.post(&format!("[{},7]", minted("a")));
    service.post(&documented());
    let page = documented_metrics();
    let text = service.ask_admin("/metrics").1;
    let label = Regex::new(r#"([a-z_]+)="[^"]*""#).expect("a pattern");
    let (mut name, mut seen) = (String::new(), 0);
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (named, kind) = kind.split_once(' ').expect("a type");
            named.clone_into(&mut name);
            seen += 1;
            let (documented, _) = page.get(&name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(kind, documented, "{name}");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&name), "{line} is no {name}");
            let labels = label.captures_iter(line).map(|found| found[1].to_owned());
            let mut labels: Vec<String> = labels.filter(|label| label != "le").collect();
            labels.sort();
            assert_eq!(labels, page[&name].1, "{line}");
        }
    }
    assert!(seen > 35, "{seen} metrics were there");
}

#[test]
fn latency_and_bytes_are_those_of_the_delivered_events() {
    let home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n\
         [sinks.none]\ntype = \"file\"\npath = \"none.ndjson\"\ninclude = { connectors = [\"nobody\"] }\n",
    );
    let service = home.start();
    let bytes = |sink| service.metric(&format!("davinci_siem_sink_bytes_total{{sink=\"{sink}\"}}"));
    let latency = |part, sink| {
        service.metric(&format!("davinci_siem_sink_delivery_seconds_{part}{{sink=\"{sink}\"}}"))
    };
    assert_eq!((bytes("out"), latency("count", "out")), (0.0, 0.0), "there from the start");
    service.post(&documented());
    service.wait_until_settled("none");
    // The last of the values that a commit changes.
    wait_for("five latencies", || (latency("count", "out") == 5.0).then_some(()));
    let lines = home.lines("out.ndjson");
    assert_eq!(bytes("out"), lines.iter().map(|line| line.len() as f64).sum::<f64>());
    assert!(latency("sum", "out") > 0.0 && latency("sum", "out") < 5.0 * 3600.0, "seconds, not ms");
    assert_eq!((bytes("none"), latency("count", "none")), (0.0, 0.0), "filtered");
}

#[test]
fn the_free_space_is_that_of_the_spools_disk() {
    let home = Home::new("");
    let service = home.start();
    let (free, size) = (
        service.metric("davinci_siem_spool_disk_free_bytes"),
        service.metric("davinci_siem_spool_disk_bytes"),
    );
    let df = std::process::Command::new("df")
        .args(["--block-size=1", "--output=size"])
        .arg(home.directory.path())
        .output()
        .expect("df runs");
    let df = String::from_utf8(df.stdout).expect("text");
    let wanted: f64 = df.lines().last().expect("a line").trim().parse().expect("a number");
    assert_eq!(size, wanted);
    assert!(free > 0.0 && free <= size, "{free} of {size}");
}

/// Returns the names of metrics in a text, without the suffixes of a histogram.
fn names(text: &str) -> Vec<String> {
    let name = Regex::new("\\b(?:davinci_siem|process)_[a-z_]+").expect("a pattern");
    let page = documented_metrics();
    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"].into_iter();
        let base =
            ends.filter_map(|end| name.strip_suffix(end)).find(|base| page.contains_key(*base));
        base.unwrap_or(name).to_owned()
    };
    name.find_iter(text).map(|found| base(found.as_str())).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_exist() {
    let page = documented_metrics();
    for file in [
        "deploy/prometheus/alerts.yml",
        "deploy/prometheus/alerts.test.yml",
        "deploy/prometheus/README.md",
        "deploy/grafana/dashboard.json",
        "deploy/grafana/README.md",
    ] {
        let text = read(file);
        let unknown: Vec<String> =
            names(&text).into_iter().filter(|name| !page.contains_key(name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    assert!(names(&read("deploy/prometheus/alerts.yml")).len() > 15);
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().expect("targets");
        let asks = |target: &Value| !names(target["expr"].as_str().unwrap_or_default()).is_empty();
        assert!(!targets.is_empty() && targets.iter().all(asks), "{}", panel["title"]);
    }
}

/// Thresholds of the stat panels, sorted, each with the part of an alert's expression that has the same threshold.
const THRESHOLDS: [(&str, &str); 12] = [
    ("Blocked for: orange from 300", "davinci_siem:blocked:seconds > 300\n"),
    ("Blocked for: red from 259200", "davinci_siem:blocked:seconds > 3 * 86400\n"),
    ("Certificates expire in: green from 1209600", "time() < 14 * 86400\n"),
    ("Certificates expire in: orange from 172800", "time() < 2 * 86400\n"),
    (
        "Free disk space: green from 0.1",
        "davinci_siem_spool_disk_free_bytes / davinci_siem_spool_disk_bytes < 0.1\n",
    ),
    ("Lost events: red from 1", "(davinci_siem_spool_lost_events > 0 "),
    ("Quarantined entries: orange from 1", "delta(davinci_siem_quarantine_entries[15m]) > 0\n"),
    ("Silent for: orange from 3600", "davinci_siem_spool_shared == 1) > 3600\n"),
    ("Sink state: orange from 1", "davinci_siem_sink_state{state=\"retrying\"} == 1"),
    ("Sink state: red from 2", "davinci_siem_sink_state{state=\"paused\"} == 1"),
    (
        "Spool in use: orange from 0.8",
        "davinci_siem_spool_bytes / davinci_siem_spool_max_bytes > 0.8\n",
    ),
    ("Spool in use: red from 0.95", "davinci_siem_spool_full == 1\n"),
];

#[test]
fn stat_panels_have_the_thresholds_of_the_alerts() {
    let alerts = read("deploy/prometheus/alerts.yml");
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let mut shown = Vec::new();
    for panel in panels.filter(|panel| panel["type"] == "stat") {
        let title = panel["title"].as_str().expect("a title");
        let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array();
        let steps = steps.unwrap_or_else(|| panic!("{title} has no thresholds"));
        // The first step is the base color and has no value.
        for step in steps.iter().skip(1) {
            let color = step["color"].as_str().expect("a color");
            shown.push(format!("{title}: {color} from {}", step["value"]));
        }
    }
    shown.sort();
    assert_eq!(shown, THRESHOLDS.map(|(step, _)| step));
    for (step, rule) in THRESHOLDS {
        assert!(alerts.contains(rule), "{step}: no alert has {rule}");
    }
}

#[test]
fn every_alert_fires_in_a_test_case_and_names_the_remedy() {
    let (rules, cases) =
        (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts.test.yml"));
    let rules: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 15, "the rules were read");
    for rule in rules {
        let name = rule.lines().next().expect("a name");
        assert!(cases.contains(&format!("alertname=\"{name}\"")), "{name} has no case");
        for part in ["expr: ", "for: ", "severity: ", "summary: ", "action: ", "runbook_url: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_of_which_instance() {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let panels: Vec<&Value> = panels.filter(|panel| panel["type"] != "row").collect();
    assert!(panels.len() > 40, "the panels were read");
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert!(text(&panel["description"]).ends_with('.'), "{title} has no description");
        assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{title}: no unit");
        for target in panel["targets"].as_array().expect("targets") {
            let (expr, legend) = (text(&target["expr"]), text(&target["legendFormat"]));
            assert!(expr.contains("{instance=~\"$instance\""), "{title} shows every instance");
            let adds_up =
                ["sum", "max", "histogram_quantile"].iter().any(|name| expr.starts_with(name));
            assert!(adds_up || legend.contains("{{instance}}"), "{title}: whose is {legend}?");
        }
    }
}

#[test]
fn the_runbook_has_a_section_for_each_alert() {
    let (rules, page) = (read("deploy/prometheus/alerts.yml"), read("docs/alerts.md"));
    let alerts = Regex::new(r"(?m)^ +- alert: (\w+)$").expect("a pattern");
    let alerts: Vec<&str> =
        alerts.captures_iter(&rules).map(|found| found.extract::<1>().1[0]).collect();
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    let titles: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
    assert_eq!(alerts, titles);
    for section in sections {
        let parts: Vec<usize> = ["- **Means**: ", "- **Check**: ", "- **Do**: "]
            .map(|part| section.matches(part).count())
            .into();
        assert_eq!(parts, [1, 1, 1], "{section}");
    }
    let url = Regex::new(r"runbook_url: 'https://example\.com/davinci-siem/(\S+)#(\w+)'")
        .expect("a pattern");
    let urls: Vec<(&str, String)> = url
        .captures_iter(&rules)
        .map(|found| (found.extract::<2>().1[0], found.extract::<2>().1[1].to_owned()))
        .collect();
    let wanted: Vec<(&str, String)> =
        titles.iter().map(|title| ("docs/alerts.md", title.to_lowercase())).collect();
    assert_eq!(urls, wanted);
}
