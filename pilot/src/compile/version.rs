//! The versions of a host: what its clusters are split into.

use std::collections::BTreeMap;

use outrigger_api::destination_rule::DestinationRule;
use outrigger_api::model::Labels;

use crate::finding::{Finding, Topic};
use crate::snapshot::rules::{Rules, typed};

/// Some instances of a host, chosen by their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Its place in cluster names: a subset's name, the text of a label set, or empty for all instances.
    pub(crate) text: String,
    /// What an instance must carry.
    pub(crate) labels: Labels,
}

/// The versions of `host`: all instances, then the label sets that RouteRules send requests to, then the subsets
/// of DestinationRules, sorted by text. One text is one version; the first that claims it keeps it.
pub(crate) fn versions(rules: &Rules, host: &str) -> (Vec<Version>, Vec<Finding>) {
    let destination_rules = rules.destination_rules(host);
    if destination_rules.is_empty() && rules.label_sets(host).next().is_none() {
        let whole = Version {
            text: String::new(),
            labels: Labels::default(),
        };
        return (vec![whole], Vec::new());
    }
    let mut found: BTreeMap<String, Labels> = BTreeMap::from([(String::new(), Labels::default())]);
    found.extend(
        rules
            .label_sets(host)
            .map(|labels| (labels.to_string(), labels.clone())),
    );
    let label_sets = found.len();
    let mut findings = Vec::new();
    let subsets = typed::<DestinationRule>(destination_rules)
        .flat_map(|(rule, spec)| spec.subsets.iter().map(move |subset| (rule, subset)));
    let mut named: BTreeMap<&str, &Labels> = BTreeMap::new();
    for (rule, subset) in subsets {
        if named.contains_key(subset.name.as_str()) {
            findings.push(Finding::new(
                Topic::PilotDuplicateSubsets,
                rule.key(),
                format!(
                    "subset {} of {host} is defined before; this definition is left out",
                    subset.name
                ),
            ));
        } else if let Some(labels) = found.get(&subset.name).filter(|_| label_sets > 1) {
            findings.push(Finding::new(
                Topic::PilotDuplicateEnvoyClusters,
                rule.key(),
                format!(
                    "subset {} of {host} has the cluster name of the labels {labels}; the labels win",
                    subset.name
                ),
            ));
        } else {
            named.insert(&subset.name, &subset.labels);
        }
    }
    found.extend(
        named
            .into_iter()
            .map(|(name, labels)| (name.to_owned(), labels.clone())),
    );
    let versions = found.into_iter().map(|(text, labels)| Version { text, labels });
    (versions.collect(), findings)
}
