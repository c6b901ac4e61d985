//! Typing a line.

use super::Key;
use super::command::UiCommand;
use flightdeck_model::sanitize_line;

/// A line of text that is being typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// What was typed.
    pub text: String,
    /// Byte offset of the cursor; always on a character's edge.
    pub cursor: usize,
}

/// The longest line that can be typed or pasted, bytes.
pub(super) const LONGEST: usize = 1000;

impl Input {
    /// A line with the cursor at its end.
    #[must_use]
    pub fn of(text: impl Into<String>) -> Input {
        let text = text.into();
        Input { cursor: text.len(), text }
    }

    /// Puts text at the cursor, as one line; false if it would make the line too long and was left out.
    pub fn insert(&mut self, text: &str) -> bool {
        let text = sanitize_line(text);
        let fits = self.text.len() + text.len() <= LONGEST;
        if fits {
            self.text.insert_str(self.cursor, &text);
            self.cursor += text.len();
        }
        fits
    }

    /// Carries out a command of typing; false if it is none.
    pub fn edit(&mut self, command: UiCommand) -> bool {
        match command {
            UiCommand::Left => self.cursor = self.before(),
            UiCommand::Right => self.cursor = self.after(),
            UiCommand::LineStart => self.cursor = 0,
            UiCommand::LineEnd => self.cursor = self.text.len(),
            UiCommand::Erase => self.erase(self.before(), self.cursor),
            UiCommand::EraseNext => self.erase(self.cursor, self.after()),
            UiCommand::EraseLine => self.erase(0, self.cursor),
            UiCommand::EraseWord => {
                let left = self.text.get(..self.cursor).unwrap_or_default().trim_end();
                let start = left.rfind(' ').map_or(0, |at| at + 1);
                self.erase(start, self.cursor);
            }
            _ => return false,
        }
        true
    }

    fn erase(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn before(&self) -> usize {
        let left = self.text.get(..self.cursor).unwrap_or_default();
        left.char_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let right = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor + right.chars().next().map_or(0, char::len_utf8)
    }
}

/// Types a key into a line; false if it is no text and no command of typing.
pub(super) fn type_into(input: &mut Input, command: Option<UiCommand>, key: &Key) -> bool {
    if let Some(command) = command {
        return input.edit(command);
    }
    let text = if key.0 == "space" { " " } else { key.0.as_str() };
    let single = text.chars().count() == 1;
    if single {
        input.insert(text);
    }
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_by_characters_not_bytes() {
        use UiCommand as C;
        for (given, commands, text, cursor) in [
            ("größe", vec![C::Left, C::Left, C::Erase], "grße", 2),
            ("größe", vec![C::LineStart, C::Right, C::Right, C::EraseNext], "grße", 2),
            ("env:prod  checkout ", vec![C::EraseWord], "env:prod  ", 10),
            ("abc", vec![C::Left, C::EraseLine], "c", 0),
            ("", vec![C::Erase, C::EraseNext, C::Left, C::Right, C::EraseWord], "", 0),
        ] {
            let mut input = Input::of(given);
            for command in &commands {
                assert!(input.edit(*command));
            }
            assert_eq!((input.text.as_str(), input.cursor), (text, cursor), "{given:?} {commands:?}");
        }
    }

    #[test]
    fn what_is_pasted_is_made_harmless() {
        let mut input = Input::of("ab");
        input.edit(UiCommand::Left);
        input.insert("\u{1b}[2J\nx");
        assert_eq!(input.text, "a\u{fffd}[2J xb");
        input.insert(&"y".repeat(2000));
        assert_eq!(input.text.len(), "a\u{fffd}[2J xb".len());
    }
}
