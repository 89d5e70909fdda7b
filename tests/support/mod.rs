//! Shared by the integration tests: the service as a child process, events, and waiting.

pub mod azure;
pub mod browser;
pub mod canary;
pub mod certificates;
pub mod clients;
pub mod clouds;
pub mod events;
pub mod google;
pub mod honest;
pub mod http2;
pub mod machine;
#[cfg(feature = "nats")]
pub mod nats;
pub mod operator;
pub mod oracle;
pub mod power;
pub mod proxy;
#[cfg(feature = "nats")]
pub mod receivers;
pub mod recorded;
pub mod service;
pub mod syslog_peer;
pub mod targets;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Timeout of every wait, for a slow and busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `found` returns a value, and fails the test after the timeout.
#[track_caller]
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns a free port below the ephemeral ports: the kernel gives it to nobody while its owner is stopped.
pub fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    loop {
        let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = (std::process::id() % 10_000 * 61 + tried) % 10_000;
        let port = 20_000 + u16::try_from(port).expect("small");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Returns the number in a variable, which extends or repeats a test.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs an async test body on a runtime of its own.
pub fn block_on<T>(task: impl Future<Output = T>) -> T {
    runtime().block_on(task)
}

/// Installs the provider that every HTTP client requires, also without TLS. The first call installs it for all tests.
pub fn provide_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Returns a runtime, for a test with background tasks.
pub fn runtime() -> tokio::runtime::Runtime {
    provide_tls();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
