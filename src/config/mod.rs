//! The configuration: the settings of all components, from one TOML file and the environment.
//!
//! Each component declares its settings beside its code and reads them with a [`Section`].
//! This module puts them together and checks what no component can see alone. `config/davinci-siem.toml` lists
//! every key with its default; `davinci-siem config schema` prints the JSON Schema.

mod assertions;
mod outputs;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use crate::admin::AdminConfig;
use crate::alerts::AlertsConfig;
use crate::deliver::SinkConfig;
use crate::event::OutcomeWords;
use crate::interactions::{InteractionsConfig, SUMMARY_SOURCE};
use crate::listener::ListenConfig;
use crate::pingone::PingOneConfig;
use crate::receive::retry::RetryRules;
use crate::receive::{self, LimitsConfig, Policy, ReceiverConfig, SharedPolicy, SourceConfig};
use crate::reconcile::ReconcileConfig;
use crate::redact::{RedactConfig, Redaction};
use crate::settings::{self, Problems, Secrets, Section, suggestion};
use crate::spool::{Engine, SpoolConfig};
use crate::telemetry::LogConfig;
use crate::traces::TracesConfig;

pub use crate::settings::text_of;
pub use assertions::{ConfigTest, ExpectedField, ExpectedResult, TestEvent};

/// The reference manual, which is also a valid file with the defaults.
pub const REFERENCE: &str = include_str!("../../config/davinci-siem.toml");

/// The whole configuration, without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[listen]`
    pub listen: ListenConfig,
    /// `[sources.NAME]`, at least one.
    pub sources: Vec<SourceConfig>,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[outcomes]`: words by which the operator's flows report an outcome.
    pub outcomes: Arc<OutcomeWords>,
    /// `[redact]`: data that never reaches the disk.
    pub redact: Option<RedactConfig>,
    /// `[spool]`
    pub spool: SpoolConfig,
    /// `[interactions]`: summaries of flow runs.
    pub interactions: InteractionsConfig,
    /// `[sinks.NAME]`, at least one.
    pub sinks: Vec<SinkConfig>,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[alerts]`; without it no messages are sent.
    pub alerts: Option<AlertsConfig>,
    /// `[log]`
    pub log: LogConfig,
    /// `[traces]`; without it no traces are made.
    pub traces: Option<TracesConfig>,
    /// `[pingone]`; without it nothing is read from PingOne.
    pub pingone: Option<PingOneConfig>,
    /// `[reconcile]`; without it the service does not compare.
    pub reconcile: Option<ReconcileConfig>,
    /// `[[tests]]`: expectations of the operator, for `check --tests`.
    pub tests: Vec<ConfigTest>,
}

impl Config {
    /// Returns the settings of the receiver that no reload changes.
    pub fn receiver(&self) -> ReceiverConfig {
        ReceiverConfig {
            limits: self.limits.clone(),
            outcomes: Arc::clone(&self.outcomes),
            redact: self.redact.clone(),
        }
    }

    /// Returns the rules for a retry out of the quarantine, with a policy that no reload changes.
    pub fn retry_rules(&self) -> RetryRules {
        let policy = Policy::new(&self.listen, &self.sources, None);
        self.retry_rules_with(Arc::new(SharedPolicy::new(policy)))
    }

    /// Returns the rules for a retry out of the quarantine, with the policy that reloads replace.
    pub fn retry_rules_with(&self, policy: Arc<SharedPolicy>) -> RetryRules {
        RetryRules {
            policy,
            sinks: self.sinks.iter().map(|sink| sink.name.clone()).collect(),
            body_limit: self.limits.body,
            redaction: self.redact.as_ref().map(Redaction::new),
        }
    }
}

/// Reads the file, if there is one, and the environment over it.
///
/// # Errors
/// Returns every mistake.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Problems> {
    load_with(file, environment, Secrets::All)
}

/// Reads the file and the environment, and only some secrets: an unusable value stands for each other secret.
///
/// # Errors
/// Returns every mistake.
pub fn load_with(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    secrets: Secrets,
) -> Result<Config, Problems> {
    settings::read(&text_of(file)?, file, environment, secrets, read)
}

/// Reads a configuration from text; `file` only names the file in problems.
///
/// # Errors
/// Returns every mistake.
pub fn parse(
    text: &str,
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Problems> {
    settings::read(text, file, environment, Secrets::All, read)
}

/// Returns the JSON Schema (draft 2020-12) of a configuration file, made by the code that reads one.
pub fn schema() -> serde_json::Value {
    settings::schema(read)
}

/// Reads a part of the configuration: the keys that `read` reads. A command must not fail because of other settings,
/// such as the secrets of sinks.
///
/// # Errors
/// Returns the mistakes of this part.
pub(crate) fn load_part<T>(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    secrets: Secrets,
    read: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Result<T, Problems> {
    settings::read(&text_of(file)?, file, environment, secrets, |root| {
        let value = read(root);
        root.ignore_rest();
        value
    })
}

fn read(root: &mut Section<'_>) -> Option<Config> {
    let listen = root.table("listen", "Address of the webhooks.", ListenConfig::read);
    let sources = SourceConfig::read_all(root);
    let limits = root.table("limits", "Upper bounds of requests.", LimitsConfig::read);
    let doc = "Words of your flows for a success and a failure, beside the built-in ones.";
    let outcomes = root.table("outcomes", doc, OutcomeWords::read).map(Arc::new);
    let redact = RedactConfig::read(root);
    let spool = read_spool(root, limits.as_ref().map_or(0, |limits| limits.body));
    let mut interactions = InteractionsConfig::read(root);
    if let (Some(interactions), Some(sources)) = (&mut interactions, &sources) {
        let own = sources
            .iter()
            .filter_map(|source| Some((source.name.clone(), source.interaction_timeout?)));
        interactions.timeouts = own.collect();
    }
    let mut sinks = SinkConfig::read_all(root);
    for sink in sinks.iter_mut().flatten() {
        sink.outcomes = outcomes.clone().unwrap_or_default();
    }
    let admin = AdminConfig::read(root);
    let alerts = AlertsConfig::read(root);
    let log = LogConfig::read(root);
    let traces = TracesConfig::read(root);
    let pingone = PingOneConfig::read(root);
    let reconcile = ReconcileConfig::read(root);
    let tests = ConfigTest::read_all(root);
    if let (Some(listen), Some(sources)) = (&listen, &sources) {
        for (key, message) in receive::credential_problems(listen, sources) {
            root.report(&key, message);
        }
    }
    if let (Some(listen), Some(admin)) = (&listen, &admin)
        && admin.address == listen.address
        && admin.address.port() != 0
    {
        root.report("admin.address", "is listen.address too; use another port");
    }
    if let (Some(spool), Some(limits)) = (&spool, &limits)
        && let Some((key, message)) = spool.mistake(limits.body)
    {
        root.report(key, message);
    }
    if let (Some(interactions), Some(sources), Some(spool)) = (&interactions, &sources, &spool) {
        check_interactions(interactions, sources, spool, root);
    }
    if let (Some(sources), Some(sinks)) = (&sources, &sinks) {
        let has_summaries = interactions.as_ref().is_some_and(|interactions| interactions.enabled);
        check_filters(sources, has_summaries, sinks, root);
        assertions::check(tests.as_deref().unwrap_or_default(), sources, sinks, root);
    }
    if let (Some(pingone), Some(sources)) = (&pingone, &sources) {
        check_pingone(pingone.as_ref(), reconcile.as_ref(), sources, root);
    }
    if let (Some(listen), Some(spool), Some(sinks)) = (&listen, &spool, &sinks) {
        outputs::check(listen, spool, sinks, root);
    }
    Some(Config {
        listen: listen?,
        sources: sources?,
        limits: limits?,
        outcomes: outcomes?,
        redact: redact?,
        spool: spool?,
        interactions: interactions?,
        sinks: sinks?,
        admin: admin?,
        alerts: alerts?,
        log: log?,
        traces: traces?,
        pingone: pingone?,
        reconcile: reconcile?,
        tests: tests?,
    })
}

/// Reads `[spool]`. `body` is `limits.body`, in bytes: the quarantine must have room for one.
pub(crate) fn read_spool(root: &mut Section<'_>, body: u64) -> Option<SpoolConfig> {
    let doc = "Storage of events until every sink has them.";
    root.table("spool", doc, |section| SpoolConfig::read(section, body))
}

/// Reports a source of `[pingone]` that does not exist or is not certain, and `[reconcile]` without credentials.
fn check_pingone(
    pingone: Option<&PingOneConfig>,
    reconcile: Option<&Option<ReconcileConfig>>,
    sources: &[SourceConfig],
    root: &mut Section<'_>,
) {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let known = names.join(", ");
    match pingone.map(|pingone| pingone.source.as_deref()) {
        Some(Some(name)) if !names.contains(&name) => {
            root.report(
                "pingone.source",
                match suggestion(name, &names) {
                    meant if meant.is_empty() => {
                        format!("is not one of {known}; write one of them")
                    }
                    meant => format!("is not one of {known}{meant}"),
                },
            );
        }
        Some(None) if names.len() > 1 => {
            let message =
                format!("is missing, and there are several sources; write one of {known}");
            root.report("pingone.source", message);
        }
        None if matches!(reconcile, Some(Some(_))) => {
            root.report("reconcile", "needs [pingone], the credentials for PingOne's API");
        }
        _ => {}
    }
}

/// Reports settings with which no summaries of flow runs can be made.
fn check_interactions(
    interactions: &InteractionsConfig,
    sources: &[SourceConfig],
    spool: &SpoolConfig,
    root: &mut Section<'_>,
) {
    if !interactions.enabled {
        return;
    }
    if spool.engine != Engine::Embedded {
        let advice = "needs engine = \"embedded\": the events of one flow run may reach several receivers, and none \
                      of them sees the whole run in the order of the stream. Leave it out, or use one receiver with \
                      the embedded engine";
        root.report("interactions.enabled", advice);
    }
    if sources.iter().any(|source| source.name == SUMMARY_SOURCE) {
        let advice = "is the name under which summaries are stored while interactions.enabled = true; rename the \
                      source";
        root.report(&format!("sources.{SUMMARY_SOURCE}"), advice);
    }
}

/// Reports filters with the name of a source that does not exist.
fn check_filters(
    sources: &[SourceConfig],
    has_summaries: bool,
    sinks: &[SinkConfig],
    root: &mut Section<'_>,
) {
    let names = sources.iter().map(|source| source.name.as_str());
    let names: Vec<&str> = names.chain(has_summaries.then_some(SUMMARY_SOURCE)).collect();
    for sink in sinks {
        let filters = sink.routing.include.iter().chain(&sink.routing.exclude);
        for name in filters
            .flat_map(|filter| &filter.sources)
            .filter(|name| !names.contains(&name.as_str()))
        {
            let meant = suggestion(name, &names);
            let message =
                format!("filters by a source that is not one of {}{meant}", names.join(", "));
            root.report(&format!("sinks.{}", sink.name), message);
        }
    }
}

#[cfg(test)]
mod tests;
