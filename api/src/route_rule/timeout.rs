//! Timeouts and retries of a RouteRule (`spec/traffic-v1alpha2.md` §1.5).

use std::time::Duration;

use crate::custom::Custom;
use crate::fields::{Fields, Message};
use crate::output::Object;

/// How long a request may take in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpTimeout {
    /// A fixed time.
    Simple {
        /// Total time, retries included, at least 1 ms; then the caller gets 504.
        timeout: Duration,
        /// Kept, without effect.
        override_header_name: String,
    },
    /// Somebody else's policy: kept, without effect.
    Custom(Custom),
}

impl Message for HttpTimeout {
    fn read(fields: &Fields<'_>) -> HttpTimeout {
        let set = fields.one_of(&["simpleTimeout", "custom"]);
        if set.is_empty() {
            fields.problem("httpTimeout invalid: simpleTimeout or custom is required");
        }
        if let Some(custom) = fields.custom("custom") {
            return HttpTimeout::Custom(custom);
        }
        let (mut timeout, mut override_header_name) = (Duration::ZERO, String::new());
        if let Some(simple) = fields.at("simpleTimeout").and_then(|at| at.fields()) {
            if !simple.has("timeout") {
                simple.problem_at("timeout", "httpTimeout invalid: timeout is required");
            }
            timeout = simple
                .duration("timeout", "httpTimeout invalid: ")
                .unwrap_or_default();
            override_header_name = simple.text("overrideHeaderName");
            simple.finish();
        }
        HttpTimeout::Simple {
            timeout,
            override_header_name,
        }
    }

    fn write(&self, out: &mut Object) {
        match self {
            HttpTimeout::Simple {
                timeout,
                override_header_name,
            } => {
                let mut simple = Object::default();
                simple.duration("timeout", Some(*timeout));
                simple.text("overrideHeaderName", override_header_name);
                out.value("simpleTimeout", simple.finish());
            }
            HttpTimeout::Custom(custom) => out.custom("custom", Some(custom)),
        }
    }
}

/// What happens after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpRetry {
    /// A number of further attempts, on `5xx,connect-failure,refused-stream`.
    Simple {
        /// Most retries; 0 for none.
        attempts: u32,
        /// Time for each attempt, at least 1 ms; absent for the whole timeout of the request.
        per_try_timeout: Option<Duration>,
        /// Kept, without effect.
        override_header_name: String,
    },
    /// Somebody else's policy: kept, without effect.
    Custom(Custom),
}

impl Message for HttpRetry {
    fn read(fields: &Fields<'_>) -> HttpRetry {
        let set = fields.one_of(&["simpleRetry", "custom"]);
        if set.is_empty() {
            fields.problem("httpReqRetries invalid: simpleRetry or custom is required");
        }
        if let Some(custom) = fields.custom("custom") {
            return HttpRetry::Custom(custom);
        }
        let (mut attempts, mut per_try_timeout, mut override_header_name) = (0, None, String::new());
        if let Some(simple) = fields.at("simpleRetry").and_then(|at| at.fields()) {
            attempts = simple
                .count("attempts", "attempts must be in range [0..]")
                .unwrap_or(0);
            per_try_timeout = simple.duration("perTryTimeout", "perTryTimeout invalid: ");
            override_header_name = simple.text("overrideHeaderName");
            simple.finish();
        }
        HttpRetry::Simple {
            attempts,
            per_try_timeout,
            override_header_name,
        }
    }

    fn write(&self, out: &mut Object) {
        match self {
            HttpRetry::Simple {
                attempts,
                per_try_timeout,
                override_header_name,
            } => {
                let mut simple = Object::default();
                simple.integer("attempts", *attempts);
                simple.duration("perTryTimeout", *per_try_timeout);
                simple.text("overrideHeaderName", override_header_name);
                out.value("simpleRetry", simple.finish());
            }
            HttpRetry::Custom(custom) => out.custom("custom", Some(custom)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn timeouts_and_retries_are_checked() {
        check(
            Kind::RouteRule,
            &[
                (
                    "{destination: {service: a.b}, httpReqTimeout: {simpleTimeout: {timeout: 10s}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {custom: {'@type': a/b, x: [1, 2.5, null, yes]}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, httpReqRetries: {simpleRetry: {attempts: 3}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, httpReqRetries: {simpleRetry: {attempts: 3, perTryTimeout: 2s}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, httpReqRetries: {custom: {'@type': a/b}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {}, httpReqRetries: {}}",
                    &[
                        "spec.httpReqTimeout: httpTimeout invalid: simpleTimeout or custom is required",
                        "spec.httpReqRetries: httpReqRetries invalid: simpleRetry or custom is required",
                    ],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {simpleTimeout: {}}}",
                    &["spec.httpReqTimeout.simpleTimeout.timeout: httpTimeout invalid: timeout is required"],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {simpleTimeout: {timeout: 0s}}}",
                    &[
                        "spec.httpReqTimeout.simpleTimeout.timeout: httpTimeout invalid: duration must be greater than 1ms",
                    ],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {simpleTimeout: {timeout: 1500us}}}",
                    &[
                        "spec.httpReqTimeout.simpleTimeout.timeout: httpTimeout invalid: only durations to ms precision are supported",
                    ],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {simpleTimeout: {timeout: 10}}}",
                    &[
                        "spec.httpReqTimeout.simpleTimeout.timeout: must be a duration like \"10s\", found the number 10",
                    ],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {simpleTimeout: {timeout: 1s}, custom: {'@type': x}}}",
                    &["spec.httpReqTimeout.custom: only one of simpleTimeout, custom may be set"],
                ),
                (
                    "{destination: {service: a.b}, httpReqTimeout: {custom: {x: 1}}}",
                    &["spec.httpReqTimeout.custom: a custom message must name its type in \"@type\""],
                ),
                (
                    "{destination: {service: a.b}, httpReqRetries: {simpleRetry: {attempts: -1, perTryTimeout: 0s}}}",
                    &[
                        "spec.httpReqRetries.simpleRetry.attempts: attempts must be in range [0..], found -1",
                        "spec.httpReqRetries.simpleRetry.perTryTimeout: perTryTimeout invalid: duration must be greater than 1ms",
                    ],
                ),
            ],
        );
    }
}
