//! What comes from the terminal, as events.

use crate::cockpit::app::{Event, Key};
use crate::model::sanitize_line;
use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind};

/// Lines that one notch of the wheel moves.
const WHEEL: i16 = 3;

/// The cockpit's event for one of the terminal; `None` for what means nothing to it. The size of
/// the window is told by a signal of its own.
pub(super) fn translate(event: event::Event) -> Option<Event> {
    match event {
        event::Event::Key(key) if key.kind != KeyEventKind::Release => notation(key).map(Event::Key),
        event::Event::Paste(text) => Some(Event::Paste(sanitize_line(&text))),
        event::Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Event::Click { column: mouse.column, row: mouse.row }),
            MouseEventKind::ScrollUp => Some(Event::Scroll { lines: -WHEEL }),
            MouseEventKind::ScrollDown => Some(Event::Scroll { lines: WHEEL }),
            _ => None,
        },
        _ => None,
    }
}

/// A key press in keymap.toml's notation. Shift is said by the letter itself.
fn notation(key: KeyEvent) -> Option<Key> {
    let name = match key.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => c.to_lowercase().to_string(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Tab => "tab".to_owned(),
        KeyCode::BackTab => "shift-tab".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Delete => "delete".to_owned(),
        KeyCode::Insert => "insert".to_owned(),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::PageUp => "pgup".to_owned(),
        KeyCode::PageDown => "pgdn".to_owned(),
        KeyCode::F(number) => format!("f{number}"),
        _ => return None,
    };
    let ctrl = if key.modifiers.contains(KeyModifiers::CONTROL) { "ctrl-" } else { "" };
    let alt = if key.modifiers.contains(KeyModifiers::ALT) { "alt-" } else { "" };
    let named = !matches!(key.code, KeyCode::Char(_) | KeyCode::BackTab);
    let shift = if named && key.modifiers.contains(KeyModifiers::SHIFT) { "shift-" } else { "" };
    Some(Key(format!("{ctrl}{alt}{shift}{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_in_the_keymap() {
        let none = KeyModifiers::NONE;
        for (code, modifiers, text) in [
            (KeyCode::Char('p'), none, "p"),
            (KeyCode::Char('G'), KeyModifiers::SHIFT, "G"),
            (KeyCode::Char('r'), KeyModifiers::CONTROL, "ctrl-r"),
            (KeyCode::Char('R'), KeyModifiers::CONTROL | KeyModifiers::SHIFT, "ctrl-r"),
            (KeyCode::Char('x'), KeyModifiers::ALT, "alt-x"),
            (KeyCode::Char(' '), none, "space"),
            (KeyCode::PageDown, none, "pgdn"),
            (KeyCode::BackTab, KeyModifiers::SHIFT, "shift-tab"),
            (KeyCode::Up, KeyModifiers::SHIFT | KeyModifiers::ALT, "alt-shift-up"),
            (KeyCode::F(1), none, "f1"),
        ] {
            assert_eq!(notation(KeyEvent::new(code, modifiers)), Some(Key(text.to_owned())), "{code:?}");
        }
        assert_eq!(notation(KeyEvent::new(KeyCode::CapsLock, none)), None);
    }

    #[test]
    fn pasted_text_is_one_harmless_event() {
        let event = translate(event::Event::Paste("checkout\n\u{1b}[31m".into()));
        assert_eq!(event, Some(Event::Paste("checkout \u{fffd}[31m".into())));
    }
}
