//! `health`: asks the running service whether it takes events.

use std::net::SocketAddr;

use super::admin_client::AdminClient;
use super::{Failure, block_on};

/// Prints the service's own words; fails unless it is ready.
pub(super) fn run(address: SocketAddr) -> Result<(), Failure> {
    let admin = AdminClient::without_password(address)?;
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
