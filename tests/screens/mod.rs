//! Every page at every size: what a person sees, as text.

mod world;

use flightdeck::cockpit::app::State;
use flightdeck::cockpit::view::{self, Themes};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use world::*;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 36), (200, 60)];

fn buffer(state: &State, theme: &str, color: bool) -> Buffer {
    let themes = Themes::new(&[], color).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(state.columns, state.rows)).unwrap();
    let now = now().to_zoned(TimeZone::UTC);
    let theme = themes.get(theme).unwrap();
    terminal.draw(|frame| view::draw(state, &now, theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol)).unwrap().max(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn screen(state: &State) -> String {
    text(&buffer(state, "dark", true))
}

#[test]
fn look() {
    let (c, r) = std::env::var("SIZE")
        .ok()
        .and_then(|s| s.split_once('x').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())))
        .unwrap_or((120, 36));
    let which = std::env::var("WHICH").unwrap_or_default();
    let mut state = match which.as_str() {
        "empty" => empty(c, r),
        "stale" => stale(c, r),
        "crowd" => crowd(c, r),
        _ => live(c, r),
    };
    if let Ok(keys) = std::env::var("KEYS") {
        press(&mut state, &keys);
    }
    println!("{}", screen(&state));
}
