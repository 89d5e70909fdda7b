//! A reload is one transaction: half a configuration is never applied, and no access becomes less restricted.

use reqwest::{Client, RequestBuilder, StatusCode};

use crate::support::certificates::Certificates;
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

const APPLIED: &str = "davinci_siem_reloads_total{result=\"applied\"}";
const REFUSED: &str = "davinci_siem_reloads_total{result=\"refused\"}";
const PASSWORD: &str = "q3Vx8LmZ0tR7yBnK";

const SOURCE: &str = "[sources.pingone]\nbasic = [{ username = \"u\", password_file = \"password\" }]\n\
                      allow_from = [\"127.0.0.0/8\", \"203.0.113.0/24\"]\n";

fn home(listen: &str, config: &str) -> Home {
    let home = Home::with_listen(listen, config);
    std::fs::write(home.path("password"), PASSWORD).expect("written");
    home
}

fn config_of(home: &Home) -> String {
    std::fs::read_to_string(home.path("test.toml")).expect("read")
}

fn write(home: &Home, config: &str) {
    std::fs::write(home.path("test.toml"), config).expect("written");
}

fn status(request: RequestBuilder) -> StatusCode {
    block_on(async { request.body("[]").send().await.expect("an answer").status() })
}

fn nobody(service: &Service) -> StatusCode {
    status(Client::new().post(&service.url))
}

fn sender(service: &Service) -> StatusCode {
    status(Client::new().post(&service.url).basic_auth("u", Some(PASSWORD)))
}

/// Runs `change`, and waits until one more reload has ended with this result.
fn then(service: &Service, metric: &str, act: impl FnOnce()) {
    let before = service.metric(metric);
    act();
    wait_for(metric, || (service.metric(metric) > before).then_some(()));
}

#[test]
fn an_empty_missing_or_cut_file_changes_nothing() {
    let home =
        home("reload = \"20ms\"", &format!("[sinks.f]\ntype = \"file\"\npath = \"f\"\n{SOURCE}"));
    let service = home.start();
    let whole = config_of(&home);
    let cut = |at: &str| whole[..whole.find(at).expect("there")].to_owned();
    for (text, reason) in [
        (Some(String::new()), "the configuration file is empty"),
        (None, "cannot be read"),
        (Some(cut("basic =")), "ends too early"),
        (Some(cut("allow_from")), "ends too early"),
        (Some(cut("[sources")), "ends too early"),
        (Some(cut("password_file")), "ends too early"),
        (
            Some(whole.replace("[sinks.f]\ntype = \"file\"\npath = \"f\"\n", "")),
            "sinks.f: the section is missing",
        ),
        (
            Some(whole.replace(SOURCE, "[sources.other]\n")),
            "sources.pingone: removing a source needs a restart",
        ),
        (
            Some(whole.replace("allow_from", "# allow_from")),
            "sources.pingone.allow_from: now allows every",
        ),
        (
            Some(whole.replace("basic =", "# basic =")),
            "sources.pingone: the last credential was removed",
        ),
    ] {
        then(&service, REFUSED, || match &text {
            Some(text) => write(&home, text),
            None => std::fs::remove_file(home.path("test.toml")).expect("removed"),
        });
        service.wait_for_log(reason);
        // SIGHUP does not change the result.
        then(&service, REFUSED, || service.signal("HUP"));
        assert_eq!(nobody(&service), StatusCode::UNAUTHORIZED, "{reason}");
        assert_eq!(sender(&service), StatusCode::OK, "{reason}");
        write(&home, &whole);
        then(&service, APPLIED, || service.signal("HUP"));
    }
    assert!(!service.log().contains(PASSWORD));
}

#[test]
fn a_change_that_needs_a_restart_refuses_the_whole_reload() {
    let home = home("reload = \"1h\"", SOURCE);
    let service = home.start();
    let whole = config_of(&home);
    std::fs::write(home.path("next"), "Zr5pQ2wN8cJ4vT1x").expect("written");
    let text = whole
        .replacen("address = \"127.0.0.1:0\"", "address = \"127.0.0.2:0\"\nauth = \"none\"", 1)
        .replace("\"password\"", "\"next\"");
    write(&home, &text);
    then(&service, REFUSED, || service.signal("HUP"));
    service.wait_for_log("listen.address: a change needs a restart");
    service.wait_for_log("listen.auth: a change needs a restart");
    assert_eq!(sender(&service), StatusCode::OK, "the password of before");
    assert!(!service.log().contains("SIGHUP: every sink"), "sinks do not read their files either");
}

#[test]
fn a_reload_applies_access_keys_and_names_keys_that_need_a_restart() {
    let config =
        format!("{SOURCE}[sinks.f]\ntype = \"file\"\npath = \"f\"\n[limits]\nbody = \"1 MiB\"\n");
    let home = home("reload = \"1h\"\ntrusted_proxies = [\"10.0.0.0/8\"]", &config);
    let service = home.start();
    let whole = config_of(&home);
    let unknown =
        r#"[{"id":"a","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"},"odd":1}]"#;
    let strictly = |id: &str| {
        let post = Client::new().post(&service.url).basic_auth("u", Some(PASSWORD));
        let post = post.body(unknown.replace("\"a\"", &format!("{id:?}")));
        block_on(async { post.send().await.expect("an answer").text().await.expect("a text") })
    };
    let forwarded = || {
        let post = Client::new().post(&service.url).basic_auth("u", Some(PASSWORD));
        status(post.header("X-Forwarded-For", "198.51.100.1"))
    };
    assert_eq!(forwarded(), StatusCode::OK, "nobody has to believe it");
    let text = whole
        .replace("10.0.0.0/8", "127.0.0.0/8")
        .replace("allow_from", "strict = true\nallow_from")
        .replace("1 MiB", "2 MiB");
    write(&home, &format!("{text}[sinks.g]\ntype = \"stdout\"\n"));
    then(&service, APPLIED, || service.signal("HUP"));
    assert_eq!(forwarded(), StatusCode::FORBIDDEN, "trusted_proxies");
    assert!(strictly("b").contains("\"quarantined\":1"), "strict");
    service.wait_for_log("listen.trusted_proxies, sources.pingone.strict");
    service.wait_for_log("sinks.g");
    service.wait_for_log("limits.body");
    // No reload removes a sink.
    write(&home, &format!("{whole}[sinks.g]\ntype = \"stdout\"\n"));
    then(&service, APPLIED, || service.signal("HUP"));
    assert_eq!(forwarded(), StatusCode::OK, "and back");
    assert!(strictly("c").contains("\"quarantined\":0"), "and back");
}

#[test]
fn the_admin_listener_keeps_its_password_and_stays_read_only() {
    let home = home("reload = \"1h\"", "");
    let whole = config_of(&home);
    let with = |keys: &str| whole.replace("[admin]\n", &format!("[admin]\n{keys}"));
    write(&home, &with("password_file = \"password\"\n"));
    let service = home.start();
    let ask = || status(Client::new().get(format!("{}/api/status", service.admin)));
    let operate = || {
        let post = Client::new().post(format!("{}/api/sinks/stdout/pause", service.admin));
        let post = post.header("x-davinci-siem-operation", "1");
        status(post.basic_auth("admin", Some(PASSWORD)))
    };
    assert_eq!((ask(), operate()), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    write(&home, &whole);
    then(&service, REFUSED, || service.signal("HUP"));
    service.wait_for_log("admin.password: was removed");
    assert_eq!(ask(), StatusCode::UNAUTHORIZED);
    write(&home, &with("password_file = \"password\"\nread_only = true\n"));
    then(&service, APPLIED, || service.signal("HUP"));
    assert_eq!(operate(), StatusCode::FORBIDDEN, "read_only is taken up");
    write(&home, &with("password_file = \"password\"\n"));
    then(&service, REFUSED, || service.signal("HUP"));
    service.wait_for_log("admin.read_only: is now false");
    assert_eq!(operate(), StatusCode::FORBIDDEN);
}

#[test]
fn a_new_authority_applies_to_open_connections_and_removing_it_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let old = Certificates::new(directory.path(), "old");
    let new = Certificates::new(directory.path(), "new");
    let own = old.issue("127.0.0.1", |_| ());
    let listen = format!(
        "reload = \"1h\"\n[listen.tls]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
        own.certificate, own.key, old.ca
    );
    let home = Home::with_listen(&listen, "");
    let service = home.start();
    let whole = config_of(&home);
    let without = old.http(None);
    let refused =
        || block_on(async { without.post(&service.url).body("[]").send().await.is_err() });
    assert!(refused(), "no certificate");
    write(&home, &whole.replace("client_ca", "# client_ca"));
    then(&service, REFUSED, || service.signal("HUP"));
    service.wait_for_log("listen.tls.client_ca: was removed");
    assert!(refused(), "still no certificate");
    // One runtime, so that the connections stay open.
    let runtime = crate::support::runtime();
    let post = |client: &Client| {
        let sent = runtime.block_on(client.post(&service.url).body("[]").send());
        sent.ok().map(|answer| answer.status())
    };
    let client = old.http(Some(&old.issue("pingone.example.com", |_| ())));
    assert_eq!(post(&client), Some(StatusCode::OK));
    write(&home, &whole.replace(&format!("{:?}", old.ca), &format!("{:?}", new.ca)));
    then(&service, APPLIED, || service.signal("HUP"));
    assert_eq!(post(&client), Some(StatusCode::UNAUTHORIZED), "the connection is older");
    let successor = old.http(Some(&new.issue("pingone.example.com", |_| ())));
    assert_eq!(post(&successor), Some(StatusCode::OK));
}
