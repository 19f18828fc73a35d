//! Whole numbers of any length, in decimal: what the last record of a key in a keyed log that adds has come to.
//!
//! ```text
//! {"val":"-12"}     the body of such a record: JSON, so that clients of any protocol can read it
//! ```
//! What always holds: no digit stands for nothing: there are no leading zeros, and nothing (0) has no digits and no sign.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

const BODY_START: &[u8] = b"{\"val\":\"";
const BODY_END: &[u8] = b"\"}";

/// What of a key's number comes from other logs: what it had come to there, by the log and the key that it had there.
pub type TallyParts = BTreeMap<Bytes, BTreeMap<Bytes, Tally>>;

/// What a key's number has come to in another log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TallyPart {
    /// The log.
    pub log: Bytes,
    /// The key there.
    pub key: Bytes,
    /// The number.
    pub value: Tally,
}

/// A whole number.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    is_negative: bool,
    /// From 0 to 9, the first one the highest.
    digits: Box<[u8]>,
}

impl Tally {
    /// The most digits that are read of what a publisher adds.
    pub const DIGITS_MAX: usize = 1_000;

    /// Reads digits, perhaps behind a sign; none if that is not what it is, or there are too many.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > Self::DIGITS_MAX + 1 {
            return None;
        }
        Self::read(text)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (is_negative, digits) = match text.split_first()? {
            (b'-', digits) => (true, digits),
            (b'+', digits) => (false, digits),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = digits.iter().map(|digit| digit - b'0');
        Some(Self::new(is_negative, digits.collect()))
    }

    fn new(is_negative: bool, digits: Vec<u8>) -> Self {
        let digits: Box<[u8]> = digits.into_iter().skip_while(|digit| *digit == 0).collect();
        Self {
            is_negative: is_negative && !digits.is_empty(),
            digits,
        }
    }

    /// The number in the body of a record.
    #[must_use]
    pub fn of_body(body: &[u8]) -> Option<Self> {
        let text = body.strip_prefix(BODY_START)?.strip_suffix(BODY_END)?;
        Self::read(text)
    }

    /// The body of a record with this number.
    #[must_use]
    pub fn body(&self) -> Bytes {
        [BODY_START, self.to_string().as_bytes(), BODY_END]
            .concat()
            .into()
    }

    /// What is to be added to another to come to this one.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&Self::new(!other.is_negative, other.digits.to_vec()))
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        if self.is_negative == other.is_negative {
            return Self::new(self.is_negative, sum(&self.digits, &other.digits));
        }
        let is_larger = (self.digits.len(), &self.digits) > (other.digits.len(), &other.digits);
        let (larger, smaller) = match is_larger {
            true => (self, other),
            false => (other, self),
        };
        Self::new(
            larger.is_negative,
            difference(&larger.digits, &smaller.digits),
        )
    }
}

/// Digits from the last one on, and then zeros.
fn from_last(digits: &[u8]) -> impl Iterator<Item = u8> {
    digits.iter().rev().copied().chain(std::iter::repeat(0))
}

fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let len = one.len().max(other.len()) + 1;
    let mut carried = 0;
    let columns = from_last(one).zip(from_last(other)).take(len);
    let mut digits: Vec<u8> = columns
        .map(|(a, b)| {
            let column = a + b + carried;
            carried = column / 10;
            column % 10
        })
        .collect();
    digits.reverse();
    digits
}

/// What is left of the larger one without the smaller one.
fn difference(larger: &[u8], smaller: &[u8]) -> Vec<u8> {
    let mut borrowed = 0;
    let columns = from_last(larger).zip(from_last(smaller)).take(larger.len());
    let mut digits: Vec<u8> = columns
        .map(|(a, b)| {
            let column = a + 10 - b - borrowed;
            borrowed = u8::from(column < 10);
            column % 10
        })
        .collect();
    digits.reverse();
    digits
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.is_negative {
            f.write_str("-")?;
        }
        for digit in &self.digits {
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        Tally::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_are_read_and_written() {
        for (text, is) in [
            ("0", "0"),
            ("-0", "0"),
            ("+7", "7"),
            ("007", "7"),
            ("-12", "-12"),
        ] {
            let read = tally(text);
            assert_eq!(read.to_string(), is);
            assert_eq!(Tally::of_body(&read.body()), Some(read));
        }
        let long = "9".repeat(Tally::DIGITS_MAX + 2);
        for bad in ["", "-", "1a", "1.5", " 1", &long] {
            assert_eq!(Tally::parse(bad.as_bytes()), None, "{bad}");
        }
        for bad in [&b""[..], b"{}", b"{\"val\":1}", b"{\"val\":\"\"}"] {
            assert_eq!(Tally::of_body(bad), None);
        }
    }

    #[test]
    fn sums_are_as_in_arithmetic() {
        let numbers = [
            0_i64,
            1,
            -1,
            9,
            10,
            -10,
            99,
            100,
            -101,
            12_345,
            -99_999,
            1 << 50,
        ];
        for one in numbers {
            for other in numbers {
                let sum = tally(&one.to_string()).plus(&tally(&other.to_string()));
                let less = tally(&one.to_string()).minus(&tally(&other.to_string()));
                assert_eq!(less.to_string(), (one - other).to_string());
                assert_eq!(
                    sum.to_string(),
                    (one + other).to_string(),
                    "{one} + {other}"
                );
            }
        }
        let nines = "9".repeat(100);
        let next = format!("1{}", "0".repeat(100));
        assert_eq!(tally(&nines).plus(&tally("1")).to_string(), next);
    }
}
