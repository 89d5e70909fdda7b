//! Background task: indexes the log from the checkpoint on, message by message as they are stored.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use tokio::time::sleep;

use super::checkpoint::Checkpoint;
use super::frame;
use super::log::{LogReader, LogStep};
use super::status::LogStatus;

/// Time that a pull waits for new messages: a consumer that was lost with its server is noticed after it.
const WAIT: Duration = Duration::from_secs(1);

/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs until it is dropped. Starts again with each new epoch.
pub(super) async fn run(stream: Stream, status: Arc<LogStatus>) {
    let mut checkpoints = status.checkpoints();
    loop {
        let known = checkpoints.wait_for(Option::is_some).await.map(|known| known.clone());
        let Ok(known) = known else { return };
        let Some((checkpoint, _)) = known else { continue };
        status.begin(&checkpoint);
        let next = checkpoint.trimmed.sequence + 1;
        let mut log = LogReader::new(stream.clone(), next).waiting(WAIT);
        let epoch = &checkpoint.epoch;
        let is_other = |known: &Option<(Arc<Checkpoint>, u64)>| {
            known.as_ref().is_some_and(|(now, _)| now.epoch != *epoch)
        };
        loop {
            tokio::select! {
                changed = async { checkpoints.wait_for(is_other).await.is_ok() } => match changed {
                    true => break,
                    false => return,
                },
                step = log.step() => match step {
                    Ok(LogStep::Message(message)) => {
                        let frame = frame::parse(&message.payload);
                        if frame.is_none() {
                            let subject = message.subject.as_str();
                            tracing::error!(subject, "the stream has a message of another program");
                        }
                        status.add(message.sequence, message.at, frame.as_ref());
                    }
                    Ok(LogStep::Gone { first, last }) => {
                        tracing::error!(first, last, "messages are gone from the stream");
                    }
                    Ok(LogStep::End) => {}
                    Err(error) => {
                        tracing::debug!(%error, "cannot read the stream");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }
}
