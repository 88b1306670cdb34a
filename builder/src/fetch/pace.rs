//! Limits on the time that a transfer takes: a lowest speed, and a budget for all attempts together. Without them a server
//! that sends a byte now and then holds a lock or a build for ever.

use std::time::{Duration, Instant};

use super::retry::RequestError;

/// Lowest speed, in bytes per second, over [`Timeouts::window`](super::client::Timeouts::window).
const SLOWEST: u64 = 1 << 10;
/// Speed that the budget of a transfer assumes, in bytes per second.
const BUDGETED: u64 = 8 << 10;
/// Attempts that may be too slow before a transfer fails. Each takes the whole window.
pub(super) const SLOW_TRIES: u32 = 2;

/// The time that one transfer may take, with its further attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    started: Instant,
    allowed: Duration,
}

impl Budget {
    /// `least` for any transfer, and a second more for each 8 KiB of `size`.
    pub(super) fn start(least: Duration, size: u64) -> Self {
        let allowed = least.saturating_add(Duration::from_secs(size / BUDGETED));
        Self { started: Instant::now(), allowed }
    }
}

/// Watches the speed of one response.
#[derive(Debug)]
pub(super) struct Pace {
    budget: Budget,
    window: Duration,
    /// Start of the current window.
    since: Instant,
    /// Bytes received in it.
    received: u64,
}

impl Pace {
    pub(super) fn new(budget: Budget, window: Duration) -> Self {
        Self { budget, window, since: Instant::now(), received: 0 }
    }

    /// Counts bytes that arrived.
    ///
    /// # Errors
    /// The transfer is too slow.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), RequestError> {
        self.received += bytes as u64;
        if self.budget.started.elapsed() > self.budget.allowed {
            let reason = format!("the transfer takes longer than {} s", self.budget.allowed.as_secs());
            return Err(RequestError::Slow(reason));
        }
        let elapsed = self.since.elapsed();
        if elapsed < self.window {
            return Ok(());
        }
        // In thousandths: windows of tests are shorter than a second.
        if u128::from(self.received) * 1000 < u128::from(SLOWEST) * elapsed.as_millis() {
            let reason =
                format!("the server sent {} bytes in {} s, less than 1 KiB/s", self.received, elapsed.as_secs());
            return Err(RequestError::Slow(reason));
        }
        (self.since, self.received) = (Instant::now(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_grows_with_the_size() {
        let allowed = |size| Budget::start(Duration::from_secs(900), size).allowed.as_secs();
        assert_eq!((allowed(0), allowed(80 << 20)), (900, 900 + 10_240));
        assert_eq!(allowed(u64::MAX), 900 + (u64::MAX >> 13));
    }

    #[test]
    fn a_spent_budget_ends_a_fast_transfer_too() {
        let budget = Budget { started: Instant::now(), allowed: Duration::ZERO };
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(Pace::new(budget, Duration::from_secs(60)).count(1 << 20), Err(RequestError::Slow(_))));
    }
}
