//! `quarantine retry` and `quarantine purge`: through the running service, or straight on the spool when none
//! is running.

use bytes::Bytes;
use serde::Serialize;

use super::PAGE;
use crate::admin::operations::{Purge, Purged, Retried};
use crate::app::system_clock;
use crate::cli::admin_client::AdminClient;
use crate::cli::output::{json, progress, safe};
use crate::cli::{Failure, block_on};
use crate::config::Config;
use crate::receive::retry::{self, Rules};
use crate::spool::{OpenError, Spool};

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
    config: &Config,
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
    let admin = AdminClient::new(&config.admin)?;
    let offline = block_on(async {
        let offline = open_offline(config).await?;
        for &id in ids {
            let done = match &offline {
                Some(spool) => retry_offline(spool, config, id, replacement.cloned()).await,
                None => {
                    let request = admin.post(&format!("/api/quarantine/{id}/retry"));
                    admin.ask(request.body(replacement.cloned().unwrap_or_default())).await
                }
            };
            tell(id, done)?;
        }
        Ok(offline)
    })?;
    bar.finish_and_clear();
    if let Some(spool) = offline {
        spool.close();
    }
    match failed {
        0 => Ok(()),
        failed => {
            Err(Failure::Failed(format!("{failed} of {} entries stay in quarantine", ids.len())))
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
    config: &Config,
    id: i64,
    replacement: Option<Bytes>,
) -> Result<Retried, Failure> {
    let (_, receipt) = retry::retry(spool, id, replacement, &Rules::new(config)).await?;
    Ok(Retried::from(receipt))
}

/// Removes entries for good.
pub(super) fn purge(config: &Config, ids: &[i64], as_json: bool) -> Result<(), Failure> {
    let (removed, offline) = block_on(async {
        let offline = open_offline(config).await?;
        let admin = AdminClient::new(&config.admin)?;
        let mut removed = 0;
        // In slices: one commit for all would make a running service wait for it.
        for ids in ids.chunks(PAGE as usize).map(<[i64]>::to_vec) {
            removed += match &offline {
                Some(spool) => spool.remove(ids).await?.values().sum(),
                None => {
                    let request = admin.post("/api/quarantine/purge").json(&Purge { ids });
                    admin.ask::<Purged>(request).await?.removed
                }
            };
        }
        Ok((removed, offline))
    })?;
    if let Some(spool) = offline {
        spool.close();
    }
    if as_json {
        return json(&Purged { removed });
    }
    println!("{removed} removed");
    Ok(())
}

/// The spool itself, unless a running service has it to itself.
async fn open_offline(config: &Config) -> Result<Option<Spool>, Failure> {
    match Spool::start(&config.spool, system_clock()).await {
        Ok(spool) => Ok(Some(spool)),
        Err(OpenError::InUse(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
