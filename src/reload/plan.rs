//! Comparison of a new configuration with the running one: reasons to refuse it, its changes, and changes that need a
//! restart.

use std::sync::Arc;

use ipnet::IpNet;

use super::Reload;
use crate::admin::AdminConfig;
use crate::config::Config;
use crate::listener::tls::LoadedTls;
use crate::listener::{ListenConfig, ListenTlsConfig};
use crate::receive::Policy;
use crate::receive::{Credential, SourceConfig, credential_problems};
use crate::secret::Secret;
use crate::settings::{Keys, keys};

/// Running configuration: that of the start, with the changes of reloads. Sections that need a restart are those of
/// the start.
pub(super) struct RunningConfig {
    /// Text of the file at the last applied reload.
    pub(super) text: String,
    pub(super) config: Config,
    keys: Keys,
}

/// A validated configuration, ready to apply.
pub(super) struct PreparedReload {
    pub(super) running: RunningConfig,
    pub(super) policy: Policy,
    /// Keys that it changes.
    pub(super) changed: Vec<String>,
    /// Names of the sinks that have other keys than before, added ones included.
    pub(super) changed_sinks: Vec<String>,
    /// Changed keys that need a restart.
    pub(super) ignored: Vec<String>,
}

/// Keys of `[listen]`, of a source and of `[admin]` that are compared by their values: a reload applies or refuses
/// their changes.
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

/// Prefix of the keys of sinks. Their changes are applied, sink by sink.
const SINKS: &str = "sinks.";

const WRITE_WHOLE: &str = "Write the complete file; if the change is intended, restart";
const RESTART: &str = "a change needs a restart";
const WEAKENS: &str = "a reload must not weaken access control. Restore the setting, or restart";

impl RunningConfig {
    pub(super) fn new(reload: &Reload, config: Config) -> RunningConfig {
        let keys = keys(&reload.text, reload.environment.iter().cloned());
        RunningConfig { text: reload.text.clone(), config, keys }
    }

    /// Returns problems of a text that seems to be truncated.
    pub(super) fn missing_in(&self, text: &str, keys: &Keys) -> Vec<String> {
        if is_blank(text) && !is_blank(&self.text) {
            return vec![format!("the configuration file is empty. {WRITE_WHOLE}")];
        }
        // A missing comment at the end changes no key.
        let is_cut = text.len() < self.text.len() && self.text.starts_with(text);
        if is_cut && *keys != self.keys {
            return vec![format!(
                "the configuration file ends too early and seems truncated. {WRITE_WHOLE}"
            )];
        }
        Vec::new()
    }

    /// Returns problems of a valid configuration: changes that need a restart, or that weaken access control.
    pub(super) fn refusals(&self, keys: &Keys, new: &Config) -> Vec<String> {
        let mut problems = vanished(&self.keys, keys);
        let mut report = |key: &str, message: &str| problems.push(format!("{key}: {message}"));
        listen(&self.config.listen, &new.listen, &mut report);
        sources(&self.config.sources, &new.sources, &mut report);
        sinks(&self.config, new, &self.keys, &mut report);
        admin(&self.config.admin, &new.admin, &mut report);
        secrets(&self.config, new, &mut report);
        // Rules for credentials depend on the bound address, not on the address in the new file.
        let bound = bound(&self.config.listen, &new.listen);
        for (key, message) in credential_problems(&bound, &new.sources) {
            report(&key, &message);
        }
        problems
    }

    /// Returns the next state, with the changes of `new` that need no restart.
    pub(super) fn prepare(
        &self,
        text: String,
        mut keys: Keys,
        new: Config,
        loaded: Option<LoadedTls>,
        before: Option<&LoadedTls>,
    ) -> PreparedReload {
        let ignored = differing(&self.keys, &keys, |key| !is_compared(key));
        let mut changed = changed(&self.config, &new);
        changed.extend(differing(&self.keys, &keys, |key| key.starts_with(SINKS)));
        let changed_sinks = changed_sinks(&self.keys, &keys, &new);
        if let (Some(loaded), Some(before)) = (&loaded, before) {
            let files = loaded.changes(before).into_iter();
            changed.extend(files.map(|key| format!("the file of listen.tls.{key}")));
        }
        let Config { listen, sources, mut sinks, admin, .. } = new;
        // `[outcomes]` needs a restart, for the sinks, too.
        sinks.iter_mut().for_each(|sink| sink.outcomes = Arc::clone(&self.config.outcomes));
        let policy = Policy::new(&listen, &sources, loaded);
        let config = Config { listen, sources, sinks, admin, ..self.config.clone() };
        // Keys that need a restart keep the values of the start.
        keys.values.retain(|key, _| is_compared(key));
        keys.values.extend(self.keys.values.iter().filter(|(key, _)| !is_compared(key)).map(owned));
        keys.tables.retain(|table| is_compared_table(table));
        let kept = self.keys.tables.iter().filter(|table| !is_compared_table(table));
        keys.tables.extend(kept.cloned());
        let running = RunningConfig { text, config, keys };
        PreparedReload { running, policy, changed, changed_sinks, ignored }
    }
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

/// Returns true if a key is compared by its value instead of its text.
fn is_compared(key: &str) -> bool {
    let within = |section: &str, keys: &[&str]| {
        key.strip_prefix(section).is_some_and(|rest| keys.contains(&rest))
    };
    let source = key.strip_prefix("sources.").and_then(|rest| rest.split_once('.'));
    within("listen.", &LISTEN)
        || key == "listen.trusted_proxies"
        || within("admin.", &ADMIN)
        || key.starts_with(SINKS)
        || source.is_some_and(|(_, rest)| SOURCE.contains(&rest))
}

fn is_compared_table(table: &str) -> bool {
    matches!(table.split('.').next(), Some("listen" | "sources" | "sinks" | "admin"))
}

/// Returns problems for sections that are missing. Sources and TLS have messages of their own; a table within a sink
/// may be removed.
fn vanished(before: &Keys, after: &Keys) -> Vec<String> {
    let is_within_sink =
        |table: &str| table.strip_prefix(SINKS).is_some_and(|rest| rest.contains('.'));
    let gone = before.tables.difference(&after.tables);
    let gone = gone.filter(|table| {
        *table != "listen.tls" && !table.starts_with("sources.") && !is_within_sink(table)
    });
    gone.map(|table| {
        format!(
            "{table}: the section is missing from the configuration file, as if the file were incomplete. \
             Restore it; if the change is intended, restart"
        )
    })
    .collect()
}

fn listen(before: &ListenConfig, after: &ListenConfig, report: &mut impl FnMut(&str, &str)) {
    let restarts = [
        ("listen.address", before.address != after.address),
        ("listen.auth", before.allows_no_credentials != after.allows_no_credentials),
        ("listen.proxy_protocol", before.proxy_protocol != after.proxy_protocol),
        ("listen.tls", before.tls.is_some() != after.tls.is_some()),
    ];
    for (key, _) in restarts.iter().filter(|(_, differs)| *differs) {
        report(key, RESTART);
    }
    if covers_all_now(&before.trusted_proxies, &after.trusted_proxies, false) {
        let message = format!("now trusts every address: {WEAKENS}");
        report("listen.trusted_proxies", &message);
    }
    if let (Some(before), Some(after)) = (&before.tls, &after.tls) {
        tls(before, after, report);
    }
}

fn tls(before: &ListenTlsConfig, after: &ListenTlsConfig, report: &mut impl FnMut(&str, &str)) {
    match (&before.clients, &after.clients) {
        (Some(before), Some(after)) => {
            if before.is_required && !after.is_required {
                report("listen.tls.client_certificate", RESTART);
            }
            if before.crl.is_some() && after.crl.is_none() {
                let message =
                    format!("was removed, which would allow revoked certificates: {WEAKENS}");
                report("listen.tls.client_crl", &message);
            }
        }
        (Some(_), None) => {
            report("listen.tls.client_ca", &format!("was removed: {WEAKENS}"));
        }
        (None, Some(_)) => report("listen.tls.client_ca", RESTART),
        (None, None) => {}
    }
}

fn sources(before: &[SourceConfig], after: &[SourceConfig], report: &mut impl FnMut(&str, &str)) {
    let named =
        |sources: &[SourceConfig], name: &str| sources.iter().any(|source| source.name == name);
    for new in after.iter().filter(|new| !named(before, &new.name)) {
        report(&format!("sources.{}", new.name), "adding a source needs a restart");
    }
    for old in before {
        let key = format!("sources.{}", old.name);
        let Some(new) = after.iter().find(|new| new.name == old.name) else {
            report(&key, "removing a source needs a restart");
            continue;
        };
        if old.path != new.path {
            report(&format!("{key}.path"), RESTART);
        }
        if !old.credentials.is_empty() && new.credentials.is_empty() {
            report(&key, &format!("the last credential was removed: {WEAKENS}"));
        }
        if covers_all_now(&old.allow_from, &new.allow_from, true) {
            let message = format!("now allows every address: {WEAKENS}");
            report(&format!("{key}.allow_from"), &message);
        }
    }
}

/// Reports a sink that is gone, and one whose events would no longer be redacted. A sink with a section in the file is
/// reported as missing; here is the default sink, which another one replaces.
fn sinks(before: &Config, after: &Config, keys: &Keys, report: &mut impl FnMut(&str, &str)) {
    let is_kept = |name: &str| after.sinks.iter().any(|sink| sink.name == name);
    for sink in before.sinks.iter().filter(|sink| !is_kept(&sink.name)) {
        let key = format!("{SINKS}{}", sink.name);
        if !keys.tables.contains(&key) {
            report(&key, "removing a sink needs a restart");
        }
    }
    for old in before.sinks.iter().filter(|old| old.redact.is_some()) {
        let new = after.sinks.iter().find(|new| new.name == old.name);
        if new.is_some_and(|new| new.redact.is_none()) {
            let key = format!("{SINKS}{}.redact", old.name);
            report(
                &key,
                "was removed: a reload must not stop redaction. Restore the setting, or restart",
            );
        }
    }
}

fn admin(before: &AdminConfig, after: &AdminConfig, report: &mut impl FnMut(&str, &str)) {
    if before.address != after.address {
        report("admin.address", RESTART);
    }
    if before.password.is_some() && after.password.is_none() {
        report("admin.password", &format!("was removed: {WEAKENS}"));
    }
    if before.is_read_only && !after.is_read_only {
        report("admin.read_only", &format!("is now false: {WEAKENS}"));
    }
}

/// Reports truncated secret files. A file that is being written contains a prefix, which is easier to guess.
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
            report(&key, &format!("{file} ends too early and seems truncated. {WRITE_WHOLE}"));
        }
    }
}

fn secrets_of(config: &Config) -> Vec<(String, &Secret)> {
    let of_source = |source: &'_ SourceConfig| format!("sources.{}", source.name);
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

/// Returns true if the networks now cover all IPv4 or all IPv6 addresses and did not before. With `none_is_all`, an
/// empty list covers every address.
fn covers_all_now(before: &[IpNet], after: &[IpNet], none_is_all: bool) -> bool {
    let holds_all = |nets: &[IpNet], is_v4: bool| {
        let family = nets.iter().filter(|net| matches!(net, IpNet::V4(_)) == is_v4);
        let merged = IpNet::aggregate(&family.copied().collect());
        (none_is_all && nets.is_empty()) || merged.iter().any(|net| net.prefix_len() == 0)
    };
    [true, false].into_iter().any(|is_v4| holds_all(after, is_v4) && !holds_all(before, is_v4))
}

/// Returns the bound listener with the changes that a reload applies.
fn bound(running: &ListenConfig, new: &ListenConfig) -> ListenConfig {
    let tls = running.tls.as_ref().map(|running| match &new.tls {
        Some(new) if new.clients.is_some() == running.clients.is_some() => new,
        _ => running,
    });
    ListenConfig { tls: tls.cloned(), ..running.clone() }
}

/// Returns the keys that the reload changes.
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
    for new in &after.sources {
        let Some(old) = before.sources.iter().find(|old| old.name == new.name) else { continue };
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

/// Returns the names of the sinks whose keys differ.
fn changed_sinks(running: &Keys, new: &Keys, config: &Config) -> Vec<String> {
    let names = config.sinks.iter().map(|sink| sink.name.clone());
    let differs = |name: &String| {
        let own = format!("{SINKS}{name}.");
        !differing(running, new, |key| key.starts_with(&own)).is_empty()
    };
    names.filter(differs).collect()
}

/// Returns those of the keys `wanted` whose text differs. A new section is listed as a whole.
fn differing(running: &Keys, new: &Keys, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let names = running.values.keys().chain(new.values.keys());
    let differing =
        names.filter(|key| wanted(key) && running.values.get(*key) != new.values.get(*key));
    let mut found: Vec<String> = differing.map(|key| section_of(key, running)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns the outermost new table around a key, or the key if all its tables existed at start.
fn section_of(key: &str, running: &Keys) -> String {
    let ends = key.match_indices('.').map(|(end, _)| &key[..end]);
    let mut tables = ends.filter(|table| table.contains('.') || !is_group(table));
    tables.find(|table| !running.tables.contains(*table)).unwrap_or(key).to_owned()
}

/// Returns true for tables that only contain tables.
fn is_group(table: &str) -> bool {
    matches!(table, "sources" | "sinks")
}
