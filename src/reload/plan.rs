//! The judgement of a new configuration against the one that runs: what refuses it, what it changes,
//! and what of it takes a restart.

use ipnet::IpNet;

use super::Reload;
use crate::config::{self, Admin, Config, Credential, Keys, Listen, ListenTls, Secret, Source};
use crate::listener::tls::LoadedTls;
use crate::receive::Policy;

/// The configuration that is in force: what the service began with, and what reloads changed since.
/// Sections that take a restart are those of the start.
pub(super) struct Running {
    /// The file's text, as it was last taken up.
    pub(super) text: String,
    pub(super) config: Config,
    keys: Keys,
}

/// A configuration that is taken up next.
pub(super) struct Prepared {
    pub(super) running: Running,
    pub(super) policy: Policy,
    /// The keys that it changes.
    pub(super) changed: Vec<String>,
    /// The keys that differ and take a restart.
    pub(super) ignored: Vec<String>,
}

/// The keys of `[listen]`, of a source and of `[admin]` that a reload takes up, or compares and refuses
/// to change.
const LISTEN: [&str; 10] = [
    "address",
    "auth",
    "forwarded_header",
    "proxy_protocol",
    "reload",
    "tls.certificate",
    "tls.client_ca",
    "tls.client_certificate",
    "tls.client_crl",
    "tls.key",
];
const SOURCE: [&str; 7] =
    ["allow_from", "basic", "certificates", "headers", "on_unparseable", "path", "strict"];
const ADMIN: [&str; 4] = ["address", "password_env", "password_file", "read_only"];

const WRITE_WHOLE: &str = "Write the whole file; if it is meant, restart";
const RESTART: &str = "changing it takes a restart";
const OPENER: &str = "a running service does not become more open. Put it back, or restart";

impl Running {
    pub(super) fn new(reload: &Reload, config: Config) -> Running {
        let keys = config::keys(&reload.text, reload.environment.iter().cloned());
        Running { text: reload.text.clone(), config, keys }
    }

    /// Problems of a text that looks as if the rest of it were missing.
    pub(super) fn missing_in(&self, text: &str, keys: &Keys) -> Vec<String> {
        if is_blank(text) && !is_blank(&self.text) {
            return vec![format!("the configuration file is empty. {WRITE_WHOLE}")];
        }
        // Without its last comments it says the same.
        let is_cut = text.len() < self.text.len() && self.text.starts_with(text);
        if is_cut && *keys != self.keys {
            return vec![format!(
                "the configuration file ends too early, as if cut off. {WRITE_WHOLE}"
            )];
        }
        Vec::new()
    }

    /// Problems of a configuration that is right by itself: what it changes takes a restart, or would
    /// make the service more open.
    pub(super) fn refusals(&self, keys: &Keys, new: &Config) -> Vec<String> {
        let mut problems = vanished(&self.keys, keys);
        let mut report = |key: &str, message: &str| problems.push(format!("{key}: {message}"));
        listen(&self.config.listen, &new.listen, &mut report);
        sources(&self.config.sources, &new.sources, &mut report);
        admin(&self.config.admin, &new.admin, &mut report);
        secrets(&self.config, new, &mut report);
        // The new file may say that nobody else reaches it; what is bound is what counts.
        let bound = bound(&self.config.listen, &new.listen);
        for (key, message) in config::credential_problems(&bound, &new.sources) {
            report(&key, &message);
        }
        problems
    }

    /// The next state, with `new` taken up as far as a running service can.
    pub(super) fn prepare(
        &self,
        text: String,
        mut keys: Keys,
        new: Config,
        loaded: Option<LoadedTls>,
        before: Option<&LoadedTls>,
    ) -> Prepared {
        let ignored = ignored(&self.keys, &keys);
        let mut changed = changed(&self.config, &new);
        if let (Some(loaded), Some(before)) = (&loaded, before) {
            let files = loaded.changes(before).into_iter();
            changed.extend(files.map(|key| format!("the file of listen.tls.{key}")));
        }
        let Config { listen, sources, admin, .. } = new;
        let policy = Policy::new(&listen, &sources, loaded);
        let config = Config { listen, sources, admin, ..self.config.clone() };
        // Of what takes a restart, the start's goes on.
        keys.values.retain(|key, _| is_judged(key));
        keys.values.extend(self.keys.values.iter().filter(|(key, _)| !is_judged(key)).map(owned));
        keys.tables.retain(|table| is_judged_table(table));
        keys.tables.extend(self.keys.tables.iter().cloned());
        Prepared { running: Running { text, config, keys }, policy, changed, ignored }
    }
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

/// Returns whether a key is compared by its meaning, and so needs no comparison of how it is written.
fn is_judged(key: &str) -> bool {
    let within = |section: &str, keys: &[&str]| {
        key.strip_prefix(section).is_some_and(|rest| keys.contains(&rest))
    };
    let source = key.strip_prefix("sources.").and_then(|rest| rest.split_once('.'));
    within("listen.", &LISTEN)
        || key == "listen.trusted_proxies"
        || within("admin.", &ADMIN)
        || source.is_some_and(|(_, rest)| SOURCE.contains(&rest))
}

fn is_judged_table(table: &str) -> bool {
    matches!(table.split('.').next(), Some("listen" | "sources" | "admin"))
}

/// Sections that were there and are gone. Sources and TLS have reasons of their own.
fn vanished(before: &Keys, after: &Keys) -> Vec<String> {
    let gone = before.tables.difference(&after.tables);
    let gone = gone.filter(|table| *table != "listen.tls" && !table.starts_with("sources."));
    gone.map(|table| {
        format!(
            "{table}: the section has vanished from the configuration file, as if part of it were \
             missing. Put it back; if it is meant, restart"
        )
    })
    .collect()
}

fn listen(before: &Listen, after: &Listen, report: &mut impl FnMut(&str, &str)) {
    let restarts = [
        ("listen.address", before.address != after.address),
        ("listen.auth", before.allows_no_credentials != after.allows_no_credentials),
        ("listen.proxy_protocol", before.proxy_protocol != after.proxy_protocol),
        ("listen.tls", before.tls.is_some() != after.tls.is_some()),
    ];
    for (key, _) in restarts.iter().filter(|(_, differs)| *differs) {
        report(key, RESTART);
    }
    if opens(&before.trusted_proxies, &after.trusted_proxies, false) {
        let message = format!("now believes every address: {OPENER}");
        report("listen.trusted_proxies", &message);
    }
    if let (Some(before), Some(after)) = (&before.tls, &after.tls) {
        tls(before, after, report);
    }
}

fn tls(before: &ListenTls, after: &ListenTls, report: &mut impl FnMut(&str, &str)) {
    match (&before.clients, &after.clients) {
        (Some(before), Some(after)) => {
            if before.is_required && !after.is_required {
                report("listen.tls.client_certificate", RESTART);
            }
            if before.crl.is_some() && after.crl.is_none() {
                let message = format!("is gone, which allows revoked certificates: {OPENER}");
                report("listen.tls.client_crl", &message);
            }
        }
        (Some(_), None) => {
            report("listen.tls.client_ca", &format!("is gone: {OPENER}"));
        }
        (None, Some(_)) => report("listen.tls.client_ca", RESTART),
        (None, None) => {}
    }
}

fn sources(before: &[Source], after: &[Source], report: &mut impl FnMut(&str, &str)) {
    let named = |sources: &[Source], name: &str| sources.iter().any(|source| source.name == name);
    for new in after.iter().filter(|new| !named(before, &new.name)) {
        report(&format!("sources.{}", new.name), "adding a source takes a restart");
    }
    for old in before {
        let key = format!("sources.{}", old.name);
        let Some(new) = after.iter().find(|new| new.name == old.name) else {
            report(&key, "removing a source takes a restart");
            continue;
        };
        if old.path != new.path {
            report(&format!("{key}.path"), RESTART);
        }
        if !old.credentials.is_empty() && new.credentials.is_empty() {
            report(&key, &format!("has lost its last credential: {OPENER}"));
        }
        if opens(&old.allow_from, &new.allow_from, true) {
            let message = format!("now allows every address: {OPENER}");
            report(&format!("{key}.allow_from"), &message);
        }
    }
}

fn admin(before: &Admin, after: &Admin, report: &mut impl FnMut(&str, &str)) {
    if before.address != after.address {
        report("admin.address", RESTART);
    }
    if before.password.is_some() && after.password.is_none() {
        report("admin.password", &format!("is gone: {OPENER}"));
    }
    if before.is_read_only && !after.is_read_only {
        report("admin.read_only", &format!("is off: {OPENER}"));
    }
}

/// A secret's file that is being written holds its beginning, which is easier to guess than all of it.
fn secrets(before: &Config, after: &Config, report: &mut impl FnMut(&str, &str)) {
    let running = secrets_of(before);
    for (key, secret) in secrets_of(after) {
        let Some(file) = secret.file() else { continue };
        let is_cut = |old: &&Secret| {
            let (old_text, text) = (old.expose(), secret.expose());
            old.file() == Some(file) && text.len() < old_text.len() && old_text.starts_with(text)
        };
        if running.iter().map(|(_, old)| old).any(is_cut) {
            let file = file.display();
            report(&key, &format!("{file} ends too early, as if cut off. {WRITE_WHOLE}"));
        }
    }
}

fn secrets_of(config: &Config) -> Vec<(String, &Secret)> {
    let of_source = |source: &'_ Source| format!("sources.{}", source.name);
    let sources = config.sources.iter().flat_map(|source| {
        source.credentials.iter().filter_map(move |credential| match credential {
            Credential::Basic { password: secret, .. }
            | Credential::Header { value: secret, .. } => Some((of_source(source), secret)),
            Credential::Certificate(_) => None,
        })
    });
    let admin = config.admin.password.iter().map(|secret| ("admin.password".to_owned(), secret));
    sources.chain(admin).collect()
}

/// Returns whether networks have come to hold all addresses of IPv4 or of IPv6. `none_is_all`: no network
/// stands for every address.
fn opens(before: &[IpNet], after: &[IpNet], none_is_all: bool) -> bool {
    let holds_all = |nets: &[IpNet], is_v4: bool| {
        let family = nets.iter().filter(|net| matches!(net, IpNet::V4(_)) == is_v4);
        let merged = IpNet::aggregate(&family.copied().collect());
        (none_is_all && nets.is_empty()) || merged.iter().any(|net| net.prefix_len() == 0)
    };
    [true, false].into_iter().any(|is_v4| holds_all(after, is_v4) && !holds_all(before, is_v4))
}

/// The listener that is bound, with what a reload may change of it.
fn bound(running: &Listen, new: &Listen) -> Listen {
    let tls = running.tls.as_ref().map(|running| match &new.tls {
        Some(new) if new.clients.is_some() == running.clients.is_some() => new,
        _ => running,
    });
    Listen { tls: tls.cloned(), ..running.clone() }
}

/// The keys whose meaning a reload changes.
fn changed(before: &Config, after: &Config) -> Vec<String> {
    let (old, new) = (&before.listen, &after.listen);
    let mut keys: Vec<String> = [
        ("listen.tls", old.tls != new.tls),
        ("listen.trusted_proxies", old.trusted_proxies != new.trusted_proxies),
        ("listen.forwarded_header", old.forwarded_header != new.forwarded_header),
        ("listen.reload", old.reload != new.reload),
        ("admin.password", before.admin.password != after.admin.password),
        ("admin.read_only", before.admin.is_read_only != after.admin.is_read_only),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(key, _)| key.to_owned())
    .collect();
    for (old, new) in before.sources.iter().zip(&after.sources) {
        let parts = [
            ("credentials", old.credentials != new.credentials),
            ("allow_from", old.allow_from != new.allow_from),
            ("strict", old.strict != new.strict),
            ("on_unparseable", old.on_unparseable != new.on_unparseable),
        ];
        let parts = parts.into_iter().filter(|(_, differs)| *differs);
        keys.extend(parts.map(|(part, _)| format!("sources.{}.{part}", new.name)));
    }
    keys
}

/// The keys that are written otherwise than at the start and are read there only. A section that is
/// new is named as a whole.
fn ignored(running: &Keys, new: &Keys) -> Vec<String> {
    let names = running.values.keys().chain(new.values.keys());
    let differing =
        names.filter(|key| !is_judged(key) && running.values.get(*key) != new.values.get(*key));
    let mut found: Vec<String> = differing.map(|key| section_of(key, running)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The outermost table around a key that does not run; the key, if all of them do.
fn section_of(key: &str, running: &Keys) -> String {
    let ends = key.match_indices('.').map(|(end, _)| &key[..end]);
    let mut tables = ends.filter(|table| table.contains('.') || !is_group(table));
    tables.find(|table| !running.tables.contains(*table)).unwrap_or(key).to_owned()
}

/// Tables that hold nothing but tables.
fn is_group(table: &str) -> bool {
    matches!(table, "sources" | "sinks")
}
