//! Faults of a RouteRule (`spec/traffic-v1alpha2.md` §1.6, §1.7).

use std::time::Duration;

use crate::fields::{Fields, Message};
use crate::output::Object;
use crate::percent::{self, Percent};

/// Faults injected into requests; delay and abort are drawn independently, at least one of them is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpFault {
    /// Added latency, before an abort.
    pub delay: Option<Delay>,
    /// An answer in place of the service's.
    pub abort: Option<Abort>,
}

impl Message for HttpFault {
    fn read(fields: &Fields<'_>) -> HttpFault {
        if !fields.has("delay") && !fields.has("abort") {
            fields.problem("http fault must have a delay, an abort, or both");
        }
        HttpFault {
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
    pub percent: Option<Percent>,
    /// The latency, at least 1 ms.
    pub fixed_delay: Duration,
    /// Kept, without effect.
    pub override_header_name: String,
}

impl Message for Delay {
    fn read(fields: &Fields<'_>) -> Delay {
        fields.one_of(&["fixedDelay", "exponentialDelay"]);
        if fields.has("exponentialDelay") {
            fields.problem_at("exponentialDelay", "exponentialDelay not supported yet");
        } else if !fields.has("fixedDelay") {
            fields.problem_at("fixedDelay", "fixedDelay invalid: a fixedDelay is required");
        }
        Delay {
            percent: percent::read(fields, "percent", "percent invalid: "),
            fixed_delay: fields
                .duration("fixedDelay", "fixedDelay invalid: ")
                .unwrap_or_default(),
            override_header_name: fields.text("overrideHeaderName"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.opt("percent", self.percent.map(Percent::to_json));
        out.duration("fixedDelay", Some(self.fixed_delay));
        out.text("overrideHeaderName", &self.override_header_name);
    }
}

/// An answer that a share of the requests gets from the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Share of the requests; absent for all, 0 for none.
    pub percent: Option<Percent>,
    /// The answer.
    pub kind: AbortKind,
    /// Kept, without effect.
    pub override_header_name: String,
}

/// What an aborted request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbortKind {
    /// This HTTP status, 0 to 600.
    HttpStatus(u16),
    /// An HTTP/2 error by name: kept, without effect.
    Http2Error(String),
}

impl Message for Abort {
    fn read(fields: &Fields<'_>) -> Abort {
        let set = fields.one_of(&["httpStatus", "grpcStatus", "http2Error"]);
        if set.is_empty() {
            fields.problem_at("httpStatus", "abort must have an httpStatus");
        }
        if fields.has("grpcStatus") {
            fields.problem_at("grpcStatus", "gRPC fault injection not supported yet");
            let _ = fields.text("grpcStatus");
        }
        let kind = if fields.has("http2Error") {
            AbortKind::Http2Error(fields.text("http2Error"))
        } else {
            AbortKind::HttpStatus(read_status(fields))
        };
        Abort {
            percent: percent::read(fields, "percent", "percent invalid: "),
            kind,
            override_header_name: fields.text("overrideHeaderName"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.opt("percent", self.percent.map(Percent::to_json));
        match &self.kind {
            AbortKind::HttpStatus(status) => out.value("httpStatus", *status),
            AbortKind::Http2Error(error) => out.value("http2Error", error.as_str()),
        }
        out.text("overrideHeaderName", &self.override_header_name);
    }
}

/// An HTTP status to abort with, of either generation.
pub(crate) fn read_status(fields: &Fields<'_>) -> u16 {
    let Some(at) = fields.at("httpStatus") else {
        return 0;
    };
    let Some(status) = at.integer() else { return 0 };
    match u16::try_from(status) {
        Ok(status @ 0..=600) => status,
        _ => {
            at.problem(format!("invalid abort http status {status}"));
            0
        }
    }
}

/// Faults on connections were designed but never built: refused, with whatever else is wrong about them.
pub(super) fn refuse_l4(fields: &Fields<'_>) {
    let Some(at) = fields.at("l4Fault") else { return };
    fields.problem_at("l4Fault", "L4 faults are not implemented");
    let Some(fault) = at.fields() else { return };
    if let Some(throttle) = fault.at("throttle").and_then(|at| at.fields()) {
        percent::read(&throttle, "percent", "throttle percent invalid: ");
        for name in ["downstreamLimitBps", "upstreamLimitBps"] {
            if throttle
                .at(name)
                .and_then(|at| at.integer())
                .is_some_and(|limit| limit < 0)
            {
                throttle.problem_at(name, format!("{name} invalid"));
            }
        }
        throttle.one_of(&["throttleAfterPeriod", "throttleAfterBytes"]);
        throttle.duration("throttleAfterPeriod", "throttleAfterPeriod invalid: ");
        if throttle
            .at("throttleAfterBytes")
            .and_then(|at| at.number())
            .is_some_and(|bytes| bytes < 0.0)
        {
            throttle.problem_at("throttleAfterBytes", "throttleAfterBytes invalid");
        }
        throttle.duration("throttleForPeriod", "throttleForPeriod invalid: ");
        throttle.finish();
    }
    if let Some(terminate) = fault.at("terminate").and_then(|at| at.fields()) {
        fault.problem_at("terminate", "the terminate fault not supported yet");
        percent::read(&terminate, "percent", "terminate percent invalid: ");
        terminate.duration("terminateAfterPeriod", "terminateAfterPeriod invalid: ");
        terminate.finish();
    }
    fault.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::trial::{accepted, check};

    #[test]
    fn faults_are_checked() {
        check(
            Kind::RouteRule,
            &[
                (
                    "{destination: {service: a.b}, httpFault: {delay: {percent: 12.5, fixedDelay: 7s, overrideHeaderName: x}, abort: {httpStatus: 600}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {abort: {percent: 0, http2Error: CANCEL}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {}}",
                    &["spec.httpFault: http fault must have a delay, an abort, or both"],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {delay: {percent: 100.5}}}",
                    &[
                        "spec.httpFault.delay.fixedDelay: fixedDelay invalid: a fixedDelay is required",
                        "spec.httpFault.delay.percent: percent invalid: percentage 100.5 is not in range 0..100",
                    ],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {delay: {fixedDelay: 100us}}}",
                    &[
                        "spec.httpFault.delay.fixedDelay: fixedDelay invalid: duration must be greater than 1ms",
                    ],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {delay: {exponentialDelay: 1s}}}",
                    &["spec.httpFault.delay.exponentialDelay: exponentialDelay not supported yet"],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {abort: {percent: -1, httpStatus: 601}}}",
                    &[
                        "spec.httpFault.abort.percent: percent invalid: percentage -1 is not in range 0..100",
                        "spec.httpFault.abort.httpStatus: invalid abort http status 601",
                    ],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {abort: {}}}",
                    &["spec.httpFault.abort.httpStatus: abort must have an httpStatus"],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {abort: {grpcStatus: UNAVAILABLE}}}",
                    &["spec.httpFault.abort.grpcStatus: gRPC fault injection not supported yet"],
                ),
                (
                    "{destination: {service: a.b}, httpFault: {abort: {httpStatus: 500, http2Error: X}}}",
                    &["spec.httpFault.abort.http2Error: only one of httpStatus, http2Error may be set"],
                ),
            ],
        );
    }

    #[test]
    fn faults_of_connections_are_refused_with_all_that_is_wrong_about_them() {
        check(
            Kind::RouteRule,
            &[
                (
                    "{destination: {service: a.b}, l4Fault: {}}",
                    &["spec.l4Fault: L4 faults are not implemented"],
                ),
                (
                    "{destination: {service: a.b}, l4Fault: {throttle: {percent: 101, downstreamLimitBps: -1, upstreamLimitBps: -2, throttleAfterPeriod: 1s, throttleAfterBytes: -1, throttleForPeriod: 0s}, terminate: {percent: 101, terminateAfterPeriod: x}}}",
                    &[
                        "spec.l4Fault: L4 faults are not implemented",
                        "spec.l4Fault.throttle.percent: throttle percent invalid: percentage 101 is not in range 0..100",
                        "spec.l4Fault.throttle.downstreamLimitBps: downstreamLimitBps invalid",
                        "spec.l4Fault.throttle.upstreamLimitBps: upstreamLimitBps invalid",
                        "spec.l4Fault.throttle.throttleAfterBytes: only one of throttleAfterPeriod, throttleAfterBytes may be set",
                        "spec.l4Fault.throttle.throttleAfterBytes: throttleAfterBytes invalid",
                        "spec.l4Fault.throttle.throttleForPeriod: throttleForPeriod invalid: duration must be greater than 1ms",
                        "spec.l4Fault.terminate: the terminate fault not supported yet",
                        "spec.l4Fault.terminate.percent: terminate percent invalid: percentage 101 is not in range 0..100",
                        "spec.l4Fault.terminate.terminateAfterPeriod: terminateAfterPeriod invalid: \"x\" is not a duration, write it like \"10s\", \"1h30m\" or \"100ms\" (units h, m, s, ms, us, ns)",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_percent_left_out_is_told_from_none() {
        let percents = |spec: &str| {
            let Spec::RouteRule(rule) = accepted(Kind::RouteRule, spec).spec else {
                panic!("{spec}")
            };
            rule.fault
                .and_then(|fault| fault.abort)
                .map(|abort| abort.percent)
        };
        assert_eq!(
            percents("{destination: {service: a.b}, httpFault: {abort: {httpStatus: 500}}}"),
            Some(None)
        );
        assert_eq!(
            percents("{destination: {service: a.b}, httpFault: {abort: {percent: 0, httpStatus: 500}}}"),
            Some(Percent::new(0.0))
        );
    }
}
