//! Betting against "the candidate is no worse than its limit allows", one window after the other.
//!
//! Counts of two kinds are judged alike: failed requests, and requests slower than a quantile may be. The
//! hypothesis is `rate at the candidate ≤ times × rate at stable + plus`:
//!
//! | limit | times | plus |
//! |---|---|---|
//! | an absolute one of `m` (of a quantile `q`: slower than `m` are `1 − q`) | 0 | m |
//! | `d` over stable | 1 | d |
//! | `r` × stable | r | 0 |
//!
//! For an alternative that is `w` times worse, a window in which `s` of `n` requests were hit at the
//! candidate and `s'` of `n'` at stable multiplies the wealth by `u^s · v^s' / (1 + plus·(u − 1))^n` with
//! `u = w (times·n + n') / (w·times·n + n')` and `v = (times·n + n') / (w·times·n + n')`. If the hypothesis
//! holds, that is at most 1 on average: independent hits of rate `p'` and `p = times·p' + plus` give
//! `(1 + p (u − 1))^n (1 + p' (v − 1))^n'`, which is largest at `p' = 0` as `times·n·(u − 1) = n' (1 − v)`,
//! and there it is the divisor. So the wealth is an E-value at any time: by Ville's inequality it ever
//! reaches 1/α with a probability of at most α, however often somebody looks (Lindon and Malek; Ramdas and
//! others, "Game-theoretic statistics and safe anytime-valid inference"). For a constant split of the
//! requests it is the published test of error counts, `p^S (1 − p)^(n−S) / (p₀^S (1 − p₀)^(n−S))`, for
//! one `p`, with `p₀` the candidate's share. Since each window brings its own split, nothing is assumed of
//! how requests are shared out, nor that rates stay as they are: what hits both arms hits both sides.

use serde::{Deserialize, Serialize};

/// How many times worse than allowed: one bet each, since nobody knows beforehand.
const WORSE: [f64; 8] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
/// Share of the wealth that is bet on the candidate being worse from the start. The rest is kept for what
/// gets worse later, which would otherwise have to win back first what the good time before has lost.
const AT_ONCE: f64 = 0.5;
/// So many windows after a beginning half of what is left of that is in play.
const HALF: f64 = 60.0;
/// Beyond this nothing is decided any more, and a float holds it.
const MOST: f64 = 1e100;

/// What a limit allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Allowed {
    /// Of stable's rate.
    pub times: f64,
    /// On top of that.
    pub plus: f64,
}

/// What was hit at one arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hits {
    /// Of so many requests.
    pub requests: u64,
    /// So many.
    pub hits: u64,
}

/// The wealth of the bets against one limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct EProcess {
    /// Of each alternative.
    bets: [f64; WORSE.len()],
    /// Not in play yet.
    reserve: f64,
    /// Windows since the beginning, or since something changed that may make it worse.
    windows: u32,
}

impl Default for EProcess {
    fn default() -> EProcess {
        let each = AT_ONCE / count(WORSE.len() as u64);
        EProcess { bets: [each; WORSE.len()], reserve: 1.0 - AT_ONCE, windows: 0 }
    }
}

impl EProcess {
    /// Takes in a window. Where the limit compares with stable and nothing reached that, nothing is bet.
    pub fn observe(&mut self, allowed: Allowed, candidate: Hits, stable: Hits) {
        if candidate.requests == 0 || allowed.times > 0.0 && stable.requests == 0 {
            return;
        }
        // A bet that begins later is paid from the reserve, so that all together began with 1.
        let begins = self.reserve / (f64::from(self.windows) + HALF);
        self.reserve -= begins;
        self.windows = self.windows.saturating_add(1);
        let each = begins / count(WORSE.len() as u64);
        for (bet, worse) in self.bets.iter_mut().zip(WORSE) {
            let factor = log_factor(worse, allowed, candidate, stable).clamp(-600.0, 200.0).exp();
            *bet = ((*bet + each) * factor).min(MOST);
        }
    }

    /// The candidate's share changed: from here on it is likelier to get worse.
    pub fn share_changed(&mut self) {
        self.windows = 0;
    }

    /// The evidence against "no worse than allowed": an E-value.
    pub fn value(&self) -> f64 {
        self.bets.iter().sum()
    }
}

/// Logarithm of what a window multiplies a bet by.
fn log_factor(worse: f64, allowed: Allowed, candidate: Hits, stable: Hits) -> f64 {
    let [requests, hits] = [candidate.requests, candidate.hits].map(count);
    let [of_stable, hits_of_stable] = [stable.requests, stable.hits].map(count);
    let expected = allowed.times * requests;
    let (up, down) = if expected > 0.0 {
        let down = (expected + of_stable) / worse.mul_add(expected, of_stable);
        (worse * down, down)
    } else {
        (worse, 1.0)
    };
    hits * up.ln() + hits_of_stable * down.ln() - requests * (allowed.plus * (up - 1.0)).ln_1p()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) const fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn hits(hits: u64, requests: u64) -> Hits {
        Hits { requests, hits }
    }

    /// Mean of the wealth over `p`, the candidate's share of the errors, with the density of Beta(a, b).
    fn mixture(a: i32, b: i32, share: f64, wealth: impl Fn(f64) -> f64) -> f64 {
        const CUTS: u32 = 200_000;
        let points = || (0..CUTS).map(|cut| (f64::from(cut) + 0.5) / f64::from(CUTS));
        let density = |p: f64| p.powi(a - 1) * (1.0 - p).powi(b - 1);
        let odds = |p: f64| p / (1.0 - p);
        points().map(|p| density(p) * wealth(odds(p) / odds(share))).sum::<f64>() / points().map(density).sum::<f64>()
    }

    // Sources: Lindon and Malek, "Anytime-valid inference for multinomial count data"; the values were computed
    // from E = B(a+S, b+n−S) / B(a, b) / (p₀^S (1−p₀)^(n−S)).
    #[test]
    fn the_published_e_values_are_means_of_this_wealth() {
        for (errors, of, share, (a, b), expected) in [
            (8, 10, 0.5, (1, 1), 2.068_687),
            (10, 10, 0.5, (1, 1), 93.090_909),
            (30, 200, 0.1, (1, 1), 0.729_677),
            (30, 200, 0.1, (1, 9), 1.774_837),
        ] {
            // As an absolute limit: so many of `of` requests failed.
            let absolute = Allowed { times: 0.0, plus: share };
            let one = |worse| log_factor(worse, absolute, hits(errors, of), hits(0, 0)).exp();
            let got = mixture(a, b, share, one);
            assert!((got / expected - 1.0).abs() < 1e-4, "{errors}/{of}: {got}");
            // Against stable: so many of `of` errors were the candidate's, whose share of the requests that is.
            let relative = Allowed { times: 1.0, plus: 0.0 };
            let requests = if share > 0.2 { (1000, 1000) } else { (1000, 9000) };
            let two =
                |worse| log_factor(worse, relative, hits(errors, requests.0), hits(of - errors, requests.1)).exp();
            let got = mixture(a, b, share, two);
            assert!((got / expected - 1.0).abs() < 1e-4, "{errors}/{of} against stable: {got}");
        }
    }

    /// The mean of what a window multiplies a bet by, over all that may happen in it.
    fn mean(worse: f64, allowed: Allowed, of: (u64, u64), rates: (f64, f64)) -> f64 {
        let chance = |hits: u64, of: u64, rate: f64| {
            let ways: f64 = (0..hits).map(|k| count(of - k) / count(k + 1)).product();
            ways * rate.powf(count(hits)) * (1.0 - rate).powf(count(of - hits))
        };
        let mut mean = 0.0;
        for at_candidate in 0..=of.0 {
            for at_stable in 0..=of.1 {
                let factor = log_factor(worse, allowed, hits(at_candidate, of.0), hits(at_stable, of.1)).exp();
                mean += factor * chance(at_candidate, of.0, rates.0) * chance(at_stable, of.1, rates.1);
            }
        }
        mean
    }

    #[test]
    fn no_bet_wins_on_average_while_the_limit_is_kept() {
        for allowed in [(0.0, 0.01), (0.0, 0.6), (1.0, 0.0), (1.0, 0.005), (1.0, 0.2), (1.5, 0.0), (4.0, 0.0)] {
            let allowed = Allowed { times: allowed.0, plus: allowed.1 };
            for of in [(1, 1), (3, 17), (10, 10), (17, 3)] {
                for at_stable in [0.0, 0.003, 0.05, 0.2] {
                    let limit = allowed.times.mul_add(at_stable, allowed.plus);
                    for at_candidate in [limit, limit / 2.0] {
                        for worse in WORSE {
                            let mean = mean(worse, allowed, of, (at_candidate, at_stable));
                            assert!(mean < 1.0 + 1e-9, "{allowed:?} {of:?} {at_stable} × {worse}: {mean}");
                        }
                    }
                }
            }
        }
        // And the least that the limit forbids wins, or nothing would ever be found.
        let won = mean(2.0, Allowed { times: 1.0, plus: 0.0 }, (10, 10), (0.2, 0.1));
        assert!(won > 1.05, "{won}");
    }

    #[test]
    fn what_gets_worse_after_a_long_good_time_is_found_about_as_soon() {
        let allowed = Allowed { times: 0.0, plus: 0.01 };
        let windows_until_found = |good: u32| {
            let mut process = EProcess::default();
            (0..good).for_each(|second| process.observe(allowed, hits(u64::from(second % 17 == 0), 20), hits(0, 0)));
            (1..1000).find(|_| {
                process.observe(allowed, hits(1, 20), hits(0, 0));
                process.value() >= 400.0
            })
        };
        let [at_once, after_an_hour] = [0, 3600].map(|good| windows_until_found(good).unwrap());
        assert!((5..20).contains(&at_once), "{at_once}");
        assert!(after_an_hour < 3 * at_once, "{after_an_hour} against {at_once}");
    }

    #[test]
    fn nothing_is_bet_without_somebody_to_compare_with() {
        let mut process = EProcess::default();
        process.observe(Allowed { times: 1.0, plus: 0.0 }, hits(10, 10), hits(0, 0));
        process.observe(Allowed { times: 0.0, plus: 0.1 }, hits(0, 0), hits(5, 5));
        assert_eq!(process, EProcess::default());
        // A limit of nothing at all allows none.
        (0..3).for_each(|_| process.observe(Allowed { times: 0.0, plus: 0.0 }, hits(1, 10), hits(0, 0)));
        assert!(process.value() > 400.0, "{}", process.value());
    }
}
