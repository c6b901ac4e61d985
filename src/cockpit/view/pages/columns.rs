//! Which columns the Deck's list has, and how wide they are.
//!
//! Too narrow for all of them, they go in this order: requests per second, p95, the curve of
//! errors, half of the bar, the step, errors, traffic, version. With room to spare come, in this
//! order: since when, replicas, author, cause.

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cockpit::view) enum Column {
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
    Author,
    Cause,
}

/// A column with its width.
pub(in crate::cockpit::view) type Sized = (Column, u16);

/// The columns before a row's first: the bar of the selected row and the sign of a marked one.
pub(in crate::cockpit::view) const LEAD: u16 = 2;
const GAP: u16 = 1;
/// Columns of numbers beside a curve: ` 4.1/0.3`.
pub(in crate::cockpit::view) const NUMBERS: u16 = 8;
/// Columns of a share beside its bar: ` 100 %`.
pub(in crate::cockpit::view) const SHARE: u16 = 6;

const ALL: [Sized; 9] = [
    (Column::Service, 12),
    (Column::Environment, 10),
    (Column::Version, 14),
    (Column::Step, 4),
    (Column::Traffic, 8 + SHARE),
    (Column::Errors, 9 + NUMBERS),
    (Column::P95, 9 + NUMBERS),
    (Column::Rps, 4),
    (Column::Phase, 15),
];

/// What is given up where there is less room: a column and the width that is left of it.
const LESS: [(Column, u16); 10] = [
    (Column::Rps, 0),
    (Column::P95, 0),
    (Column::Errors, NUMBERS),
    (Column::Traffic, 5 + SHARE),
    (Column::Step, 0),
    (Column::Errors, 0),
    (Column::Traffic, 0),
    (Column::Version, 0),
    (Column::Service, 10),
    (Column::Environment, 7),
];

/// What comes with more room.
const MORE: [Sized; 4] = [(Column::Since, 6), (Column::Replicas, 9), (Column::Author, 10), (Column::Cause, 20)];

/// What grows with still more room: a column, by how much at most.
const GROW: [(Column, u16); 5] =
    [(Column::Service, 8), (Column::Version, 2), (Column::Errors, 4), (Column::P95, 4), (Column::Author, 4)];

/// The columns for a list of that width.
pub(in crate::cockpit::view) fn plan(width: u16) -> Vec<Sized> {
    let mut columns = ALL.to_vec();
    for (column, left) in LESS {
        if needs(&columns) <= width {
            break;
        }
        for sized in &mut columns {
            if sized.0 == column {
                sized.1 = left;
            }
        }
        columns.retain(|sized| sized.1 > 0);
    }
    for sized in MORE {
        if needs(&columns) + sized.1 + GAP > width {
            break;
        }
        columns.push(sized);
    }
    let mut spare = width.saturating_sub(needs(&columns));
    let growing = GROW.into_iter().chain([(Column::Cause, u16::MAX), (Column::Service, 8)]);
    for (column, most) in growing {
        if let Some(sized) = columns.iter_mut().find(|sized| sized.0 == column) {
            // Curves come in pairs of one width.
            let more = match column {
                Column::Errors | Column::P95 => most.min(spare) / 2 * 2,
                _ => most.min(spare),
            };
            sized.1 += more;
            spare -= more;
        }
    }
    columns
}

fn needs(columns: &[Sized]) -> u16 {
    // The last gap is the air at the right border.
    LEAD + columns.iter().map(|(_, width)| width + GAP).sum::<u16>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_is_filled_and_never_overrun() {
        for width in 38..400 {
            let columns = plan(width);
            assert!(needs(&columns) <= width, "{width}: {columns:?}");
            assert!(columns.iter().any(|(column, _)| *column == Column::Phase), "{width}");
        }
    }

    #[test]
    fn columns_go_and_come_in_the_stated_order() {
        use Column as C;
        let names = |width| plan(width).into_iter().map(|(column, _)| column).collect::<Vec<_>>();
        assert_eq!(
            names(118),
            [C::Service, C::Environment, C::Version, C::Step, C::Traffic, C::Errors, C::P95, C::Rps, C::Phase]
        );
        assert_eq!(names(78), [C::Service, C::Environment, C::Version, C::Traffic, C::Errors, C::Phase]);
        assert_eq!(names(38), [C::Service, C::Environment, C::Phase]);
        assert_eq!(names(198)[9..], [C::Since, C::Replicas, C::Author, C::Cause]);
    }
}
