//! Documents as people write them: what is read, and how each mistake is told, with its place.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "an expectation that fails ends the test"
)]

use outrigger_api::document::{self, Document, MAX_BYTES, Options, Parsed};
use outrigger_api::effect;
use outrigger_api::kind::Kind;
use outrigger_api::problem::Problem;
use outrigger_api::resource::{Key, Spec};

const RULE: &str = "\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata:
  name: cart-canary
spec:
  destination:
    service: cart.example
  route:
  - labels:
      version: v1
    weight: 90
  - labels:
      version: v2
    weight: 10
";

fn parse(text: &str) -> Vec<Document> {
    document::parse("rules.yaml", text, &Options::default())
}

fn accepted(text: &str) -> Parsed {
    let mut documents = parse(text);
    assert_eq!(documents.len(), 1, "{text}");
    match documents.remove(0).outcome {
        Ok(parsed) => parsed,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// Every problem of every document of the text, as it is printed.
fn refusals(text: &str) -> Vec<String> {
    parse(text)
        .into_iter()
        .filter_map(|document| document.outcome.err())
        .flatten()
        .map(|problem| problem.to_string())
        .collect()
}

#[test]
fn a_rule_is_read_whole() {
    let parsed = accepted(RULE);

    assert_eq!(
        parsed.resource.key(),
        Key::new(Kind::RouteRule, "default", "cart-canary")
    );
    assert_eq!(
        parsed.resource.key().to_string(),
        "route-rule/default/cart-canary"
    );
    assert!(!parsed.namespace_given);
    assert!(parsed.warnings.is_empty());
    let Spec::RouteRule(rule) = &parsed.resource.spec else {
        panic!("{parsed:?}")
    };
    let weights: Vec<(String, u32)> = rule
        .weighted()
        .map(|(entry, percent)| (entry.labels.to_string(), percent))
        .collect();
    assert_eq!(
        weights,
        [("version=v1".to_owned(), 90), ("version=v2".to_owned(), 10)]
    );
}

#[test]
fn json_says_the_same_as_yaml() {
    let from_yaml = accepted(RULE).resource;
    let json = serde_json::to_string_pretty(&from_yaml).unwrap();

    assert_eq!(accepted(&json).resource, from_yaml);
    assert_eq!(
        document::parse_body(json.as_bytes(), &Options::default())
            .unwrap()
            .resource,
        from_yaml
    );
    assert_eq!(
        document::parse_value(&from_yaml.to_json(), &Options::default())
            .unwrap()
            .resource,
        from_yaml
    );
}

#[test]
fn every_document_of_a_file_is_judged_by_itself() {
    let text = format!(
        "# rules\n---\n{RULE}---\nkind: [\n---\n---\n{}---\n",
        RULE.replace("weight: 10", "weight: 11")
    );
    let documents = parse(&text);

    let told: Vec<(u32, Result<String, String>)> = documents
        .into_iter()
        .map(|document| {
            let outcome = document
                .outcome
                .map(|parsed| parsed.resource.meta.name)
                .map_err(|problems| problems[0].to_string());
            (document.line, outcome)
        })
        .collect();
    assert_eq!(
        told,
        [
            (3, Ok("cart-canary".to_owned())),
            (18, Err("rules.yaml:18:7: broken YAML: unclosed bracket '['".to_owned())),
            (
                21,
                Err("rules.yaml:28:3: route-rule/default/cart-canary: spec.route: route weights total 101 (must total 100)".to_owned())
            ),
        ]
    );
}

#[test]
fn nothing_but_comments_is_no_document() {
    for text in [
        "",
        "\n",
        "# a comment\n",
        "---\n---\n# x\n",
        "{}{}".get(..0).unwrap_or(""),
    ] {
        assert!(parse(text).is_empty(), "{text:?}");
    }
}

#[test]
fn what_is_wrong_around_the_spec_is_one_clear_problem() {
    for (text, expected) in [
        (
            "kind: RouteRule\n",
            "rules.yaml:1:1: apiVersion: apiVersion is required",
        ),
        (
            "apiVersion: config.istio.io/v1alpha2\nmetadata: {name: x}\nspec: {}\n",
            "rules.yaml:1:1: kind: kind is required",
        ),
        (
            "apiVersion: config.istio.io/v1alpha2\nkind:\nmetadata: {name: x}\n",
            "rules.yaml:2:1: kind: kind is required",
        ),
        (
            "apiVersion: v1\nkind: Pod\n",
            "rules.yaml:2:7: kind: kind \"Pod\" is not known (the kinds are RouteRule, DestinationPolicy, EgressRule, VirtualService, DestinationRule, Gateway, ServiceEntry, ServiceAddress)",
        ),
        (
            "apiVersion: networking.istio.io/v1alpha3\nkind: RouteRule\nspec: {x: 1}\n",
            "rules.yaml:1:13: apiVersion: kind RouteRule is not in apiVersion \"networking.istio.io/v1alpha3\" (write apiVersion: config.istio.io/v1alpha2)",
        ),
        (
            "apiVersion: config.istio.io/v1alpha2\nkind: DestinationRule\n",
            "rules.yaml:1:13: apiVersion: the preview kind DestinationRule of config.istio.io/v1alpha2 is not supported (use networking.istio.io/v1alpha3)",
        ),
        (
            "- a\n- b\n",
            "rules.yaml:1:1: a document is an object with apiVersion, kind, metadata and spec, found a list",
        ),
        (
            "just words\n",
            "rules.yaml:1:1: a document is an object with apiVersion, kind, metadata and spec, found the text \"just words\"",
        ),
        (
            "apiVersion: 1\nkind: RouteRule\n",
            "rules.yaml:1:13: apiVersion: must be a text, found the number 1 (write it in quotes: \"1\")",
        ),
        (
            "{\"kind\": \"RouteRule\",",
            "rules.yaml:1:22: broken JSON: expected a field name in double quotes, found the end of the text",
        ),
        ("a: 'x", "rules.yaml:1:4: broken YAML: unclosed quote"),
        (
            "a: &a [*a]\n",
            "rules.yaml:1:8: an alias stands inside its own anchor",
        ),
        (
            "a: !secret x\n",
            "rules.yaml:1:12: the tag !secret is not supported (leave it out)",
        ),
        (
            "a:\n\tb: 1\n",
            "rules.yaml:2:2: broken YAML: tabs disallowed within this context (block indentation) (indent with spaces: YAML allows no tabs there)",
        ),
    ] {
        assert_eq!(refusals(text), [expected], "{text}");
    }
}

#[test]
fn half_a_document_is_told_by_what_it_lacks() {
    let cut = |lines: usize| {
        RULE.lines()
            .take(lines)
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    assert_eq!(
        refusals(&cut(2)),
        [
            "rules.yaml:1:1: metadata: metadata.name is required",
            "rules.yaml:1:1: spec: spec is required"
        ]
    );
    assert_eq!(
        refusals(&cut(3)),
        [
            "rules.yaml:1:1: spec: spec is required",
            "rules.yaml:3:1: metadata: metadata.name is required"
        ]
    );
    assert_eq!(
        refusals(&cut(4)),
        ["rules.yaml:1:1: route-rule/default/cart-canary: spec: spec is required"]
    );
    assert_eq!(
        refusals(&cut(5)),
        ["rules.yaml:5:1: route-rule/default/cart-canary: spec: spec is required"]
    );
    assert_eq!(
        refusals(&cut(6)),
        [
            "rules.yaml:6:3: route-rule/default/cart-canary: spec.destination: route rule must have a destination service"
        ]
    );
    assert_eq!(
        refusals(&cut(11)),
        [
            "rules.yaml:8:3: route-rule/default/cart-canary: spec.route: route weights total 90 (must total 100)"
        ]
    );
}

#[test]
fn all_problems_of_a_document_are_told_each_at_its_place() {
    let text = "\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata:
  name: Cart
  lables: {a: b}
spec:
  destination:
    service: *.example.com
  precedenc: 4
  route:
  - weight: 50
    labels: {version: 1.10}
  - weight: 60
    labels: v2
  http_fault: {delay: {percent: 101, fixedDelay: 7s}}
  httpFault: {}
  http_req_timeout:
    simple_timeout: {timeout: ten}
";
    assert_eq!(
        refusals(text),
        [
            "rules.yaml:4:9: route-rule/default/Cart: metadata.name: name \"Cart\" must be a DNS label: at most 63 lower case letters, digits and '-'",
            "rules.yaml:5:3: route-rule/default/Cart: metadata.lables: unknown field \"lables\" (did you mean labels?)",
            "rules.yaml:8:14: route-rule/default/Cart: the alias *.example.com names nothing (if it is a wildcard, quote it: \"*.example.com\")",
            "rules.yaml:9:3: route-rule/default/Cart: spec.precedenc: unknown field \"precedenc\" (did you mean precedence?)",
            "rules.yaml:10:3: route-rule/default/Cart: spec.route: route weights total 110 (must total 100)",
            "rules.yaml:12:23: route-rule/default/Cart: spec.route[0].labels.version: must be a text, found the number 1.10 (write it in quotes: \"1.10\")",
            "rules.yaml:14:13: route-rule/default/Cart: spec.route[1].labels: must be an object, found the text \"v2\" (check the indentation of the lines below)",
            "rules.yaml:15:33: route-rule/default/Cart: spec.httpFault.delay.percent: percent invalid: percentage 101 is not in range 0..100",
            "rules.yaml:16:3: route-rule/default/Cart: spec.httpFault: duplicate field \"httpFault\" (http_fault and httpFault are one field)",
            "rules.yaml:18:31: route-rule/default/Cart: spec.httpReqTimeout.simpleTimeout.timeout: httpTimeout invalid: \"ten\" is not a duration, write it like \"10s\", \"1h30m\" or \"100ms\" (units h, m, s, ms, us, ns)",
        ]
    );
}

#[test]
fn the_same_field_twice_is_refused_in_either_spelling() {
    for (first, second) in [
        ("httpReqTimeout", "httpReqTimeout"),
        ("httpReqTimeout", "http_req_timeout"),
        ("http_req_timeout", "httpReqTimeout"),
    ] {
        let field = |name| format!("  {name}: {{simpleTimeout: {{timeout: 1s}}}}\n");
        let told = refusals(&format!("{RULE}{}{}", field(first), field(second)));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(
                "rules.yaml:16:3: route-rule/default/cart-canary: spec.httpReqTimeout: duplicate field \"httpReqTimeout\""
            ),
            "{told:?}"
        );
    }
    let labels = RULE.replace("      version: v1\n", "      version: v1\n      version: v2\n");
    assert_eq!(
        refusals(&labels),
        [
            "rules.yaml:11:7: route-rule/default/cart-canary: spec.route[0].labels.version: duplicate field \"version\""
        ]
    );
}

#[test]
fn unknown_fields_are_warned_about_when_they_are_allowed() {
    let options = Options {
        allow_unknown: true,
        ..Options::default()
    };
    let text = format!("{RULE}  fromTheFuture: {{a: [1]}}\nmore: 1\n");
    let mut documents = document::parse("rules.yaml", &text, &options);
    let parsed = documents.remove(0).outcome.unwrap();

    let told: Vec<String> = parsed.warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        told,
        [
            "rules.yaml:15:3: route-rule/default/cart-canary: spec.fromTheFuture: unknown field \"fromTheFuture\" (ignored)",
            "rules.yaml:16:1: route-rule/default/cart-canary: more: unknown field \"more\" (ignored)",
        ]
    );
    assert_eq!(parsed.resource, accepted(RULE).resource);
}

#[test]
fn the_older_group_version_is_an_alias() {
    let parsed = accepted(&RULE.replace("v1alpha2", "v1beta1"));

    assert_eq!(parsed.alias.as_deref(), Some("config.istio.io/v1beta1"));
    assert_eq!(
        parsed.resource.to_json()["apiVersion"],
        "config.istio.io/v1alpha2"
    );
    assert_eq!(accepted(RULE).alias, None);
}

#[test]
fn the_namespace_is_the_documents_or_the_default() {
    let given = accepted(&RULE.replace(
        "  name: cart-canary\n",
        "  name: cart-canary\n  namespace: shop\n",
    ));
    assert!(given.namespace_given);
    assert_eq!(given.resource.meta.namespace, "shop");

    let options = Options {
        default_namespace: "team".into(),
        ..Options::default()
    };
    let defaulted = document::parse_body(RULE.as_bytes(), &options).unwrap();
    assert_eq!(defaulted.resource.meta.namespace, "team");
}

#[test]
fn metadata_of_the_server_survives() {
    let text = RULE.replace(
        "  name: cart-canary\n",
        "  name: cart-canary\n  uid: 0b9c\n  resourceVersion: \"17\"\n  generation: 3\n  creationTimestamp: 2026-01-01T00:00:00Z\n  selfLink: /x\n  managedFields: [{a: b}]\n  labels: {app: cart, example.com/team: a}\n  annotations: {note: \"a b\"}\n  finalizers: [example.com/hold]\n  ownerReferences: [{apiVersion: v1, kind: Team, name: a, uid: u, controller: true}]\n",
    ) + "status: {anything: 1}\n";
    let resource = accepted(&text).resource;

    assert_eq!(resource.meta.resource_version.as_deref(), Some("17"));
    assert_eq!(resource.meta.generation, 3);
    assert_eq!(
        resource.to_json()["metadata"],
        serde_json::json!({
            "name": "cart-canary", "namespace": "default", "uid": "0b9c", "resourceVersion": "17", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "cart", "example.com/team": "a"},
            "annotations": {"note": "a b"}, "finalizers": ["example.com/hold"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Team", "name": "a", "uid": "u", "controller": true}],
        })
    );
}

#[test]
fn names_and_metadata_follow_their_grammar() {
    let with = |kind: &str, metadata: &str| {
        let (version, spec) = match kind {
            "RouteRule" => ("config.istio.io/v1alpha2", "{destination: {service: a.b}}"),
            "Gateway" => (
                "networking.istio.io/v1alpha3",
                "{servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
            ),
            _ => ("networking.istio.io/v1alpha3", "{host: a.b}"),
        };
        refusals(&format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"
        ))
        .into_iter()
        .map(|told| {
            told.split_once(": metadata")
                .map_or(told.clone(), |(_, rest)| format!("metadata{rest}"))
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(
        with("DestinationRule", "{name: cart.example}"),
        Vec::<String>::new()
    );
    assert_eq!(
        with("DestinationRule", "{generateName: cart-}"),
        Vec::<String>::new()
    );
    for (kind, metadata, expected) in [
        (
            "RouteRule",
            "{name: a.b}",
            "metadata.name: name \"a.b\" must be a DNS label: at most 63 lower case letters, digits and '-'",
        ),
        (
            "Gateway",
            "{name: a.b}",
            "metadata.name: invalid gateway name \"a.b\": must be a DNS label",
        ),
        (
            "DestinationRule",
            "{name: a_b}",
            "metadata.name: name \"a_b\" must be a DNS name: at most 253 lower case letters, digits, '-' and '.'",
        ),
        (
            "DestinationRule",
            "{name: ''}",
            "metadata.name: metadata.name must not be empty",
        ),
        (
            "DestinationRule",
            "{}",
            "metadata.name: metadata.name is required",
        ),
        (
            "DestinationRule",
            "{name: a, namespace: A}",
            "metadata.namespace: namespace \"A\" must be a DNS label: lower case letters, digits and '-'",
        ),
        (
            "DestinationRule",
            "{name: a, labels: {'x y': z}}",
            "metadata.labels[\"x y\"]: label key \"x y\" must be a qualified name like app or example.com/app",
        ),
        (
            "DestinationRule",
            "{name: a, labels: {x: 'y z'}}",
            "metadata.labels.x: label value \"y z\" must be at most 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends",
        ),
        (
            "DestinationRule",
            "{name: a, annotations: {'-': z}}",
            "metadata.annotations.-: annotation key \"-\" must be a qualified name like note or example.com/note",
        ),
        (
            "DestinationRule",
            "{name: 7}",
            "metadata.name: must be a text, found the number 7 (write it in quotes: \"7\")",
        ),
    ] {
        assert_eq!(with(kind, metadata), [expected], "{kind} {metadata}");
    }
    let long = with(
        "DestinationRule",
        &format!("{{name: a, annotations: {{x: {}}}}}", "y".repeat(300_000)),
    );
    assert_eq!(
        long,
        ["metadata.annotations: annotations are 300001 bytes in all, at most 262144 are allowed"]
    );
}

#[test]
fn a_problem_found_later_is_placed_in_the_document_in_either_spelling() {
    let text = format!("{RULE}  http_fault:\n    abort: {{httpStatus: 500}}\n");
    let parsed = accepted(&text);

    let warnings = effect::not_yet(&parsed.resource);
    let told: Vec<String> = warnings
        .into_iter()
        .map(|warning| parsed.place(warning).to_string())
        .collect();

    assert_eq!(
        told,
        [
            "rules.yaml:15:3: route-rule/default/cart-canary: spec.httpFault: httpFault has no effect yet: faults are not injected"
        ]
    );
}

#[test]
fn anchors_and_merges_work_and_bombs_do_not() {
    let text = "\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart.example
  subsets:
  - name: v1
    labels: &base {version: v1, tier: web}
  - name: v2
    labels: {<<: *base, version: v2}
  - name: v3
    labels: *base
";
    let Spec::DestinationRule(rule) = accepted(text).resource.spec else {
        panic!("{text}")
    };
    let labels: Vec<String> = rule
        .subsets
        .iter()
        .map(|subset| subset.labels.to_string())
        .collect();
    assert_eq!(
        labels,
        [
            "tier=web,version=v1",
            "tier=web,version=v2",
            "tier=web,version=v1"
        ]
    );

    let deep = format!("{}x{}", "[".repeat(80), "]".repeat(80));
    for (body, expected) in [
        (deep.clone(), "nested deeper than 64 levels"),
        (format!("# yaml\n{deep}"), "nested deeper than 64 levels"),
        (format!("a: {}", "x".repeat(MAX_BYTES)), "(1.5 MiB) are allowed"),
    ] {
        let told = refusals(&body);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(expected), "{told:?}");
    }
}

#[test]
fn a_body_holds_exactly_one_object() {
    let options = Options::default();
    for (body, expected) in [
        (b"".as_slice(), "the body holds no object"),
        (b"{}{}", "the body holds 2 documents, expected one"),
        (b"\xff\xfe", "the body is not UTF-8: byte 0 is wrong"),
        (
            b"{\"kind\":\"RouteRule\"}",
            "line 1 column 1: apiVersion: apiVersion is required",
        ),
    ] {
        let problems = document::parse_body(body, &options).unwrap_err();
        assert_eq!(
            problems.iter().map(Problem::to_string).collect::<Vec<_>>(),
            [expected]
        );
    }
    let long = vec![b' '; MAX_BYTES + 1];
    let problems = document::parse_body(&long, &options).unwrap_err();
    assert_eq!(
        problems[0].message,
        "the object is 1572865 bytes long, at most 1572864 (1.5 MiB) are allowed"
    );
}

#[test]
fn an_object_full_of_mistakes_is_answered_in_a_page() {
    let fields: String = (0..20_000).map(|index| format!("  field{index}: 1\n")).collect();
    let told = refusals(&format!("{RULE}{fields}"));

    assert_eq!(told.len(), 101);
    assert!(told[100].ends_with("and 19900 more problems"), "{}", told[100]);
}

#[test]
fn large_objects_are_judged_in_time_proportional_to_their_size() {
    let hosts: Vec<String> = (0..60_000).map(|index| format!("h{index}.example")).collect();
    let sni: Vec<String> = (0..30_000)
        .map(|index| format!("{{sniHosts: [h{index}.x]}}"))
        .collect();
    let text = format!(
        "{{apiVersion: networking.istio.io/v1alpha3, kind: VirtualService, metadata: {{name: big}}, spec: {{hosts: [{}], \
         tls: [{{match: [{}], route: [{{destination: {{host: a.b}}}}]}}]}}}}",
        hosts.join(","),
        sni.join(",")
    );
    let told = refusals(&text);

    assert_eq!(told.len(), 101, "{:?}", told.first());
    assert!(told[0].contains("is not a compatible subset"), "{}", told[0]);
}

#[test]
fn a_list_stands_for_its_items_each_with_its_own_place() {
    let list = |items: &str| format!("apiVersion: v1\nkind: List\nmetadata: {{}}\nitems:{items}");
    let item = "
- apiVersion: config.istio.io/v1alpha2
  kind: RouteRule
  metadata: {name: NAME}
  spec: {destination: {name: reviews}, FIELD: 1}";
    let (good, bad) = (
        item.replace("NAME", "a").replace("FIELD", "precedence"),
        item.replace("NAME", "b").replace("FIELD", "precedense"),
    );

    let documents = parse(&list(&format!("{good}{bad}")));

    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0].outcome.as_ref().unwrap().resource.meta.name, "a");
    let problems = documents[1].outcome.as_ref().unwrap_err();
    assert_eq!(
        (problems.len(), problems[0].line, problems[0].column),
        (1, 12, 40),
        "{problems:?}"
    );
    assert!(parse(&list(" []")).is_empty());
    let odd = parse(&list(" 7"));
    assert!(
        odd[0]
            .outcome
            .as_ref()
            .is_err_and(|problems| problems[0].to_string().contains("found the number 7"))
    );
}

/// The problems of the only document, each with its place.
fn refused(text: &str) -> Vec<String> {
    let outcome = parse(text).remove(0).outcome;
    let problems = outcome.unwrap_err();
    let shown = problems.iter();
    shown
        .map(|problem| format!("{}:{}: {}", problem.line, problem.column, problem.message))
        .collect()
}

#[test]
fn a_mistake_in_json_is_told_as_one_of_json_though_yaml_might_read_it() {
    let commented = "{\"apiVersion\": \"config.istio.io/v1alpha2\", // why\n\"kind\": \"RouteRule\"}";

    let problems = refused(commented);

    assert!(problems[0].starts_with("1:44: "), "{problems:?}");
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn a_key_that_stands_twice_in_a_message_of_another_type_is_refused() {
    let problems = refused(
        "apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: a}
spec:
  destination: {name: b}
  custom: {'@type': t, deep: [{a: 1, a: 2}]}
",
    );

    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("6:") && problems[0].contains("duplicate"),
        "{problems:?}"
    );
}
