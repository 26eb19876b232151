//! UUIDs and points in time as others write them.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A date and a time of day, in the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    pub year: i32,
    /// From 1 to 12.
    pub month: u8,
    /// From 1.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// Microseconds within the second.
    pub micro: u32,
}

impl DateTime {
    /// Microseconds since 1970-01-01T00:00:00, or `None` if they do not fit.
    #[must_use]
    pub fn micros(&self) -> Option<i64> {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        // Days since 1970-01-01, with years that begin in March.
        let year = i64::from(self.year) - i64::from(month <= 2);
        let in_era = year.rem_euclid(400);
        let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = year.div_euclid(400) * 146_097 + in_era * 365 + in_era / 4 - in_era / 100
            + in_year
            - 719_468;
        let minutes = i64::from(self.hour) * 60 + i64::from(self.minute);
        let seconds = days * SECONDS_PER_DAY + minutes * 60 + i64::from(self.second);
        // Whole seconds of the least number are beyond it.
        let micros = i128::from(seconds) * i128::from(MICROS_PER_SECOND) + i128::from(self.micro);
        i64::try_from(micros).ok()
    }

    /// The inverse of `micros`. Every number has a date.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let seconds = micros.div_euclid(MICROS_PER_SECOND);
        let in_day = seconds.rem_euclid(SECONDS_PER_DAY);
        // Days since 0000-03-01, in years that begin in March.
        let days = seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
        let in_era = days.rem_euclid(146_097);
        let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * in_year + 2) / 153;
        let month = (from_march + 2) % 12 + 1;
        let year = days.div_euclid(146_097) * 400 + year_of_era + i64::from(month <= 2);
        // Each is within its type: microseconds in 64 bits last less than 300,000 years.
        Self {
            year: year as i32,
            month: month as u8,
            day: (in_year - (153 * from_march + 2) / 5 + 1) as u8,
            hour: (in_day / 3_600) as u8,
            minute: (in_day / 60 % 60) as u8,
            second: (in_day % 60) as u8,
            micro: micros.rem_euclid(MICROS_PER_SECOND) as u32,
        }
    }
}

/// A UUID's text from its high and low 64 bits.
#[must_use]
pub fn uuid_text((high, low): (u64, u64)) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// The inverse of `uuid_text`.
#[must_use]
pub fn uuid(text: &str) -> Option<(u64, u64)> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then_some(((number >> 64) as u64, number as u64))
}

#[cfg(test)]
mod tests {
    use super::{DateTime, uuid, uuid_text};

    fn at(year: i32, month: u8, day: u8) -> DateTime {
        DateTime {
            year,
            month,
            day,
            hour: 23,
            minute: 59,
            second: 58,
            micro: 999_999,
        }
    }

    #[test]
    fn micros_of_known_dates_are_unix_times() {
        let second = |date: DateTime| date.micros().map(|micros| micros.div_euclid(1_000_000));
        assert_eq!(second(at(1970, 1, 1)), Some(86_398));
        assert_eq!(second(at(2000, 2, 29)), Some(951_868_798));
        assert_eq!(second(at(1969, 12, 31)), Some(-2));
    }

    #[test]
    fn micros_of_every_date_return_to_it() {
        for days in (-4_000_000_i64..4_000_000).step_by(17) {
            let micros = days * 86_400_000_000 + 123_456;
            assert_eq!(DateTime::from_micros(micros).micros(), Some(micros));
        }
        for micros in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(DateTime::from_micros(micros).micros(), Some(micros));
        }
    }

    #[test]
    fn uuid_text_returns_to_its_uuid() {
        let text = "0190b2c4-1f00-7abc-8def-0123456789ab";
        assert_eq!(uuid(text).map(uuid_text).as_deref(), Some(text));
        assert_eq!(uuid("0190"), None);
    }
}
