//! Cross-origin policy of a route (`spec/traffic-v1alpha2.md` §1.9), the same in both generations.

use std::time::Duration;

use crate::fields::{Fields, Message};
use crate::output::Object;

/// Which pages of other origins may call, answered by the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsPolicy {
    /// Origins that may call, compared whole; `*` for all.
    pub allow_origin: Vec<String>,
    /// Methods they may use.
    pub allow_methods: Vec<String>,
    /// Headers they may send.
    pub allow_headers: Vec<String>,
    /// Headers they may read.
    pub expose_headers: Vec<String>,
    /// How long an answer may be remembered, in whole seconds.
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent; absent to say nothing.
    pub allow_credentials: Option<bool>,
}

/// Methods that may be named.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE",
];

impl Message for CorsPolicy {
    fn read(fields: &Fields<'_>) -> CorsPolicy {
        for at in fields.items("allowMethods") {
            if let Some(method) = at.text().filter(|method| !METHODS.contains(method)) {
                at.problem_with_hint(
                    format!("{method:?} is not a supported HTTP method"),
                    format!("the methods are {}", METHODS.join(", ")),
                );
            }
        }
        let max_age = fields.duration("maxAge", "");
        if max_age.is_some_and(|age| age.subsec_nanos() != 0) {
            fields.problem_at("maxAge", "max_age duration is accurate only to seconds precision");
        }
        CorsPolicy {
            allow_origin: fields.texts("allowOrigin"),
            allow_methods: fields.texts("allowMethods"),
            allow_headers: fields.texts("allowHeaders"),
            expose_headers: fields.texts("exposeHeaders"),
            max_age,
            allow_credentials: fields.opt_flag("allowCredentials"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.texts("allowOrigin", &self.allow_origin);
        out.texts("allowMethods", &self.allow_methods);
        out.texts("allowHeaders", &self.allow_headers);
        out.texts("exposeHeaders", &self.expose_headers);
        out.duration("maxAge", self.max_age);
        out.opt("allowCredentials", self.allow_credentials);
    }
}

/// The stricter form of origins in the second generation: `*` or `[http[s]://]host[:port]`.
pub(crate) fn check_origins(fields: &Fields<'_>) {
    let Some(policy) = fields
        .at("corsPolicy")
        .filter(|at| matches!(at.node.value, crate::document::node::Value::Map(_)))
    else {
        return;
    };
    let Some(policy) = policy.fields() else { return };
    for at in policy.items("allowOrigin") {
        if let Some(origin) = at.text().filter(|origin| !is_origin(origin)) {
            at.problem(format!(
                "CORS Allow Origin must be '*' or of [http[s]://]host[:port] format, found {origin:?}"
            ));
        }
    }
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .unwrap_or(text);
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    crate::host::check_fqdn(&host.to_ascii_lowercase()).is_ok()
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}
