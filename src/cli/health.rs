//! `health`: asks the running service whether it takes events.

use std::path::Path;

use super::admin_client::AdminClient;
use super::{Failure, block_on};
use crate::config;

/// Prints the service's own words; fails unless it is ready. Needs `[admin]` of the configuration only.
pub(super) fn run(file: Option<&Path>) -> Result<(), Failure> {
    let admin = config::load_admin(file, std::env::vars_os())
        .map_err(|problems| Failure::Usage(problems.to_string()))?;
    let admin = AdminClient::new(&admin)?;
    block_on(async {
        let response = admin.send(admin.get("/readyz")).await?;
        let is_ready = response.status().is_success();
        let text = response.text().await?;
        if is_ready {
            println!("{text}");
            return Ok(());
        }
        Err(Failure::Failed(format!("not ready: {text}")))
    })
}
