//! Pod templates side by side.

use super::super::json::bare;
use super::super::mask::Masker;
use flightdeck_model::{counted, sanitize_line};
use serde_json::Value;
use similar::TextDiff;

/// Lines of a diff that are kept; a template that changed more is read in its own tool.
const MAX_LINES: usize = 400;
/// An object as YAML.
pub(super) fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| format!("it can't be written as YAML: {error}"))
}

/// What going from one template to the other changes: lines of a unified diff, `-` what only the
/// first has and `+` what only the second has; secrets are masked, and one that changed is shown so.
pub(super) fn templates(from: &Value, to: &Value) -> Vec<String> {
    let (mut from, mut to) = (bare(from), bare(to));
    if from == to {
        return Vec::new();
    }
    let mut masker = Masker::default();
    masker.object(&mut from);
    masker.compare();
    masker.object(&mut to);
    let (from, to) = (yaml(&from), yaml(&to));
    let diff = TextDiff::from_lines(&from, &to);
    let mut lines: Vec<String> =
        diff.unified_diff().context_radius(3).to_string().lines().map(|line| sanitize_line(line.trim_end())).collect();
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("… {}", counted(more, "more line")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(image: &str, token: &str) -> Value {
        json!({
            "metadata": {"creationTimestamp": null, "labels": {"app": "web", "pod-template-hash": image}},
            "spec": {"containers": [{
                "name": "web", "image": image,
                "env": [{"name": "LEVEL", "value": "info"}, {"name": "TOKEN", "value": token}],
            }]},
        })
    }

    #[test]
    fn a_diff_says_what_changes_and_keeps_secrets() {
        assert!(templates(&template("web:1", "a"), &template("web:1", "a")).is_empty());
        let same = json!({"metadata": {"labels": {"app": "web"}}, "spec": template("web:1", "a")["spec"]});
        assert!(templates(&template("web:1", "a"), &same).is_empty(), "what controllers add is no difference");
        let lines = templates(&template("web:2", "hunter2"), &template("web:1", "hunter3"));
        let expected = [
            "@@ -7,6 +7,6 @@",
            "     - name: LEVEL",
            "       value: info",
            "     - name: TOKEN",
            "-      value: •••",
            "-    image: web:2",
            "+      value: ••• (another value)",
            "+    image: web:1",
            "     name: web",
        ];
        assert_eq!(lines, expected);
        let many: Vec<_> = (0..1000).map(|n| json!({"name": format!("V{n}"), "value": "x"})).collect();
        let mut long = template("web:1", "a");
        long["spec"]["containers"][0]["env"] = Value::from(many);
        let lines = templates(&template("web:1", "a"), &long);
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert!(lines.last().is_some_and(|line| line.ends_with("more lines")), "{:?}", lines.last());
    }
}
