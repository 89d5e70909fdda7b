//! `check --connect`: every request that the engine makes, with the configured credentials, and without a change.

use std::sync::Arc;

use super::permissions::{self, Denials};
use super::{client, connect};
use crate::spool::{Clock, Engine, OpenError, SpoolConfig};

/// Asks the servers for each permission that these sources and sinks need, and describes the streams. Changes
/// nothing in the streams.
///
/// # Errors
///
/// [`OpenError`] with the file or the servers, and the remedy.
pub async fn check(
    settings: &SpoolConfig,
    sources: &[String],
    sinks: &[String],
) -> Result<String, OpenError> {
    let Engine::Jetstream(own) = &settings.engine else {
        return Err(OpenError::NoStream(String::new()));
    };
    let clock: Clock = Arc::new(|| 0);
    let found = match connect(settings, clock, false).await {
        Ok(_) => "the streams are there, and the user has every permission".to_owned(),
        Err(OpenError::NoStream(name)) => {
            format!("the user has every permission; the service makes stream {name} when it starts")
        }
        Err(error) => return Err(error),
    };
    let denials = Arc::new(Denials::new(&own.stream));
    let client = client(own, &denials).await?;
    let missing = permissions::missing(&client, &denials, own, sources, sinks).await;
    match missing.is_empty() {
        true => Ok(found),
        false => {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let detail = format!("{} (docs/scaling.md)", missing.join("; "));
            Err(OpenError::Stream { stream: own.stream.clone(), detail })
        }
    }
}
