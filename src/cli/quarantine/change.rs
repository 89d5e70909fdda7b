//! `quarantine retry` and `quarantine purge`: through the running service, or straight on the spool when none
//! is running.

use bytes::Bytes;
use serde::Serialize;

use super::PAGE;
use crate::admin::operations::{Purge, Purged, Retried};
use crate::app::system_clock;
use crate::cli::admin_client::AdminClient;
use crate::cli::loader::Loader;
use crate::cli::output::{count, json, progress, safe};
use crate::cli::{Failure, block_on};
use crate::config::Secrets;
use crate::receive::retry::{self, RetryRules};
use crate::spool::{OpenError, Settings, Spool};

/// What became of one retried entry, as JSON.
#[derive(Serialize)]
struct Tried {
    id: i64,
    #[serde(flatten)]
    done: Option<Retried>,
    /// Why it stays in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Retries each entry and says what became of it; fails if any stays.
pub(super) fn retry(
    loader: Loader<'_>,
    settings: &Settings,
    ids: &[i64],
    replacement: Option<&Bytes>,
    as_json: bool,
) -> Result<(), Failure> {
    let mut failed = 0;
    let bar = progress(ids.len() as u64, "entries");
    let mut tell = |id: i64, done: Result<Retried, Failure>| {
        failed += usize::from(done.is_err());
        bar.inc(1);
        bar.suspend(|| tell(id, done, as_json))
    };
    let reached = block_on(async {
        let reached = reach(loader, settings).await?;
        for &id in ids {
            let done = match &reached {
                Reached::Spool(spool, rules) => {
                    retry_offline(spool, rules, id, replacement.cloned()).await
                }
                Reached::Service(admin) => {
                    let request = admin.post(&format!("/api/quarantine/{id}/retry"));
                    admin.ask(request.body(replacement.cloned().unwrap_or_default())).await
                }
            };
            tell(id, done)?;
        }
        Ok(reached)
    })?;
    bar.finish_and_clear();
    reached.close();
    match failed {
        0 => Ok(()),
        failed => {
            let entries = count(ids.len() as u64, "entry");
            let verb = if failed == 1 { "stays" } else { "stay" };
            Err(Failure::Failed(format!("{failed} of {entries} {verb} in quarantine")))
        }
    }
}

fn tell(id: i64, done: Result<Retried, Failure>, as_json: bool) -> Result<(), Failure> {
    let (done, error) = match done {
        Ok(done) => (Some(done), None),
        Err(Failure::Failed(message) | Failure::Usage(message)) => (None, Some(message)),
        Err(Failure::Unread) => return Err(Failure::Unread),
    };
    if as_json {
        return json(&Tried { id, done, error });
    }
    if let Some(error) = error {
        eprintln!("{id}: {}", safe(&error));
    }
    match done {
        Some(Retried { released, duplicates: 0 }) => println!("{id}: {released} accepted"),
        Some(Retried { released, duplicates }) => {
            println!("{id}: {released} accepted, {duplicates} known already");
        }
        None => {}
    }
    Ok(())
}

async fn retry_offline(
    spool: &Spool,
    rules: &RetryRules,
    id: i64,
    replacement: Option<Bytes>,
) -> Result<Retried, Failure> {
    let (_, receipt) = retry::retry(spool, id, replacement, rules).await?;
    Ok(Retried::from(receipt))
}

/// Removes entries for good.
pub(super) fn purge(
    loader: Loader<'_>,
    settings: &Settings,
    ids: &[i64],
    as_json: bool,
) -> Result<(), Failure> {
    let (removed, reached) = block_on(async {
        let reached = reach(loader, settings).await?;
        let mut removed = 0;
        // In slices: one commit for all would make a running service wait for it.
        for ids in ids.chunks(PAGE as usize).map(<[i64]>::to_vec) {
            removed += match &reached {
                Reached::Spool(spool, _) => spool.remove(ids).await?.values().sum(),
                Reached::Service(admin) => {
                    let request = admin.post("/api/quarantine/purge").json(&Purge { ids });
                    admin.ask::<Purged>(request).await?.removed
                }
            };
        }
        Ok((removed, reached))
    })?;
    reached.close();
    if as_json {
        return json(&Purged { removed });
    }
    println!("{removed} removed");
    Ok(())
}

/// Place where the quarantine is changed.
enum Reached {
    /// The running service has the spool to itself.
    Service(AdminClient),
    /// No service runs.
    Spool(Box<Spool>, Box<RetryRules>),
}

impl Reached {
    fn close(self) {
        if let Reached::Spool(spool, _) = self {
            spool.close();
        }
    }
}

/// Reaches the running service with `[admin]` alone; without one, the spool, with what the service would go by. Neither
/// needs a secret of a sink or a source.
async fn reach(loader: Loader<'_>, settings: &Settings) -> Result<Reached, Failure> {
    match Spool::start(settings, system_clock()).await {
        Ok(spool) => match loader.config_without(Secrets::OfRedact) {
            Ok(config) => Ok(Reached::Spool(Box::new(spool), Box::new(RetryRules::new(&config)))),
            Err(failure) => {
                spool.close();
                Err(failure)
            }
        },
        Err(OpenError::InUse(_)) => Ok(Reached::Service(AdminClient::new(&loader.admin()?)?)),
        Err(error) => Err(error.into()),
    }
}
