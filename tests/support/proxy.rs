//! A real proxy (nginx, Caddy, `HAProxy`) in front of the service, with the file of `deploy/`. Only addresses and paths
//! of certificates are replaced.
//!
//! They are Debian 12's, from `.ci/proxies`, and run as private instances with all their files in one directory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::certificates::Issued;
use super::{free_port, wait_for};

/// Host name in the files of `deploy/`.
pub const NAME: &str = "davinci-siem.example.com";

const PROGRAMS: &str = "/opt/proxy-peers/usr";

/// Content of Debian's `nginx.conf` around a file of `conf.d`.
const NGINX: &str = "daemon off; user root root; pid DIRECTORY/pid; error_log stderr; events {}
http {
    access_log off; client_body_temp_path DIRECTORY/body; proxy_temp_path DIRECTORY/proxy;
    fastcgi_temp_path DIRECTORY/fastcgi; uwsgi_temp_path DIRECTORY/uwsgi; scgi_temp_path DIRECTORY/scgi;
    include DIRECTORY/davinci-siem.conf;
}
";

/// nginx that forwards TCP and sends the client's address in the PROXY protocol.
const NGINX_STREAM: &str =
    "load_module /opt/proxy-peers/usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root root; pid DIRECTORY/pid; error_log stderr; events {}
stream { server { listen LISTEN; proxy_pass UPSTREAM; proxy_protocol on; } }
";

/// Program and file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `deploy/nginx/davinci-siem.conf`
    Nginx,
    /// `deploy/caddy/Caddyfile`
    Caddy,
    /// `deploy/haproxy/haproxy.cfg`
    Haproxy,
    /// A configuration that `deploy/` does not contain, because it would not work.
    NginxStream,
}

/// A running proxy, stopped on drop.
#[derive(Debug)]
pub struct Proxy {
    kind: Kind,
    pub address: SocketAddr,
    directory: PathBuf,
    child: Child,
}

impl Proxy {
    /// Starts one in front of `upstream`, with all its files in the directory. Returns once it accepts connections.
    pub fn start(kind: Kind, directory: &Path, upstream: SocketAddr, own: &Issued) -> Proxy {
        let directory = directory.canonicalize().expect("a directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let put = |line: &str| {
            line.replace("DIRECTORY", directory.to_str().expect("UTF-8"))
                .replace("LISTEN", &address.to_string())
                .replace("UPSTREAM", &upstream.to_string())
        };
        let write =
            |name: &str, text: String| fs::write(directory.join(name), text).expect("written");
        let (certificate, key) = (path(&own.certificate), path(&own.key));
        let (listen, to) = (address.to_string(), upstream.to_string());
        let line = match kind {
            Kind::Nginx => {
                let changes = [
                    ("listen 443 ssl http2;", format!("listen {listen} ssl http2;")),
                    ("server 127.0.0.1:8080;", format!("server {to};")),
                    ("/etc/nginx/davinci-siem.crt", certificate),
                    ("/etc/nginx/davinci-siem.key", key),
                ];
                write("davinci-siem.conf", deployed("nginx/davinci-siem.conf", &changes));
                write("nginx.conf", put(NGINX));
                "/sbin/nginx -e stderr -c DIRECTORY/nginx.conf"
            }
            Kind::NginxStream => {
                write("nginx.conf", put(NGINX_STREAM));
                "/sbin/nginx -e stderr -c DIRECTORY/nginx.conf"
            }
            Kind::Caddy => {
                let port = address.port();
                let changes = [
                    // Several may run at the same time, and on loopback only.
                    (
                        "\tauto_https disable_redirects\n",
                        "\tauto_https disable_redirects\n\tadmin off\n\tdefault_bind 127.0.0.1\n"
                            .to_owned(),
                    ),
                    (".com:443 {", format!(".com:{port} {{")),
                    ("\n:443 {", format!("\n:{port} {{")),
                    ("reverse_proxy 127.0.0.1:8080 ", format!("reverse_proxy {to} ")),
                    ("# tls /etc/caddy/davinci-siem.crt", format!("tls {certificate}")),
                    ("/etc/caddy/davinci-siem.key", key),
                ];
                write("Caddyfile", deployed("caddy/Caddyfile", &changes));
                "/bin/caddy run --config DIRECTORY/Caddyfile"
            }
            Kind::Haproxy => {
                let changes =
                    [("bind 0.0.0.0:443", format!("bind {listen}")), ("127.0.0.1:8443", to)];
                write("haproxy.cfg", deployed("haproxy/haproxy.cfg", &changes));
                "/sbin/haproxy -db -f DIRECTORY/haproxy.cfg"
            }
        };
        run(kind, address, &directory, &put(line))
    }

    #[cfg(feature = "nats")]
    /// Starts nginx in front of two receivers, with `deploy/jetstream/nginx.conf` without TLS.
    pub fn before_two(directory: &Path, receivers: [SocketAddr; 2]) -> Proxy {
        let directory = directory.canonicalize().expect("a directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let [one, two] = receivers.map(|receiver| receiver.to_string());
        let changes = [
            ("listen 443 ssl http2;", format!("listen {address};")),
            ("    ssl_certificate /etc/nginx/davinci-siem.crt;\n", String::new()),
            ("    ssl_certificate_key /etc/nginx/davinci-siem.key;\n", String::new()),
            ("receiver-1:8080", one),
            ("receiver-2:8080", two),
        ];
        let text = deployed("jetstream/nginx.conf", &changes);
        fs::write(directory.join("davinci-siem.conf"), text).expect("written");
        let put = |text: &str| text.replace("DIRECTORY", directory.to_str().expect("UTF-8"));
        fs::write(directory.join("nginx.conf"), put(NGINX)).expect("written");
        run(Kind::Nginx, address, &directory, &put("/sbin/nginx -e stderr -c DIRECTORY/nginx.conf"))
    }

    /// Returns its standard error.
    fn log(&self) -> String {
        let log = fs::read(self.directory.join("proxy.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of {:?}\n{}", self.kind, self.log());
        }
        // nginx has a second process, which would continue. The shell's own `kill`: slim images have no such program.
        let id = self.child.id().to_string();
        drop(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status());
        if matches!(self.kind, Kind::Caddy | Kind::Haproxy) {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

/// Starts the program that a line names. Returns once it accepts connections.
fn run(kind: Kind, address: SocketAddr, directory: &Path, line: &str) -> Proxy {
    let mut words = line.split(' ');
    let program = format!("{PROGRAMS}{}", words.next().expect("a program"));
    let log = File::create(directory.join("proxy.log")).expect("a log");
    let child = Command::new(program)
        .args(words)
        .env("HOME", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the proxy is installed: see .ci/proxies");
    let mut proxy = Proxy { kind, address, directory: directory.to_owned(), child };
    wait_for("the proxy", || {
        let ended = proxy.child.try_wait().expect("a child");
        assert_eq!(ended, None, "{kind:?} did not start:\n{}", proxy.log());
        TcpStream::connect(address).ok()
    });
    proxy
}

fn path(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Returns a file of `deploy/` with changes, each of which has exactly one place.
fn deployed(name: &str, changes: &[(&str, String)]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    let mut text = fs::read_to_string(file).expect("a file of deploy/");
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{name}: {from:?}");
        text = text.replace(from, to);
    }
    text
}
