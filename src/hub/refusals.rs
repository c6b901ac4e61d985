//! How much of what was refused is recorded: each refusal up to a rate, the rest as one sum.
//!
//! Whoever may only watch can ask for things in vain as often as they like. A user gets [`AT_ONCE`] records,
//! and one more each [`PAUSE`]; what comes beyond is counted, and the sum is a record each [`SUM`].

use flightdeck_ledger::Entry;
use flightdeck_model::Actor;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Records that a user may have in a row.
const AT_ONCE: u32 = 20;
/// After so long there is one more.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// A sum is recorded so long after its first refusal.
const SUM: SignedDuration = SignedDuration::from_mins(5);
/// Users that are told apart. There are no more than may connect; the bound is for the memory.
const USERS: usize = 1000;

/// A user whose commands were refused of late.
struct Refused {
    /// Records that they may still have.
    left: u32,
    /// When they last got one more.
    filled: Timestamp,
    /// What was only counted.
    more: Option<More>,
}

struct More {
    count: u64,
    since: Timestamp,
    until: Timestamp,
}

/// Who was refused how often.
#[derive(Default)]
pub(super) struct Refusals {
    users: BTreeMap<(String, Option<u32>), Refused>,
}

impl Refusals {
    /// Counts one; true: it gets a record of its own.
    pub fn note(&mut self, actor: &Actor, at: Timestamp) -> bool {
        let key = (actor.name.clone(), actor.uid);
        if !self.users.contains_key(&key) && self.users.len() >= USERS {
            // Whoever has nothing counted loses nothing but a full allowance.
            self.users.retain(|_, of| of.more.is_some());
        }
        let of = self.users.entry(key).or_insert(Refused { left: AT_ONCE, filled: at, more: None });
        while of.left < AT_ONCE && at.duration_since(of.filled) >= PAUSE {
            (of.left, of.filled) = (of.left + 1, of.filled.checked_add(PAUSE).unwrap_or(at));
        }
        if of.left > 0 {
            if of.left == AT_ONCE {
                of.filled = at;
            }
            of.left -= 1;
            return true;
        }
        let more = of.more.get_or_insert(More { count: 0, since: at, until: at });
        (more.count, more.until) = (more.count + 1, at);
        false
    }

    /// Is there a sum that is not recorded yet?
    pub fn are_counted(&self) -> bool {
        self.users.values().any(|of| of.more.is_some())
    }

    /// Takes the sums out that are due, or all.
    pub fn sums(&mut self, at: Timestamp, all: bool) -> Vec<Entry> {
        let due = |more: &mut More| all || at.duration_since(more.since) >= SUM;
        let taken = self.users.iter_mut().filter_map(|((who, uid), of)| {
            let More { count, since, until } = of.more.take_if(due)?;
            Some(Entry::RefusedMore { who: who.clone(), uid: *uid, count, since, until })
        });
        taken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(uid: u32) -> Actor {
        Actor { name: format!("u{uid}"), uid: Some(uid), roles: Vec::new() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn each_is_recorded_up_to_a_rate_and_the_rest_is_a_sum() {
        let mut refusals = Refusals::default();
        let recorded = (0..1000).filter(|_| refusals.note(&actor(1), at(0))).count();
        assert_eq!(recorded, 20);
        assert!(refusals.note(&actor(2), at(0)), "another user has records of their own");
        assert!(refusals.are_counted());
        assert_eq!(refusals.sums(at(299), false), []);
        assert!(!refusals.note(&actor(1), at(29)) && refusals.note(&actor(1), at(30)));
        assert!(!refusals.note(&actor(1), at(59)) && refusals.note(&actor(1), at(60)));
        let sum = |count, since, until| Entry::RefusedMore {
            who: "u1".to_owned(),
            uid: Some(1),
            count,
            since: at(since),
            until: at(until),
        };
        assert_eq!(refusals.sums(at(300), false), [sum(982, 0, 59)]);
        assert!(!refusals.are_counted());
        // After an hour of quiet there are as many again, and no more.
        let recorded = (0..100).filter(|_| refusals.note(&actor(1), at(3660))).count();
        assert_eq!(recorded, 20);
        assert_eq!(refusals.sums(at(3660), true), [sum(80, 3660, 3660)], "at the end all are told");
    }

    #[test]
    fn a_day_of_refusals_is_some_thousand_records() {
        let mut refusals = Refusals::default();
        let mut records = 0;
        for second in 0..86_400 {
            for _ in 0..20 {
                records += usize::from(refusals.note(&actor(1), at(second)));
            }
            records += refusals.sums(at(second), false).len();
        }
        assert!((2_000..4_000).contains(&records), "{records}");
    }

    #[test]
    fn users_without_number_take_no_memory_without_bound() {
        let mut refusals = Refusals::default();
        for uid in 0..5_000 {
            assert!(refusals.note(&actor(uid), at(0)));
        }
        assert!(refusals.users.len() <= USERS, "{}", refusals.users.len());
    }
}
