//! JSON patches whose tests repeat what was read.

use super::request::Body;
use serde_json::{Value, json};

/// Operations of a JSON patch on an object that was read.
#[derive(Debug, Clone)]
pub struct Ops<'a> {
    raw: &'a Value,
    ops: Vec<Value>,
}

impl<'a> Ops<'a> {
    /// Begins with a test of the object's identity: a namesake made since is another object.
    #[must_use]
    pub fn on(raw: &'a Value) -> Ops<'a> {
        Ops { raw, ops: Vec::new() }.as_read("/metadata/uid")
    }

    /// Nothing of it changed since it was read, by the server's own count.
    #[must_use]
    pub fn unchanged(raw: &'a Value) -> Ops<'a> {
        Ops::on(raw).as_read("/metadata/resourceVersion")
    }

    /// Tests that a value is as it was read. An absent one is tested as null, which the API server
    /// accepts for an absent path (and refuses for `false`); where its parent is absent too, that one
    /// is tested, since a path without parent is an error.
    #[must_use]
    #[expect(clippy::wrong_self_convention, reason = "it adds a test that it is as it was read")]
    pub fn as_read(self, path: &str) -> Ops<'a> {
        let mut path = path;
        while let Some((parent, _)) = path.rsplit_once('/') {
            if parent.is_empty() || self.raw.pointer(parent).is_some() {
                break;
            }
            path = parent;
        }
        let value = self.raw.pointer(path).cloned().unwrap_or(Value::Null);
        self.test(path, value)
    }

    /// Tests a value.
    #[must_use]
    pub fn test(self, path: &str, value: impl Into<Value>) -> Ops<'a> {
        self.push(json!({ "op": "test", "path": path, "value": value.into() }))
    }

    /// Sets a value, whether it is there or not; its parent must be.
    #[must_use]
    pub fn set(self, path: &str, value: impl Into<Value>) -> Ops<'a> {
        self.push(json!({ "op": "add", "path": path, "value": value.into() }))
    }

    /// Sets an annotation below `parent`, such as `/metadata`; what it stands in is made where it is
    /// absent.
    #[must_use]
    pub fn annotate(self, parent: &str, key: &str, value: &str) -> Ops<'a> {
        let annotations = format!("{parent}/annotations");
        let mut ops = self;
        for path in [parent, &annotations] {
            if !ops.raw.pointer(path).is_some_and(Value::is_object) {
                ops = ops.as_read(path).set(path, json!({}));
                if path == parent {
                    ops = ops.set(&annotations, json!({}));
                    break;
                }
            }
        }
        ops.set(&format!("{annotations}/{}", key.replace('~', "~0").replace('/', "~1")), value)
    }

    /// Takes a value away; it must be there.
    #[must_use]
    pub fn remove(self, path: &str) -> Ops<'a> {
        self.push(json!({ "op": "remove", "path": path }))
    }

    /// As a patch.
    #[must_use]
    pub fn body(self) -> Body {
        Body::Json(Value::Array(self.ops))
    }

    fn push(mut self, op: Value) -> Ops<'a> {
        self.ops.push(op);
        self
    }
}
