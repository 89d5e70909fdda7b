//! `sink`: how each sink of the running service is doing, and holding one back for a while.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::admin_client::AdminClient;
use super::output::safe;
use super::{Failure, block_on};
use crate::admin::AdminConfig;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every sink with its state, its lag in events, and what is wrong with it
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Hold a sink: it keeps its events until it is resumed, also over a restart
    Pause(Named),
    /// Let a paused sink go on; its credentials and certificates are read again
    Resume(Named),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The sink's name in the configuration
    name: String,
    /// Print its state as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command, admin: &AdminConfig) -> Result<(), Failure> {
    let client = AdminClient::new(admin)?;
    block_on(async {
        match command {
            Command::List { json } => list(&client, *json).await,
            Command::Pause(named) => steer(&client, named, "pause").await,
            Command::Resume(named) => steer(&client, named, "resume").await,
        }
    })
}

async fn list(client: &AdminClient, json: bool) -> Result<(), Failure> {
    let status: Value = client.ask(client.get("/api/status")).await?;
    for sink in status["sinks"].as_array().into_iter().flatten() {
        if json {
            super::output::json(sink)?;
            continue;
        }
        let text = |key: &str| safe(sink[key].as_str().unwrap_or_default());
        let (name, state, reason) = (text("sink"), text("state"), text("reason"));
        let lag = sink["lag"].as_u64().map_or("?".to_owned(), |lag| lag.to_string());
        println!("{name:<20} {state:<9} {lag:>9} events behind  {reason}");
    }
    Ok(())
}

async fn steer(client: &AdminClient, named: &Named, verb: &str) -> Result<(), Failure> {
    let name = &named.name;
    client.check_sink("sink", name).await?;
    let path = format!("/api/sinks/{name}/{verb}");
    let state: Value = client.ask(client.post(&path)).await?;
    if named.json {
        return super::output::json(&state);
    }
    println!("{name}: {}", state["state"].as_str().unwrap_or_default());
    Ok(())
}
