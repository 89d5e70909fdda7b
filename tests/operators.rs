//! Authorization of operations with an admin password.

use reqwest::{Client, RequestBuilder, header};

use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::{block_on, wait_for};

const PASSWORD: &str = "r3d-Lantern-by-the-Sea";

fn home(more: &str) -> Home {
    let config =
        "[limits]\nfailed_logins = 3\n[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n";
    let home = Home::new(config);
    std::fs::write(home.path("password"), PASSWORD).expect("written");
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let admin = format!("[admin]\npassword_file = \"password\"\n{more}\n");
    std::fs::write(home.path("test.toml"), text.replace("[admin]\n", &admin)).expect("written");
    home
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[test]
fn a_password_is_needed_by_everyone_and_for_everything_but_health() {
    let home = home("");
    let service = home.start();
    block_on(async {
        let client = Client::new();
        let url = |path: &str| format!("{}{path}", service.admin);
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(status(client.get(url(path))).await, 200, "{path}");
        }
        let pause = || client.post(url("/api/sinks/one/pause"));
        let nobody = client.get(url("/api/status")).send().await.expect("an answer");
        assert_eq!(nobody.status(), 401);
        assert!(nobody.headers()[header::WWW_AUTHENTICATE].as_bytes().starts_with(b"Basic "));
        let operation = |request: RequestBuilder| request.header("x-davinci-siem-operation", "1");
        assert_eq!(status(operation(pause())).await, 401);
        let admin = |request: RequestBuilder| request.basic_auth("admin", Some(PASSWORD));
        assert_eq!(status(admin(client.get(url("/api/status")))).await, 200);
        assert_eq!(status(admin(pause())).await, 403, "as a page of another site would");
        assert_eq!(status(admin(operation(pause()))).await, 200);
        let guess =
            || status(client.get(url("/api/status")).basic_auth("admin", Some("r3d-Lantern")));
        let mut seen = Vec::new();
        // A new minute may begin once in between.
        for _ in 0..12 {
            seen.push(guess().await);
        }
        assert!(seen.starts_with(&[401, 401]) && seen.contains(&429), "{seen:?}");
        assert_eq!(status(admin(client.get(url("/api/status")))).await, 200, "all the same");
    });
    assert!(!service.log().contains(PASSWORD));
}

#[test]
fn the_commands_take_the_password_from_the_configuration() {
    let home = home("");
    let service = home.start();
    service.post(&batch(ids(1)));
    for arguments in [&["sink", "pause", "one"][..], &["sink", "list"], &["sink", "resume", "one"]]
    {
        let output = home.run_with(&service, arguments);
        assert!(output.status.success(), "{output:?}");
    }
    // A changed password takes effect without a restart; the old one is refused.
    std::fs::write(home.path("password"), "another-Lantern-by-the-Sea").expect("written");
    service.signal("HUP");
    let asked = |password: &'static str| {
        let ask = Client::new().get(format!("{}/api/status", service.admin));
        block_on(status(ask.basic_auth("admin", Some(password))))
    };
    wait_for("the new password", || (asked("another-Lantern-by-the-Sea") == 200).then_some(()));
    assert_ne!(asked(PASSWORD), 200);
    assert!(home.run_with(&service, &["sink", "list"]).status.success());
    // Health needs no password.
    std::fs::remove_file(home.path("password")).expect("removed");
    assert!(home.run_with(&service, &["health"]).status.success());
    for arguments in [&["spool", "stats"][..], &["quarantine", "list"]] {
        assert!(
            home.run(arguments).status.success(),
            "the directory's owner needs none: {arguments:?}"
        );
    }
}

#[test]
fn read_only_is_read_only() {
    let home = home("read_only = true");
    let service = home.start();
    assert!(home.run_with(&service, &["sink", "list"]).status.success());
    let refused = home.run_with(&service, &["sink", "pause", "one"]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("admin.read_only is on"), "{text}");
}
