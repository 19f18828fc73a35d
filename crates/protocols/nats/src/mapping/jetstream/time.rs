//! Times as JetStream writes them: RFC 3339 in UTC.

use polybus_model::{Millis, date_of_day, day_of_date};

/// What clients write for no time at all.
pub(crate) const NO_TIME: &str = "0001-01-01T00:00:00Z";

const DAY_MS: u64 = 24 * 3_600_000;

/// Milliseconds since the Unix epoch as text.
pub(crate) fn write(ms: Millis) -> String {
    let (days, rest) = (ms / DAY_MS, ms % DAY_MS);
    let (year, month, day) = date_of_day(days as i64);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, ms) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Text as milliseconds since the Unix epoch; none if it is no such time, or one before that.
pub(crate) fn parse(text: &str) -> Option<Millis> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let mut parts = clock.splitn(3, ':');
    let hour: i64 = parts.next()?.parse().ok()?;
    let minute: i64 = parts.next()?.parse().ok()?;
    let (second, fraction) = match parts.next()?.split_once('.') {
        Some((second, fraction)) => (second, fraction),
        None => (parts_second(clock)?, ""),
    };
    let second: i64 = second.parse().ok()?;
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms: i64 = fraction.parse().ok()?;
    let is_sound = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && (0..=9999).contains(&year);
    if !is_sound {
        return None;
    }
    let minutes = hour * 60 + minute - offset_minutes(zone)?;
    let days = day_of_date(year, month, day);
    let total = days * DAY_MS as i64 + minutes * 60_000 + second * 1_000 + ms;
    u64::try_from(total).ok()
}

fn parts_second(clock: &str) -> Option<&str> {
    clock.rsplit(':').next()
}

fn offset_minutes(zone: &str) -> Option<i64> {
    let sign = match zone.bytes().next()? {
        b'Z' | b'z' => return Some(0),
        b'+' => 1,
        _ => -1,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some(sign * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(write(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
        assert_eq!(parse("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(
            parse("2023-11-14T23:13:20.5+01:00"),
            Some(1_700_000_000_500)
        );
        assert_eq!(
            parse("2023-11-14T22:13:20.123456789Z"),
            Some(1_700_000_000_123)
        );
        for bad in [
            "",
            "2023",
            "2023-13-01T00:00:00Z",
            "1960-01-01T00:00:00Z",
            "2023-11-14T22:13:20",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
