//! Numbers of which there is mostly one: it needs no memory of its own.

/// A list of numbers in no order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Few {
    #[default]
    None,
    One(u32),
    Many(Vec<u32>),
}

impl Few {
    #[inline]
    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(number) => std::slice::from_ref(number),
            Self::Many(numbers) => numbers,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Adds a number; its place.
    pub(super) fn push(&mut self, number: u32) -> u32 {
        match self {
            Self::None => {
                *self = Self::One(number);
                0
            }
            Self::One(first) => {
                *self = Self::Many(vec![*first, number]);
                1
            }
            Self::Many(numbers) => {
                numbers.push(number);
                (numbers.len() - 1) as u32
            }
        }
    }

    /// Takes the number at a place away; the last one moves there, and is given if it is another one.
    pub(super) fn remove(&mut self, at: u32) -> Option<u32> {
        match self {
            Self::Many(numbers) if (at as usize) < numbers.len() => {
                numbers.swap_remove(at as usize);
                let moved = numbers.get(at as usize).copied();
                if numbers.is_empty() {
                    *self = Self::None;
                } else if numbers.len() * 4 < numbers.capacity() {
                    numbers.shrink_to(numbers.len() * 2);
                }
                moved
            }
            Self::One(_) if at == 0 => {
                *self = Self::None;
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_takes_the_place_of_one_that_goes() {
        let mut few = Few::default();
        assert_eq!(
            (0..5)
                .map(|number| few.push(number + 10))
                .collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
        assert_eq!(few.remove(1), Some(14));
        assert_eq!(few.remove(3), None);
        assert_eq!(few.as_slice(), [10, 14, 12]);
        assert_eq!(few.remove(9), None);
        for _ in 0..3 {
            few.remove(0);
        }
        assert!(few.is_empty() && few == Few::None);
    }
}
