//! Envoy: the same table as ours, one worker, statistics on as always, access log off.

use std::ffi::OsString;

use anyhow::Result;

use super::{Site, write};
use crate::mesh_table;

pub(super) fn configure(site: &Site<'_>) -> Result<Vec<OsString>> {
    let table = write(
        site,
        "envoy.yaml",
        &mesh_table::bootstrap(site.case, site.listen, site.backend),
    )?;
    let mut args: Vec<OsString> = vec!["--config-path".into(), table.into()];
    let more = [
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "error",
    ];
    args.extend(more.map(Into::into));
    Ok(args)
}
