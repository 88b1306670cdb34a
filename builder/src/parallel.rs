//! Work on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

/// Runs `work` on every item, on at most `jobs` threads. The results come in the order of the items, so they do not
/// depend on the number of threads.
///
/// # Errors
/// The first error in the order of the items. Every item is worked on all the same.
///
/// # Panics
/// When `work` does.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<R>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.min(items.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else { return done };
                        done.push((index, work(item)));
                    }
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("workers do not panic")).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        for jobs in [1, 3, 200] {
            let doubled = in_parallel(jobs, &items, |item| Ok(item * 2)).unwrap();
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
        assert!(in_parallel(4, &[], |item: &u32| Ok(*item)).unwrap().is_empty());
    }

    #[test]
    fn the_first_error_is_that_of_the_first_item_that_fails() {
        let work = |item: &u32| if item % 2 == 1 { Err(anyhow::anyhow!("item {item}")) } else { Ok(*item) };
        let error = in_parallel(3, &[0, 2, 5, 4, 7], work).unwrap_err();
        assert_eq!(error.to_string(), "item 5");
    }
}
