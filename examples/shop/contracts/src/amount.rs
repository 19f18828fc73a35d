//! Money, exact: a whole number of cents, written as a decimal string (`"12.30"`).
//!
//! JSON numbers are binary floats in most languages and lose cents, so the contract writes amounts as text.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount of money with exactly two decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    cents: i64,
}

/// The text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmountError {
    text: String,
}

impl Amount {
    /// An amount of so many cents.
    #[must_use]
    pub const fn from_cents(cents: i64) -> Self {
        Self { cents }
    }

    /// The same amount in cents.
    #[must_use]
    pub const fn cents(self) -> i64 {
        self.cents
    }

    /// The price of `quantity` pieces; `None` when it is more than can be counted.
    #[must_use]
    pub fn times(self, quantity: u32) -> Option<Self> {
        self.cents
            .checked_mul(i64::from(quantity))
            .map(Self::from_cents)
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_cents(self.cents.saturating_add(other.cents))
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Self::add)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.cents < 0 { "-" } else { "" };
        let cents = self.cents.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", cents / 100, cents % 100))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let error = || AmountError {
            text: text.chars().take(40).collect(),
        };
        let (negative, digits) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').ok_or_else(error)?;
        let is_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() != 2 {
            return Err(error());
        }
        let cents: i64 = format!("{whole}{fraction}").parse().map_err(|_| error())?;
        Ok(Self::from_cents(if negative { -cents } else { cents }))
    }
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an amount with two decimals, like \"12.30\"",
            self.text
        )
    }
}

impl std::error::Error for AmountError {}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cent_survives_the_way_to_text_and_back() {
        for cents in [
            0,
            1,
            9,
            10,
            99,
            100,
            101,
            123_456_789,
            -1,
            -100,
            i64::MAX,
            -i64::MAX,
        ] {
            let amount = Amount::from_cents(cents);
            assert_eq!(amount.to_string().parse(), Ok(amount));
        }
        assert_eq!(Amount::from_cents(-5).to_string(), "-0.05");
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in [
            "",
            "1",
            "1.",
            ".10",
            "1.2",
            "1.234",
            "1,20",
            "+1.20",
            "--1.20",
            "1.2e",
            " 1.20",
            "99999999999999999999.00",
        ] {
            assert!(
                text.parse::<Amount>().is_err(),
                "{text:?} was taken for an amount"
            );
        }
    }

    #[test]
    fn a_json_number_is_no_amount() {
        assert!(serde_json::from_str::<Amount>("12.3").is_err());
        assert_eq!(
            serde_json::from_str::<Amount>("\"12.30\"").unwrap(),
            Amount::from_cents(1230)
        );
    }
}
