//! Strings that move a cursor, hide or overlay: what they may do on a screen or in output is nothing.
//! Source of the list: what terminals obey (ECMA-48, xterm's ctlseqs) and what Unicode hides (UAX #9, #44).

use crate::screens::world::{Hub, ago, ask, effects_of, later, live, now, prepared, press, rollout, tell, yes};
use flightdeck::cockpit::app::{Effect, Event, State};
use flightdeck::cockpit::view::{self, Themes};
use flightdeck::model::*;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use std::collections::BTreeSet;
use std::sync::Arc;
use unicode_width::UnicodeWidthStr as _;

/// What is told, by what it does.
pub const HOSTILE: [(&str, &str); 24] = [
    ("clear the screen", "a\u{1b}[2J\u{1b}[Hb"),
    ("colours", "\u{1b}[31;5mred\u{1b}[0m"),
    ("title", "\u{1b}]0;pwned\u{7}x"),
    ("link", "\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\"),
    ("clipboard", "\u{1b}]52;c;cHduZWQ=\u{7}"),
    ("device control", "\u{1b}P$qm\u{1b}\\\u{1b}_apc\u{1b}\\\u{1b}^pm\u{1b}\\"),
    ("c1", "\u{9b}2J\u{9d}0;pwned\u{9c}\u{90}q\u{85}x"),
    ("line ends", "one\r\ntwo\u{b}three\u{c}four\u{85}five\u{2028}six\u{2029}seven"),
    ("carriage return", "shown\rhidden"),
    ("back over it", "abc\u{8}\u{8}\u{8}xyz\u{7f}"),
    ("nothing", "a\0b\u{1}c\u{1f}"),
    ("tabs", "a\tb\t\tc"),
    ("right to left", "pay\u{202e}tnem\u{202c}s\u{2066}x\u{2069}\u{61c}\u{200e}\u{200f}"),
    ("zero width", "che\u{200b}c\u{200c}k\u{200d}o\u{2060}ut\u{ad}"),
    ("byte order mark", "\u{feff}shop\u{feff}"),
    ("tags", "v1\u{e0001}\u{e0041}\u{e0042}\u{e007f}"),
    ("variation", "x\u{fe0f}y\u{fe00}\u{180e}"),
    ("blank letters", "a\u{115f}\u{1160}\u{3164}\u{ffa0}b"),
    ("combining", "z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30a}\u{30b}\u{30c}o"),
    ("a mark alone", "\u{301}\u{20dd}start"),
    ("wide", "漢字かな交じり文です"),
    ("joined emoji", "👩\u{200d}💻👨\u{200d}👩\u{200d}👧 ok"),
    ("flags and skin", "🇩🇪🇫🇷👍🏽"),
    ("long", "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"),
];

/// Characters that are wide alone and narrower together: terminals disagree about them too.
const DISPUTED: &str = "flags and skin";

/// A string of the same displayed width that says nothing: blanks and slashes stay, so that lines break and names
/// are shortened alike.
fn harmless(hostile: &str, letter: char) -> String {
    let clean = sanitize_line(hostile);
    let part = |part: &str| letter.to_string().repeat(part.width());
    let word = |word: &str| word.split('/').map(part).collect::<Vec<_>>().join("/");
    clean.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The first row of the world, with a text in everything that comes from outside.
fn told(text: &str) -> Vec<Entity> {
    let text = |before: &str| format!("{before}{text}");
    let mut row = rollout("local", "checkout", "production", "1.9.0", "1.10.0", 25);
    // The row's place in its list must not depend on the text.
    row.service = text("checkout").as_str().into();
    row.message = text("message ");
    row.author = Some(text("author "));
    row.phase = Phase::Paused;
    row.waits = vec![Wait::Human { what: text("what "), who: Some(text("who ")), since: ago(30) }];
    for arm in &mut row.arms {
        arm.version = text("1.").as_str().into();
    }
    let run = row.run.clone();
    let note = |id: &str, seconds| {
        Entity::Note(Note {
            id: id.into(),
            run: run.clone(),
            at: ago(seconds),
            who: text("w"),
            text: text("note "),
            kind: NoteKind::Event,
        })
    };
    let instance = |id: &str, state| {
        Entity::Instance(Box::new(Instance {
            id: id.into(),
            target: run.target.clone(),
            role: ArmRole::Candidate,
            version: text("1.").as_str().into(),
            pid: Some(4711),
            address: Some(text("127.0.0.1 ")),
            restarts: 1,
            started: Some(ago(100)),
            limits: Vec::new(),
            logs: None,
            draining: None,
            state,
        }))
    };
    let command = Command {
        id: "c-h".into(),
        action: Action::Pause,
        subject: Subject::Run(run.clone()),
        pin: None,
        reason: Some(text("reason ")),
    };
    let receipt = Receipt {
        id: "c-h".into(),
        command,
        actor: Actor { name: text("bob"), uid: Some(1), roles: Vec::new() },
        stages: vec![StageRecord { stage: Stage::Failed { why: text("why ") }, at: ago(20) }],
        forecast: None,
        grade: None,
        targets: Vec::new(),
        sources: Vec::new(),
        created: None,
        left: None,
        outcome: None,
    };
    let mut approval = crate::screens::world::approval(&run, "checkout", "production", "A-1");
    approval.service = text("checkout").as_str().into();
    approval.what = text("what ");
    approval.author = text("author ");
    approval.votes.iter_mut().for_each(|vote| {
        vote.who = text("voter ");
        vote.reason = Some(text("reason "));
    });
    let hold = Hold {
        id: "H-9".into(),
        source: "local".into(),
        selector: Selector { environment: Some("staging".into()), ..Selector::default() },
        owner: text("owner "),
        reason: Some(text("reason ")),
        since: ago(240),
        targets: Vec::new(),
    };
    vec![
        Entity::Rollout(Arc::new(row)),
        note("h1", 3),
        note("h2", 2),
        instance("i4", InstanceState::Ready),
        instance("i5", InstanceState::BackingOff { why: text("why ") }),
        Entity::Receipt(Box::new(receipt)),
        Entity::Approval(Box::new(approval)),
        Entity::Hold(hold),
    ]
}

/// Pages with the text wherever it can be, by name.
fn scenes(before: &State, text: &str) -> Vec<(&'static str, State)> {
    let base = {
        let mut state = before.clone();
        let mut hub = Hub::again(0, "local", 10_000);
        for entity in told(text) {
            hub.upsert(&mut state, entity);
        }
        tell(&mut state, Event::Wake);
        state
    };
    let world = || base.clone();
    let after = |keys: &str| {
        let mut state = world();
        press(&mut state, keys);
        state
    };
    let mut abort = world();
    ask(&mut abort, "a", |query| prepared(query, Friction::Yes));
    later(&mut abort);
    let mut output = after("enter");
    let effects = effects_of(&mut output, Event::Key("l".into()));
    let token = effects.iter().find_map(|effect| match effect {
        Effect::Follow { token, .. } => Some(*token),
        _ => None,
    });
    for _ in 0..3 {
        tell(&mut output, Event::LogLine { token: token.expect("it is followed"), line: format!("line {text}") });
    }
    let mut denied = world();
    let mut hub = Hub::again(0, "local", 20_000);
    hub.send(&mut denied, Body::Link(LinkState::stale(ago(9), format!("why {text}"))));
    tell(&mut denied, Event::Wake);
    let mut said = world();
    tell(&mut said, Event::Reloaded(format!("said {text}")));
    vec![
        ("deck", world()),
        ("rollout", after("enter")),
        ("events", after("enter e")),
        ("approvals", after("2")),
        ("abort", abort),
        ("output", output),
        ("stale", denied),
        ("notice", said),
        ("help", after("?")),
        ("palette", after(": a b o")),
    ]
}

fn draw(state: &State) -> Buffer {
    let themes = Themes::new(&[], true).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(state.columns, state.rows)).unwrap();
    let now = now().to_zoned(TimeZone::UTC);
    terminal.draw(|frame| view::draw(state, &now, themes.get("dark").unwrap(), frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn differ(one: &Buffer, other: &Buffer) -> BTreeSet<(u16, u16)> {
    let area = one.area;
    let cells = (0..area.height).flat_map(|y| (0..area.width).map(move |x| (x, y)));
    cells.filter(|place| one[*place] != other[*place]).collect()
}

fn row_of(buffer: &Buffer, y: u16) -> String {
    (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect()
}

/// No cell holds what a terminal obeys or hides, and none is wider than it is.
fn every_cell_is_plain(what: &str, buffer: &Buffer) {
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            assert_eq!(sanitize_line(symbol), symbol, "{what}: {symbol:?} at {x},{y}");
            let fits = symbol.width() <= 1 || (symbol.width() == 2 && x + 1 < buffer.area.width);
            assert!(fits, "{what}: {symbol:?} at {x},{y} is {} wide", symbol.width());
            if symbol.width() == 2 {
                assert_eq!(buffer[(x + 1, y)].symbol(), " ", "{what}: nothing is under the wide {symbol:?} at {x},{y}");
            }
        }
    }
}

#[test]
fn no_cell_outside_its_own_field_changes() {
    let mut fields = 0;
    let sizes = [(80, 24), (133, 40), (100, 30), (200, 60)];
    // Each string at one of two sizes; all at all of them takes minutes without optimisation.
    let all = std::env::var_os("FLIGHTDECK_EVERY_SIZE").is_some();
    for (size, (columns, rows)) in sizes.into_iter().enumerate().take(if all { 4 } else { 2 }) {
        let before = live(columns, rows);
        for (_, (what, hostile)) in HOSTILE.into_iter().enumerate().filter(|(at, _)| all || at % 2 == size) {
            let plain = scenes(&before, &harmless(hostile, 'x'));
            let other = scenes(&before, &harmless(hostile, 'y'));
            // As the client's end lets it in; and as it would be had that failed.
            let told = scenes(&before, &sanitize_line(hostile));
            let raw = scenes(&before, hostile);
            for ((((scene, plain), (_, other)), (_, told)), (_, raw)) in plain.iter().zip(&other).zip(&told).zip(&raw) {
                let (plain, told) = (draw(plain), draw(told));
                every_cell_is_plain(&format!("raw {what} on {scene} at {columns}x{rows}"), &draw(raw));
                let name = what;
                let what = format!("{what} on {scene} at {columns}x{rows}");
                every_cell_is_plain(&what, &told);
                let own = differ(&plain, &draw(other));
                fields += own.len();
                for (x, y) in differ(&plain, &told) {
                    // Where a field is cut, the mark of the cut and a half of a wide character may lie
                    // one cell beside its last letter.
                    let end = (1..=2).any(|back| x >= back && own.contains(&(x - back, y)));
                    let cut = matches!(told[(x, y)].symbol(), "…" | " ") || matches!(plain[(x, y)].symbol(), "…");
                    let framed = matches!(plain[(x, y)].symbol(), "│" | "─" | "╭" | "╮" | "╰" | "╯" | "┌" | "┐");
                    // A mark joins the letter before it, which is the field's too (and may be all that shows of it).
                    let joined = !framed && told[(x, y)].symbol().starts_with(plain[(x, y)].symbol());
                    // Of these a sentence may be cut a little earlier than it must: only frames count.
                    let disputed = DISPUTED == name && !framed;
                    assert!(
                        own.contains(&(x, y)) || (end && cut) || joined || disputed,
                        "{what}: the cell {x},{y} is not its own:\n{}\n{}",
                        row_of(&plain, y),
                        row_of(&told, y)
                    );
                }
            }
        }
    }
    assert!(fields > 10_000, "the fields are on the screens at all: {fields} cells");
}

#[test]
fn what_is_hidden_in_a_name_stops_a_confirmation_that_raises() {
    for (what, hostile) in HOSTILE {
        let mut state = live(120, 36);
        let mut hub = Hub::again(0, "local", 10_000);
        let mut row = rollout("local", "checkout", "production", "1.9.0", "1.10.0", 25);
        row.service = format!("checkout{hostile}").as_str().into();
        hub.upsert(&mut state, Entity::Rollout(Arc::new(row)));
        tell(&mut state, Event::Wake);
        ask(&mut state, "p", |query| prepared(query, Friction::Yes));
        later(&mut state);
        // The candidate fails, so a reason is asked for.
        press(&mut state, "tab");
        tell(&mut state, Event::Paste("known".to_owned()));
        press(&mut state, "tab");
        let sent = yes(&mut state);
        let sent = sent.iter().any(|effect| matches!(effect, Effect::Submit { .. }));
        assert_eq!(sent, !has_hidden(hostile), "{what}");
    }
}
