//! The program's own log.

use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::{Ctx, Scope, rect};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget as _;
use tui_logger::{TuiLoggerLevelOutput, TuiLoggerWidget, TuiWidgetEvent, TuiWidgetState};

/// Draws it. The widget reads what the loop moved to it.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let list = rect(ctx.layout.list);
    let frame = Rect { x: 0, y: list.y - 1, width: ctx.state.columns, height: list.height + 2 };
    let back = ctx.state.logs.pages_back;
    let right = if back == 0 { "newest last".to_owned() } else { format!("{back} pages back; G follows") };
    let title = Title { left: "Log of this program".to_owned(), right, focus: true };
    sides(buf, frame, ctx.theme);
    edge(buf, frame, frame.y, Edge::Top, &title, ctx.theme);
    edge(buf, frame, frame.bottom() - 1, Edge::Bottom, &Title::default(), ctx.theme);
    // A fresh one each frame: the state of the page says where it stands, not the widget.
    let place = TuiWidgetState::new();
    let widget = || {
        TuiLoggerWidget::default()
            .style_error(ctx.style(Scope::LogError))
            .style_warn(ctx.style(Scope::LogWarn))
            .style_info(ctx.style(Scope::LogInfo))
            .style_debug(ctx.style(Scope::LogDebug))
            .style_trace(ctx.style(Scope::LogTrace))
            .output_level(Some(TuiLoggerLevelOutput::Long))
            .output_separator(' ')
            .output_file(false)
            .output_line(false)
            .state(&place)
    };
    // The widget learns its height when it is drawn, and only then can it go back a page.
    for _ in 0..back {
        widget().render(list, &mut Buffer::empty(list));
        place.transition(TuiWidgetEvent::PrevPageKey);
    }
    widget().render(list, buf);
}
