//! A bump allocator.
//!
//! A request allocates a few dozen small blocks and frees all of them before it ends. So a block is
//! taken from the front of a fixed region, and a counter of live blocks resets the region when it
//! reaches zero: there is no free list and no coalescing. Blocks that do not fit are the standard
//! allocator's.

#![allow(
    unsafe_code,
    reason = "an allocator returns raw memory; each use has its safety argument"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// The size of the region in bytes: enough for a page of a hundred users. Untouched pages are free.
const SIZE: usize = 256 << 10;

/// The alignment of the region, which is the strictest it can return.
const ALIGN: usize = 16;

#[repr(C, align(16))]
struct Region {
    bytes: UnsafeCell<[u8; SIZE]>,
    /// The offset of the next block.
    next: Cell<usize>,
    /// The number of live blocks.
    live: Cell<usize>,
}

// SAFETY: a WASI 0.2 component has one thread.
unsafe impl Sync for Region {}

#[global_allocator]
static REGION: Region = Region {
    bytes: UnsafeCell::new([0; SIZE]),
    next: Cell::new(0),
    live: Cell::new(0),
};

impl Region {
    /// Takes a block from the region, if it fits.
    #[inline]
    fn bump(&self, size: usize, align: usize) -> Option<*mut u8> {
        // An alignment is a power of two, so no division is needed, unlike in `next_multiple_of`.
        // Nothing overflows: no block is as large as half of the address space.
        let start = (self.next.get() + (align - 1)) & !(align - 1);
        let end = start + size;
        if end > SIZE || align > ALIGN {
            return None;
        }
        self.next.set(end);
        self.live.set(self.live.get() + 1);
        // SAFETY: `start` is at most `end`, which is in the region or just past it.
        Some(unsafe { self.start().add(start) })
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// The offset of a block, if it is in the region.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.start() as usize);
        (offset < SIZE).then_some(offset)
    }
}

// SAFETY: blocks of the region never overlap. Each begins at `next`, which moves back only to the
// start of the last block when that one is freed, or to 0 when no block is live. The region starts
// at the strictest alignment that it returns. All other blocks are the standard allocator's, and
// `offset` distinguishes them by address.
unsafe impl GlobalAlloc for Region {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.bump(layout.size(), layout.align()) {
            Some(block) => block,
            // SAFETY: as the caller guarantees.
            None => unsafe { System.alloc(layout) },
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(offset) = self.offset(block) else {
            // SAFETY: as the caller guarantees, and the block is not in the region.
            return unsafe { System.dealloc(block, layout) };
        };
        let live = self.live.get() - 1;
        self.live.set(live);
        if live == 0 {
            self.next.set(0);
        } else if offset + layout.size() == self.next.get() {
            self.next.set(offset);
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let offset = self.offset(block);
        if let Some(offset) = offset {
            if offset + layout.size() == self.next.get() && offset + size <= SIZE {
                self.next.set(offset + size);
                return block;
            }
            if size <= layout.size() {
                return block;
            }
        } else {
            // SAFETY: as the caller guarantees, and the block is not in the region.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller guarantees that `size` is valid for this alignment. The new block is
        // another one, and larger.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size());
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Allocates memory for the host's arguments (Component Model, Canonical ABI). The host calls it
/// for each string and each list, so it uses the region directly. The blocks are freed like any
/// other.
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    size: usize,
) -> *mut u8 {
    // SAFETY: the host passes alignments of the canonical ABI, which are powers of two up to 8,
    // sizes within the address space, and blocks that this function returned, with their size and
    // alignment.
    let block = unsafe {
        if old_size == 0 {
            if size == 0 {
                return std::ptr::without_provenance_mut(align);
            }
            match REGION.bump(size, align) {
                Some(block) => block,
                None => System.alloc(Layout::from_size_align_unchecked(size, align)),
            }
        } else {
            REGION.realloc(
                old,
                Layout::from_size_align_unchecked(old_size, align),
                size,
            )
        }
    };
    if block.is_null() {
        core::arch::wasm32::unreachable();
    }
    block
}
