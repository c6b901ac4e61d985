//! Draws the state; cannot change it.

pub mod theme;

pub use theme::{Scope, Theme, ThemeError, Themes};

use super::app::State;
use jiff::Timestamp;
use ratatui::Frame;

/// Draws everything.
pub fn draw(_state: &State, _now: Timestamp, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    frame.buffer_mut().set_style(area, theme.style(Scope::Text));
}
