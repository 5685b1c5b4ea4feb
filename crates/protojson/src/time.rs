//! `Timestamp` and `Duration` as text.
//!
//! Source: the comments of `google/protobuf/timestamp.proto` and
//! `duration.proto`, and RFC 3339.

use crate::{buf, wire::put_uint};

/// 0001-01-01T00:00:00Z.
const MIN_SECONDS: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const MAX_SECONDS: i64 = 253_402_300_799;
/// About 10,000 years.
const MAX_DURATION: i64 = 315_576_000_000;

/// Text of up to 40 bytes, without an allocation.
pub(crate) struct Short {
    bytes: [u8; 40],
    len: usize,
}

impl Short {
    fn new() -> Self {
        Self { bytes: [0; 40], len: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// The fraction of a second, in 0, 3, 6 or 9 digits.
    fn push_nanos(&mut self, nanos: u32) {
        if nanos == 0 {
            return;
        }
        let mut digits = [0; 9];
        let mut rest = nanos;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let len = match nanos {
            _ if nanos.is_multiple_of(1_000_000) => 3,
            _ if nanos.is_multiple_of(1_000) => 6,
            _ => 9,
        };
        self.push(b".");
        self.push(&digits[..len]);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Appends a timestamp in its RFC 3339 form, in UTC and in quotes; an error
/// outside the years 1 to 9999.
#[inline]
pub(crate) fn put_timestamp(out: &mut Vec<u8>, seconds: i64, nanos: i32) -> Result<(), &'static str> {
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return Err("the timestamp is outside the years 0001 to 9999");
    }
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let nanos = nanos.ok_or("the timestamp's nanos are outside 0 to 999,999,999")?;
    // Within the range both fit into 32 bits.
    let since = (seconds - MIN_SECONDS) as u64;
    let (days, second) = ((since / 86_400) as u32, (since % 86_400) as u32);
    let (year, month, day) = civil(days);
    buf::put_filled(out, b"\"0000-00-00T00:00:00.000000000Z\"", |text| {
        text[1..3].copy_from_slice(&two(year / 100));
        text[3..5].copy_from_slice(&two(year % 100));
        text[6..8].copy_from_slice(&two(month));
        text[9..11].copy_from_slice(&two(day));
        text[12..14].copy_from_slice(&two(second / 3600));
        text[15..17].copy_from_slice(&two(second / 60 % 60));
        text[18..20].copy_from_slice(&two(second % 60));
        let len = if nanos == 0 {
            20
        } else {
            let (high, low) = (nanos / 1_000_000, nanos % 1_000_000);
            text[21..24].copy_from_slice(&three(high));
            text[24..27].copy_from_slice(&three(low / 1_000));
            text[27..30].copy_from_slice(&three(low % 1_000));
            match low {
                0 => 24,
                _ if low % 1_000 == 0 => 27,
                _ => 30,
            }
        };
        text[len] = b'Z';
        text[len + 1] = b'"';
        len + 2
    });
    Ok(())
}

/// `00` to `99`, filled up so that every index of seven bits is one of the
/// table.
static PAIRS: [[u8; 2]; 128] = {
    let mut pairs = [[0; 2]; 128];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// The two digits of a number below 100.
#[inline]
fn two(number: u32) -> [u8; 2] {
    PAIRS[number as usize & 127]
}

/// The three digits of a number below 1,000.
#[inline]
fn three(number: u32) -> [u8; 3] {
    let [tens, ones] = two(number % 100);
    [b'0' + (number / 100) as u8, tens, ones]
}

/// The date of a day, counted from 0001-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the day of the leap comes last, and
/// each division is one by multiplication: Neri and Schneider, "Euclidean affine
/// functions and their application to calendar algorithms" (2022).
#[inline]
fn civil(days: u32) -> (u32, u32, u32) {
    // Quarters of days since 0000-03-01.
    let quarters = 4 * (days + 306) + 3;
    let (century, of_century) = (quarters / 146_097, quarters % 146_097);
    // 2,939,745 is 2^32 over 1,461, the quarters of days in four years, rounded
    // up: the high half of the product is the year, the low half how far it has
    // gone.
    let product = 2_939_745 * u64::from(of_century | 3);
    let (year, day_of_year) = ((product >> 32) as u32, product as u32 / 2_939_745 / 4);
    // A month and what is over, in steps of 2,141 of 65,536 a day.
    let steps = 2_141 * day_of_year + 197_913;
    let (month, day) = (steps >> 16, (steps & 0xffff) / 2_141 + 1);
    let next_year = u32::from(day_of_year >= 306);
    (century * 100 + year + next_year, month - 12 * next_year, day)
}

/// The day of a date, counted from 0001-01-01.
#[inline]
fn day_of(year: u32, month: u32, day: u32) -> u32 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 307
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What a timestamp is in JSON.
pub(crate) const TIMESTAMP: &str = "an RFC 3339 timestamp";
/// What a duration is in JSON.
pub(crate) const DURATION: &str = "a duration such as \"1.5s\"";

/// Appends the fields of a `Timestamp` or a `Duration`.
#[inline]
pub(crate) fn encode(out: &mut Vec<u8>, seconds: i64, nanos: i32) {
    if seconds != 0 {
        put_uint(out, 1, seconds as u64);
    }
    if nanos != 0 {
        put_uint(out, 2, i64::from(nanos) as u64);
    }
}

struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// A fraction of a second, if there is one; up to nine digits.
    fn nanos(&mut self) -> Option<i32> {
        if self.eat(b'.').is_none() {
            return Some(0);
        }
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&len) {
            return None;
        }
        Some(self.digits(len)? as i32 * 10_i32.pow(9 - len as u32))
    }
}

/// Reads an RFC 3339 timestamp with any offset, as seconds and nanos.
#[inline]
pub(crate) fn parse_timestamp(text: &[u8]) -> Option<(i64, i32)> {
    // A capital `T` and a capital `Z`: ProtoJSON is stricter than RFC 3339.
    let (head, tail) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] = *head else {
        return None;
    };
    // The largest digit shows whether all are digits.
    let mut largest = 0;
    let mut pair = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        largest = largest.max(tens).max(ones);
        u32::from(tens) * 10 + u32::from(ones)
    };
    let year = pair(y0, y1) * 100 + pair(y2, y3);
    let (month, day) = (pair(m0, m1), pair(d0, d1));
    let (hour, minute, second) = (pair(h0, h1), pair(n0, n1), pair(s0, s1));
    if largest > 9 || year < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if !(1..=12).contains(&month) || day < 1 || day > 28 && day > days_in_month(year, month) {
        return None;
    }
    let mut scan = Scan(tail);
    let nanos = scan.nanos()?;
    let offset = match scan.0 {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            scan.0 = rest;
            let hours = scan.digits(2)?;
            scan.eat(b':')?;
            let minutes = scan.digits(2)?;
            if hours > 23 || minutes > 59 || !scan.0.is_empty() {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let time = i64::from(hour * 3600 + minute * 60 + second);
    let seconds = MIN_SECONDS + i64::from(day_of(year, month, day)) * 86_400 + time - offset;
    (MIN_SECONDS..=MAX_SECONDS).contains(&seconds).then_some((seconds, nanos))
}

/// A duration in seconds, with an `s`.
pub(crate) fn format_duration(seconds: i64, nanos: i32) -> Result<Short, &'static str> {
    if !(-MAX_DURATION..=MAX_DURATION).contains(&seconds) {
        return Err("the duration is longer than 10,000 years");
    }
    if nanos.unsigned_abs() > 999_999_999 {
        return Err("the duration's nanos are outside ±999,999,999");
    }
    if (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return Err("the duration's seconds and nanos differ in sign");
    }
    let mut text = Short::new();
    if seconds < 0 || nanos < 0 {
        text.push(b"-");
    }
    text.push(itoa::Buffer::new().format(seconds.unsigned_abs()).as_bytes());
    text.push_nanos(nanos.unsigned_abs());
    text.push(b"s");
    Ok(text)
}

/// Reads a duration, as seconds and nanos of the same sign.
pub(crate) fn parse_duration(text: &[u8]) -> Option<(i64, i32)> {
    let mut scan = Scan(text.strip_suffix(b"s")?);
    let negative = scan.eat(b'-').is_some();
    let len = scan.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=12).contains(&len) {
        return None;
    }
    let seconds = scan.digits(len)?;
    let nanos = scan.nanos()?;
    if !scan.0.is_empty() || seconds > MAX_DURATION {
        return None;
    }
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(seconds: i64, nanos: i32) -> String {
        let mut text = Vec::new();
        put_timestamp(&mut text, seconds, nanos).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn timestamps_have_0_3_6_or_9_digits() {
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_720_616_193, 360_356_000), "2024-07-10T12:56:33.360356Z");
        assert_eq!(timestamp(951_782_399, 1_000_000), "2000-02-28T23:59:59.001Z");
        assert_eq!(timestamp(MIN_SECONDS, 1), "0001-01-01T00:00:00.000000001Z");
        assert_eq!(timestamp(MAX_SECONDS, 999_999_999), "9999-12-31T23:59:59.999999999Z");
        assert!(put_timestamp(&mut Vec::new(), MIN_SECONDS - 1, 0).is_err());
        assert!(put_timestamp(&mut Vec::new(), MAX_SECONDS + 1, 0).is_err());
        assert!(put_timestamp(&mut Vec::new(), 0, -1).is_err());
    }

    #[test]
    fn every_day_of_the_calendar_reads_back() {
        let step = if cfg!(miri) { 100_003 } else { 1 };
        for day in (MIN_SECONDS / 86_400..=MAX_SECONDS / 86_400).step_by(step) {
            let seconds = day * 86_400;
            assert_eq!(parse_timestamp(timestamp(seconds, 0).as_bytes()), Some((seconds, 0)));
        }
    }

    #[test]
    fn timestamps_take_offsets_and_nothing_loose() {
        assert_eq!(parse_timestamp(b"1970-01-01T01:00:00.5+01:00"), Some((0, 500_000_000)));
        assert_eq!(parse_timestamp(b"1969-12-31T16:00:00-08:00"), Some((0, 0)));
        for bad in [
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01t00:00:00Z",
            "1970-01-01T00:00:00z",
            "1970-01-01T00:00:60Z",
            "1970-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1234567891Z",
            "1970-01-01T00:00:00+1:00",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            " 1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00ZZ",
            "",
        ] {
            assert_eq!(parse_timestamp(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn durations_read_back() {
        for (seconds, nanos, text) in [
            (0, 0, "0s"),
            (1, 0, "1s"),
            (-1, -500_000_000, "-1.500s"),
            (0, -500_000_000, "-0.500s"),
            (0, 1, "0.000000001s"),
            (MAX_DURATION, 0, "315576000000s"),
        ] {
            assert_eq!(format_duration(seconds, nanos).unwrap().as_bytes(), text.as_bytes());
            assert_eq!(parse_duration(text.as_bytes()), Some((seconds, nanos)));
        }
        for bad in ["", "s", "1", "1.s", ".5s", "+1s", "1 s", "--1s", "315576000001s", "1.0000000001s", "1.5"] {
            assert_eq!(parse_duration(bad.as_bytes()), None, "{bad}");
        }
        assert!(format_duration(1, -1).is_err());
        assert!(format_duration(MAX_DURATION + 1, 0).is_err());
    }
}
