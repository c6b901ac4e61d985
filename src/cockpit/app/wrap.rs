//! Texts in lines.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A text in lines of at most so many columns, broken between words; a longer word is broken inside. Never empty.
#[must_use]
pub fn wrap(text: &str, columns: u16) -> Vec<String> {
    let columns = usize::from(columns.max(2));
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    // A number and its percent sign stay together.
    let text = text.replace(" %", "\u{a0}%");
    for word in text.split(' ') {
        let word = word.replace('\u{a0}', " ");
        if !line.is_empty() && line.width() + 1 + word.width() > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if line.width() + c.width().unwrap_or(0) > columns {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_in_long_ones() {
        assert_eq!(wrap("goes to 25 % now", 9), ["goes to", "25 % now"]);
        assert_eq!(wrap("a sha256:abcdef z", 8), ["a", "sha256:a", "bcdef z"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("", 8), [""]);
    }
}
