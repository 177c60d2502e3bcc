//! The table of fields without effect is true: each row speaks, and nothing stays silent.

use super::Kind::ServiceAddress;
use super::*;
use crate::trial::accepted;

fn check(kind: Kind, spec: &str, expected: &[&str]) {
    let seen: Vec<String> = not_yet(&accepted(kind, spec))
        .into_iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect();
    assert_eq!(seen, expected, "{spec}");
}

#[test]
fn what_is_in_force_is_not_warned_about() {
    check(
        Kind::RouteRule,
        "{destination: {service: a.b}, precedence: 2, match: {source: {service: c.d}, request: {headers: {uri: {prefix: /x}}}}, \
         route: [{labels: {version: v1}}], httpReqTimeout: {simpleTimeout: {timeout: 1s}}}",
        &[],
    );
    check(
        Kind::DestinationPolicy,
        "{destination: {service: a.b}, loadBalancing: {name: RANDOM}}",
        &[],
    );
    check(
        Kind::VirtualService,
        "{hosts: [a.b], http: [{match: [{headers: {tls: {exact: x}}}], timeout: 1s, route: [{destination: {host: a.b, subset: v1}}]}], \
         tcp: [{route: [{destination: {host: a.b}}]}]}",
        &[],
    );
    check(
        Kind::DestinationRule,
        "{host: a.b, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}, subsets: [{name: v1, labels: {tls: x}}]}",
        &[],
    );
    check(
        Kind::Gateway,
        "{servers: [{port: {number: 80, protocol: HTTP, name: http}, hosts: ['*']}]}",
        &[],
    );
    check(
        Kind::ServiceEntry,
        "{hosts: [a.b], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}",
        &[],
    );
    check(Kind::ServiceAddress, "{host: a.b, address: 127.128.0.1}", &[]);
}

#[test]
fn many_places_of_one_field_are_counted() {
    let route = "{fault: {abort: {httpStatus: 500}}, route: [{destination: {host: a.b}}]}";
    let spec = format!("{{hosts: [a.b], http: [{}]}}", [route; 9].join(", "));
    let warnings = not_yet(&accepted(Kind::VirtualService, &spec));
    assert_eq!(warnings.len(), 6);
    assert_eq!(
        warnings[5].message,
        "the same at 4 more places: faults are not injected"
    );
}

#[test]
fn every_field_without_effect_is_named_on_its_path() {
    check(
        Kind::RouteRule,
        "{destination: {service: a.b}, httpFault: {abort: {httpStatus: 500}}, mirror: {service: c.d}}",
        &[
            "spec.httpFault: httpFault has no effect yet: faults are not injected",
            "spec.mirror: mirror has no effect yet: requests are not mirrored",
        ],
    );
    check(
        Kind::EgressRule,
        "{destination: {service: a.b}, ports: [{port: 80, protocol: http}]}",
        &["spec: spec has no effect yet: outside hosts are not opened, use a ServiceEntry"],
    );
    check(
        Kind::VirtualService,
        "{hosts: [a.b], http: [{route: [{destination: {host: a.b}}]}, {route: [{destination: {host: a.b}, headers: {request: {remove: [x]}}}]}]}",
        &["spec.http[1].route[0].headers: headers has no effect yet: headers are not changed"],
    );
    check(
        Kind::DestinationRule,
        "{host: a.b, trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, outlierDetection: {}}]}, \
         subsets: [{name: v1, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}]}",
        &[
            "spec.subsets[0].trafficPolicy.loadBalancer.simple: simple has no effect yet: instances are chosen round robin",
            "spec.trafficPolicy.portLevelSettings[0].outlierDetection: outlierDetection has no effect yet: instances are not set aside",
            "spec.trafficPolicy.tls: tls has no effect yet: services are called without TLS",
        ],
    );
    check(
        Kind::ServiceEntry,
        "{hosts: [a.b], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 'unix:///x'}]}",
        &["spec.endpoints[0].address: address has no effect yet: endpoints in the file system are left out"],
    );
    check(
        Kind::ServiceEntry,
        "{hosts: [a.b], ports: [{number: 80, name: http, protocol: HTTP}]}",
        &[
            "spec.resolution: resolution has no effect yet: resolution NONE opens no way to the caller's own addresses",
        ],
    );
}

/// Paths of fields that do what they say; a path stands for everything below it.
const IN_FORCE: &[(Kind, &[&str])] = &[
    (
        RouteRule,
        &[
            "spec.destination",
            "spec.precedence",
            "spec.match.source",
            "spec.match.request.headers",
            "spec.route[].destination",
            "spec.route[].labels",
            "spec.route[].weight",
            "spec.httpReqTimeout.simpleTimeout.timeout",
        ],
    ),
    (
        DestinationPolicy,
        &["spec.destination", "spec.source", "spec.loadBalancing.name"],
    ),
    (EgressRule, &[]),
    (
        VirtualService,
        &[
            "spec.hosts",
            "spec.gateways",
            "spec.http[].match[].uri",
            "spec.http[].match[].ignoreUriCase",
            "spec.http[].match[].scheme",
            "spec.http[].match[].method",
            "spec.http[].match[].authority",
            "spec.http[].match[].headers",
            "spec.http[].match[].port",
            "spec.http[].match[].sourceLabels",
            "spec.http[].match[].gateways",
            "spec.http[].route[].destination",
            "spec.http[].route[].weight",
            "spec.http[].timeout",
            "spec.tcp[].match[].port",
            "spec.tcp[].match[].sourceLabels",
            "spec.tcp[].match[].gateways",
            "spec.tcp[].route[].destination",
            "spec.tcp[].route[].weight",
        ],
    ),
    (
        DestinationRule,
        &[
            "spec.host",
            "spec.subsets[].name",
            "spec.subsets[].labels",
            "spec.subsets[].trafficPolicy.loadBalancer.simple",
            "spec.trafficPolicy.loadBalancer.simple",
            "spec.trafficPolicy.portLevelSettings[].port",
            "spec.trafficPolicy.portLevelSettings[].loadBalancer.simple",
        ],
    ),
    (
        Gateway,
        &["spec.selector", "spec.servers[].port", "spec.servers[].hosts"],
    ),
    (
        ServiceEntry,
        &[
            "spec.hosts",
            "spec.addresses[0]",
            "spec.ports",
            "spec.resolution",
            "spec.endpoints[].address",
            "spec.endpoints[].ports",
            "spec.endpoints[].labels",
            "spec.endpoints[].locality",
            "spec.endpoints[].weight",
        ],
    ),
    (ServiceAddress, &["spec.host", "spec.address"]),
];

/// Specs that together set every field of their kinds.
const WHOLE: &[(Kind, &str)] = &[
    (
        RouteRule,
        "{destination: {name: a, namespace: b, domain: c.d}, precedence: 2, \
         match: {source: {service: c.d, labels: {x: y}}, request: {headers: {uri: {prefix: /x}, cookie: {regex: x}}}, \
         tcp: {sourceSubnet: [10.0.0.0/8], destinationSubnet: [10.0.0.0/8]}}, \
         route: [{labels: {version: v1}, destination: {service: e.f}, weight: 100}], \
         rewrite: {uri: /y, authority: z}, websocketUpgrade: true, \
         httpReqTimeout: {simpleTimeout: {timeout: 1s, overrideHeaderName: x}}, \
         httpReqRetries: {simpleRetry: {attempts: 1, perTryTimeout: 1s, overrideHeaderName: x}}, \
         httpFault: {delay: {percent: 1, fixedDelay: 1s, overrideHeaderName: x}, abort: {percent: 1, httpStatus: 500}}, \
         mirror: {service: c.d}, \
         corsPolicy: {allowOrigin: [x], allowMethods: [GET], allowHeaders: [x], exposeHeaders: [x], maxAge: 1s, allowCredentials: true}, \
         appendHeaders: {x: y}}",
    ),
    (
        RouteRule,
        "{destination: {service: a.b}, redirect: {uri: /x, authority: y}, httpReqTimeout: {custom: {'@type': x}}, \
         httpReqRetries: {custom: {'@type': x}}}",
    ),
    (
        DestinationPolicy,
        "{destination: {service: a.b, labels: {x: y}}, source: {service: c.d}, loadBalancing: {name: RANDOM}, \
         circuitBreaker: {simpleCb: {maxConnections: 1, httpMaxPendingRequests: 1, httpMaxRequests: 2, httpMaxRetries: 3, \
         httpMaxRequestsPerConnection: 1, httpConsecutiveErrors: 4, sleepWindow: 500ms, httpDetectionInterval: 1s, \
         httpMaxEjectionPercent: 100}}, custom: {'@type': x}}",
    ),
    (
        DestinationPolicy,
        "{destination: {service: a.b}, loadBalancing: {custom: {'@type': x}}, circuitBreaker: {custom: {'@type': y}}}",
    ),
    (
        EgressRule,
        "{destination: {service: a.b}, ports: [{port: 80, protocol: http}]}",
    ),
    (
        VirtualService,
        "{hosts: [a.b], gateways: [mesh, edge], exportTo: ['*'], \
         http: [{match: [{uri: {exact: /x}, ignoreUriCase: true, scheme: {exact: http}, method: {exact: GET}, authority: {exact: a}, \
         headers: {x: {exact: y}}, port: 80, sourceLabels: {x: y}, gateways: [mesh], queryParams: {x: {exact: y}}}], \
         route: [{destination: {host: a.b, subset: v1, port: {number: 80}}, weight: 100, headers: {request: {set: {x: y}}}}], \
         rewrite: {uri: /y, authority: z}, websocketUpgrade: true, timeout: 1s, \
         retries: {attempts: 1, perTryTimeout: 1s, retryOn: 5xx}, \
         fault: {delay: {fixedDelay: 1s, percent: 1}, abort: {httpStatus: 500, percentage: {value: 1}}}, \
         mirror: {host: c.d}, \
         corsPolicy: {allowOrigin: [x], allowMethods: [GET], allowHeaders: [x], exposeHeaders: [x], maxAge: 1s, allowCredentials: true}, \
         headers: {request: {set: {x: y}, add: {x: y}, remove: [x]}, response: {set: {x: y}, add: {x: y}, remove: [x]}}}, \
         {redirect: {uri: /x, authority: y}}], \
         tls: [{match: [{sniHosts: [a.b], destinationSubnets: [10.0.0.0/8], port: 443, sourceSubnet: 10.0.0.0/8, sourceLabels: {x: y}, \
         gateways: [mesh]}], route: [{destination: {host: a.b}, weight: 100}]}], \
         tcp: [{match: [{destinationSubnets: [10.0.0.0/8], port: 80, sourceSubnet: 10.0.0.0/8, sourceLabels: {x: y}, gateways: [mesh]}], \
         route: [{destination: {host: a.b}, weight: 100}]}]}",
    ),
    (
        DestinationRule,
        "{host: a.b, exportTo: ['*'], trafficPolicy: {loadBalancer: {simple: RANDOM}, \
         connectionPool: {tcp: {maxConnections: 1, connectTimeout: 1s, tcpKeepalive: {probes: 3, time: 1s, interval: 1s}}, \
         http: {http1MaxPendingRequests: 1, http2MaxRequests: 1, maxRequestsPerConnection: 1, maxRetries: 1, idleTimeout: 1s, \
         h2UpgradePolicy: UPGRADE}}, \
         outlierDetection: {consecutiveErrors: 7, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 100, minHealthPercent: 1}, \
         tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /a, subjectAltNames: [x], sni: x}, \
         portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 1}}, \
         outlierDetection: {consecutiveErrors: 7}, tls: {mode: SIMPLE, caCertificates: /a}}, \
         {port: {number: 81}, loadBalancer: {consistentHash: {useSourceIp: true}}}]}, \
         subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}, \
         connectionPool: {tcp: {maxConnections: 1}}, outlierDetection: {consecutiveErrors: 7}, tls: {mode: DISABLE}}}, \
         {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}, \
         {name: v3, labels: {version: v3}, trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: x, path: /y, ttl: 1s}, \
         minimumRingSize: 8}}}}]}",
    ),
    (
        Gateway,
        "{selector: {x: y}, servers: [{port: {number: 443, protocol: HTTPS, name: https}, hosts: ['*'], bind: 127.0.0.1, \
         defaultEndpoint: '127.0.0.1:80', tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k, \
         minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3, cipherSuites: [x]}}]}",
    ),
    (
        ServiceEntry,
        "{hosts: [a.b], addresses: [10.0.0.1, 10.0.0.2, 10.1.0.0/16], ports: [{number: 80, name: http, protocol: HTTP}], \
         location: MESH_INTERNAL, resolution: STATIC, exportTo: ['*'], subjectAltNames: [x], \
         endpoints: [{address: 10.2.0.1, ports: {http: 8080}, labels: {x: y}, network: n, locality: r/z, weight: 2}]}",
    ),
    (
        ServiceEntry,
        "{hosts: [a.b], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 'unix:///x'}]}",
    ),
    (
        ServiceEntry,
        "{hosts: [a.b], addresses: [10.0.0.0/8], ports: [{number: 80, name: http, protocol: HTTP}]}",
    ),
    (ServiceAddress, "{host: a.b, address: 127.128.0.1}"),
];

/// True when `field` is `whole` or below it.
fn is_within(field: &str, whole: &str) -> bool {
    field
        .strip_prefix(whole)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[test]
fn every_field_is_either_in_force_or_warned_about() {
    for (kind, spec) in WHOLE {
        let resource = accepted(*kind, spec);
        let warned: Vec<String> = not_yet(&resource)
            .into_iter()
            .map(|warning| warning.path)
            .collect();
        let (_, in_force) = IN_FORCE.iter().find(|(of, _)| of == kind).unwrap();
        visit(
            "spec",
            "spec",
            &resource.spec.to_json(),
            &mut |path, pattern, value| {
                if value.is_object() || value.is_array() {
                    return; // what is in them counts
                }
                let told = warned.iter().any(|warned| is_within(path, warned));
                let works = in_force
                    .iter()
                    .any(|works| is_within(pattern, works) || is_within(path, works));
                assert!(told || works, "{kind} {path} has no effect and no warning");
            },
        );
    }
}

#[test]
fn every_row_speaks_of_a_field_that_exists() {
    let objects: Vec<Resource> = WHOLE.iter().map(|(kind, spec)| accepted(*kind, spec)).collect();
    for row in LATER {
        let mut spoke = false;
        for object in objects.iter().filter(|object| object.kind() == row.kind) {
            visit(
                "spec",
                "spec",
                &object.spec.to_json(),
                &mut |path, pattern, value| {
                    spoke |= row.when.speaks_of(path, pattern, value).is_some();
                },
            );
        }
        assert!(
            spoke,
            "no field is meant by the row of {}: {}",
            row.kind, row.what
        );
    }
}

#[test]
fn every_path_in_force_is_set_somewhere() {
    for (kind, paths) in IN_FORCE {
        for wanted in *paths {
            let mut set = false;
            for (_, spec) in WHOLE.iter().filter(|(of, _)| of == kind) {
                let spec = accepted(*kind, spec).spec.to_json();
                visit("spec", "spec", &spec, &mut |path, pattern, _| {
                    set |= pattern == *wanted || path == *wanted;
                });
            }
            assert!(set, "{kind} has no field {wanted}");
        }
    }
}

#[test]
fn addresses_beyond_the_one_that_is_served_are_named_each() {
    let why = "has no effect yet: only the first address gets a listener, when it is no block";
    let entry = |addresses: &str| {
        format!(
            "{{hosts: [a.b], addresses: [{addresses}], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, \
             endpoints: [{{address: 10.2.0.1}}]}}"
        )
    };

    check(ServiceEntry, &entry("10.0.0.1"), &[]);
    check(
        ServiceEntry,
        &entry("10.0.0.1, 10.0.0.2"),
        &[&format!("spec.addresses[1]: addresses[1] {why}")],
    );
    check(
        ServiceEntry,
        &entry("10.0.0.0/8"),
        &[&format!("spec.addresses[0]: addresses[0] {why}")],
    );
}
