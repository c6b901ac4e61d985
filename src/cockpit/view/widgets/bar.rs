//! A share as a bar: what is, and what should be.

use super::pen::Pen;
use crate::view::{Scope, Theme};
use flightdeck_model::Traffic;

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Draws a share of traffic: solid up to what is known to be in force, shaded up to what is asked
/// for. Where nothing is known of what is in force, all of it is shaded.
pub(in crate::view) fn traffic(pen: &mut Pen<'_>, traffic: Traffic, columns: u16, scope: Scope, theme: &Theme) {
    let columns = columns.min(pen.left());
    let (solid, part) = eighths(traffic.actual.map_or(0.0, flightdeck_model::Ppm::fraction), columns);
    let (mut wanted, wanted_part) = eighths(traffic.desired.fraction(), columns);
    if wanted_part >= 4 {
        wanted += 1;
    }
    // A share that rounds to nothing is still a share.
    let part = if solid == 0 && part == 0 && traffic.actual.is_some_and(|share| share.0 > 0) { 1 } else { part };
    let mut drawn = solid + u16::from(part > 0);
    let style = theme.style(scope);
    pen.put(&"█".repeat(usize::from(solid)), style);
    pen.put(EIGHTHS.get(usize::from(part)).copied().unwrap_or(""), style);
    if wanted > drawn {
        pen.put(&"▒".repeat(usize::from(wanted - drawn)), theme.style(Scope::BarDesired));
        drawn = wanted;
    }
    pen.put(&"░".repeat(usize::from(columns.saturating_sub(drawn))), theme.style(Scope::BarRest));
}

/// Whole cells and eighths of a cell.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8 × the screen's columns")]
fn eighths(share: f64, columns: u16) -> (u16, u16) {
    let all = (share.clamp(0.0, 1.0) * f64::from(columns) * 8.0).round() as u16;
    (all / 8, all % 8)
}
