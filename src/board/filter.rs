//! What a person types after `/`: several words, all of which must match.

use crate::model::{Deployment, Rollout};
use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use std::borrow::Borrow;

/// A part of a rollout that `key:value` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Service,
    Environment,
    Phase,
    Version,
    Source,
    Author,
}

impl Field {
    /// The keys, with the short forms that people type.
    const KEYS: [(&'static str, Field); 10] = [
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
    /// `key:`; without one the word is looked for fuzzily in service, environment, version and source.
    field: Option<Field>,
    /// Lower case.
    text: String,
}

/// A parsed filter. The empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// All must match.
    terms: Vec<Term>,
    /// Keys of `key:value` words that mean nothing here, for a hint; such words are looked for as text.
    pub unknown_keys: Vec<String>,
}

impl Filter {
    /// The keys that `key:value` knows, for help and completion.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        Field::KEYS.iter().map(|(word, _)| *word)
    }

    /// Reads words such as `checkout !dev env:prod phase:paused version:1.10 source:local`.
    /// Every text is a filter: an unknown key makes the word plain text and is told in `unknown_keys`.
    #[must_use]
    pub fn parse(text: &str) -> Filter {
        let mut filter = Filter::default();
        for word in text.split_whitespace() {
            let (not, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
            let (field, text) = match word.split_once(':') {
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
        self.terms.is_empty()
    }

    /// Does one rollout match? For many use [`Filter::select`], which prepares the matcher once.
    #[must_use]
    pub fn matches(&self, rollout: &Rollout) -> bool {
        self.prepare().matches(rollout)
    }

    /// Those that match, in the given order.
    pub fn select<R: Borrow<Rollout>>(&self, rollouts: impl Iterator<Item = R>) -> Vec<R> {
        let mut prepared = self.prepare();
        rollouts.filter(|rollout| prepared.matches(rollout.borrow())).collect()
    }

    /// The finished rollouts that match, in the given order; `outcome:` (or `phase:`) looks at how each
    /// ended and at what it was for.
    pub fn select_ended<'d>(&self, ended: impl Iterator<Item = &'d Deployment>) -> Vec<&'d Deployment> {
        let mut prepared = self.prepare();
        ended.filter(|of| prepared.hits(|| plain_ended(of), |field, text| ended_has(of, field, text))).collect()
    }

    fn prepare(&self) -> Prepared<'_> {
        let terms = self.terms.iter().map(|term| {
            let atom = term
                .field
                .is_none()
                .then(|| Atom::new(&term.text, CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy, false));
            (term, atom)
        });
        let terms: Vec<_> = terms.collect();
        let fuzzy = terms.iter().any(|(_, atom)| atom.is_some());
        Prepared { terms, matcher: fuzzy.then(|| Matcher::new(Config::DEFAULT)), buffer: Vec::new() }
    }
}

/// A filter with its scratch space; the matcher is big, so it is made only where a word needs it.
struct Prepared<'f> {
    terms: Vec<(&'f Term, Option<Atom>)>,
    matcher: Option<Matcher>,
    buffer: Vec<char>,
}

impl Prepared<'_> {
    fn matches(&mut self, rollout: &Rollout) -> bool {
        self.hits(|| plain(rollout), |field, text| field_has(rollout, field, text))
    }

    /// `texts`: what a plain word is looked for in; `has`: does a field hold that text?
    fn hits<'t, I: Iterator<Item = &'t str>>(
        &mut self,
        texts: impl Fn() -> I,
        has: impl Fn(Field, &str) -> bool,
    ) -> bool {
        let Prepared { terms, matcher, buffer } = self;
        terms.iter().all(|(term, atom)| {
            let hit = match (atom, matcher.as_mut()) {
                (Some(atom), Some(matcher)) => texts().any(|text| {
                    buffer.clear();
                    atom.score(Utf32Str::new(text, buffer), matcher).is_some()
                }),
                _ => term.field.is_some_and(|field| has(field, &term.text)),
            };
            hit != term.not
        })
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
        Field::Phase => rollout.phase.word().contains(&text.replace(['-', '_'], " ")),
    }
}

fn plain_ended(of: &Deployment) -> impl Iterator<Item = &str> {
    [of.service.as_str(), of.environment.as_str(), of.run.target.source.as_str(), of.to.as_str()]
        .into_iter()
        .chain(of.from.as_ref().map(crate::model::Version::as_str))
}

fn ended_has(of: &Deployment, field: Field, text: &str) -> bool {
    let has = |value: &str| value.to_lowercase().contains(text);
    match field {
        Field::Service => has(of.service.as_str()),
        Field::Environment => has(of.environment.as_str()),
        Field::Source => has(of.run.target.source.as_str()),
        Field::Version => has(of.to.as_str()) || of.from.as_ref().is_some_and(|from| has(from.as_str())),
        Field::Author => has(&of.who()),
        Field::Phase => {
            let text = text.replace(['-', '_'], " ");
            of.outcome.word().contains(&text) || of.kind.word().contains(&text)
        }
    }
}
