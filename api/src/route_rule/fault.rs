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
