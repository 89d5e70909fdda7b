//! The service's tape against sonic-rs and simd-json: `cargo run --release -- --bench` in this directory.
//!
//! Each reader checks the grammar of one element after the other and makes all of its fields available, which is what
//! the decoder needs: every field is looked at, to find unknown ones. simd-json writes into its input, so its time
//! includes the copy that keeps the received bytes.
//!
//! | input | elements |
//! | --- | --- |
//! | `events` | the documented events |
//! | `fields` | one object with 4,000 short fields |
//! | `deep` | an object of 100 levels |
//! | `escapes` | a string of 60,000 escapes |
//! | `cut` | the documented events, without the last byte of each: malformed at the end |

#[allow(dead_code, unreachable_pub, unused_imports, reason = "a module of the service, of which only the tape is used")]
#[path = "../../../src/json/mod.rs"]
mod json;

use std::hint::black_box;

use divan::Bencher;
use divan::counter::BytesCount;
use json::Tape;

const INPUTS: [&str; 5] = ["events", "fields", "deep", "escapes", "cut"];

fn main() {
    divan::main();
}

fn input(name: &str) -> Vec<String> {
    let documented = include_str!("../../../fixtures/documented_batch.json");
    let events = || {
        json::entries(documented.trim()).map(|event| {
            // Compact, as PingOne sends them.
            let mut is_text = false;
            let keep = |character: &char| {
                is_text ^= *character == '"';
                is_text || !character.is_whitespace()
            };
            event.chars().filter(keep).collect::<String>()
        })
    };
    match name {
        "fields" => {
            let fields: Vec<String> = (0..4000).map(|number| format!("\"f{number}\":1")).collect();
            vec![format!("{{{}}}", fields.join(","))]
        }
        "deep" => vec![format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100))],
        "escapes" => vec![format!("{{\"a\":\"{}\"}}", "\\n".repeat(60_000))],
        "cut" => events().map(|event| event[..event.len() - 1].to_owned()).collect(),
        _ => events().collect(),
    }
}

fn size(elements: &[String]) -> BytesCount {
    BytesCount::new(elements.iter().map(String::len).sum::<usize>())
}

#[divan::bench(args = INPUTS)]
fn own_tape(bencher: Bencher<'_, '_>, name: &str) {
    let elements = input(name);
    bencher.counter(size(&elements)).bench(|| {
        let mut tape = Tape::default();
        for element in &elements {
            black_box(tape.read(black_box(element)).map(|_| tape.nodes().len()));
        }
    });
}

#[divan::bench(args = INPUTS)]
fn sonic_value(bencher: Bencher<'_, '_>, name: &str) {
    let elements = input(name);
    bencher.counter(size(&elements)).bench(|| {
        for element in &elements {
            drop(black_box(sonic_rs::from_str::<sonic_rs::Value>(black_box(element))));
        }
    });
}

/// Lists the fields of an element and of the objects inside it; each inner object is read once more.
#[divan::bench(args = INPUTS)]
fn sonic_lazy(bencher: Bencher<'_, '_>, name: &str) {
    fn list(object: &str) -> usize {
        let mut count = 0;
        for field in sonic_rs::to_object_iter(object) {
            let Ok((name, value)) = field else { return count };
            let value = value.as_raw_str();
            count += name.len().min(1);
            if value.starts_with('{') {
                count += list(value);
            }
        }
        count
    }
    let elements = input(name);
    bencher.counter(size(&elements)).bench(|| {
        for element in &elements {
            black_box(list(black_box(element)));
        }
    });
}

#[divan::bench(args = INPUTS)]
fn simd_json_tape(bencher: Bencher<'_, '_>, name: &str) {
    let elements = input(name);
    let mut buffers = simd_json::Buffers::new(64 * 1024);
    bencher.counter(size(&elements)).bench_local(|| {
        for element in &elements {
            let mut copy = black_box(element).clone().into_bytes();
            black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers).map(|tape| tape.0.len()))
                .ok();
        }
    });
}
