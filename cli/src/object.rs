//! How objects are named on the command line.

use outrigger_api::kind::Kind;

use crate::failure::Failure;

/// What the words after a verb name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `all`: objects of every kind.
    All,
    /// `routerules`, or `routerules,gateways`: all objects of these kinds.
    Kinds(Vec<Kind>),
    /// `routerule a b`, or `routerule/a gateway/b`: these.
    Objects(Vec<(Kind, String)>),
}

/// Reads them.
///
/// # Errors
/// When a kind is unknown, or names stand where they mean nothing.
pub(crate) fn named(words: &[String]) -> Result<Named, Failure> {
    let Some((first, names)) = words.split_first() else {
        return Ok(Named::Kinds(Vec::new()));
    };
    if first.contains('/') {
        let pairs = words.iter().map(|word| match word.split_once('/') {
            Some((kind, name)) if !name.is_empty() => Ok((kind_of(kind)?, name.to_owned())),
            _ => Err(Failure::Usage(format!(
                "{word}: with TYPE/NAME every word is TYPE/NAME"
            ))),
        });
        return pairs.collect::<Result<_, _>>().map(Named::Objects);
    }
    if first == "all" {
        return match names {
            [] => Ok(Named::All),
            _ => Err(Failure::Usage("all takes no names".into())),
        };
    }
    let kinds = first.split(',').map(kind_of).collect::<Result<Vec<_>, _>>()?;
    match (kinds.as_slice(), names) {
        (_, []) => Ok(Named::Kinds(kinds)),
        ([kind], names) => Ok(Named::Objects(
            names.iter().map(|name| (*kind, name.clone())).collect(),
        )),
        _ => Err(Failure::Usage("names go with one type".into())),
    }
}

fn kind_of(name: &str) -> Result<Kind, Failure> {
    Kind::from_cli_name(name).map_err(|error| Failure::one(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Named> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        named(&words).ok()
    }

    #[test]
    fn types_and_names_are_written_as_for_kubectl() {
        let (rule, gateway) = (Kind::RouteRule, Kind::Gateway);
        let objects = |pairs: &[(Kind, &str)]| {
            Some(Named::Objects(
                pairs
                    .iter()
                    .map(|(kind, name)| (*kind, (*name).to_owned()))
                    .collect(),
            ))
        };

        assert_eq!(read("all"), Some(Named::All));
        assert_eq!(
            read("routerules,gateway"),
            Some(Named::Kinds(vec![rule, gateway]))
        );
        assert_eq!(read("routerule a b"), objects(&[(rule, "a"), (rule, "b")]));
        assert_eq!(
            read("routerule.config.istio.io/a gateway/b"),
            objects(&[(rule, "a"), (gateway, "b")])
        );
        for wrong in [
            "cats",
            "routerule/",
            "routerule/a b",
            "routerule,gateway a",
            "all a",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
