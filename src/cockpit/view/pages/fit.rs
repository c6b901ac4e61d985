//! The columns of lists whose last column takes the rest: heads, widths, and what stands in them.

use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, format};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A column of a list of such rows.
pub(super) struct Column<R> {
    /// Its head, where it is that wide.
    pub head: fn(u16) -> &'static str,
    /// Its width on a screen of less than 70 columns, less than 100, less than 150, and more; 0: it stays away.
    pub widths: [u16; 4],
    pub fits: Fits,
    /// Does its text end at its right?
    pub right: bool,
    /// What stands there in so many columns.
    pub cell: fn(&Ctx<'_>, &R, u16) -> (String, Style),
}

/// How a column makes use of its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    /// It has names: what others do not need goes to it.
    Names,
    /// It is no wider than what stands in it.
    Texts,
    /// It keeps its width.
    Always,
    /// It takes the rest of the row.
    Rest,
}

/// The widths of a list's columns for these rows.
pub(super) fn widths<R>(ctx: &Ctx<'_>, columns: &[Column<R>], width: u16, rows: &[R]) -> Vec<u16> {
    let class = match width {
        0..70 => 0,
        70..100 => 1,
        100..150 => 2,
        _ => 3,
    };
    let widest = |column: &Column<R>, width: u16| {
        let texts = rows.iter().map(|row| format::width(&(column.cell)(ctx, row, u16::MAX).0));
        texts.chain([format::width((column.head)(width))]).max().unwrap_or(0)
    };
    let sized = columns.iter().map(|column| {
        let width = column.widths.get(class).copied().unwrap_or_default();
        let widest = if matches!(column.fits, Fits::Names | Fits::Texts) { widest(column, width) } else { width };
        (column.fits, width, widest)
    });
    fitted(&sized.collect::<Vec<_>>())
}

/// Widths for what stands in the columns: what those of texts do not need goes to names. A column of no width stays
/// away.
fn fitted(columns: &[(Fits, u16, u16)]) -> Vec<u16> {
    let spare = columns.iter().filter(|(fits, ..)| *fits == Fits::Texts);
    let spare = spare.map(|(_, width, widest)| width.saturating_sub(*widest)).fold(0, u16::saturating_add);
    let width = |(fits, width, widest): &(Fits, u16, u16)| match fits {
        Fits::Names => width.saturating_add(spare).min(*widest),
        Fits::Texts => *widest.min(width),
        Fits::Always | Fits::Rest => *width,
    };
    columns.iter().map(width).collect()
}

/// Writes the heads, from that column of the area on.
pub(super) fn heads<R>(ctx: &Ctx<'_>, columns: &[Column<R>], widths: &[u16], from: u16, area: Rect, buf: &mut Buffer) {
    let style = ctx.style(Scope::Column);
    let mut pen = Pen::new(buf, area, 0);
    pen.skip(from);
    for (column, width) in columns.iter().zip(widths) {
        write(&mut pen, column, *width, (column.head)(*width), style);
    }
}

/// Writes a row.
pub(super) fn cells<R>(ctx: &Ctx<'_>, columns: &[Column<R>], widths: &[u16], row: &R, pen: &mut Pen<'_>) {
    for (column, width) in columns.iter().zip(widths) {
        if *width > 0 || column.fits == Fits::Rest {
            let (text, style) = (column.cell)(ctx, row, *width);
            write(pen, column, *width, &text, style);
        }
    }
}

fn write<R>(pen: &mut Pen<'_>, column: &Column<R>, width: u16, text: &str, style: Style) {
    match (column.fits, width) {
        (Fits::Rest, _) => pen.put(text, style),
        (_, 0) => pen,
        _ if column.right => pen.right(text, width, style).skip(1),
        _ => pen.cell(text, width, style).skip(1),
    };
}

#[cfg(test)]
mod tests {
    use super::{Fits, fitted as fit};

    #[test]
    fn names_get_what_other_columns_do_not_need() {
        let fitted = |widths: [u16; 3], widest: [u16; 3]| {
            let fits = [Fits::Names, Fits::Texts, Fits::Texts];
            let columns: Vec<_> = (0..3).map(|at| (fits[at], widths[at], widest[at])).collect();
            fit(&columns)
        };
        assert_eq!(fitted([12, 10, 15], [30, 4, 9]), [24, 4, 9]);
        assert_eq!(fitted([12, 10, 15], [14, 4, 9]), [14, 4, 9], "and no more than they need");
        assert_eq!(fitted([12, 10, 15], [6, 20, 20]), [6, 10, 15]);
        assert_eq!(fitted([12, 0, 15], [30, 20, 20]), [12, 0, 15], "what stays away stays away");
    }
}
