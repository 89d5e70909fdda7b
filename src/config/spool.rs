//! `[spool]`: where events are kept until every sink has them, and how ids are remembered.

use std::time::Duration;

use super::limits::Limits;
#[cfg(feature = "nats")]
use super::nats;
use super::section::Section;
#[cfg(feature = "nats")]
use crate::spool::jetstream::{self, Order};
use crate::spool::{Engine, Settings, Shares};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
const DAY: Duration = Duration::from_hours(24);

/// What the quarantine may count of `max_size`: a quarter, since its entries take up to three times as much on
/// disk. By default it is half of that.
const QUARANTINE_SHARE: u64 = 4;

/// What JetStream remembers ids for: in every server's memory, some 200 bytes each.
const JETSTREAM_WINDOW: Duration = Duration::from_mins(30);

/// Room for what is noted of as many refused events as one body may have.
const NOTES: u64 = MIB;

/// `body` is the largest body that is taken, for which the quarantine has to have room.
pub(super) fn read(mut section: Section<'_>, body: u64) -> Settings {
    let engine = read_engine(&mut section);
    let is_embedded = engine == Engine::Embedded;
    let mut dedup = section.table("dedup");
    let max_size = section.size("max_size", MIB).unwrap_or(10 * GIB);
    let quarantine = section.size("quarantine_max_size", MIB);
    if !is_embedded && !dedup.is_missing("max_ids") {
        let advice = "is for engine = \"embedded\": JetStream bounds what it remembers by dedup.window \
                      alone. Leave it out";
        dedup.report("max_ids", advice.to_owned());
    }
    let window = if is_embedded { 14 * DAY } else { JETSTREAM_WINDOW };
    let share = if is_embedded { 2 * QUARANTINE_SHARE } else { QUARANTINE_SHARE };
    let mut settings = Settings {
        engine,
        directory: section.path("directory").unwrap_or_else(|| section.beside_file("data")),
        max_size,
        quarantine_max_size: quarantine.unwrap_or(GIB.min(max_size / share)),
        retention: section.duration("retention").unwrap_or(Duration::ZERO),
        dedup_window: dedup.duration("window").unwrap_or(window),
        dedup_max_ids: dedup.integer("max_ids", 1000).unwrap_or(10_000_000),
        sync: true,
    };
    // Of a small spool the quarantine takes by itself no more than it has to.
    let is_small = settings.max_size < Shares::of(&settings).least_max_size(body);
    let least = body.saturating_add(NOTES);
    if quarantine.is_none() && is_embedded && (is_small || settings.quarantine_max_size < least) {
        settings.quarantine_max_size = least;
    }
    dedup.finish();
    section.finish();
    settings
}

/// Which engine, and what only that one is told.
fn read_engine(section: &mut Section<'_>) -> Engine {
    let is_jetstream = section.choice("engine", &[("embedded", false), ("jetstream", true)]);
    let given = section.table_if_given("jetstream");
    match (is_jetstream.unwrap_or(false), given) {
        (true, given) => jetstream(given.unwrap_or_else(|| section.table("jetstream"))),
        (false, Some(mut given)) => {
            given.ignore_rest();
            section.report("jetstream", "is for engine = \"jetstream\"; leave it out".to_owned());
            Engine::Embedded
        }
        (false, None) => Engine::Embedded,
    }
}

#[cfg(feature = "nats")]
fn jetstream(mut section: Section<'_>) -> Engine {
    let nats = nats::read(&mut section);
    let stream = section.text("stream").unwrap_or_else(|| "davinci-siem".to_owned());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if stream.is_empty() || stream.len() > 64 || !stream.chars().all(plain) {
        section.report("stream", "must be 1 to 64 of a-z, 0-9, - and _; rename it".to_owned());
    }
    let replicas = section.integer("replicas", 1).unwrap_or(3);
    if replicas > 5 {
        section.report("replicas", "must be 1 to 5, which is what JetStream keeps".to_owned());
    }
    let orders = [("ordered", Order::Ordered), ("parallel", Order::Parallel)];
    let order = section.choice("order", &orders).unwrap_or(Order::Ordered);
    section.finish();
    let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
    Engine::Jetstream(Box::new(jetstream::JetStreamConfig { nats, stream, replicas, order }))
}

#[cfg(not(feature = "nats"))]
fn jetstream(mut section: Section<'_>) -> Engine {
    section.ignore_rest();
    let advice =
        "this program was built without the feature nats, which engine = \"jetstream\" needs";
    section.report("servers", advice.to_owned());
    section.finish();
    Engine::Embedded
}

/// Reports bounds that do not add up: everything that one request may bring has to find room beside all that
/// does not go with the events.
pub(super) fn check(spool: &Settings, limits: &Limits, root: &Section<'_>) {
    let body = limits.body.saturating_add(NOTES);
    let share = spool.max_size / QUARANTINE_SHARE;
    if let Some((key, message)) = too_small(spool, limits) {
        root.report(key, message);
    } else if spool.quarantine_max_size < body {
        let message = format!(
            "must be at least {}, limits.body and 1 MiB, so that one body finds room. Raise it, or lower \
             limits.body",
            at_least(body)
        );
        root.report("spool.quarantine_max_size", message);
    } else if spool.quarantine_max_size > share {
        let message = format!(
            "must be at most {}, a quarter of spool.max_size, so that the rest is for events. Lower it, or \
             raise spool.max_size",
            size(share)
        );
        root.report("spool.quarantine_max_size", message);
    }
}

/// The key whose size leaves no room for events, and why.
fn too_small(spool: &Settings, limits: &Limits) -> Option<(&'static str, String)> {
    if spool.engine != Engine::Embedded {
        let floor = limits.body.saturating_add(NOTES).saturating_mul(QUARANTINE_SHARE);
        let message = || {
            format!(
                "must be at least {}, four times limits.body and 4 MiB. Raise it, or lower limits.body",
                at_least(floor)
            )
        };
        return (spool.max_size < floor).then(|| ("spool.max_size", message()));
    }
    let shares = Shares::of(spool);
    let least = shares.least_max_size(limits.body);
    let message = || {
        format!(
            "is {}, and has to be at least {}, so that events find room beside the rest: {} for the ids of \
             spool.dedup.max_ids, {} for the quarantine (three times spool.quarantine_max_size), {} for the \
             write-ahead log, {} for one body (limits.body), and 5 % spare. Raise it, or lower \
             spool.dedup.max_ids, spool.quarantine_max_size or limits.body",
            size(spool.max_size),
            at_least(least),
            size(shares.ids),
            size(shares.quarantine),
            size(shares.log),
            size(limits.body),
        )
    };
    (spool.max_size < least).then(|| ("spool.max_size", message()))
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// In whole MiB, rounded up: what it says is enough.
fn at_least(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}

#[cfg(test)]
mod bounds {
    use proptest::prelude::*;

    use crate::config::tests::{parse_with, problems};

    proptest! {
        /// Whatever is asked for, the size that the refusal names is taken.
        #[test]
        fn the_size_that_is_named_is_enough(body in 1..64u64, max_ids in 1000..50_000_000u64) {
            let text = |max_size: u64| {
                format!(
                    "[limits]\nbody = \"{body} MiB\"\nin_flight = \"1 GiB\"\n\
                     [spool]\nmax_size = \"{max_size} MiB\"\ndedup = {{ max_ids = {max_ids} }}\n"
                )
            };
            let refused = problems(&text(1));
            let (_, rest) = refused[0].split_once("has to be at least ").expect("a number");
            let least = rest.split(' ').next().expect("a number").parse().expect("a number");
            prop_assert!(parse_with(&text(least), &[]).is_ok(), "{refused:?}");
        }
    }
}

#[cfg(all(test, feature = "nats"))]
mod tests {
    use crate::config::tests::{parse_with, problems};
    use crate::spool::Engine;
    use crate::spool::jetstream::Order;

    const SHARED: &str =
        "[spool]\nengine = \"jetstream\"\n[spool.jetstream]\nservers = [\"nats://127.0.0.1\"]\n";

    #[test]
    fn a_shared_spool_has_defaults_of_its_own() {
        let config = parse_with(SHARED, &[]).expect("valid");
        let Engine::Jetstream(own) = &config.spool.engine else { panic!("jetstream") };
        assert_eq!((&*own.stream, own.replicas, own.order), ("davinci-siem", 3, Order::Ordered));
        assert_eq!(config.spool.dedup_window, super::JETSTREAM_WINDOW);
    }

    #[test]
    fn what_an_engine_cannot_do_is_refused_with_a_reason() {
        for (text, expected) in [
            (format!("{SHARED}stream = \"a.b\"\n"), "spool.jetstream.stream: must be 1 to 64 of"),
            (format!("{SHARED}replicas = 6\n"), "spool.jetstream.replicas: must be 1 to 5"),
            (format!("{SHARED}order = \"any\"\n"), "is not one of \"ordered\", \"parallel\""),
            (format!("{SHARED}[spool.dedup]\nmax_ids = 5000\n"), "is for engine = \"embedded\""),
            ("[spool]\nengine = \"jetstream\"\n".to_owned(), "spool.jetstream.servers: is missing"),
            ("[spool.jetstream]\nservers = [\"nats://a\"]\n".to_owned(), "spool.jetstream: is for"),
        ] {
            let problems = problems(&text);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
        }
    }
}
