//! The allocator: mimalloc, asked for alignment only where it has to be.
//!
//! The crate `mimalloc` asks for an aligned block each time, whatever the alignment. That costs three times as much for half
//! of all sizes, and takes a larger block. But every block of mimalloc's of 16 bytes and more is aligned to 16, and a smaller
//! one to 8 (`MI_MAX_ALIGN_SIZE` in its `types.h`; `alloc.c` asserts it), so that nearly nothing has to ask.
//!
//! It is `unsafe` because an allocator cannot be had without.
#![allow(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait, mimalloc is in C"
)]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as ffi;

/// mimalloc. Messages are made on one thread and freed on another, in the sizes of their bodies: it gives such memory back to
/// its own thread without a lock and keeps a long-running broker's memory flat, where glibc's arenas fragment.
pub(crate) struct Mimalloc;

/// What mimalloc aligns a block to that is large enough.
const ALIGNED_TO: usize = 16;

/// Whether any block of that size is aligned so.
const fn is_aligned(size: usize, align: usize) -> bool {
    align <= ALIGNED_TO && align <= size
}

// SAFETY: all blocks are mimalloc's, which frees and moves each by its address alone, however it was asked for. They are as
// large as asked for, and as aligned: by `is_aligned`, or because it was asked for. A failure is null, as it is to be.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size will do, and a layout's alignment is a power of two.
        unsafe {
            if is_aligned(size, align) {
                ffi::mi_malloc(size).cast()
            } else {
                ffi::mi_malloc_aligned(size, align).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as for `alloc`.
        unsafe {
            if is_aligned(size, align) {
                ffi::mi_zalloc(size).cast()
            } else {
                ffi::mi_zalloc_aligned(size, align).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: whoever calls has the block from here.
        unsafe { ffi::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: whoever calls has the block from here. It stays where it is, aligned as it was, or moves to one that was
        // asked for as in `alloc`.
        unsafe {
            if is_aligned(size, align) {
                ffi::mi_realloc(block.cast(), size).cast()
            } else {
                ffi::mi_realloc_aligned(block.cast(), size, align).cast()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of all small sizes and some large ones, many of each so that no page starts luckily.
    #[test]
    fn blocks_are_aligned_as_asked() {
        let sizes = (1..=300).chain([1_000, 4_096, 5_000, 70_000, 3_000_000]);
        let mut blocks = Vec::new();
        for size in sizes {
            for align in [1, 2, 4, 8, 16, 32, 64, 4_096] {
                let layout = Layout::from_size_align(size, align).unwrap();
                for _ in 0..5 {
                    // SAFETY: the layout's size is not zero.
                    let block = unsafe { Mimalloc.alloc(layout) };
                    assert!(!block.is_null() && block.addr().is_multiple_of(align));
                    blocks.push((block, layout));
                }
            }
        }
        for (number, (block, layout)) in blocks.into_iter().enumerate() {
            let grown =
                Layout::from_size_align(layout.size() + number % 50, layout.align()).unwrap();
            // SAFETY: the block is of that layout, and what comes back is of the grown one.
            unsafe {
                block.write(number as u8);
                let moved = Mimalloc.realloc(block, layout, grown.size());
                assert!(!moved.is_null() && moved.addr().is_multiple_of(grown.align()));
                assert_eq!(moved.read(), number as u8);
                Mimalloc.dealloc(moved, grown);
                let zeroed = Mimalloc.alloc_zeroed(grown);
                assert!(!zeroed.is_null() && zeroed.addr().is_multiple_of(grown.align()));
                assert_eq!(zeroed.read(), 0);
                Mimalloc.dealloc(zeroed, grown);
            }
        }
    }
}
