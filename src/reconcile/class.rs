//! Class of a record that PingOne lists. Pure.

/// Result of the look-ups of one record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LookUps {
    /// Its event is in the spool, or its key is remembered.
    pub(super) is_received: bool,
    /// Its event is in quarantine.
    pub(super) is_quarantined: bool,
    /// A webhook to this service sends events of its type.
    pub(super) is_subscribed: bool,
    /// If its event had been received, the look-ups would have found it.
    pub(super) is_certain: bool,
}

/// Class of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordClass {
    Received,
    Quarantined,
    NotSubscribed,
    /// Not found, and too old to be certain.
    Unknown,
    Missing,
}

impl LookUps {
    /// Returns the class; the first that applies.
    pub(super) fn class(self) -> RecordClass {
        match self {
            LookUps { is_received: true, .. } => RecordClass::Received,
            LookUps { is_quarantined: true, .. } => RecordClass::Quarantined,
            LookUps { is_subscribed: false, .. } => RecordClass::NotSubscribed,
            LookUps { is_certain: false, .. } => RecordClass::Unknown,
            _ => RecordClass::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_missing_only_if_nothing_else_explains_its_absence() {
        for bits in 0..16_u8 {
            let is = |bit: u8| bits & bit != 0;
            let look_ups = LookUps {
                is_received: is(1),
                is_quarantined: is(2),
                is_subscribed: is(4),
                is_certain: is(8),
            };
            let expected = match bits {
                _ if is(1) => RecordClass::Received,
                _ if is(2) => RecordClass::Quarantined,
                0 | 8 => RecordClass::NotSubscribed,
                4 => RecordClass::Unknown,
                _ => RecordClass::Missing,
            };
            assert_eq!(look_ups.class(), expected, "{look_ups:?}");
        }
    }
}
