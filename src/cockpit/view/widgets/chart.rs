//! A chart of one metric over time: candidate as a line, stable as a broken line, a limit as dashes, with
//! numbers at its axes. The three differ in form, not only in colour.

use super::pen::Pen;
use super::spark::{Metric, Pair, buckets, highest};
use crate::app::reading::Span;
use crate::view::{Scope, Theme, format};
use flightdeck_model::time::exact;
use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// What a chart shows.
pub(in crate::view) struct Chart<'a> {
    pub(in crate::view) name: &'a str,
    pub(in crate::view) metric: Metric,
    pub(in crate::view) pair: Pair<'a>,
    pub(in crate::view) span: Span,
    /// When its right edge is, in words.
    pub(in crate::view) edge: &'a str,
    /// Moments to mark, such as the end of a step.
    pub(in crate::view) marks: &'a [Timestamp],
    /// Whose numbers stand above; without one the newest.
    pub(in crate::view) reading: Option<Timestamp>,
    /// What must not be crossed, where that is known; in the metric's unit.
    pub(in crate::view) limit: Option<f64>,
}

/// Columns of the numbers at the left.
const AXIS: u16 = 5;
/// Dots of a braille cell: two columns of four, lowest first.
const DOTS: [[u32; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];

/// Draws a chart with its name and newest numbers above.
pub(in crate::view) fn draw(chart: &Chart<'_>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 4 || area.width < AXIS + 8 {
        return;
    }
    let columns = area.width - AXIS - 1;
    let count = usize::from(columns) * 2;
    let step = SignedDuration::from_millis(
        i64::try_from(chart.span.length.as_millis()).unwrap_or(i64::MAX) / i64::try_from(count).unwrap_or(1).max(1),
    );
    let candidate = buckets(chart.pair.candidate, chart.metric, chart.span.end, step, count);
    let stable = buckets(chart.pair.stable, chart.metric, chart.span.end, step, count);
    let values = candidate.iter().chain(&stable);
    let highest = nice(highest(chart.metric, values).max(chart.limit.unwrap_or(0.0)));
    heading(chart, &candidate, &stable, area, buf, theme);
    let plot = Rect { x: area.x + AXIS + 1, y: area.y + 1, width: columns, height: area.height - 2 };
    axes(chart, highest, area, plot, buf, theme);
    for mark in chart.marks {
        vertical(chart, *mark, "┊", plot, buf, theme.style(Scope::ChartMark));
    }
    if let Some(at) = chart.reading {
        vertical(chart, at, "│", plot, buf, theme.style(Scope::Strong));
    }
    if let Some(limit) = chart.limit {
        let row = plot.height - 1 - level(limit, highest, plot.height);
        let dashes: String = (0..columns).map(|x| if x % 2 == 0 { '╌' } else { ' ' }).collect();
        Pen::new(buf, plot, row).put(&dashes, theme.style(Scope::ChartLimit));
    }
    // A cell has one colour: where both pass it is the candidate's.
    draw_cells(&cells(&stable, highest, plot, |x| x % 6 < 4), plot, buf, theme.style(Scope::ArmStable));
    draw_cells(&cells(&candidate, highest, plot, |_| true), plot, buf, theme.style(Scope::ArmCandidate));
    if chart.pair.newest().is_none() {
        Pen::new(buf, plot, plot.height / 2).skip(columns / 2 - 4).put("no data", theme.style(Scope::Dim));
    }
}

fn heading(
    chart: &Chart<'_>,
    candidate: &[Option<f64>],
    stable: &[Option<f64>],
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    // Of the newest windows the last may not be there yet.
    let newest = |values: &[Option<f64>]| values.iter().rev().take(4).find_map(|value| *value);
    let read = |values: &[Option<f64>]| match chart.reading {
        Some(at) => value_at(chart, values, at),
        None => newest(values),
    };
    let words = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| number(chart.metric, value));
    let mut pen = Pen::new(buf, area, 0);
    pen.put(chart.name, theme.style(Scope::Strong));
    pen.tail(&format!("╍ {}", words(read(stable))), theme.style(Scope::ArmStable));
    pen.tail("  ", theme.style(Scope::Text));
    pen.tail(&format!("━ {}", words(read(candidate))), theme.style(Scope::ArmCandidate));
}

/// What a curve shows at a moment.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the number of values")]
fn value_at(chart: &Chart<'_>, values: &[Option<f64>], at: Timestamp) -> Option<f64> {
    let last = u32::try_from(values.len().checked_sub(1)?).ok()?;
    let index = (place(chart, at)? * f64::from(last)).round() as usize;
    *values.get(index)?
}

fn axes(chart: &Chart<'_>, highest: f64, area: Rect, plot: Rect, buf: &mut Buffer, theme: &Theme) {
    let style = theme.style(Scope::ChartAxis);
    for row in 0..plot.height {
        let y = Rect { x: area.x, y: plot.y + row, width: AXIS + 1, height: 1 };
        let label = match row {
            0 => number(chart.metric, highest),
            row if row == plot.height - 1 => "0".to_owned(),
            row if plot.height >= 5 && row == (plot.height - 1) / 2 => {
                let share = f64::from(plot.height - 1 - row) / f64::from(plot.height - 1);
                number(chart.metric, highest * share)
            }
            _ => String::new(),
        };
        Pen::new(buf, y, 0).right(&label, AXIS, style).put("│", theme.style(Scope::ChartMark));
    }
    let below = Rect { x: plot.x, y: plot.bottom(), width: plot.width, height: 1 };
    let mut pen = Pen::new(buf, below, 0);
    pen.tail(chart.edge, style);
    let ago = exact(chart.span.length);
    pen.put(&if chart.span.from_begin { format!("began {ago} ago") } else { format!("-{ago}") }, style);
}

/// How far right of the left edge a moment is, 0 to 1; `None`: the chart does not show it.
fn place(chart: &Chart<'_>, at: Timestamp) -> Option<f64> {
    let back = chart.span.end.duration_since(at).as_secs_f64() / chart.span.length.as_secs_f64();
    (0.0..=1.0).contains(&back).then_some(1.0 - back)
}

/// A line at a moment, over the whole height.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the columns of the plot")]
fn vertical(chart: &Chart<'_>, at: Timestamp, symbol: &str, plot: Rect, buf: &mut Buffer, style: Style) {
    let Some(place) = place(chart, at) else { return };
    let x = plot.x + (place * f64::from(plot.width - 1)).round() as u16;
    for y in plot.y..plot.bottom() {
        if let Some(cell) = buf.cell_mut((x, y)) {
            cell.set_symbol(symbol).set_style(style);
        }
    }
}

fn number(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Errors => format!("{}%", format::percent(value)),
        Metric::Rate => format::rate(value),
        _ => format::millis(value),
    }
}

/// The next number that is easy to read: 1, 2, 2.5 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|n| *n >= value * 0.999).unwrap_or(value)
}

/// Which of `rows` rows a value is on, counted from the bottom.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the number of rows")]
fn level(value: f64, highest: f64, rows: u16) -> u16 {
    let top = f64::from(rows.saturating_sub(1));
    (value / highest * top).round().clamp(0.0, top) as u16
}

/// A line in the dots of braille cells, two columns and four rows each: neighbours are joined, a gap stays a gap.
/// `shown`: which columns of dots are drawn.
fn cells(values: &[Option<f64>], highest: f64, plot: Rect, shown: impl Fn(usize) -> bool) -> Vec<u32> {
    let fine = plot.height * 4;
    let mut before: Option<u16> = None;
    let mut cells = vec![0_u32; usize::from(plot.width) * usize::from(plot.height)];
    for (x, value) in values.iter().enumerate() {
        let at = value.map(|value| level(value, highest, fine));
        if let Some(at) = at.filter(|_| shown(x)) {
            let (low, high) =
                before.map_or((at, at), |before| if before < at { (before + 1, at) } else { (at, before) });
            // A step up or down is drawn in the newer column, up to but without the older value.
            let high = if before.is_some_and(|before| before > at) { high.saturating_sub(1).max(at) } else { high };
            for dot in low.min(at)..=high.max(at) {
                let row = usize::from(plot.height - 1 - dot / 4);
                if let Some(cell) = cells.get_mut(row * usize::from(plot.width) + x / 2)
                    && let Some(bit) = DOTS.get(x % 2).and_then(|column| column.get(usize::from(dot % 4)))
                {
                    *cell |= bit;
                }
            }
        }
        before = at;
    }
    cells
}

fn draw_cells(cells: &[u32], plot: Rect, buf: &mut Buffer, style: Style) {
    for (index, bits) in cells.iter().enumerate().filter(|(_, bits)| **bits != 0) {
        let width = usize::from(plot.width);
        let (x, y) = (u16::try_from(index % width).unwrap_or(0), u16::try_from(index / width).unwrap_or(0));
        if let (Some(cell), Some(c)) = (buf.cell_mut((plot.x + x, plot.y + y)), char::from_u32(0x2800 + bits)) {
            cell.set_char(c).set_style(style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, expected) in
            [(0.02, 0.02), (0.041, 0.05), (210.0, 250.0), (9.0, 10.0), (1000.0, 1000.0), (1100.0, 2000.0)]
        {
            assert!((nice(value) - expected).abs() < 1e-9, "{value}: {}", nice(value));
        }
    }
}
