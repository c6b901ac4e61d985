//! Server-sent events, as far as flightdeck's server writes them.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// The last `id` that the stream told, this event's included.
    pub(super) id: Option<String>,
    /// Its `data` lines, joined by line feeds.
    pub(super) data: String,
}

/// Collects lines into events.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    id: Option<String>,
    data: Option<String>,
}

impl SseParser {
    /// Takes one line without its end; gives the event that it completes. Comments, unknown fields
    /// and events without data give nothing.
    pub(super) fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            return self.data.take().map(|data| SseEvent { id: self.id.clone(), data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<SseEvent> {
        let mut parser = SseParser::default();
        text.split('\n').filter_map(|line| parser.line(line)).collect()
    }

    fn event(id: Option<&str>, data: &str) -> SseEvent {
        SseEvent { id: id.map(str::to_owned), data: data.to_owned() }
    }

    #[test]
    fn lines_become_events() {
        for (given, events) in [
            ("id: 7:1\ndata: {}\n\n", vec![event(Some("7:1"), "{}")]),
            (": alive\n\n:\n\n", vec![]),
            ("data: a\ndata: b\n\n", vec![event(None, "a\nb")]),
            ("id: 1\ndata:x\n\ndata: y\n\n", vec![event(Some("1"), "x"), event(Some("1"), "y")]),
            ("retry: 5\nevent: z\nid: 2\n\n", vec![]),
            ("data\n\n", vec![event(None, "")]),
            ("data: unfinished", vec![]),
        ] {
            assert_eq!(parse(given), events, "{given:?}");
        }
    }
}
