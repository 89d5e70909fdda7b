//! Work on the events of a batch, on all cores and in order.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{ScopedJoinHandle, available_parallelism, scope};

/// Minimum number of items per thread: about half a millisecond of work, compared with the tens of microseconds
/// in which a thread starts.
const ITEMS_PER_THREAD: usize = 64;

/// Applies a function to all items. Returns the results in the order of the items.
pub(super) fn map<T: Sync, R: Send>(items: &[T], function: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = match items.len() / ITEMS_PER_THREAD {
        0 | 1 => 1,
        most => available_parallelism().map_or(1, NonZero::get).min(most),
    };
    map_on(threads, items, function)
}

fn map_on<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    function: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let apply = |items: &[T]| items.iter().map(&function).collect::<Vec<R>>();
    let mut chunks = items.chunks(items.len().div_ceil(threads).max(1));
    let first = chunks.next().unwrap_or_default();
    scope(|scope| {
        let others: Vec<_> = chunks.map(|chunk| scope.spawn(|| apply(chunk))).collect();
        let mut results = apply(first);
        results.extend(others.into_iter().flat_map(joined));
        results
    })
}

/// Returns the thread's result, or continues its panic: a bug must end the process.
fn joined<R>(thread: ScopedJoinHandle<'_, R>) -> R {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_are_in_order_on_any_number_of_threads() {
        for count in [0, 1, 2, 5, 64, 1000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map(&items, |item| item * 2), map_on(1, &items, |item| item * 2));
            for threads in [1, 2, 3, 7] {
                let results = map_on(threads, &items, |item| (*item, std::thread::current().id()));
                let (found, mut ids): (Vec<usize>, Vec<_>) = results.into_iter().unzip();
                assert_eq!(found, items);
                ids.dedup();
                assert!(
                    ids.len() <= threads && (count < threads || ids.len() == threads),
                    "{count}"
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "the last item")]
    fn a_panic_is_passed_on() {
        map_on(2, &[1, 2], |item| assert!(*item < 2, "the last item"));
    }
}
