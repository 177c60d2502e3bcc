//! Create, read, replace, delete.

use std::sync::Arc;

use outrigger_api::resource::Resource;
use outrigger_apiserver::Advisor;
use serde_json::{Value, json};

use crate::harness::{GATEWAYS, Served, gateway, names};

fn item(name: &str) -> String {
    format!("{GATEWAYS}/{name}")
}

#[tokio::test]
async fn a_created_object_comes_back_with_what_the_server_gives_it() {
    let served = Served::start().await;

    let made = served.create("a", &[]).await;

    let meta = &made["metadata"];
    assert_eq!(
        (&meta["namespace"], &meta["generation"]),
        (&json!("default"), &json!(1))
    );
    assert_eq!(meta["resourceVersion"], "1");
    let uid = meta["uid"].as_str().unwrap();
    assert!(uid.len() == 36 && uid.as_bytes()[14] == b'4', "{uid}");
    let time = meta["creationTimestamp"].as_str().unwrap();
    assert!(
        time.len() == 20 && time.ends_with('Z') && time.starts_with("20"),
        "{time}"
    );
    assert_eq!(served.get(&item("a")).await.json(), made);
}

#[tokio::test]
async fn yaml_goes_in_and_out() {
    let served = Served::start().await;
    let yaml = "apiVersion: networking.istio.io/v1alpha3\nkind: Gateway\nmetadata: {name: a}\n\
                spec:\n  selector: {istio: ingressgateway}\n  servers:\n  - hosts: ['*']\n    \
                port: {number: 80, name: http, protocol: HTTP}\n";

    let made = served
        .send(
            "POST",
            GATEWAYS,
            &[("content-type", "application/yaml")],
            Some(yaml.into()),
        )
        .await;
    let read = served
        .send("GET", &item("a"), &[("accept", "application/yaml")], None)
        .await;

    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(read.header("content-type"), "application/yaml");
    assert!(read.text.contains("kind: Gateway\n"), "{}", read.text);
    assert_eq!(serde_saphyr::from_str::<Value>(&read.text).unwrap(), made.json());
}

#[tokio::test]
async fn a_second_object_of_a_name_is_refused_and_other_namespaces_are_free() {
    let served = Served::start().await;
    served.create("a", &[]).await;

    let again = served.call("POST", GATEWAYS, Some(gateway("a"))).await;
    let elsewhere = GATEWAYS.replace("default", "istio-system");
    let beside = served.call("POST", &elsewhere, Some(gateway("a"))).await;

    assert_eq!(
        again.is_failure(409, "AlreadyExists"),
        "gateways.networking.istio.io \"a\" already exists"
    );
    assert_eq!(again.json()["details"]["kind"], "gateways");
    assert_eq!(beside.json()["metadata"]["namespace"], "istio-system");
}

#[tokio::test]
async fn replacing_compares_versions_and_counts_generations() {
    let served = Served::start().await;
    let mut object = served.create("a", &[]).await;
    let first = object.clone();
    object["spec"]["servers"][0]["hosts"] = json!(["bookinfo.example.com"]);

    let replaced = served.call("PUT", &item("a"), Some(object.clone())).await.json();
    let stale = served.call("PUT", &item("a"), Some(first)).await;
    let same = served
        .call("PUT", &item("a"), Some(replaced.clone()))
        .await
        .json();
    object["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    let blind = served.call("PUT", &item("a"), Some(object.clone())).await;

    assert_eq!(
        (
            &replaced["metadata"]["generation"],
            &replaced["metadata"]["resourceVersion"]
        ),
        (&json!(2), &json!("2"))
    );
    assert!(
        stale
            .is_failure(409, "Conflict")
            .contains("please apply your changes to the latest version")
    );
    assert_eq!(same, replaced);
    assert_eq!(served.server.version(), 2, "an unchanged object takes no version");
    let message = blind.is_failure(422, "Invalid");
    assert!(
        message.ends_with("metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"),
        "{message}"
    );
    object["metadata"]["resourceVersion"] = json!("2");
    object["metadata"]["uid"] = json!("another");
    let other = served.call("PUT", &item("a"), Some(object)).await;
    assert!(
        other
            .is_failure(409, "Conflict")
            .contains("UID in precondition: another")
    );
}

#[tokio::test]
async fn a_deletion_is_answered_by_a_status_and_keeps_to_preconditions() {
    let served = Served::start().await;
    let made = served.create("a", &[]).await;
    let uid = made["metadata"]["uid"].clone();

    let wrong = json!({"preconditions": {"uid": "another"}});
    let refused = served.call("DELETE", &item("a"), Some(wrong)).await;
    let right =
        json!({"kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": {"uid": uid}});
    let done = served.call("DELETE", &item("a"), Some(right)).await;
    let again = served.call("DELETE", &item("a"), None).await;

    refused.is_failure(409, "Conflict");
    assert_eq!(done.code, 200);
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "a", "group": "networking.istio.io", "kind": "gateways", "uid": uid},
    });
    assert_eq!(done.json(), expected);
    assert_eq!(
        again.is_failure(404, "NotFound"),
        "gateways.networking.istio.io \"a\" not found"
    );
}

#[tokio::test]
async fn finalizers_hold_an_object_until_they_are_taken_off() {
    let served = Served::start().await;
    let mut object = gateway("a");
    object["metadata"]["finalizers"] = json!(["example.com/wait"]);
    served.call("POST", GATEWAYS, Some(object)).await;

    let mut leaving = served.call("DELETE", &item("a"), None).await.json();
    assert!(leaving["metadata"]["deletionTimestamp"].is_string(), "{leaving}");
    assert_eq!(served.get(&item("a")).await.code, 200);
    leaving["metadata"]["finalizers"] = json!([]);
    let last = served.call("PUT", &item("a"), Some(leaving)).await;

    assert_eq!(last.code, 200, "{last:?}");
    assert_eq!(served.get(&item("a")).await.code, 404);
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_the_selector_goes() {
    let served = Served::start().await;
    served.create("a", &[("app", "web")]).await;
    served.create("b", &[("app", "db")]).await;
    served.create("c", &[("app", "web")]).await;

    let deleted = served
        .call("DELETE", &format!("{GATEWAYS}?labelSelector=app%3Dweb"), None)
        .await;

    assert_eq!(deleted.json()["kind"], "GatewayList");
    assert_eq!(names(&deleted.json()), ["a", "c"]);
    assert_eq!(names(&served.get(GATEWAYS).await.json()), ["b"]);
}

#[tokio::test]
async fn a_dry_run_answers_like_the_real_one_and_stores_nothing() {
    let served = Served::start().await;

    let shown = served
        .call("POST", &format!("{GATEWAYS}?dryRun=All"), Some(gateway("a")))
        .await;
    assert_eq!(shown.code, 201);
    assert!(shown.json()["metadata"]["uid"].is_string());
    assert!(
        shown.json()["metadata"].get("resourceVersion").is_none(),
        "{}",
        shown.text
    );
    assert_eq!(served.get(&item("a")).await.code, 404);
    served.create("a", &[]).await;
    let delete = served
        .call("DELETE", &item("a"), Some(json!({"dryRun": ["All"]})))
        .await;
    let all = served
        .call("DELETE", &format!("{GATEWAYS}?dryRun=All"), None)
        .await;

    assert_eq!((delete.code, names(&all.json())), (200, vec!["a"]));
    assert_eq!(served.get(&item("a")).await.code, 200);
    assert_eq!(served.server.version(), 1);
}

#[tokio::test]
async fn a_head_tells_the_length_that_the_body_would_have() {
    let served = Served::start().await;
    served.create("a", &[]).await;

    for path in [item("a").as_str(), GATEWAYS, "/version", "/healthz"] {
        let whole = served.get(path).await;
        let head = served.call("HEAD", path, None).await;

        assert_eq!((head.code, head.text.as_str()), (200, ""), "{path}");
        assert_eq!(
            head.header("content-length"),
            whole.text.len().to_string(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_generated_name_is_completed_by_the_server() {
    let served = Served::start().await;
    let mut object = gateway("");
    object["metadata"] = json!({"generateName": "gw-"});

    let first = served.call("POST", GATEWAYS, Some(object.clone())).await.json();
    let second = served.call("POST", GATEWAYS, Some(object)).await.json();

    let name = first["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gw-") && name.len() == 8, "{name}");
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
}

#[tokio::test]
async fn a_beginning_that_cannot_become_a_name_is_refused_and_nothing_is_stored() {
    let served = Served::start().await;
    for beginning in ["Bad_", "a/b ..%", "-a", "a..", &"a.b".repeat(100)] {
        let mut object = gateway("");
        object["metadata"] = json!({"generateName": beginning});

        let refused = served.call("POST", GATEWAYS, Some(object)).await;

        let message = refused.is_failure(422, "Invalid");
        assert!(message.contains("metadata.generateName"), "{message}");
    }
    let listed = served.call("GET", GATEWAYS, None).await.json();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn a_deletion_of_less_than_a_collection_never_takes_all_of_it() {
    let served = Served::start().await;
    served.create("a", &[]).await;
    let everything = |query: &str| format!("{GATEWAYS}{query}");

    for query in ["?limit=1", "?continue=x", "?resourceVersion=1"] {
        let refused = served.call("DELETE", &everything(query), None).await;
        refused.is_failure(400, "BadRequest");
    }
    let options = json!({"preconditions": {"uid": "nobody"}});
    let refused = served.call("DELETE", GATEWAYS, Some(options)).await;
    refused.is_failure(400, "BadRequest");
    // The name is missing: what stands before the slash is not meant.
    let nameless = served.call("DELETE", &everything("/"), None).await;
    assert_eq!(nameless.code, 404);

    let listed = served.call("GET", GATEWAYS, None).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn options_that_a_deletion_does_not_know_delete_nothing() {
    let served = Served::start().await;
    served.create("a", &[]).await;
    for options in [
        json!({"precondition": {"uid": "another"}}),
        json!({"preconditions": {"id": "another"}}),
        json!({"kind": "RouteRule"}),
        json!({"propagationPolicy": "Nope"}),
        json!({"gracePeriodSeconds": -5}),
    ] {
        let refused = served.call("DELETE", &item("a"), Some(options)).await;
        let message = refused.is_failure(400, "BadRequest");
        assert!(message.contains("DeleteOptions"), "{message}");
    }
    let options = json!({"apiVersion": "v1", "gracePeriodSeconds": 0, "orphanDependents": false});
    assert_eq!(served.call("DELETE", &item("a"), Some(options)).await.code, 200);
}

#[tokio::test]
async fn unknown_fields_are_refused_unless_less_is_asked_for() {
    let served = Served::start().await;
    let mut object = gateway("a");
    object["spec"]["surprise"] = json!(1);

    object["metadata"]["bogus"] = json!("x");

    let refused = served.call("POST", GATEWAYS, Some(object.clone())).await;
    let with = |validation: &str| {
        let path = format!("{GATEWAYS}?fieldValidation={validation}");
        let object = object.clone();
        let served = &served;
        async move { served.call("POST", &path, Some(object)).await }
    };
    let strict = with("Strict").await;
    let ignored = with("Ignore&dryRun=All").await;
    let warned = with("Warn").await;

    assert!(
        refused.is_failure(422, "Invalid").contains("surprise"),
        "{refused:?}"
    );
    assert_eq!(
        strict.is_failure(400, "BadRequest"),
        "strict decoding error: unknown field \"metadata.bogus\", unknown field \"spec.surprise\""
    );
    assert_eq!(
        (ignored.code, ignored.warnings()),
        (201, Vec::<&str>::new()),
        "{ignored:?}"
    );
    assert_eq!(warned.code, 201, "{warned:?}");
    assert!(
        warned
            .warnings()
            .iter()
            .any(|warning| warning.contains("surprise")),
        "{:?}",
        warned.warnings()
    );
}

#[tokio::test]
async fn fields_without_effect_and_the_advisor_speak_in_warnings() {
    struct Registry;
    impl Advisor for Registry {
        fn advise(&self, resource: &Resource) -> Vec<String> {
            vec![format!("no instance for \"{}\"", resource.meta.name)]
        }
    }
    let served = Served::start().await;
    served.server.set_advisor(Arc::new(Registry));
    let rule = json!({
        "apiVersion": "config.istio.io/v1beta1", "kind": "RouteRule", "metadata": {"name": "delay"},
        "spec": {"destination": {"service": "ratings.service.consul"},
            "httpFault": {"delay": {"percent": 100, "fixedDelay": "5s"}}},
    });

    let path = "/apis/config.istio.io/v1alpha2/namespaces/default/routerules";
    let made = served.call("POST", path, Some(rule)).await;

    assert_eq!(made.code, 201, "{made:?}");
    let warnings = made.warnings();
    assert!(
        warnings
            .iter()
            .any(|warning| warning.starts_with("299 - \"") && warning.contains("httpFault")),
        "{warnings:?}"
    );
    let alias = r#"299 - "apiVersion config.istio.io/v1beta1 is stored as config.istio.io/v1alpha2""#;
    assert!(warnings.contains(&alias), "{warnings:?}");
    assert_eq!(made.json()["apiVersion"], "config.istio.io/v1alpha2");
    assert!(
        warnings.contains(&r#"299 - "no instance for \"delay\"""#),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn a_virtual_service_may_name_a_subset_only_after_a_destination_rule_does() {
    let served = Served::start().await;
    let base = "/apis/networking.istio.io/v1alpha3/namespaces/default";
    let service = json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService", "metadata": {"name": "reviews"},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews", "subset": "v1"}}]}]},
    });
    let rule = json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "DestinationRule", "metadata": {"name": "reviews"},
        "spec": {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
    });

    let early = served
        .call("POST", &format!("{base}/virtualservices"), Some(service.clone()))
        .await;
    let made = served
        .call("POST", &format!("{base}/destinationrules"), Some(rule))
        .await;
    let then = served
        .call("POST", &format!("{base}/virtualservices"), Some(service))
        .await;

    let message = early.is_failure(422, "Invalid");
    assert!(
        message.starts_with("VirtualService.networking.istio.io \"reviews\" is invalid: "),
        "{message}"
    );
    assert!(
        message.contains("no DestinationRule defines subset \"v1\" of host reviews"),
        "{message}"
    );
    assert_eq!(
        early.json()["details"]["causes"][0]["field"],
        "spec.http[0].route[0].destination.subset"
    );
    assert_eq!((made.code, then.code), (201, 201), "{made:?} {then:?}");
}

#[tokio::test]
async fn a_virtual_service_that_loses_its_subset_is_named_in_a_warning() {
    let served = Served::start().await;
    let base = "/apis/networking.istio.io/v1alpha3/namespaces/default";
    let (rules, services) = (
        format!("{base}/destinationrules"),
        format!("{base}/virtualservices"),
    );
    let rule = |subsets: &[&str]| {
        let subsets: Vec<_> = subsets
            .iter()
            .map(|name| json!({"name": name, "labels": {"version": name}}))
            .collect();
        json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "DestinationRule", "metadata": {"name": "reviews"},
            "spec": {"host": "reviews", "subsets": subsets},
        })
    };
    let to = |name: &str, subset: &str| {
        let route = json!({"route": [{"destination": {"host": "reviews", "subset": subset}}]});
        json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService", "metadata": {"name": name},
            "spec": {"hosts": [name], "http": [route]},
        })
    };
    let made = served.call("POST", &rules, Some(rule(&["v1", "v2"]))).await;
    for (name, subset) in [("one", "v1"), ("two", "v2")] {
        let made = served.call("POST", &services, Some(to(name, subset))).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let left = |name: &str, subset: &str| {
        format!(
            "299 - \"virtual-service/default/{name} is left dangling: spec.http[0].route[0].destination.subset: \
             no DestinationRule defines subset \\\"{subset}\\\" of host reviews\""
        )
    };

    let item = format!("{rules}/reviews");
    let mut narrowed = rule(&["v1", "v3"]);
    narrowed["metadata"]["resourceVersion"] = made.json()["metadata"]["resourceVersion"].clone();
    let all = served.call("DELETE", &format!("{rules}?dryRun=All"), None).await;
    let replaced = served.call("PUT", &item, Some(narrowed.clone())).await;
    narrowed["metadata"]["resourceVersion"] = replaced.json()["metadata"]["resourceVersion"].clone();
    let again = served.call("PUT", &item, Some(narrowed)).await;
    let deleted = served.call("DELETE", &item, None).await;

    assert_eq!(all.warnings(), [left("one", "v1"), left("two", "v2")]);
    assert_eq!(replaced.warnings(), [left("two", "v2")], "{replaced:?}");
    assert_eq!(again.warnings(), Vec::<&str>::new(), "it dangled before");
    assert_eq!(
        (deleted.code, deleted.warnings()),
        (200, vec![left("one", "v1").as_str()])
    );
}

#[tokio::test]
async fn the_typed_client_writes_and_reads_the_same() {
    use outrigger_api::document::{Options, parse_body};
    use outrigger_client::{ConfigSource, ConfigStore};
    let served = Served::start().await;
    let client = served.client();
    let body = gateway("a").to_string();
    let object = parse_body(body.as_bytes(), &Options::default()).unwrap().resource;

    let made = client.create(&object).await.unwrap();
    assert!(client.create(&object).await.unwrap_err().is_already_exists());
    let mut changed = made.resource.as_ref().clone();
    changed.meta.labels.insert("a".into(), "b".into());
    let replaced = client.replace(&changed).await.unwrap();
    assert!(client.replace(&changed).await.unwrap_err().is_conflict());

    let key = object.key();
    assert_eq!(
        client.get(&key).await.unwrap(),
        Some(Arc::clone(&replaced.resource))
    );
    assert_eq!(client.list(key.kind).await.unwrap().items, [replaced.resource]);
    client.delete(&key).await.unwrap();
    assert!(client.delete(&key).await.unwrap_err().is_not_found());
    assert_eq!(client.get(&key).await.unwrap(), None);
    assert!(
        client
            .server_version()
            .await
            .unwrap()
            .starts_with("v1.20.0+outrigger")
    );
}

#[tokio::test]
async fn a_typed_deletion_tells_who_is_left_dangling_and_what_is_held_over_http_and_in_process() {
    use outrigger_api::document::{Options, parse_body};
    use outrigger_client::ConfigStore;
    let served = Served::start().await;
    let stores: [Box<dyn ConfigStore>; 2] = [Box::new(served.client()), Box::new(served.server.clone())];
    let object = |document: Value| {
        parse_body(document.to_string().as_bytes(), &Options::default())
            .unwrap()
            .resource
    };
    let networking = "networking.istio.io/v1alpha3";
    let subsets = object(json!({
        "apiVersion": networking, "kind": "DestinationRule", "metadata": {"name": "reviews"},
        "spec": {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
    }));
    let route = json!({"route": [{"destination": {"host": "reviews", "subset": "v1"}}]});
    let rule = object(json!({
        "apiVersion": networking, "kind": "VirtualService", "metadata": {"name": "one"},
        "spec": {"hosts": ["one"], "http": [route]},
    }));
    let mut held = gateway("held");
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    let held = object(held);
    for store in stores {
        for made in [&subsets, &rule, &held] {
            store.create(made).await.unwrap();
        }

        let gone = store.delete(&subsets.key()).await.unwrap();
        let kept = store.delete(&held.key()).await.unwrap();

        assert_eq!(gone.held, None);
        assert!(
            gone.warnings.len() == 1 && gone.warnings[0].contains("default/one is left dangling"),
            "{gone:?}"
        );
        let kept = kept.held.expect("the finalizer holds it");
        assert_eq!(kept.meta.finalizers, ["example.com/wait"]);
        assert!(kept.meta.deletion_timestamp.is_some());
        let mut free = kept.as_ref().clone();
        free.meta.finalizers.clear();
        store.replace(&free).await.unwrap();
        store.delete(&rule.key()).await.unwrap();
    }
}

#[tokio::test]
async fn a_subset_of_a_wildcard_is_found_for_the_hosts_it_covers_and_missed_when_the_wildcard_goes() {
    let served = Served::start().await;
    let base = "/apis/networking.istio.io/v1alpha3/namespaces/default";
    let rule = json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "DestinationRule", "metadata": {"name": "all"},
        "spec": {"host": "*.mesh", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
    });
    let service = |host: &str| {
        let route = json!({"route": [{"destination": {"host": host, "subset": "v1"}}]});
        json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService", "metadata": {"name": "reviews"},
            "spec": {"hosts": [host], "http": [route]},
        })
    };
    let made = served
        .call("POST", &format!("{base}/destinationrules"), Some(rule))
        .await;
    assert_eq!(made.code, 201, "{made:?}");
    let services = format!("{base}/virtualservices");

    let elsewhere = served
        .call("POST", &services, Some(service("reviews.other")))
        .await;
    let covered = served
        .call("POST", &services, Some(service("reviews.mesh")))
        .await;
    let gone = served
        .call("DELETE", &format!("{base}/destinationrules/all"), None)
        .await;

    assert!(
        elsewhere
            .is_failure(422, "Invalid")
            .contains("no DestinationRule defines subset"),
    );
    assert_eq!(covered.code, 201, "{covered:?}");
    assert!(
        gone.warnings().len() == 1 && gone.warnings()[0].contains("default/reviews is left dangling"),
        "{gone:?}"
    );
}
