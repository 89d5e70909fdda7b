//! The connection to NATS, and the server's errors about messages that it will never acknowledge.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture};
use async_nats::jetstream::response::Response;
use async_nats::{ClientError, Event, ServerError};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::NatsSinkConfig;
use super::answer::{self, PublishRefusal, retry};
use crate::nats::{self, ConnectError};
use crate::sinks::{Reason, Verdict};

/// A connection that reconnects by itself.
#[derive(Debug)]
pub(super) struct NatsConnection {
    context: Context,
    events: Arc<watch::Sender<BatchEvents>>,
    /// Error of the last attempt to reconnect.
    reconnect_error: Arc<Mutex<Option<String>>>,
}

/// Events of the connection since the batch began.
#[derive(Debug, Default)]
struct BatchEvents {
    /// True after the connection was lost: no acknowledgement will arrive for the messages in flight.
    is_lost: bool,
    /// Subjects without permission: no acknowledgement will arrive for them, either.
    denied: HashSet<String>,
}

/// Names of the streams with a subject.
#[derive(Debug, Deserialize)]
struct Streams {
    streams: Option<Vec<String>>,
}

impl NatsConnection {
    pub(super) async fn open(settings: &NatsSinkConfig) -> Result<NatsConnection, ConnectError> {
        let events = Arc::new(watch::Sender::new(BatchEvents::default()));
        let sender = Arc::clone(&events);
        let reconnect_error = Arc::<Mutex<Option<String>>>::default();
        let last_error = Arc::clone(&reconnect_error);
        let note = move |reason| {
            *last_error.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        };
        let on_event = move |event: &Event| match event {
            Event::Connected => note(None),
            Event::ClientError(ClientError::Other(reason)) => {
                note(Some(nats::without_files(reason)));
            }
            Event::Disconnected => sender.send_modify(|events| events.is_lost = true),
            Event::ServerError(ServerError::Other(text)) => {
                if let Some(subject) = denied(text) {
                    sender.send_modify(|events| events.denied.extend([subject.to_owned()]));
                }
            }
            _ => {}
        };
        let name = settings.subject.pattern();
        let timeout = settings.timeout;
        let client = nats::connect(&settings.connection, &name, timeout, on_event).await?;
        let context = ContextBuilder::new().timeout(timeout).build(client);
        Ok(NatsConnection { context, events, reconnect_error })
    }

    /// Starts a batch: forgets the events of the last one.
    ///
    /// # Errors
    /// The connection is down. The client would buffer messages and send them at some later time.
    pub(super) fn begin(&self, settings: &NatsSinkConfig) -> Result<(), Verdict> {
        self.events.send_modify(|events| *events = BatchEvents::default());
        if self.context.client().connection_state() == State::Connected {
            return Ok(());
        }
        let servers = &settings.connection;
        match &*self.reconnect_error.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) if nats::is_about_credentials(error) => Err(Verdict::Fatal {
                reason: Reason::new(format!(
                    "{servers}: the server refuses the credentials, or they cannot be used ({error}); \
                     correct them"
                )),
            }),
            Some(error) => Err(retry(format!("{servers}: not connected: {error}"))),
            None => Err(retry(format!("{servers}: not connected"))),
        }
    }

    /// Returns true if the connection was lost since the batch began.
    pub(super) fn is_lost(&self) -> bool {
        self.events.borrow().is_lost
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Waits for an acknowledgement until `end`, or until an event of the connection means that none will arrive.
    pub(super) async fn acknowledged(
        &self,
        subject: &str,
        acknowledgement: PublishAckFuture,
        end: Instant,
        settings: &NatsSinkConfig,
    ) -> Result<(), PublishRefusal> {
        let mut events = self.events.subscribe();
        tokio::select! {
            // An acknowledgement counts, even if the connection was lost after it.
            biased;
            answer = timeout_at(end, acknowledgement.into_future()) => match answer {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(answer::refusal(&error, settings)),
                Err(_) => Err(PublishRefusal::Known(answer::late(settings))),
            },
            // The sender lives as long as `self`, so that waiting cannot fail.
            events = events.wait_for(|events| events.is_lost || events.denied.contains(subject)) => {
                let is_denied = events.is_ok_and(|events| events.denied.contains(subject));
                Err(PublishRefusal::Known(if is_denied {
                    let message = format!(
                        "the server does not let this user publish to {}; give it the permission",
                        settings.subject.pattern()
                    );
                    Verdict::Fatal { reason: Reason::new(message) }
                } else {
                    retry(format!("{}: the connection was lost", settings.connection))
                }))
            }
        }
    }

    /// Returns the streams with a subject. `subject` may contain wildcards.
    pub(super) async fn streams_for(
        &self,
        subject: &str,
        settings: &NatsSinkConfig,
    ) -> Result<Vec<String>, Verdict> {
        let request = json!({ "subject": subject });
        match self.context.request("STREAM.NAMES", &request).await {
            Ok(Response::Ok(Streams { streams })) => Ok(streams.unwrap_or_default()),
            Ok(Response::Err { error }) => Err(answer::of_api(&error, settings)),
            Err(error) => Err(retry(format!(
                "{}: JetStream does not say which stream takes {} ({error}); is it enabled, and may this \
                 user ask $JS.API.STREAM.NAMES?",
                settings.connection,
                settings.subject.pattern()
            ))),
        }
    }
}

/// Returns the subject in a server's error about a missing permission to publish.
fn denied(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("Permissions Violation for Publish to ")?;
    Some(rest.trim_matches('"'))
}
