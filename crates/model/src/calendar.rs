//! Dates of the Gregorian calendar in UTC, and times that come again by it.

use crate::Millis;

const DAY_S: u64 = 24 * 3_600;
/// A calendar that has no time in so many days has none.
const DAYS_MAX: u64 = 5 * 366;

/// Year, month and day of the day with that number since the Unix epoch (Howard Hinnant's `civil_from_days`).
#[must_use]
pub fn date_of_day(day: i64) -> (i64, i64, i64) {
    let days = day + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The number of a day since the Unix epoch.
#[must_use]
pub fn day_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Times that come again: those whose every part is among the wanted ones. A bit stands for each, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Calendar {
    /// From 0 to 59.
    pub seconds: u64,
    /// From 0 to 59.
    pub minutes: u64,
    /// From 0 to 23.
    pub hours: u32,
    /// Of the month, from 1 to 31.
    pub days: u32,
    /// From 1 to 12.
    pub months: u16,
    /// From Sunday, which is 0, to 6.
    pub weekdays: u8,
    /// Days of the month, and of the week, are both to be right; else one of them is enough.
    pub both_days: bool,
}

impl Calendar {
    /// The first whole second after a time that is among them, in milliseconds.
    #[must_use]
    pub fn next_after(&self, time: Millis) -> Option<Millis> {
        let start = time / 1_000 + 1;
        let first = start / DAY_S;
        (first..first + DAYS_MAX).find_map(|day| {
            if !self.has_day(day) {
                return None;
            }
            let from = if day == first { start % DAY_S } else { 0 };
            let second = self.next_in_day(from)?;
            Some((day * DAY_S + second) * 1_000)
        })
    }

    fn has_day(&self, day: u64) -> bool {
        let (_, month, of_month) = date_of_day(day as i64);
        // The epoch began on a Thursday.
        let weekday = (day + 4) % 7;
        let in_month = self.days >> of_month & 1 == 1;
        let in_week = self.weekdays >> weekday & 1 == 1;
        let is_wanted = match self.both_days {
            true => in_month && in_week,
            false => in_month || in_week,
        };
        self.months >> month & 1 == 1 && is_wanted
    }

    /// The first wanted second of a day, from one on.
    fn next_in_day(&self, from: u64) -> Option<u64> {
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        let hours = u64::from(self.hours);
        let within = |hour: u64, minute: u64, second: u64| {
            let second = next_bit(self.seconds, second)?;
            Some(hour * 3_600 + minute * 60 + second)
        };
        if hours >> hour & 1 == 1 {
            let this_minute = self.minutes >> minute & 1 == 1;
            if let Some(found) = within(hour, minute, second).filter(|_| this_minute) {
                return Some(found);
            }
            if let Some(minute) = next_bit(self.minutes, minute + 1) {
                return within(hour, minute, 0);
            }
        }
        let hour = next_bit(hours, hour + 1)?;
        within(hour, next_bit(self.minutes, 0)?, 0)
    }
}

/// The first bit that is set, from one on.
fn next_bit(bits: u64, from: u64) -> Option<u64> {
    let rest = bits.checked_shr(u32::try_from(from).ok()?)?;
    (rest != 0).then(|| from + u64::from(rest.trailing_zeros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Calendar = Calendar {
        seconds: (1 << 60) - 1,
        minutes: (1 << 60) - 1,
        hours: (1 << 24) - 1,
        days: u32::MAX - 1,
        months: (1 << 13) - 2,
        weekdays: (1 << 7) - 1,
        both_days: true,
    };

    fn at(year: i64, month: i64, day: i64, second: u64) -> Millis {
        (day_of_date(year, month, day) as u64 * DAY_S + second) * 1_000
    }

    #[test]
    fn the_next_time_is_the_first_that_fits() {
        let start = at(2026, 2, 27, 13 * 3_600 + 59 * 60 + 59);
        assert_eq!(ALL.next_after(start), Some(start + 1_000));
        assert_eq!(ALL.next_after(start + 1), Some(start + 1_000));
        let hourly = Calendar {
            seconds: 1,
            minutes: 1,
            ..ALL
        };
        assert_eq!(hourly.next_after(start), Some(start + 1_000));
        assert_eq!(hourly.next_after(start + 1_000), Some(start + 3_601_000));
        let daily = Calendar {
            hours: 1 << 6,
            ..hourly
        };
        assert_eq!(daily.next_after(start), Some(at(2026, 2, 28, 6 * 3_600)));
        let leap = Calendar {
            days: 1 << 29,
            months: 1 << 2,
            ..daily
        };
        assert_eq!(leap.next_after(start), Some(at(2028, 2, 29, 6 * 3_600)));
        let never = Calendar {
            days: 1 << 30,
            ..leap
        };
        assert_eq!(never.next_after(start), None);
    }

    #[test]
    fn days_of_the_month_and_of_the_week() {
        // The 27th of February 2026 is a Friday.
        let start = at(2026, 2, 27, 0);
        let either = Calendar {
            seconds: 1,
            minutes: 1,
            hours: 1,
            days: 1 << 5,
            weekdays: 1 << 1,
            both_days: false,
            ..ALL
        };
        assert_eq!(either.next_after(start), Some(at(2026, 3, 2, 0)));
        assert_eq!(
            either.next_after(at(2026, 3, 2, 0)),
            Some(at(2026, 3, 5, 0))
        );
        let both = Calendar {
            both_days: true,
            ..either
        };
        assert_eq!(both.next_after(start), Some(at(2026, 10, 5, 0)));
    }

    #[test]
    fn days_have_dates() {
        for day in (-800_000..800_000).step_by(97) {
            let (year, month, of_month) = date_of_day(day);
            assert_eq!(day_of_date(year, month, of_month), day);
        }
        assert_eq!(date_of_day(0), (1970, 1, 1));
    }
}
