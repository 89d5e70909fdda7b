//! `quarantine retry` and `quarantine purge`: through the running service, or directly on the spool if no
//! service runs.

use bytes::Bytes;
use serde::Serialize;

use super::PAGE_ENTRIES;
use crate::admin::operations::{PurgeRequest, PurgeResponse, RetryResponse};
use crate::app::system_clock;
use crate::audit::AuditDetails;
use crate::cli::admin_client::AdminClient;
use crate::cli::audit::note_offline;
use crate::cli::loader::Loader;
use crate::cli::output::{count, json, progress, safe};
use crate::cli::{CommandFailure, block_on};
use crate::receive::retry::{self, RetryRules};
use crate::settings::Secrets;
use crate::spool::{OpenError, Spool, SpoolConfig};

/// Result of one retry, as JSON.
#[derive(Serialize)]
struct RetryResult {
    id: i64,
    #[serde(flatten)]
    result: Option<RetryResponse>,
    /// Reason why the entry stays in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Retries each entry and prints its result. Returns `Err` if any entry stays.
pub(super) fn retry(
    loader: Loader<'_>,
    settings: &SpoolConfig,
    ids: &[i64],
    replacement: Option<&Bytes>,
    as_json: bool,
) -> Result<(), CommandFailure> {
    let mut failed = 0;
    let bar = progress(ids.len() as u64, "entries");
    let mut report = |id: i64, result: Result<RetryResponse, CommandFailure>| {
        failed += usize::from(result.is_err());
        bar.inc(1);
        bar.suspend(|| print_result(id, result, as_json))
    };
    let access = block_on(async {
        let access = open_access(loader, settings).await?;
        for &id in ids {
            let result = match &access {
                QuarantineAccess::Spool(spool, rules) => {
                    let result = retry_offline(spool, rules, id, replacement.cloned()).await;
                    let details = AuditDetails::retry(replacement.is_some());
                    let object = id.to_string();
                    note_offline(
                        &settings.directory,
                        ("retry", &object),
                        result.is_ok(),
                        &[],
                        details,
                    );
                    result
                }
                QuarantineAccess::Service(admin) => {
                    let request = admin.post(&format!("/api/quarantine/{id}/retry"));
                    admin.request(request.body(replacement.cloned().unwrap_or_default())).await
                }
            };
            report(id, result)?;
        }
        Ok(access)
    })?;
    bar.finish_and_clear();
    access.close();
    match failed {
        0 => Ok(()),
        failed => {
            let entries = count(ids.len() as u64, "entry");
            let verb = if failed == 1 { "stays" } else { "stay" };
            Err(CommandFailure::Answered(format!("{failed} of {entries} {verb} in quarantine")))
        }
    }
}

fn print_result(
    id: i64,
    result: Result<RetryResponse, CommandFailure>,
    as_json: bool,
) -> Result<(), CommandFailure> {
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(failure) => match failure.message() {
            Some(message) => (None, Some(message)),
            None => return Err(CommandFailure::OutputClosed),
        },
    };
    if as_json {
        return json(&RetryResult { id, result, error });
    }
    if let Some(error) = error {
        eprintln!("{id}: {}", safe(&error));
    }
    match result {
        Some(RetryResponse { released, duplicates: 0 }) => {
            print_line!("{id}: {released} accepted")?;
        }
        Some(RetryResponse { released, duplicates }) => {
            print_line!("{id}: {released} accepted, {duplicates} duplicates")?;
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
) -> Result<RetryResponse, CommandFailure> {
    let (_, receipt) = retry::retry(spool, id, replacement, rules).await?;
    Ok(RetryResponse::from(receipt))
}

/// Removes entries permanently. With `expects_all`, returns `Err` if an entry does not exist.
pub(super) fn purge(
    loader: Loader<'_>,
    settings: &SpoolConfig,
    ids: &[i64],
    expects_all: bool,
    as_json: bool,
) -> Result<(), CommandFailure> {
    let (removed, access) = block_on(async {
        let access = open_access(loader, settings).await?;
        let mut removed = 0;
        // One page per commit: a single large commit would block a running service.
        for ids in ids.chunks(PAGE_ENTRIES as usize).map(<[i64]>::to_vec) {
            removed += match &access {
                QuarantineAccess::Spool(spool, _) => {
                    let details = AuditDetails::purge(&ids);
                    let result = spool.remove(ids).await.map(|removed| removed.values().sum());
                    let counts = result.as_ref().ok().map(|removed| ("removed", *removed));
                    note_offline(
                        &settings.directory,
                        ("purge", ""),
                        result.is_ok(),
                        counts.as_slice(),
                        details,
                    );
                    result?
                }
                QuarantineAccess::Service(admin) => {
                    let request = admin.post("/api/quarantine/purge").json(&PurgeRequest { ids });
                    admin.request::<PurgeResponse>(request).await?.removed
                }
            };
        }
        Ok((removed, access))
    })?;
    access.close();
    match as_json {
        true => json(&PurgeResponse { removed })?,
        false => print_line!("{removed} removed")?,
    }
    let missing = (ids.len() as u64).saturating_sub(removed);
    if expects_all && missing > 0 {
        let entries = count(ids.len() as u64, "entry");
        let verb = if missing == 1 { "is" } else { "are" };
        return Err(CommandFailure::Failed(format!(
            "{missing} of {entries} {verb} not in quarantine; davinci-siem quarantine list shows those that are"
        )));
    }
    Ok(())
}

enum QuarantineAccess {
    /// A running service has locked the spool.
    Service(AdminClient),
    /// No service runs.
    Spool(Box<Spool>, Box<RetryRules>),
}

impl QuarantineAccess {
    fn close(self) {
        if let QuarantineAccess::Spool(spool, _) = self {
            spool.close();
        }
    }
}

/// Opens the spool if no service runs, with the rules that the service would apply; else connects to the
/// service with `[admin]` alone. Neither needs a secret of a sink or a source.
async fn open_access(
    loader: Loader<'_>,
    settings: &SpoolConfig,
) -> Result<QuarantineAccess, CommandFailure> {
    match Spool::start(settings, system_clock()).await {
        Ok(spool) => match loader.config_without(Secrets::OfRedact) {
            Ok(config) => {
                Ok(QuarantineAccess::Spool(Box::new(spool), Box::new(config.retry_rules())))
            }
            Err(failure) => {
                spool.close();
                Err(failure)
            }
        },
        Err(OpenError::InUse { .. }) => {
            Ok(QuarantineAccess::Service(AdminClient::new(&loader.admin()?)?))
        }
        Err(error) => Err(error.into()),
    }
}
