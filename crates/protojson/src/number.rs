//! Numbers between text and binary, exactly.

/// Reads an integer in any form that JSON has for its value: `12`, `1.2e1`,
/// `12.0`. `None` if the text is not a JSON number, is not whole, or does not
/// fit into an `i128`'s working range (which all 64-bit integers do).
pub(crate) fn parse_integer(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if !is_number(text) {
        return None;
    }
    let exponent_at = digits.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        Some(at) => (&digits[..at], parse_exponent(&digits[at + 1..])),
        None => (digits, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    // The value is the digits, with the point moved right by the exponent. Zeros in
    // front say nothing, however many they are.
    let zeros = whole.iter().chain(fraction).take_while(|digit| **digit == b'0').count();
    let mut all = whole.iter().chain(fraction).skip(zeros);
    let point = (whole.len() as i64 - zeros as i64).saturating_add(exponent);
    let mut value: i128 = 0;
    if point > 40 {
        // Too large, unless there was nothing but zeros.
        return all.next().is_none().then_some(0);
    }
    for at in 0..point {
        let digit = all.next().map_or(0, |digit| digit - b'0');
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        // More than a u64 by far: stop before the working range ends.
        if at > 25 && value > i128::from(u64::MAX) {
            return None;
        }
    }
    all.all(|digit| *digit == b'0').then_some(if negative { -value } else { value })
}

fn parse_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    // Saturates far beyond the length of any text.
    let value =
        digits.iter().fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -value } else { value }
}

/// Whether the text is a JSON number, no more and no less (RFC 8259, section
/// 6).
pub(crate) fn is_number(text: &[u8]) -> bool {
    scan_number(text) == Some(text.len())
}

/// The length of the JSON number at the start of `text`.
pub(crate) fn scan_number(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    match (text.get(at), digits(at)) {
        (Some(b'0'), 1) => at += 1,
        (Some(b'1'..=b'9'), len) => at += len,
        _ => return None,
    }
    if text.get(at) == Some(&b'.') {
        let len = digits(at + 1);
        if len == 0 {
            return None;
        }
        at += 1 + len;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let len = digits(at + 1 + sign);
        if len == 0 {
            return None;
        }
        at += 1 + sign + len;
    }
    Some(at)
}

/// Reads a `double`: a number, or one of ProtoJSON's three names where the text is
/// `quoted`. `None` also for a number beyond the range.
pub(crate) fn parse_double(text: &[u8], quoted: bool) -> Option<f64> {
    match text {
        b"NaN" if quoted => Some(f64::NAN),
        b"Infinity" if quoted => Some(f64::INFINITY),
        b"-Infinity" if quoted => Some(f64::NEG_INFINITY),
        _ if !is_number(text) => None,
        _ => std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// Reads a `float`; see [`parse_double`].
pub(crate) fn parse_float(text: &[u8], quoted: bool) -> Option<f32> {
    match text {
        b"NaN" if quoted => Some(f32::NAN),
        b"Infinity" if quoted => Some(f32::INFINITY),
        b"-Infinity" if quoted => Some(f32::NEG_INFINITY),
        _ if !is_number(text) => None,
        // Not by way of a double: that would round twice.
        _ => std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f32| value.is_finite()),
    }
}

/// Calls `put` with a double's text: the shortest number that reads back the same, or one
/// of ProtoJSON's names, without quotes.
pub(crate) fn format_double(value: f64, put: impl FnOnce(&[u8])) {
    match name(value) {
        Some(name) => put(name),
        None => put(whole(zmij::Buffer::new().format_finite(value).as_bytes())),
    }
}

/// See [`format_double`].
pub(crate) fn format_float(value: f32, put: impl FnOnce(&[u8])) {
    match name(f64::from(value)) {
        Some(name) => put(name),
        None => put(whole(zmij::Buffer::new().format_finite(value).as_bytes())),
    }
}

fn name(value: f64) -> Option<&'static [u8]> {
    if value.is_nan() {
        Some(b"NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { b"Infinity" } else { b"-Infinity" })
    } else {
        None
    }
}

/// A whole number without its `.0`, as protobuf's own JSON has it.
fn whole(text: &[u8]) -> &[u8] {
    text.strip_suffix(b".0").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_every_form() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("12", Some(12)),
            ("-12", Some(-12)),
            ("1e3", Some(1000)),
            ("1.0", Some(1)),
            ("1.25e2", Some(125)),
            ("1250e-1", Some(125)),
            ("1.5", None),
            ("15e-1", None),
            ("0e99999999", Some(0)),
            ("1e99999999", None),
            ("18446744073709551615", Some(18_446_744_073_709_551_615)),
            ("1.8446744073709551615e19", Some(18_446_744_073_709_551_615)),
            ("0.00000000000000000000000000001e29", Some(1)),
            ("0.00000000000000000000000000000000000000000000000000000000000012e62", Some(12)),
            ("0.0e99", Some(0)),
            ("-0.00000000000000000000000000000000000000000000000000001e53", Some(-1)),
            ("1e9223372036854775808", None),
            ("1e-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1.", None),
            (".1", None),
            ("1e", None),
            ("0x1", None),
            ("1e-99999999", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), value, "{text}");
        }
        let size = if cfg!(miri) { 1_000 } else { 2_000_000 };
        let long = "9".repeat(size);
        assert_eq!(parse_integer(long.as_bytes()), None);
        let zeros = "0".repeat(size);
        assert_eq!(parse_integer(format!("0.{zeros}7e{}", size + 1).as_bytes()), Some(7));
        assert_eq!(parse_integer(format!("7{zeros}e-{size}").as_bytes()), Some(7));
    }

    #[test]
    fn doubles_are_finite_or_named() {
        assert_eq!(parse_double(b"1e400", false), None);
        assert_eq!(parse_double(b"Infinity", false), None);
        assert_eq!(parse_double(b"-Infinity", true), Some(f64::NEG_INFINITY));
        assert_eq!(parse_float(b"3.5e38", false), None);
        assert_eq!(parse_double(b"inf", true), None);
        let text = |value| {
            let mut out = Vec::new();
            format_double(value, |bytes| out.extend_from_slice(bytes));
            String::from_utf8(out).unwrap()
        };
        for (value, expected) in [(1.0, "1"), (-0.0, "-0"), (0.1, "0.1"), (f64::NAN, "NaN")] {
            assert_eq!(text(value), expected);
        }
        for value in [1e21, 5e-324, f64::MAX, 1e16, 123_456.789] {
            assert_eq!(text(value).parse(), Ok(value));
        }
    }
}
