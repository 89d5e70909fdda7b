//! The timeline of a request, from its head to its answer, by the trace events that the service emits with the
//! target `timeline`. The service runs in this process, so that one subscriber sees all of them; without a
//! subscriber they cost nothing.
//!
//! With one connection there is one request at a time: the events of all threads are in the order of its steps.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use davinci_siem::app::App;
use davinci_siem::metrics::Metrics;
use davinci_siem::reload::Reload;
use davinci_siem::{config, shutdown};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::load::{self, Plan, Until};
use crate::servers::{FILE, LISTENERS};

/// First and last step of a request.
const FIRST: &str = "head";
const LAST: &str = "counted";

static STEPS: Mutex<Vec<(Instant, String)>> = Mutex::new(Vec::new());

struct Recorder;

impl Layer<Registry> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
        if event.metadata().target() == "timeline" {
            let now = Instant::now();
            event.record(&mut Step(now));
        }
    }
}

struct Step(Instant);

impl Visit for Step {
    fn record_str(&mut self, _: &Field, step: &str) {
        steps().push((self.0, step.to_owned()));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn steps() -> std::sync::MutexGuard<'static, Vec<(Instant, String)>> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends requests of `events` events over one connection and prints the time of each step.
pub(crate) fn measure(events: usize, seconds: u64) {
    tracing_subscriber::registry().with(Recorder).init();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config.toml");
    std::fs::write(&file, format!("{LISTENERS}{FILE}")).expect("written");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = config::load(Some(&file), std::iter::empty()).expect("valid");
    let text = config::text_of(Some(&file)).expect("readable");
    let metrics = std::sync::Arc::new(Metrics::new().expect("metrics"));
    let app = runtime.block_on(Box::pin(App::build(config, metrics))).expect("built");
    let address = app.address().expect("an address");
    let (trigger, shutdown) = shutdown::channel();
    let reload =
        Reload { now: std::sync::Arc::default(), file: Some(file), text, environment: Vec::new() };
    let running = runtime.spawn(app.run(reload, shutdown));
    let load = load::run(address, Plan::new(events, 1, Until::Seconds(seconds)));
    trigger.begin();
    runtime.block_on(running).expect("ended").expect("served");
    print(&requests(&steps()), &load.latencies);
}

/// Durations of the steps of one request, in microseconds, in order.
type Durations<'a> = Vec<(&'a str, f64)>;

/// Splits the recorded steps into requests. Those between a last and a first step belong to no request.
fn requests(steps: &[(Instant, String)]) -> Vec<Durations<'_>> {
    let mut requests = Vec::new();
    let mut current: Option<(Instant, Durations<'_>)> = None;
    for (at, step) in steps {
        if step == FIRST {
            current = Some((*at, Vec::new()));
        } else if let Some((before, durations)) = &mut current {
            durations.push((step, (*at - *before).as_secs_f64() * 1e6));
            *before = *at;
        }
        if step == LAST {
            requests.extend(current.take().map(|(_, durations)| durations));
        }
    }
    requests
}

fn print(requests: &[Durations<'_>], latencies: &[u32]) {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in requests.iter().flatten() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let percentile = |values: &mut Vec<f64>, percent: usize| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() * percent / 100).copied().unwrap_or_default()
    };
    println!("{} requests\n\n| until | p50 µs | p99 µs |\n| --- | ---: | ---: |", requests.len());
    let sum = |request: &Durations<'_>, wanted: Option<&str>| {
        let of = |(name, duration): &(&str, f64)| {
            wanted.is_none_or(|wanted| wanted == *name).then_some(*duration)
        };
        request.iter().filter_map(of).sum::<f64>()
    };
    for name in names {
        let mut values = requests.iter().map(|request| sum(request, Some(name))).collect();
        println!(
            "| {name} | {:.0} | {:.0} |",
            percentile(&mut values, 50),
            percentile(&mut values, 99)
        );
    }
    let mut all = requests.iter().map(|request| sum(request, None)).collect();
    println!("| sum | {:.0} | {:.0} |", percentile(&mut all, 50), percentile(&mut all, 99));
    let mut whole = latencies.iter().map(|micros| f64::from(*micros)).collect();
    println!(
        "| as the client sees it | {:.0} | {:.0} |",
        percentile(&mut whole, 50),
        percentile(&mut whole, 99)
    );
}
