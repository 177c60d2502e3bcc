//! How bars start a control plane: every port on one loopback address, the store in a folder.

use std::net::Ipv4Addr;
use std::path::Path;

/// Port of the config API.
pub const API_PORT: u16 = 8080;
/// Port of pilot's ADS.
pub const ADS_PORT: u16 = 15010;
/// Port of pilot's debug pages.
pub const PILOT_PORT: u16 = 15007;
/// Port of the metrics.
const MONITORING_PORT: u16 = 9093;

/// Arguments of `outrigger serve` on `address`, with its store in `data`.
pub fn arguments(address: Ipv4Addr, data: &Path) -> Vec<String> {
    let mut args = vec![
        "serve".to_owned(),
        "--data-dir".to_owned(),
        data.display().to_string(),
    ];
    for (flag, port) in [
        ("--api-address", API_PORT),
        ("--grpc-address", ADS_PORT),
        ("--http-address", PILOT_PORT),
        ("--monitoring-address", MONITORING_PORT),
    ] {
        args.extend([flag.to_owned(), format!("{address}:{port}")]);
    }
    args
}
