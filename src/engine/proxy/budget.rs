//! How many requests may be tried again: so many that one dead instance is not noticed, so few that
//! an outage is not multiplied. Time is an argument.

use std::sync::{Mutex, PoisonError};

/// Seconds that are looked at.
const SPAN: usize = 10;
/// One in so many requests may be tried again …
const SHARE: u64 = 5;
/// … and so many in any span beside that, 10 a second.
const FLOOR: u64 = 100;

/// Requests and retries of one listener in the last ten seconds.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    second: u64,
    /// Requests and retries by second.
    by_second: [(u64, u64); SPAN],
    requests: u64,
    retries: u64,
}

impl Budget {
    /// A request came in.
    pub fn request(&self, now_ms: u64) {
        self.at(now_ms, |window, slot| {
            window.requests += 1;
            if let Some((requests, _)) = window.by_second.get_mut(slot) {
                *requests += 1;
            }
        });
    }

    /// May one be tried again? If so it counts.
    pub fn retry(&self, now_ms: u64) -> bool {
        self.at(now_ms, |window, slot| {
            let left = window.retries < FLOOR + window.requests / SHARE;
            if left {
                window.retries += 1;
                if let Some((_, retries)) = window.by_second.get_mut(slot) {
                    *retries += 1;
                }
            }
            left
        })
    }

    fn at<T>(&self, now_ms: u64, then: impl FnOnce(&mut Window, usize) -> T) -> T {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = (now_ms / 1000).max(window.second);
        let slot = |second: u64| usize::try_from(second % SPAN as u64).unwrap_or(0);
        let passed = (second - window.second).min(SPAN as u64);
        for gone in (0..passed).map(|back| second - back) {
            if let Some(old) = window.by_second.get_mut(slot(gone)) {
                let (requests, retries) = std::mem::take(old);
                window.requests -= requests;
                window.retries -= retries;
            }
        }
        window.second = second;
        then(&mut window, slot(second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_fifth_of_the_requests_and_a_few_a_second() {
        let budget = Budget::default();
        let granted = |now_ms| (0..10_000).filter(|_| budget.retry(now_ms)).count();
        assert_eq!(granted(50_000), 100, "the floor");
        (0..1_000).for_each(|_| budget.request(50_900));
        assert_eq!(granted(50_999), 200, "a fifth of 1000 more");
        assert_eq!(granted(59_999), 0, "still the same ten seconds");
        (0..50).for_each(|_| budget.request(59_999));
        assert_eq!(granted(60_000), 110, "the first second is over, with its requests and its retries");
        assert_eq!(granted(u64::MAX), 100);
        assert_eq!(granted(0), 0, "a clock that goes back grants nothing new");
    }
}
