//! Sinks that only some builds have.

use super::*;

#[test]
fn a_missing_feature_is_refused_with_its_name() {
    for (kind, required, is_built) in [
        (
            "postgres",
            "address = \"x:1\"\ndatabase = \"d\"\nusername = \"u\"",
            cfg!(feature = "postgres"),
        ),
        ("nats", "servers = [\"nats://x\"]", cfg!(feature = "nats")),
        ("kafka", "brokers = [\"x:1\"]\ntopic = \"t\"", cfg!(feature = "kafka")),
        ("otlp", "endpoint = \"http://x\"", cfg!(feature = "otlp")),
        ("object_store", "gcs = { bucket = \"archive\" }", cfg!(feature = "object_store")),
    ] {
        let text = format!("[sinks.a]\ntype = \"{kind}\"\n{required}\n");
        let found = parse_with(&text, &[]).map(drop).map_err(|problems| problems.to_string());
        let said = format!("sinks.a.type: is not in this build; build it with --features {kind}");
        let expected = if is_built { Ok(()) } else { Err(format!("test.toml: {said}")) };
        assert_eq!(found, expected);
    }
}

#[test]
fn mistakes_of_the_kafka_and_nats_sinks_are_reported() {
    for (kind, keys, said) in [
        ("nats", "servers = [\"nats://x\"]\nsubject = \"a.*\"", "is not a subject such as"),
        ("nats", "servers = [\"nats://x\"]\nstream = \"a.b\"", "is not a stream name"),
        ("nats", "servers = [\"nats://x\"]\nconcurrency = 2", "must be 1, not 2"),
        ("nats", "servers = [\"nats://x\"]\nformat = \"cef\"", "which this target does not take"),
        ("kafka", "topic = \"t\"", "brokers: is missing"),
        ("kafka", "brokers = [\"x\"]\ntopic = \"t\"", "are hosts with their ports"),
        (
            "kafka",
            "profile = \"event_hubs\"\nbrokers = [\"x:1\"]\ntopic = \"t\"\nmax_size = \"2 MB\"",
            "max_size: must be at most 1000000 B",
        ),
        (
            "kafka",
            "brokers = [\"x:1\"]\ntopic = \"t\"\nentra = { managed_identity = {} }\n\
             sasl = { username = \"u\", password_file = \"/dev/null\" }",
            "sasl.password_file: /dev/null is empty",
        ),
        (
            "kafka",
            "brokers = [\"x:1\"]\ntopic = \"t\"\nsasl = { password_file = \"/dev/null\" }",
            "sasl.username: is missing",
        ),
        (
            "kafka",
            "brokers = [\"x:1\"]\ntopic = \"t\"\nentra = {}",
            "entra.client_secret: is missing",
        ),
        (
            "kafka",
            "profile = \"event_hubs\"\nbrokers = [\"x:1\"]\ntopic = \"t\"\ncompression = \"lz4\"\n\
             entra = { managed_identity = {} }",
            "compression: must be \"none\" or \"gzip\" for this profile",
        ),
        (
            "kafka",
            "profile = \"event_hubs\"\nbrokers = [\"x:1\"]\ntopic = \"t\"",
            "sasl: is missing; this profile needs sasl or entra",
        ),
        (
            "kafka",
            "brokers = [\"x:1\"]\ntopic = \"t\"\ntransport = \"tcp\"\n\
             entra = { managed_identity = {} }",
            "transport: must be \"tls\" with entra",
        ),
        ("kafka", "brokers = [\"u:p@x:1\"]\ntopic = \"t\"", "are hosts with their ports"),
        ("kafka", "brokers = [\"x:1\"]", "topic: is missing"),
        ("kafka", "brokers = [\"x:1\"]\ntopic = \"a b\"", "is not a topic name"),
        ("kafka", "brokers = [\"x:1\"]\ntopic = \"t\"\nconcurrency = 2", "must be 1, not 2"),
        ("kafka", "brokers = [\"x:1\"]\ntopic = \"t\"\ntimeout = \"2h\"", "must be at most 1h"),
        ("kafka", "brokers = [\"x:1\"]\ntopic = \"t\"\nmax_size = \"1 GB\"", "must be at most"),
        (
            "kafka",
            "brokers = [\"x:1\"]\ntopic = \"t\"\ntransport = \"tcp\"\ntls = { ca = \"/dev/null\" }",
            "is for transport = \"tls\" only",
        ),
        (
            "kafka",
            "brokers = [\"x:1\"]\ntopic = \"t\"\nsasl = { username = \"u\", password = \"canary\" }",
            "use password_file or password_env",
        ),
    ] {
        let found = problems(&format!("[sinks.a]\ntype = \"{kind}\"\n{keys}\n")).join("\n");
        assert!(found.contains(said) && !found.contains("canary"), "{keys}: {found}");
    }
}
