//! The CRC-32C of bytes that stand behind others, from the CRCs of both: large parts are read once, however many checksums
//! cover them.
//!
//! A CRC is a remainder of polynomials over two elements, so the one of `a b` is that of `a` times `x^(8 len(b))`, plus that of
//! `b`. Bits are reversed, as the CRC has them: the highest is that of `x^0`.

const POLYNOMIAL: u32 = 0x82f6_3b78;
const ONE: u32 = 1 << 31;
/// Enough for the bits of any 32-bit length.
const POWERS_COUNT: usize = 35;
/// `x^(2^n)` for each `n`.
const POWERS: [u32; POWERS_COUNT] = powers();

const fn powers() -> [u32; POWERS_COUNT] {
    let mut powers = [0; POWERS_COUNT];
    let mut power = ONE >> 1;
    let mut at = 0;
    while at < powers.len() {
        powers[at] = power;
        power = product(power, power);
        at += 1;
    }
    powers
}

const fn product(a: u32, b: u32) -> u32 {
    let (mut left, mut shifted, mut sum) = (a, b, 0);
    while left != 0 {
        if left & ONE != 0 {
            sum ^= shifted;
        }
        left <<= 1;
        let carry = if shifted & 1 == 0 { 0 } else { POLYNOMIAL };
        shifted = (shifted >> 1) ^ carry;
    }
    sum
}

/// The bytes that CRCs are continued over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    /// `x^(8 len)`.
    shift: u32,
    crc: u32,
}

impl Sum {
    /// Bytes of that length, fewer than 2^32, with that CRC-32C.
    pub(crate) fn new(crc: u32, len: usize) -> Self {
        let mut shift = ONE;
        let mut left = len;
        // Eight bits a byte: from x^(2^3) on.
        for power in &POWERS[3..] {
            if left & 1 == 1 {
                shift = product(*power, shift);
            }
            left >>= 1;
        }
        Self { shift, crc }
    }

    /// The CRC of what has the CRC `before`, and these bytes behind it.
    pub(crate) fn behind(self, before: u32) -> u32 {
        product(self.shift, before) ^ self.crc
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::crc_append;

    #[test]
    fn of_long_parts() {
        for len in [0, 1, 2, 3, 255, 4096, (1 << 20) + 17, (5 << 20) - 1] {
            let bytes: Vec<u8> = (0..len).map(|at: u32| (at ^ (at >> 8)) as u8).collect();
            let sum = Sum::new(crc_append(0, &bytes), bytes.len());
            for before in [0, 1, 0xdead_beef, u32::MAX] {
                assert_eq!(sum.behind(before), crc_append(before, &bytes), "{len}");
            }
        }
    }

    proptest! {
        #[test]
        fn is_what_one_pass_gives(before in any::<u32>(), bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let sum = Sum::new(crc_append(0, &bytes), bytes.len());
            prop_assert_eq!(sum.behind(before), crc_append(before, &bytes));
        }
    }
}
