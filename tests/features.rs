//! Builds without a Cargo feature: `check` names the feature that a configuration needs.

use crate::support::service::Home;

#[test]
fn check_names_the_feature_that_the_build_lacks() {
    for (config, feature, is_built) in [
        (
            "[spool]\nengine = \"jetstream\"\n[spool.jetstream]\nservers = [\"nats://127.0.0.1:1\"]\n",
            "nats",
            cfg!(feature = "nats"),
        ),
        (
            "[sinks.a]\ntype = \"nats\"\nservers = [\"nats://127.0.0.1:1\"]\n",
            "nats",
            cfg!(feature = "nats"),
        ),
        (
            "[sinks.a]\ntype = \"kafka\"\nbrokers = [\"127.0.0.1:1\"]\ntopic = \"t\"\n",
            "kafka",
            cfg!(feature = "kafka"),
        ),
        (
            "[sinks.a]\ntype = \"object_store\"\ngcs = { bucket = \"archive\" }\n",
            "object_store",
            cfg!(feature = "object_store"),
        ),
        (
            "[sinks.a]\ntype = \"postgres\"\naddress = \"127.0.0.1:1\"\ndatabase = \"d\"\nusername = \"u\"\n",
            "postgres",
            cfg!(feature = "postgres"),
        ),
        ("[traces]\nendpoint = \"http://127.0.0.1:1\"\n", "otlp", cfg!(feature = "otlp")),
    ] {
        let output = Home::new(config).run(&["check"]);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let is_named = ["feature ", "--features "]
            .iter()
            .any(|before| said.contains(&format!("{before}{feature}")));
        assert_eq!(is_named, !is_built, "{config}: {said}");
        assert!(is_built || output.status.code() == Some(64), "{config}: {said}");
    }
}
