//! A judge at work on one candidate whose numbers come a window at a time, from wherever they are measured.

use super::mann_whitney::MannWhitney;
use super::sequential::{Sequential, Verdict, Window};
use super::span::{Span, Totals};
use super::threshold;
use flightdeck_model::{AnalysisReport, AnalysisTemplate, Judge, Ppm};
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

/// Windows that are kept at most, however short they are.
const MOST_WINDOWS: usize = 3600;

/// What both sides did in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub from: Timestamp,
    pub to: Timestamp,
    /// The candidate's share of the traffic in it.
    pub share: Ppm,
    pub candidate: Totals,
    pub stable: Totals,
}

/// What is known for and against one candidate.
#[derive(Debug, Clone)]
pub struct Running {
    template: AnalysisTemplate,
    name: String,
    sequential: Sequential,
    mann_whitney: MannWhitney,
    /// Of all windows together.
    candidate: Totals,
    stable: Totals,
    /// The newest of them, as many as the template's `window` spans.
    windows: VecDeque<Measured>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Running {
    #[must_use]
    pub fn new(name: &str, template: AnalysisTemplate) -> Running {
        let (sequential, mann_whitney) = (Sequential::default(), MannWhitney::default());
        let (candidate, stable) = (Totals::default(), Totals::default());
        let windows = VecDeque::new();
        let (name, from, to) = (name.to_owned(), None, None);
        Running { template, name, sequential, mann_whitney, candidate, stable, windows, from, to }
    }

    /// Takes in what happened since the last window. One that overlaps it is left out: what is counted twice speaks
    /// twice.
    pub fn observe(&mut self, mut window: Measured) {
        if window.to <= window.from {
            return;
        }
        if let Some(to) = self.to.filter(|to| window.from < *to) {
            // Whoever measures reads a clock a little early or late: a tenth of a window is no overlap.
            let over = to.duration_since(window.from);
            if window.to <= to || over * 10 > window.to.duration_since(window.from) {
                return;
            }
            window.from = to;
        }
        let Measured { share, candidate, stable, .. } = &window;
        let seen = Window { share: *share, candidate, stable };
        match self.template.judge {
            Judge::Sequential => self.sequential.observe(&self.template, seen),
            Judge::MannWhitney => {
                let began = self.from.unwrap_or(window.from);
                self.mann_whitney.observe(&self.template, seen, window.to.duration_since(began));
            }
            Judge::Threshold => {}
        }
        self.candidate.add(candidate.requests, candidate.errors, &candidate.latency);
        self.stable.add(stable.requests, stable.errors, &stable.latency);
        (self.from, self.to) = (self.from.or(Some(window.from)), Some(window.to));
        self.windows.push_back(window);
        let spanned = self.template.window;
        while self.windows.len() > MOST_WINDOWS || self.windows.get(1).is_some_and(|next| self.spans(next, spanned)) {
            self.windows.pop_front();
        }
    }

    /// Do the windows from this one on span so long?
    fn spans(&self, first: &Measured, spanned: SignedDuration) -> bool {
        self.to.is_some_and(|to| to.duration_since(first.from) >= spanned)
    }

    /// Until when it has numbers.
    #[must_use]
    pub const fn measured_until(&self) -> Option<Timestamp> {
        self.to
    }

    /// That the candidate is beyond a limit, and not by chance, with the numbers; `None`: it is not, as far as is known.
    #[must_use]
    pub fn breach(&self) -> Option<AnalysisReport> {
        match self.template.judge {
            Judge::Sequential => {
                let span = self.whole()?;
                let verdict = self.sequential.verdict(&self.template, 1, &span, false);
                (verdict == Verdict::Fail).then(|| self.sequential.report(&self.template, &self.name, 1, &span))
            }
            Judge::MannWhitney => {
                let span = self.whole()?;
                let verdict = self.mann_whitney.verdict(&self.template, &span, false);
                (verdict == Verdict::Fail).then(|| self.mann_whitney.report(&self.template, &self.name, &span))
            }
            Judge::Threshold => {
                let full = self.windows.front().is_some_and(|first| self.spans(first, self.template.window));
                let (from, candidate, stable) = self.newest()?;
                let span = Span { from, to: self.to?, candidate: &candidate, stable: &stable };
                let fails = full && threshold::fails(&self.template, &span);
                let fails = fails || threshold::clearly_fails(&self.template, &span);
                fails.then(|| threshold::judge(&self.template, &self.name, &span))
            }
        }
    }

    /// The numbers so far; `None` before the first window.
    #[must_use]
    pub fn report(&self) -> Option<AnalysisReport> {
        match self.template.judge {
            Judge::Sequential => Some(self.sequential.report(&self.template, &self.name, 1, &self.whole()?)),
            Judge::MannWhitney => Some(self.mann_whitney.report(&self.template, &self.name, &self.whole()?)),
            Judge::Threshold => {
                let (from, candidate, stable) = self.newest()?;
                let span = Span { from, to: self.to?, candidate: &candidate, stable: &stable };
                Some(threshold::judge(&self.template, &self.name, &span))
            }
        }
    }

    fn whole(&self) -> Option<Span<'_>> {
        Some(Span { from: self.from?, to: self.to?, candidate: &self.candidate, stable: &self.stable })
    }

    /// The newest windows together, and since when.
    fn newest(&self) -> Option<(Timestamp, Totals, Totals)> {
        let from = self.windows.front()?.from;
        let (mut candidate, mut stable) = (Totals::default(), Totals::default());
        for window in &self.windows {
            for (sum, of) in [(&mut candidate, &window.candidate), (&mut stable, &window.stable)] {
                sum.add(of.requests, of.errors, &of.latency);
            }
        }
        Some((from, candidate, stable))
    }
}
