//! Everything that compilation found: for the proxies that are connected, and for those that are not there yet. Rules
//! have their mistakes before anybody follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use outrigger_api::model::Labels;
use outrigger_api::resource::Key;

use super::Fleet;
use crate::class::Class;
use crate::compile::gateway;
use crate::compile::shared::compile_shared;
use crate::finding::Finding;
use crate::node::Role;
use crate::snapshot::Snapshot;

impl Fleet {
    /// Everything that compilation found for the snapshot that stands. Compiles what nobody who is connected needs, so
    /// it may take a while.
    pub fn findings(&self) -> Vec<Finding> {
        let Some(Found {
            snapshot,
            mut findings,
            has_sidecars,
            served,
        }) = self.found()
        else {
            return Vec::new();
        };
        let absent = Absent { has_sidecars, served };
        findings.extend(self.of_absent(&snapshot, absent).iter().cloned());
        findings.sort();
        findings.dedup();
        findings
    }

    /// What is found for proxies that are not there. Made once for a snapshot and those who are there: scrapers ask often.
    fn of_absent(&self, snapshot: &Arc<Snapshot>, absent: Absent) -> Arc<Vec<Finding>> {
        let kept = &self.inner.of_absent;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept
            && Arc::ptr_eq(&kept.snapshot, snapshot)
            && kept.absent == absent
        {
            return kept.findings.clone();
        }
        let findings = Arc::new(absent.findings(snapshot));
        *kept = Some(OfAbsent {
            snapshot: snapshot.clone(),
            absent,
            findings: findings.clone(),
        });
        findings
    }

    fn found(&self) -> Option<Found> {
        let table = self.table();
        let standing = table.standing.as_ref()?;
        let mut found = Found {
            snapshot: standing.snapshot.clone(),
            findings: standing.snapshot.findings.to_vec(),
            has_sidecars: false,
            served: BTreeSet::new(),
        };
        for (class, shared) in &standing.compiled.shared {
            found.findings.extend(shared.findings.iter().cloned());
            found.has_sidecars |= class.role == Role::Sidecar;
            found.served.extend(class.gateways.iter().cloned());
        }
        for endpoints in standing.compiled.endpoints.values() {
            found.findings.extend(endpoints.findings.iter().cloned());
        }
        let proxies = table.proxies.values();
        let own = proxies.flat_map(|proxy| proxy.own.findings.iter().cloned());
        found.findings.extend(own);
        Some(found)
    }
}

/// What is known already.
struct Found {
    /// The snapshot that stands.
    snapshot: Arc<Snapshot>,
    /// What was found for it and for the proxies that are connected.
    findings: Vec<Finding>,
    /// Any of these is a sidecar.
    has_sidecars: bool,
    /// The Gateways that they serve.
    served: BTreeSet<Key>,
}

/// What was found in a snapshot for proxies that are not there.
pub(super) struct OfAbsent {
    snapshot: Arc<Snapshot>,
    absent: Absent,
    findings: Arc<Vec<Finding>>,
}

/// Which proxies are not there, seen from those that are.
#[derive(PartialEq, Eq)]
struct Absent {
    /// Some sidecar is connected.
    has_sidecars: bool,
    /// The Gateways that connected routers serve.
    served: BTreeSet<Key>,
}

impl Absent {
    fn findings(&self, snapshot: &Snapshot) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.has_sidecars {
            let shared = compile_shared(snapshot, &Class::nobody(), None);
            findings.extend(shared.findings.iter().cloned());
        }
        for router in absent_routers(snapshot, &self.served) {
            findings.extend(gateway::compile(snapshot, &router).findings);
        }
        findings
    }
}

/// The classes of routers that would serve the Gateways that nobody serves: one for each selector, whose labels it has.
fn absent_routers(snapshot: &Snapshot, served: &BTreeSet<Key>) -> Vec<Class> {
    let mut by_selector: BTreeMap<&Labels, BTreeSet<Key>> = BTreeMap::new();
    for (rule, spec) in snapshot.rules.gateways() {
        if !served.contains(&rule.key()) {
            by_selector.entry(&spec.selector).or_default();
        }
    }
    for (labels, gateways) in &mut by_selector {
        let taken = snapshot.rules.gateways();
        gateways.extend(
            taken
                .filter(|(_, spec)| spec.selector.is_subset_of(labels))
                .map(|(rule, _)| rule.key()),
        );
    }
    let classes = by_selector.into_values().map(|gateways| Class {
        role: Role::Router,
        gateways,
        ..Class::nobody()
    });
    classes.collect()
}
