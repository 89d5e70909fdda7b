//! `[outcomes]`, filters by severity, and names of products.

use super::*;
use crate::event::Severity;
use crate::format::Products;

#[test]
fn every_mistake_says_what_to_write() {
    let ecs = "[sinks.a]\ntype = \"stdout\"\nformat = \"ecs\"\n";
    let cef = "[sinks.a]\ntype = \"stdout\"\nformat = \"cef\"\n";
    for (text, message) in [
        (
            "[outcomes]\nsucess = [\"x\"]".to_owned(),
            "outcomes.sucess: is no key here; did you mean \"success\"?",
        ),
        ("[outcomes]\nfailure = \"x\"".to_owned(), "outcomes.failure: must be a list of strings"),
        (
            "[outcomes]\nfailure = [\"a*b\"]".to_owned(),
            "\"a*b\" is not a text with at most one *, at its end",
        ),
        (
            "[outcomes]\nsuccess = [\"Done\"]\nfailure = [\"done\"]".to_owned(),
            "outcomes.failure: done is in success too; leave it in one",
        ),
        (
            "[interactions]\nenabled = true\n[sources.interactions]".to_owned(),
            "sources.interactions: is the name under which summaries are stored",
        ),
        (
            "[interactions]\ntimeout = \"0s\"".to_owned(),
            "interactions.timeout: must be more than 0",
        ),
        (
            "[interactions]\nmemory = \"1 KiB\"".to_owned(),
            "interactions.memory: must be at least 1 MiB",
        ),
        (
            "[sinks.a]\ntype = \"stdout\"\ninclude = { sources = [\"interactions\"] }".to_owned(),
            "filters by a source that is not one of pingone",
        ),
        (
            "[sinks.a]\ntype = \"stdout\"\ninclude = { sources = [\"pingon\"] }".to_owned(),
            "filters by a source that is not one of pingone; did you mean \"pingone\"?",
        ),
        (
            "[sinks.archive]\ntype = \"stdout\"\n[sinks.splunk]\ntype = \"stdout\"\n[[tests]]\nname = \"t\"\n\
             sink = \"splnk\"\nevent = \"{}\""
                .to_owned(),
            "tests[0].sink: is not one of the sinks archive, splunk; did you mean \"splunk\"?",
        ),
        (
            format!("{ecs}include = {{ severities = [\"hihg\"] }}"),
            "include.severities: \"hihg\" is not one of \"informational\", \"low\", \"medium\", \"high\"; did you mean \"high\"?",
        ),
        (format!("{ecs}exclude = {{ severity = [\"low\"] }}"), "did you mean \"severities\"?"),
        (
            format!("{ecs}[sinks.a.products.davincy]\nname = \"x\""),
            "sinks.a.products.davincy: is no key here; did you mean \"davinci\"?",
        ),
        (
            format!("{ecs}[sinks.a.products.pingone]\nname = \"a|b\""),
            "sinks.a.products.pingone.name: must be 1 to 63 characters without |",
        ),
        (
            format!("{ecs}[sinks.a.products.pingone]\ndataset = \"Ping One\""),
            "sinks.a.products.pingone.dataset: must be 1 to 100 of a-z",
        ),
        (
            format!("{cef}[sinks.a.products.pingone]\ndataset = \"x\""),
            "sinks.a.products.pingone.dataset: is for format = \"ecs\" only; leave it out",
        ),
        (
            "[sinks.a]\ntype = \"stdout\"\n[sinks.a.products.pingone]\nname = \"x\"".to_owned(),
            "sinks.a.products: is for format = \"ecs\" or format = \"ocsf\" or format = \"cef\" or format = \"leef\" only",
        ),
    ] {
        let found = problems(&text);
        assert!(found.iter().any(|found| found.contains(message)), "{text}\n{found:#?}");
    }
}

#[test]
fn every_sink_knows_the_words_and_its_own_names() {
    let text = "[outcomes]\nsuccess = [\"registered\"]\nfailure = [\"gone*\"]\n\
                [sinks.a]\ntype = \"stdout\"\nformat = \"ecs\"\ninclude = { severities = [\"medium\", \"high\"] }\n\
                products = { pingone = { name = \"Identity\", dataset = \"identity.audit\" } }\n\
                [sinks.b]\ntype = \"file\"\npath = \"/tmp/x\"\n";
    let config = parse_with(text, &[]).expect("valid");
    for sink in &config.sinks {
        assert_eq!(*sink.outcomes, *config.outcomes);
    }
    assert_eq!(config.receiver().outcomes, config.outcomes);
    assert_eq!((config.outcomes.success.len(), config.outcomes.failure.len()), (1, 1));
    let [one, other] = config.sinks.as_slice() else { panic!("two sinks") };
    assert_eq!(one.routing.include[0].severities, [Severity::Medium, Severity::High]);
    let mut expected = Products::default();
    expected.pingone.name = "Identity".to_owned();
    expected.pingone.dataset = "identity.audit".to_owned();
    assert_eq!(one.formatting.products, expected);
    assert_eq!(other.formatting.products, Products::default());
}

#[test]
fn summaries_are_a_source_for_filters_and_have_timeouts_by_source() {
    let text = "[interactions]\nenabled = true\ntimeout = \"10m\"\n\
                [sources.a]\npath = \"/a\"\ninteraction_timeout = \"2h\"\n[sources.b]\npath = \"/b\"\n\
                [sinks.a]\ntype = \"stdout\"\ninclude = { sources = [\"interactions\"] }";
    let interactions = parse_with(text, &[]).expect("valid").interactions;
    assert_eq!(interactions.timeout, std::time::Duration::from_mins(10));
    let own = [("a".to_owned(), std::time::Duration::from_hours(2))];
    assert_eq!(interactions.timeouts, own.into());
}

#[cfg(feature = "nats")]
#[test]
fn summaries_need_the_embedded_engine() {
    let text = "[interactions]\nenabled = true\n[spool]\nengine = \"jetstream\"\n\
                [spool.jetstream]\nservers = [\"nats://127.0.0.1:4222\"]\n";
    let found = problems(text);
    let message = "interactions.enabled: needs engine = \"embedded\"";
    assert!(found.iter().any(|found| found.contains(message)), "{found:#?}");
    assert!(parse_with(&text.replace("true", "false"), &[]).is_ok());
}
