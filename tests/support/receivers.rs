//! Two receivers that share a JetStream spool.

use std::net::SocketAddr;

use super::nats::Cluster;
use super::service::{Home, Service};
use super::targets::Target;
use super::targets::webhook::Webhook;
use super::{free_port, wait_for};

/// Two receivers that share a stream and a target.
pub struct Receivers {
    pub homes: [Home; 2],
    pub running: [Option<Service>; 2],
}

impl Receivers {
    /// Starts both. `settings` are keys of the configuration, in the form of environment variables.
    pub fn start(
        cluster: &Cluster,
        target: &Target<Webhook>,
        settings: &[(&str, &str)],
    ) -> Receivers {
        Receivers::start_in(cluster, target, settings, |home| home)
    }

    /// Does the same as [`start`](Receivers::start), each in a home that `prepared` returns.
    pub fn start_in(
        cluster: &Cluster,
        target: &Target<Webhook>,
        settings: &[(&str, &str)],
        prepared: impl Fn(Home) -> Home,
    ) -> Receivers {
        let home = || {
            let port = free_port();
            let config = format!(
                "[sinks.siem]\ntype = \"http\"\nurl = \"{}/events\"\nretry.max = \"1s\"\n{}",
                target.url,
                cluster.spool(),
            );
            let address = format!("127.0.0.1:{port}");
            let home = Home::new(&config)
                .with_variables(&[("DAVINCI_SIEM__LISTEN__ADDRESS", &address)])
                .with_variables(&cluster.variables());
            settings.iter().fold(prepared(home), |home, (key, value)| {
                home.with_variables(&[(&format!("DAVINCI_SIEM__{key}"), value)])
            })
        };
        let mut receivers = Receivers { homes: [home(), home()], running: [None, None] };
        receivers.restart();
        receivers
    }

    /// Starts those that are not running. The servers may be down.
    pub fn restart(&mut self) {
        for (home, running) in self.homes.iter().zip(&mut self.running) {
            if running.is_none() {
                *running = Some(wait_for("a receiver to start", || {
                    let started = home.try_start();
                    started.inspect_err(|(status, log)| eprintln!("{status}: {log}")).ok()
                }));
            }
        }
    }

    pub fn get(&self, index: usize) -> &Service {
        self.running[index].as_ref().expect("a running receiver")
    }

    pub fn addresses(&self) -> [SocketAddr; 2] {
        [0, 1].map(|index| self.get(index).address().parse().expect("an address"))
    }
}
