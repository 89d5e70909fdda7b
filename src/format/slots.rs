//! Event fields that the formats read. Each has a number, its slot, so that one pass over an event finds all
//! of them. An unknown pointer does not compile.

/// Maximum number of event fields that may fill one format field.
const MAX_ALTERNATIVES: usize = 6;

/// Number of slots.
pub(super) const SLOTS: usize = POINTERS.len();

/// JSON pointers (RFC 6901). `~` stands for the flow's object, `^` for its parent's, `@` for an object that
/// describes a user, a client or a group; see [`super::people`].
pub(super) const POINTERS: [&str; 126] = [
    "/id",
    "/recordedAt",
    "/createdAt",
    "/correlationId",
    "/subscriptionName",
    "/tags",
    "/action/type",
    "/action/description",
    "/internalCorrelation/transactionId",
    "/internalCorrelation/sessionId",
    "/result/id",
    "/result/status",
    "/result/description",
    "/source/ipAddress",
    "/source/userAgent",
    "/request/ipAddress",
    "/actors",
    "/resources",
    "/resources/id",
    "/resources/name",
    "/resources/type",
    "/resources/href",
    "/resources/environment/id",
    "/resources/0/id",
    "/resources/0/name",
    "/resources/0/type",
    "/resources/0/href",
    "/resources/0/environment/id",
    "/resources/1/href",
    "/_embedded",
    "/_embedded/davinciFlow/flowId",
    "/_embedded/davinciFlow/flowName",
    "/_embedded/request/ipAddress",
    "/_embedded/riskEvent/ip",
    "/_embedded/riskEvent/userAgent",
    "/_embedded/riskEvent/userId",
    "/_embedded/riskEvent/username",
    "/_embedded/riskEvaluation/id",
    "/_embedded/riskEvaluation/event/ip",
    "/_embedded/riskEvaluation/event/browser/userAgent",
    "/_embedded/riskEvaluation/event/user/id",
    "/_embedded/riskEvaluation/event/user/name",
    "/_embedded/riskEvaluation/result/level",
    "/_embedded/riskEvaluation/result/recommendedAction",
    "/_embedded/riskEvaluation/result/score",
    "~",
    "~/capabilityName",
    "~/companyId",
    "~/connectionId",
    "~/connectorId",
    "~/customTimestamp",
    "~/eventMessage",
    "~/flowID",
    "~/flowId",
    "~/flowName",
    "~/flowVersionId",
    "~/ID",
    "~/id",
    "~/identity",
    "~/interactionId",
    "~/ipAddress",
    "~/nodeDescription",
    "~/nodeID",
    "~/nodeId",
    "~/nodeTitle",
    "~/originalCapabilityName",
    "~/outcomeDescription",
    "~/outcomeStatus",
    "~/outcomeStatusDetail",
    "~/outcomeType",
    "~/packetProtocol",
    "~/packetTimestamp",
    "~/packetTo",
    "~/succcess",
    "~/summary/durationMs",
    "~/summary/endedBy",
    "~/summary/errors",
    "~/summary/events",
    "~/summary/generation",
    "~/summary/outcomeSeen",
    "~/summary/source",
    "~/summary/startSeen",
    "~/summary/startedAt",
    "~/summary/timedOut",
    "~/success",
    "~/tsEms",
    "~/tsInteractionId",
    "~/tsinteractionId",
    "~/usageTransactionType",
    "~/userAgent",
    "^/capabilityName",
    "^/companyId",
    "^/connectionId",
    "^/connectorId",
    "^/flowID",
    "^/flowId",
    "^/flowVersionId",
    "^/ID",
    "^/id",
    "^/interactionId",
    "^/nodeID",
    "^/nodeId",
    "^/respondToUser",
    "^/succcess",
    "^/success",
    "@user/id",
    "@user/name",
    "@user/type",
    "@user/href",
    "@user/environment/id",
    "@user/population/id",
    "@client/id",
    "@client/name",
    "@client/type",
    "@client/href",
    "@client/environment/id",
    "@target/id",
    "@target/name",
    "@target/type",
    "@target/environment/id",
    "@group/id",
    "@group/name",
    "@group/type",
    "@membership/id",
    "@membership/name",
    "@membership/type",
];

/// Number of an event field in [`POINTERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u8);

/// Event fields that may fill one format field, in the order of preference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alternatives {
    slots: [Slot; MAX_ALTERNATIVES],
    count: usize,
}

impl Slot {
    /// Returns the slot's position in a table of all slots.
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Alternatives {
    /// Returns the slots.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots[..self.count]
    }

    /// Returns the same slots with one of them first.
    pub(super) fn preferring(mut self, preferred: Slot) -> Alternatives {
        if let Some(at) = self.slots().iter().position(|slot| *slot == preferred) {
            self.slots[..=at].rotate_right(1);
        }
        self
    }

    /// Returns the JSON pointers of the slots.
    #[cfg(test)]
    pub(super) fn pointers(&self) -> impl Iterator<Item = &'static str> {
        self.slots().iter().map(|slot| POINTERS[slot.index()])
    }
}

/// Returns the slot of a JSON pointer.
pub(super) const fn slot(pointer: &str) -> Slot {
    Slot(position(&POINTERS, pointer) as u8)
}

/// Returns the slots of JSON pointers.
pub(super) const fn any_of<const N: usize>(pointers: [&str; N]) -> Alternatives {
    let mut slots = [Slot(0); MAX_ALTERNATIVES];
    let mut at = 0;
    while at < N {
        slots[at] = slot(pointers[at]);
        at += 1;
    }
    Alternatives { slots, count: N }
}

/// Returns the slot as the only alternative.
pub(super) const fn only(slot: Slot) -> Alternatives {
    Alternatives { slots: [slot; MAX_ALTERNATIVES], count: 1 }
}

/// Returns the position of a name in a list. A name that is not in the list does not compile.
pub(super) const fn position(names: &[&str], name: &str) -> usize {
    let mut at = 0;
    while !is_same(names[at], name) {
        at += 1;
    }
    at
}

const fn is_same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}
