//! Which namespaces see an object of the second generation.

use crate::fields::Fields;
use crate::output::Object;

/// Who sees an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportTo {
    /// Only proxies of the object's own namespace: `.`.
    OwnNamespace,
    /// Everybody: `*`.
    All,
}

impl ExportTo {
    pub(crate) fn read(fields: &Fields<'_>) -> Option<ExportTo> {
        let items = fields.items("exportTo");
        if items.len() > 1 {
            fields.problem_at(
                "exportTo",
                "exportTo should have only one entry (. or *) in the current release",
            );
        }
        let mut read = None;
        for at in &items {
            match at.text() {
                Some(".") => read = Some(ExportTo::OwnNamespace),
                Some("*") => read = Some(ExportTo::All),
                Some(other) => at.problem(format!(
                    "only . or * is allowed in the exportTo in the current release, found {other:?}"
                )),
                None => {}
            }
        }
        read
    }

    pub(crate) fn write(export_to: Option<ExportTo>, out: &mut Object) {
        match export_to {
            None => {}
            Some(ExportTo::OwnNamespace) => out.texts("exportTo", &["."]),
            Some(ExportTo::All) => out.texts("exportTo", &["*"]),
        }
    }
}
