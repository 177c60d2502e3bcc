//! `google.protobuf.Struct` and JSON, both ways.

use serde_json::{Map, Number, Value as Json};

use crate::pb::google::protobuf::{ListValue, Struct, Value, value::Kind};

/// A struct as a JSON object, keys in order. A number that is whole is written without a fraction; one that JSON
/// cannot hold (infinite, not a number) becomes null.
pub fn struct_to_json(fields: &Struct) -> Map<String, Json> {
    fields
        .fields
        .iter()
        .map(|(key, value)| (key.clone(), value_to_json(value)))
        .collect()
}

/// A value as JSON; see [`struct_to_json`].
pub fn value_to_json(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(flag)) => Json::Bool(*flag),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::NumberValue(number)) => number_to_json(*number),
        Some(Kind::StructValue(inner)) => Json::Object(struct_to_json(inner)),
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(value_to_json).collect()),
    }
}

/// A JSON object as a struct. Numbers become 64-bit floats, which is all that a struct holds.
pub fn json_to_struct(object: &Map<String, Json>) -> Struct {
    Struct {
        fields: object
            .iter()
            .map(|(key, value)| (key.clone(), json_to_value(value)))
            .collect(),
    }
}

/// JSON as a value; see [`json_to_struct`].
pub fn json_to_value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(flag) => Kind::BoolValue(*flag),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(json_to_value).collect(),
        }),
        Json::Object(object) => Kind::StructValue(json_to_struct(object)),
    };
    Value { kind: Some(kind) }
}

/// Up to here a 64-bit float holds every whole number.
const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;

fn number_to_json(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < WHOLE_BELOW {
        return Json::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_survives_the_way_through_a_struct() {
        let json = serde_json::json!({
            "a": null, "b": true, "c": "text", "d": 15002, "e": 0.25, "f": [1, {"g": "h"}], "i": -3
        });
        let Json::Object(object) = json else {
            unreachable!()
        };

        assert_eq!(struct_to_json(&json_to_struct(&object)), object);
    }

    #[test]
    fn a_number_that_json_cannot_hold_becomes_null() {
        assert_eq!(
            value_to_json(&Value {
                kind: Some(Kind::NumberValue(f64::NAN))
            }),
            Json::Null
        );
        assert_eq!(value_to_json(&Value { kind: None }), Json::Null);
    }
}
