//! The sample's rules, as files: for each platform's names, in both generations.

use std::io;
use std::path::Path;

/// A file's path below the rules folder, and its text.
pub type File = (&'static str, &'static str);

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../rules/", $path)))),*]
    };
}

/// Every rule file of the sample.
pub const FILES: &[File] = files![
    "consul/gateway.yaml",
    "consul/v1alpha2/route-rule-all-v1.yaml",
    "consul/v1alpha2/route-rule-reviews-50-v3.yaml",
    "consul/v1alpha2/route-rule-reviews-test-v2.yaml",
    "consul/v1alpha2/route-rule-reviews-v3.yaml",
    "consul/v1alpha3/destination-rule-all.yaml",
    "consul/v1alpha3/virtual-service-all-v1.yaml",
    "consul/v1alpha3/virtual-service-reviews-50-v3.yaml",
    "consul/v1alpha3/virtual-service-reviews-test-v2.yaml",
    "consul/v1alpha3/virtual-service-reviews-v3.yaml",
    "static/gateway.yaml",
    "static/v1alpha2/route-rule-all-v1.yaml",
    "static/v1alpha2/route-rule-reviews-50-v3.yaml",
    "static/v1alpha2/route-rule-reviews-test-v2.yaml",
    "static/v1alpha2/route-rule-reviews-v3.yaml",
    "static/v1alpha3/destination-rule-all.yaml",
    "static/v1alpha3/virtual-service-all-v1.yaml",
    "static/v1alpha3/virtual-service-reviews-50-v3.yaml",
    "static/v1alpha3/virtual-service-reviews-test-v2.yaml",
    "static/v1alpha3/virtual-service-reviews-v3.yaml",
];

/// Writes all of them below `folder`.
pub fn write_to(folder: &Path) -> io::Result<()> {
    for (path, text) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(())
}
