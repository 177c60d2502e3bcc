//! What a compilation has to tell the operator: a finding names the object, what is wrong and what was done instead.

use std::collections::BTreeMap;

use serde::Serialize;

/// The counter under which a finding is listed at `/debug/push_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A rule, or a part of one, was left out.
    PilotTotalRejectedConfigs,
    /// A route can never be reached because an earlier one catches everything.
    PilotShadowedRoutes,
    /// Rules of both generations, or two rules of one, govern the same host; one of them was left out.
    PilotConflictingRules,
    /// A route names a service, a subset or labels that nothing provides: such requests get 503.
    PilotDestinationMissing,
    /// Two objects name one domain in one RouteConfiguration.
    PilotVserviceDupDomain,
    /// A subset is defined twice for a host.
    PilotDuplicateSubsets,
    /// Two versions of a host have one cluster name.
    PilotDuplicateEnvoyClusters,
    /// A cluster has no endpoint.
    PilotEdsNoInstances,
    /// A service has no address that a listener could bind.
    PilotNoIp,
    /// Two listeners of one proxy want one address.
    PilotConflictInboundListener,
    /// Two outbound listeners of one proxy want one address.
    PilotConflictOutboundListener,
}

impl Topic {
    /// Every topic, in the order of the metrics page.
    pub const ALL: [Topic; 11] = [
        Topic::PilotTotalRejectedConfigs,
        Topic::PilotShadowedRoutes,
        Topic::PilotConflictingRules,
        Topic::PilotDestinationMissing,
        Topic::PilotVserviceDupDomain,
        Topic::PilotDuplicateSubsets,
        Topic::PilotDuplicateEnvoyClusters,
        Topic::PilotEdsNoInstances,
        Topic::PilotNoIp,
        Topic::PilotConflictInboundListener,
        Topic::PilotConflictOutboundListener,
    ];

    /// The metric's name.
    pub fn name(self) -> &'static str {
        match self {
            Topic::PilotTotalRejectedConfigs => "pilot_total_rejected_configs",
            Topic::PilotShadowedRoutes => "pilot_shadowed_routes",
            Topic::PilotConflictingRules => "pilot_conflicting_rules",
            Topic::PilotDestinationMissing => "pilot_destination_missing",
            Topic::PilotVserviceDupDomain => "pilot_vservice_dup_domain",
            Topic::PilotDuplicateSubsets => "pilot_duplicate_subsets",
            Topic::PilotDuplicateEnvoyClusters => "pilot_duplicate_envoy_clusters",
            Topic::PilotEdsNoInstances => "pilot_eds_no_instances",
            Topic::PilotNoIp => "pilot_no_ip",
            Topic::PilotConflictInboundListener => "pilot_conflict_inbound_listener",
            Topic::PilotConflictOutboundListener => "pilot_conflict_outbound_listener",
        }
    }
}

/// One thing that a compilation found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it is listed.
    pub topic: Topic,
    /// The object it is about: a rule's key, a host, a cluster or a listener.
    pub key: String,
    /// The proxy it was seen for; empty when it holds for all.
    pub proxy: String,
    /// What was found and what was done, one sentence.
    pub message: String,
}

impl Finding {
    /// A finding that holds for every proxy.
    pub fn new(topic: Topic, key: impl ToString, message: impl Into<String>) -> Self {
        Finding {
            topic,
            key: key.to_string(),
            proxy: String::new(),
            message: message.into(),
        }
    }

    /// The same finding, seen for one proxy.
    pub fn at(mut self, proxy: &str) -> Self {
        self.proxy = proxy.to_owned();
        self
    }
}

/// A finding as `/debug/push_status` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The proxy concerned, or empty.
    pub proxy: String,
    /// What was found.
    pub message: String,
}

/// Findings by metric and key. Different messages about one key are joined by `; ` in their order.
pub fn by_topic<'a>(
    findings: impl IntoIterator<Item = &'a Finding>,
) -> BTreeMap<&'static str, BTreeMap<String, Event>> {
    let mut gathered: BTreeMap<&'static str, BTreeMap<&str, (&str, Vec<&str>)>> = BTreeMap::new();
    for finding in findings {
        let keys = gathered.entry(finding.topic.name()).or_default();
        let (_, messages) = keys.entry(&finding.key).or_insert((&finding.proxy, Vec::new()));
        if !messages.contains(&finding.message.as_str()) {
            messages.push(&finding.message);
        }
    }
    let event = |(proxy, messages): (&str, Vec<&str>)| Event {
        proxy: proxy.to_owned(),
        message: messages.join("; "),
    };
    let events = gathered.into_iter().map(|(topic, keys)| {
        let keys = keys
            .into_iter()
            .map(|(key, found)| (key.to_owned(), event(found)));
        (topic, keys.collect())
    });
    events.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_about_one_object_are_joined_and_never_repeated() {
        let shadowed = Finding::new(
            Topic::PilotShadowedRoutes,
            "route-rule/default/a",
            "never reached; an earlier one catches all",
        );
        let other = Finding::new(Topic::PilotShadowedRoutes, "route-rule/default/a", "also odd").at("p1");

        let topics = by_topic([&shadowed, &other, &shadowed]);

        assert_eq!(
            topics["pilot_shadowed_routes"]["route-rule/default/a"].message,
            "never reached; an earlier one catches all; also odd"
        );
    }
}
