//! Moments as people write them, and back: `2026-11-27T08:15:00.250Z` and milliseconds since 1970.
//!
//! Always true: a time without an offset is UTC, so that a command means the same on every machine.

use std::fmt;
use std::str::FromStr;

const DAY_MS: i64 = 86_400_000;

/// A point in time, in milliseconds since 1970 (UTC).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment {
    timestamp_ms: i64,
}

impl Moment {
    /// The moment of a record's timestamp.
    pub fn from_timestamp_ms(timestamp_ms: i64) -> Moment {
        Moment { timestamp_ms }
    }

    /// As records carry it.
    pub fn timestamp_ms(self) -> i64 {
        self.timestamp_ms
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        let whole = text.trim();
        let timestamp = whole.parse().ok().filter(|number: &i64| *number >= 0);
        timestamp.or_else(|| parse_date_time(whole)).map(Moment::from_timestamp_ms).ok_or_else(|| {
            format!("{text:?} is no time: write 2026-11-27T08:15:00Z, 2026-11-27, or milliseconds since 1970")
        })
    }
}

/// A date, perhaps a time of day behind `T` or a blank, perhaps `Z` or an offset.
fn parse_date_time(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-')?;
    let days = days_since_1970(year, month, day)?;
    let of_day = time.map_or(Some(0), parse_time_of_day)?;
    days.checked_mul(DAY_MS)?.checked_add(of_day)
}

/// Milliseconds since midnight UTC.
fn parse_time_of_day(text: &str) -> Option<i64> {
    let (clock, offset_minutes) = match text.find(['Z', '+', '-']) {
        Some(at) if &text[at..] == "Z" => (&text[..at], 0),
        Some(at) => (&text[..at], parse_zone(&text[at..])?),
        None => (text, 0),
    };
    let (clock, milliseconds) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, parse_fraction(fraction)?),
        None => (clock, 0),
    };
    let [hour, minute, second] = numbers(clock, ':').or_else(|| {
        let [hour, minute] = numbers(clock, ':')?;
        Some([hour, minute, 0])
    })?;
    let fits = hour < 24 && minute < 60 && second < 60;
    fits.then_some(((hour * 60 + minute - offset_minutes) * 60 + second) * 1000 + milliseconds)
}

/// `+01:00` or `+0100`, in minutes.
fn parse_zone(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].chars().filter(|symbol| *symbol != ':').collect();
    let is_complete = digits.len() == 4 && digits.bytes().all(|symbol| symbol.is_ascii_digit());
    let number: i64 = digits.parse().ok().filter(|_| is_complete)?;
    let (hours, minutes) = (number / 100, number % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// What stands behind the seconds' point; digits beyond milliseconds are dropped.
fn parse_fraction(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.len() <= 9 && text.bytes().all(|symbol| symbol.is_ascii_digit());
    format!("{text:0<3}")[..3].parse().ok().filter(|_| is_number)
}

/// Exactly `N` numbers without signs.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let parts: Vec<i64> = text
        .split(separator)
        .map(|part| part.parse().ok().filter(|_| part.bytes().all(|symbol| symbol.is_ascii_digit())))
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// The days of the proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=month_days).contains(&day) {
        return None;
    }
    let march_year = if month <= 2 { year - 1 } else { year };
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month and day of a day since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = (march_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * march_month + 2) / 5 + 1)
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.timestamp_ms.div_euclid(DAY_MS), self.timestamp_ms.rem_euclid(DAY_MS));
        let (year, month, day) = date_of(days);
        let (seconds, milliseconds) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"
        )
    }
}

/// How long something lasts, in milliseconds: `90s`, `15m`, `2h`, `1d`, or ISO 8601's `P1DT2H30M`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span {
    milliseconds: i64,
}

impl Span {
    /// In milliseconds.
    pub fn milliseconds(self) -> i64 {
        self.milliseconds
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let upper = text.trim().to_ascii_uppercase();
        let milliseconds = match upper.strip_prefix('P') {
            Some(iso) => parse_iso_span(iso),
            None => parse_parts(&upper, &[('D', DAY_MS), ('H', 3_600_000), ('M', 60_000), ('S', 1000)]),
        };
        milliseconds
            .map(|milliseconds| Span { milliseconds })
            .ok_or_else(|| format!("{text:?} is no duration: write 90s, 15m, 2h, 1d, or PT1H30M"))
    }
}

/// Days before the `T`, the rest behind it.
fn parse_iso_span(text: &str) -> Option<i64> {
    let clock = [('H', 3_600_000), ('M', 60_000), ('S', 1000)];
    match text.split_once('T') {
        Some(("", of_day)) => parse_parts(of_day, &clock),
        Some((days, of_day)) => {
            parse_parts(days, &[('D', DAY_MS)])?.checked_add(parse_parts(of_day, &clock)?)
        }
        None => parse_parts(text, &[('D', DAY_MS)]),
    }
}

/// Numbers, each with its unit behind it, larger units first.
fn parse_parts(text: &str, units: &[(char, i64)]) -> Option<i64> {
    let (mut rest, mut sum, mut units) = (text, 0_i64, units.iter());
    while !rest.is_empty() {
        let at = rest.find(|symbol: char| !symbol.is_ascii_digit())?;
        let number: i64 = rest[..at].parse().ok()?;
        let unit = rest[at..].chars().next()?;
        let (_, milliseconds) = units.find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number.checked_mul(*milliseconds)?)?;
        rest = &rest[at + unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> i64 {
        text.parse::<Moment>().unwrap().timestamp_ms()
    }

    #[test]
    fn a_moment_is_read_in_every_form_people_write() {
        assert_eq!(timestamp("1970-01-01"), 0);
        assert_eq!(timestamp("1764230400000"), 1_764_230_400_000);
        let same = 1_795_768_200_250;
        for text in [
            "2026-11-27T08:30:00.250Z",
            "2026-11-27 08:30:00.25",
            "2026-11-27T09:30:00.2509+01:00",
            "2026-11-27T03:00:00.250-0530",
        ] {
            assert_eq!(timestamp(text), same, "{text}");
        }
        assert_eq!(timestamp("2026-11-27T08:30"), 1_795_768_200_000);
        assert_eq!(timestamp("2000-02-29T00:00:00Z"), 951_782_400_000);
    }

    #[test]
    fn what_is_no_moment_is_refused_with_an_example() {
        for text in [
            "",
            "yesterday",
            "-5",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "2026-11-27T24:00",
            "2026-11-27T08",
            "2026-11-27T08:00:00+1",
            "2026-11-27T08:00:00.Z",
            "2026-11-27T08:00:00.1234567890",
            "+2026-01-01",
            "99999-01-01",
        ] {
            assert!(text.parse::<Moment>().unwrap_err().contains("2026-11-27T08:15:00Z"), "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_prints_and_reads_back() {
        for day in -1000..150_000 {
            let moment = Moment::from_timestamp_ms(day * DAY_MS + 12_345_678);
            assert_eq!(timestamp(&moment.to_string()), moment.timestamp_ms(), "{moment}");
        }
        for extreme in [i64::MAX, i64::MIN, -1] {
            assert!(
                Moment::from_timestamp_ms(extreme).to_string().ends_with('Z'),
                "a broken record has this timestamp"
            );
        }
    }

    #[test]
    fn a_span_is_read_as_people_and_as_iso_8601_write_it() {
        let span = |text: &str| text.parse::<Span>().map(Span::milliseconds);
        for (text, milliseconds) in [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("PT1H30M", 5_400_000),
            ("P1DT2S", 86_402_000),
            ("p2d", 172_800_000),
        ] {
            assert_eq!(span(text), Ok(milliseconds), "{text}");
        }
        for text in ["", "90", "s", "P", "PT", "P1H", "30m1h", "1y", "-5s", "1.5h", "99999999999999999d"] {
            assert!(span(text).unwrap_err().contains("PT1H30M"), "{text}");
        }
    }
}
