//! What holds for every input: nothing panics, every refusal has a place, and what is accepted reads back as
//! itself from its canonical form.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "an expectation that fails ends the test"
)]

use outrigger_api::document::{self, Options};
use outrigger_api::{duration, effect, host, references};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Specs that use every field at least once; properties are tried on what random changes make of them.
fn full_objects() -> Vec<Value> {
    let object = |api_version: &str, kind: &str, spec: Value| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "full", "labels": {"app": "x"}}, "spec": spec});
    let (first, second) = ("config.istio.io/v1alpha2", "networking.istio.io/v1alpha3");
    let policy = json!({
        "loadBalancer": {"consistentHash": {"httpCookie": {"name": "user", "path": "/", "ttl": "0s"}, "minimumRingSize": 5}},
        "connectionPool": {
            "tcp": {"maxConnections": 1, "connectTimeout": "30ms", "tcpKeepalive": {"probes": 1, "time": "1h", "interval": "1m"}},
            "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 2, "maxRequestsPerConnection": 3, "maxRetries": 4,
                     "idleTimeout": "5s", "h2UpgradePolicy": "UPGRADE"}
        },
        "outlierDetection": {"consecutiveErrors": 1, "interval": "1s", "baseEjectionTime": "2s", "maxEjectionPercent": 3,
                             "minHealthPercent": 4},
        "tls": {"mode": "MUTUAL", "clientCertificate": "/c", "privateKey": "/k", "caCertificates": "/a",
                "subjectAltNames": ["s"], "sni": "n"}
    });
    let mut with_ports = policy.clone();
    with_ports["portLevelSettings"] = json!([
        {"port": {"number": 80}, "loadBalancer": {"simple": "LEAST_CONN"}},
        {"port": {"name": "http"}, "loadBalancer": {"consistentHash": {"useSourceIp": true}}}
    ]);
    let changes = json!({"request": {"set": {"a": "b"}, "add": {"c": "d"}, "remove": ["e"]}, "response": {"add": {"f": "g"}}});
    vec![
        object(
            first,
            "RouteRule",
            json!({
                "destination": {"name": "cart", "namespace": "shop", "domain": "svc.example"}, "precedence": -3,
                "match": {"source": {"service": "web.example", "labels": {"version": "v1"}},
                          "request": {"headers": {"uri": {"prefix": "/x"}, "cookie": {"regex": "^a.*$"}, "end-user": {"exact": "jo"}}},
                          "tcp": {"sourceSubnet": ["10.0.0.0/8"], "destinationSubnet": ["10.0.0.1"]}},
                "route": [{"destination": {"service": "other.example"}, "labels": {"version": "v1"}, "weight": 60}, {"weight": 40}],
                "rewrite": {"uri": "/y", "authority": "z"}, "websocketUpgrade": true,
                "httpReqTimeout": {"simpleTimeout": {"timeout": "3s", "overrideHeaderName": "h"}},
                "httpReqRetries": {"simpleRetry": {"attempts": 3, "perTryTimeout": "1s", "overrideHeaderName": "h"}},
                "httpFault": {"delay": {"percent": 1.5, "fixedDelay": "7s", "overrideHeaderName": "h"}, "abort": {"percent": 10, "httpStatus": 503}},
                "mirror": {"service": "m.example", "labels": {"version": "v2"}},
                "corsPolicy": {"allowOrigin": ["*"], "allowMethods": ["GET"], "allowHeaders": ["X-A"], "exposeHeaders": ["X-B"],
                               "maxAge": "60s", "allowCredentials": true},
                "appendHeaders": {"x-a": "b"}
            }),
        ),
        object(
            first,
            "RouteRule",
            json!({
                "destination": {"service": "*.example"}, "redirect": {"uri": "/x", "authority": "y"},
                "httpReqTimeout": {"custom": {"@type": "t", "x": [1, 2.5, null, {"y": true}]}}
            }),
        ),
        object(
            first,
            "DestinationPolicy",
            json!({
                "destination": {"service": "cart.example", "labels": {"version": "v1"}}, "source": {"name": "web"},
                "loadBalancing": {"name": "RANDOM"},
                "circuitBreaker": {"simpleCb": {"maxConnections": 1, "httpMaxPendingRequests": 2, "httpMaxRequests": 3, "httpMaxRetries": 4,
                    "httpMaxRequestsPerConnection": 5, "httpConsecutiveErrors": 6, "sleepWindow": "1.5s", "httpDetectionInterval": "2s",
                    "httpMaxEjectionPercent": 7}},
                "custom": {"@type": "t"}
            }),
        ),
        object(
            first,
            "EgressRule",
            json!({
                "destination": {"service": "10.0.0.0/8"}, "ports": [{"port": 1, "protocol": "tcp"}, {"port": 2, "protocol": "MONGO"}]
            }),
        ),
        object(
            second,
            "VirtualService",
            json!({
                "hosts": ["cart", "*.b.example", "10.0.0.1"], "gateways": ["mesh", "ns/gw"],
                "http": [{
                    "match": [{"uri": {"exact": "/"}, "scheme": {"exact": "http"}, "method": {"exact": "GET"}, "authority": {"prefix": "a"},
                               "headers": {"x": {"regex": "a+"}, "y": {}}, "port": 80, "sourceLabels": {"app": "web"}, "gateways": ["mesh"],
                               "queryParams": {"q": {"exact": ""}}, "ignoreUriCase": true}],
                    "route": [{"destination": {"host": "cart", "subset": "v1", "port": {"number": 80}}, "weight": 100, "headers": changes.clone()},
                              {"destination": {"host": "other"}}],
                    "rewrite": {"uri": "/y"}, "websocketUpgrade": true, "timeout": "5s",
                    "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx,503"},
                    "fault": {"delay": {"percentage": {"value": 0.5}, "fixedDelay": "1s"}, "abort": {"percent": 10, "httpStatus": 500}},
                    "mirror": {"host": "m.example"},
                    "corsPolicy": {"allowOrigin": ["https://a.example:8080"], "maxAge": "60s"},
                    "headers": changes, "appendHeaders": {"h": "i"}, "removeResponseHeaders": ["j"]
                }, {"redirect": {"uri": "/z"}}],
                "tls": [{"match": [{"sniHosts": ["a.b.example"], "destinationSubnets": ["10.0.0.0/8"], "port": 443, "sourceSubnet": "10.0.0.1",
                                    "sourceLabels": {"a": "b"}, "gateways": ["gw"]}],
                         "route": [{"destination": {"host": "c"}, "weight": 3}]}],
                "tcp": [{"match": [{"port": 3306}], "route": [{"destination": {"host": "d"}}]}],
                "exportTo": ["."]
            }),
        ),
        object(
            second,
            "DestinationRule",
            json!({
                "host": "cart", "trafficPolicy": with_ports, "exportTo": ["*"],
                "subsets": [{"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": policy},
                            {"name": "v2", "trafficPolicy": {"loadBalancer": {"consistentHash": {"httpHeaderName": "x"}}}}]
            }),
        ),
        object(
            second,
            "Gateway",
            json!({
                "selector": {"istio": "ingressgateway"},
                "servers": [
                    {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*", "ns/a.b"], "tls": {"httpsRedirect": true},
                     "bind": "1.2.3.4", "defaultEndpoint": "e"},
                    {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.b"],
                     "tls": {"mode": "MUTUAL", "serverCertificate": "/c", "privateKey": "/k", "caCertificates": "/a", "credentialName": "n",
                             "subjectAltNames": ["s"], "minProtocolVersion": "TLSV1_2", "maxProtocolVersion": "TLSV1_3", "cipherSuites": ["x"]}}
                ]
            }),
        ),
        object(
            second,
            "ServiceEntry",
            json!({
                "hosts": ["db.example"], "addresses": ["10.0.0.0/8"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "location": "MESH_INTERNAL", "resolution": "STATIC",
                "endpoints": [{"address": "10.0.0.1", "ports": {"http": 8080}, "labels": {"a": "b"}, "network": "n", "locality": "r/z", "weight": 2}],
                "exportTo": ["*"], "subjectAltNames": ["s"]
            }),
        ),
        object(
            "mesh.outrigger.io/v1alpha1",
            "ServiceAddress",
            json!({"host": "cart.example", "address": "127.128.0.7"}),
        ),
    ]
}

/// A change at the n-th place of an object (counted over everything in it): the value goes, or becomes another.
#[derive(Clone, Debug)]
enum Change {
    Drop(usize),
    Set(usize, Value),
    Copy(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..200).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "*",
            "a.b",
            "*.a.b",
            "10.0.0.1",
            "10.0.0.0/33",
            "1s",
            "0s",
            "1us",
            "10",
            "RANDOM",
            "(",
            "(?=a)",
            "X-Y",
            "v1",
            "unix:///a",
            "ns/gw",
        ])
        .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!({})),
        Just(json!([])),
        Just(json!({"exact": "x"})),
        Just(json!({"unknown": [1, {"deep": true}]})),
    ];
    prop_oneof![
        (0usize..120).prop_map(Change::Drop),
        (0usize..120).prop_map(Change::Copy),
        (0usize..120, scalar).prop_map(|(place, value)| Change::Set(place, value)),
    ]
}

fn apply(value: &mut Value, change: &Change) {
    let mut place = match change {
        Change::Drop(place) | Change::Copy(place) | Change::Set(place, _) => *place,
    };
    walk(value, &mut place, change);
}

/// True once the change is made.
fn walk(value: &mut Value, place: &mut usize, change: &Change) -> bool {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if *place == 0 {
                    match change {
                        Change::Drop(_) => {
                            fields.remove(&name);
                        }
                        Change::Set(_, new) => {
                            fields.insert(name, new.clone());
                        }
                        Change::Copy(_) => {
                            let copy = fields[&name].clone();
                            fields.insert(format!("{name}_copy"), copy);
                        }
                    }
                    return true;
                }
                *place -= 1;
                if fields
                    .get_mut(&name)
                    .is_some_and(|field| walk(field, place, change))
                {
                    return true;
                }
            }
            false
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                if *place == 0 {
                    match change {
                        Change::Drop(_) => {
                            items.remove(index);
                        }
                        Change::Set(_, new) => items[index] = new.clone(),
                        Change::Copy(_) => items.push(items[index].clone()),
                    }
                    return true;
                }
                *place -= 1;
                if walk(&mut items[index], place, change) {
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}

/// Reads an object as JSON text, indented JSON text and a value; all three must agree. Gives whether it is accepted.
fn judge(object: &Value) -> bool {
    let options = Options::default();
    let by_value = document::parse_value(object, &options);
    let by_text = document::parse_body(object.to_string().as_bytes(), &options);
    let pretty = serde_json::to_string_pretty(object).unwrap();
    let mut documents = document::parse("x.json", &pretty, &options);
    assert_eq!(documents.len(), 1, "{object}");
    let by_file = documents.remove(0).outcome;
    match (by_value, by_text, by_file) {
        (Ok(value), Ok(text), Ok(file)) => {
            assert_eq!(value.resource, text.resource);
            assert_eq!(value.resource, file.resource);
            let canonical = value.resource.to_json();
            let again = match document::parse_value(&canonical, &options) {
                Ok(parsed) => parsed.resource,
                Err(problems) => panic!("{canonical} of {object} is refused: {problems:#?}"),
            };
            assert_eq!(again, value.resource, "{canonical}");
            assert_eq!(again.to_json(), canonical);
            let _ = effect::not_yet(&again);
            let _ = references::check(&again, &|_| std::collections::BTreeSet::new());
            true
        }
        (Err(value), Err(text), Err(file)) => {
            assert!(!value.is_empty());
            assert_eq!(value.len(), text.len(), "{value:#?} {text:#?}");
            for problem in &file {
                assert!(problem.line > 0 && problem.column > 0, "{problem:?}");
                assert!(!problem.message.is_empty());
            }
            false
        }
        (value, text, file) => panic!("{object}: {value:#?} {text:#?} {file:#?}"),
    }
}

#[test]
fn objects_with_every_field_are_accepted() {
    for object in full_objects() {
        if !judge(&object) {
            panic!(
                "{:#?}",
                document::parse_value(&object, &Options::default()).unwrap_err()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_object_is_refused_with_a_place_or_reads_back_as_itself(
        index in 0usize..9,
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let mut object = full_objects().swap_remove(index);
        for change in &changes {
            apply(&mut object, change);
        }
        judge(&object);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = document::parse("x", &text, &Options::default());
    }

    #[test]
    fn any_text_of_yaml_signs_is_read_or_refused(text in "[-:?,\\[\\]{}#&*!|>'\"%@` a1\n\t<]{0,80}") {
        for document in document::parse("x", &text, &Options::default()) {
            if let Err(problems) = document.outcome {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.line > 0), "{:?}", problems);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_body_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = document::parse_body(&bytes, &Options::default());
    }

    #[test]
    fn a_document_cut_anywhere_is_read_or_refused(index in 0usize..9, cut in 0.0f64..1.0) {
        let text = serde_json::to_string_pretty(&full_objects().swap_remove(index)).unwrap();
        let end = (text.len() as f64 * cut) as usize;
        for document in document::parse("x", &text[..end], &Options::default()) {
            prop_assert!(document.outcome.is_err());
        }
    }

    #[test]
    fn durations_read_back_as_themselves(nanos in 0u64..=i64::MAX as u64) {
        let span = std::time::Duration::from_nanos(nanos);
        prop_assert_eq!(duration::parse(&duration::format(span)), Ok(span));
    }

    #[test]
    fn any_text_is_a_duration_a_host_or_neither(text in ".{0,40}") {
        let _ = duration::parse(&text);
        let _ = host::check_wildcard(&text);
        let _ = host::check_egress(&text);
        let _ = host::is_subset_of(&text, "*.a");
    }
}
