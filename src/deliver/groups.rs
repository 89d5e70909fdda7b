//! Groups of items for the next attempt: bisection for targets that refuse several items together. Pure.

use crate::sinks::Verdict;

/// Step that follows for one item after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Delivered or refused for good.
    Final,
    /// Retried, with its neighbours.
    Retry,
    /// Retried with the items that were refused together with it. If these were the whole group, with
    /// half of them.
    Bisect,
}

impl NextStep {
    /// Returns the step after `verdict`. An item refused together with others is retried; alone, its
    /// verdict is final.
    pub(super) fn of(verdict: &Verdict, group: usize) -> NextStep {
        match verdict {
            Verdict::Delivered | Verdict::Rejected { .. } | Verdict::TooOld { .. } => {
                NextStep::Final
            }
            Verdict::Split { .. } if group == 1 => NextStep::Final,
            Verdict::Split { .. } => NextStep::Bisect,
            Verdict::Retry { .. }
            | Verdict::Fatal { .. }
            | Verdict::Exists { .. }
            | Verdict::NotTried => NextStep::Retry,
        }
    }
}

/// Returns the sizes of the groups that follow an attempt with one group, in order. Their sum is the
/// number of items without a final verdict. A group is halved when all of it was refused together: a bad
/// item among `n` is found with about `2 * log2(n)` requests, and no item is sent twice to a target that
/// refuses requests as a whole.
pub(super) fn regroup(nexts: &[NextStep]) -> Vec<usize> {
    if nexts.len() > 1 && nexts.iter().all(|next| *next == NextStep::Bisect) {
        let half = nexts.len() / 2;
        return vec![half, nexts.len() - half];
    }
    let left: Vec<NextStep> =
        nexts.iter().copied().filter(|next| *next != NextStep::Final).collect();
    left.chunk_by(|one, other| one == other).map(<[NextStep]>::len).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Vec<NextStep> {
        text.chars()
            .map(|c| match c {
                '.' => NextStep::Final,
                'a' => NextStep::Retry,
                _ => NextStep::Bisect,
            })
            .collect()
    }

    #[test]
    fn each_outcome_has_its_groups() {
        for (outcome, groups) in [
            ("", &[][..]),
            ("....", &[]),
            ("aaaa", &[4]),
            ("..a.a", &[2]),
            // All refused together: halves.
            ("xxxx", &[2, 2]),
            ("xxxxx", &[2, 3]),
            ("xx", &[1, 1]),
            // One is suspected: it goes alone, and then the rest.
            ("..xaaa", &[1, 3]),
            ("aaxaaa", &[2, 1, 3]),
            ("xaaa", &[1, 3]),
            ("..xx", &[2]),
        ] {
            assert_eq!(regroup(&parse(outcome)), groups, "{outcome}");
        }
    }

    #[test]
    fn a_refused_item_is_final_when_it_is_alone() {
        let split = Verdict::Split { reason: crate::sinks::Reason::new("x") };
        assert_eq!(NextStep::of(&split, 1), NextStep::Final);
        assert_eq!(NextStep::of(&split, 2), NextStep::Bisect);
    }

    proptest! {
        /// A target that takes or refuses a request as a whole: bad items are found one by one, and the
        /// others arrive once, in order.
        #[test]
        fn bisecting_delivers_all_but_the_bad_ones_once(
            count in 1..200usize,
            bad in proptest::collection::btree_set(0..200usize, 0..5),
        ) {
            let mut items: Vec<usize> = (0..count).collect();
            let mut groups = std::collections::VecDeque::from([count]);
            let (mut stored, mut rejected, mut requests) = (Vec::new(), Vec::new(), 0);
            while let Some(length) = groups.pop_front() {
                requests += 1;
                let group: Vec<usize> = items.drain(..length).collect();
                let is_refused = group.iter().any(|item| bad.contains(item));
                match (is_refused, length) {
                    (false, _) => stored.extend(group),
                    (true, 1) => rejected.extend(group),
                    (true, _) => {
                        for size in regroup(&vec![NextStep::Bisect; length]).into_iter().rev() {
                            groups.push_front(size);
                        }
                        items.splice(0..0, group);
                    }
                }
            }
            let good: Vec<usize> = (0..count).filter(|item| !bad.contains(item)).collect();
            prop_assert_eq!(stored, good);
            prop_assert!(rejected.iter().all(|item| bad.contains(item)));
            prop_assert!(requests <= 1 + 2 * 8 * bad.len(), "{} requests", requests);
        }
    }
}
