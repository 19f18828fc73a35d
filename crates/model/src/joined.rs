//! One allocation with a head and several byte strings behind it, each copied once.
//!
//! This module is the only one of its crate with `unsafe`: a message is made by the million, and safe code would have to write
//! its bytes twice, once to have them initialised or side by side and once to have them in place.
#![allow(
    unsafe_code,
    reason = "bytes are written once, into memory that was not initialised before"
)]

use std::mem::MaybeUninit;

use triomphe::{Arc, HeaderWithLength, ThinArc, UniqueArc};

/// The head, and behind it the parts, one after the other.
#[inline]
pub(crate) fn joined<H, const N: usize>(head: H, parts: [&[u8]; N]) -> ThinArc<H, u8> {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut made: UniqueArc<triomphe::HeaderSlice<_, [MaybeUninit<u8>]>> =
        UniqueArc::from_header_and_uninit_slice(HeaderWithLength::new(head, len), len);
    let mut room = &mut made.slice[..];
    for part in parts {
        let (place, rest) = room.split_at_mut(part.len());
        place.write_copy_of_slice(part);
        room = rest;
    }
    assert!(room.is_empty(), "the parts are as long as their sum");
    // SAFETY: the slice is as long as all parts together, and each was written behind the one before it: nothing is left.
    let made = unsafe { made.assume_init_slice_with_header() };
    Arc::into_thin(made.shareable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_side_by_side() {
        for parts in [
            [&b"abc"[..], b"", b"de", b"f"],
            [b"", b"", b"", b""],
            [b"", b"x", b"", b"0123456789"],
        ] {
            let made = joined("head", parts);
            assert_eq!(made.header.header, "head");
            assert_eq!(&made.slice, parts.concat());
        }
    }
}
