//! The time between two looks at what is waited for.

use std::time::{Duration, Instant};

use super::runtime::Deadline;

/// The shortest and the longest time.
const LEAST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);
/// The part of the time without a change that passes until the next look.
const PART: u32 = 10;

/// The longer nothing has changed, the longer it is: a look costs the engine work, and a service that begins to work is found soon
/// compared to the time that it took.
#[derive(Debug)]
pub(super) struct Pause {
    since: Instant,
}

impl Pause {
    /// After something has changed.
    pub(super) fn new() -> Self {
        Self { since: Instant::now() }
    }

    /// Waits, at most until the deadline.
    pub(super) fn sleep(&self, deadline: Deadline) {
        std::thread::sleep(length(self.since.elapsed(), deadline.left()));
    }
}

fn length(unchanged: Duration, left: Duration) -> Duration {
    (unchanged / PART).clamp(LEAST, MOST).min(left.max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For 180 s, `up` asked four times a second a service that did not work.
    #[test]
    fn looks_become_rare_when_nothing_changes() {
        let seconds = Duration::from_secs;
        assert_eq!(length(Duration::ZERO, seconds(60)), LEAST);
        assert_eq!(length(seconds(5), seconds(60)), Duration::from_millis(500));
        assert_eq!(length(seconds(100), seconds(60)), MOST);
        assert_eq!(length(seconds(100), seconds(1)), seconds(1));
        assert_eq!(length(seconds(100), Duration::ZERO), LEAST);
    }
}
