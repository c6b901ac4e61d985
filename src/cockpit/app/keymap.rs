//! What keys mean: config/keymap.toml overlaid with a user's file.

use super::Key;
use super::command::{Bound, UiCommand};
use super::pages::Page;
use flightdeck_model::Action;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys that the program comes with.
pub const DEFAULT: &str = include_str!("../../../config/keymap.toml");

/// Where a key is pressed: a section of keymap.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Everywhere but where text is typed.
    Global,
    /// Wherever a rollout is selected or opened.
    Rollouts,
    Page(Page),
    /// A confirmation.
    Dialog,
    /// Wherever text is typed.
    Input,
}

impl Context {
    /// All that keymap.toml may have sections for, with their names there.
    pub fn all() -> impl Iterator<Item = (&'static str, Context)> {
        let pages = Page::ALL.iter().filter_map(|page| Some((page.row().section?, Context::Page(*page))));
        let everywhere = [("global", Context::Global), ("rollouts", Context::Rollouts)];
        everywhere.into_iter().chain(pages).chain([("dialog", Context::Dialog), ("input", Context::Input)])
    }

    /// Those that hold on a page, the first ruling.
    #[must_use]
    pub fn on(page: Page) -> Vec<Context> {
        let row = page.row();
        let own = row.section.map(|_| Context::Page(page));
        let rollouts = row.rollouts.then_some(Context::Rollouts);
        own.into_iter().chain(rollouts).chain([Context::Global]).collect()
    }

    /// Its name in keymap.toml.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::all().find(|(_, context)| *context == self).map_or("", |(name, _)| name)
    }

    fn from_name(name: &str) -> Option<Context> {
        Self::all().find(|(known, _)| *known == name).map(|(_, context)| context)
    }

    /// Does it take that command at all? A confirmation can't be bound to a page, nor an abort to
    /// a page without a rollout.
    #[must_use]
    pub fn takes(self, bound: Bound) -> bool {
        use UiCommand as C;
        match bound {
            Bound::Act(Action::Approve | Action::Reject) => self == Context::Page(Page::Approvals),
            Bound::Act(Action::Hold | Action::ReleaseHold) => self == Context::Global,
            Bound::Act(_) => self == Context::Rollouts,
            Bound::Ui(C::Confirm | C::Reopen) => self == Context::Dialog,
            Bound::Ui(C::Accept | C::Cancel) => matches!(self, Context::Dialog | Context::Input),
            Bound::Ui(C::NextPanel | C::PreviousPanel) if self == Context::Dialog => true,
            Bound::Ui(command) if Page::ALL.iter().any(|page| page.takes(command)) => match self {
                Context::Page(page) => page.takes(command),
                _ => false,
            },
            // The table ends with the commands of typing.
            Bound::Ui(command) if command >= C::Complete => self == Context::Input,
            Bound::Ui(_) => !matches!(self, Context::Dialog | Context::Input | Context::Rollouts),
        }
    }
}

/// Sets of contexts that hold at the same time; keys of one set must not contradict each other.
fn together() -> Vec<Vec<Context>> {
    let pages = Page::ALL.iter().map(|page| Context::on(*page));
    pages.chain([vec![Context::Dialog], vec![Context::Input]]).collect()
}

/// What keys mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    bindings: BTreeMap<(Context, Bound), Vec<Vec<Key>>>,
}

/// What a sequence of keys means so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// This.
    Bound(Bound),
    /// The beginning of something.
    Begun,
    Nothing,
}

impl Keymap {
    /// Is the key bound to anything anywhere, or the beginning of such?
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.bindings.values().flatten().any(|sequence| sequence.first() == Some(key))
    }

    /// The keys that the program comes with.
    pub fn built_in() -> Result<Keymap, KeymapError> {
        let mut keymap = Keymap { bindings: BTreeMap::new() };
        keymap.overlay(DEFAULT, "config/keymap.toml")?;
        Ok(keymap)
    }

    /// The keys that the program comes with, overlaid with a user's file. `path` is for messages.
    pub fn with(text: &str, path: &str) -> Result<Keymap, KeymapError> {
        let mut keymap = Keymap::built_in()?;
        keymap.overlay(text, path)?;
        Ok(keymap)
    }

    /// What a sequence means where these contexts hold, the first ruling.
    #[must_use]
    pub fn resolve(&self, contexts: &[Context], keys: &[Key]) -> Resolved {
        let mut begun = false;
        for context in contexts {
            for ((of, bound), sequences) in &self.bindings {
                if of != context {
                    continue;
                }
                for sequence in sequences {
                    if sequence == keys {
                        return Resolved::Bound(*bound);
                    }
                    begun |= sequence.starts_with(keys);
                }
            }
        }
        if begun { Resolved::Begun } else { Resolved::Nothing }
    }

    /// The keys of a command where these contexts hold, such as `j` and `down`, or `g g`.
    pub fn keys<'a>(&'a self, contexts: &'a [Context], bound: Bound) -> impl Iterator<Item = String> + 'a {
        let sequences = contexts.iter().filter_map(move |context| self.bindings.get(&(*context, bound))).flatten();
        sequences.map(|sequence| sequence.iter().map(|key| key.0.as_str()).collect::<Vec<_>>().join(" "))
    }

    /// The key that hints show for a command; its name where it has none.
    #[must_use]
    pub fn first_key(&self, contexts: &[Context], bound: Bound) -> String {
        self.keys(contexts, bound).next().unwrap_or_else(|| bound.name().to_owned())
    }

    /// Every command that has a key where these contexts hold, in the order of help pages.
    pub fn bound<'a>(&'a self, contexts: &'a [Context]) -> impl Iterator<Item = Bound> + 'a {
        Bound::all().filter(move |bound| self.keys(contexts, *bound).next().is_some())
    }

    fn overlay(&mut self, text: &str, path: &str) -> Result<(), KeymapError> {
        let mut reader = Reader { text, path, problems: Vec::new() };
        let mut spans = BTreeMap::new();
        match DeTable::parse(text) {
            Ok(root) => reader.sections(root.get_ref(), self, &mut spans),
            Err(error) => reader.tell(error.span().unwrap_or(0..0), error.message()),
        }
        if reader.problems.is_empty() {
            reader.conflicts(self, &spans);
        }
        if reader.problems.is_empty() { Ok(()) } else { Err(KeymapError { problems: reader.problems }) }
    }
}

/// What is wrong with a keymap; each problem with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct KeymapError {
    /// One line each: `file:line:column: what`.
    pub problems: Vec<String>,
}

impl fmt::Display for KeymapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

type Spans = BTreeMap<(Context, Bound), Range<usize>>;

struct Reader<'t> {
    text: &'t str,
    path: &'t str,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn tell(&mut self, span: Range<usize>, what: &str) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self.problems.push(format!("{}:{line}:{column}: {what}", self.path));
    }

    fn sections(&mut self, root: &DeTable<'_>, keymap: &mut Keymap, spans: &mut Spans) {
        for (name, section) in root {
            let Some(context) = Context::from_name(name.get_ref()) else {
                let known = Context::all().map(|(name, _)| name);
                let hint = suggestion(name.get_ref(), known);
                self.tell(name.span(), &format!("{}: expected a section for keys{hint}", name.get_ref()));
                continue;
            };
            let DeValue::Table(lines) = section.get_ref() else {
                let found = section.get_ref().type_str();
                self.tell(
                    section.span(),
                    &format!("{}: expected a section [{}], found {found}", name.get_ref(), name.get_ref()),
                );
                continue;
            };
            for (command, keys) in lines {
                let Some(bound) = self.command(context, command) else { continue };
                let sequences = self.sequences(&format!("{}.{}", context.name(), bound.name()), keys);
                keymap.bindings.insert((context, bound), sequences);
                spans.insert((context, bound), command.span());
            }
        }
    }

    fn command(&mut self, context: Context, name: &Spanned<std::borrow::Cow<'_, str>>) -> Option<Bound> {
        let section = context.name();
        let word = name.get_ref();
        let Some(bound) = Bound::from_name(word) else {
            let known = Bound::all().filter(|bound| context.takes(*bound)).map(Bound::name);
            let hint = suggestion(word, known);
            self.tell(name.span(), &format!("{section}.{word}: expected the name of a command{hint}"));
            return None;
        };
        if !context.takes(bound) {
            let places: Vec<_> =
                Context::all().filter(|(_, place)| place.takes(bound)).map(|(name, _)| format!("[{name}]")).collect();
            self.tell(name.span(), &format!("{section}.{word}: belongs in {}", places.join(" or ")));
            return None;
        }
        Some(bound)
    }

    fn sequences(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Vec<Vec<Key>> {
        match value.get_ref() {
            DeValue::String(text) => self.sequence(name, text, value.span()).into_iter().collect(),
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| {
                    let Some(text) = item.get_ref().as_str() else {
                        let found = item.get_ref().type_str();
                        self.tell(item.span(), &format!("{name}: expected a key as text, found {found}"));
                        return None;
                    };
                    self.sequence(name, text, item.span())
                })
                .collect(),
            other => {
                let found = other.type_str();
                self.tell(value.span(), &format!("{name}: expected a key or a list of keys, found {found}"));
                Vec::new()
            }
        }
    }

    fn sequence(&mut self, name: &str, text: &str, span: Range<usize>) -> Option<Vec<Key>> {
        let keys: Result<Vec<Key>, String> = text.split_whitespace().map(parse_key).collect();
        match keys {
            Ok(keys) if !keys.is_empty() => Some(keys),
            Ok(_) => {
                self.tell(span, &format!("{name}: expected a key, found none; `[]` unbinds"));
                None
            }
            Err(why) => {
                self.tell(span, &format!("{name}: {why}"));
                None
            }
        }
    }

    fn conflicts(&mut self, keymap: &Keymap, spans: &Spans) {
        let mut told = Vec::new();
        for set in together() {
            let all: Vec<_> = keymap
                .bindings
                .iter()
                .filter(|((context, _), _)| set.contains(context))
                .flat_map(|(at, sequences)| sequences.iter().map(move |sequence| (at, sequence)))
                .collect();
            for (n, (a, x)) in all.iter().enumerate() {
                for (b, y) in all.iter().skip(n + 1) {
                    let clash = x.starts_with(y) || y.starts_with(x);
                    if clash && a.1 != b.1 && !told.contains(&(*a, *b)) {
                        told.push((*a, *b));
                        let span = spans.get(a).or_else(|| spans.get(b)).cloned().unwrap_or(0..0);
                        let (x, y) = (spelled(x), spelled(y));
                        let key = if x == y { format!("`{x}` is") } else { format!("`{x}` and `{y}` begin alike:") };
                        let (at, with) = (spot(**a), spot(**b));
                        self.tell(
                            span,
                            &format!("{at}: {key} also bound to {with}; give one of them another key or []"),
                        );
                    }
                }
            }
        }
    }
}

fn spot((context, bound): (Context, Bound)) -> String {
    format!("{}.{}", context.name(), bound.name())
}

fn spelled(sequence: &[Key]) -> String {
    sequence.iter().map(|key| key.0.as_str()).collect::<Vec<_>>().join(" ")
}

/// Keys that are written as words.
const NAMED: [&str; 15] = [
    "enter",
    "esc",
    "tab",
    "space",
    "backspace",
    "delete",
    "insert",
    "up",
    "down",
    "left",
    "right",
    "home",
    "end",
    "pgup",
    "pgdn",
];

/// Reads one key in keymap.toml's notation.
pub fn parse_key(text: &str) -> Result<Key, String> {
    let mut rest = text;
    let mut modifiers = Vec::new();
    while let Some((modifier, after)) =
        ["ctrl-", "alt-", "shift-"].iter().find_map(|m| Some((*m, rest.strip_prefix(m)?)))
    {
        if after.is_empty() || modifiers.contains(&modifier) {
            break;
        }
        modifiers.push(modifier);
        rest = after;
    }
    let function = rest.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=12).contains(&n));
    let named = NAMED.contains(&rest) || function;
    let single = rest.chars().count() == 1;
    if !named && !single {
        let hint = suggestion(rest, NAMED.into_iter());
        return Err(format!("expected a key, found {text:?}{hint}"));
    }
    if single && modifiers.contains(&"shift-") {
        return Err(format!("expected a key, found {text:?}; write the shifted character itself, such as \"G\""));
    }
    // One spelling for each key, whatever the order of its modifiers.
    modifiers.sort_by_key(|modifier| ["ctrl-", "alt-", "shift-"].iter().position(|known| known == modifier));
    Ok(Key(format!("{}{rest}", modifiers.concat())))
}

/// `; did you mean …?`, or nothing where nothing is near.
pub(super) fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map_or(String::new(), |(_, name)| format!("; did you mean {name}?"))
}
