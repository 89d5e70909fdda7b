//! A long run under load, with repetitions, outages and restarts: the use of resources must not grow.
//!
//! `SOAK_SECONDS` is the duration (default 10; an hour is `3600`), `SOAK_SEED` repeats a run. The samples are drawn to
//! `soak.svg` in the directory that is printed.

mod plot;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::clients::Clients;
use crate::support::oracle::Oracle;
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{runtime, setting};

/// Resources of the process at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    second: f64,
    /// Memory in MiB.
    resident: f64,
    descriptors: f64,
    threads: f64,
    /// The spool's files in MiB.
    disk: f64,
}

/// A resource that must not grow.
#[derive(Clone, Copy)]
struct Quantity {
    name: &'static str,
    /// Allowed variation.
    slack: f64,
    of: fn(&Sample) -> f64,
}

const QUANTITIES: [Quantity; 4] = [
    Quantity { name: "memory, MiB", slack: 16.0, of: |sample| sample.resident },
    Quantity { name: "file descriptors", slack: 16.0, of: |sample| sample.descriptors },
    Quantity { name: "threads", slack: 24.0, of: |sample| sample.threads },
    Quantity { name: "spool on disk, MiB", slack: 64.0, of: |sample| sample.disk },
];

const SECONDS: u64 = 10;

/// Interval of samples; at least forty in all.
fn interval(seconds: u64) -> Duration {
    Duration::from_secs(seconds).div_f64(40.0).min(Duration::from_secs(5))
}

#[test]
fn nothing_grows_however_long_it_runs() {
    let seconds: u64 = setting("SOAK_SECONDS").unwrap_or(SECONDS);
    let seed = setting("SOAK_SEED").unwrap_or_else(|| rand::rng().random());
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds}");
    let mut target = Target::start(Webhook::default());
    // The dedup window is full long before the end, so that ids expire.
    let home = Home::with_two_sinks(&format!(
        "[spool]\nmax_size = \"256 MiB\"\ndedup = {{ max_ids = 5000 }}\n[sinks.hook]\ntype = \"http\"\n\
         url = \"{}/events\"\nretry = {{ min = \"5ms\", max = \"100ms\" }}\n",
        target.url
    ));
    let oracle = Arc::new(Oracle::default());
    let mut random = StdRng::seed_from_u64(seed);
    // The oracle remembers every event: at most about two million, whatever the duration.
    let pause = Duration::from_secs(seconds).div_f64(32_000.0);
    let runtime = runtime();
    let clients = runtime.block_on(async { Clients::paced(2, pause, &oracle, &mut random) });
    let mut service = home.start();
    clients.post_to(&service);
    let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
    let mut samples = Vec::new();
    let mut restarts = vec![0.15, 0.3];
    while begun.elapsed() < length {
        std::thread::sleep(interval(seconds));
        samples.push(sample(&service, &home.path("data"), begun));
        match random.random_range(0..10) {
            0 if target.is_running() => target.stop(),
            0..3 if !target.is_running() => target.restart(),
            3 => {
                let batch = oracle.mint(2, 20);
                for _ in 0..3 {
                    service.answer(&batch.body);
                }
                oracle.acknowledge(&batch, &service.answer(&batch.body));
            }
            _ => {}
        }
        // The last process must run long enough for its samples.
        let is_due = restarts.first().is_some_and(|at| begun.elapsed() > length.mul_f64(*at));
        if is_due {
            restarts.remove(0);
            match restarts.len() {
                1 => service.kill(),
                _ => drop(service.terminate()),
            }
            service = home.start();
            clients.post_to(&service);
            samples.clear();
        }
    }
    if !target.is_running() {
        target.restart();
    }
    runtime.block_on(clients.finish(&service));
    let svg = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.svg");
    std::fs::write(&svg, plot::svg(&samples)).expect("written");
    println!("{} events, {} samples: {}", oracle.acknowledged(), samples.len(), svg.display());
    for sink in ["one", "two", "hook"] {
        service.wait_until_settled(sink);
    }
    judge(&samples);
    for sink in ["one", "two"] {
        oracle.judge(sink, &home.lines(&format!("{sink}.ndjson")));
    }
    let stored: Vec<String> = target.state().stored.iter().map(ToString::to_string).collect();
    oracle.judge("hook", &stored);
    assert!(service.terminate().0.success());
}

fn sample(service: &Service, spool: &Path, begun: Instant) -> Sample {
    let process = format!("/proc/{}", service.id());
    let status = std::fs::read_to_string(format!("{process}/status")).expect("a process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().next().expect("a number").parse::<f64>().expect("a number")
    };
    let files =
        spool.read_dir().expect("a directory").filter_map(|entry| entry.ok()?.metadata().ok());
    Sample {
        second: begun.elapsed().as_secs_f64(),
        resident: field("VmRSS:") / 1024.0,
        descriptors: Path::new(&process).join("fd").read_dir().expect("a directory").count() as f64,
        threads: field("Threads:"),
        disk: files.map(|file| file.len() as f64).sum::<f64>() / f64::from(1 << 20),
    }
}

/// Asserts that the last third uses at most as much as the third before it, plus the allowed variation.
fn judge(samples: &[Sample]) {
    let third = samples.len() / 3;
    assert!(third >= 3, "{} samples", samples.len());
    for Quantity { name, slack, of } in QUANTITIES {
        let median = |samples: &[Sample]| {
            let mut values: Vec<f64> = samples.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let before = median(&samples[third..2 * third]);
        let after = median(&samples[2 * third..]);
        println!("{name}: {before:.1}, then {after:.1}");
        assert!(after <= 1.1 * before + slack, "{name} grew from {before:.1} to {after:.1}");
    }
}
