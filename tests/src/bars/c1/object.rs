//! The objects that are written: each is told whole by its name and a number. Pure.

use outrigger_api::document::{self, Options};
use outrigger_api::resource::{Resource, Spec};

/// Bytes of filler in most objects, enough to make a torn write visible.
const SMALL: usize = 400;
/// In one of eight: so that the journal begins new segments.
const LARGE: usize = 32 << 10;
/// In one of a hundred: more than any buffer on the way.
const HUGE: usize = 200 << 10;

/// The object called `name` that carries `number`, as it is sent.
pub(super) fn object(name: &str, number: i32) -> Resource {
    let filler = filler(number);
    let text = format!(
        "{{apiVersion: config.istio.io/v1alpha2, kind: RouteRule, metadata: {{name: {name}, annotations: {{filler: \
         {filler:?}}}}}, spec: {{destination: {{service: echo.mesh}}, precedence: {number}}}}}"
    );
    match document::parse_body(text.as_bytes(), &Options::default()) {
        Ok(parsed) => parsed.resource,
        Err(problems) => unreachable!("the bar's own rule is refused: {problems:?}"),
    }
}

/// The number that an object carries.
pub(super) fn number(object: &Resource) -> i32 {
    match &object.spec {
        Spec::RouteRule(rule) => rule.precedence,
        _ => 0,
    }
}

/// The version that the server gave an object; 0 when it gave none.
pub(super) fn version(object: &Resource) -> u64 {
    let version = object.meta.resource_version.as_deref();
    version.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Text that no other number has.
fn filler(number: i32) -> String {
    let length = match number {
        _ if number % 100 == 0 => HUGE,
        _ if number % 8 == 0 => LARGE,
        _ => SMALL,
    };
    let piece = format!("{number} ");
    piece.repeat(length / piece.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_told_by_its_name_and_number() {
        let some = object("a", 7);

        assert_eq!(
            (some.meta.name.as_str(), number(&some), version(&some)),
            ("a", 7, 0)
        );
        assert_ne!(some, object("a", 9));
    }

    #[test]
    fn some_objects_are_large() {
        assert_eq!(filler(1).len(), 400);
        assert!(filler(8).len() > 32_000);
        assert!(filler(100).len() > 200_000);
    }
}
