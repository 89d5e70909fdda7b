//! A network namespace for each server, so that a test can cut a server off from the others and from the receivers.
//! Needs root and `ip`.

use std::process::Command;

use crate::support::free_port;

/// A bridge in the namespace of the test, and one namespace for each server.
pub struct Network {
    name: String,
    subnet: String,
    count: usize,
}

impl Network {
    /// Creates the namespaces; `None` where that is not possible.
    pub fn new(count: usize) -> Option<Network> {
        // A free port is a number that no other test has.
        let number = free_port();
        let [high, low] = number.to_be_bytes();
        let network = Network {
            name: format!("ds{number}"),
            subnet: format!("10.{}.{low}", 64 + high % 64),
            count,
        };
        network.create().then_some(network)
    }

    fn create(&self) -> bool {
        let Network { name, subnet, count } = self;
        let mut is_created = ip(&format!("link add {name} type bridge"))
            && ip(&format!("addr add {subnet}.254/24 dev {name}"))
            && ip(&format!("link set {name} up"));
        for index in 0..*count {
            let (space, address) = (self.namespace(index), self.address(index));
            is_created = is_created
                && ip(&format!("netns add {space}"))
                && ip(&format!("link add {name}v{index} type veth peer name eth0 netns {space}"))
                && ip(&format!("link set {name}v{index} master {name} up"))
                && ip(&format!("-n {space} link set lo up"))
                && ip(&format!("-n {space} addr add {address}/24 dev eth0"))
                && ip(&format!("-n {space} link set eth0 up"));
        }
        is_created
    }

    /// Returns the name of a server's namespace.
    pub fn namespace(&self, index: usize) -> String {
        format!("{}n{index}", self.name)
    }

    /// Returns a server's address.
    pub fn address(&self, index: usize) -> String {
        format!("{}.{}", self.subnet, index + 1)
    }

    /// Cuts a server off: packets from and to it are dropped without an error.
    pub fn cut(&self, index: usize) {
        assert!(ip(&format!("link set {}v{index} down", self.name)));
    }

    /// Connects every server again.
    pub fn mend(&self) {
        for index in 0..self.count {
            assert!(ip(&format!("link set {}v{index} up", self.name)));
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for index in 0..self.count {
            ip(&format!("netns del {}", self.namespace(index)));
        }
        ip(&format!("link del {}", self.name));
    }
}

/// Runs `ip`. Returns true if it succeeds.
fn ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.is_ok_and(|output| {
        if !output.status.success() {
            eprintln!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    })
}
