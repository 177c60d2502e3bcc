//! HAProxy: one thread, one backend, connections to it shared by all clients, no log.

use std::ffi::OsString;

use anyhow::Result;

use super::{Site, write};
use crate::case::Case;

pub(super) fn configure(site: &Site<'_>) -> Result<Vec<OsString>> {
    let path = write(site, "haproxy.cfg", &text(site))?;
    // -db: in the foreground, one process.
    Ok(vec!["-db".into(), "-f".into(), path.into()])
}

fn text(site: &Site<'_>) -> String {
    let (mode, protocol, reuse) = match site.case {
        Case::H1Small | Case::H1Large => ("http", "", "    http-reuse always\n"),
        Case::H2c => ("http", " proto h2", "    http-reuse always\n"),
        Case::Tcp => ("tcp", "", ""),
    };
    format!(
        "global
    nbthread 1
    maxconn 4096
defaults
    mode {mode}
    timeout connect 1s
    timeout client 60s
    timeout server 60s
frontend measured
    bind {}{protocol}
    default_backend service
backend service
{reuse}    server one {}{protocol}
",
        site.listen, site.backend
    )
}
