//! What lies over a page: confirmation, palette, help.

use super::widgets::input;
use super::widgets::panel::{Title, centered, window};
use super::widgets::pen::Pen;
use super::{Ctx, Scope, format, weigh};
use crate::app::confirm::{blocked, health, reason_for, settles};
use crate::app::dialog::{Dialog, Field, Item, ReasonFor};
use crate::app::hints::help as help_lines;
use crate::app::input::Input;
use crate::app::state::{Overlay, Palette};
use crate::app::wrap;
use flightdeck_board::provenance;
use flightdeck_model::time::span;
use flightdeck_model::{Direction, Friction};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns of a confirmation.
const DIALOG: u16 = 84;
/// Completions that the palette shows.
const COMPLETIONS: usize = 12;
/// Warnings that are shown of what reduces exposure.
const WARNINGS: usize = 3;
/// Rows that why a confirmation takes no yes may take.
const BLOCKED: usize = 4;

/// Draws what is open; the filter is in the footer.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buf: &mut Buffer) {
    let inside = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    match &ctx.state.overlay {
        Some(Overlay::Dialog(dialog)) => confirmation(ctx, dialog, inside, buf),
        Some(Overlay::Palette(palette)) => palette_box(ctx, palette, inside, buf),
        Some(Overlay::Help { top }) => help(ctx, *top, inside, buf),
        Some(Overlay::Filter { .. }) | None => {}
    }
}

/// A line of a confirmation: what it is, its words, how they look.
type Line = (&'static str, String, Scope);

fn confirmation(ctx: &Ctx<'_>, dialog: &Dialog, area: Rect, buf: &mut Buffer) {
    let lines = about(ctx, dialog, area.height.saturating_sub(8));
    let width = DIALOG.min(area.width.saturating_sub(2));
    let blocked = blocked(ctx.state, dialog).map(|why| {
        let mut lines = wrap::wrap(&format!("✗ {why}"), width.saturating_sub(4));
        lines.truncate(BLOCKED);
        lines
    });
    let more = blocked.as_ref().map_or(0, |lines| lines.len().saturating_sub(1));
    let asked = asked_rows(dialog, blocked.is_some()) + u16::try_from(more).unwrap_or(0);
    let wrapped: Vec<Line> = lines.into_iter().flat_map(|line| wrap(line, width.saturating_sub(4 + NAME))).collect();
    let room = area.height.saturating_sub(asked + 3);
    let shown = u16::try_from(wrapped.len()).unwrap_or(u16::MAX).min(room);
    let at = centered(area, width, shown + asked + 3);
    let (scope, way) = match dialog.direction {
        Direction::Raises => (Scope::DialogRaises, "raises exposure"),
        Direction::Reduces => (Scope::DialogReduces, "reduces exposure"),
        Direction::Neutral => (Scope::Border, "changes no exposure"),
    };
    let many = if dialog.items.len() > 1 { format!(" {} targets", dialog.items.len()) } else { String::new() };
    let title = Title { left: format!("{}{many}", dialog.action.row().label), right: way.to_owned(), focus: true };
    let inner = window(buf, at, &title, scope, ctx.theme);
    // What there is no room for is not left out without a word.
    let left_out = wrapped.len() - usize::from(shown);
    let last = shown.saturating_sub(1);
    for (row, (name, words, scope)) in (0..shown).zip(&wrapped) {
        let mut pen = Pen::new(buf, inner, row);
        if row == last && left_out > 0 {
            let more = format!("… {} more lines: a higher window shows them", left_out + 1);
            pen.cell("", NAME, ctx.style(Scope::Column)).put(&more, ctx.style(Scope::ToneWarn));
        } else {
            pen.cell(name, NAME, ctx.style(Scope::Column)).put(words, ctx.style(*scope));
        }
    }
    questions(ctx, dialog, blocked.as_deref(), inner, shown + 1, buf);
}

const NAME: u16 = 10;

fn about(ctx: &Ctx<'_>, dialog: &Dialog, most: u16) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let several = dialog.items.len() > 1;
    let items = || dialog.items.iter().take(usize::from(most.max(1)));
    if several {
        // Every target has a line and stands before anything that is said of one.
        for item in items() {
            let (sign, scope) = match item.problem() {
                Some(_) => ("✗ not sent: ", Scope::ToneBad),
                None => ("", Scope::Strong),
            };
            let room = DIALOG - 4 - NAME - format::width(sign);
            lines.push(("·", format!("{sign}{}", format::name(&item.target, room)), scope));
            // What a yes does to it, where there is room for that beside all targets.
            let does = item.prepared.as_ref().and_then(|prepared| prepared.forecast.lines.first());
            if let Some(does) = does.filter(|_| dialog.items.len() * 2 <= usize::from(most)) {
                lines.push(("", format!("  {}", format::clip(does, DIALOG - 6 - NAME)), Scope::Text));
            }
        }
        let first = dialog.items.first().map(|item| said_of(ctx, dialog, item)).unwrap_or_default();
        if dialog.items.iter().all(|item| said_of(ctx, dialog, item) == first) {
            // What holds of all is said once.
            lines.extend(first);
        } else {
            for item in items() {
                let said = said_of(ctx, dialog, item);
                lines.extend((!said.is_empty()).then(|| ("of", item.target.clone(), Scope::Text)));
                lines.extend(said);
            }
        }
    }
    for item in items().filter(|_| !several) {
        let change = item.change.as_ref().map_or_else(String::new, |change| format!("   {change}"));
        lines.push(("target", format!("{}{change}", item.target), Scope::Strong));
        lines.extend(said_of(ctx, dialog, item));
    }
    let warnings: Vec<&String> = dialog.forecasts().flat_map(|forecast| &forecast.warnings).collect();
    // What stops something is not to be read for long; what raises exposure is told in full.
    let most = if dialog.direction == Direction::Reduces { WARNINGS } else { usize::MAX };
    let shown = warnings.iter().take(most);
    lines.extend(shown.map(|warning| ("beware", format!("! {warning}"), Scope::DialogWarning)));
    if let Some(more) = warnings.len().checked_sub(most).filter(|more| *more > 0) {
        lines.push(("", format!("! and {more} more of such"), Scope::DialogWarning));
    }
    let mut name = "a yes";
    // Of several each has its own beside its target.
    for forecast in dialog.forecasts().filter(|_| !several) {
        for line in &forecast.lines {
            lines.push((name, line.clone(), Scope::Text));
            name = "";
        }
        if let Some(takes) = forecast.takes {
            lines.push(("takes", format!("about {}", span(takes)), Scope::Text));
        }
    }
    if dialog.items.iter().any(|item| !item.answered()) {
        lines.push(("forecast", "◌ asking the server …".to_owned(), Scope::Dim));
    }
    if let [item] = dialog.items.as_slice() {
        lines.extend(replaces(ctx, dialog, item));
        lines.extend(item.wanted_pin().map(|_| ("bound to", seen(ctx, item), Scope::Dim)));
    }
    lines
}

/// What is to be known of one target: how old it is, why it is not sent, how its candidate does.
fn said_of(ctx: &Ctx<'_>, dialog: &Dialog, item: &Item) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    // What the server finds old is old here too, mostly: it is said once.
    let theirs = || item.prepared.as_ref().and_then(|prepared| prepared.forecast.stale.clone());
    if let Some(problem) = item.freshness.problem(ctx.now).or_else(theirs) {
        lines.push(("seen", format!("◌ {problem}"), Scope::LinkStale));
    }
    if let Some(problem) = item.problem() {
        lines.push(("server", format!("✗ {problem}"), Scope::ToneBad));
    }
    if let Some(health) = health(ctx.state, dialog, item) {
        lines.extend(weigh::health(ctx, &health));
        let row = item.run().and_then(|run| ctx.state.board.rollout(&run.target));
        lines.extend(row.into_iter().flat_map(|row| weigh::beside(ctx, row)));
        lines.extend(row.into_iter().flat_map(|row| weigh::kept_objectives(row, ctx.now)));
    }
    lines
}

/// What a yes replaces, and what with.
fn replaces(ctx: &Ctx<'_>, dialog: &Dialog, item: &Item) -> Vec<Line> {
    let run = item.run().filter(|_| dialog.direction == Direction::Raises && dialog.raises_candidate());
    let row = run.and_then(|run| ctx.state.board.rollout(&run.target).filter(|row| row.run == *run));
    let Some(row) = row else { return Vec::new() };
    let board = &ctx.state.board;
    let sides = [("replaces", provenance::of_stable(board, row)), ("with", provenance::of_candidate(board, row))];
    sides.into_iter().filter_map(|(name, of)| Some((name, weigh::provenance(ctx, &of?), Scope::Text))).collect()
}

/// What the yes is bound to: the row as it was then. Its facts are in `get rollouts -o json`.
fn seen(ctx: &Ctx<'_>, item: &Item) -> String {
    format!("as seen {}", format::clock(item.seen, ctx.zone))
}

/// Long words go on in the next lines.
fn wrap((name, words, scope): Line, columns: u16) -> Vec<Line> {
    let lines = wrap::wrap(&words, columns).into_iter().enumerate();
    lines.map(|(row, line)| (if row == 0 { name } else { "" }, line, scope)).collect()
}

/// Rows that the questions at the bottom take.
fn asked_rows(dialog: &Dialog, blocked: bool) -> u16 {
    if blocked || dialog.is_asking() {
        return 3;
    }
    match dialog.friction {
        Friction::None | Friction::Yes => 3,
        Friction::Challenge(_) | Friction::ChallengeAndReason(_) => 5,
    }
}

fn questions(ctx: &Ctx<'_>, dialog: &Dialog, blocked: Option<&[String]>, inner: Rect, row: u16, buf: &mut Buffer) {
    let (hint, key) = (ctx.style(Scope::InputHint), ctx.style(Scope::Key));
    if let Some(why) = blocked {
        let mut row = row;
        for line in why {
            Pen::new(buf, inner, row).put(line, ctx.style(Scope::ToneBad));
            row += 1;
        }
        Pen::new(buf, inner, row).put("Esc", key).put(" leaves; nothing was done", hint);
        return said(ctx, dialog, inner, row + 1, buf);
    }
    if dialog.is_asking() {
        Pen::new(buf, inner, row).put("the server is asked what a yes would do", hint);
        Pen::new(buf, inner, row + 1).put("Esc", key).put(" leave without doing anything", ctx.style(Scope::Text));
        return said(ctx, dialog, inner, row + 2, buf);
    }
    let mut row = row;
    let challenge = match &dialog.friction {
        Friction::Challenge(text) | Friction::ChallengeAndReason(text) => Some(text),
        _ => None,
    };
    let wanted = match reason_for(ctx.state, dialog) {
        Some(ReasonFor::Friction) => ("needed: Tab to write it", Scope::InputHint),
        Some(ReasonFor::Failing) => ("needed, since the candidate is failing: Tab to write it", Scope::SeverityFailing),
        None => ("Tab to give one", Scope::InputHint),
    };
    if let Some(text) = challenge {
        // On rows of their own: what has to be typed exactly must never be cut.
        Pen::new(buf, inner, row)
            .cell("type", NAME, ctx.style(Scope::Column))
            .put(text, ctx.style(Scope::DialogChallenge));
        let mut pen = Pen::new(buf, inner, row + 1);
        pen.cell("", NAME, ctx.style(Scope::Column)).put("› ", hint);
        field(ctx, &mut pen, &dialog.challenge, dialog.field == Field::Challenge);
        row += 2;
    }
    let mut pen = Pen::new(buf, inner, row);
    pen.cell("reason", NAME, ctx.style(Scope::Column));
    if dialog.reason.text.is_empty() && dialog.field != Field::Reason {
        pen.put(wanted.0, ctx.style(wanted.1));
    } else {
        pen.put("› ", hint);
        field(ctx, &mut pen, &dialog.reason, dialog.field == Field::Reason);
    }
    let mut pen = Pen::new(buf, inner, row + 1);
    let yes = if challenge.is_some() || dialog.field == Field::Reason { "Enter" } else { "y" };
    let ready = settles(dialog, ctx.now).is_none();
    pen.put(yes, ctx.style(if ready { Scope::Key } else { Scope::KeyOff }));
    pen.put(&format!(" {}   ", dialog.action.row().label), ctx.style(Scope::Text));
    pen.put("Esc", key).put(" leave without doing anything", ctx.style(Scope::Text));
    said(ctx, dialog, inner, row + 2, buf);
}

/// What it ignored, and why.
fn said(ctx: &Ctx<'_>, dialog: &Dialog, inner: Rect, row: u16, buf: &mut Buffer) {
    if let Some(said) = &dialog.said {
        Pen::new(buf, inner, row).put(&format!("! {said}"), ctx.style(Scope::ToneWarn));
    }
}

fn field(ctx: &Ctx<'_>, pen: &mut Pen<'_>, typed: &Input, focus: bool) {
    let room = pen.left();
    input::draw(pen, typed, room, focus, ctx.theme);
}

fn palette_box(ctx: &Ctx<'_>, palette: &Palette, area: Rect, buf: &mut Buffer) {
    let width = 90.min(area.width.saturating_sub(2));
    let most = COMPLETIONS.min(usize::from(area.height.saturating_sub(4)));
    let selected = palette.selected.unwrap_or(0);
    let top = selected.saturating_sub(most.saturating_sub(1));
    let shown = palette.completions.len().min(most);
    let height = u16::try_from(shown).unwrap_or(0) + 3;
    let at = Rect { x: area.x + (area.width - width) / 2, y: area.y + 1, width, height: height.min(area.height) };
    let right = "Tab complete  ↑ history  Enter run  Esc leave".to_owned();
    let inner =
        window(buf, at, &Title { left: "Command".to_owned(), right, focus: true }, Scope::BorderFocus, ctx.theme);
    let mut pen = Pen::new(buf, inner, 0);
    pen.put(": ", ctx.style(Scope::Key));
    field(ctx, &mut pen, &palette.input, true);
    let texts = palette.completions.iter().map(|completion| format::width(&completion.text));
    let column = texts.max().unwrap_or(0).clamp(16, width / 2);
    for (row, (index, completion)) in (1..).zip(palette.completions.iter().enumerate().skip(top).take(most)) {
        let chosen = palette.selected == Some(index);
        if chosen {
            buf.set_style(Rect { y: inner.y + row, height: 1, ..inner }, ctx.style(Scope::Selection));
        }
        let (text, help) =
            if completion.available { (Scope::Text, Scope::Dim) } else { (Scope::KeyOff, Scope::KeyOff) };
        let mut pen = Pen::new(buf, inner, row);
        pen.cell(if chosen { "▌" } else { "" }, 2, ctx.style(Scope::SelectionBar));
        pen.cell(&completion.text, column, ctx.style(text)).skip(2).put(&completion.help, ctx.style(help));
    }
}

fn help(ctx: &Ctx<'_>, top: usize, area: Rect, buf: &mut Buffer) {
    let lines = help_lines(ctx.state);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let at = centered(area, 100.min(area.width.saturating_sub(2)), height);
    let rows = usize::from(at.height.saturating_sub(2));
    let top = top.min(lines.len().saturating_sub(rows));
    let below = lines.len().saturating_sub(top + rows);
    let more = if top + below == 0 { "Esc leaves".to_owned() } else { format!("↑ {top}  ↓ {below}  Esc leaves") };
    let title = Title { left: "Keys of this page".to_owned(), right: more, focus: true };
    let inner = window(buf, at, &title, Scope::BorderFocus, ctx.theme);
    for (row, line) in (0..inner.height).zip(lines.iter().skip(top)) {
        let off = line.unavailable.is_some();
        let style = |scope| ctx.style(if off { Scope::KeyOff } else { scope });
        let mut pen = Pen::new(buf, inner, row);
        let keys = if line.keys.is_empty() { format!(":{}", line.name) } else { line.keys.clone() };
        pen.cell(&keys, 16, style(Scope::Key)).skip(1);
        pen.put(line.sentence, style(Scope::Text));
        if let Some(why) = &line.unavailable {
            pen.put(&format!("  ({why})"), ctx.style(Scope::Faint));
        }
    }
}
