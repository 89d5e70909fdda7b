//! The configuration: one TOML file, environment overrides, checked as a whole before anything runs.
//!
//! Reading happens in two steps. [`node`] turns the file and the environment into one tree that
//! remembers where each value came from; the section files take typed values out of it through
//! [`section`], which collects every problem instead of stopping at the first. What is left over is
//! an unknown key. `config/davinci-siem.toml` lists every key with its default.

mod admin;
mod keys;
mod limits;
mod listen;
mod log;
mod nats;
mod node;
mod problem;
mod redact;
mod section;
mod sink;
mod source;
mod spool;
mod strength;
mod traces;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use crate::secret::Secret;
pub use crate::tls::Tls;
pub use admin::Admin;
pub use keys::{Keys, keys};
pub use limits::Limits;
pub use listen::{ClientAuthority, ForwardedHeader, Listen, ListenTls};
pub use log::{Log, LogFormat};
pub use problem::{Problem, Problems, Secrets};
pub use redact::{Action, MemberPath, REQUIRED, Redact};
pub(crate) use sink::ROTATED_AT;
pub use sink::{
    Acknowledgement, Authorization, BatchLimits, BodyShape, Client, Compression, ElasticsearchSink,
    FileSink, Filter, Flavor, Format, Formatting, Framing, GiveUp, Header, HeaderFormat, HttpSink,
    KafkaSink, NatsSink, OcsfVersion, Oversize, Part, Pattern, Proxy, Resend, Retry, Routing, Sasl,
    Sink, SinkKind, SplunkHecSink, Subject, SyslogSink, Transport, signing_key,
};
pub use source::{AlternativeName, Certificate, Credential, OnUnparseable, Source};
pub use traces::Traces;

use problem::{Collector, Origin};
use section::Section;

/// The reference manual, which is also a valid file that says nothing but the defaults.
pub const REFERENCE: &str = include_str!("../../config/davinci-siem.toml");

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[sources.NAME]`, at least one.
    pub sources: Vec<Source>,
    /// `[limits]`
    pub limits: Limits,
    /// `[redact]`: what never reaches the disk.
    pub redact: Option<Redact>,
    /// `[spool]`
    pub spool: crate::spool::Settings,
    /// `[sinks.NAME]`, at least one.
    pub sinks: Vec<Sink>,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
    /// `[traces]`: none are made without it.
    pub traces: Option<Traces>,
}

/// Reads the file, if there is one, and the environment over it.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Problems> {
    parse(&text_of(file)?, file, environment)
}

/// Reads the file and the environment, and of the secrets only some: a value that is good for nothing stands for the
/// others.
pub fn load_with(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    secrets: Secrets,
) -> Result<Config, Problems> {
    with_secrets(&text_of(file)?, file, environment, secrets, read)
}

/// Reads the names of the sources and of the sinks, and nothing of what they say.
pub fn load_names(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<String>, Vec<String>), Problems> {
    let text = text_of(file)?;
    with_secrets(&text, file, environment, Secrets::None, |mut root| {
        let mut names = |key: &str, default: &str| match root.named(key) {
            tables if tables.is_empty() => vec![default.to_owned()],
            tables => tables.into_iter().map(|(name, _)| name).collect(),
        };
        (names("sources", source::DEFAULT_NAME), names("sinks", sink::DEFAULT_NAME))
    })
}

/// Reads what reaches the admin listener and nothing else: whoever operates a running service must not
/// fail because of what only the service can read, such as its sinks' secrets.
pub fn load_admin(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Admin, Problems> {
    let text = text_of(file)?;
    with_root(&text, file, environment, |mut root| admin::read(root.table("admin")))
}

/// Reads where the admin listener is, and no secret: whoever asks how the service is needs none.
pub fn load_admin_address(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<SocketAddr, Problems> {
    let text = text_of(file)?;
    with_root(&text, file, environment, |mut root| admin::read_address(root.table("admin")))
}

/// Reads `[spool]` and nothing else.
pub fn load_spool(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<crate::spool::Settings, Problems> {
    let text = text_of(file)?;
    with_root(&text, file, environment, |mut root| {
        // The commands that look into the spool put nothing into quarantine.
        spool::read(root.table("spool"), 0)
    })
}

/// Reads the file's text; without a file there is none.
pub fn text_of(file: Option<&Path>) -> Result<String, Problems> {
    let Some(path) = file else { return Ok(String::new()) };
    std::fs::read_to_string(path).map_err(|error| {
        let reason = crate::shown::reason(&error);
        Problems::one(file, format!("cannot be read: {reason}. Check -c"))
    })
}

/// Reads a configuration from text; `file` only names it in problems.
pub fn parse(
    text: &str,
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Problems> {
    with_root(text, file, environment, read)
}

fn with_root<T>(
    text: &str,
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    read: impl FnOnce(Section<'_>) -> T,
) -> Result<T, Problems> {
    with_secrets(text, file, environment, Secrets::All, read)
}

fn with_secrets<T>(
    text: &str,
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    secrets: Secrets,
    read: impl FnOnce(Section<'_>) -> T,
) -> Result<T, Problems> {
    let (mut known, mut unreadable) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => known.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with(node::PREFIX) => unreadable.push(name),
            _ => {}
        }
    }
    let environment = known;
    let problems = Collector::new(file.map(PathBuf::from), environment.clone(), secrets);
    for name in unreadable {
        let origin = Origin::Variable(name);
        problems.report(Some(&origin), "", "its value is not UTF-8".to_owned());
    }
    let tree = node::read(text, &environment, &problems);
    let value = read(Section::root(tree, &problems));
    problems.into_result(value)
}

fn read(mut root: Section<'_>) -> Config {
    let listen = listen::read(root.table("listen"));
    let sources = source::read_all(root.named("sources"));
    let limits = limits::read(root.table("limits"));
    let redact = redact::read(&mut root);
    let spool = spool::read(root.table("spool"), limits.body);
    let sinks = sink::read_all(root.named("sinks"));
    let admin = admin::read(root.table("admin"));
    let log = log::read(root.table("log"));
    let traces = traces::read(&mut root);
    let config = Config { listen, sources, limits, redact, spool, sinks, admin, log, traces };
    check_together(&config, &root);
    root.finish();
    config
}

/// What no section can see alone.
fn check_together(config: &Config, root: &Section<'_>) {
    let Config { listen, sources, limits, spool, sinks, admin, .. } = config;
    for (key, message) in credential_problems(listen, sources) {
        root.report(&key, message);
    }
    if admin.address == listen.address && admin.address.port() != 0 {
        root.report("admin.address", "is listen.address too; use another port".to_owned());
    }
    if limits.in_flight < limits.body.saturating_mul(2) {
        root.report("limits.in_flight", format!(
            "must be at least {} bytes, twice limits.body, to hold one body compressed and inflated",
            limits.body.saturating_mul(2)
        ));
    }
    spool::check(spool, limits, root);
    sink::check_outputs(config, root);
    for (index, sink) in sinks.iter().enumerate() {
        let filters = sink.routing.include.iter().chain(&sink.routing.exclude);
        for name in filters.flat_map(|filter| &filter.sources) {
            if !sources.iter().any(|source| source.name == *name) {
                let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
                let known = names.join(", ");
                let message = format!("filters by a source that is none of {known}");
                root.report(&format!("sinks.{}", sink.name), message);
            }
        }
        let twin = sinks[..index].iter().find(|other| other.writes_to_same(sink));
        if let Some(twin) = twin {
            root.report(
                &format!("sinks.{}", sink.name),
                format!("writes where sinks.{} writes; give each its own path", twin.name),
            );
        }
    }
}

/// Keys and messages about credentials that do not keep out whoever can reach the listener. A reload
/// asks with the listener that is bound.
pub fn credential_problems(listen: &Listen, sources: &[Source]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let is_public = !listen.address.ip().is_loopback();
    let clients = listen.tls.as_ref().and_then(|tls| tls.clients.as_ref());
    for source in sources {
        let Source { name, credentials, .. } = source;
        let key = format!("sources.{name}");
        if is_public
            && !source.has_credentials
            && !listen.allows_no_credentials
            && !listen.requires_certificate()
        {
            problems.push(("listen.address".to_owned(), format!(
                "{} is reachable from other machines and source {name:?} has no credentials. Add \
                 basic or headers to [sources.{name}], require client certificates with \
                 listen.tls.client_ca, or set listen.auth = \"none\" if a proxy authenticates",
                listen.address
            )));
        }
        for credential in credentials {
            let weakness = match credential {
                Credential::Basic { username, password } => {
                    strength::weakness(password.expose(), Some(username))
                        .map(|weakness| (format!("{key}.basic"), "password", weakness))
                }
                Credential::Header { value, .. } => strength::weakness(value.expose(), None)
                    .map(|weakness| (format!("{key}.headers"), "value", weakness)),
                Credential::Certificate(_) => {
                    if clients.is_none() {
                        let message =
                            "needs listen.tls.client_ca, the authority of the certificates";
                        problems.push((format!("{key}.certificates"), message.to_owned()));
                    }
                    None
                }
            };
            if let Some((key, what, weakness)) = weakness.filter(|_| is_public) {
                problems.push((key, format!(
                    "the {what} {weakness}, and {} is reachable from other machines. Make one with \
                     openssl rand -base64 24",
                    listen.address
                )));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests;
