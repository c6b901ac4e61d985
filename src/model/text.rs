//! Text from outside, made harmless for a terminal.
//!
//! Control characters move the cursor or start sequences; bidirectional overrides and invisible
//! characters make one name look like another. Both are replaced by a visible placeholder at
//! ingest, and the finished screen buffer is swept once more.

/// What stands where something was taken out.
const PLACEHOLDER: char = '\u{fffd}';
/// More combining marks than this on one character are dropped.
const MAX_MARKS: usize = 4;

/// C0, DEL, C1, bidi controls, zero-width and other invisible characters.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{ad}' | '\u{2028}' | '\u{2029}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' | '\u{180e}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

/// Does it hold a character that can't be seen for what it is? A confirmation is refused then.
#[must_use]
pub fn has_hidden(text: &str) -> bool {
    text.chars().any(|c| is_hidden(c) || c == PLACEHOLDER)
}

fn clean(text: &str, keep: impl Fn(char) -> Option<char>) -> String {
    let mut marks = 0;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = keep(c).unwrap_or(if is_hidden(c) { PLACEHOLDER } else { c });
        let mark = unicode_width::UnicodeWidthChar::width(c) == Some(0) && c != '\n';
        marks = if mark { marks + 1 } else { 0 };
        if marks <= MAX_MARKS {
            out.push(c);
        }
    }
    out
}

/// Text of several lines: line feeds stay, tabs become spaces, all else hidden becomes `�`.
#[must_use]
pub fn sanitize(text: &str) -> String {
    clean(text, |c| match c {
        '\n' => Some('\n'),
        '\t' => Some(' '),
        _ => None,
    })
}

/// One line: line feeds and tabs become spaces, all else hidden becomes `�`.
#[must_use]
pub fn sanitize_line(text: &str) -> String {
    clean(text, |c| matches!(c, '\n' | '\t').then_some(' '))
}

/// JSON, or a piece of it, with each character that can't be seen written as `\uXXXX`, which means the same;
/// line feeds stay.
#[must_use]
pub fn escape_hidden(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_invisible_characters_become_visible() {
        for (given, line) in [
            ("plain 1.10.0", "plain 1.10.0"),
            ("a\tb\nc", "a b c"),
            ("\u{1b}]52;c;AAAA\u{7}", "\u{fffd}]52;c;AAAA\u{fffd}"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("pay\u{202e}stnem", "pay\u{fffd}stnem"),
            ("a\u{200b}b", "a\u{fffd}b"),
            ("e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}x", "e\u{301}\u{301}\u{301}\u{301}x"),
            ("漢字 ✓", "漢字 ✓"),
        ] {
            assert_eq!(sanitize_line(given), line, "{given:?}");
        }
        assert_eq!(sanitize("a\tb\nc\r"), "a b\nc\u{fffd}");
    }

    #[test]
    fn escaped_json_says_the_same_and_hides_nothing() {
        let text = "a\u{9b}31m\u{202e}b\u{e0041}\u{feff}é";
        let json = serde_json::to_string(text).unwrap();
        let escaped = escape_hidden(&json);
        assert_eq!(escaped, r#""a\u009b31m\u202eb\udb40\udc41\ufeffé""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }

    #[test]
    fn hidden_characters_are_found_before_and_after_cleaning() {
        assert!(has_hidden("che\u{200d}ckout") && has_hidden(&sanitize_line("che\u{200d}ckout")));
        assert!(!has_hidden("checkout-2 ü 漢"));
    }
}
