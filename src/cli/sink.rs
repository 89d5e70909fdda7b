//! `sink`: lists the sinks of the running service, pauses and resumes them.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::admin_client::{AdminClient, AdminTarget};
use super::output::safe;
use super::{CommandFailure, block_on};

#[derive(Debug, Subcommand)]
pub(super) enum SinkCommand {
    /// List sinks with state, lag in events, and reason of a failure
    List {
        /// Print JSON, one sink per line
        #[arg(long)]
        json: bool,
    },
    /// Pause a sink: it keeps its events until it is resumed, also across restarts
    Pause(SinkArguments),
    /// Resume a paused sink and read its credentials and certificates again
    Resume(SinkArguments),
}

#[derive(Debug, Args)]
pub(super) struct SinkArguments {
    /// Name of the sink in the configuration
    name: String,
    /// Print the sink's state as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &SinkCommand, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let client = AdminClient::new(admin)?;
    block_on(async {
        match command {
            SinkCommand::List { json } => list(&client, *json).await,
            SinkCommand::Pause(arguments) => set_state(&client, arguments, "pause").await,
            SinkCommand::Resume(arguments) => set_state(&client, arguments, "resume").await,
        }
    })
}

async fn list(client: &AdminClient, json: bool) -> Result<(), CommandFailure> {
    let status: Value = client.request(client.get("/api/status")).await?;
    for sink in status["sinks"].as_array().into_iter().flatten() {
        if json {
            super::output::json(sink)?;
            continue;
        }
        let text = |key: &str| safe(sink[key].as_str().unwrap_or_default());
        let (name, state, reason) = (text("sink"), text("state"), text("reason"));
        let lag = sink["lag"].as_u64().map_or("?".to_owned(), |lag| lag.to_string());
        print_line!("{name:<20} {state:<9} {lag:>9} events behind  {reason}")?;
    }
    Ok(())
}

async fn set_state(
    client: &AdminClient,
    arguments: &SinkArguments,
    verb: &str,
) -> Result<(), CommandFailure> {
    let name = &arguments.name;
    client.check_sink("sink", name).await?;
    let path = format!("/api/sinks/{name}/{verb}");
    let state: Value = client.request(client.post(&path)).await?;
    if arguments.json {
        return super::output::json(&state);
    }
    print_line!("{name}: {}", state["state"].as_str().unwrap_or_default())?;
    Ok(())
}
