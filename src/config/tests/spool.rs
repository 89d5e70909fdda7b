//! Bounds of the spool, and the keys of each engine.

mod bounds {
    use proptest::prelude::*;

    use super::super::{parse_with, problems};

    proptest! {
        /// The size that the message names is accepted.
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

#[cfg(feature = "nats")]
mod jetstream {
    use super::super::{parse_with, problems};
    use crate::spool::Engine;
    use crate::spool::Order;

    const SHARED: &str =
        "[spool]\nengine = \"jetstream\"\n[spool.jetstream]\nservers = [\"nats://127.0.0.1\"]\n";

    #[test]
    fn a_shared_spool_has_defaults_of_its_own() {
        let config = parse_with(SHARED, &[]).expect("valid");
        let Engine::Jetstream(own) = &config.spool.engine else { panic!("jetstream") };
        assert_eq!((&*own.stream, own.replicas, own.order), ("davinci-siem", 3, Order::Ordered));
        assert_eq!(config.spool.dedup_window, std::time::Duration::from_mins(30));
    }

    #[test]
    fn keys_that_an_engine_does_not_support_are_refused_with_the_reason() {
        for (text, expected) in [
            (format!("{SHARED}stream = \"a.b\"\n"), "spool.jetstream.stream: must be 1 to 64 of"),
            (
                format!("{SHARED}replicas = 6\n"),
                "spool.jetstream.replicas: must be a whole number from 1 to 5",
            ),
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
