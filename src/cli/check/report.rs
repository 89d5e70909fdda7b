//! What a configuration amounts to, as JSON and for people. Holds no secret.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;

use crate::cli::{Failure, output};
use crate::config::{self, Config, SinkKind};
use crate::listener::tls::{self, LoadedTls};
use crate::spool::{Engine, Settings};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: Option<String>,
    pub(super) listen: Listen,
    sources: Vec<Source>,
    spool: Spool,
    sinks: Vec<Target>,
    admin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    traces: Option<String>,
    /// What the targets said, if they were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probes: Option<Vec<Probe>>,
}

/// Where webhooks arrive, and with which certificate.
#[derive(Debug, Serialize)]
pub(super) struct Listen {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    #[serde(skip)]
    is_loopback: bool,
}

#[derive(Debug, Serialize)]
struct Tls {
    subject: String,
    sha256: String,
    valid_until: Vec<Expiry>,
    /// Whether clients have to show a certificate; absent if none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    clients_required: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Expiry {
    key: String,
    time: String,
    days: i64,
    #[serde(skip)]
    is_over: bool,
}

#[derive(Debug, Serialize)]
struct Source {
    name: String,
    path: String,
    credentials: usize,
}

#[derive(Debug, Serialize)]
struct Spool {
    directory: String,
    /// The stream and where it is, in JetStream.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    max_size: u64,
}

impl Spool {
    fn of(settings: &Settings) -> Spool {
        Spool {
            directory: settings.directory.display().to_string(),
            stream: match &settings.engine {
                Engine::Embedded => None,
                #[cfg(feature = "nats")]
                Engine::Jetstream(own) => {
                    let replicas = own.replicas;
                    Some(format!("stream {} at {} ({replicas} replicas)", own.stream, own.nats))
                }
            },
            max_size: settings.max_size,
        }
    }
}

#[derive(Debug, Serialize)]
struct Target {
    name: String,
    target: String,
}

/// Whether a target would take events.
#[derive(Debug, Serialize)]
pub(super) struct Probe {
    pub(super) sink: String,
    pub(super) good: bool,
    pub(super) said: String,
}

impl Report {
    pub(super) fn of(config: &Config, file: Option<&Path>) -> Result<Report, Failure> {
        let sources = config.sources.iter().map(|source| Source {
            name: source.name.clone(),
            path: source.path.clone(),
            credentials: source.credentials.len(),
        });
        let target =
            |sink: &config::Sink| Target { name: sink.name.clone(), target: target(&sink.kind) };
        Ok(Report {
            file: file.map(|file| file.display().to_string()),
            listen: Listen::of(&config.listen)?,
            sources: sources.collect(),
            spool: Spool::of(&config.spool),
            sinks: config.sinks.iter().map(target).collect(),
            admin: format!("http://{}", config.admin.address),
            traces: config.traces.as_ref().map(|traces| origin(&traces.client.url)),
            probes: None,
        })
    }

    pub(super) fn print(&self) {
        match &self.file {
            Some(file) => println!("{file}: no mistakes"),
            None => println!("no configuration file: the defaults apply"),
        }
        self.listen.print();
        for Source { name, path, credentials } in &self.sources {
            let credentials = match credentials {
                0 => "no credentials".to_owned(),
                1 => "1 credential".to_owned(),
                count => format!("{count} credentials"),
            };
            println!("  source {name}: {path} ({credentials})");
        }
        let Spool { directory, stream, max_size } = &self.spool;
        let place = stream.as_ref().unwrap_or(directory);
        println!("spool in {place}, at most {}", output::size(*max_size));
        for Target { name, target } in &self.sinks {
            println!("  sink {name}: {target}");
        }
        println!("admin on {}", self.admin);
        if let Some(traces) = &self.traces {
            println!("traces to {traces}");
        }
    }
}

impl Listen {
    fn of(listen: &config::Listen) -> Result<Listen, Failure> {
        let is_loopback = listen.address.ip().is_loopback();
        let Some(settings) = &listen.tls else {
            let url = format!("http://{}", listen.address);
            return Ok(Listen { url, tls: None, is_loopback });
        };
        let LoadedTls { own, expiries, .. } = tls::load(settings)?;
        let valid_until = expiries.into_iter().map(|(key, expires)| {
            let expires = DateTime::from_timestamp(expires, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let left = expires - Utc::now();
            Expiry {
                key: key.to_owned(),
                time: expires.to_rfc3339_opts(SecondsFormat::Secs, true),
                days: left.num_days(),
                is_over: left <= TimeDelta::zero(),
            }
        });
        let tls = Tls {
            subject: own.subject.clone(),
            sha256: own.hex(),
            valid_until: valid_until.collect(),
            clients_required: settings.clients.as_ref().map(|clients| clients.is_required),
        };
        Ok(Listen { url: format!("https://{}", listen.address), tls: Some(tls), is_loopback })
    }

    /// The key of a certificate that is not valid any more, and since which day.
    pub(super) fn expired(&self) -> Option<(&str, &str)> {
        let mut all = self.tls.iter().flat_map(|tls| &tls.valid_until);
        all.find(|expiry| expiry.is_over).map(|expiry| (expiry.key.as_str(), expiry.day()))
    }

    fn print(&self) {
        println!("webhooks on {}", self.url);
        let Some(Tls { subject, sha256, valid_until, clients_required }) = &self.tls else {
            if !self.is_loopback {
                println!(
                    "  not encrypted: PingOne wants https, so a proxy before it has to end TLS"
                );
            }
            return;
        };
        println!("  certificate {subject} (SHA-256 {sha256})");
        for expiry in valid_until.iter().filter(|expiry| !expiry.is_over) {
            let (key, day, days) = (&expiry.key, expiry.day(), expiry.days);
            println!("  {key} is valid until {day} ({days} days)");
        }
        match clients_required {
            Some(true) => println!("  clients have to show a certificate"),
            Some(false) => println!("  clients may show a certificate"),
            None => {}
        }
    }
}

impl Expiry {
    fn day(&self) -> &str {
        self.time.split('T').next().unwrap_or(&self.time)
    }
}

fn target(kind: &SinkKind) -> String {
    match kind {
        SinkKind::Stdout => "standard output".to_owned(),
        SinkKind::File(file) => file.path.display().to_string(),
        SinkKind::Http(http) => origin(&http.client.url),
        SinkKind::SplunkHec(hec) => origin(&hec.client.url),
        SinkKind::Elasticsearch(elastic) => {
            format!("{}, {}", origin(&elastic.client.url), elastic.data_stream)
        }
        SinkKind::Syslog(syslog) => syslog.address.to_string(),
        SinkKind::Kafka(kafka) => format!("{}, {}", kafka.brokers.join(", "), kafka.topic),
        SinkKind::Nats(nats) => format!("{}, {}", nats.connection, nats.subject.pattern()),
    }
}

/// A URL for people: its query may hold a secret, and so may its path.
fn origin(url: &url::Url) -> String {
    let origin = &url[..url::Position::AfterPort];
    if url.path() == "/" { origin.to_owned() } else { format!("{origin}/…") }
}
