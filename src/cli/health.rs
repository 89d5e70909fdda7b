//! `health`: asks the running service whether it takes events.

use std::net::SocketAddr;

use clap::Args;
use serde_json::Value;

use super::admin_client::AdminClient;
use super::output::{json, safe};
use super::{Failure, block_on};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, as it does anyway
    #[arg(long)]
    json: bool,
}

/// Prints the service's own answer, which is JSON, ready or not; fails unless it is ready.
pub(super) fn run(_: &Arguments, address: SocketAddr) -> Result<(), Failure> {
    let admin = AdminClient::without_password(address)?;
    let readiness: Value = block_on(async {
        let answer = admin.send(admin.get("/readyz")).await?;
        admin.json(answer).await
    })?;
    json(&readiness)?;
    if readiness["ready"] == true {
        return Ok(());
    }
    let reason = readiness["reason"].as_str().unwrap_or_default();
    Err(Failure::Failed(format!("not ready: {}", safe(reason))))
}
