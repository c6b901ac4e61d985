//! Which columns a list has, and how wide they are: as wide as what stands in them, within bounds.
//!
//! A column in which nothing stands is not there. Too narrow for all of them, columns shrink and go. Spare room makes
//! those wider that are there, and others come. In which turn says each column.

use crate::app::pages::deck::DeckRow;
use crate::app::state::Widest;
use crate::view::Ctx;
use crate::view::widgets::pen::Pen;
use ratatui::style::Style;

/// A width by what the columns have to hold; 0: nothing stands there.
type Width = fn(&Content) -> u16;

/// A column of the Deck's list.
pub(in crate::view) struct Column {
    pub name: &'static str,
    /// How wide it is to begin with.
    pub there: Width,
    /// What is given up where there is less room: in which turn, and what is left of it.
    pub less: &'static [(u8, u16)],
    /// The same where rows can be told apart by their source only: names stay as long as they can.
    pub less_alike: &'static [(u8, u16)],
    /// With spare room: in which turn it comes. The first that finds no room ends that.
    pub comes: Option<(u8, Width)>,
    /// With spare room: in which turn it gets wider, up to which width.
    pub grows: &'static [(u8, Width)],
    /// It has two curves of one width beside numbers of so many columns.
    pub curves: Option<u16>,
    /// Does a filter find what stands there?
    pub filtered: bool,
    /// Writes its head; where there is none, its name.
    pub head: Option<fn(&mut Pen<'_>, u16, Style)>,
    /// Writes what stands there.
    pub cell: fn(&Ctx<'_>, &mut Pen<'_>, &DeckRow<'_>, u16),
}

impl Column {
    /// A column that never is there.
    pub(in crate::view) const fn named(name: &'static str) -> Column {
        Column {
            name,
            there: |_| 0,
            less: &[],
            less_alike: &[],
            comes: None,
            grows: &[],
            curves: None,
            filtered: false,
            head: None,
            cell: |_, _, _, _| {},
        }
    }

    /// Writes what stands above it.
    pub(in crate::view) fn write_head(&self, pen: &mut Pen<'_>, width: u16, style: Style) {
        match self.head {
            Some(head) => head(pen, width, style),
            None => drop(pen.cell(self.name, width, style)),
        }
    }
}

/// A column with its width.
pub(in crate::view) type Sized = (&'static Column, u16);

/// The columns before a row's first: the bar of the selected row and the sign of a marked one.
pub(in crate::view) const LEAD: u16 = 2;
const GAP: u16 = 1;
/// A name gets so much before numbers get what they want.
pub(super) const NAME: u16 = 20;

/// What the columns have to hold.
#[derive(Debug, Clone, Copy)]
pub(in crate::view) struct Content {
    pub widest: Widest,
    /// Is any rollout at a step?
    pub steps: bool,
    /// Has any a candidate?
    pub candidates: bool,
    /// Is any under a watchdog?
    pub watched: bool,
    /// Does the service of any promise something?
    pub promised: bool,
    /// Is there more than one source?
    pub several_sources: bool,
    /// Can some rows be told apart by their source only?
    pub alike: bool,
    /// Does an alert concern any?
    pub alerts: bool,
}

/// The columns for a list of that width.
pub(in crate::view) fn plan(all: &'static [Column], width: u16, content: Content) -> Vec<Sized> {
    let there = all.iter().map(|column| (column, (column.there)(&content)));
    let mut columns: Vec<Sized> = there.filter(|(_, width)| *width > 0).collect();
    give_up(&mut columns, width, content);
    make_use(all, &mut columns, width, content);
    columns
}

/// Too narrow for all of them, columns shrink and go.
fn give_up(columns: &mut Vec<Sized>, width: u16, content: Content) {
    let alike = |column: &'static Column| if content.alike { column.less_alike } else { &[] };
    let steps = columns.iter().flat_map(|(column, _)| {
        column.less.iter().chain(alike(column)).map(|(turn, left)| (*turn, column.name, *left))
    });
    let mut steps: Vec<(u8, &str, u16)> = steps.collect();
    steps.sort_unstable();
    for (_, name, left) in steps {
        if needs(columns) <= width {
            break;
        }
        for sized in columns.iter_mut().filter(|sized| sized.0.name == name) {
            sized.1 = sized.1.min(left);
        }
        columns.retain(|sized| sized.1 > 0);
    }
}

/// Spare room makes columns wider, and others come.
fn make_use(all: &'static [Column], columns: &mut Vec<Sized>, width: u16, content: Content) {
    let mut turns: Vec<(u8, usize, bool, u16)> = Vec::new();
    for (rank, column) in all.iter().enumerate() {
        turns.extend(column.grows.iter().map(|(turn, most)| (*turn, rank, false, most(&content))));
        turns.extend(column.comes.iter().map(|(turn, wide)| (*turn, rank, true, wide(&content))));
    }
    turns.sort_unstable();
    let mut full = false;
    for (_, rank, comes, wide) in turns.into_iter().filter(|turn| turn.3 > 0) {
        let Some(column) = all.get(rank) else { continue };
        if comes {
            full |= needs(columns) + wide + GAP > width;
            if !full {
                let at = columns.iter().position(|(other, _)| all.iter().skip(rank).any(|c| std::ptr::eq(c, *other)));
                columns.insert(at.unwrap_or(columns.len()), (column, wide));
            }
        } else {
            grow(columns, width, column, wide);
        }
    }
}

/// Gives a column that is there more room, as far as there is some, up to a width.
fn grow(columns: &mut [Sized], width: u16, column: &'static Column, most: u16) {
    let spare = width.saturating_sub(needs(columns));
    if let Some(sized) = columns.iter_mut().find(|sized| std::ptr::eq(sized.0, column)) {
        let more = most.saturating_sub(sized.1).min(spare);
        // Curves come in pairs of one width.
        let pairs = column.curves.is_some_and(|numbers| sized.1 > numbers);
        sized.1 += if pairs { more / 2 * 2 } else { more };
    }
}

fn needs(columns: &[Sized]) -> u16 {
    // The last gap is the air at the right border.
    LEAD + columns.iter().map(|(_, width)| width + GAP).sum::<u16>()
}

#[cfg(test)]
mod tests {
    use super::super::deck_columns::COLUMNS;
    use super::*;

    const NUMBERS: u16 = 8;

    fn plan(width: u16, content: Content) -> Vec<Sized> {
        super::plan(COLUMNS, width, content)
    }

    fn written(columns: &[Sized]) -> Vec<(&str, u16)> {
        columns.iter().map(|(column, width)| (column.name, *width)).collect()
    }

    const fn content(service: u16, measured: bool) -> Content {
        let (requests, latencies) = (measured, measured);
        let widest =
            Widest { service, environment: 10, version: 14, kind: 0, source: 8, author: 14, requests, latencies };
        Content {
            widest,
            steps: true,
            candidates: true,
            watched: false,
            promised: false,
            several_sources: false,
            alike: false,
            alerts: false,
        }
    }

    fn width_of(columns: &[Sized], column: &str) -> u16 {
        columns.iter().find(|sized| sized.0.name == column).map_or(0, |sized| sized.1)
    }

    #[test]
    fn no_width_is_overrun_and_the_phase_is_always_there() {
        for width in 38..400 {
            for content in [content(8, true), content(70, true), content(8, false), content(70, false)] {
                let columns = plan(width, content);
                assert!(needs(&columns) <= width, "{width}: {:?}", written(&columns));
                assert!(columns.iter().any(|(column, _)| column.name == "phase"), "{width}");
            }
        }
    }

    #[test]
    fn columns_go_and_come_in_the_stated_order() {
        let names =
            |width| plan(width, content(8, true)).into_iter().map(|(column, _)| column.name).collect::<Vec<_>>();
        assert_eq!(
            names(118),
            ["service", "environment", "version", "step", "traffic", "errors", "p95", "rps", "phase"]
        );
        assert_eq!(names(78), ["service", "environment", "version", "traffic", "errors", "phase"]);
        assert_eq!(names(38), ["service", "environment", "phase"]);
        assert_eq!(names(198)[9..], ["since", "replicas", "author", "began", "cause"]);
        let cluster = Widest { kind: 11, ..content(8, false).widest };
        let clusters = plan(198, Content { widest: cluster, several_sources: true, ..content(8, false) });
        let names: Vec<_> = clusters.into_iter().map(|(column, _)| column.name).collect();
        assert_eq!(names[6..], ["since", "replicas", "kind", "source", "author", "began", "cause"]);
        // At 80 columns there is a curve of errors, however long names are.
        for service in [8, 12, 40] {
            assert_eq!(width_of(&plan(78, content(service, true)), "errors"), 5 + NUMBERS, "{service}");
        }
    }

    #[test]
    fn numbers_that_nobody_tells_give_their_room_to_names() {
        for (width, service, shown) in [(78, 40, 22), (118, 40, 39), (118, 8, 8), (198, 70, 70)] {
            let columns = plan(width, content(service, false));
            assert_eq!(width_of(&columns, "service"), shown, "{width}: {:?}", written(&columns));
            assert_eq!(width_of(&columns, "errors"), 0);
        }
        assert!(width_of(&plan(118, content(40, false)), "since") > 0);
        assert_eq!(width_of(&plan(118, content(40, false)), "phase"), 22);
    }

    #[test]
    fn rows_that_only_their_source_tells_apart_have_it_however_little_room_there_is() {
        let widest = Widest { source: 18, ..content(60, false).widest };
        let alike = Content { widest, several_sources: true, alike: true, ..content(60, false) };
        for (width, service, source) in [(78, 22, 8), (118, 36, 14), (198, 60, 14)] {
            let columns = plan(width, alike);
            assert!(needs(&columns) <= width, "{width}: {:?}", written(&columns));
            let widths = (width_of(&columns, "service"), width_of(&columns, "source"));
            assert_eq!(widths, (service, source), "{width}: {:?}", written(&columns));
            assert_eq!(columns.iter().filter(|sized| sized.0.name == "source").count(), 1);
        }
        for width in 38..400 {
            assert!(needs(&plan(width, alike)) <= width, "{width}");
        }
    }

    #[test]
    fn what_stands_in_no_row_leaves_its_room_to_names() {
        let nothing = Content { steps: false, candidates: false, ..content(40, false) };
        let columns = plan(78, nothing);
        assert_eq!(
            columns.iter().map(|sized| sized.0.name).collect::<Vec<_>>(),
            ["service", "environment", "version", "phase"]
        );
        assert_eq!(width_of(&columns, "service"), 33);
        let wide = plan(118, nothing);
        assert_eq!((width_of(&wide, "replicas"), width_of(&wide, "author")), (5, 12));
        // Connections have no latencies.
        let tcp = Widest { latencies: false, ..content(8, true).widest };
        let columns = plan(198, Content { widest: tcp, ..content(8, true) });
        assert_eq!((width_of(&columns, "p95"), width_of(&columns, "rps")), (0, 4));
        // A source that tells of nobody has no column of names.
        let nobody = Widest { author: 0, ..nothing.widest };
        assert_eq!(width_of(&plan(198, Content { widest: nobody, ..nothing }), "author"), 0);
    }
}
