//! Tests of reloads: changes that are applied, listed or refused, as tables and as a property over pairs of files.

mod property;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::{PreparedReload, RunningConfig};
use super::{Reload, prepare};
use crate::config::{self, Config};
use crate::listener::tls;
use crate::receive::Policy;
use crate::settings::keys;

/// Strong secrets, in files `s0`, `s1`, ….
const SECRETS: [&str; 4] =
    ["q3Vx8LmZ0tR7yBnK", "Zr5pQ2wN8cJ4vT1x", "Hk7dM3sG9bF6yL0a", "Wn4tX8rC2jV5pE7u"];

/// Directory with a configuration file and the files that it names.
pub(super) struct ReloadBench {
    directory: tempfile::TempDir,
}

/// State of a running service, as far as a reload depends on it.
pub(super) struct Service {
    pub(super) reload: Reload,
    pub(super) running: RunningConfig,
    pub(super) policy: Policy,
}

impl ReloadBench {
    pub(super) fn new() -> ReloadBench {
        let directory = tempfile::tempdir().expect("a directory");
        let bench = ReloadBench { directory };
        for (number, secret) in SECRETS.iter().enumerate() {
            bench.write(&format!("s{number}"), secret);
        }
        bench.write("weak", "hunter2");
        bench.write("empty", "");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        bench.write("tls.crt", &made.cert.pem());
        bench.write("tls.key", &made.signing_key.serialize_pem());
        bench
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// Replaces `@/` by the directory.
    pub(super) fn text(&self, text: &str) -> String {
        text.replace("@/", &format!("{}/", self.directory.path().display()))
    }

    fn file(&self) -> PathBuf {
        self.path("c.toml")
    }

    /// Starts a service with this text, if it is valid.
    pub(super) fn start(&self, text: &str) -> Option<Service> {
        let text = self.text(text);
        let (config, policy) = fresh(&text, &self.file())?;
        let reload = Reload {
            now: Arc::default(),
            file: Some(self.file()),
            text,
            environment: Vec::<(OsString, OsString)>::new(),
        };
        let running = RunningConfig::new(&reload, config);
        Some(Service { reload, running, policy })
    }

    /// Writes the text into the file, or removes the file, and reads it as a reload does.
    pub(super) fn reload(
        &self,
        service: &Service,
        text: Option<&str>,
    ) -> Result<PreparedReload, Vec<String>> {
        match text {
            Some(text) => std::fs::write(self.file(), self.text(text)).expect("written"),
            None => drop(std::fs::remove_file(self.file())),
        }
        prepare(&service.reload, &service.running, &service.policy, 0)
    }
}

/// Returns the configuration and policy after a start with this text.
pub(super) fn fresh(text: &str, file: &Path) -> Option<(Config, Policy)> {
    let config = config::parse(text, Some(file), std::iter::empty()).ok()?;
    let loaded = config.listen.tls.as_ref().map(tls::load).transpose().ok()?;
    let policy = Policy::new(&config.listen, &config.sources, loaded);
    Some((config, policy))
}

const BASE: &str = "
[listen]
address = \"0.0.0.0:8443\"
trusted_proxies = [\"10.0.0.0/8\"]
[listen.tls]
certificate = \"@/tls.crt\"
key = \"@/tls.key\"
client_ca = \"@/tls.crt\"
client_certificate = \"required\"
[sources.p]
basic = [{ username = \"u\", password_file = \"@/s0\" }]
allow_from = [\"198.51.100.0/24\", \"0.0.0.0/1\"]
[admin]
address = \"127.0.0.1:9090\"
password_file = \"@/s1\"
read_only = true
[limits]
body = \"8 MiB\"
[sinks.f]
type = \"file\"
path = \"@/f\"
# The end.
";

fn changed(replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn a_change_that_weakens_access_or_needs_a_restart_is_refused_with_its_key() {
    let bench = ReloadBench::new();
    let service = bench.start(BASE).expect("a start");
    let basic = "basic = [{ username = \"u\", password_file = \"@/s0\" }]\n";
    let certificates = "certificates = [{ subject = \"CN=a\" }]\n";
    let allow = "allow_from = [\"198.51.100.0/24\", \"0.0.0.0/1\"]";
    let required = "client_certificate = \"required\"";
    let tls = "[listen.tls]\ncertificate = \"@/tls.crt\"\nkey = \"@/tls.key\"\n";
    let clients = "client_ca = \"@/tls.crt\"\nclient_certificate = \"required\"\n";
    for (replacements, key) in [
        (&[("0.0.0.0:8443", "127.0.0.1:8443")][..], "listen.address: a change needs"),
        (&[("[listen]\n", "[listen]\nauth = \"none\"\n")], "listen.auth: a change needs"),
        (&[("[listen]\n", "[listen]\nproxy_protocol = true\n")], "listen.proxy_protocol: a change"),
        (&[(tls, ""), (clients, "")], "listen.tls: a change needs"),
        (&[(clients, "")], "listen.tls.client_ca: was removed"),
        (
            &[(required, "client_certificate = \"optional\"")],
            "listen.tls.client_certificate: a cha",
        ),
        (&[("[\"10.0.0.0/8\"]", "[\"0.0.0.0/0\"]")], "listen.trusted_proxies: now trusts every"),
        (&[("[\"10.0.0.0/8\"]", "[\"::/1\", \"8000::/1\"]")], "listen.trusted_proxies: now trusts"),
        (&[(basic, "")], "sources.p: the last credential was removed"),
        (&[(allow, "")], "sources.p.allow_from: now allows every"),
        (&[(allow, "allow_from = [\"::/0\"]")], "sources.p.allow_from: now allows every"),
        (&[("\"198.51.100.0/24\"", "\"128.0.0.0/1\"")], "sources.p.allow_from: now allows every"),
        (&[("[sources.p]\n", "[sources.p]\npath = \"/p\"\n")], "sources.p.path: a change needs"),
        (&[("[sources.p]", "[sources.q]")], "sources.q: adding a source"),
        (&[("[sources.p]", "[sources.q]")], "sources.p: removing a source"),
        (&[("127.0.0.1:9090", "127.0.0.1:9091")], "admin.address: a change needs"),
        (&[("password_file = \"@/s1\"\n", "")], "admin.password: was removed"),
        (&[("read_only = true", "read_only = false")], "admin.read_only: is now false"),
        (
            &[("[sinks.f]\ntype = \"file\"\npath = \"@/f\"\n", "")],
            "sinks.f: the section is missing",
        ),
        (&[("[limits]\nbody = \"8 MiB\"\n", "")], "limits: the section is missing"),
        // Valid on a loopback address; the bound address is public.
        (
            &[("0.0.0.0:8443", "127.0.0.1:8443"), ("@/s0", "@/weak")],
            "sources.p.basic: the password is",
        ),
        (
            &[("0.0.0.0:8443", "127.0.0.1:8443"), (clients, ""), (basic, "")],
            "listen.tls.client_ca: was removed",
        ),
        // Invalid by itself.
        (&[("@/s0", "@/weak")], "sources.p.basic: the password is shorter"),
        (&[("@/s0", "@/empty")], "is empty"),
        (&[(clients, ""), (basic, certificates)], "needs listen.tls.client_ca"),
        (&[("@/tls.key", "@/s0")], "listen.tls.key"),
    ] {
        let refused = bench.reload(&service, Some(&changed(replacements))).err();
        let refused = refused.unwrap_or_else(|| panic!("applied: {key}"));
        assert!(refused.iter().any(|problem| problem.contains(key)), "{key}: {refused:#?}");
    }
}

#[test]
fn a_revocation_list_is_not_dropped() {
    let bench = ReloadBench::new();
    let revoked = "client_ca = \"@/tls.crt\"\nclient_crl = \"@/crl\"";
    let text = changed(&[("client_ca = \"@/tls.crt\"", revoked)]);
    let read = |text: &str| config::parse(&bench.text(text), None, std::iter::empty()).expect("ok");
    let (with, without) = (read(&text), read(BASE));
    let reload = Reload {
        now: Arc::default(),
        file: None,
        text: bench.text(&text),
        environment: Vec::new(),
    };
    let running = RunningConfig::new(&reload, with);
    let refused = running.refusals(&keys(BASE, std::iter::empty()), &without);
    assert!(refused.concat().contains("listen.tls.client_crl: was removed"), "{refused:?}");
}

#[test]
fn a_truncated_file_is_refused() {
    let bench = ReloadBench::new();
    let service = bench.start(BASE).expect("a start");
    for text in ["", "\n", "# nothing\n"] {
        let refused = bench.reload(&service, Some(text)).err().expect("refused");
        assert!(refused.concat().contains("the configuration file is empty"), "{refused:?}");
    }
    let refused = bench.reload(&service, None).err().expect("refused");
    assert!(refused.concat().contains("cannot be read"), "{refused:?}");
    let comments = BASE.find("# The end").expect("a comment");
    for end in 1..BASE.len() {
        let taken = bench.reload(&service, Some(&BASE[..end]));
        assert_eq!(taken.is_ok(), end >= comments - 1, "{}", &BASE[..end]);
    }
}

#[test]
fn a_truncated_secret_is_refused() {
    let bench = ReloadBench::new();
    let service = bench.start(BASE).expect("a start");
    for (name, key) in [("s0", "sources.p: "), ("s1", "admin.password: ")] {
        let whole = std::fs::read_to_string(bench.path(name)).expect("read");
        for end in 1..whole.len() {
            // On loopback no secret is too weak.
            bench.write(name, &whole[..end]);
            let refused = bench.reload(&service, Some(BASE)).err().expect("refused").join("; ");
            let is_named = refused.contains(key) && refused.contains("ends too early");
            assert!(is_named || refused.contains("shorter than 16"), "{refused}");
            assert!(!refused.contains(&whole[..end.max(4)]), "{refused}");
        }
        bench.write(name, &format!("{whole}-and-more"));
        assert!(bench.reload(&service, Some(BASE)).is_ok());
        bench.write(name, &whole);
    }
}

#[test]
fn applied_and_ignored_keys_are_listed() {
    let bench = ReloadBench::new();
    let mut service = bench.start(BASE).expect("a start");
    let two = "basic = [{ username = \"u\", password_file = \"@/s0\" }, { username = \"u\", \
               password_file = \"@/s2\" }]";
    let text = changed(&[
        ("basic = [{ username = \"u\", password_file = \"@/s0\" }]", two),
        ("198.51.100.0/24", "203.0.113.0/24"),
        ("10.0.0.0/8", "192.0.2.0/24"),
        ("[sources.p]\n", "[sources.p]\nstrict = true\non_unparseable = \"reject\"\n"),
        (
            "[listen]\n",
            "[listen]\nforwarded_header = \"forwarded\"\nreload = \"3s\"\nauth = \"required\"\n",
        ),
        ("@/s1", "@/s3"),
        ("8 MiB", "9 MiB"),
        (
            "type = \"file\"\n",
            "type = \"file\"\nretry = { max = \"1m\" }\nredact = { pii = \"drop\" }\n",
        ),
        ("# The end.", "[sinks.g]\ntype = \"stdout\"\n[redact]\npii = \"drop\"\n"),
    ]);
    for round in ["first", "again"] {
        let read =
            bench.reload(&service, Some(&text)).unwrap_or_else(|problems| panic!("{problems:?}"));
        if round == "first" {
            assert_eq!(
                read.changed,
                [
                    "listen.trusted_proxies",
                    "listen.forwarded_header",
                    "listen.reload",
                    "admin.password",
                    "sources.p.credentials",
                    "sources.p.allow_from",
                    "sources.p.strict",
                    "sources.p.on_unparseable",
                    "sinks.f.redact",
                    "sinks.f.retry",
                    "sinks.g",
                ]
            );
            assert_eq!(read.changed_sinks, ["f", "g"]);
        } else {
            assert_eq!(read.changed, <[String; 0]>::default(), "the base is the last reload");
            assert_eq!(read.changed_sinks, <[String; 0]>::default());
        }
        // They still need a restart.
        assert_eq!(read.ignored, ["limits.body", "redact"], "{round}");
        let words = read.running.config.sinks.iter().map(|sink| &sink.outcomes);
        let at_start = Arc::clone(&service.running.config.outcomes);
        assert!(words.into_iter().all(|words| Arc::ptr_eq(words, &at_start)), "they need one, too");
        service = Service { reload: service.reload, running: read.running, policy: read.policy };
    }
    let sink = ("# The end.", "[sinks.g]\ntype = \"stdout\"\n");
    let back = changed(&[("[sources.p]\n", "[sources.p]\nstrict = true\n"), sink]);
    let refused = bench.reload(&service, Some(&back)).err().expect("refused").concat();
    assert!(refused.starts_with("sinks.f.redact: was removed"), "{refused}");
    let redact = ("type = \"file\"\n", "type = \"file\"\nredact = { pii = \"mask\" }\n");
    let back = changed(&[("[sources.p]\n", "[sources.p]\nstrict = true\n"), sink, redact]);
    let read =
        bench.reload(&service, Some(&back)).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(read.ignored, <[String; 0]>::default(), "an ignored key may be removed again");
    assert_eq!(read.changed_sinks, ["f"], "its retry table is removed again");
}

#[test]
fn certificates_are_compared_by_the_content_of_their_files() {
    let bench = ReloadBench::new();
    let service = bench.start(BASE).expect("a start");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    bench.write("tls.crt", &made.cert.pem());
    let refused = bench.reload(&service, Some(BASE)).err().expect("the key of another certificate");
    assert!(refused.concat().contains("listen.tls.key"), "{refused:?}");
    bench.write("tls.key", &made.signing_key.serialize_pem());
    let read = bench.reload(&service, Some(BASE)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let files = ["certificate", "client_ca"].map(|key| format!("the file of listen.tls.{key}"));
    assert_eq!(read.changed, files);
}
