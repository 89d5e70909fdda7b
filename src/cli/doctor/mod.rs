//! `doctor`: finds what stands between PingOne and this service, each with its remedy. Changes nothing, and sends no
//! event.

mod finding;
mod pingone;
mod service;
mod webhook;

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;
use clap::builder::styling::AnsiColor;
use url::Url;

use super::loader::Loader;
use super::output::{colored, count, json, safe};
use super::{CommandFailure, block_on, known};
use crate::config::Config;
use crate::http_client::parse_url;
use crate::pingone::Subscription;
use crate::receive::SourceConfig;
use finding::{CheckResult, CheckState, Examination};
use service::Probe;

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// URL of the webhook, as PingOne reaches it; default: the URL of the webhook in PingOne
    #[arg(long, value_name = "URL", value_parser = webhook_url)]
    url: Option<Url>,
    /// PEM file with the authorities that PingOne trusts for this webhook; default: the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Source to examine; default: `pingone.source`, or the only one
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn webhook_url(text: &str) -> Result<Url, String> {
    parse_url(text).map_err(|problem| format!("the URL {problem}"))
}

/// Prints the result of each check. Returns `Err` if one has found a problem.
pub(super) fn run(arguments: &DoctorArguments, loader: Loader<'_>) -> Result<(), CommandFailure> {
    let config = loader.config()?;
    let source = source_of(arguments, &config)?;
    let examination = block_on(async { Ok(examine(arguments, &config, source).await) })?;
    if arguments.json {
        json(&examination)?;
    } else {
        examination.checks.iter().try_for_each(print)?;
    }
    let problems = examination.checks.iter().filter(|check| check.state == CheckState::Problem);
    match problems.count() {
        0 => Ok(()),
        number => {
            Err(CommandFailure::Answered(format!("found {}", count(number as u64, "problem"))))
        }
    }
}

async fn examine(
    arguments: &DoctorArguments,
    config: &Config,
    source: &SourceConfig,
) -> Examination {
    let mut checks = vec![service::readiness(&config.admin).await];
    let webhooks = pingone::examine(config.pingone.as_ref(), &source.path, &mut checks).await;
    match arguments.url.clone().map_or_else(|| url_of(&webhooks), Ok) {
        Ok(url) => {
            let probe = Probe { url, authorities: arguments.cacert.clone(), source };
            probe.examine(&mut checks).await;
        }
        Err(reason) => checks.push(CheckResult::skipped("reachable", reason)),
    }
    Examination { source: source.name.clone(), checks }
}

/// Returns the URL to which the enabled webhooks post. It gets the source's credentials, so it must be the only one.
fn url_of(webhooks: &[Subscription]) -> Result<Url, &'static str> {
    let enabled = webhooks.iter().filter(|webhook| webhook.enabled);
    let urls: HashSet<Url> =
        enabled.filter_map(|webhook| webhook.http_endpoint.url.parse().ok()).collect();
    let mut urls = urls.into_iter();
    match (urls.next(), urls.next()) {
        (Some(mut url), None) => {
            // A URL with a host takes them.
            let _ = (url.set_username(""), url.set_password(None));
            Ok(url)
        }
        (None, _) => Err("the webhook's URL is not known; give it with --url"),
        _ => Err("webhooks post to several URLs; give the URL of this service with --url"),
    }
}

fn source_of<'c>(
    arguments: &DoctorArguments,
    config: &'c Config,
) -> Result<&'c SourceConfig, CommandFailure> {
    let names = config.sources.iter().map(|source| source.name.clone()).collect();
    let of_pingone = config.pingone.as_ref().and_then(|pingone| pingone.source.as_ref());
    let name = arguments.source.as_ref().or(of_pingone);
    let found = match name {
        Some(name) => config.sources.iter().find(|source| source.name == *name),
        None if config.sources.len() == 1 => config.sources.first(),
        None => {
            let message = "davinci-siem: there are several sources; name one with --source";
            return Err(CommandFailure::Usage(message.to_owned()));
        }
    };
    found.ok_or_else(|| known::unknown("--source", name.map_or("", String::as_str), &names))
}

fn print(check: &CheckResult) -> Result<(), CommandFailure> {
    let (word, style) = match check.state {
        CheckState::Ok => ("ok", AnsiColor::Green.on_default()),
        CheckState::Problem => ("problem", AnsiColor::Red.on_default()),
        CheckState::Skipped => ("skipped", AnsiColor::Yellow.on_default()),
    };
    let state = colored(&format!("{word:7}"), style);
    print_line!("{state}  {:16}  {}", check.check, safe(&check.message))?;
    match &check.fix {
        Some(fix) => print_line!("{:7}  {:16}  {}", "", "", safe(fix)),
        None => Ok(()),
    }
}
