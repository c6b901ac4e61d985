//! Prometheus' text format.
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::Write as _;

/// A page of metrics under way.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a family; its samples must follow before the next one begins.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One sample. `value` is a number as Rust writes it, which the format takes.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.write(format_args!("{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' }));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(what); // writing to a String can't fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.family("up", "gauge", "Is it\nup?");
        page.sample("up", &[("service", "a\"b\\c\nd"), ("role", "stable")], 1);
        page.sample("plain", &[], 0.25);
        assert_eq!(
            page.finish(),
            "# HELP up Is it\\nup?\n# TYPE up gauge\nup{service=\"a\\\"b\\\\c\\nd\",role=\"stable\"} 1\nplain 0.25\n"
        );
    }
}
