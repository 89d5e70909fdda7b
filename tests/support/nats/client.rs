//! Reads and changes streams without a receiver.

use async_nats::jetstream;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::runtime::Runtime;

/// A client that creates streams and reads messages.
pub struct Client {
    pub(super) context: jetstream::Context,
    pub(super) runtime: Runtime,
}

/// A message in a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub subject: String,
    pub headers: async_nats::HeaderMap,
    pub body: String,
}

impl Stored {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.as_str())
    }
}

impl Client {
    /// Creates a stream.
    pub fn stream(&self, config: jetstream::stream::Config) {
        self.runtime.block_on(self.context.create_stream(config)).expect("a stream");
    }

    /// Creates a stream on `count` servers and deletes it. Returns false if the servers refuse that.
    pub fn can_create_stream(&self, count: usize) -> bool {
        let name = "formation".to_owned();
        let config = jetstream::stream::Config { name, num_replicas: count, ..Default::default() };
        self.runtime.block_on(async {
            let is_created = self.context.create_stream(config).await.is_ok();
            // Also after a refusal: a request that timed out may have created it.
            let is_deleted = self.context.delete_stream("formation").await.is_ok();
            is_created && is_deleted
        })
    }

    /// Returns the server that leads a stream.
    pub fn leader_of(&self, stream: &str) -> Option<String> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.ok()?;
            stream.cached_info().cluster.clone()?.leader
        })
    }

    /// Changes the configuration of a stream.
    pub fn change(&self, stream: &str, change: impl FnOnce(&mut jetstream::stream::Config)) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            let mut config = stream.cached_info().config.clone();
            change(&mut config);
            self.context.update_stream(config).await.expect("changed");
        });
    }

    /// Deletes all consumers of a stream.
    pub fn delete_consumers(&self, stream: &str) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            let names: Vec<String> =
                stream.consumer_names().map(|name| name.expect("a name")).collect().await;
            for name in &names {
                stream.delete_consumer(name).await.expect("deleted");
            }
        });
    }

    /// Returns the number of consumers of a stream.
    pub fn consumers(&self, stream: &str) -> usize {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            stream.cached_info().state.consumer_count
        })
    }

    /// Stores a message as another program would.
    pub fn publish(&self, subject: &str, body: &'static str) {
        self.runtime.block_on(async {
            let sent = self.context.publish(subject.to_owned(), body.into()).await;
            sent.expect("sent").await.expect("stored");
        });
    }

    /// Returns the JSON of the last message of a subject; `None` if there is none.
    pub fn last_of_subject(&self, stream: &str, subject: &str) -> Option<Value> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            let message = stream.get_last_raw_message_by_subject(subject).await.ok()?;
            serde_json::from_slice(&message.payload).ok()
        })
    }

    pub fn delete(&self, stream: &str) {
        self.runtime.block_on(async {
            self.context.delete_stream(stream).await.expect("deleted");
        });
    }

    /// Returns the number of the last message.
    pub fn last_of(&self, stream: &str) -> u64 {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            stream.cached_info().state.last_sequence
        })
    }

    /// Stores a message once more, as a server might that has forgotten its id.
    pub fn repeat(&self, stream: &str, number: u64) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            let message = stream.get_raw_message(number).await.expect("a message");
            let sent = self.context.publish(message.subject, message.payload).await;
            sent.expect("sent").await.expect("stored");
        });
    }

    pub fn purge(&self, stream: &str) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            stream.purge().await.expect("purged");
        });
    }

    /// Returns the number of messages in a stream.
    pub fn count(&self, stream: &str) -> u64 {
        self.runtime.block_on(async {
            match self.context.get_stream(stream).await {
                Ok(stream) => stream.cached_info().state.messages,
                Err(_) => 0,
            }
        })
    }

    /// Returns counts, sequence numbers and consumers of a stream, and its last change; `None` without a stream.
    pub fn state(&self, stream: &str) -> Option<String> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.ok()?;
            let info = stream.cached_info();
            Some(format!("{:?} {:?} {}", info.config, info.state, info.created))
        })
    }

    /// Returns the sequence number of the last message of a stream.
    pub fn last(&self, stream: &str) -> u64 {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            stream.cached_info().state.last_sequence
        })
    }

    /// Returns all messages of a stream, in order.
    pub fn messages(&self, stream: &str) -> Vec<Stored> {
        let count = self.count(stream);
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            let config = jetstream::consumer::pull::OrderedConfig::default();
            let consumer = stream.create_consumer(config).await.expect("a consumer");
            let messages = consumer.messages().await.expect("messages");
            let read = messages.take(usize::try_from(count).expect("few")).map(|message| {
                let message = message.expect("a message");
                Stored {
                    subject: message.subject.to_string(),
                    headers: message.headers.clone().unwrap_or_default(),
                    body: String::from_utf8(message.payload.to_vec()).expect("UTF-8"),
                }
            });
            read.collect().await
        })
    }
}
