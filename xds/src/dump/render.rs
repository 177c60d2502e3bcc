//! Reads encoded messages by the tables of `schema` and writes them as JSON.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Buf;
use prost::Message as _;
use serde_json::{Map, Number, Value as Json, json};

use super::schema::{self, Field, Kind, Message};
use crate::pb::google::protobuf::Struct;
use crate::value::struct_to_json;

/// Messages nested deeper than this are not read.
const MAX_DEPTH: usize = 48;

/// Why a message cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message does not decode: {reason} in {place}")]
pub struct DumpError {
    /// The field, dotted from the message on.
    pub place: String,
    /// What is wrong.
    pub reason: &'static str,
}

/// One value as it stands in the bytes.
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

type Reason = &'static str;

pub(super) fn message(type_url: &str, value: &[u8]) -> Result<Json, DumpError> {
    let mut place = Vec::new();
    any(type_url, value, 0, &mut place).map_err(|reason| DumpError {
        place: if place.is_empty() {
            "the message".into()
        } else {
            place.join(".")
        },
        reason,
    })
}

/// A message of the type in an `Any`: opened when there is a table, else its bytes.
fn any(type_url: &str, value: &[u8], depth: usize, place: &mut Vec<&'static str>) -> Result<Json, Reason> {
    let full_name = type_url.rsplit('/').next().unwrap_or_default();
    let mut shown = Map::from_iter([("@type".to_owned(), type_url.into())]);
    match schema::message(full_name) {
        Some(table) => shown.extend(fields(table, value, depth, place)?),
        None if value.is_empty() => {}
        None => {
            shown.insert("value".into(), BASE64_STANDARD.encode(value).into());
        }
    }
    Ok(Json::Object(shown))
}

fn fields(
    table: &Message,
    mut bytes: &[u8],
    depth: usize,
    place: &mut Vec<&'static str>,
) -> Result<Map<String, Json>, Reason> {
    if depth > MAX_DEPTH {
        return Err("nested too deep");
    }
    let mut shown = Map::new();
    let mut not_shown: Vec<u32> = Vec::new();
    while !bytes.is_empty() {
        let (tag, wire) = next_field(&mut bytes)?;
        let Some(field) = table.0.iter().find(|field| field.tag == tag) else {
            if !not_shown.contains(&tag) {
                not_shown.push(tag);
            }
            continue;
        };
        place.push(field.name);
        add(field, wire, depth, place, &mut shown)?;
        place.pop();
    }
    if !not_shown.is_empty() {
        not_shown.sort_unstable();
        shown.insert("@not_shown".into(), json!(not_shown));
    }
    Ok(shown)
}

fn add(
    field: &Field,
    wire: Wire<'_>,
    depth: usize,
    place: &mut Vec<&'static str>,
    shown: &mut Map<String, Json>,
) -> Result<(), Reason> {
    match (&field.kind, wire) {
        (Kind::Map(kind), Wire::Bytes(bytes)) => {
            let (key, value) = entry(kind, bytes, depth, place)?;
            if let Json::Object(map) = shown.entry(field.name).or_insert_with(|| json!({})) {
                map.insert(key, value);
            }
        }
        (Kind::Whole, Wire::Bytes(mut packed)) if field.many => {
            while !packed.is_empty() {
                push(shown, field.name, whole(varint(&mut packed)?));
            }
        }
        (kind, wire) => {
            let value = read(kind, wire, depth, place)?;
            if field.many {
                push(shown, field.name, value);
            } else {
                shown.insert(field.name.into(), value);
            }
        }
    }
    Ok(())
}

fn push(shown: &mut Map<String, Json>, name: &str, value: Json) {
    if let Json::Array(list) = shown.entry(name).or_insert_with(|| json!([])) {
        list.push(value);
    }
}

fn read(kind: &Kind, wire: Wire<'_>, depth: usize, place: &mut Vec<&'static str>) -> Result<Json, Reason> {
    Ok(match (kind, wire) {
        (Kind::Flag, Wire::Varint(value)) => Json::Bool(value != 0),
        (Kind::Whole, Wire::Varint(value)) => whole(value),
        (Kind::Choice(names), Wire::Varint(value)) => {
            let name = names.iter().find(|(number, _)| *number == value.cast_signed());
            name.map_or_else(|| whole(value), |(_, name)| (*name).into())
        }
        (Kind::Real, Wire::Fixed64(bits)) => real(f64::from_bits(bits)),
        (Kind::Text, Wire::Bytes(bytes)) => std::str::from_utf8(bytes)
            .map_err(|_| "a string is not UTF-8")?
            .into(),
        (Kind::Data, Wire::Bytes(bytes)) => BASE64_STANDARD.encode(bytes).into(),
        (Kind::Sub(table), Wire::Bytes(bytes)) => Json::Object(fields(table, bytes, depth + 1, place)?),
        (Kind::Any, Wire::Bytes(bytes)) => {
            let (type_url, value) = parts(bytes)?;
            let type_url = std::str::from_utf8(type_url).map_err(|_| "a type URL is not UTF-8")?;
            any(type_url, value, depth + 1, place)?
        }
        (Kind::Struct, Wire::Bytes(bytes)) => Json::Object(struct_to_json(
            &Struct::decode(bytes).map_err(|_| "a struct is garbled")?,
        )),
        (Kind::Duration, Wire::Bytes(bytes)) => {
            let (seconds, nanos) = numbers(bytes)?;
            duration(seconds.cast_signed(), nanos.cast_signed()).into()
        }
        (Kind::WrappedFlag, Wire::Bytes(bytes)) => Json::Bool(numbers(bytes)?.0 != 0),
        (Kind::WrappedWhole, Wire::Bytes(bytes)) => whole(numbers(bytes)?.0),
        _ => return Err("a value of the wrong kind"),
    })
}

/// The key and value of a map's entry.
fn entry(
    kind: &Kind,
    mut bytes: &[u8],
    depth: usize,
    place: &mut Vec<&'static str>,
) -> Result<(String, Json), Reason> {
    let (mut key, mut value) = (String::new(), Json::Null);
    while !bytes.is_empty() {
        match next_field(&mut bytes)? {
            (1, Wire::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
            (2, wire) => value = read(kind, wire, depth + 1, place)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The two numbers of a message with number fields 1 and 2, such as durations and wrappers; 0 when not set.
fn numbers(mut bytes: &[u8]) -> Result<(u64, u64), Reason> {
    let mut numbers = (0, 0);
    while !bytes.is_empty() {
        match next_field(&mut bytes)? {
            (1, Wire::Varint(value) | Wire::Fixed64(value)) => numbers.0 = value,
            (2, Wire::Varint(value) | Wire::Fixed64(value)) => numbers.1 = value,
            _ => {}
        }
    }
    Ok(numbers)
}

/// The two byte fields 1 and 2 of an `Any`; empty when not set.
fn parts(mut bytes: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let mut parts: (&[u8], &[u8]) = (&[], &[]);
    while !bytes.is_empty() {
        match next_field(&mut bytes)? {
            (1, Wire::Bytes(value)) => parts.0 = value,
            (2, Wire::Bytes(value)) => parts.1 = value,
            _ => {}
        }
    }
    Ok(parts)
}

fn next_field<'a>(bytes: &mut &'a [u8]) -> Result<(u32, Wire<'a>), Reason> {
    let key = varint(bytes)?;
    let tag = u32::try_from(key >> 3).map_err(|_| "a field number is too large")?;
    let wire = match key & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => Wire::Fixed64(bytes.try_get_u64_le().map_err(|_| "the end is missing")?),
        2 => {
            let len = usize::try_from(varint(bytes)?).map_err(|_| "a length is too large")?;
            let (value, rest) = bytes.split_at_checked(len).ok_or("the end is missing")?;
            *bytes = rest;
            Wire::Bytes(value)
        }
        5 => {
            bytes.try_get_u32_le().map_err(|_| "the end is missing")?;
            Wire::Fixed32
        }
        _ => return Err("an unknown wire type"),
    };
    Ok((tag, wire))
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Reason> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().map_err(|_| "the end is missing")?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number is too long")
}

fn whole(value: u64) -> Json {
    Json::Number(Number::from(value.cast_signed()))
}

fn real(value: f64) -> Json {
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

/// As in the JSON form of protobuf: seconds, with 3, 6 or 9 digits after the point when there is a fraction.
fn duration(seconds: i64, nanos: i64) -> String {
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let (seconds, nanos) = (seconds.unsigned_abs(), nanos.unsigned_abs());
    match nanos {
        0 => format!("{sign}{seconds}s"),
        _ if nanos % 1_000_000 == 0 => format!("{sign}{seconds}.{:03}s", nanos / 1_000_000),
        _ if nanos % 1000 == 0 => format!("{sign}{seconds}.{:06}s", nanos / 1000),
        _ => format!("{sign}{seconds}.{nanos:09}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_as_many_digits_as_needed() {
        let said =
            [(15, 0), (0, 250_000_000), (1, 1000), (1, 1), (-1, -500_000_000)].map(|(s, n)| duration(s, n));

        assert_eq!(said, ["15s", "0.250s", "1.000001s", "1.000000001s", "-1.500s"]);
    }

    #[test]
    fn an_endless_nesting_is_refused() {
        // A weighted cluster cannot nest, an inline Any in an Any can: each level wraps the one before.
        let mut value = Vec::new();
        for _ in 0..100 {
            let listener = crate::pb::envoy::config::listener::v3::Listener {
                filter_chains: vec![crate::pb::envoy::config::listener::v3::FilterChain {
                    filters: vec![crate::pb::envoy::config::listener::v3::Filter {
                        name: String::new(),
                        config_type: Some(
                            crate::pb::envoy::config::listener::v3::filter::ConfigType::TypedConfig(
                                crate::pb::google::protobuf::Any {
                                    type_url: crate::TypeUrl::Listener.url().into(),
                                    value,
                                },
                            ),
                        ),
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            value = listener.encode_to_vec();
        }

        let error = message(crate::TypeUrl::Listener.url(), &value).unwrap_err();

        assert_eq!(error.reason, "nested too deep");
    }
}
