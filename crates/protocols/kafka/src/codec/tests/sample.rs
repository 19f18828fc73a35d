//! Values for tests, made of random bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::Uuid;

/// Random bytes; zeros when they are used up.
#[derive(Debug)]
pub(in crate::codec) struct Source {
    bytes: std::vec::IntoIter<u8>,
}

impl Source {
    pub(in crate::codec) fn any() -> impl Strategy<Value = Self> {
        prop::collection::vec(any::<u8>(), 0..600).prop_map(|bytes| Self {
            bytes: bytes.into_iter(),
        })
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().unwrap_or_default()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        // Half of them plain: the numbers at the edges are found by their bytes, small ones are not.
        let small = self.byte() & 1 == 0;
        let mut taken = std::array::from_fn(|_| if small { 0 } else { self.byte() });
        if small {
            taken[N - 1] = self.byte();
        }
        taken
    }
}

pub(in crate::codec) trait Sample {
    fn sample(source: &mut Source) -> Self;
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl Sample for $number {
            fn sample(source: &mut Source) -> Self {
                Self::from_be_bytes(source.take())
            }
        }
    )* };
}

numbers! { i8 i16 i32 i64 u16 }

impl Sample for f64 {
    fn sample(source: &mut Source) -> Self {
        i32::sample(source).into()
    }
}

impl Sample for bool {
    fn sample(source: &mut Source) -> Self {
        source.byte() & 1 == 1
    }
}

impl Sample for Uuid {
    fn sample(source: &mut Source) -> Self {
        source.take()
    }
}

impl Sample for String {
    fn sample(source: &mut Source) -> Self {
        let len = source.byte() % 5;
        (0..len).map(|_| char::from(source.byte())).collect()
    }
}

impl Sample for Bytes {
    fn sample(source: &mut Source) -> Self {
        let len = source.byte() % 5;
        (0..len).map(|_| source.byte()).collect()
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(source: &mut Source) -> Self {
        let len = source.byte() % 3;
        (0..len).map(|_| T::sample(source)).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(source: &mut Source) -> Self {
        (!source.byte().is_multiple_of(4)).then(|| T::sample(source))
    }
}
