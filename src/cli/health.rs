//! `health`: queries readiness of the running service.

use clap::Args;
use serde_json::Value;

use super::admin_client::{AdminClient, AdminTarget};
use super::output::{json, safe};
use super::{CommandFailure, block_on};

#[derive(Debug, Args)]
pub(super) struct HealthArguments {
    /// Print JSON (always on)
    #[arg(long)]
    json: bool,
}

/// Prints the readiness document of the service; returns `Err` unless the service is ready.
pub(super) fn run(_: &HealthArguments, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let admin = AdminClient::new(admin)?;
    let readiness: Value = block_on(async {
        let answer = admin.send(admin.get("/readyz")).await?;
        admin.json(answer).await
    })?;
    json(&readiness)?;
    if readiness["ready"] == true {
        return Ok(());
    }
    let reason = readiness["reason"].as_str().unwrap_or_default();
    Err(CommandFailure::Answered(format!("not ready: {}", safe(reason))))
}
