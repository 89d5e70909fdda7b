//! One event on its way into a batch: filter, redaction, format, and the target's encoding.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;

use super::{SlotState, dead_letter};
use crate::decode::{self, Refusal};
use crate::deliver::filter::{self, FilterReason};
use crate::deliver::{RoutingConfig, SinkConfig};
use crate::event::Event;
use crate::format::Format;
use crate::format::{self, Line, Received};
use crate::json::Tape;
use crate::redact::Redaction;
use crate::sinks::{Rendered, SinkFinding};
use crate::spool::StoredEvent;

/// Bytes of an item, and the finding if the event was changed to fit.
type Payload = (Bytes, Option<SinkFinding>);

/// Final state of an event, or else its payload.
pub(super) type Prepared = (Option<SlotState>, Option<Payload>);

/// Filters, redacts, renders and encodes an event.
pub(super) fn prepare(
    stored: &StoredEvent,
    sink: &SinkConfig,
    redaction: Option<&Redaction>,
) -> Prepared {
    let name = || Arc::from(sink.name.as_str());
    if stored.only_sink.as_deref().is_some_and(|only| only != sink.name) {
        return (Some(SlotState::NotAddressed), None);
    }
    if let Some(payload) = unparsed(stored, sink, redaction) {
        return (None, Some((payload, None)));
    }
    // Reached only after a downgrade to a version that accepts less than the version that spooled the event.
    let refused = |refusal: Refusal| {
        (Some(dead_letter(stored, &name(), refusal.reason.as_str(), refusal.detail, None)), None)
    };
    let mut tape = Tape::complete();
    let event = match typed(&stored.bytes, &mut tape, sink) {
        Ok(event) => event,
        Err(refusal) => return refused(refusal),
    };
    if let Some(reason) = filter::filter_reason(sink, &event, &stored.source) {
        let key = reason.key(&sink.name).into();
        let state = match reason {
            FilterReason::NotSampled(_) => SlotState::Sampled(key),
            _ => SlotState::Filtered(key),
        };
        return (Some(state), None);
    }
    // Filters see the event as it was spooled. Format and envelope see the redacted event.
    let bytes =
        redaction.map_or(Cow::Borrowed(&*stored.bytes), |redaction| redaction.event(&stored.bytes));
    let (event, tape) = match &bytes {
        Cow::Borrowed(_) => (event, tape),
        Cow::Owned(redacted) => {
            let mut tape = Tape::complete();
            match typed(redacted, &mut tape, sink) {
                Ok(event) => (event, tape),
                Err(refusal) => return refused(refusal),
            }
        }
    };
    let received = Received {
        event: &event,
        raw: &bytes,
        received_at: stored.received_at,
        source: &stored.source,
    };
    let Line { bytes: line, is_cut } = format::render_read(&sink.formatting, received, &tape);
    let rendered = Rendered { line, event: &event, source: &stored.source };
    match sink.target.encode(rendered) {
        Ok((payload, finding)) => {
            let finding = finding.or(is_cut.then_some(SinkFinding::Truncated));
            (None, Some((payload.into(), finding)))
        }
        Err(reason) => {
            (Some(dead_letter(stored, &name(), "unsendable", reason.to_string(), None)), None)
        }
    }
}

/// Types an event, and leaves all of its fields on a complete tape.
fn typed<'a>(
    bytes: &'a [u8],
    tape: &mut Tape<'a>,
    sink: &SinkConfig,
) -> Result<Event<'a>, Refusal> {
    let mut event = decode::event_on(bytes, tape)?.event;
    event.apply(&sink.outcomes);
    Ok(event)
}

/// Returns the payload of an event that need not be parsed: no filter, no sample, no redaction, format `native`.
/// This is the fast path of most deployments.
fn unparsed(
    stored: &StoredEvent,
    sink: &SinkConfig,
    redaction: Option<&Redaction>,
) -> Option<Bytes> {
    let is_everything = sink.routing == RoutingConfig::default() && redaction.is_none();
    let is_native = sink.formatting.format == Format::Native;
    let is_unparsed = is_everything && is_native && sink.target.sends_lines();
    if !is_unparsed || !(sink.test_events || cannot_be_test(&stored.bytes)) {
        return None;
    }
    let StoredEvent { bytes, received_at, source, .. } = stored;
    Some(match format::native(&sink.formatting, bytes, *received_at, source) {
        Cow::Borrowed(_) => bytes.clone(),
        Cow::Owned(line) => line.into(),
    })
}

static DELIVERY_TEST: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("EVENT_DELIVERY_TEST"));

/// Returns true if an event is certainly no connection test: its type does not occur, and no escape
/// could hide it.
fn cannot_be_test(raw: &[u8]) -> bool {
    memchr::memchr(b'\\', raw).is_none() && DELIVERY_TEST.find(raw).is_none()
}
