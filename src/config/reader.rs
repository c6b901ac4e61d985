//! Walks a TOML document with the place of every value at hand and notes what is wrong.

use super::error::{ConfigError, Problem, nearest};
use flightdeck_model::sanitize_line;
use jiff::SignedDuration;
use std::cell::{Cell, RefCell};
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest duration that a configuration may name: one leap year.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Problems that are told; the rest is only counted, so that a text that is wrong throughout costs no more
/// than one that is wrong in a hundred places.
const MOST_PROBLEMS: usize = 100;
/// Entries of one table or list.
const MOST_ENTRIES: usize = 1000;
/// Characters of a key or a sentence in a problem.
const MOST_WORDS: usize = 400;

/// Collects what is wrong with one text.
pub(super) struct Report<'d> {
    file: String,
    text: &'d str,
    problems: RefCell<Vec<Problem>>,
    untold: Cell<usize>,
}

impl<'d> Report<'d> {
    pub(super) fn new(file: &Path, text: &'d str) -> Report<'d> {
        Report {
            file: sanitize_line(&file.display().to_string()),
            text,
            problems: RefCell::default(),
            untold: Cell::new(0),
        }
    }

    /// Is there so much wrong that nothing more is told?
    fn is_full(&self) -> bool {
        self.problems.borrow().len() >= MOST_PROBLEMS
    }

    /// Notes one problem at a byte range of the text.
    pub(super) fn note(&self, span: &Range<usize>, key: &str, what: &str, suggestion: Option<String>) {
        if self.is_full() {
            self.untold.set(self.untold.get() + 1);
            return;
        }
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self.problems.borrow_mut().push(Problem {
            file: self.file.clone(),
            place: Some((line, column)),
            key: sanitize_line(short(key)),
            what: sanitize_line(short(what)),
            suggestion: suggestion.map(|text| sanitize_line(&text)),
        });
    }

    /// File and line of a byte range.
    pub(super) fn place(&self, span: &Range<usize>) -> (String, usize) {
        (self.file.clone(), self.text.get(..span.start).unwrap_or(self.text).matches('\n').count() + 1)
    }

    /// The result: everything or nothing.
    pub(super) fn finish<T>(self, result: Option<T>) -> Result<T, ConfigError> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| (a.place, &a.key).cmp(&(b.place, &b.key)));
        if self.untold.get() > 0 {
            let what = format!("{} more problems are not listed", self.untold.get());
            problems.push(Problem { file: self.file, place: None, key: String::new(), what, suggestion: None });
        }
        match result {
            Some(result) if problems.is_empty() => Ok(result),
            _ => Err(ConfigError { problems }),
        }
    }
}

/// The beginning of what may be very long.
fn short(text: &str) -> &str {
    text.char_indices().nth(MOST_WORDS).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Parses; on a syntax error all of these are noted and nothing else is looked at.
pub(super) fn document<'d>(text: &'d str, report: &Report<'_>) -> Option<Spanned<DeTable<'d>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        report.note(&error.span().unwrap_or(0..0), "", &error.message().replace('\n', ", "), None);
    }
    errors.is_empty().then_some(document)
}

/// A table with the path that led to it.
#[derive(Clone)]
pub(super) struct Table<'d> {
    entries: &'d DeTable<'d>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
    report: &'d Report<'d>,
}

/// A value with the path that led to it.
#[derive(Clone)]
pub(super) struct Value<'d> {
    node: &'d DeValue<'d>,
    pub(super) span: Range<usize>,
    /// Where its key stands; an array's element has its own place.
    pub(super) key_span: Range<usize>,
    pub(super) path: String,
    report: &'d Report<'d>,
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'d> Table<'d> {
    /// The document itself; keys other than these are noted.
    pub(super) fn root(document: &'d Spanned<DeTable<'d>>, report: &'d Report<'d>, known: &[&str]) -> Table<'d> {
        let table = Table::whole(document, report);
        table.only(known);
        table
    }

    /// The document itself, with any keys.
    pub(super) fn whole(document: &'d Spanned<DeTable<'d>>, report: &'d Report<'d>) -> Table<'d> {
        Table { entries: document.get_ref(), span: document.span(), path: String::new(), report }
    }

    fn only(&self, known: &[&str]) {
        for key in self.entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let what = format!("unknown key, expected {}", alternatives(known));
            self.report.note(
                &key.span(),
                &join(&self.path, name),
                &what,
                nearest(name, known.iter().copied()).map(quoted),
            );
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<Value<'d>> {
        self.entries.get_key_value(key).map(|(name, node)| self.value(name, node))
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str, expected: &str) -> Option<Value<'d>> {
        let value = self.get(key);
        if value.is_none() {
            let path = join(&self.path, key);
            self.report.note(&self.span, &path, &format!("expected {expected}, found nothing"), None);
        }
        value
    }

    /// Every key with its value, in the order of the names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, Value<'d>)> {
        self.entries.iter().map(|(name, node)| (name.get_ref().as_ref(), self.value(name, node)))
    }

    /// How many keys.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes a problem with the table as a whole.
    pub(super) fn wrong(&self, what: &str) {
        self.report.note(&self.span, &self.path, what, None);
    }

    fn value(&self, name: &Spanned<std::borrow::Cow<'d, str>>, node: &'d Spanned<DeValue<'d>>) -> Value<'d> {
        Value {
            node: node.get_ref(),
            span: node.span(),
            key_span: name.span(),
            path: join(&self.path, name.get_ref()),
            report: self.report,
        }
    }
}

impl<'d> Value<'d> {
    /// Notes what was expected instead of this value.
    pub(super) fn expected(&self, expected: &str, suggestion: Option<String>) {
        self.wrong(&format!("expected {expected}, found {}", self.found()), suggestion);
    }

    /// Notes a problem in other words.
    pub(super) fn wrong(&self, what: &str, suggestion: Option<String>) {
        self.report.note(&self.span, &self.path, what, suggestion);
    }

    /// Notes a problem with the key, not the value.
    pub(super) fn wrong_key(&self, what: &str, suggestion: Option<String>) {
        self.report.note(&self.key_span, &self.path, what, suggestion);
    }

    fn found(&self) -> String {
        match self.node {
            DeValue::String(text) if text.chars().count() > 60 => {
                format!("{:?}…", text.chars().take(60).collect::<String>())
            }
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => format!("the integer {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(at) => format!("the date {at}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// A table with these keys at most.
    pub(super) fn table(&self, known: &[&str]) -> Option<Table<'d>> {
        let table = self.map()?;
        table.only(known);
        Some(table)
    }

    /// A table with any keys.
    pub(super) fn map(&self) -> Option<Table<'d>> {
        let Some(entries) = self.node.as_table() else {
            self.expected("a table", None);
            return None;
        };
        self.few(entries.len())?;
        Some(Table { entries, span: self.key_span.clone(), path: self.path.clone(), report: self.report })
    }

    /// `None` (noted) if it has more entries than anybody writes by hand.
    fn few(&self, entries: usize) -> Option<()> {
        if entries > MOST_ENTRIES {
            self.wrong(&format!("expected at most {MOST_ENTRIES} entries, found {entries}"), None);
            return None;
        }
        Some(())
    }

    /// The known word that looks most like this one. Not looked for once nothing more is told.
    pub(super) fn nearest<'a>(&self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        if self.report.is_full() { None } else { nearest(word, known) }
    }

    /// Is it a table? Not noted if not.
    pub(super) fn is_table(&self) -> bool {
        self.node.is_table()
    }

    /// Is it text? Not noted if not.
    pub(super) fn is_text(&self) -> bool {
        self.node.is_str()
    }

    /// Is it text that holds this?
    pub(super) fn says(&self, part: &str) -> bool {
        self.node.as_str().is_some_and(|text| text.contains(part))
    }

    /// The elements of a list.
    pub(super) fn list(&self, expected: &str) -> Option<Vec<Value<'d>>> {
        if !self.node.is_array() {
            self.expected(expected, None);
            return None;
        }
        self.few(self.node.as_array().map_or(0, |elements| elements.len()))?;
        Some(self.elements())
    }

    /// The elements of a list; of anything else none.
    pub(super) fn elements(&self) -> Vec<Value<'d>> {
        let Some(elements) = self.node.as_array() else { return Vec::new() };
        elements
            .iter()
            .enumerate()
            .map(|(index, node)| Value {
                node: node.get_ref(),
                span: node.span(),
                key_span: node.span(),
                path: format!("{}[{index}]", self.path),
                report: self.report,
            })
            .collect()
    }

    /// The value as JSON; dates as text.
    pub(super) fn json(&self) -> serde_json::Value {
        json(self.node)
    }

    /// Text without control characters.
    pub(super) fn text(&self, expected: &str) -> Option<&'d str> {
        match self.node.as_str() {
            Some(text) if !text.chars().any(char::is_control) => Some(text),
            Some(_) => {
                self.expected(&format!("{expected} without control characters"), None);
                None
            }
            None => {
                self.expected(expected, None);
                None
            }
        }
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let expected = alternatives(&names);
        let text = self.text(&expected)?;
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            self.expected(&expected, nearest(text, names).map(quoted));
        }
        found
    }

    /// True or false.
    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.node.as_bool();
        if flag.is_none() {
            let meant = match self.node.as_str() {
                Some("true" | "yes" | "on") => Some("true".to_owned()),
                Some("false" | "no" | "off") => Some("false".to_owned()),
                _ => None,
            };
            self.expected("true or false", meant);
        }
        flag
    }

    fn integer(&self) -> Option<i64> {
        let number = self.node.as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// A whole number within bounds.
    pub(super) fn count(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let number =
            self.integer().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if number.is_none() {
            self.expected(&format!("a whole number from {} to {}", range.start(), range.end()), None);
        }
        number
    }

    /// A number, whole or not; not noted if it is none.
    pub(super) fn number(&self) -> Option<f64> {
        if let Some(number) = self.integer() {
            return i32::try_from(number).ok().map(f64::from);
        }
        self.node.as_float().and_then(|number| number.as_str().parse::<f64>().ok()).filter(|number| number.is_finite())
    }

    /// A duration such as `1m30s`, within bounds.
    pub(super) fn duration(&self, least: SignedDuration) -> Option<SignedDuration> {
        let expected = format!("a duration such as \"1m30s\" from {least:#} to 366 days");
        let parsed = self.node.as_str().and_then(|text| text.parse::<SignedDuration>().ok());
        let parsed = parsed.filter(|duration| (least..=LONGEST).contains(duration));
        if parsed.is_none() {
            let seconds = self.integer().filter(|seconds| *seconds > 0).map(|seconds| format!("\"{seconds}s\""));
            self.expected(&expected, seconds);
        }
        parsed
    }

    /// A share such as `0.5%`, as a ratio from 0 to 1.
    pub(super) fn percentage(&self) -> Option<f64> {
        let ratio = self
            .node
            .as_str()
            .and_then(|text| text.strip_suffix('%'))
            .and_then(|digits| digits.trim_end().parse::<f64>().ok())
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| percent / 100.0);
        if ratio.is_none() {
            let meant =
                self.number().filter(|number| (0.0..=100.0).contains(number)).map(|number| format!("\"{number}%\""));
            self.expected("a percentage from \"0%\" to \"100%\"", meant);
        }
        ratio
    }
}

fn json(node: &DeValue<'_>) -> serde_json::Value {
    match node {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().into(),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(at) => at.to_string().into(),
        DeValue::Array(elements) => elements.iter().map(|element| json(element.get_ref())).collect(),
        DeValue::Table(entries) => {
            entries.iter().map(|(name, value)| (name.get_ref().to_string(), json(value.get_ref()))).collect()
        }
    }
}

/// `"a", "b" or "c"`.
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => format!("{only:?}"),
        [first @ .., last] => {
            let quoted: Vec<_> = first.iter().map(|word| format!("{word:?}")).collect();
            format!("{} or {last:?}", quoted.join(", "))
        }
    }
}

/// In quotes, as a suggestion is shown.
pub(super) fn quoted(word: &str) -> String {
    format!("{word:?}")
}
