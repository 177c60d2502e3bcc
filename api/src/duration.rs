//! Durations as rules write them: `7s`, `1h30m`, `7.000s`, `100ms`.

use std::time::Duration;

/// Why a text is not a usable duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of decimal numbers with units.
    #[error(
        "{0:?} is not a duration, write it like \"10s\", \"1h30m\" or \"100ms\" (units h, m, s, ms, us, ns)"
    )]
    Unreadable(String),
    /// Below one millisecond, zero and negative ones included.
    #[error("duration must be greater than 1ms")]
    TooShort,
    /// Not a whole number of milliseconds.
    #[error("only durations to ms precision are supported")]
    TooFine,
}

/// The longest duration: what fits in 63 bits of nanoseconds, about 292 years.
const LONGEST_NANOS: u128 = i64::MAX as u128;

/// Reads a sequence of decimal numbers with units; `0` alone needs no unit.
///
/// # Errors
/// [`DurationError::Unreadable`] for any other text, [`DurationError::TooShort`] for a negative one.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let unreadable = || DurationError::Unreadable(text.chars().take(60).collect());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(unreadable());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|sign: char| !sign.is_ascii_digit() && sign != '.')
            .ok_or_else(unreadable)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|sign: char| sign.is_ascii_digit() || sign == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        total = unit_nanos(unit)
            .and_then(|unit| nanos(number, unit))
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= LONGEST_NANOS)
            .ok_or_else(unreadable)?;
        rest = next;
    }
    match u64::try_from(total) {
        Ok(0) => Ok(Duration::ZERO),
        Ok(_) if negative => Err(DurationError::TooShort),
        Ok(total) => Ok(Duration::from_nanos(total)),
        Err(_) => Err(unreadable()),
    }
}

/// The rule for every duration of a user: at least one millisecond, in whole milliseconds.
///
/// # Errors
/// Says which half of the rule is broken.
pub fn check(span: Duration) -> Result<Duration, DurationError> {
    if span < Duration::from_millis(1) {
        Err(DurationError::TooShort)
    } else if !span.subsec_nanos().is_multiple_of(1_000_000) {
        Err(DurationError::TooFine)
    } else {
        Ok(span)
    }
}

/// Writes seconds with three, six or nine decimals, as few as the span needs: `7.000s`, `0.100s`, `0.001500s`.
pub fn format(span: Duration) -> String {
    let (seconds, nanos) = (span.as_secs(), span.subsec_nanos());
    if nanos.is_multiple_of(1_000_000) {
        format!("{seconds}.{:03}s", nanos / 1_000_000)
    } else if nanos.is_multiple_of(1_000) {
        format!("{seconds}.{:06}s", nanos / 1_000)
    } else {
        format!("{seconds}.{nanos:09}s")
    }
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

/// `number` (digits, at most one point) times `unit`; what is finer than a nanosecond is cut.
fn nanos(number: &str, unit: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: String = part.chars().take(18).collect();
    let fraction = if part.is_empty() {
        0
    } else {
        let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
        part.parse::<u128>().ok()? * unit / scale
    };
    whole.checked_mul(unit)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_written_back_in_seconds() {
        for (text, expected) in [
            ("7s", "7.000s"),
            ("7.000s", "7.000s"),
            ("3m", "180.000s"),
            ("1h30m", "5400.000s"),
            ("100ms", "0.100s"),
            ("1.5s", "1.500s"),
            (".5s", "0.500s"),
            ("1500us", "0.001500s"),
            ("1ns", "0.000000001s"),
            ("2\u{b5}s", "0.000002s"),
            ("+10s", "10.000s"),
            ("0", "0.000s"),
            ("0s", "0.000s"),
        ] {
            let span = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(format(span), expected, "{text}");
            assert_eq!(parse(&format(span)), Ok(span), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "s",
            "10",
            "1d",
            "1 s",
            "10s5",
            "1.2.3s",
            ".s",
            "-",
            "ten",
            "99999999999h",
            "1s\u{e9}",
        ] {
            assert!(matches!(parse(text), Err(DurationError::Unreadable(_))), "{text}");
        }
        assert_eq!(parse("-1s"), Err(DurationError::TooShort));
    }

    #[test]
    fn users_get_at_least_a_millisecond_and_nothing_finer() {
        assert_eq!(check(Duration::from_micros(999)), Err(DurationError::TooShort));
        assert_eq!(check(Duration::from_micros(1500)), Err(DurationError::TooFine));
        assert_eq!(check(Duration::from_millis(1)), Ok(Duration::from_millis(1)));
    }
}
