//! Objects as they come over the wire, parsed one by one: one bad object never spoils a page.
//!
//! kube's own guard keeps a second copy of every object while it parses, and its objects keep all of
//! `managedFields`, which is often most of one: here only who wrote what rows tell of is kept.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, OwnerReference, Time};
use kube::core::{Object, ObjectMeta};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Annotation that holds the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Metadata as far as rows need it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Writer>>,
}

/// Who wrote which fields, and when, as far as rows tell of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Writer {
    manager: Option<String>,
    time: Option<Time>,
    fields_v1: Option<Fields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<SpecFields>,
    #[serde(rename = "f:status")]
    status: Option<StatusFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecFields {
    #[serde(rename = "f:template")]
    template: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusFields {
    #[serde(rename = "f:abort")]
    abort: Option<IgnoredAny>,
}

impl Writer {
    fn into_entry(self) -> Option<ManagedFieldsEntry> {
        let fields = self.fields_v1?;
        let template = fields.spec.is_some_and(|spec| spec.template.is_some());
        let abort = fields.status.is_some_and(|status| status.abort.is_some());
        let mut kept = serde_json::Map::new();
        if template {
            kept.insert("f:spec".to_owned(), serde_json::json!({"f:template": {}}));
        }
        if abort {
            kept.insert("f:status".to_owned(), serde_json::json!({"f:abort": {}}));
        }
        let fields_v1 = (!kept.is_empty()).then(|| FieldsV1(kept.into()))?;
        let (manager, time) = (self.manager, self.time);
        Some(ManagedFieldsEntry { manager, time, fields_v1: Some(fields_v1), ..ManagedFieldsEntry::default() })
    }
}

impl Meta {
    pub fn into_meta(mut self) -> ObjectMeta {
        if let Some(annotations) = self.annotations.as_mut() {
            annotations.remove(LAST_APPLIED);
        }
        ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            labels: self.labels,
            annotations: self.annotations,
            owner_references: self.owner_references,
            managed_fields: self.managed_fields.map(|all| all.into_iter().filter_map(Writer::into_entry).collect()),
            ..ObjectMeta::default()
        }
    }
}

#[derive(Deserialize)]
struct Wire<S, U> {
    #[serde(default)]
    metadata: Meta,
    spec: S,
    status: Option<U>,
}

/// An object's metadata alone.
#[derive(Debug, Deserialize)]
pub(super) struct Bare {
    #[serde(default)]
    pub metadata: Meta,
}

/// What a page of a list says of itself.
#[derive(Deserialize)]
pub(super) struct Skimmed {
    #[serde(default)]
    pub metadata: PageMeta,
}

/// The objects of a page.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub metadata: PageMeta,
    #[serde(borrow)]
    pub items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageMeta {
    pub resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub next: Option<String>,
}

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub object: &'a RawValue,
}

/// An object from JSON, with as much of its metadata as rows need.
pub(super) fn object<S: DeserializeOwned + Clone, U: DeserializeOwned + Clone>(
    text: &str,
) -> serde_json::Result<Object<S, U>> {
    let Wire { metadata, spec, status } = serde_json::from_str(text)?;
    Ok(Object { types: None, metadata: metadata.into_meta(), spec, status })
}
