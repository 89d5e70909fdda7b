//! The connection to NATS, and what the server says of messages that it will never acknowledge.

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
use super::answer::{self, Refusal, retry};
use crate::nats::{self, ConnectError};
use crate::sinks::{Reason, Verdict};

/// A connection that comes back by itself.
#[derive(Debug)]
pub(super) struct Connection {
    context: Context,
    heard: Arc<watch::Sender<Heard>>,
    /// Error of the last attempt to reconnect.
    trouble: Arc<Mutex<Option<String>>>,
}

/// Events of the connection since the batch began.
#[derive(Debug, Default)]
struct Heard {
    /// Acknowledgements that were under way will not come any more.
    is_lost: bool,
    /// Subjects that may not be published to: there is no acknowledgement for them either.
    denied: HashSet<String>,
}

/// Streams that take a subject.
#[derive(Debug, Deserialize)]
struct Streams {
    streams: Option<Vec<String>>,
}

impl Connection {
    pub(super) async fn open(settings: &NatsSinkConfig) -> Result<Connection, ConnectError> {
        let heard = Arc::new(watch::Sender::new(Heard::default()));
        let told = Arc::clone(&heard);
        let trouble = Arc::<Mutex<Option<String>>>::default();
        let troubled = Arc::clone(&trouble);
        let note = move |reason| {
            *troubled.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        };
        let hears = move |event: &Event| match event {
            Event::Connected => note(None),
            Event::ClientError(ClientError::Other(reason)) => {
                note(Some(nats::without_files(reason)));
            }
            Event::Disconnected => told.send_modify(|heard| heard.is_lost = true),
            Event::ServerError(ServerError::Other(text)) => {
                if let Some(subject) = denied(text) {
                    told.send_modify(|heard| heard.denied.extend([subject.to_owned()]));
                }
            }
            _ => {}
        };
        let name = settings.subject.pattern();
        let timeout = settings.timeout;
        let client = nats::connect(&settings.connection, &name, timeout, hears).await?;
        let context = ContextBuilder::new().timeout(timeout).build(client);
        Ok(Connection { context, heard, trouble })
    }

    /// Forgets what was heard; tells why nothing can be sent now. What is sent while it cannot would be
    /// kept by the client, and arrive at some later time.
    pub(super) fn begin(&self, settings: &NatsSinkConfig) -> Result<(), Verdict> {
        self.heard.send_modify(|heard| *heard = Heard::default());
        if self.context.client().connection_state() == State::Connected {
            return Ok(());
        }
        let servers = &settings.connection;
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(said) if nats::is_about_credentials(said) => Err(Verdict::Fatal {
                reason: Reason::new(format!(
                    "{servers}: the server refuses the credentials, or they cannot be used ({said}); \
                     correct them"
                )),
            }),
            Some(said) => Err(retry(format!("{servers}: not connected: {said}"))),
            None => Err(retry(format!("{servers}: not connected"))),
        }
    }

    /// Returns true if the connection was lost since the batch began.
    pub(super) fn is_lost(&self) -> bool {
        self.heard.borrow().is_lost
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Waits for an acknowledgement, as long as one may come, and no longer than until `end`.
    pub(super) async fn acknowledged(
        &self,
        subject: &str,
        acknowledgement: PublishAckFuture,
        end: Instant,
        settings: &NatsSinkConfig,
    ) -> Result<(), Refusal> {
        let mut heard = self.heard.subscribe();
        tokio::select! {
            // What has come counts, whatever was heard since.
            biased;
            answer = timeout_at(end, acknowledgement.into_future()) => match answer {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(answer::refusal(&error, settings)),
                Err(_) => Err(Refusal::Known(answer::late(settings))),
            },
            // An error would mean that there is no sender, which is ours.
            heard = heard.wait_for(|heard| heard.is_lost || heard.denied.contains(subject)) => {
                let is_denied = heard.is_ok_and(|heard| heard.denied.contains(subject));
                Err(Refusal::Known(if is_denied {
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

    /// Which streams take a subject, or some of those that match it.
    pub(super) async fn streams_for(
        &self,
        subject: &str,
        settings: &NatsSinkConfig,
    ) -> Result<Vec<String>, Verdict> {
        let asked = json!({ "subject": subject });
        match self.context.request("STREAM.NAMES", &asked).await {
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

/// The subject in a server's complaint about one that may not be published to.
fn denied(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("Permissions Violation for Publish to ")?;
    Some(rest.trim_matches('"'))
}
