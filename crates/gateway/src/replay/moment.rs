//! The two ways in which a log tells the time.

use std::time::Duration;

use time::{Date, Month, Time, UtcOffset};

/// `31/Dec/2026:23:59:59 +0100`, since the beginning of 1970 UTC.
pub(super) fn combined(text: &str) -> Option<Duration> {
    let (moment, zone) = text.split_once(' ')?;
    let (date, time) = moment.split_once(':')?;
    let mut parts = date.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().zip(1..).find_map(|(name, number)| (*name == month).then_some(number))?;
    since_1970((number(year, 4)?, month, number(day, 2)?), time, &zone_of(zone)?)
}

/// `2026-12-31T23:59:59.123456Z` (RFC 3339), since the beginning of 1970 UTC.
pub(super) fn rfc_3339(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (time, zone) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, UtcOffset::UTC),
        None => {
            let (time, zone) = time.split_at_checked(time.rfind(['+', '-'])?)?;
            (time, zone_of(&zone.replace(':', ""))?)
        }
    };
    since_1970((number(year, 4)?, number(month, 2)?, number(day, 2)?), time, &zone)
}

fn since_1970((year, month, day): (u32, u32, u32), time: &str, zone: &UtcOffset) -> Option<Duration> {
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    let small = |number: u32| u8::try_from(number).ok();
    // A leap second is the one before once more.
    let second = number(second, 2)?.min(if second == "60" { 59 } else { 60 });
    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
    let time =
        Time::from_hms_nano(small(number(hour, 2)?)?, small(number(minute, 2)?)?, small(second)?, nanos);
    let moment = date.with_time(time.ok()?).assume_offset(*zone);
    let nanos = u64::try_from(moment.unix_timestamp_nanos()).ok()?;
    Some(Duration::from_nanos(nanos))
}

/// `+0130`.
fn zone_of(text: &str) -> Option<UtcOffset> {
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let hours = i8::try_from(number(text.get(1..3)?, 2)?).ok()?;
    let minutes = i8::try_from(number(text.get(3..)?, 2)?).ok()?;
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

/// So many digits and nothing else.
fn number(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_tell_one_time() {
        let end_of_2026 = Duration::from_secs(1_798_675_200);
        for (text, read) in [
            ("31/Dec/2026:00:00:00 +0000", Some(end_of_2026)),
            ("31/Dec/2026:01:30:00 +0130", Some(end_of_2026)),
            ("30/Dec/2026:16:00:00 -0800", Some(end_of_2026)),
            ("30/Dec/2026:23:59:60 +0000", Some(end_of_2026 - Duration::from_secs(1))),
            ("31/12/2026:00:00:00 +0000", None),
            ("31/Dec/2026:00:00:00", None),
            ("31/Dec/2026:24:00:00 +0000", None),
            ("31/Dec/2026:00:00:61 +0000", None),
            ("30/Feb/2026:00:00:00 +0000", None),
            ("01/Jan/1969:00:00:00 +0000", None),
            ("1/Jan/2026:00:00:00 +0000", None),
            ("31/Dec/2026:00:00:00 0000", None),
            ("", None),
        ] {
            assert_eq!(combined(text), read, "{text}");
        }
        for (text, read) in [
            ("2026-12-31T00:00:00Z", Some(end_of_2026)),
            ("2026-12-31T00:00:00.000001Z", Some(end_of_2026 + Duration::from_micros(1))),
            ("2026-12-31t01:00:00.5+01:00", Some(end_of_2026 + Duration::from_millis(500))),
            ("2026-12-31T00:00:00", None),
            ("2026-12-31T00:00:00.1234567890Z", None),
            ("2026-12-31T00:00:00.-1Z", None),
            ("2026-13-31T00:00:00Z", None),
            ("99999-01-01T00:00:00Z", None),
            ("2026-12-31", None),
        ] {
            assert_eq!(rfc_3339(text), read, "{text}");
        }
    }
}
