//! How much must have been read before anything is given out.

use std::time::SystemTime;

use outrigger_registry::state::RegistryState;

use crate::debug::ready::UNREAD_SHOWN;

/// What is missing before anything may be given out. A proxy that has a configuration must not lose it to a pilot
/// that knows less: so the rules must have been read, and every registry, or after the grace at least one of them.
pub(crate) fn missing(
    config_synced: bool,
    registries: &[RegistryState],
    grace_passed: bool,
) -> Option<String> {
    if !config_synced {
        return Some("the rules have not been read yet".into());
    }
    let unread: Vec<&RegistryState> = registries
        .iter()
        .filter(|registry| !usable(registry, grace_passed))
        .collect();
    if unread.is_empty() || grace_passed && unread.len() < registries.len() {
        return None;
    }
    let unread = unread.iter().map(|registry| match &registry.last_error {
        None => format!("registry {} has not been read yet", registry.name),
        Some(error) => format!("registry {} has not been read yet: {error}", registry.name),
    });
    Some(unread.collect::<Vec<_>>().join("; "))
}

/// True when what there is of a registry may be given out: it was read; or it cannot be, and what was saved before the
/// restart stands in; or the grace has passed and it cannot be read any further. A reading that is under way is waited
/// for, within the grace even where something stands in.
pub(crate) fn usable(registry: &RegistryState, grace_passed: bool) -> bool {
    let stands_in = registry.restored.is_some() && (grace_passed || registry.has_failed());
    registry.synced || stands_in || grace_passed && registry.is_read_in_part()
}

/// Tells the log on what less than whole readings the first publication rests.
pub(crate) fn tell_incomplete(registries: &[RegistryState]) {
    let now = SystemTime::now();
    for registry in registries.iter().filter(|registry| !registry.synced) {
        let unread = registry.unread_parts(UNREAD_SHOWN).join("; ");
        tracing::warn!(
            registry = registry.name,
            reading = registry.reading(now),
            unread,
            "proxies are served although not all of the registry could be read"
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use outrigger_registry::state::Part;

    pub(crate) fn registry(name: &str, synced: bool) -> RegistryState {
        RegistryState {
            name: name.into(),
            synced,
            ..RegistryState::default()
        }
    }

    fn failing(name: &str, begun: bool, restored: bool) -> RegistryState {
        let part = Part {
            error: Some("connection refused".into()),
            ..Part::all(name)
        };
        RegistryState {
            begun,
            unread: vec![part],
            restored: restored.then_some(SystemTime::UNIX_EPOCH),
            last_error: Some("connection refused".into()),
            ..registry(name, false)
        }
    }

    #[test]
    fn rules_and_every_registry_are_waited_for() {
        let both = [registry("static", true), registry("consul", false)];

        assert_eq!(
            missing(false, &[], true).unwrap(),
            "the rules have not been read yet"
        );
        assert_eq!(
            missing(true, &both, false).unwrap(),
            "registry consul has not been read yet"
        );
        assert_eq!(missing(true, &both[..1], false), None);
        assert_eq!(missing(true, &[], false), None);
    }

    #[test]
    fn after_the_grace_one_registry_is_enough_but_none_is_not() {
        let both = [registry("static", true), registry("consul", false)];
        let mut lost = registry("consul", false);
        lost.last_error = Some("connection refused".into());

        assert_eq!(missing(true, &both, true), None);
        assert_eq!(
            missing(true, &[lost], true).unwrap(),
            "registry consul has not been read yet: connection refused"
        );
    }

    #[test]
    fn a_restored_registry_that_cannot_be_read_is_given_out_at_once_and_one_under_way_after_the_grace() {
        let restored = failing("consul", false, true);
        let under_way = RegistryState {
            unread: vec![Part::all("consul")],
            last_error: None,
            ..restored.clone()
        };
        let with_static = |consul: &RegistryState| [registry("static", true), consul.clone()];

        assert_eq!(missing(true, &with_static(&restored), false), None);
        assert_eq!(missing(true, &[restored], false), None);
        assert_eq!(
            missing(true, &with_static(&under_way), false).unwrap(),
            "registry consul has not been read yet"
        );
        assert_eq!(missing(true, &[under_way], true), None);
    }

    #[test]
    fn a_registry_that_can_be_read_in_part_only_is_given_out_after_the_grace() {
        let part = failing("static", true, false);
        assert_eq!(
            missing(true, std::slice::from_ref(&part), false).unwrap(),
            "registry static has not been read yet: connection refused"
        );
        assert_eq!(missing(true, std::slice::from_ref(&part), true), None);

        let mut under_way = part;
        under_way.unread.push(Part::all("service a"));
        assert!(
            missing(true, &[under_way], true).is_some(),
            "the rest is on its way"
        );
    }
}
