//! The configuration: defaults, every key, and all mistakes at once.

mod features;
mod meaning;
mod redact;
mod reference;
mod schema;
mod spool;
mod values;

use std::ffi::OsString;

use super::*;
use crate::receive::Credential;
use crate::sinks::TargetConfig;

pub(super) fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let variables =
        variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    parse(text, Some(Path::new("test.toml")), variables.collect::<Vec<_>>().into_iter())
}

pub(super) fn problems(text: &str) -> Vec<String> {
    problems_with(text, &[])
}

fn problems_with(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let problems = parse_with(text, variables).expect_err("a mistake");
    problems.0.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_at_all_is_a_working_configuration() {
    let config = parse_with("", &[]).expect("the defaults");
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9090");
    assert_eq!(config.sources[0].path, "/webhooks/pingone");
    assert!(config.sources[0].credentials.is_empty());
    assert_eq!(config.spool.directory, Path::new("data"));
    assert!(matches!(config.sinks[0].target, TargetConfig::Stdout(_)));
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_place() {
    let found = problems(
        "[listen]\nadress = \"127.0.0.1:1\"\n[limits]\nbody = \"32 Mib!\"\n\
         [spool]\nretention = 3\n[sinks.a]\ntype = \"fiel\"\npath = \"/x\"\n[sinks.b]\ntype = \"file\"\n\
         [sources.x]\nbasic = [{ username = \"u\", password = \"p\" }]\n",
    );
    assert_eq!(
        found,
        [
            "test.toml:2: listen.adress: is no key here; did you mean \"address\"?",
            "test.toml:13: sources.x.basic[0].password: secrets are not written here; use password_file or password_env",
            "test.toml:4: limits.body: \"32 Mib!\" is not a size such as \"32 MiB\"",
            "test.toml:6: spool.retention: must be a string, not 3",
            "test.toml:8: sinks.a.type: \"fiel\" is not one of \"stdout\", \"file\", \"http\", \"splunk_hec\", \"elasticsearch\", \"loki\", \"clickhouse\", \"postgres\", \"sentinel\", \"datadog\", \"otlp\", \"google_secops\", \"pubsub\", \"kinesis\", \"firehose\", \"syslog\", \"nats\", \"kafka\", \"object_store\"; did you mean \"file\"?",
            "test.toml: sinks.b.path: is missing; write for example path = \"/var/log/davinci/events.ndjson\"",
        ]
    );
}

#[test]
fn traces_take_a_build_that_can_export_them() {
    let text = "[traces]\nendpoint = \"http://collector:4318\"\nratio = 1\n";
    let ratio = [("DAVINCI_SIEM__TRACES__RATIO", "0.25")];
    if cfg!(feature = "otlp") {
        let traces = parse_with(text, &ratio).expect("valid").traces.expect("traces");
        assert_eq!(traces.ratio, 0.25);
    } else {
        let [problem] = &problems_with(text, &ratio)[..] else { panic!("one problem") };
        assert!(problem.starts_with("test.toml: traces: cannot be exported: this build was made"));
        assert!(problem.contains("--features otlp"), "it says what to do");
    }
}

const HTTP: &str = "[sinks.a]\ntype = \"http\"\n";
const SYSLOG: &str = "[sinks.a]\ntype = \"syslog\"\n";

#[test]
fn every_check_refuses_what_it_is_for() {
    for (text, message) in [
        (
            "x = 1",
            "test.toml:1: x: is no key here; the keys are listen, sources, limits, outcomes, redact, spool, interactions, sinks, admin, alerts, log, traces",
        ),
        ("\"\" = 1", "test.toml:1: \"\": is no key here"),
        ("\"a\\nb\" = 1", "test.toml:1: a\\nb: is no key here"),
        ("[traces]\nratio = 0.5", "traces.endpoint: is missing"),
        ("[traces]\nendpoint = \"http://u:p@x\"", "traces.endpoint: holds credentials"),
        ("[traces]\nendpoint = \"http://x\"\nratio = 1.5", "must be a number from 0 to 1, not 1.5"),
        ("[traces]\nendpoint = \"http://x\"\nratio = -1", "must be a number from 0 to 1, not -1"),
        ("[traces]\nendpoint = \"http://x\"\nratio = nan", "must be a number from 0 to 1"),
        ("[traces]\nendpoint = \"http://x\"\nratio = \"1\"", "must be a number from 0 to 1"),
        ("listen = 3", "test.toml:1: listen: must be a table, not 3"),
        ("[listen\n", "test.toml:1: not valid TOML: "),
        ("[listen]\naddress = \"0.0.0.0:8080\"", "has no credentials"),
        ("[listen]\naddress = \"localhost\"", "is not an address and port"),
        ("[listen]\nproxy_protocol = true", "needs trusted_proxies"),
        ("[listen]\ntrusted_proxies = [\"proxy\"]", "\"proxy\" is not a network"),
        ("[listen]\nforwarded_header = \"via\"", "\"via\" is not one of"),
        ("[listen.tls]\nkey = \"k\"", "listen.tls.certificate: is missing"),
        ("[listen.tls]\ncertificate = \"c\"", "listen.tls.key: is missing"),
        (
            "[listen.tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_certificate = \"optional\"",
            "listen.tls.client_certificate: needs client_ca",
        ),
        (
            "[listen.tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_crl = \"l\"",
            "listen.tls.client_crl: needs client_ca",
        ),
        (
            "[sources.a]\ncertificates = [{ subject = \"CN=x\" }]",
            "sources.a.certificates: needs listen.tls.client_ca",
        ),
        ("[sources.a]\ncertificates = [{ fingerprint = \"abc\" }]", "64 hexadecimal digits"),
        ("[sources.a]\ncertificates = [{ subject = \"pingone\" }]", "is not a subject such as"),
        ("[sources.a]\ncertificates = [{ san = \"x.example.com\" }]", "is not a name such as"),
        ("[sources.a]\ncertificates = [{ }]", "write one of fingerprint, subject and san"),
        ("[limits]\nconnections = 0", "must be a whole number from 1 on"),
        (
            "[listen]\naddress = \"0.0.0.0:1\"\n[sources.a]\nheaders = [{ name = \"x-k\", value_env = \"PW\" }]",
            "sources.a.headers: the value is shorter than 16 characters",
        ),
        ("[admin]\naddress = \"127.0.0.1:8080\"", "is listen.address too"),
        ("[limits]\nheader_timeout = \"0s\"", "must be more than 0"),
        ("[limits]\nbody = \"1 GiB\"", "must be at most 512 MiB"),
        ("[limits]\nin_flight = \"32 MiB\"", "twice limits.body"),
        ("[spool]\nmax_size = \"100 MiB\"", "is 100.0 MiB, and has to be at least 578 MiB"),
        ("[spool]\nmax_size = \"550 MiB\"", "381.5 MiB for the ids of spool.dedup.max_ids"),
        (
            "[spool]\nquarantine_max_size = \"8 MiB\"",
            "test.toml: spool.quarantine_max_size: must be at least 33 MiB, limits.body and 1 MiB",
        ),
        ("[spool]\nquarantine_max_size = \"33791 KiB\"", "Raise it, or lower limits.body"),
        (
            "[spool]\nquarantine_max_size = \"3 GiB\"",
            "must be at most 2.5 GiB, a quarter of spool.max_size",
        ),
        (
            "[spool]\nmax_size = \"10 GiB\"\nquarantine_max_size = \"2561 MiB\"",
            "Lower it, or raise spool.max_size",
        ),
        ("[spool]\nengine = \"jet\"", "\"jet\" is not one of \"embedded\""),
        ("[spool.dedup]\nmax_ids = 5", "must be a whole number from 1000 on, not 5"),
        ("[sinks.\"A b\"]\ntype = \"stdout\"", "names are 1 to 64 of a-z"),
        ("[sinks.a]\n", "sinks.a.type: is missing"),
        (
            "[sinks.a]\ntype = \"stdout\"\n[sinks.b]\ntype = \"stdout\"",
            "writes where sinks.a writes",
        ),
        ("[sinks.a]\ntype = \"stdout\"\npath = \"/x\"", "sinks.a.path: is no key here"),
        (
            "[sinks.a]\ntype = \"stdout\"\nretry = { min = \"2s\", max = \"1s\" }",
            "at most retry.max",
        ),
        ("[sinks.a]\ntype = \"stdout\"\nwrap = \"yes\"", "must be true or false, not a string"),
        ("[sources.a]\n[sources.b]\n", "is the path of source \"a\" too"),
        ("[sources.a]\npath = \"hook\"", "must start with /"),
        ("[sources.a]\nallow_from = [\"10.0.0.0/33\"]", "\"10.0.0.0/33\" is not a network"),
        ("[sources.a]\nallow_from = \"10.0.0.0/8\"", "must be a list of strings"),
        (
            "[sources.a]\nbasic = [{ username = \"a:b\", password_env = \"PW\" }]",
            "cannot hold a colon",
        ),
        (
            "[sources.a]\nbasic = [{ username = \"a\" }]",
            "is missing; write password_file or password_env",
        ),
        (
            "[sources.a]\nbasic = [{ username = \"a\", password_env = \"NOPE\" }]",
            "the variable NOPE is not set",
        ),
        (
            "[sources.a]\nbasic = [{ username = \"a\", password_file = \"/nowhere\" }]",
            "/nowhere cannot be read",
        ),
        ("[sources.a]\nheaders = [{ name = \"a b\", value_env = \"PW\" }]", "is not a header name"),
        ("[sources.a]\nheaders = [{ value_env = \"NOPE\" }]", "name: is missing"),
        ("[log]\nlevel = \"loud\"", "\"loud\" is not one of \"error\""),
        (HTTP, "sinks.a.url: is missing"),
        (&format!("{HTTP}url = \"ftp://x\""), "must begin with https:// or http://"),
        (&format!("{HTTP}url = \"https://u:canary@x\""), "holds credentials"),
        (&format!("{HTTP}url = \"x\""), "is not a URL"),
        (
            &format!("{HTTP}url = \"http://x\"\ntls = {{ certificate = \"/x\" }}"),
            "and key belong together",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\ntls = {{ ca = \"/nowhere\" }}"),
            "/nowhere cannot be read",
        ),
        (&format!("{HTTP}url = \"http://x\"\ntls = {{ ca = \"/dev/null\" }}"), "is for https only"),
        (
            &format!(
                "{HTTP}url = \"http://x\"\nproxy = {{ url = \"http://p\" }}\nprivate_addresses = \"deny\""
            ),
            "leave out proxy or private_addresses",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\nsigning_keys = [{{ key_env = \"PW\" }}]"),
            "must be whsec_",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\nheaders = [{{ name = \"a\", value = \"\\n\" }}]"),
            "holds what a header cannot",
        ),
        (
            &format!(
                "{HTTP}url = \"http://x\"\nbearer_env = \"PW\"\nbasic = {{ username = \"u\", password_env = \"PW\" }}"
            ),
            "are both given",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\nheaders = [{{ name = \"Host\", value = \"x\" }}]"),
            "is set by the sink itself",
        ),
        (
            &format!(
                "{HTTP}url = \"http://x\"\nheaders = [{{ name = \"a\", value = \"x\" }}, {{ name = \"A\", value = \"y\" }}]"
            ),
            "is there twice",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\nconcurrency = 65"),
            "must be a whole number from 1 to 64, not 65",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\nbatch = {{ bytes = \"1 GiB\" }}"),
            "must be at most 128 MiB",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\ninclude = {{}}"),
            "an empty filter would match everything",
        ),
        (&format!("{HTTP}url = \"http://x\"\ninclude = {{ types = [\"a*b\"] }}"), "at most one *"),
        (
            &format!("{HTTP}url = \"http://x\"\nexclude = {{ outcomes = [\"good\"] }}"),
            "\"good\" is not \"success\"",
        ),
        (
            &format!("{HTTP}url = \"http://x\"\nexclude = {{ sources = [\"b\"] }}"),
            "filters by a source that is not one of pingone",
        ),
        ("[sinks.a]\ntype = \"stdout\"\nconcurrency = 2", "must be 1, not 2"),
        (
            "[sinks.a]\ntype = \"splunk_hec\"\nendpoint = \"https://x\"",
            "write token_file or token_env",
        ),
        (
            "[sinks.a]\ntype = \"elasticsearch\"\nendpoint = \"https://x\"\nflavor = \"opensearch\"\napi_key_env = \"PW\"",
            "is not known to OpenSearch",
        ),
        (
            "[sinks.a]\ntype = \"elasticsearch\"\nendpoint = \"https://x\"\ndata_stream = \"A b\"",
            "is not a data stream's name",
        ),
        (&format!("{HTTP}url = \"http://x\"\nformat = \"cef\""), "set body = \"lines\""),
        (
            "[sinks.a]\ntype = \"stdout\"\nformat = \"leef\"\nwrap = true",
            "is for format = \"native\" only",
        ),
        (SYSLOG, "sinks.a.address: is missing"),
        (&format!("{SYSLOG}address = \":514\""), "is not a host and port"),
        (
            &format!("{SYSLOG}address = \"x:1\"\nframing = \"lf\""),
            "\"lf\" is for transport = \"tcp\" only",
        ),
        (
            &format!("{SYSLOG}address = \"x:1\"\ntransport = \"udp\"\nmax_size = \"1 MiB\""),
            "more than 65507",
        ),
        (
            &format!(
                "{SYSLOG}address = \"x:1\"\ntransport = \"tcp\"\ntls = {{ ca = \"/dev/null\" }}"
            ),
            "is for transport = \"tls\" only",
        ),
        (
            &format!("{SYSLOG}address = \"x:1\"\nstructured_data = false\noversize = \"compact\""),
            "there is none",
        ),
        (&format!("{SYSLOG}address = \"x:1\"\napp_name = \"a b\""), "visible ASCII"),
        (&format!("{SYSLOG}address = \"x:1\"\nmax_size = \"100B\""), "must be at least 480"),
    ] {
        let found = problems_with(text, &[("PW", "secret")]);
        assert!(found.iter().any(|found| found.contains(message)), "{text}\n{found:#?}");
    }
}

#[test]
fn credentials_that_cannot_be_read_are_one_mistake() {
    let text = "[listen]\naddress = \"0.0.0.0:1\"\n[sources.a]\nbasic = [{ username = \"a\", password_env = \"NOPE\" }]";
    assert_eq!(problems(text).len(), 1, "{:?}", problems(text));
    assert_eq!(problems("[listen]\naddress = \"0.0.0.0:1\"\n[sources.a]\nbasic = []").len(), 1);
}

#[test]
fn the_admin_address_is_read_in_spite_of_other_mistakes() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.toml");
    std::fs::write(&file, "[admin]\naddress = \"127.0.0.1:7\"\n[sources.a]\nbasic = 3\n")
        .expect("written");
    let admin = load_part(Some(&file), std::iter::empty(), Secrets::All, AdminConfig::read);
    let admin = admin.expect("read");
    assert_eq!(admin.address.port(), 7);
    let read = |root: &mut Section<'_>| read_spool(root, 0);
    let spool = load_part(Some(&file), std::iter::empty(), Secrets::All, read).expect("read");
    assert_eq!(spool.directory, directory.path().join("data"));
}

#[test]
fn variables_override_the_file_and_are_named_in_problems() {
    let config = parse_with(
        "[spool]\nmax_size = \"1 GiB\"",
        &[
            ("DAVINCI_SIEM__SPOOL__MAX_SIZE", "2 GiB"),
            ("DAVINCI_SIEM__SPOOL__DEDUP__MAX_IDS", "5000"),
            ("DAVINCI_SIEM__SINKS__ARCHIVE__TYPE", "file"),
            ("DAVINCI_SIEM__SINKS__ARCHIVE__PATH", "/tmp/x"),
            ("DAVINCI_SIEM__SINKS__ARCHIVE__WRAP", "true"),
            ("DAVINCI_SIEM__SOURCES__A__ALLOW_FROM", "10.0.0.0/8, 192.0.2.0/24"),
            ("UNRELATED", "x"),
        ],
    );
    let config = config.expect("valid");
    assert_eq!((config.spool.max_size, config.spool.dedup_max_ids), (2 << 30, 5000));
    assert!(config.sinks[0].formatting.wrap && config.sinks[0].name == "archive");
    assert_eq!(config.sources[0].allow_from.len(), 2);
    let found =
        parse_with("", &[("DAVINCI_SIEM__LIMITS__BODY", "lots"), ("DAVINCI_SIEM__LOG", "x")]);
    let found: Vec<String> =
        found.expect_err("mistakes").0.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "DAVINCI_SIEM__LIMITS__BODY: limits.body: \"lots\" is not a size such as \"32 MiB\"",
            "DAVINCI_SIEM__LOG: log: must be a table, not a string",
        ]
    );
}

#[test]
fn secrets_come_from_files_and_variables_and_are_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "canary-in-file\n").expect("written");
    let text = format!(
        "[sources.a]\nbasic = [{{ username = \"u\", password_file = {file:?} }}]\n\
         headers = [{{ name = \"X-Key\", value_env = \"KEY\" }}]"
    );
    let config = parse_with(&text, &[("KEY", "canary-in-variable")]).expect("valid");
    let [Credential::Basic { password, .. }, Credential::Header { value, .. }] =
        config.sources[0].credentials.as_slice()
    else {
        panic!("two credentials")
    };
    assert_eq!((password.expose(), value.expose()), ("canary-in-file", "canary-in-variable"));
    assert!(!format!("{config:?}").contains("canary"), "Debug shows a secret");
}

#[test]
fn a_long_file_is_read_in_one_pass() {
    // It would take minutes if lines were counted anew for each value.
    let found = problems(&format!("\nx = [{}]", "{},\n".repeat(300_000)));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("test.toml:2: x: is no key here"), "{found:?}");
}
