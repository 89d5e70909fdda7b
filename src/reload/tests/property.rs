//! After any reload, every request is judged as before, or as after a fresh start with the new file: never by a mixture,
//! never by a refused file, and access is never wider than before.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::{ReloadBench, SECRETS, Service, fresh};
use crate::admin::access::Access;
use crate::config::Config;
use crate::listener::Peer;
use crate::receive::credential_problems;
use crate::receive::{AccessDecision, Policy};

/// Networks that a file may name; the last one covers everything.
const NETS: [&str; 6] =
    ["198.51.100.0/24", "127.0.0.0/8", "2001:db8::/32", "0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/0"];

/// Peers of requests; the last one is only in networks that cover everything.
const PEERS: [&str; 5] =
    ["127.0.0.1:1", "198.51.100.7:1", "10.0.0.9:1", "[2001:db8::7]:1", "192.88.99.1:1"];

/// Passwords of requests to the admin listener; the first stands for none.
const PASSWORDS: [&str; 6] = ["", "wrong", SECRETS[0], SECRETS[1], SECRETS[2], SECRETS[3]];

#[derive(Debug, Clone)]
struct SourceSpec {
    path: bool,
    /// Indexes of secrets; the index after the last stands for a weak one.
    basic: Vec<usize>,
    headers: Vec<usize>,
    allow_from: Vec<usize>,
    strict: bool,
}

#[derive(Debug, Clone)]
struct FileSpec {
    is_public: bool,
    auth_none: bool,
    trusted: Vec<usize>,
    forwarded: bool,
    /// TLS, with an optional client CA that is required or not.
    tls: Option<Option<bool>>,
    /// Sources, if present.
    sources: [Option<SourceSpec>; 2],
    admin_password: Option<usize>,
    read_only: bool,
    limits: bool,
    has_second_sink: bool,
    /// Part of the text in the file, in thousandths; `None` for no file.
    cut: Option<usize>,
}

fn source() -> impl Strategy<Value = SourceSpec> {
    let secrets = || prop::collection::vec(0..=SECRETS.len(), 0..3);
    let nets = prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(0..NETS.len(), 0..3)];
    (prop::bool::weighted(0.1), secrets(), secrets(), nets, any::<bool>()).prop_map(
        |(path, basic, headers, allow_from, strict)| SourceSpec {
            path,
            basic,
            headers,
            allow_from,
            strict,
        },
    )
}

fn file() -> impl Strategy<Value = FileSpec> {
    let nets = prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(0..NETS.len(), 0..3)];
    let tls = prop_oneof![
        4 => Just(None),
        2 => Just(Some(None)),
        4 => any::<bool>().prop_map(|required| Some(Some(required))),
    ];
    let listen = (prop::bool::weighted(0.3), prop::bool::weighted(0.1), nets, any::<bool>(), tls);
    let sources = (source(), prop::option::weighted(0.2, source()));
    let admin = (prop::option::weighted(0.7, 0..SECRETS.len()), any::<bool>());
    let rest = (any::<bool>(), prop::bool::weighted(0.2));
    let cut =
        prop_oneof![6 => Just(Some(1000)), 2 => (0..1000_usize).prop_map(Some), 1 => Just(None)];
    (listen, sources, admin, rest, cut).prop_map(|(listen, sources, admin, rest, cut)| FileSpec {
        is_public: listen.0,
        auth_none: listen.1,
        trusted: listen.2,
        forwarded: listen.3,
        tls: listen.4,
        sources: [Some(sources.0), sources.1],
        admin_password: admin.0,
        read_only: admin.1,
        limits: rest.0,
        has_second_sink: rest.1,
        cut,
    })
}

/// Strategy of a changed file: it differs mostly in one thing, so that many reloads are applied.
fn next() -> impl Strategy<Value = (u8, FileSpec)> {
    (0..12_u8, file())
}

fn altered(before: &FileSpec, (which, other): &(u8, FileSpec)) -> FileSpec {
    let mut file = FileSpec { cut: other.cut, ..before.clone() };
    match which {
        0 => file.is_public = other.is_public,
        1 => file.trusted.clone_from(&other.trusted),
        2 => file.forwarded = other.forwarded,
        3 => file.tls = other.tls,
        4 => file.sources.clone_from(&other.sources),
        5 => file.admin_password = other.admin_password,
        6 => file.read_only = other.read_only,
        7 => (file.limits, file.has_second_sink) = (other.limits, other.has_second_sink),
        8 => {
            // Regression: a loopback address in the file, while a public one is bound.
            file.is_public = false;
            file.sources.clone_from(&other.sources);
        }
        9 | 10 => {
            if let (Some(own), Some(other)) = (&mut file.sources[0], &other.sources[0]) {
                *own = SourceSpec { path: own.path, ..other.clone() };
            }
        }
        _ => file = other.clone(),
    }
    file
}

fn text(file: &FileSpec) -> Option<String> {
    let nets = |numbers: &[usize]| {
        numbers.iter().map(|n| format!("{:?}", NETS[*n])).collect::<Vec<_>>().join(", ")
    };
    let secret = |number: usize| {
        if number < SECRETS.len() { format!("@/s{number}") } else { "@/weak".to_owned() }
    };
    let address = if file.is_public { "0.0.0.0" } else { "127.0.0.1" };
    let mut text = format!(
        "[listen]\naddress = \"{address}:8080\"\nauth = \"{}\"\ntrusted_proxies = [{}]\nforwarded_header = {:?}\n",
        if file.auth_none { "none" } else { "required" },
        nets(&file.trusted),
        if file.forwarded { "forwarded" } else { "x-forwarded-for" },
    );
    if let Some(clients) = file.tls {
        text += "[listen.tls]\ncertificate = \"@/tls.crt\"\nkey = \"@/tls.key\"\n";
        if let Some(required) = clients {
            let word = if required { "required" } else { "optional" };
            text += &format!("client_ca = \"@/tls.crt\"\nclient_certificate = {word:?}\n");
        }
    }
    for (name, source) in ["a", "b"].iter().zip(&file.sources) {
        let Some(source) = source else { continue };
        let suffix = if source.path { "x" } else { "" };
        text +=
            &format!("[sources.{name}]\npath = \"/{name}{suffix}\"\nstrict = {}\n", source.strict);
        let basics = source
            .basic
            .iter()
            .map(|n| format!("{{ username = \"u\", password_file = {:?} }}", secret(*n)));
        let headers = source
            .headers
            .iter()
            .map(|n| format!("{{ name = \"x-key\", value_file = {:?} }}", secret(*n)));
        text += &format!("basic = [{}]\n", basics.collect::<Vec<_>>().join(", "));
        text += &format!("headers = [{}]\n", headers.collect::<Vec<_>>().join(", "));
        text += &format!("allow_from = [{}]\n", nets(&source.allow_from));
    }
    text += &format!("[admin]\naddress = \"127.0.0.1:9090\"\nread_only = {}\n", file.read_only);
    if let Some(number) = file.admin_password {
        text += &format!("password_file = {:?}\n", secret(number));
    }
    if file.limits {
        text += "[limits]\nbody = \"1 MiB\"\n";
    }
    text += "[sinks.one]\ntype = \"file\"\npath = \"@/one\"\n";
    if file.has_second_sink {
        text += "[sinks.two]\ntype = \"file\"\npath = \"@/two\"\n";
    }
    text.truncate(text.len() * file.cut? / 1000);
    Some(text)
}

/// Headers of requests: no credential, a wrong one, each valid one; each also with a forwarded address.
fn requests() -> Vec<HeaderMap> {
    let basic = |password: &str| {
        (header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("u:{password}"))))
    };
    let key = |value: &str| (HeaderName::from_static("x-key"), value.to_owned());
    let mut credentials = vec![None, Some(basic("wrong")), Some(basic("")), Some(key("wrong"))];
    for secret in SECRETS.into_iter().chain(["hunter2"]) {
        credentials.extend([Some(basic(secret)), Some(key(secret))]);
    }
    let mut requests = Vec::new();
    for credential in credentials {
        for forwarded in [
            None,
            Some(("x-forwarded-for", "198.51.100.9")),
            Some(("forwarded", "for=198.51.100.9")),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = &credential {
                headers.insert(name, value.parse().expect("a value"));
            }
            if let Some((name, value)) = forwarded {
                headers.insert(name, value.parse().expect("a value"));
            }
            requests.push(headers);
        }
    }
    requests
}

fn peers() -> Vec<SocketAddr> {
    PEERS.iter().map(|peer| peer.parse().expect("an address")).collect()
}

/// Returns the judgement of every request to the sources.
fn webhooks(policy: &Policy) -> Vec<AccessDecision> {
    let mut judged = Vec::new();
    for name in ["a", "b"] {
        for peer in peers() {
            for headers in requests() {
                judged.push(policy.judge(name, Some(&Peer::new(peer)), &headers));
            }
        }
    }
    judged
}

/// Returns true for each request to the admin listener that is allowed, without and with passwords.
fn operations(config: &Config, method: &str, passwords: &[&str]) -> Vec<bool> {
    let access = Access::new(&config.admin, u32::MAX);
    let mut judged = Vec::new();
    for peer in peers() {
        for password in passwords {
            let mut request = Request::builder()
                .method(method)
                .header(header::HOST, "localhost")
                .header(crate::admin::OPERATION_HEADER, "1");
            if !password.is_empty() {
                let pair = STANDARD.encode(format!("admin:{password}"));
                request = request.header(header::AUTHORIZATION, format!("Basic {pair}"));
            }
            let mut request = request.body(Body::empty()).expect("a request");
            request.extensions_mut().insert(Peer::new(peer));
            judged.push(access.judge(&request, 0).is_ok());
        }
    }
    judged
}

/// Returns true if a source refuses some IPv4 address of a direct peer.
fn refuses_some_address(policy: &Policy, name: &str) -> bool {
    (0..64_u8).any(|first| {
        let peer = Peer::new(SocketAddr::from(([first * 4, 88, 99, 1], 1)));
        policy.judge(name, Some(&peer), &HeaderMap::new()) == AccessDecision::ForeignAddress
    })
}

/// Asserts that no request without a credential, and no address, is allowed that was refused before.
fn assert_not_weaker(before: (&Config, &Policy), after: (&Config, &Policy)) {
    for name in ["a", "b"] {
        for peer in peers() {
            for headers in requests().iter().filter(|headers| !bears_credential(headers)) {
                let peer = Peer::new(peer);
                let judge = |policy: &Policy| policy.judge(name, Some(&peer), headers);
                let was_refused =
                    [AccessDecision::WrongCredentials, AccessDecision::StaleConnection]
                        .contains(&judge(before.1));
                assert!(
                    !was_refused || judge(after.1) != AccessDecision::Allowed,
                    "{name} is open"
                );
            }
        }
        assert!(
            !refuses_some_address(before.1, name) || refuses_some_address(after.1, name),
            "{name}"
        );
    }
    for method in ["GET", "POST"] {
        let none = |config: &Config| operations(config, method, &[""]);
        let pairs = none(before.0).into_iter().zip(none(after.0));
        assert!(pairs.into_iter().all(|(before, after)| before || !after), "admin is open");
    }
    let operates = |config: &Config| operations(config, "POST", &PASSWORDS).contains(&true);
    assert!(operates(before.0) || !operates(after.0), "operations are allowed that were refused");
}

fn bears_credential(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key("x-key")
}

/// Reloads, and returns the running service afterwards.
fn reloaded(bench: &ReloadBench, service: Service, text: Option<&str>) -> Service {
    let Ok(read) = bench.reload(&service, text) else { return service };
    let text = bench.text(text.expect("a missing file is refused"));
    let started = fresh(&text, &bench.path("c.toml"));
    let (config, policy) = started.expect("a reload refuses what a start refuses");
    assert_eq!(webhooks(&read.policy), webhooks(&policy), "as after a start");
    for method in ["GET", "POST"] {
        let judged = |config: &Config| operations(config, method, &PASSWORDS);
        assert_eq!(judged(&read.running.config), judged(&config), "as after a start");
    }
    let Service { reload, running: before, policy: policy_before } = service;
    let own = credential_problems(&before.config.listen, &config.sources);
    assert_eq!(own, [], "by the bound listener");
    assert_not_weaker((&before.config, &policy_before), (&read.running.config, &read.policy));
    Service { reload, running: read.running, policy: read.policy }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_reload_is_one_transaction_and_never_weakens_access(
        first in file(),
        then in prop::collection::vec(next(), 1..5),
    ) {
        let bench = ReloadBench::new();
        let first = FileSpec { cut: Some(1000), ..first };
        let Some(mut service) = bench.start(&text(&first).expect("whole")) else { return Ok(()) };
        let mut file = first;
        for step in &then {
            let next = altered(&file, step);
            service = reloaded(&bench, service, text(&next).as_deref());
            file = FileSpec { cut: Some(1000), ..next };
        }
    }
}
