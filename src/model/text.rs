//! Text from outside, made harmless for a terminal.
//!
//! Control characters move the cursor or start sequences; bidirectional overrides and invisible
//! characters make one name look like another. Both are replaced by a visible placeholder at
//! ingest, and the finished screen buffer is swept once more.

use serde_json::Value;
use std::borrow::Cow;

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

/// JSON whose strings and names went through [`sanitize`] or [`sanitize_line`]: what another program sent is so
/// before it becomes words. Unchanged where it is no JSON, and almost always since nothing in it is hidden.
#[must_use]
pub fn sanitize_json(json: &str, clean: fn(&str) -> String) -> Cow<'_, str> {
    let escape = |pair: &[u8]| matches!(pair, [b'\\', b'u' | b'b' | b'f' | b'n' | b'r' | b't']);
    let escapes = json.as_bytes().windows(2).any(escape);
    if !escapes && !json.chars().any(|c| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t')) {
        return Cow::Borrowed(json);
    }
    match serde_json::from_str::<Value>(json) {
        Ok(value) => Cow::Owned(sanitized(value, clean).to_string()),
        Err(_) => Cow::Borrowed(json), // whoever reads it says why
    }
}

fn sanitized(value: Value, clean: fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text)),
        Value::Array(all) => all.into_iter().map(|value| sanitized(value, clean)).collect(),
        Value::Object(all) => all.into_iter().map(|(name, value)| (clean(&name), sanitized(value, clean))).collect(),
        other => other,
    }
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
    fn json_is_sanitised_in_its_strings_and_names_and_left_alone_where_nothing_is_hidden() {
        for plain in [r#"{"a":"b\"c\"","n":1.5,"big":18446744073709551615}"#, "no JSON", "\"漢 ✓\""] {
            assert!(matches!(sanitize_json(plain, sanitize), Cow::Borrowed(text) if text == plain), "{plain}");
        }
        for (given, clean) in [
            (r#"["a\u001b[31m","\u009b","x\ty"]"#, "[\"a\u{fffd}[31m\",\"\u{fffd}\",\"x y\"]"),
            ("{\"k\u{202e}\":{\"v\":\"\u{feff}\\n\"}}", "{\"k\u{fffd}\":{\"v\":\"\u{fffd}\\n\"}}"),
            (r#"{"big":18446744073709551615,"t":"\r"}"#, "{\"big\":18446744073709551615,\"t\":\"\u{fffd}\"}"),
        ] {
            assert_eq!(sanitize_json(given, sanitize), clean);
        }
        assert_eq!(sanitize_json(r#"["a\nb"]"#, sanitize_line), r#"["a b"]"#);
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
