//! What an unquoted scalar of YAML means.

use std::borrow::Cow;

use crate::document::node::Value;

/// What an unquoted scalar means in the YAML 1.2 core schema.
pub(super) fn plain(text: Cow<'_, str>) -> Value {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if is_number(number) => Value::Number(text.into_owned()),
        _ => Value::Text {
            text: text.into_owned(),
            quoted: false,
        },
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_reads = match mantissa.split_once('.') {
        Some((whole, part)) => {
            (digits(whole) && (part.is_empty() || digits(part))) || (whole.is_empty() && digits(part))
        }
        None => digits(mantissa),
    };
    let exponent_reads =
        exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    mantissa_reads && exponent_reads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_texts_that_begin_like_them() {
        for number in ["0", "-1", "+5", "1.", ".5", "1.5", "1e3", "-1.5E-3"] {
            assert_eq!(plain(number.into()), Value::Number(number.into()), "{number}");
        }
        for text in [
            "", ".", "-", "1.2.3", "1e", "e3", "0x10", "1_000", "10s", ".inf", "1,5",
        ] {
            assert!(!is_number(text), "{text}");
        }
    }
}
