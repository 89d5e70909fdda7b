//! What strangers can use up, in a small way: the bounds hold and honest senders are served.

use std::io::Read;
use std::net::TcpStream;

use reqwest::{Client, StatusCode, header};

use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::{PATIENCE, block_on, wait_for};

#[test]
fn who_opens_connections_and_says_nothing_makes_room() {
    let home = Home::new("[limits]\nconnections = 8\nheader_timeout = \"1h\"\n");
    let service = home.start();
    let open = || service.metric("davinci_siem_connections{listener=\"webhooks\"}");
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..40 {
        let stream = TcpStream::connect(service.address()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        silent.push(stream);
        if silent.len().is_multiple_of(10) {
            service.post(&batch(ids(1)));
        }
    }
    wait_for("the bound", || (open() <= 8.0).then_some(()));
    let mut rest = Vec::new();
    assert_eq!(silent[0].read_to_end(&mut rest).expect("closed"), 0, "the first has given way");
    let gave_way = "davinci_siem_connection_ends_total{listener=\"webhooks\",reason=\"gave_way\"}";
    wait_for("everyone beyond the bound", || (service.metric(gave_way) >= 32.0).then_some(()));
    service.post(&batch(ids(1)));
}

#[test]
fn wrong_logins_are_told_to_wait_and_right_ones_are_not() {
    let home = Home::new(
        "[limits]\nfailed_logins = 5\n[sources.p]\n\
         basic = [{ username = \"pingone\", password_env = \"PASSWORD\" }]\n",
    )
    .with_variables(&[("PASSWORD", "right")]);
    let service = home.start();
    block_on(async {
        let client = Client::new();
        let post = |password: &'static str| {
            let post = client.post(&service.url).basic_auth("pingone", Some(password));
            async { post.body("[]").send().await.expect("an answer") }
        };
        let mut seen = Vec::new();
        // The minute may turn in between, once.
        for _ in 0..30 {
            let answer = post("wrong").await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                assert_eq!(answer.headers()[header::RETRY_AFTER], "60");
            }
            seen.push(answer.status().as_u16());
            assert_eq!(post("right").await.status(), 200, "whatever came before");
        }
        assert_eq!(seen[..5].iter().filter(|status| **status == 401).count(), 5);
        let refused = seen.iter().filter(|status| **status == 429).count();
        assert!((15..=25).contains(&refused), "{seen:?}");
    });
    let lines = service.log().matches("wrong").count();
    assert!((1..=4).contains(&lines), "two lines a minute, not one for each: {lines}");
}

#[test]
fn a_stranger_reaches_neither_the_disk_nor_the_log() {
    let home = Home::new(
        "[limits]\nfailed_logins = 5\n[sources.p]\n\
         headers = [{ name = \"X-Key\", value_env = \"KEY\" }]\n",
    )
    .with_variables(&[("KEY", "right")]);
    let service = home.start();
    let before = service.log().lines().count();
    block_on(async {
        let client = Client::new();
        for _ in 0..50 {
            let junk = client.post(&service.url).body("junk that nobody can parse");
            let status = junk.send().await.expect("an answer").status().as_u16();
            assert!(status == 401 || status == 429, "{status}");
            assert_eq!(client.get(&service.url).send().await.expect("an answer").status(), 200);
        }
    });
    assert!(home.quarantine().is_empty(), "nothing was kept");
    let lines: Vec<String> = service.log().lines().skip(before).map(str::to_owned).collect();
    let loud = lines.iter().filter(|line| !line.contains("\"DEBUG\"")).count();
    assert!((1..=6).contains(&loud), "{lines:#?}");
}
