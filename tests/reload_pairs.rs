//! Random pairs of configurations with the real service: after each reload it answers every request like before, or
//! like a service that is started with the new file.
//!
//! `RELOAD_PAIRS` is the number of services, `RELOAD_SEED` repeats a run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use tokio::runtime::Runtime;

use crate::support::service::{Home, Service};
use crate::support::{runtime, setting, wait_for};

const APPLIED: &str = "davinci_siem_reloads_total{result=\"applied\"}";
const REFUSED: &str = "davinci_siem_reloads_total{result=\"refused\"}";

/// Number of files that each service gets, one after another.
const FILES: usize = 4;

const SECRETS: [&str; 3] = ["q3Vx8LmZ0tR7yBnK", "Zr5pQ2wN8cJ4vT1x", "Hk7dM3sG9bF6yL0a"];

/// Number of values of each choice in a configuration.
const CHOICES: [u8; 11] = [3, 2, 8, 4, 4, 2, 2, 4, 2, 2, 2];

type Choices = [u8; CHOICES.len()];

fn choose(random: &mut StdRng) -> Choices {
    CHOICES.map(|number| random.random_range(0..number))
}

/// Changes one or two choices, so that many reloads are accepted.
fn altered(random: &mut StdRng, before: &Choices) -> Choices {
    let (mut after, other) = (*before, choose(random));
    for _ in 0..random.random_range(1..=2) {
        let which = random.random_range(0..after.len());
        after[which] = other[which];
    }
    after
}

fn text(choices: &Choices) -> String {
    let [trusted, header, basic, key, allow, strict, second, password, read_only, body, sink] =
        *choices;
    let trusted = ["", "\"127.0.0.0/8\"", "\"0.0.0.0/0\""][usize::from(trusted)];
    let header = ["x-forwarded-for", "forwarded"][usize::from(header)];
    let basics = (0..SECRETS.len()).filter(|number| basic & (1 << number) != 0);
    let basics: Vec<String> = basics
        .map(|number| format!("{{ username = \"u\", password_file = \"s{number}\" }}"))
        .collect();
    let mut text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\nreload = \"1h\"\ntrusted_proxies = [{trusted}]\n\
         forwarded_header = \"{header}\"\n[log]\nformat = \"json\"\n[sources.a]\npath = \"/a\"\n\
         basic = [{}]\nstrict = {}\n",
        basics.join(", "),
        strict == 1
    );
    if let Some(number) = key.checked_sub(1) {
        text += &format!("headers = [{{ name = \"x-key\", value_file = \"s{number}\" }}]\n");
    }
    let allow = match allow {
        0 => "",
        1 => "\"127.0.0.0/8\"",
        2 => "\"198.51.100.0/24\"",
        _ => "\"127.0.0.0/8\", \"198.51.100.0/24\"",
    };
    text += &format!("allow_from = [{allow}]\n");
    if second == 1 {
        text +=
            "[sources.b]\npath = \"/b\"\nbasic = [{ username = \"u\", password_file = \"s0\" }]\n";
    }
    text += &format!("[admin]\naddress = \"127.0.0.1:0\"\nread_only = {}\n", read_only == 1);
    if let Some(number) = password.checked_sub(1) {
        text += &format!("password_file = \"s{number}\"\n");
    }
    text += &format!("[limits]\nfailed_logins = 100000\nbody = \"{} MiB\"\n", 1 + body);
    text += "[sinks.one]\ntype = \"file\"\npath = \"one\"\n";
    if sink == 1 {
        text += "[sinks.two]\ntype = \"file\"\npath = \"two\"\n";
    }
    text
}

fn home(text: &str) -> Home {
    let home = Home::new("");
    for (number, secret) in SECRETS.iter().enumerate() {
        std::fs::write(home.path(&format!("s{number}")), secret).expect("written");
    }
    std::fs::write(home.path("test.toml"), text).expect("written");
    home
}

/// Returns the status of every request: sources by credentials by addresses, and the admin listener.
fn answers(runtime: &Runtime, service: &Service) -> Vec<(String, u16)> {
    let client = Client::new();
    let base = format!("http://{}", service.address());
    let secrets = || SECRETS.iter().copied().chain(["wrong"]).map(Some).chain([None]);
    let mut requests = Vec::new();
    for (path, forwarded) in ["/a", "/b"]
        .into_iter()
        .flat_map(|path| ["", "x-forwarded-for", "forwarded"].map(|forwarded| (path, forwarded)))
    {
        for (secret, is_header) in secrets().flat_map(|secret| [(secret, false), (secret, true)]) {
            let mut post = client.post(format!("{base}{path}")).body("[]");
            post = match (secret, is_header) {
                (Some(secret), true) => post.header("x-key", secret),
                (Some(secret), false) => post.basic_auth("u", Some(secret)),
                (None, _) => post,
            };
            match forwarded {
                "" => {}
                "forwarded" => post = post.header(forwarded, "for=198.51.100.9"),
                _ => post = post.header(forwarded, "198.51.100.9"),
            }
            requests.push((format!("{path} {forwarded} {secret:?} {is_header}"), post));
        }
    }
    for secret in secrets() {
        let status = client.get(format!("{}/api/status", service.admin));
        let resume = client.post(format!("{}/api/sinks/one/resume", service.admin));
        for (name, request) in [("status", status), ("resume", resume)] {
            let request = request.header("x-davinci-siem-operation", "1");
            let request = match secret {
                Some(secret) => request.basic_auth("admin", Some(secret)),
                None => request,
            };
            requests.push((format!("{name} {secret:?}"), request));
        }
    }
    runtime.block_on(async {
        let mut answers = Vec::with_capacity(requests.len());
        for (name, request) in requests {
            let answer = request.send().await.expect("an answer");
            answers.push((name, answer.status().as_u16()));
        }
        answers
    })
}

#[test]
fn a_reload_answers_as_before_or_as_a_start_with_the_new_file() {
    let seed = setting("RELOAD_SEED").unwrap_or_else(|| rand::rng().random());
    eprintln!("RELOAD_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let runtime = runtime();
    let (mut taken_up, mut refused) = (0, 0);
    for _ in 0..setting("RELOAD_PAIRS").unwrap_or(5) {
        let mut choices = choose(&mut random);
        let first = home(&text(&choices));
        let service = first.start();
        let mut before = answers(&runtime, &service);
        for _ in 0..FILES {
            let next = altered(&mut random, &choices);
            let whole = text(&next);
            let cut = random.random_range(0..whole.len() * 5).min(whole.len());
            let written = &whole[..cut];
            match random.random_range(0..12) {
                0 => drop(std::fs::remove_file(first.path("test.toml"))),
                _ => std::fs::write(first.path("test.toml"), written).expect("written"),
            }
            let was_applied = service.metric(APPLIED);
            let total = || service.metric(APPLIED) + service.metric(REFUSED);
            let count = total();
            service.signal("HUP");
            wait_for("a reload", || (total() > count).then_some(()));
            let after = answers(&runtime, &service);
            if service.metric(APPLIED) > was_applied {
                let fresh = home(written);
                let started = fresh.start();
                assert_eq!(after, answers(&runtime, &started), "as a start with\n{written}");
                (choices, before) = (next, after);
                taken_up += 1;
            } else {
                assert_eq!(after, before, "refused\n{written}");
                refused += 1;
            }
        }
    }
    eprintln!("{taken_up} taken up, {refused} refused");
}
