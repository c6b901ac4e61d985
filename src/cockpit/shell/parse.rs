//! Bytes of a terminal to events: keys in keymap.toml's notation, pastes, clicks, the wheel.
//! Forms of sequences: ECMA-48; their meanings: xterm's ctlseqs.

use crate::app::{Event, Key};
use flightdeck_model::sanitize_line;

/// Lines that one notch of the wheel moves.
const WHEEL: i16 = 3;
/// Longer sequences mean nothing to anybody.
const LONGEST_SEQUENCE: usize = 64;
/// Longer replies of a terminal (strings such as its colours) mean nothing here.
const LONGEST_STRING: usize = 4096;
/// A paste is cut here; nothing takes so much text.
const LONGEST_PASTE: usize = 1 << 20;
const PASTE_END: &[u8] = b"\x1b[201~";

/// What was found.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    /// An event.
    Event(Event),
    /// Nothing more, for now.
    Nothing,
}

/// Bytes that have come and are not yet understood.
#[derive(Debug, Default)]
pub(super) struct Parser {
    bytes: Vec<u8>,
    pasting: bool,
    /// The Esc key was pressed, as it turned out.
    escape: bool,
}

/// What the bytes begin with.
enum Begin {
    /// So many bytes that mean this.
    Event(usize, Event),
    /// So many bytes that mean nothing here.
    Skip(usize),
    /// A paste begins after so many bytes.
    Paste(usize),
    /// The rest has not come yet.
    Unfinished,
}

impl Parser {
    /// More bytes have come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Does something wait for its rest? A paste may take as long as it likes.
    pub(super) fn is_waiting(&self) -> bool {
        !self.bytes.is_empty() && !self.pasting
    }

    /// The rest won't come: a lone escape byte was the Esc key, anything else means nothing.
    pub(super) fn give_up(&mut self) {
        if !self.pasting {
            self.escape = self.bytes == [0x1b];
            self.bytes.clear();
        }
    }

    /// The next event in what has come.
    pub(super) fn next(&mut self) -> Parsed {
        if std::mem::take(&mut self.escape) {
            return Parsed::Event(key("esc"));
        }
        loop {
            if self.pasting {
                let end = find(&self.bytes, PASTE_END);
                let Some(end) = end.or_else(|| (self.bytes.len() > LONGEST_PASTE).then_some(self.bytes.len())) else {
                    return Parsed::Nothing;
                };
                let text = String::from_utf8_lossy(self.bytes.get(..end).unwrap_or_default()).into_owned();
                self.consume(end + PASTE_END.len());
                self.pasting = false;
                return Parsed::Event(Event::Paste(sanitize_line(&text)));
            }
            match begin(&self.bytes) {
                Begin::Event(length, event) => {
                    self.consume(length);
                    return Parsed::Event(event);
                }
                Begin::Skip(length) => self.consume(length),
                Begin::Paste(length) => {
                    self.consume(length);
                    self.pasting = true;
                }
                Begin::Unfinished => return Parsed::Nothing,
            }
        }
    }

    fn consume(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn key(name: impl Into<String>) -> Event {
    Event::Key(Key(name.into()))
}

fn begin(bytes: &[u8]) -> Begin {
    match bytes {
        [] | [0x1b] => Begin::Unfinished,
        [0x1b, 0x1b, ..] => Begin::Event(1, key("esc")),
        [0x1b, b'[', rest @ ..] => control_sequence(rest),
        [0x1b, b'O', rest @ ..] => match rest {
            [] => Begin::Unfinished,
            [last, ..] => named(*last, 0).map_or(Begin::Skip(3), |event| Begin::Event(3, event)),
        },
        [0x1b, b']' | b'P' | b'X' | b'^' | b'_', rest @ ..] => string(rest),
        [0x1b, rest @ ..] => match character(rest) {
            Character::Is(length, name) => Begin::Event(1 + length, key(with_alt(&name))),
            Character::Unfinished => Begin::Unfinished,
            Character::None(length) => Begin::Skip(1 + length),
        },
        rest => match character(rest) {
            Character::Is(length, name) => Begin::Event(length, key(name)),
            Character::Unfinished => Begin::Unfinished,
            Character::None(length) => Begin::Skip(length),
        },
    }
}

/// `ctrl-` comes before `alt-` in the keymap's notation.
fn with_alt(name: &str) -> String {
    name.strip_prefix("ctrl-").map_or_else(|| format!("alt-{name}"), |rest| format!("ctrl-alt-{rest}"))
}

enum Character {
    Is(usize, String),
    Unfinished,
    None(usize),
}

fn character(bytes: &[u8]) -> Character {
    let Some(first) = bytes.first() else { return Character::Unfinished };
    let name = match first {
        b'\r' => "enter".to_owned(),
        b'\t' => "tab".to_owned(),
        b' ' => "space".to_owned(),
        0x7f => "backspace".to_owned(),
        0 => "ctrl-space".to_owned(),
        1..=26 => format!("ctrl-{}", char::from(first - 1 + b'a')),
        0x1b..=0x1f => return Character::None(1),
        0x21..=0x7e => char::from(*first).to_string(),
        _ => return beyond_ascii(bytes, *first),
    };
    Character::Is(1, name)
}

fn beyond_ascii(bytes: &[u8], first: u8) -> Character {
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Character::None(1),
    };
    let Some(bytes) = bytes.get(..length) else {
        let rest_fits = bytes.iter().skip(1).all(|byte| (0x80..0xc0).contains(byte));
        return if rest_fits { Character::Unfinished } else { Character::None(1) };
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if !flightdeck_model::has_hidden(text) => Character::Is(length, text.to_owned()),
        Ok(_) => Character::None(length),
        Err(_) => Character::None(1),
    }
}

/// `ESC [ parameters final`; anything else in between breaks it off.
fn control_sequence(rest: &[u8]) -> Begin {
    let Some(end) = rest.iter().position(|byte| !(0x20..0x40).contains(byte)) else {
        return if rest.len() > LONGEST_SEQUENCE { Begin::Skip(2 + rest.len()) } else { Begin::Unfinished };
    };
    let last = rest.get(end).copied().unwrap_or_default();
    if !(0x40..0x7f).contains(&last) {
        return Begin::Skip(2 + end);
    }
    let length = 2 + end + 1;
    let parameters = rest.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("");
    if (parameters, last) == ("200", b'~') {
        return Begin::Paste(length);
    }
    meaning(parameters, last).map_or(Begin::Skip(length), |event| Begin::Event(length, event))
}

fn meaning(parameters: &str, last: u8) -> Option<Event> {
    if let Some(mouse) = parameters.strip_prefix('<') {
        return (last == b'M').then(|| pressed(mouse)).flatten();
    }
    let numbers: Vec<u16> = parameters.split(';').map(|number| number.parse().unwrap_or(0)).collect();
    let first = numbers.first().copied().unwrap_or(0);
    let modifiers = numbers.get(1).map_or(0, |number| number.saturating_sub(1));
    match last {
        b'~' => {
            let name = match first {
                1 | 7 => "home",
                2 => "insert",
                3 => "delete",
                4 | 8 => "end",
                5 => "pgup",
                6 => "pgdn",
                11..=15 => return Some(modified(&format!("f{}", first - 10), modifiers)),
                17..=21 => return Some(modified(&format!("f{}", first - 11), modifiers)),
                23 | 24 => return Some(modified(&format!("f{}", first - 12), modifiers)),
                _ => return None,
            };
            Some(modified(name, modifiers))
        }
        b'Z' => Some(key("shift-tab")),
        // A report of the cursor's place looks like F3 with modifiers, except for its row.
        b'R' if first != 1 || numbers.len() != 2 => None,
        _ if first <= 1 => named(last, modifiers),
        _ => None,
    }
}

/// A key by the last byte of its sequence.
fn named(last: u8, modifiers: u16) -> Option<Event> {
    let name = match last {
        b'A' => "up",
        b'B' => "down",
        b'C' => "right",
        b'D' => "left",
        b'H' => "home",
        b'F' => "end",
        b'P' => "f1",
        b'Q' => "f2",
        b'R' => "f3",
        b'S' => "f4",
        _ => return None,
    };
    Some(modified(name, modifiers))
}

/// Bits: 1 shift, 2 alt, 4 ctrl.
fn modified(name: &str, modifiers: u16) -> Event {
    let word = |bit: u16, word: &'static str| if modifiers & bit == 0 { "" } else { word };
    key(format!("{}{}{}{name}", word(4, "ctrl-"), word(2, "alt-"), word(1, "shift-")))
}

/// A button was pressed or the wheel turned: `button;column;row`, counted from 1.
fn pressed(report: &str) -> Option<Event> {
    let mut numbers = report.split(';').map(|number| number.parse::<u16>().ok());
    let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
    // Shift, alt and ctrl are bits of the button.
    let (column, row) = (column.checked_sub(1)?, row.checked_sub(1)?);
    match button & !0b1_1100 {
        0 => Some(Event::Click { column, row }),
        64 => Some(Event::Scroll { lines: -WHEEL, at: (column, row) }),
        65 => Some(Event::Scroll { lines: WHEEL, at: (column, row) }),
        _ => None,
    }
}

/// A terminal's answer, up to BEL or `ESC \`; an escape byte that begins something else breaks it off.
fn string(rest: &[u8]) -> Begin {
    match rest.iter().position(|byte| matches!(byte, 0x07 | 0x1b)) {
        Some(end) if rest.get(end) == Some(&0x07) => Begin::Skip(2 + end + 1),
        Some(end) => match rest.get(end + 1) {
            Some(b'\\') => Begin::Skip(2 + end + 2),
            Some(_) => Begin::Skip(2 + end),
            None => Begin::Unfinished,
        },
        None if rest.len() > LONGEST_STRING => Begin::Skip(2 + rest.len()),
        None => Begin::Unfinished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parser: &mut Parser) -> Vec<String> {
        let mut events = Vec::new();
        while let Parsed::Event(event) = parser.next() {
            events.push(match event {
                Event::Key(key) => key.0,
                other => format!("{other:?}"),
            });
        }
        events
    }

    #[test]
    fn keys_are_written_as_in_the_keymap() {
        for (bytes, expected) in [
            ("pG", vec!["p", "G"]),
            ("\r\t \x7f", vec!["enter", "tab", "space", "backspace"]),
            ("\x12\x03\x08", vec!["ctrl-r", "ctrl-c", "ctrl-h"]),
            ("\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[3~", vec!["up", "down", "pgup", "pgdn", "delete"]),
            ("\x1b[Z\x1b[1;5C\x1b[1;4A\x1b[3;2~", vec!["shift-tab", "ctrl-right", "alt-shift-up", "shift-delete"]),
            ("\x1bx\x1b\x12\x1bOP\x1b[15~\x1b[24~", vec!["alt-x", "ctrl-alt-r", "f1", "f5", "f12"]),
            ("ä漢", vec!["ä", "漢"]),
            ("\x1b\x1b[A", vec!["esc", "up"]),
        ] {
            let mut parser = Parser::default();
            parser.push(bytes.as_bytes());
            assert_eq!(all(&mut parser), expected, "{bytes:?}");
            assert!(!parser.is_waiting(), "{bytes:?}");
            // Byte by byte it is the same.
            let mut slow = Parser::default();
            let mut events = Vec::new();
            for byte in bytes.bytes() {
                slow.push(&[byte]);
                events.extend(all(&mut slow));
            }
            assert_eq!(events, expected, "{bytes:?} byte by byte");
        }
        for (_, name) in [("", "ctrl-alt-r"), ("", "alt-shift-up"), ("", "shift-tab"), ("", "f12")] {
            assert_eq!(crate::app::keymap::parse_key(name), Ok(Key(name.to_owned())));
        }
    }

    #[test]
    fn the_escape_key_is_known_when_nothing_follows() {
        let mut parser = Parser::default();
        parser.push(b"\x1b");
        assert!(all(&mut parser).is_empty() && parser.is_waiting());
        parser.give_up();
        assert_eq!(all(&mut parser), ["esc"]);
        assert!(all(&mut parser).is_empty());
    }

    #[test]
    fn the_mouse_clicks_and_scrolls() {
        let mut parser = Parser::default();
        parser.push(b"\x1b[<0;12;5M\x1b[<0;12;5m\x1b[<64;1;1M\x1b[<65;1;1M\x1b[<2;3;3M\x1b[<0;0;0M");
        let expected =
            ["Click { column: 11, row: 4 }", "Scroll { lines: -3, at: (0, 0) }", "Scroll { lines: 3, at: (0, 0) }"];
        assert_eq!(all(&mut parser), expected);
    }

    #[test]
    fn pasted_text_is_one_harmless_event() {
        let mut parser = Parser::default();
        parser.push(b"\x1b[200~check\nout\x1b[31m");
        assert!(all(&mut parser).is_empty() && !parser.is_waiting(), "a paste has time");
        parser.push(b"ay\x1b[20");
        assert!(all(&mut parser).is_empty());
        parser.push(b"1~a");
        assert_eq!(all(&mut parser), ["Paste(\"check out\u{fffd}[31may\")", "a"]);
    }

    #[test]
    fn what_a_terminal_answers_is_no_key_and_takes_none_along() {
        for bytes in [
            "\x1b[?62;22c",
            "\x1b]11;rgb:0/0/0\x1b\\",
            "\x1b]11;rgb:0/0/0\x07",
            "\x1b[12;40R",
            "\x1b[?2026;2$y",
            "\x1b[I\x1b[O",
            "\x1bP>|xterm\x1b\\",
            "\x1b[201~",
            // Broken off: the key that breaks it off is still a key.
            "\x1b[<0;1\x1b[<0;1",
            "\x1b]0;title\x1b[<0;1",
            "\u{1f}",
        ] {
            let mut parser = Parser::default();
            parser.push(bytes.as_bytes());
            all(&mut parser);
            parser.give_up();
            parser.push(b"a");
            assert_eq!(all(&mut parser), ["a"], "{bytes:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_stand_still_or_grow() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut parser = Parser::default();
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(1..20)).map(|_| random.u8(..)).collect();
            parser.push(&bytes);
            all(&mut parser);
            parser.give_up();
            assert!(parser.bytes.len() < LONGEST_PASTE + 100);
        }
        parser.push(b"\x1b[201~");
        all(&mut parser);
        parser.push(b"a");
        assert_eq!(all(&mut parser).last().map(String::as_str), Some("a"));
    }
}
