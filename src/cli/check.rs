//! `check`: a configuration that loads has been checked; says what it amounts to, and asks the
//! targets.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::Failure;
use super::block_on;
use crate::config::{Config, Listen, SinkKind};
use crate::receive::listener::tls::{self, Loaded};
use crate::sinks::{Deliver, Sink};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Connect to every sink's target, too, and find out whether it would take events; sends none
    #[arg(long)]
    connect: bool,
}

/// Everything that is wrong was reported by loading it; this prints what is right.
pub(super) fn run(
    arguments: &Arguments,
    config: &Config,
    file: Option<&Path>,
) -> Result<(), Failure> {
    match file {
        Some(file) => println!("{}: no mistakes", file.display()),
        None => println!("no configuration file: the defaults apply"),
    }
    listener(&config.listen)?;
    for source in &config.sources {
        let credentials = match source.credentials.len() {
            0 => "no credentials".to_owned(),
            1 => "1 credential".to_owned(),
            count => format!("{count} credentials"),
        };
        println!("  source {}: {} ({credentials})", source.name, source.path);
    }
    println!(
        "spool in {}, at most {}",
        config.spool.directory.display(),
        super::output::size(config.spool.max_size)
    );
    for sink in &config.sinks {
        match &sink.kind {
            SinkKind::Stdout => println!("  sink {}: standard output", sink.name),
            SinkKind::File(file) => println!("  sink {}: {}", sink.name, file.path.display()),
            SinkKind::Http(http) => {
                println!("  sink {}: {}", sink.name, without_query(&http.client.url));
            }
            SinkKind::SplunkHec(hec) => {
                println!("  sink {}: {}", sink.name, without_query(&hec.client.url));
            }
            SinkKind::Elasticsearch(elastic) => {
                println!(
                    "  sink {}: {}, {}",
                    sink.name,
                    without_query(&elastic.client.url),
                    elastic.data_stream
                );
            }
            SinkKind::Syslog(syslog) => println!("  sink {}: {}", sink.name, syslog.address),
        }
    }
    println!("admin on http://{}", config.admin.address);
    if arguments.connect { block_on(connect(config)) } else { Ok(()) }
}

/// Where webhooks arrive, and with which certificate.
fn listener(listen: &Listen) -> Result<(), Failure> {
    let Some(settings) = &listen.tls else {
        println!("webhooks on http://{}", listen.address);
        if !listen.address.ip().is_loopback() {
            println!("  not encrypted: PingOne wants https, so a proxy before it has to end TLS");
        }
        return Ok(());
    };
    let Loaded { own, expiries, .. } = tls::load(settings)?;
    println!("webhooks on https://{}", listen.address);
    println!("  certificate {} (SHA-256 {})", own.subject, own.hex());
    for (key, expires) in expiries {
        let expires = DateTime::from_timestamp(expires, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let left = expires - Utc::now();
        if left <= TimeDelta::zero() {
            return Err(Failure::Failed(format!(
                "listen.tls.{key} expired on {}: replace it",
                expires.format("%Y-%m-%d")
            )));
        }
        println!(
            "  {key} is valid until {} ({} days)",
            expires.format("%Y-%m-%d"),
            left.num_days()
        );
    }
    match &settings.clients {
        Some(clients) if clients.is_required => println!("  clients have to show a certificate"),
        Some(_) => println!("  clients may show a certificate"),
        None => {}
    }
    Ok(())
}

/// A URL for people: what is in its query may be secret.
fn without_query(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// Asks every target; fails if one would not take events.
async fn connect(config: &Config) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for sink in &config.sinks {
        let probed = match Sink::open(&sink.kind) {
            Ok(mut opened) => opened.probe().await,
            Err(reason) => Err(reason),
        };
        match probed {
            Ok(said) => println!("sink {}: good: {said}", sink.name),
            Err(reason) => {
                eprintln!("sink {}: {reason}", sink.name);
                failed.push(sink.name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!("not every sink would be delivered to: {}", failed.join(", "))))
}
