//! Compares the spool with a model: after each operation of a sequence, all observable state must equal that of a few
//! lines of plain Rust.
//!
//! `PROPTEST_CASES` is the number of sequences; `PROPTEST_RNG_SEED` repeats a run. A failure prints the seed with the
//! shortest failing sequence. These runs do not sync; `tests/disk.rs` (failing disks) and `tests/conservation.rs`
//! (kills) do.

mod found;
mod plain;
mod real;
mod step;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::*;
use real::Real;
use step::ModelStep;

/// Sequences in the short form.
const CASES: u32 = 64;

/// Settings of one sequence.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Retention.
    retention: Duration,
    /// Maximum of remembered ids.
    max_ids: u64,
    /// Bound of the quarantine, in bytes.
    quarantine: u64,
}

impl Bounds {
    fn settings(self, folder: &TempDir) -> SpoolConfig {
        SpoolConfig {
            engine: crate::spool::Engine::Embedded,
            directory: folder.path().join("spool"),
            // Room for four events that are larger than a chunk.
            max_size: 3 * 1024 * 1024,
            quarantine_max_size: self.quarantine,
            retention: self.retention,
            dedup_window: Duration::from_hours(1),
            dedup_max_ids: self.max_ids,
            sync: false,
        }
    }
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let retention = prop_oneof![Just(Duration::ZERO), Just(Duration::from_mins(10))];
    let max_ids = prop_oneof![Just(12), Just(1_000_000)];
    // No entry, three or four entries, and more than there ever are.
    let quarantine = prop_oneof![Just(500), Just(1900), Just(512 * 1024)];
    (retention, max_ids, quarantine).prop_map(|(retention, max_ids, quarantine)| Bounds {
        retention,
        max_ids,
        quarantine,
    })
}

/// Runs a sequence. Panics at the first difference from the model.
fn run(bounds: Bounds, steps: &[ModelStep]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut real = Real::new(bounds);
        for step in steps {
            real.take(step).await;
            real.compare().await;
        }
        real.look_into().await;
    });
}

#[test]
fn the_spool_does_what_the_model_says() {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(RandomState::new().hash_one(()));
    }
    let (seed, cases) = (config.rng_seed, config.cases);
    println!("PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases}");
    // Fewer than 64 chunks in all, so that one commit removes them.
    let sequences = (bounds(), prop::collection::vec(step::any(), 1..48));
    let result = TestRunner::new(config).run(&sequences, |(bounds, steps)| {
        run(bounds, &steps);
        Ok(())
    });
    if let Err(error) = result {
        panic!("PROPTEST_RNG_SEED={seed}: {error}");
    }
}
