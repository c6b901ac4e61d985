//! The cockpit's own log records: from `tracing` to the widget of tui-logger.
//!
//! tui-logger's `init_logger` would start a thread that wakes every 10 ms; here the loop is told
//! when records exist and moves them itself, so an idle cockpit sleeps.

use crate::app::Event;
use flightdeck_model::sanitize_line;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::Sender;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Where the loop hears that there are records.
#[derive(Clone)]
pub(super) struct Records {
    told: Arc<AtomicBool>,
}

impl Records {
    /// Moves what was logged to where the widget reads it.
    pub(super) fn take(&self) {
        self.told.store(false, Ordering::Release);
        tui_logger::move_events();
    }
}

struct Tap {
    told: Arc<AtomicBool>,
    events: Sender<Event>,
}

/// From now on `tracing` goes to the Logs page. False if the program logs elsewhere already.
pub(super) fn install(level: LevelFilter, events: Sender<Event>) -> (Records, bool) {
    let told = Arc::new(AtomicBool::new(false));
    tui_logger::set_default_level(tui_logger::LevelFilter::Trace);
    let tap = Tap { told: Arc::clone(&told), events };
    let installed = tracing_subscriber::registry().with(tap.with_filter(level)).try_init().is_ok();
    (Records { told }, installed)
}

impl<S: tracing::Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let meta = event.metadata();
        let level = match *meta.level() {
            tracing::Level::ERROR => log::Level::Error,
            tracing::Level::WARN => log::Level::Warn,
            tracing::Level::INFO => log::Level::Info,
            tracing::Level::DEBUG => log::Level::Debug,
            tracing::Level::TRACE => log::Level::Trace,
        };
        tui_logger::Drain::new().log(
            &log::Record::builder()
                .args(format_args!("{}", sanitize_line(&text.0)))
                .level(level)
                .target(meta.target())
                .build(),
        );
        // One message stands for all records until the loop has taken them; a full channel means
        // that the loop is about to draw anyway and the next record tells it again.
        if !self.told.swap(true, Ordering::AcqRel) && self.events.try_send(Event::LogRecords).is_err() {
            self.told.store(false, Ordering::Release);
        }
    }
}

/// The message first, then `name=value` of every other field.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String can't fail.
        let _ = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            write!(self.0, "{value:?}{rest}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
