//! Where in a resource the compiler is, kept as a chain on the stack and written out only for an error.

use std::fmt;
use std::time::Duration;

use outrigger_xds::UnpackError;
use outrigger_xds::pb::google::protobuf;

use crate::table::TableError;

/// A field of a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    resource: &'a str,
    parent: Option<&'a At<'a>>,
    name: &'a str,
    index: Option<usize>,
}

impl<'a> At<'a> {
    /// The resource itself.
    pub(super) fn resource(name: &'a str) -> At<'a> {
        At {
            resource: name,
            parent: None,
            name: "",
            index: None,
        }
    }

    /// A field of this.
    pub(super) fn at(&'a self, name: &'a str) -> At<'a> {
        At {
            resource: self.resource,
            parent: Some(self),
            name,
            index: None,
        }
    }

    /// An element of a repeated field of this.
    pub(super) fn nth(&'a self, name: &'a str, index: usize) -> At<'a> {
        At {
            resource: self.resource,
            parent: Some(self),
            name,
            index: Some(index),
        }
    }

    /// An error here.
    pub(super) fn error(&self, message: impl Into<String>) -> TableError {
        TableError::new(self.resource, self.to_string(), message)
    }

    /// The error for a field that has no effect in this proxy.
    pub(super) fn not_supported(&self) -> TableError {
        self.error("is not supported by this proxy: remove it")
    }

    /// The error for an `Any` that is not what it has to be.
    pub(super) fn garbled(&self, error: &UnpackError) -> TableError {
        self.error(error.to_string())
    }

    /// A duration of zero or more; `None` when the field is not set.
    pub(super) fn duration(
        &self,
        value: Option<&protobuf::Duration>,
    ) -> Result<Option<Duration>, TableError> {
        let Some(value) = value else { return Ok(None) };
        match (u64::try_from(value.seconds), u32::try_from(value.nanos)) {
            (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 && seconds <= 315_576_000_000 => {
                Ok(Some(Duration::new(seconds, nanos)))
            }
            _ => Err(self.error(format!(
                "a duration must be between 0 and 10000 years, found {} s and {} ns",
                value.seconds, value.nanos
            ))),
        }
    }

    /// A duration where 0 means "without limit" and absence means `default`.
    pub(super) fn limit(
        &self,
        value: Option<&protobuf::Duration>,
        default: Option<Duration>,
    ) -> Result<Option<Duration>, TableError> {
        Ok(self
            .duration(value)?
            .map_or(default, |found| Some(found).filter(|found| !found.is_zero())))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            if parent.parent.is_some() {
                write!(f, "{parent}.")?;
            }
            f.write_str(self.name)?;
        }
        match self.index {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// True when somebody has set the field.
pub(super) fn is_set<T: Default + PartialEq>(value: &T) -> bool {
    *value != T::default()
}

/// Refuses the message when one of the listed fields is set.
macro_rules! refuse {
    ($at:expr, $message:expr, $($field:ident),+ $(,)?) => {
        $(if $crate::table::from_xds::at::is_set(&$message.$field) {
            return Err($at.at(stringify!($field)).not_supported());
        })+
    };
}
pub(super) use refuse;
