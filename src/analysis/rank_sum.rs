//! The Mann-Whitney test (Wilcoxon's rank sum) with the Hodges–Lehmann estimate of the shift and its interval.
//!
//! As R's `wilcox.test` (R Core Team): exact for small samples without ties, else by the normal approximation with a
//! correction for ties and continuity. The interval's ends are order statistics of all differences in both cases.

/// Samples of fewer values each are compared exactly, if all values differ.
const EXACT_BELOW: usize = 50;

/// How two samples compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankSum {
    /// Pairs in which the first sample's value is the higher one; ties count half.
    pub w: f64,
    /// That the first is higher no more than by chance, one-sided.
    pub p_greater: f64,
    /// Median of all differences, first minus second.
    pub shift: f64,
    /// The shift's interval at the confidence that was asked for.
    pub low: f64,
    pub high: f64,
}

/// Compares two samples; `None` if one is empty. `confidence` is two-sided, such as 0.98.
#[must_use]
pub fn rank_sum(first: &[f64], second: &[f64], confidence: f64) -> Option<RankSum> {
    let mut differences: Vec<f64> = first.iter().flat_map(|a| second.iter().map(move |b| a - b)).collect();
    differences.sort_by(f64::total_cmp);
    let shift = median(&differences)?;
    let w = differences
        .iter()
        .map(|d| {
            if *d > 0.0 {
                1.0
            } else if *d == 0.0 {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    let ties = ties(first, second);
    let (n, m) = (first.len(), second.len());
    let tail = (1.0 - confidence) / 2.0;
    let (p_greater, skipped) = if n < EXACT_BELOW && m < EXACT_BELOW && ties.is_empty() {
        let distribution = Exact::of(n, m);
        (distribution.at_least(w), distribution.quantile(tail).max(1))
    } else {
        let (product, all) = (count(n) * count(m), count(n + m));
        let correction: f64 = ties.iter().map(|t| t * t * t - t).sum::<f64>() / (all * (all - 1.0));
        let deviation = (product / 12.0 * (all + 1.0 - correction)).sqrt();
        if deviation == 0.0 {
            // All values are alike: nothing tells the samples apart.
            return Some(RankSum { w, p_greater: 1.0, shift, low: shift, high: shift });
        }
        let p = upper_tail((w - product / 2.0 - 0.5) / deviation);
        (p, floor(product / 2.0 - normal_quantile(1.0 - tail) * deviation).max(1))
    };
    let low = differences.get(skipped - 1).copied().unwrap_or(shift);
    let high = differences.len().checked_sub(skipped).and_then(|at| differences.get(at)).copied().unwrap_or(shift);
    Some(RankSum { w, p_greater, shift, low, high })
}

fn median(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    let upper = sorted.get(half)?;
    if sorted.len() % 2 == 1 {
        return Some(*upper);
    }
    Some(f64::midpoint(*sorted.get(half.checked_sub(1)?)?, *upper))
}

/// How many values each group of equal ones has, over both samples.
fn ties(first: &[f64], second: &[f64]) -> Vec<f64> {
    let mut all = [first, second].concat();
    all.sort_by(f64::total_cmp);
    all.chunk_by(|a, b| a.total_cmp(b).is_eq())
        .filter(|group| group.len() > 1)
        .map(|group| count(group.len()))
        .collect()
}

/// The exact distribution of W where both samples are of one kind.
struct Exact {
    /// How many of all orders give each W.
    orders: Vec<f64>,
}

impl Exact {
    /// By adding one value of the larger-or-equal kind after the other: of `orders[i][j]` only one row is kept.
    fn of(n: usize, m: usize) -> Exact {
        let most = n * m;
        // `by[i]`: the counts for i values of the first sample and as many of the second as were added.
        let mut by: Vec<Vec<f64>> = (0..=n).map(|_| one(most)).collect();
        for j in 1..=m {
            let mut row: Vec<Vec<f64>> = vec![one(most)];
            for i in 1..=n {
                let without = row.get(i - 1).cloned().unwrap_or_default();
                let mut counts = by.get(i).cloned().unwrap_or_default();
                // The highest value of all is the first sample's (it beats j) or the second's.
                for (w, orders) in without.iter().enumerate() {
                    if let Some(place) = counts.get_mut(w + j) {
                        *place += orders;
                    }
                }
                row.push(counts);
            }
            by = row;
        }
        Exact { orders: by.pop().unwrap_or_default() }
    }

    fn all(&self) -> f64 {
        self.orders.iter().sum()
    }

    fn at_least(&self, w: f64) -> f64 {
        let from = floor(w.ceil());
        self.orders.iter().skip(from).sum::<f64>() / self.all()
    }

    /// The smallest W that is reached with at least that probability from below.
    fn quantile(&self, p: f64) -> usize {
        let (all, mut below) = (self.all(), 0.0);
        self.orders
            .iter()
            .take_while(|orders| {
                below += **orders / all;
                below < p
            })
            .count()
    }
}

/// One order, with W = 0.
fn one(most: usize) -> Vec<f64> {
    let mut counts = vec![0.0; most + 1];
    if let Some(first) = counts.first_mut() {
        *first = 1.0;
    }
    counts
}

/// That a standard normal value is above z.
fn upper_tail(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2) / 2.0
}

/// By halving: it is asked for rarely, and exact enough.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0_f64, 40.0_f64);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if 1.0 - upper_tail(middle) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[expect(clippy::cast_precision_loss, reason = "counts of values are far below 2^52")]
fn count(values: usize) -> f64 {
    values as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no less than zero, a count of pairs at most"
)]
fn floor(value: f64) -> usize {
    value.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, by: f64) -> bool {
        (a - b).abs() <= by
    }

    #[test]
    fn the_interval_is_that_of_published_examples() {
        let got = rank_sum(&[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 4.0], 0.95).unwrap();
        assert_eq!((got.low, got.high, got.shift), (6.0, 39.0, 22.5));
    }

    /// Hollander and Wolfe (1973), page 69: permeability of membranes; R's help of `wilcox.test` has it, too.
    #[test]
    fn small_samples_are_compared_exactly() {
        let term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let weeks = [1.15, 0.88, 0.90, 0.74, 1.21];
        let got = rank_sum(&term, &weeks, 0.95).unwrap();
        assert!(near(got.w, 35.0, 0.0) && near(got.p_greater, 0.1272, 0.00005), "{got:?}");
    }

    /// R's data set `airquality`: ozone in May against August, with ties.
    #[test]
    fn ties_and_large_samples_go_by_the_normal_approximation() {
        let may = [
            41.0, 36.0, 12.0, 18.0, 28.0, 23.0, 19.0, 8.0, 7.0, 16.0, 11.0, 14.0, 18.0, 14.0, 34.0, 6.0, 30.0, 11.0,
            1.0, 11.0, 4.0, 32.0, 23.0, 45.0, 115.0, 37.0,
        ];
        let august = [
            39.0, 9.0, 16.0, 78.0, 35.0, 66.0, 122.0, 89.0, 110.0, 44.0, 28.0, 65.0, 22.0, 59.0, 23.0, 31.0, 44.0,
            21.0, 9.0, 45.0, 168.0, 73.0, 76.0, 118.0, 84.0, 85.0,
        ];
        let got = rank_sum(&may, &august, 0.95).unwrap();
        let reversed = rank_sum(&august, &may, 0.95).unwrap();
        // R tells it two-sided.
        assert!(
            near(got.w, 127.5, 0.0) && near(2.0 * reversed.p_greater, 0.000_120_8, 0.000_000_5),
            "{got:?} {reversed:?}"
        );
        assert!(got.high < 0.0 && reversed.low > 0.0);
    }

    #[test]
    fn what_is_all_alike_is_not_told_apart_and_nothing_is_compared_with_nothing() {
        let got = rank_sum(&[0.0; 20], &[0.0; 20], 0.98).unwrap();
        assert_eq!((got.p_greater, got.low, got.high), (1.0, 0.0, 0.0));
        assert_eq!(rank_sum(&[], &[1.0], 0.98), None);
    }
}
