//! Fields that every PingOne activity has, whatever its type.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

/// The outer object of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'a> {
    /// The sender's identifier: an opaque string, not always a UUID.
    pub id: Cow<'a, str>,
    /// `id` in WTF-8, if it contains half a surrogate pair. In `id`, all such halves are U+FFFD.
    pub id_exact: Option<Vec<u8>>,
    /// `recordedAt` as an instant. Zero to nine fraction digits are read.
    pub recorded_at: DateTime<Utc>,
    /// `recordedAt` exactly as sent.
    pub recorded_at_text: Cow<'a, str>,
    /// `correlationId`. In DaVinci's custom analytics it equals the interaction id.
    pub correlation_id: Option<Cow<'a, str>>,
    /// `internalCorrelation.transactionId`, shared by a parent flow and its subflows.
    pub transaction_id: Option<Cow<'a, str>>,
    /// `internalCorrelation.sessionId`.
    pub session_id: Option<Cow<'a, str>>,
    /// `action`.
    pub action: Action<'a>,
    /// `actors.user`. Only newer editions send it.
    pub user: Option<Actor<'a>>,
    /// `actors.client`.
    pub client: Option<Actor<'a>>,
    /// `resources`: an array in every example, one object in the documented structure.
    pub resources: Vec<Resource<'a>>,
    /// `result`.
    pub result: Option<ResultBlock<'a>>,
    /// `source`. Present only if the webhook exposes addresses or user agents.
    pub source: Option<Source<'a>>,
    /// `_embedded.riskEvaluation.result.level` of `RISK_EVALUATION.CREATED` and `.UPDATED`.
    pub risk_level: Option<RiskLevel>,
    /// `subscriptionName`: the webhook's name in PingOne.
    pub subscription_name: Option<Cow<'a, str>>,
}

impl Envelope<'_> {
    /// Returns the bytes of `id` for keys. Equal bytes mean equal ids.
    pub fn id_bytes(&self) -> &[u8] {
        self.id_exact.as_deref().unwrap_or(self.id.as_bytes())
    }
}

/// `action` of an activity.
#[derive(Debug, Clone, PartialEq)]
pub struct Action<'a> {
    /// `action.type`, for example `DAVINCI_INTERACTION.START_INTERACTION`.
    pub kind: Cow<'a, str>,
    /// `action.description`.
    pub description: Option<Cow<'a, str>>,
}

/// `actors.user` or `actors.client`.
#[derive(Debug, Clone, PartialEq)]
pub struct Actor<'a> {
    /// The actor's id. The id of a client may be a word such as `adminui`.
    pub id: Option<Cow<'a, str>>,
    /// The login or display name. Personal data.
    pub name: Option<Cow<'a, str>>,
    /// `USER` or `CLIENT`.
    pub kind: Option<Cow<'a, str>>,
    /// The environment of the actor. May differ from the flow's.
    pub environment_id: Option<Cow<'a, str>>,
}

/// One entry of `resources`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource<'a> {
    /// Id of the resource; for DaVinci events the flow's id with dashes.
    pub id: Option<Cow<'a, str>>,
    /// `DAVINCI_INTERACTION`, `USER`, or free text.
    pub kind: Option<Cow<'a, str>>,
    /// The flow's name, or its id again. May contain an e-mail address.
    pub name: Option<Cow<'a, str>>,
    /// The environment of the resource.
    pub environment_id: Option<Cow<'a, str>>,
    /// Link to the resource in PingOne's API. Names the user where no resource does.
    pub href: Option<Cow<'a, str>>,
}

/// `result`. Its status alone does not determine the outcome: see [`crate::event::Outcome`].
#[derive(Debug, Clone, PartialEq)]
pub struct ResultBlock<'a> {
    /// `SUCCESS`, `FAILURE`, `FAILED`, `succeeded`, …
    pub status: Option<Cow<'a, str>>,
    /// Free text.
    pub description: Option<Cow<'a, str>>,
}

/// Level that PingOne Protect assigns to a risk evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RiskLevel {
    /// `LOW`
    Low,
    /// `MEDIUM`
    Medium,
    /// `HIGH`
    High,
}

/// `source`: origin of the request behind the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Source<'a> {
    /// The address as sent. Personal data.
    pub ip_address: Option<Cow<'a, str>>,
    /// The user agent as sent. Personal data.
    pub user_agent: Option<Cow<'a, str>>,
}
