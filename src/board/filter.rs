//! What a person types after `/`: several words, all of which must match.

use flightdeck_model::{Rollout, RolloutRecord};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use std::borrow::Borrow;
use std::ops::Range;

/// How well a plain word fits a text, the best first. Letters that are merely in order fit nothing: among
/// hundreds of similar names they would match most of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fit {
    /// It is the text.
    #[default]
    Whole,
    /// The text begins with it.
    Start,
    /// A word of the text begins with it: `gateway` in `payments-gateway`.
    Word,
    /// It is somewhere in the text.
    Inside,
    /// It is the initials of words of the text: `pgw` for `payments-gateway-worker`.
    Initials,
}

impl Fit {
    /// Of a word, in lower case, in a text.
    fn of(text: &str, word: &str) -> Option<Fit> {
        let text = text.to_lowercase();
        if text == word {
            return Some(Fit::Whole);
        }
        if let Some(inside) = text.find(word) {
            let before = |at: usize| text.get(..at).and_then(|before| before.chars().next_back());
            let begins = |at: usize| before(at).is_none_or(|c| !c.is_alphanumeric());
            return Some(match inside {
                0 => Fit::Start,
                _ if text.match_indices(word).any(|(at, _)| begins(at)) => Fit::Word,
                _ => Fit::Inside,
            });
        }
        let words = text.split(|c: char| !c.is_alphanumeric());
        let initials: String = words.filter_map(|word| word.chars().next()).collect();
        (word.chars().count() > 1 && initials.contains(word)).then_some(Fit::Initials)
    }
}

/// A part of a rollout that `key:value` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Service,
    Environment,
    Phase,
    Version,
    Source,
    Author,
    Cause,
}

impl Field {
    /// The keys, with the short forms that people type.
    const KEYS: [(&'static str, Field); 12] = [
        ("service", Field::Service),
        ("svc", Field::Service),
        ("environment", Field::Environment),
        ("env", Field::Environment),
        ("phase", Field::Phase),
        ("outcome", Field::Phase),
        ("version", Field::Version),
        ("source", Field::Source),
        ("author", Field::Author),
        ("by", Field::Author),
        ("cause", Field::Cause),
        ("because", Field::Cause),
    ];

    fn from_key(key: &str) -> Option<Field> {
        Self::KEYS.iter().find(|(word, _)| word.eq_ignore_ascii_case(key)).map(|(_, field)| *field)
    }
}

/// One word of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// `!`: the rollout must not match.
    not: bool,
    /// `key:`; without one the word is looked for in service, environment, version and source.
    field: Option<Field>,
    /// Lower case.
    text: String,
}

/// What a rollout's time is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// `since:`: not before.
    Since(Timestamp),
    /// `until:`: not after.
    Until(Timestamp),
}

/// The keys of times: so long ago (`7d`, `12h`, `30m`), or a date (`2026-11-20`, the day's beginning in UTC).
const TIMES: [&str; 2] = ["since", "until"];

impl When {
    fn read(key: &str, value: &str, now: Timestamp) -> Option<When> {
        let ago = |span: SignedDuration| now.checked_sub(span).ok();
        let date = || value.parse::<jiff::civil::Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
        // A year and more is meant as days are: calendars differ, this is about the last ones.
        let span = |value: &str| value.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
        let at = span(value).and_then(ago).or_else(date)?;
        Some(if key.eq_ignore_ascii_case("since") { When::Since(at) } else { When::Until(at) })
    }

    fn holds(self, at: Timestamp) -> bool {
        match self {
            When::Since(begin) => at >= begin,
            When::Until(end) => at <= end,
        }
    }
}

/// A parsed filter. The empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// All must match.
    terms: Vec<Term>,
    times: Vec<When>,
    /// Keys of `key:value` words that mean nothing here, for a hint; such words are looked for as text.
    pub unknown_keys: Vec<String>,
    /// Words such as `since:x` whose time can't be read; they are left out.
    pub unread_times: Vec<String>,
}

impl Filter {
    /// The keys that `key:value` knows, for help and completion.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        Field::KEYS.iter().map(|(word, _)| *word).chain(TIMES)
    }

    /// What of it means nothing, in words.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let known = || Filter::keys().map(|key| format!("{key}:")).collect::<Vec<_>>().join(" ");
        match (self.unknown_keys.first(), self.unread_times.first()) {
            (Some(key), _) => Some(format!("there is no key {key}: here; known: {}", known())),
            (None, Some(word)) => {
                Some(format!("{word}: expected a time such as since:7d, since:12h or since:2026-11-20"))
            }
            (None, None) => None,
        }
    }

    /// Reads words such as `checkout !dev env:prod phase:paused version:1.10 source:local since:7d`.
    /// Every text is a filter: an unknown key makes the word plain text and is told in `unknown_keys`.
    #[must_use]
    pub fn parse(text: &str, now: Timestamp) -> Filter {
        let mut filter = Filter::default();
        for word in text.split_whitespace() {
            let (not, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
            let (field, text) = match word.split_once(':') {
                Some((key, value)) if TIMES.iter().any(|time| time.eq_ignore_ascii_case(key)) => {
                    match When::read(key, value, now) {
                        Some(when) => filter.times.push(when),
                        None if value.is_empty() => {}
                        None => filter.unread_times.push(word.to_owned()),
                    }
                    continue;
                }
                Some((key, value)) => {
                    let field = Field::from_key(key);
                    if field.is_none() {
                        filter.unknown_keys.push(key.to_owned());
                    }
                    (field, if field.is_some() { value } else { word })
                }
                None => (None, word),
            };
            // Half a word, as while typing `env:`, must not empty the list.
            if !text.is_empty() {
                filter.terms.push(Term { not, field, text: text.to_lowercase() });
            }
        }
        filter
    }

    /// Does it match everything?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.times.is_empty()
    }

    /// Does one rollout match?
    #[must_use]
    pub fn matches(&self, rollout: &Rollout) -> bool {
        self.fit(rollout).is_some()
    }

    /// How well its plain words fit a rollout: as well as the one that fits worst. `None`: it does not match.
    #[must_use]
    pub fn fit(&self, rollout: &Rollout) -> Option<Fit> {
        self.fit_of(rollout.since, || plain(rollout), |field, text| field_has(rollout, field, text))
    }

    /// How well its plain words fit a finished rollout; `outcome:` (or `phase:`) looks at how it ended and
    /// at what it was for.
    #[must_use]
    pub fn fit_ended(&self, of: &RolloutRecord) -> Option<Fit> {
        self.fit_of(of.ended, || plain_ended(of), |field, text| ended_has(of, field, text))
    }

    /// Those that match, in the given order.
    pub fn select<R: Borrow<Rollout>>(&self, rollouts: impl Iterator<Item = R>) -> Vec<R> {
        rollouts.filter(|rollout| self.matches(rollout.borrow())).collect()
    }

    /// The finished rollouts that match, in the given order.
    pub fn select_ended<'d>(&self, ended: impl Iterator<Item = &'d RolloutRecord>) -> Vec<&'d RolloutRecord> {
        ended.filter(|of| self.fit_ended(of).is_some()).collect()
    }

    /// Where in a text one of its plain words stands, as a range of bytes, so that it can be shown.
    #[must_use]
    pub fn found(&self, text: &str) -> Option<Range<usize>> {
        // ASCII alone keeps the places of bytes.
        let lower = text.to_ascii_lowercase();
        let mut words = self.terms.iter().filter(|term| term.field.is_none() && !term.not);
        words.find_map(|term| lower.find(&term.text).map(|at| at..at + term.text.len()))
    }

    /// `at`: what times are held against; `texts`: what a plain word is looked for in; `has`: does a field hold that text?
    fn fit_of<'t, I: Iterator<Item = &'t str>>(
        &self,
        at: Timestamp,
        texts: impl Fn() -> I,
        has: impl Fn(Field, &str) -> bool,
    ) -> Option<Fit> {
        if !self.times.iter().all(|when| when.holds(at)) {
            return None;
        }
        let mut worst = Fit::default();
        for term in &self.terms {
            let fit = match term.field {
                Some(field) => has(field, &term.text).then_some(Fit::Whole),
                None => texts().filter_map(|text| Fit::of(text, &term.text)).min(),
            };
            match (fit, term.not) {
                (Some(fit), false) => worst = worst.max(fit),
                // Leaving out goes by what stands there, never by a guess.
                (None | Some(Fit::Initials), true) => {}
                _ => return None,
            }
        }
        Some(worst)
    }
}

/// The texts that a plain word is looked for in; each by itself, so that a word never matches
/// across two of them.
fn plain(rollout: &Rollout) -> impl Iterator<Item = &str> {
    [rollout.service.as_str(), rollout.environment.as_str(), rollout.run.target.source.as_str()]
        .into_iter()
        .chain(rollout.arms.iter().map(|arm| arm.version.as_str()))
}

/// Does the field hold the text, upper and lower case alike? `-` and `_` stand for a blank in phases.
fn field_has(rollout: &Rollout, field: Field, text: &str) -> bool {
    let has = |value: &str| value.to_lowercase().contains(text);
    match field {
        Field::Service => has(rollout.service.as_str()),
        Field::Environment => has(rollout.environment.as_str()),
        Field::Source => has(rollout.run.target.source.as_str()),
        Field::Version => rollout.arms.iter().any(|arm| has(arm.version.as_str())),
        Field::Author => rollout.author.as_deref().is_some_and(has),
        Field::Cause => has(&rollout.message) || rollout.failing.iter().any(|failing| has(&failing.reason)),
        Field::Phase => rollout.phase.word().contains(&text.replace(['-', '_'], " ")),
    }
}

fn plain_ended(of: &RolloutRecord) -> impl Iterator<Item = &str> {
    [of.service.as_str(), of.environment.as_str(), of.run.target.source.as_str(), of.to.as_str()]
        .into_iter()
        .chain(of.from.as_ref().map(flightdeck_model::Version::as_str))
}

fn ended_has(of: &RolloutRecord, field: Field, text: &str) -> bool {
    let has = |value: &str| value.to_lowercase().contains(text);
    match field {
        Field::Service => has(of.service.as_str()),
        Field::Environment => has(of.environment.as_str()),
        Field::Source => has(of.run.target.source.as_str()),
        Field::Version => has(of.to.as_str()) || of.from.as_ref().is_some_and(|from| has(from.as_str())),
        Field::Author => has(&of.who()),
        Field::Cause => has(&of.cause),
        Field::Phase => {
            let text = text.replace(['-', '_'], " ");
            of.outcome.word().contains(&text) || of.kind.word().contains(&text)
        }
    }
}
