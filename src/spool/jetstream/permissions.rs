//! Permissions that the engine's NATS user needs: one list, repeated by the configurations in `deploy/` and by
//! docs/scaling.md. `check --connect` asks the servers for each of them.
//!
//! A request without permission gets no answer: the server sends the connection an error that names the subject.
//! [`Denials`] keeps these errors, to explain the timeout of the request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_nats::{Client, Event, HeaderMap, Request, ServerError, header};
use futures_util::future::join_all;
use tokio::sync::watch;

use super::streams::{StreamNames, batch_subject};
use super::{JetStreamConfig, entry};

/// Time that a denial counts. The engine uses each permission more often than that.
const DENIAL_LASTS: Duration = Duration::from_mins(2);

/// Interval at which the log repeats the same denial.
const REPEATED: Duration = Duration::from_mins(1);

/// Name of a stream and of consumers that do not exist. No sink's consumer is called like this.
const NOTHING: &str = "permission-probe";

/// Prefix of the requests to JetStream.
const API: &str = "$JS.API";

/// Subjects of answers, which the user has to be allowed to subscribe to.
pub(super) const INBOX: &str = "_INBOX.>";

/// Permission to publish to one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permission {
    /// Subject with wildcards, as in a server's configuration.
    pub(super) subject: String,
    /// Part of the engine that needs the permission, to follow "for".
    pub(super) purpose: &'static str,
    probe: PermissionProbe,
}

/// Harmless message that a server refuses or ignores: it proves the permission and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PermissionProbe {
    /// Message for a stream that does not exist, which no stream stores.
    ForNoStream,
    /// Request without its arguments.
    Empty,
    /// Purge with two arguments that exclude each other, of a subject without messages.
    Purge,
}

/// Lists the subjects that the engine publishes to, for a stream of this name.
pub(super) fn needed(stream: &str) -> Vec<Permission> {
    let StreamNames { quarantine, leases: bucket, .. } = StreamNames::new(stream);
    let leases = format!("KV_{bucket}");
    let permission = |subject: String, purpose, probe| Permission { subject, purpose, probe };
    let message =
        |subject: String, purpose| permission(subject, purpose, PermissionProbe::ForNoStream);
    let request = |verb: &str, of: &str, purpose| {
        permission(format!("{API}.{verb}.{of}"), purpose, PermissionProbe::Empty)
    };
    let purge = format!("{API}.STREAM.PURGE.{stream}");
    vec![
        message(batch_subject(stream, "*"), "storing events"),
        message(entry::subject(stream), "storing quarantine entries"),
        message(format!("$KV.{bucket}.*"), "moving cursors"),
        request("STREAM.INFO", stream, "looking at the stream"),
        request("STREAM.INFO", &quarantine, "looking at the quarantine"),
        request("STREAM.INFO", &leases, "looking at the bucket of cursors"),
        request("STREAM.CREATE", stream, "making the stream"),
        request("STREAM.CREATE", &quarantine, "making the quarantine"),
        request("STREAM.CREATE", &leases, "making the bucket of cursors"),
        request("STREAM.UPDATE", stream, "changing the stream as configured"),
        request("STREAM.UPDATE", &quarantine, "changing the quarantine as configured"),
        request("CONSUMER.CREATE", stream, "reading events"),
        request("CONSUMER.CREATE", &format!("{stream}.>"), "reading events"),
        request("CONSUMER.CREATE", &quarantine, "listing the quarantine"),
        request("CONSUMER.CREATE", &format!("{quarantine}.>"), "listing the quarantine"),
        request("CONSUMER.MSG.NEXT", &format!("{stream}.*"), "reading events"),
        request("CONSUMER.MSG.NEXT", &format!("{quarantine}.*"), "listing the quarantine"),
        request("STREAM.MSG.GET", stream, "recognising the stream, and completing the quarantine"),
        request("STREAM.MSG.GET", &quarantine, "reading quarantine entries"),
        request("STREAM.MSG.GET", &leases, "reading cursors"),
        permission(purge, "removing delivered events", PermissionProbe::Purge),
        request("STREAM.MSG.DELETE", &quarantine, "removing quarantine entries"),
    ]
}

impl Permission {
    /// Returns subjects without wildcards that this permission covers: one per source and sink if the subject names
    /// these, and one otherwise.
    fn subjects(&self, sources: &[String], sinks: &[String]) -> Vec<String> {
        let of_source = self.subject.contains(".batch.");
        let of_sink = self.subject.starts_with("$KV.");
        let nothing = [NOTHING.to_owned()];
        let sources = if of_source { sources } else { &nothing };
        let sinks = if of_sink { sinks } else { &nothing };
        let filled = |source: &String| {
            let subject = match of_source {
                true => self.subject.replacen('*', source, 1),
                false => self.subject.clone(),
            };
            sinks.iter().map(move |sink| subject.replace(['*', '>'], sink)).collect::<Vec<_>>()
        };
        sources.iter().flat_map(filled).collect()
    }

    fn request(&self) -> Request {
        let request = Request::new();
        match self.probe {
            PermissionProbe::Empty => request,
            PermissionProbe::ForNoStream => {
                let mut headers = HeaderMap::new();
                headers.insert(header::NATS_EXPECTED_STREAM, NOTHING);
                request.headers(headers)
            }
            PermissionProbe::Purge => {
                let arguments = format!("{{\"filter\":\"{NOTHING}\",\"seq\":1,\"keep\":1}}");
                request.payload(arguments.into())
            }
        }
    }
}

/// Asks the servers for each permission that the configuration needs. Returns the missing ones. Changes nothing.
pub(super) async fn missing(
    client: &Client,
    denials: &Denials,
    own: &JetStreamConfig,
    sources: &[String],
    sinks: &[String],
) -> Vec<Permission> {
    let asked = needed(&own.stream).into_iter().map(|needed| async move {
        let asked = needed.subjects(sources, sinks).into_iter().map(|subject| {
            let request = client.send_request(subject.clone(), needed.request());
            async move {
                tokio::select! {
                    // An answer or the absence of a responder proves that the server has let the request pass.
                    _ = request => false,
                    () = denials.wait_for(&subject) => true,
                }
            }
        });
        let is_missing = join_all(asked).await.contains(&true);
        is_missing.then_some(needed)
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Subjects that the servers denied to the user.
#[derive(Debug)]
pub(super) struct Denials {
    permissions: Vec<Permission>,
    seen: watch::Sender<BTreeMap<String, Denial>>,
}

#[derive(Debug, Clone, Copy)]
struct Denial {
    last: Instant,
    logged: Instant,
}

impl Denials {
    pub(super) fn new(stream: &str) -> Denials {
        Denials { permissions: needed(stream), seen: watch::Sender::default() }
    }

    /// Records a denied subject, and logs it at most once a minute.
    pub(super) fn note(&self, event: &Event) {
        let Event::ServerError(ServerError::Other(text)) = event else { return };
        let Some(subject) = denied(text) else { return };
        let now = Instant::now();
        let mut is_news = false;
        self.seen.send_modify(|seen| {
            let known = seen.get(subject).filter(|known| now - known.logged < REPEATED);
            is_news = known.is_none();
            let logged = known.map_or(now, |known| known.logged);
            seen.insert(subject.to_owned(), Denial { last: now, logged });
        });
        if is_news {
            tracing::error!("{}", self.described(subject));
        }
    }

    /// Describes the permissions denied recently; `None` if there are none.
    pub(super) fn recent(&self) -> Option<String> {
        let now = Instant::now();
        self.since(now.checked_sub(DENIAL_LASTS).unwrap_or(now))
    }

    /// Adds the missing permission to the error of an unanswered request that was sent at `since`.
    pub(super) fn explain(&self, error: String, since: Instant) -> String {
        let is_unanswered = error.contains("timed out") || error.contains("do not answer");
        match self.since(since).filter(|_| is_unanswered) {
            Some(missing) => format!("{missing} ({error})"),
            None => error,
        }
    }

    fn since(&self, since: Instant) -> Option<String> {
        let seen = self.seen.borrow();
        let denied = seen.iter().filter(|(_, denial)| denial.last >= since);
        let described: BTreeSet<String> =
            denied.map(|(subject, _)| self.described(subject)).collect();
        (!described.is_empty()).then(|| described.into_iter().collect::<Vec<_>>().join("; "))
    }

    fn described(&self, subject: &str) -> String {
        if is_within(subject, INBOX) {
            return format!(
                "the NATS user may not subscribe to {INBOX}: add it to its permissions"
            );
        }
        match self.permissions.iter().find(|needed| is_within(subject, &needed.subject)) {
            Some(needed) => needed.to_string(),
            None => {
                format!("the NATS user may not publish to {subject}: add it to its permissions")
            }
        }
    }

    async fn wait_for(&self, subject: &str) {
        // The sender lives as long as `self`.
        drop(self.seen.subscribe().wait_for(|seen| seen.contains_key(subject)).await);
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Permission { subject, purpose, .. } = self;
        write!(
            out,
            "the NATS user may not publish to {subject}, for {purpose}: add it to its permissions"
        )
    }
}

/// Returns the denied subject of a server's error, if the error is about permissions.
fn denied(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("ermissions Violation for ")?;
    rest.split('"').nth(1)
}

/// Returns true if a pattern of NATS covers a subject.
fn is_within(subject: &str, pattern: &str) -> bool {
    let mut tokens = subject.split('.');
    for token in pattern.split('.') {
        match (token, tokens.next()) {
            (">", found) => return found.is_some(),
            ("*", Some(_)) => {}
            (token, found) if found == Some(token) => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../deploy/jetstream/nats-server.conf");
    const KUBERNETES: &str = include_str!("../../../deploy/kubernetes/jetstream/nats.yaml");
    const DOCUMENTED: &str = include_str!("../../../docs/scaling.md");

    /// Returns the subjects of a list in a server's configuration.
    fn listed(text: &str, name: &str) -> BTreeSet<String> {
        let (_, list) = text.split_once(&format!("{name}: [")).expect("a list");
        let (list, _) = list.split_once(']').expect("its end");
        let lines = list.lines().map(|line| line.trim());
        let subjects = lines.filter(|line| !line.starts_with('#'));
        subjects.flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned)).collect()
    }

    #[test]
    fn shipped_and_documented_permissions_are_those_that_the_engine_needs() {
        let needed = needed("davinci-siem");
        let subjects: BTreeSet<String> =
            needed.iter().map(|needed| needed.subject.clone()).collect();
        assert_eq!(subjects.len(), needed.len(), "one subject twice");
        for text in [SHIPPED, KUBERNETES] {
            assert_eq!(listed(text, "publish"), subjects);
            assert_eq!(listed(text, "subscribe"), BTreeSet::from([INBOX.to_owned()]));
        }
        let (_, section) = DOCUMENTED.split_once("\n## Permissions\n").expect("a section");
        let (section, _) = section.split_once("\n## ").expect("its end");
        let rows = section.lines().filter(|line| line.starts_with("| publish `"));
        let documented: Vec<&str> = rows.collect();
        let rows: Vec<String> = needed
            .iter()
            .map(|needed| format!("| publish `{}` | {} |", needed.subject, needed.purpose))
            .collect();
        assert_eq!(documented, rows);
        assert!(section.contains(&format!("| subscribe `{INBOX}` |")), "{section}");
    }

    #[test]
    fn a_denial_names_the_permission_that_is_missing() {
        let denials = Denials::new("siem");
        assert_eq!(denials.recent(), None);
        let began = Instant::now();
        for (subject, named) in [
            ("$JS.API.STREAM.MSG.GET.siem", "publish to $JS.API.STREAM.MSG.GET.siem, for recog"),
            ("siem.batch.production", "publish to siem.batch.*, for storing events"),
            ("$KV.siem-sinks.splunk", "publish to $KV.siem-sinks.*, for moving cursors"),
            ("_INBOX.a.*", "subscribe to _INBOX.>"),
            ("another", "publish to another: "),
        ] {
            let verb = if subject.starts_with('_') { "Subscription" } else { "Publish" };
            let text = format!("Permissions Violation for {verb} to \"{subject}\"");
            denials.note(&Event::ServerError(ServerError::Other(text)));
            let recent = denials.recent().expect("a denial");
            assert!(recent.contains(named), "{recent}");
        }
        let unanswered = denials.explain("timed out".to_owned(), began);
        assert!(unanswered.contains("siem.batch.*") && unanswered.ends_with("(timed out)"));
        let later = denials.explain("timed out".to_owned(), Instant::now() + REPEATED);
        assert_eq!(later, "timed out", "of what was denied before it says nothing");
        assert_eq!(denials.explain("full".to_owned(), began), "full");
    }

    #[test]
    fn a_probe_covers_every_source_and_sink_and_names_nothing_that_exists() {
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let (sources, sinks) = (names(&["a", "b"]), names(&["one", "two"]));
        let subjects = |subject: &str| {
            let permissions = needed("s");
            let found = permissions.iter().find(|needed| needed.subject == subject);
            found.expect("a permission").subjects(&sources, &sinks)
        };
        assert_eq!(subjects("s.batch.*"), names(&["s.batch.a", "s.batch.b"]));
        assert_eq!(subjects("$KV.s-sinks.*"), names(&["$KV.s-sinks.one", "$KV.s-sinks.two"]));
        let next = subjects("$JS.API.CONSUMER.MSG.NEXT.s.*");
        assert_eq!(next, names(&["$JS.API.CONSUMER.MSG.NEXT.s.permission-probe"]));
        assert_eq!(subjects("s.refused"), names(&["s.refused"]));
        for needed in needed("s") {
            for subject in needed.subjects(&sources, &sinks) {
                assert!(is_within(&subject, &needed.subject), "{subject}");
            }
        }
    }
}
