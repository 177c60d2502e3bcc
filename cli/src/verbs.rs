//! The operator's verbs, one file each, with the words and columns that `istioctl` users know.

pub(crate) mod completion;
pub(crate) mod context_create;
pub(crate) mod delete;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod proxy_status;
pub(crate) mod validate;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod write;
