//! A real rsyslog or syslog-ng as the receiver of a test.
//!
//! They are Debian 12's, from `.ci/syslog-peers`, and run as private instances with all their files in one directory.
//! They write a line per message to two files: the MSG part, and the whole record. (A line feed or a NUL in a message
//! would be changed; JSON contains neither.)
//!
//! Stopping one loses bytes that the kernel has accepted and the daemon has not read, and with syslog-ng its
//! read-ahead: a test that compares exactly calls [`Peer::wait_for`] before [`Peer::stop`].

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::free_port;

/// Timeout of every operation of a daemon.
const PATIENCE: Duration = Duration::from_secs(60);

/// rsyslog without queues: messages that it has read are written before it exits.
const RSYSLOG: &str = r#"global(workDirectory="DIRECTORY" maxMessageSize="1m" net.enableDNS="off"
  parser.escapeControlCharactersOnReceive="off")
main_queue(queue.type="Direct") module(load="imtcp" maxFrameSize="1000000" maxSessions="1000")
template(name="message" type="string" string="%msg%\n")
template(name="raw" type="string" string="%rawmsg%\n")
ruleset(name="received" parser="rsyslog.rfc5424" queue.type="Direct") {
  action(type="omfile" file="DIRECTORY/raw.log" template="raw" flushOnTXEnd="on")
  action(type="omfile" file="DIRECTORY/message.log" template="message" flushOnTXEnd="on")
}
input(type="imtcp" address="127.0.0.1" port="PORT" ruleset="received" TLS)
"#;
const RSYSLOG_TLS: &str = r#"streamDriver.name="ossl" streamDriver.mode="1"
  streamDriver.authMode="anon" streamDriver.CAFile="DIRECTORY/ca.pem"
  streamDriver.CertFile="DIRECTORY/server.pem" streamDriver.KeyFile="DIRECTORY/server.key""#;

/// syslog-ng with flow control: it stops reading instead of dropping messages.
const SYSLOG_NG: &str = r#"@version: 3.38
options { stats-freq(0); use-dns(no); keep-hostname(yes); log-msg-size(1048576); };
log {
  source { DRIVER(transport(TLS) ip("127.0.0.1") port(PORT) max-connections(100)
    log-iw-size(100000) flags(FLAGS store-raw-message)); };
  destination {
    file("DIRECTORY/raw.log" template("${RAWMSG}\n") flush-lines(1) log-fifo-size(200000));
    file("DIRECTORY/message.log" template("${MSG}\n") flush-lines(1) log-fifo-size(200000)); };
  flags(flow-control);
};
"#;
const SYSLOG_NG_TLS: &str = r#""tls") tls(key-file("DIRECTORY/server.key")
    cert-file("DIRECTORY/server.pem") peer-verify(optional-untrusted)"#;

/// Program of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rsyslog,
    SyslogNg,
}

/// Transport. TLS has a certificate for 127.0.0.1 and localhost from [`Peer::ca`], and requests none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Tls,
}

/// Framing of the messages. rsyslog detects either by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The length, a space, the message (RFC 6587, 3.4.1; RFC 5425).
    OctetCounted,
    /// The message, a line feed (RFC 6587, 3.4.2).
    LineFeed,
}

/// A running or stopped daemon, killed on drop.
#[derive(Debug)]
pub struct Peer {
    kind: Kind,
    directory: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Peer {
    /// Starts a daemon on a free port, with all its files in the directory. Returns once it accepts connections.
    pub fn start(kind: Kind, transport: Transport, framing: Framing, directory: &Path) -> Self {
        let directory = directory.canonicalize().expect("a directory");
        if transport == Transport::Tls {
            certificates(&directory);
        }
        let port = free_port();
        let (text, tcp, tls) = match kind {
            Kind::Rsyslog => (RSYSLOG, "", RSYSLOG_TLS),
            Kind::SyslogNg => (SYSLOG_NG, "\"tcp\"", SYSLOG_NG_TLS),
        };
        let (driver, flags) = match framing {
            Framing::OctetCounted => ("syslog", ""),
            Framing::LineFeed => ("network", "syslog-protocol,"),
        };
        let text = text
            .replace("TLS", if transport == Transport::Tls { tls } else { tcp })
            .replace("DRIVER", driver)
            .replace("FLAGS", flags)
            .replace("PORT", &port.to_string())
            .replace("DIRECTORY", directory.to_str().expect("a path in UTF-8"));
        fs::write(directory.join("peer.conf"), text).expect("the configuration is written");
        let mut peer = Self { kind, directory, port, child: None };
        peer.restart();
        peer
    }

    /// Returns its address, also while it is stopped.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Returns the certificate (PEM) of the authority that signed the server's; with TLS only.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Stops it with SIGTERM and waits for its exit. Does nothing if it does not run.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // The shell's own `kill`: slim images have no such program.
        run(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &child.id().to_string()]));
        let ended = within_patience(|| child.try_wait().expect("a child").is_some());
        child.kill().and_then(|()| child.wait()).ok();
        assert!(ended, "{:?} did not end on SIGTERM:\n{}", self.kind, self.log());
    }

    /// Starts it on the same port, after stopping it if it runs. Returns once it accepts connections.
    pub fn restart(&mut self) {
        self.stop();
        // Otherwise rsyslog would run without the port, and the port's owner would answer in its place.
        TcpListener::bind(self.address()).expect("the port is free");
        let line = match self.kind {
            Kind::Rsyslog => "/usr/sbin/rsyslogd -n -f DIRECTORY/peer.conf -i DIRECTORY/pid",
            Kind::SyslogNg => {
                "/opt/syslog-ng-peer/usr/sbin/syslog-ng -F -e --no-caps \
                 --module-path=/opt/syslog-ng-peer/usr/lib/syslog-ng/3.38 \
                 -f DIRECTORY/peer.conf -p DIRECTORY/pid -R DIRECTORY/persist -c DIRECTORY/control"
            }
        };
        let directory = self.directory.to_str().expect("a path in UTF-8");
        let mut words = line.split(' ').map(|word| word.replace("DIRECTORY", directory));
        let log = File::options().create(true).append(true).open(self.directory.join("peer.log"));
        let child = Command::new(words.next().expect("a program"))
            .args(words)
            .env("LD_LIBRARY_PATH", "/opt/syslog-ng-peer/usr/lib/syslog-ng")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        self.child = Some(child.expect("the daemon is installed: see install.sh"));
        let accepts = within_patience(|| {
            let runs = self.child.as_mut().is_some_and(|it| matches!(it.try_wait(), Ok(None)));
            assert!(runs, "{:?} did not start:\n{}", self.kind, self.log());
            TcpStream::connect(self.address()).is_ok()
        });
        assert!(accepts, "{:?} does not accept:\n{}", self.kind, self.log());
    }

    /// Returns the received MSG parts, in the order of arrival.
    pub fn messages(&self) -> Vec<String> {
        self.lines("message.log")
    }

    /// Returns the whole received records: `<134>1 2026-… MSG`.
    pub fn records(&self) -> Vec<String> {
        self.lines("raw.log")
    }

    /// Waits until `count` messages are in both files; panics after a minute.
    pub fn wait_for(&self, count: usize) {
        let reached = within_patience(|| self.messages().len().min(self.records().len()) >= count);
        assert!(reached, "{} of {count} messages:\n{}", self.messages().len(), self.log());
    }

    /// Returns the daemon's standard error of all its runs.
    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("peer.log")).unwrap_or_default())
            .into()
    }

    /// Returns the complete lines of a file.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read(self.directory.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.split_inclusive('\n')
            .filter_map(|it| it.strip_suffix('\n'))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}

/// Creates an authority, and a server's certificate for 127.0.0.1 and localhost.
fn certificates(directory: &Path) {
    let text = "[req]\nprompt=no\ndistinguished_name=name\n[name]\nCN=localhost\n\
        [ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n\
        [server]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
        extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n";
    fs::write(directory.join("openssl.cnf"), text).expect("a file");
    let request = "req -config openssl.cnf -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256";
    for arguments in [
        &format!("{request} -x509 -days 2 -subj /CN=ca -extensions ca -keyout ca.key -out ca.pem"),
        &format!("{request} -keyout server.key -out server.csr"),
        "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 \
         -extfile openssl.cnf -extensions server -out server.pem",
    ] {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(directory));
    }
}

/// Tries until it holds; false after [`PATIENCE`].
fn within_patience(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Runs a command that must succeed.
fn run(command: &mut Command) {
    let output = command.output().expect("the program is installed");
    assert!(output.status.success(), "{command:?}: {output:?}");
}
