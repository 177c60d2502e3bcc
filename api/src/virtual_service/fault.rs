//! Faults of an HTTP route (`spec/traffic-v1alpha3.md` §1.3).

use std::time::Duration;

use crate::fields::{Fields, Message};
use crate::output::Object;
use crate::percent::{self, Percent};
use crate::route_rule::read_status;

/// Faults injected into requests; at least one of the two is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Added latency, before an abort.
    pub delay: Option<Delay>,
    /// An answer in place of the service's.
    pub abort: Option<Abort>,
}

impl Message for Fault {
    fn read(fields: &Fields<'_>) -> Fault {
        if !fields.has("delay") && !fields.has("abort") {
            fields.problem("HTTP fault injection must have an abort and/or a delay");
        }
        Fault {
            delay: fields.message("delay"),
            abort: fields.message("abort"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("delay", self.delay.as_ref());
        out.message("abort", self.abort.as_ref());
    }
}

/// Latency added to a share of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Share of the requests; absent for all, 0 for none.
    pub percentage: Option<Percent>,
    /// The latency, at least 1 ms.
    pub fixed_delay: Duration,
}

impl Message for Delay {
    fn read(fields: &Fields<'_>) -> Delay {
        fields.one_of(&["fixedDelay", "exponentialDelay"]);
        if fields.has("exponentialDelay") {
            fields.problem_at("exponentialDelay", "exponentialDelay not supported yet");
        } else if !fields.has("fixedDelay") {
            fields.problem_at("fixedDelay", "fixedDelay is required");
        }
        Delay {
            percentage: read_share(fields),
            fixed_delay: fields.duration("fixedDelay", "").unwrap_or_default(),
        }
    }

    fn write(&self, out: &mut Object) {
        write_share(self.percentage, out);
        out.duration("fixedDelay", Some(self.fixed_delay));
    }
}

/// An answer that a share of the requests gets from the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abort {
    /// Share of the requests; absent for all, 0 for none.
    pub percentage: Option<Percent>,
    /// The status of the answer, 0 to 600.
    pub http_status: u16,
}

impl Message for Abort {
    fn read(fields: &Fields<'_>) -> Abort {
        let set = fields.one_of(&["httpStatus", "grpcStatus", "http2Error"]);
        if set.is_empty() {
            fields.problem_at("httpStatus", "abort must have an httpStatus");
        }
        for name in ["grpcStatus", "http2Error"] {
            if fields.has(name) {
                fields.problem_at(name, format!("{name} not supported yet"));
            }
        }
        Abort {
            percentage: read_share(fields),
            http_status: read_status(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        write_share(self.percentage, out);
        out.value("httpStatus", self.http_status);
    }
}

/// `percentage: {value}`, or the older whole `percent`; the first wins.
fn read_share(fields: &Fields<'_>) -> Option<Percent> {
    let percent = percent::read(fields, "percent", "");
    if percent.is_some_and(|percent| !percent.millionths().is_multiple_of(10_000)) {
        fields.problem_at(
            "percent",
            "percent must be a whole number, use percentage.value for fractions",
        );
    }
    let Some(percentage) = fields.at("percentage").and_then(|at| at.fields()) else {
        return percent;
    };
    let value = percentage.at("value").and_then(|at| at.number()).unwrap_or(0.0);
    percentage.finish();
    let share = Percent::new(value).filter(|_| value == 0.0 || value >= 0.0001);
    if share.is_none() {
        percentage.problem_at(
            "value",
            format!("percentage {value} is neither 0.0 nor in the range [0.0001, 100.0]"),
        );
    }
    share
}

fn write_share(share: Option<Percent>, out: &mut Object) {
    if let Some(share) = share {
        let mut percentage = Object::default();
        percentage.value("value", share.to_json());
        out.value("percentage", percentage.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::trial::{accepted, check};
    use crate::virtual_service::VirtualService;

    const ROUTE: &str = "route: [{destination: {host: a.b}}]";

    #[test]
    fn faults_are_checked() {
        for (fault, expected) in [
            (
                "{delay: {fixedDelay: 7s, percent: 100}, abort: {httpStatus: 500, percentage: {value: 0.0001}}}",
                &[] as &[&str],
            ),
            ("{abort: {httpStatus: 500, percentage: {value: 0}}}", &[]),
            (
                "{}",
                &["spec.http[0].fault: HTTP fault injection must have an abort and/or a delay"],
            ),
            (
                "{delay: {percent: 101}}",
                &[
                    "spec.http[0].fault.delay.fixedDelay: fixedDelay is required",
                    "spec.http[0].fault.delay.percent: percentage 101 is not in range 0..100",
                ],
            ),
            (
                "{delay: {percent: 1.5, fixedDelay: 0s}}",
                &[
                    "spec.http[0].fault.delay.percent: percent must be a whole number, use percentage.value for fractions",
                    "spec.http[0].fault.delay.fixedDelay: duration must be greater than 1ms",
                ],
            ),
            (
                "{delay: {exponentialDelay: 1s, percentage: {value: 100.1}}}",
                &[
                    "spec.http[0].fault.delay.exponentialDelay: exponentialDelay not supported yet",
                    "spec.http[0].fault.delay.percentage.value: percentage 100.1 is neither 0.0 nor in the range [0.0001, 100.0]",
                ],
            ),
            (
                "{abort: {grpcStatus: X, percentage: {value: 0.00001}}}",
                &[
                    "spec.http[0].fault.abort.grpcStatus: grpcStatus not supported yet",
                    "spec.http[0].fault.abort.percentage.value: percentage 0.00001 is neither 0.0 nor in the range [0.0001, 100.0]",
                ],
            ),
            (
                "{abort: {http2Error: X}}",
                &["spec.http[0].fault.abort.http2Error: http2Error not supported yet"],
            ),
            (
                "{abort: {}}",
                &["spec.http[0].fault.abort.httpStatus: abort must have an httpStatus"],
            ),
            (
                "{abort: {httpStatus: 999}}",
                &["spec.http[0].fault.abort.httpStatus: invalid abort http status 999"],
            ),
        ] {
            let spec = format!("{{hosts: [a.b], http: [{{fault: {fault}, {ROUTE}}}]}}");
            check(Kind::VirtualService, &[(&spec, expected)]);
        }
    }

    #[test]
    fn both_ways_to_write_a_percent_are_one() {
        let fault = |fault: &str| -> Option<Fault> {
            let spec = format!("{{hosts: [a.b], http: [{{fault: {fault}, {ROUTE}}}]}}");
            let Spec::VirtualService(service) = accepted(Kind::VirtualService, &spec).spec else {
                panic!("{spec}")
            };
            let VirtualService { http, .. } = *service;
            http.into_iter().next().and_then(|route| route.fault)
        };
        assert_eq!(
            fault("{delay: {fixedDelay: 7s, percent: 50}}"),
            fault("{delay: {fixedDelay: 7s, percentage: {value: 50.0}}}")
        );
        assert_ne!(
            fault("{delay: {fixedDelay: 7s, percent: 0}}"),
            fault("{delay: {fixedDelay: 7s}}"),
            "left out means all"
        );
    }
}
