//! What every object carries beside its spec: its name and what the API server keeps about it.

use std::collections::BTreeMap;

use crate::fields::{Fields, Message};
use crate::host;
use crate::output::Object;

/// Metadata of an object (`spec/apiserver.md` §4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Name, unique in kind and namespace; empty only while `generate_name` waits for the server.
    pub name: String,
    /// Beginning of a name that the server completes; empty when unused.
    pub generate_name: String,
    /// Namespace; empty when the document gives none and no default was set.
    pub namespace: String,
    /// Identity given by the server; empty before.
    pub uid: String,
    /// Opaque version given by the server, compared on replace; absent in new documents.
    pub resource_version: Option<String>,
    /// Counts changes of the spec from 1; 0 before the server has seen the object.
    pub generation: u64,
    /// RFC 3339 time in seconds, UTC, given by the server.
    pub creation_timestamp: Option<String>,
    /// RFC 3339 time at which deletion was asked for, while finalizers hold the object.
    pub deletion_timestamp: Option<String>,
    /// Labels for selectors of list and watch.
    pub labels: BTreeMap<String, String>,
    /// Free notes; keys are qualified names, values any text, 256 KiB together.
    pub annotations: BTreeMap<String, String>,
    /// Who must agree before the object is gone.
    pub finalizers: Vec<String>,
    /// Objects that this one belongs to.
    pub owner_references: Vec<OwnerReference>,
}

/// Largest sum of annotation keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

impl Message for ObjectMeta {
    fn read(fields: &Fields<'_>) -> ObjectMeta {
        for ignored in [
            "selfLink",
            "managedFields",
            "clusterName",
            "deletionGracePeriodSeconds",
        ] {
            fields.skip(ignored);
        }
        let resource_version = fields.text("resourceVersion");
        let meta = ObjectMeta {
            name: fields.text("name"),
            generate_name: fields.text("generateName"),
            namespace: fields.text("namespace"),
            uid: fields.text("uid"),
            resource_version: Some(resource_version).filter(|version| !version.is_empty()),
            generation: fields.integer("generation").unwrap_or(0),
            creation_timestamp: Some(fields.text("creationTimestamp")).filter(|time| !time.is_empty()),
            deletion_timestamp: Some(fields.text("deletionTimestamp")).filter(|time| !time.is_empty()),
            labels: fields.text_map("labels"),
            annotations: fields.text_map("annotations"),
            finalizers: fields.texts("finalizers"),
            owner_references: fields.messages("ownerReferences"),
        };
        if !meta.namespace.is_empty() && !host::is_label(&meta.namespace) {
            fields.problem_at(
                "namespace",
                format!(
                    "namespace {:?} must be a DNS label: lower case letters, digits and '-'",
                    meta.namespace
                ),
            );
        }
        check_maps(fields);
        meta
    }

    fn write(&self, out: &mut Object) {
        out.text("name", &self.name);
        out.text("generateName", &self.generate_name);
        out.text("namespace", &self.namespace);
        out.text("uid", &self.uid);
        out.opt("resourceVersion", self.resource_version.as_deref());
        if self.generation != 0 {
            out.value("generation", self.generation);
        }
        out.opt("creationTimestamp", self.creation_timestamp.as_deref());
        out.opt("deletionTimestamp", self.deletion_timestamp.as_deref());
        out.text_map("labels", &self.labels);
        out.text_map("annotations", &self.annotations);
        out.texts("finalizers", &self.finalizers);
        out.messages("ownerReferences", &self.owner_references);
    }
}

/// An object that another one belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerReference {
    /// Group and version of the owner.
    pub api_version: String,
    /// Kind of the owner, also one the mesh does not know.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// Identity of the owner.
    pub uid: String,
    /// Whether the owner manages this object.
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for this object.
    pub block_owner_deletion: bool,
}

impl Message for OwnerReference {
    fn read(fields: &Fields<'_>) -> OwnerReference {
        OwnerReference {
            api_version: fields.text("apiVersion"),
            kind: fields.text("kind"),
            name: fields.text("name"),
            uid: fields.text("uid"),
            controller: fields.flag("controller"),
            block_owner_deletion: fields.flag("blockOwnerDeletion"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("apiVersion", &self.api_version);
        out.text("kind", &self.kind);
        out.text("name", &self.name);
        out.text("uid", &self.uid);
        out.flag("controller", self.controller);
        out.flag("blockOwnerDeletion", self.block_owner_deletion);
    }
}

/// The name that `generateName` becomes with an ending of the server's: at most 58 characters of it, and the ending.
pub fn generated(beginning: &str, ending: &str) -> String {
    beginning.chars().take(58).chain(ending.chars()).collect()
}

/// True for a DNS-1123 subdomain: labels joined by dots, at most 253 bytes.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(host::is_label)
}

fn check_maps(fields: &Fields<'_>) {
    for (key, at) in fields.entries("labels") {
        if !is_qualified_name(key) {
            at.problem(format!(
                "label key {key:?} must be a qualified name like app or example.com/app"
            ));
        }
        if let Some(value) = at
            .text()
            .filter(|value| !value.is_empty() && !is_name_part(value))
        {
            at.problem(format!(
                "label value {value:?} must be at most 63 letters, digits, '-', '_' or '.', with a letter or digit \
                 at both ends"
            ));
        }
    }
    let mut bytes = 0;
    for (key, at) in fields.entries("annotations") {
        if !is_qualified_name(&key.to_ascii_lowercase()) {
            at.problem(format!(
                "annotation key {key:?} must be a qualified name like note or example.com/note"
            ));
        }
        bytes += key.len() + at.text().map_or(0, str::len);
    }
    if bytes > MAX_ANNOTATIONS {
        fields.problem_at(
            "annotations",
            format!("annotations are {bytes} bytes in all, at most {MAX_ANNOTATIONS} are allowed"),
        );
    }
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
        None => is_name_part(key),
    }
}

fn is_name_part(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
}
