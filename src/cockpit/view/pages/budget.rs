//! The Deck's column of error budgets.

use crate::app::pages::deck::DeckRow;
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope};
use flightdeck_board::objectives::{Standing, left, ranked, standing, times};
use flightdeck_model::NotKnown;

/// `✗ -120 %`, `? no data`.
pub(super) const LEFT: u16 = 9;
/// The same with ` 16/22×` after it.
pub(super) const WIDTH: u16 = LEFT + 9;

/// The row's worst objective: `87 % 0.4/1.2×`, `✗ 12 % 16/22×`, `? no data`.
pub(super) fn cell(ctx: &Ctx<'_>, pen: &mut Pen<'_>, row: &DeckRow<'_>, width: u16) {
    let worst = ranked(&row.rollout.objectives, ctx.now);
    let Some(status) = worst.first() else {
        pen.cell("-", width, ctx.style(Scope::Faint));
        return;
    };
    let (sign, scope) = match standing(status, ctx.now) {
        Standing::Burning => ("✗ ", Scope::SeverityFailing),
        Standing::Spent => ("", Scope::SeverityDegraded),
        Standing::NotKnown => ("? ", Scope::ToneWarn),
        Standing::Kept => ("", Scope::Text),
    };
    let budget = left(status, ctx.now);
    let burn = |rate: Result<f64, NotKnown<'_>>| rate.map_or_else(|_| "?".to_owned(), times);
    let burns = [status.long_burn(ctx.now), status.short_burn(ctx.now)];
    let [long, short] = burns.map(burn);
    let words = match (budget, burns.iter().all(Result::is_err)) {
        (Err(why), true) => unknown(why).to_owned(),
        (Ok(budget), _) if width < WIDTH => budget,
        (Err(_), _) if width < WIDTH => long,
        (budget, _) => {
            let budget = budget.unwrap_or_else(|_| "?".to_owned());
            format!("{budget} {}/{short}", long.trim_end_matches('×'))
        }
    };
    let words = format!("{sign}{words}");
    pen.cell(&words, width, ctx.style(scope));
}

/// Why a budget is not known, in a word; the Rollout page has it in full.
const fn unknown(why: NotKnown<'_>) -> &'static str {
    match why {
        NotKnown::Unasked | NotKnown::Unmeasured(_) => "no data",
        NotKnown::Old { .. } => "old",
        NotKnown::NoRequests => "idle",
    }
}
