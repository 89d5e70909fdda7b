//! The `postgres` sink against Debian's PostgreSQL 15 (`.ci/postgres`): outages, crashes of either side, refused rows,
//! TLS. Each test starts a server of its own, which is killed at its end.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::canary::{assert_silent, shown};
use crate::support::certificates::Certificates;
use crate::support::events::{batch, equal, ids, minted, minted_with};
use crate::support::service::{Home, Service};
use crate::support::{free_port, wait_for};

const PASSWORD: &str = "s3cr3t-of-the-role";

/// A server with the table of `deploy/postgres` and a role that may insert into it.
struct Server {
    directory: TempDir,
    port: u16,
    child: Child,
}

fn program(name: &str) -> String {
    let directory = std::env::var("POSTGRES_BIN");
    format!("{}/{name}", directory.as_deref().unwrap_or("/usr/lib/postgresql/15/bin"))
}

/// Number of the user `postgres`, if this process is root: the server refuses to run as root.
fn owner() -> Option<u32> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|it| {
        use std::os::unix::fs::MetadataExt;
        it.uid() == 0
    });
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find_map(|line| line.strip_prefix("postgres:"))?;
    line.split(':').nth(1)?.parse().ok().filter(|_| is_root)
}

/// A command that runs as the user of the server.
fn as_owner(name: &str) -> Command {
    let Some(id) = owner() else { return Command::new(program(name)) };
    let mut command = Command::new("setpriv");
    let (user, group) = (format!("--reuid={id}"), "--regid=postgres");
    command.args([&user, group, "--clear-groups", &program(name)]);
    command
}

impl Server {
    /// `more` are lines of `postgresql.conf`; `files` are copied into the data directory.
    fn start(more: &str, files: &[(&str, &Path)]) -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        std::fs::create_dir(&data).expect("made");
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("set");
        std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).expect("set");
        chown(&data, owner(), None).expect("owned");
        let output = as_owner("initdb")
            .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "-D"])
            .arg(&data)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        for (name, file) in files {
            let path = data.join(name);
            std::fs::copy(file, &path).expect("copied");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
            chown(&path, owner(), None).expect("owned");
        }
        let port = free_port();
        let config = format!(
            "listen_addresses = 'localhost'\nport = {port}\nunix_socket_directories = '{}'\n{more}\n",
            data.display()
        );
        let path = data.join("postgresql.conf");
        std::fs::write(&path, config).expect("written");
        let child = spawn(&data);
        let server = Server { directory, port, child };
        server.wait_until_ready("postgres");
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/postgres/table.sql");
        server.sql("postgres", "CREATE DATABASE siem");
        server.sql("siem", &std::fs::read_to_string(table).expect("a file"));
        server.sql("siem", &format!("CREATE ROLE davinci_siem LOGIN PASSWORD '{PASSWORD}'"));
        let grant = "GRANT INSERT, SELECT (event_uid) ON public.pingone_events TO davinci_siem";
        server.sql("siem", grant);
        // With `synchronous_commit = off`, a crash soon after would lose the grant.
        server.sql("siem", "CHECKPOINT");
        server
    }

    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    fn psql(&self, database: &str, statement: &str) -> std::process::Output {
        let mut command = as_owner("psql");
        command.args([
            "--no-psqlrc",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
        ]);
        command.arg("-h").arg(self.data()).args(["-p", &self.port.to_string(), "-c", statement]);
        command.output().expect("it runs")
    }

    fn sql(&self, database: &str, statement: &str) -> String {
        let output = self.psql(database, statement);
        assert!(output.status.success(), "{statement}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    fn wait_until_ready(&self, database: &str) {
        wait_for("the server", || self.psql(database, "SELECT 1").status.success().then_some(()));
    }

    /// Ends the server as a crash does: it recovers from its log at the next start.
    fn crash(&mut self) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-QUIT", &id]).status().expect("kill runs");
        assert!(status.success());
        self.child.wait().expect("it ended");
    }

    fn restart(&mut self) {
        self.child = spawn(&self.data());
        self.wait_until_ready("siem");
    }

    fn ids(&self) -> Vec<String> {
        let ids =
            self.sql("siem", "SELECT event_id FROM pingone_events ORDER BY event_id COLLATE \"C\"");
        ids.lines().map(str::to_owned).collect()
    }
}

fn spawn(data: &Path) -> Child {
    as_owner("postgres")
        .arg("-D")
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }
}

fn home(server: &Server, more: &str) -> Home {
    let home = Home::new(&format!(
        "[sinks.db]\ntype = \"postgres\"\naddress = \"localhost:{}\"\ndatabase = \"siem\"\n\
         username = \"davinci_siem\"\npassword_file = \"password\"\n\
         retry = {{ min = \"1ms\", max = \"100ms\" }}\n{more}\n",
        server.port
    ));
    std::fs::write(home.path("password"), PASSWORD).expect("written");
    home
}

fn wait_until(service: &Service, state: &str, said: &str) {
    wait_for(said, || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == state && reason.contains(said)).then_some(())
    });
}

const TCP: &str = "transport = \"tcp\"";

#[test]
#[ignore = "needs PostgreSQL 15: .ci/postgres"]
fn each_event_is_there_once_after_crashes_of_either_side() {
    let mut server = Server::start("synchronous_commit = off", &[]);
    let home = home(&server, &format!("{TCP}\nbatch = {{ events = 20 }}"));
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success(), "{checked:?}");
    let mut service = home.start();
    let expected = ids(600);
    for (round, part) in expected.chunks(100).enumerate() {
        let (first, second) = part.split_at(50);
        service.post(&batch(first.to_vec()));
        match round % 3 {
            // In the middle of the delivery.
            0 => {
                server.crash();
                service.post(&batch(second.to_vec()));
                wait_until(&service, "retrying", "");
                server.restart();
            }
            1 => {
                service.kill();
                service = home.start();
                service.post(&batch(second.to_vec()));
            }
            _ => service.post(&batch(second.to_vec())),
        }
    }
    service.wait_until_settled("db");
    assert_eq!(server.ids(), expected, "each once");
    let rows =
        server.sql("siem", "SELECT json_build_array(event_id, outcome, event) FROM pingone_events");
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).expect("JSON");
        let id = row[0].as_str().expect("an id");
        assert_eq!(row[1], "success");
        assert!(equal(&row[2].to_string(), &minted(id)), "{id}");
    }
    // A replay leaves no duplicate, and a crash right after the delivery loses nothing.
    server.crash();
    server.restart();
    assert_eq!(server.ids(), expected);
}

#[test]
#[ignore = "needs PostgreSQL 15: .ci/postgres"]
fn an_event_that_jsonb_cannot_store_becomes_a_dead_letter() {
    let server = Server::start("", &[]);
    let home = home(&server, TCP);
    let service = home.start();
    service.post(&batch(ids(30)));
    service.post(&format!("[{}]", minted_with("with-nul", "x\0y")));
    service.post(&batch(["after".to_owned()]));
    service.wait_until_settled("db");
    let mut expected = vec!["after".to_owned()];
    expected.extend(ids(30));
    assert_eq!(server.ids(), expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["target"]["code"], "22P05");
}

#[test]
#[ignore = "needs PostgreSQL 15: .ci/postgres"]
fn mistakes_pause_the_sink_and_name_the_remedy() {
    let server = Server::start("", &[]);
    let home = home(&server, TCP);
    std::fs::write(home.path("password"), "canary-of-the-role").expect("written");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until(&service, "paused", "the server refuses the role");
    assert_silent(&shown(&service), "canary-of-the-role", "while it is paused");
    let rename = |from: &str, to: &str| {
        server.sql("siem", &format!("ALTER TABLE {from} RENAME TO {to}"));
    };
    rename("pingone_events", "elsewhere");
    std::fs::write(home.path("password"), PASSWORD).expect("written");
    wait_until(&service, "paused", "create the table as in deploy/postgres");
    rename("elsewhere", "pingone_events");
    service.wait_until_settled("db");
    server.sql("siem", "REVOKE INSERT ON pingone_events FROM davinci_siem");
    service.post(&batch(["later".to_owned()]));
    wait_until(&service, "paused", "grant INSERT");
    server.sql("siem", "GRANT INSERT ON pingone_events TO davinci_siem");
    service.wait_until_settled("db");
    server.sql("siem", "ALTER TABLE pingone_events DROP CONSTRAINT pingone_events_pkey");
    service.post(&batch(["last".to_owned()]));
    wait_until(&service, "paused", "needs a unique index on event_uid");
    server.sql("siem", "ALTER TABLE pingone_events ADD PRIMARY KEY (event_uid)");
    service.wait_until_settled("db");
    assert_eq!(server.ids().len(), 5);
    for secret in [PASSWORD, "canary-of-the-role"] {
        assert_silent(&service.log(), secret, "the log");
    }
}

#[test]
#[ignore = "needs PostgreSQL 15: .ci/postgres"]
fn tls_is_verified() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "own");
    let strangers = Certificates::new(directory.path(), "strangers");
    let issued = certificates.issue("localhost", |_| ());
    let files =
        [("server.crt", issued.certificate.as_path()), ("server.key", issued.key.as_path())];
    let server = Server::start("ssl = on", &files);
    let trusting = |ca: &Path| home(&server, &format!("tls = {{ ca = {ca:?} }}"));
    let wrong = trusting(&strangers.ca).run(&["check", "--connect"]);
    assert!(!wrong.status.success());
    let right = trusting(&certificates.ca);
    let service = right.start();
    service.post(&batch(ids(10)));
    service.wait_until_settled("db");
    assert_eq!(server.ids(), ids(10));
    let encrypted = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE ssl AND usename = 'davinci_siem'";
    assert_eq!(server.sql("siem", encrypted), "t");
}
