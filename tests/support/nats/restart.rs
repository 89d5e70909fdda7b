//! Servers that are restarted in order: with another version, or with another configuration.

use super::{Cluster, Node, shipped};
use crate::support::wait_for;

/// A version between Debian's and the newest one, also from `.ci/nats`.
pub const MIDDLE_SERVER: &str = "/opt/davinci-siem-nats/middle/nats-server";

impl Cluster {
    /// Replaces a part of the servers' configuration, and restarts them one after the other.
    pub fn reconfigure(&mut self, text: &str, by: &str) {
        for node in &mut self.nodes {
            shipped::replace(&node.directory, text, by);
            node.restart_in_order();
        }
    }
}

impl Node {
    /// Stops it as a service manager does, and starts it again. Returns once it is healthy.
    pub fn restart_in_order(&mut self) {
        self.signal("TERM");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("ended");
        }
        self.spawn();
        self.wait_until_healthy();
    }

    /// Returns the version of the running server.
    pub fn version(&self) -> String {
        let told = wait_for("the server's version", || self.monitored("/varz"));
        told["version"].as_str().expect("a version").to_owned()
    }
}
