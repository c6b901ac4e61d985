use super::*;
use crate::orchestrator::kubernetes::kind::named;
use serde_json::json;

fn kind() -> &'static dyn Kind {
    named("Deployment").unwrap()
}

fn object(name: &str, version: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version,
        "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {}}}]}, "spec": {"selector": {}, "template": {}}})
}

fn line(kind: &str, object: &serde_json::Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn told(changes: &Changes) -> Vec<String> {
    let name = |item: &Item| item.workload.meta().name.clone().unwrap_or_default();
    let words = |heard: &Heard| match heard {
        Heard::Objects(items) => format!("{:?}", items.iter().map(name).collect::<Vec<_>>()),
        Heard::Gone(uids) => format!("gone {uids:?}"),
        other => format!("{other:?}"),
    };
    changes.heard.iter().map(words).collect()
}

#[test]
fn lines_are_told_in_their_order() {
    let text = [
        line("ADDED", &object("a", "1")),
        line("MODIFIED", &object("b", "2")),
        "\n".to_owned(),
        line("DELETED", &object("a", "3")),
        line("ADDED", &object("a", "4")),
        line("BOOKMARK", &json!({"metadata": {"resourceVersion": "9"}})),
        line("LATER", &json!({})),
    ]
    .concat();
    let changes = read_lines(kind(), text.as_bytes()).unwrap();
    assert_eq!(told(&changes), [r#"["a", "b"]"#, r#"gone ["a"]"#, r#"["a"]"#]);
    assert_eq!((changes.version.as_deref(), changes.failure), (Some("9"), None));
}

#[test]
fn an_error_in_the_stream_ends_it_after_what_came_before() {
    let status = |code: u16| json!({"kind": "Status", "code": code, "message": "too old", "reason": "Expired"});
    let text =
        [line("ADDED", &object("a", "1")), line("ERROR", &status(410)), line("ADDED", &object("b", "2"))].concat();
    let changes = read_lines(kind(), text.as_bytes()).unwrap();
    assert_eq!((told(&changes), changes.failure), (vec![r#"["a"]"#.to_owned()], Some(Failure::Expired)));
    let changes = read_lines(kind(), line("ERROR", &status(500)).as_bytes()).unwrap();
    assert_eq!(changes.failure, Some(Failure::Other("the API server answers 500: too old".into())));
}

#[test]
fn what_is_no_watch_is_an_error_and_no_panic() {
    for text in ["<html>\n", "{}\n", "[1]\n", "{\"type\":\"ADDED\"}\n", "\u{0}\n"] {
        assert!(read_lines(kind(), text.as_bytes()).is_err(), "{text:?}");
    }
    // An object that is not one is left out.
    let changes = read_lines(kind(), line("ADDED", &json!(7)).as_bytes()).unwrap();
    assert_eq!(told(&changes), Vec::<String>::new());
}

#[test]
fn one_bad_object_spoils_no_page() {
    let mut bad = object("bad", "2");
    bad["spec"]["replicas"] = json!("three");
    let page = json!({"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [object("a", "1"), bad, 7, object("b", "3")]});
    let text = page.to_string();
    let (items, meta) = (read_page(kind(), text.as_bytes()).unwrap(), skim(text.as_bytes()).unwrap());
    let problems: Vec<_> =
        items.iter().map(|item| (item.workload.meta().name.as_deref(), item.problem.is_some())).collect();
    assert_eq!(problems, [(Some("a"), false), (Some("bad"), true), (Some("b"), false)]);
    let kept = items.iter().flat_map(|item| item.workload.meta().managed_fields.iter().flatten());
    assert_eq!(kept.count(), 0, "of who wrote what, only what rows tell of is kept");
    assert_eq!((meta.resource_version.as_deref(), meta.next.as_deref()), (Some("7"), Some("more")));
    assert!(read_page(kind(), br#"{"metadata": {}, "items": null}"#).unwrap().is_empty());
    assert!(read_page(kind(), b"<html>").is_err() && skim(b"<html>").is_err());
}
