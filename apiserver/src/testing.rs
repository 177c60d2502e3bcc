//! Objects and servers for this crate's tests.

use outrigger_api::document::{self, Options};
use outrigger_api::resource::Resource;

/// A gateway with one server on port 80.
pub(crate) fn gateway(namespace: &str, name: &str) -> Resource {
    let json = format!(
        r#"{{"apiVersion":"networking.istio.io/v1alpha3","kind":"Gateway",
            "metadata":{{"name":"{name}","namespace":"{namespace}"}},
            "spec":{{"selector":{{"istio":"ingressgateway"}},
                "servers":[{{"port":{{"number":80,"name":"http","protocol":"HTTP"}},"hosts":["*"]}}]}}}}"#
    );
    document::parse_body(json.as_bytes(), &Options::default())
        .unwrap()
        .resource
}
