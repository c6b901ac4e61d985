//! An instance's output, followed.

use super::Page;
use crate::app::Effect;
use crate::app::command::{Bound, UiCommand};
use crate::app::controller::Controller;
use crate::app::keymap::Context;
use crate::app::list::{Motion, text};
use crate::app::nav::descend;
use crate::app::panels::selected_instance;
use crate::app::state::{OutputPage, State};
use std::collections::VecDeque;

/// The first line on a screen of that height, as an index into the lines.
#[must_use]
pub fn first_line(output: &OutputPage, height: usize) -> usize {
    let last = output.lines.len().saturating_sub(height);
    if output.follow {
        return last;
    }
    usize::try_from(output.top.saturating_sub(output.dropped)).unwrap_or(last).min(last)
}

/// Follows the selected instance of the opened rollout.
pub(super) fn follow(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(instance) = selected_instance(state) else { return };
    let Some(connection) = state.owners.get(&instance.target.source).copied() else { return };
    let opened = state.rollout.as_ref().map(|page| page.run.target.to_string()).unwrap_or_default();
    let title = format!("{} {} of {opened}", instance.id, instance.version);
    let (instance, logs) = (instance.id.clone(), instance.logs.clone());
    let token = state.token();
    let mut page = OutputPage {
        copies: instance.clone(),
        title,
        token,
        connection,
        lines: VecDeque::new(),
        dropped: 0,
        follow: true,
        top: 0,
        ended: None,
    };
    match logs {
        None => effects.push(Effect::Follow { connection, token, instance }),
        Some(command) => {
            let key = state.settings.keymap.first_key(&[Context::Global], Bound::Ui(UiCommand::Copy));
            let said = [
                "flightdeck does not read the output of pods yet. This command line does:",
                "",
                &command,
                "",
                &format!("{key} copies it."),
            ];
            page.lines = said.map(str::to_owned).into();
            page.ended = Some("not read".to_owned());
            page.copies = command;
        }
    }
    descend(state, Page::Output, effects);
    state.output = Some(page);
}

/// The page.
pub struct Output;

impl Controller for Output {
    /// Scrolling up ends the following, going to the last line starts it.
    fn motion(&self, state: &mut State, height: usize, by: Motion) {
        let Some(output) = &mut state.output else { return };
        if by == Motion::Last {
            output.follow = true;
            return;
        }
        let first = first_line(output, height);
        let top = text(first, output.lines.len(), height, by);
        if top < first || !output.follow {
            output.follow = false;
            output.top = output.dropped + top as u64;
        }
    }

    fn is_wide(&self, _: &State) -> bool {
        true
    }

    fn copied(&self, state: &State) -> Option<String> {
        state.output.as_ref().map(|output| output.copies.clone())
    }
}
