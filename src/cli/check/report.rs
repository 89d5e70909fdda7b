//! Summary of a configuration, as JSON and for people. Contains no secret.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;

use super::assertions::TestResult;
use crate::alerts::AlertsConfig;
use crate::cli::{CommandFailure, output};
use crate::config::Config;
use crate::deliver::SinkConfig;
use crate::listener::ListenConfig;
use crate::listener::tls::{self, LoadedTls};
use crate::spool::{Engine, SpoolConfig};

#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    file: Option<String>,
    pub(super) listen: ListenReport,
    sources: Vec<SourceReport>,
    spool: SpoolReport,
    sinks: Vec<SinkReport>,
    admin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traces: Option<String>,
    /// Results of the probes, with `--connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probes: Option<Vec<ProbeResult>>,
    /// Results of `[[tests]]`, with `--tests`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tests: Option<Vec<TestResult>>,
}

/// Address of the webhook listener, and its certificate.
#[derive(Debug, Serialize)]
pub(super) struct ListenReport {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsReport>,
    #[serde(skip)]
    is_loopback: bool,
}

#[derive(Debug, Serialize)]
struct TlsReport {
    subject: String,
    sha256: String,
    valid_until: Vec<CertificateExpiry>,
    /// True if clients have to present a certificate; absent if none is requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    clients_required: Option<bool>,
}

#[derive(Debug, Serialize)]
struct CertificateExpiry {
    key: String,
    time: String,
    days: i64,
    #[serde(skip)]
    is_over: bool,
}

#[derive(Debug, Serialize)]
struct SourceReport {
    name: String,
    path: String,
    credentials: usize,
}

#[derive(Debug, Serialize)]
struct SpoolReport {
    directory: String,
    /// Name and servers of the stream; JetStream only.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    max_size: u64,
}

impl SpoolReport {
    fn of(settings: &SpoolConfig) -> SpoolReport {
        SpoolReport {
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
struct SinkReport {
    name: String,
    target: String,
}

/// Result of a probe.
#[derive(Debug, Serialize)]
pub(super) struct ProbeResult {
    pub(super) sink: String,
    pub(super) ok: bool,
    pub(super) message: String,
}

impl CheckReport {
    pub(super) fn of(config: &Config, file: Option<&Path>) -> Result<CheckReport, CommandFailure> {
        let sources = config.sources.iter().map(|source| SourceReport {
            name: source.name.clone(),
            path: source.path.clone(),
            credentials: source.credentials.len(),
        });
        let target = |sink: &SinkConfig| SinkReport {
            name: sink.name.clone(),
            target: sink.target.target(),
        };
        Ok(CheckReport {
            file: file.map(|file| file.display().to_string()),
            listen: ListenReport::of(&config.listen)?,
            sources: sources.collect(),
            spool: SpoolReport::of(&config.spool),
            sinks: config.sinks.iter().map(target).collect(),
            admin: format!("http://{}", config.admin.address),
            alerts: config.alerts.as_ref().map(AlertsConfig::target),
            traces: config.traces.as_ref().map(|traces| traces.client.origin()),
            probes: None,
            tests: None,
        })
    }

    pub(super) fn print(&self) -> Result<(), CommandFailure> {
        match &self.file {
            Some(file) => print_line!("{file}: no mistakes")?,
            None => print_line!("no configuration file: the defaults apply")?,
        }
        self.listen.print()?;
        for SourceReport { name, path, credentials } in &self.sources {
            let credentials = match credentials {
                0 => "no credentials".to_owned(),
                1 => "1 credential".to_owned(),
                count => format!("{count} credentials"),
            };
            print_line!("  source {name}: {path} ({credentials})")?;
        }
        let SpoolReport { directory, stream, max_size } = &self.spool;
        let location = stream.as_ref().unwrap_or(directory);
        print_line!("spool in {location}, at most {}", output::size(*max_size))?;
        for SinkReport { name, target } in &self.sinks {
            print_line!("  sink {name}: {target}")?;
        }
        print_line!("admin on {}", self.admin)?;
        if let Some(alerts) = &self.alerts {
            print_line!("alerts to {alerts}")?;
        }
        if let Some(traces) = &self.traces {
            print_line!("traces to {traces}")?;
        }
        Ok(())
    }
}

impl ListenReport {
    fn of(listen: &ListenConfig) -> Result<ListenReport, CommandFailure> {
        let is_loopback = listen.address.ip().is_loopback();
        let Some(settings) = &listen.tls else {
            let url = format!("http://{}", listen.address);
            return Ok(ListenReport { url, tls: None, is_loopback });
        };
        let LoadedTls { own, expiries, .. } = tls::load(settings)?;
        let valid_until = expiries.into_iter().map(|(key, expires)| {
            let expires = DateTime::from_timestamp(expires, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let left = expires - Utc::now();
            CertificateExpiry {
                key: key.to_owned(),
                time: expires.to_rfc3339_opts(SecondsFormat::Secs, true),
                days: left.num_days(),
                is_over: left <= TimeDelta::zero(),
            }
        });
        let tls = TlsReport {
            subject: own.subject.clone(),
            sha256: own.hex(),
            valid_until: valid_until.collect(),
            clients_required: settings.clients.as_ref().map(|clients| clients.is_required),
        };
        Ok(ListenReport { url: format!("https://{}", listen.address), tls: Some(tls), is_loopback })
    }

    /// Returns the key of an expired certificate, and its last day.
    pub(super) fn expired(&self) -> Option<(&str, &str)> {
        let mut all = self.tls.iter().flat_map(|tls| &tls.valid_until);
        all.find(|expiry| expiry.is_over).map(|expiry| (expiry.key.as_str(), expiry.day()))
    }

    fn print(&self) -> Result<(), CommandFailure> {
        print_line!("webhooks on {}", self.url)?;
        let Some(TlsReport { subject, sha256, valid_until, clients_required }) = &self.tls else {
            if !self.is_loopback {
                print_line!(
                    "  not encrypted: PingOne requires https; put a proxy that terminates TLS in front"
                )?;
            }
            return Ok(());
        };
        print_line!("  certificate {subject} (SHA-256 {sha256})")?;
        for expiry in valid_until.iter().filter(|expiry| !expiry.is_over) {
            let (key, day, days) = (&expiry.key, expiry.day(), expiry.days);
            print_line!("  {key} is valid until {day} ({days} days)")?;
        }
        match clients_required {
            Some(true) => print_line!("  clients have to present a certificate")?,
            Some(false) => print_line!("  clients may present a certificate")?,
            None => {}
        }
        Ok(())
    }
}

impl CertificateExpiry {
    fn day(&self) -> &str {
        self.time.split('T').next().unwrap_or(&self.time)
    }
}
