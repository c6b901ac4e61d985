//! Data on stdout, words on stderr. A reader that went away is no error.

use super::Failure;
use crate::model::{escape_hidden, sanitize, sanitize_line};
use clap::ValueEnum;
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use unicode_width::UnicodeWidthStr as _;

/// How data is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document (`watch`: one for each line).
    Json,
    /// One YAML document.
    Yaml,
    /// Only names or ids, one a line.
    Name,
}

/// A colour with a meaning; what it says is always in the words as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// No colour.
    Plain,
    /// As it should be.
    Good,
    /// Wants a look.
    Warn,
    /// Is wrong.
    Bad,
    /// Less important.
    Dim,
}

impl Tone {
    const fn sequence(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Good => "\x1b[32m",
            Tone::Warn => "\x1b[33m",
            Tone::Bad => "\x1b[31m",
            Tone::Dim => "\x1b[2m",
        }
    }
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What it says; sanitised when it is written.
    pub text: String,
    /// In which tone.
    pub tone: Tone,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: text.into(), tone: Tone::Plain }
    }
}

/// Rows under their heads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub heads: &'static [&'static str],
    /// Rows with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How data is written.
    pub format: Format,
    /// May stdout be coloured?
    pub color: bool,
}

impl Output {
    /// Colour only for a terminal, and not where `NO_COLOR` or the command line says no.
    #[must_use]
    pub fn new(format: Format, no_color: bool) -> Output {
        let unwanted = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Output { format, color: !unwanted && std::io::stdout().is_terminal() }
    }

    /// Text in a tone, if there is colour at all.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if self.color && tone != Tone::Plain { format!("{}{text}\x1b[0m", tone.sequence()) } else { text.to_owned() }
    }

    /// Columns of equal width, two spaces between; nothing at the ends of lines.
    #[must_use]
    pub fn columns(&self, table: &Table) -> String {
        let clean: Vec<Vec<(String, Tone)>> = table
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| (sanitize_line(&cell.text), cell.tone)).collect())
            .collect();
        let heads = table.heads.iter().map(|head| ((*head).to_owned(), Tone::Dim)).collect::<Vec<_>>();
        let lines = std::iter::once(&heads).filter(|heads| !heads.is_empty()).chain(&clean);
        let mut widths: Vec<usize> = Vec::new();
        for row in lines.clone() {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, (text, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.width());
            }
        }
        let mut out = String::new();
        for row in lines {
            let mut line = String::new();
            let mut owed = 0;
            for ((text, tone), width) in row.iter().zip(&widths) {
                line.extend(std::iter::repeat_n(' ', owed));
                line.push_str(&self.paint(*tone, text));
                owed = width.saturating_sub(text.width()) + 2;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// Writes data in the chosen format: a table, the whole as JSON or YAML, or the names.
    pub fn data<T: Serialize>(&self, data: &T, table: &Table, names: &[String]) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&self.columns(table)),
            Format::Name => print_lines(&names.iter().map(|name| sanitize_line(name)).collect::<Vec<_>>()),
            Format::Json | Format::Yaml => self.document(data),
        }
    }

    /// Writes data as one document: YAML if that is chosen, else JSON.
    pub fn document<T: Serialize>(&self, data: &T) -> Result<(), Failure> {
        let text = match self.format {
            Format::Yaml => serde_saphyr::to_string(data)
                .map(|text| sanitize(&text))
                .map_err(|error| Failure::failed(format!("this can't be written as YAML: {error}")))?,
            _ => serde_json::to_string_pretty(data)
                .map(|text| escape_hidden(&text))
                .map_err(|error| Failure::failed(format!("this can't be written as JSON: {error}")))?,
        };
        print(&text)?;
        if text.ends_with('\n') { Ok(()) } else { print("\n") }
    }
}

/// Writes to stdout as it is. A broken pipe ends the program quietly: the reader has enough.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::failed(format!("cannot write to stdout: {error}"))),
    }
}

/// Writes lines to stdout.
pub fn print_lines<S: AsRef<str>>(lines: &[S]) -> Result<(), Failure> {
    print(&lines.iter().fold(String::new(), |text, line| text + line.as_ref() + "\n"))
}

/// Says something to the person. Where nobody can hear it, nothing is lost but words.
pub fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(writeln!(stderr, "{}", sanitize(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_width_and_hostile_text_is_shown_harmless() {
        let output = Output { format: Format::Table, color: false };
        let table = Table {
            heads: &["NAME", "WHAT"],
            rows: vec![vec!["漢字".into(), "a\u{1b}[31m".into()], vec!["checkout".into(), "".into()]],
        };
        assert_eq!(output.columns(&table), "NAME      WHAT\n漢字      a\u{fffd}[31m\ncheckout\n");
    }

    #[test]
    fn colour_is_only_added_where_it_is_wanted() {
        for (color, painted) in [(true, "\x1b[31mx\x1b[0m"), (false, "x")] {
            assert_eq!(Output { format: Format::Table, color }.paint(Tone::Bad, "x"), painted);
        }
    }
}
