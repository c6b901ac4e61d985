//! Which columns the Deck's list has, and how wide they are: as wide as what stands in them, within bounds.
//!
//! A column in which nothing stands is not there. Too narrow for all of them, columns shrink and go in
//! the order of `LESS`. Spare room goes to names first, then since when, replicas, kind, source, author, began and cause come.

use crate::app::state::Widest;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::view) enum Column {
    Service,
    Environment,
    Version,
    Step,
    Traffic,
    Errors,
    P95,
    Rps,
    Phase,
    Since,
    Replicas,
    Kind,
    Source,
    Author,
    Began,
    Cause,
}

/// A column with its width.
pub(in crate::view) type Sized = (Column, u16);

/// The columns before a row's first: the bar of the selected row and the sign of a marked one.
pub(in crate::view) const LEAD: u16 = 2;
const GAP: u16 = 1;
/// Columns of numbers beside a curve: ` 4.1/0.3`.
pub(in crate::view) const NUMBERS: u16 = 8;
/// Columns of the instances of both sides: `10/10 10/10`.
pub(in crate::view) const REPLICAS: u16 = 10;
/// Columns of a share beside its bar: ` 100 %`.
pub(in crate::view) const SHARE: u16 = 6;

/// A name gets so much before numbers get what they want.
const NAME: u16 = 20;

/// What is given up where there is less room: a column and the width that is left of it.
const LESS: [(Column, u16); 15] = [
    (Column::Rps, 0),
    (Column::P95, NUMBERS),
    (Column::P95, 0),
    (Column::Traffic, 4 + SHARE),
    (Column::Step, 0),
    (Column::Service, 14),
    (Column::Errors, 5 + NUMBERS),
    (Column::Service, 12),
    (Column::Traffic, SHARE),
    (Column::Errors, NUMBERS),
    (Column::Errors, 0),
    (Column::Traffic, 0),
    (Column::Version, 0),
    (Column::Environment, 7),
    (Column::Service, 10),
];

/// What is given up before, where rows can be told apart by their source only: names stay as long as they can.
const LESS_BESIDE_SOURCES: [(Column, u16); 9] = [
    (Column::Rps, 0),
    (Column::P95, NUMBERS),
    (Column::P95, 0),
    (Column::Traffic, 4 + SHARE),
    (Column::Step, 0),
    (Column::Source, 8),
    (Column::Errors, 5 + NUMBERS),
    (Column::Traffic, SHARE),
    (Column::Version, 9),
];

/// What comes with more room; a column without a width has nothing to tell apart.
fn more(content: Content) -> [Sized; 7] {
    let Widest { kind, source, author, .. } = content.widest;
    [
        (Column::Since, 6),
        (Column::Replicas, if content.candidates { REPLICAS } else { 5 }),
        (Column::Kind, if kind > 0 { kind.clamp(4, 12) } else { 0 }),
        (Column::Source, if content.several_sources && !content.alike { source.clamp(6, 14) } else { 0 }),
        (Column::Author, if author > 0 { author.clamp(6, 10) } else { 0 }),
        (Column::Cause, 20),
        (Column::Began, 6),
    ]
}

/// What the columns have to hold.
#[derive(Debug, Clone, Copy)]
pub(in crate::view) struct Content {
    pub widest: Widest,
    /// Is any rollout at a step?
    pub steps: bool,
    /// Has any a candidate?
    pub candidates: bool,
    /// Is there more than one source?
    pub several_sources: bool,
    /// Can some rows be told apart by their source only?
    pub alike: bool,
}

fn all(content: Content) -> Vec<Sized> {
    let Widest { service, environment, version, source, requests, latencies, .. } = content.widest;
    let there = |there, width| if there { width } else { 0 };
    let columns = [
        (Column::Service, service.clamp(8, NAME)),
        (Column::Environment, environment.clamp(3, 11)),
        (Column::Source, there(content.alike, source.clamp(6, 14))),
        (Column::Version, version.clamp(7, 14)),
        (Column::Step, there(content.steps, 4)),
        (Column::Traffic, there(content.candidates, 8 + SHARE)),
        (Column::Errors, there(requests, 9 + NUMBERS)),
        (Column::P95, there(latencies, 9 + NUMBERS)),
        (Column::Rps, there(requests, 4)),
        (Column::Phase, 15),
    ];
    columns.into_iter().filter(|(_, width)| *width > 0).collect()
}

/// The columns for a list of that width.
pub(in crate::view) fn plan(width: u16, content: Content) -> Vec<Sized> {
    let mut columns = all(content);
    let before: &[(Column, u16)] = if content.alike { &LESS_BESIDE_SOURCES } else { &[] };
    for (column, left) in before.iter().chain(&LESS).chain(&[(Column::Source, 0)]).copied() {
        if needs(&columns) <= width {
            break;
        }
        for sized in columns.iter_mut().filter(|sized| sized.0 == column) {
            sized.1 = sized.1.min(left);
        }
        columns.retain(|sized| sized.1 > 0);
    }
    let Widest { service, environment, version, author, .. } = content.widest;
    grow(&mut columns, width, [(Column::Service, service.min(36)), (Column::Environment, environment.min(16))]);
    grow(&mut columns, width, [(Column::Version, version.min(24)), (Column::Errors, 9 + NUMBERS)]);
    // Wide enough for `✗ CrashLoopBackOff ×12`.
    grow(&mut columns, width, [(Column::Phase, 22)]);
    for sized in more(content).into_iter().filter(|sized| sized.1 > 0) {
        if needs(&columns) + sized.1 + GAP > width {
            break;
        }
        if sized.0 == Column::Author {
            // Whole names tell more than who and when.
            grow(&mut columns, width, [(Column::Service, service)]);
            if needs(&columns) + sized.1 + GAP > width {
                break;
            }
        }
        // What the cause has to say takes the room that is left, so it stands last.
        let at = columns.iter().position(|(column, _)| *column == Column::Cause).unwrap_or(columns.len());
        columns.insert(at, sized);
    }
    grow(&mut columns, width, [(Column::Service, service), (Column::Version, version.min(48))]);
    grow(&mut columns, width, [(Column::Errors, 13 + NUMBERS)]);
    grow(&mut columns, width, [(Column::P95, 13 + NUMBERS), (Column::Author, author.min(14))]);
    grow(&mut columns, width, [(Column::Cause, u16::MAX)]);
    columns
}

/// Gives columns that are there more room, as far as there is some, up to a width.
fn grow<const N: usize>(columns: &mut [Sized], width: u16, wanted: [Sized; N]) {
    for (column, most) in wanted {
        let spare = width.saturating_sub(needs(columns));
        if let Some(sized) = columns.iter_mut().find(|sized| sized.0 == column) {
            let more = most.saturating_sub(sized.1).min(spare);
            // Curves come in pairs of one width.
            let pairs = matches!(column, Column::Errors | Column::P95) && sized.1 > NUMBERS;
            sized.1 += if pairs { more / 2 * 2 } else { more };
        }
    }
}

fn needs(columns: &[Sized]) -> u16 {
    // The last gap is the air at the right border.
    LEAD + columns.iter().map(|(_, width)| width + GAP).sum::<u16>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn content(service: u16, measured: bool) -> Content {
        let (requests, latencies) = (measured, measured);
        let widest =
            Widest { service, environment: 10, version: 14, kind: 0, source: 8, author: 14, requests, latencies };
        Content { widest, steps: true, candidates: true, several_sources: false, alike: false }
    }

    fn width_of(columns: &[Sized], column: Column) -> u16 {
        columns.iter().find(|sized| sized.0 == column).map_or(0, |sized| sized.1)
    }

    #[test]
    fn no_width_is_overrun_and_the_phase_is_always_there() {
        for width in 38..400 {
            for content in [content(8, true), content(70, true), content(8, false), content(70, false)] {
                let columns = plan(width, content);
                assert!(needs(&columns) <= width, "{width}: {columns:?}");
                assert!(columns.iter().any(|(column, _)| *column == Column::Phase), "{width}");
            }
        }
    }

    #[test]
    fn columns_go_and_come_in_the_stated_order() {
        use Column as C;
        let names = |width| plan(width, content(8, true)).into_iter().map(|(column, _)| column).collect::<Vec<_>>();
        assert_eq!(
            names(118),
            [C::Service, C::Environment, C::Version, C::Step, C::Traffic, C::Errors, C::P95, C::Rps, C::Phase]
        );
        assert_eq!(names(78), [C::Service, C::Environment, C::Version, C::Traffic, C::Errors, C::Phase]);
        assert_eq!(names(38), [C::Service, C::Environment, C::Phase]);
        assert_eq!(names(198)[9..], [C::Since, C::Replicas, C::Author, C::Began, C::Cause]);
        let cluster = Widest { kind: 11, ..content(8, false).widest };
        let clusters = plan(198, Content { widest: cluster, several_sources: true, ..content(8, false) });
        let names: Vec<_> = clusters.into_iter().map(|(column, _)| column).collect();
        assert_eq!(names[6..], [C::Since, C::Replicas, C::Kind, C::Source, C::Author, C::Began, C::Cause]);
        // At 80 columns there is a curve of errors, however long names are.
        for service in [8, 12, 40] {
            assert_eq!(width_of(&plan(78, content(service, true)), C::Errors), 5 + NUMBERS, "{service}");
        }
    }

    #[test]
    fn numbers_that_nobody_tells_give_their_room_to_names() {
        for (width, service, shown) in [(78, 40, 22), (118, 40, 39), (118, 8, 8), (198, 70, 70)] {
            let columns = plan(width, content(service, false));
            assert_eq!(width_of(&columns, Column::Service), shown, "{width}: {columns:?}");
            assert_eq!(width_of(&columns, Column::Errors), 0);
        }
        assert!(width_of(&plan(118, content(40, false)), Column::Since) > 0);
        assert_eq!(width_of(&plan(118, content(40, false)), Column::Phase), 22);
    }

    #[test]
    fn rows_that_only_their_source_tells_apart_have_it_however_little_room_there_is() {
        let widest = Widest { source: 18, ..content(60, false).widest };
        let alike = Content { widest, several_sources: true, alike: true, ..content(60, false) };
        for (width, service, source) in [(78, 22, 8), (118, 36, 14), (198, 60, 14)] {
            let columns = plan(width, alike);
            assert!(needs(&columns) <= width, "{width}: {columns:?}");
            let widths = (width_of(&columns, Column::Service), width_of(&columns, Column::Source));
            assert_eq!(widths, (service, source), "{width}: {columns:?}");
            assert_eq!(columns.iter().filter(|sized| sized.0 == Column::Source).count(), 1);
        }
        for width in 38..400 {
            assert!(needs(&plan(width, alike)) <= width, "{width}");
        }
    }

    #[test]
    fn what_stands_in_no_row_leaves_its_room_to_names() {
        use Column as C;
        let nothing = Content { steps: false, candidates: false, ..content(40, false) };
        let columns = plan(78, nothing);
        assert_eq!(
            columns.iter().map(|sized| sized.0).collect::<Vec<_>>(),
            [C::Service, C::Environment, C::Version, C::Phase]
        );
        assert_eq!(width_of(&columns, C::Service), 33);
        let wide = plan(118, nothing);
        assert_eq!((width_of(&wide, C::Replicas), width_of(&wide, C::Author)), (5, 12));
        // Connections have no latencies.
        let tcp = Widest { latencies: false, ..content(8, true).widest };
        let columns = plan(198, Content { widest: tcp, ..content(8, true) });
        assert_eq!((width_of(&columns, C::P95), width_of(&columns, C::Rps)), (0, 4));
        // A source that tells of nobody has no column of names.
        let nobody = Widest { author: 0, ..nothing.widest };
        assert_eq!(width_of(&plan(198, Content { widest: nobody, ..nothing }), C::Author), 0);
    }
}
