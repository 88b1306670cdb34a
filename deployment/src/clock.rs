//! The clock, only for checks: no output depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time now, in seconds since 1970 (zero on a machine whose clock is before that).
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the only place: checks of expiry need the time")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #[test]
    fn now_is_after_2023() {
        assert!(super::now() > 1_700_000_000);
    }
}
