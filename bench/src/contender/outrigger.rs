//! Our proxy: the table as a static bootstrap, one worker, metrics on as always, access log off.

use std::ffi::OsString;
use std::net::Ipv4Addr;

use anyhow::Result;

use super::{Site, write};
use crate::mesh_table;

pub(super) fn configure(site: &Site<'_>) -> Result<Vec<OsString>> {
    let table = write(
        site,
        "outrigger.yaml",
        &mesh_table::bootstrap(site.case, site.listen, site.backend),
    )?;
    let mut args: Vec<OsString> = ["proxy", "gateway", "--workers", "1", "--address"]
        .map(Into::into)
        .into();
    args.push(own_address(site.listen.port()).to_string().into());
    args.push("--static".into());
    args.push(table.into());
    Ok(args)
}

/// The address of an instance's admin and metrics ports, which are the same ports for every proxy. Loopback is a
/// whole network, so instances told apart by their listening port never meet.
fn own_address(port: u16) -> Ipv4Addr {
    let [high, low] = port.to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}
