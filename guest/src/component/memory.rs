//! The allocator.
//!
//! A request allocates a few dozen small blocks and has given all of them back by its end. So a block is cut off the front of
//! a fixed region, and the region is whole again as soon as nothing of it is in use, which a counter tells: no list is kept
//! and no neighbour is looked at. What does not fit goes to the standard allocator.

#![allow(
    unsafe_code,
    reason = "an allocator hands out raw memory: the argument stands at each place"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// Bytes of the region: room for a page of a hundred users. Untouched pages of it cost nothing.
const SIZE: usize = 256 << 10;

/// The strictest alignment the region itself has.
const ALIGN: usize = 16;

#[repr(C, align(16))]
struct Region {
    bytes: UnsafeCell<[u8; SIZE]>,
    /// Where the next block is cut off.
    next: Cell<usize>,
    /// Blocks in use.
    live: Cell<usize>,
}

// SAFETY: a component of WASI 0.2 has one thread.
unsafe impl Sync for Region {}

#[global_allocator]
static REGION: Region = Region {
    bytes: UnsafeCell::new([0; SIZE]),
    next: Cell::new(0),
    live: Cell::new(0),
};

impl Region {
    /// Cuts a block off, if there is room for it.
    #[inline]
    fn cut(&self, size: usize, align: usize) -> Option<*mut u8> {
        // An alignment is a power of two, which spares the division that `next_multiple_of` takes. Nothing can overflow: no block is as
        // large as half of the address space.
        let start = (self.next.get() + (align - 1)) & !(align - 1);
        let end = start + size;
        if end > SIZE || align > ALIGN {
            return None;
        }
        self.next.set(end);
        self.live.set(self.live.get() + 1);
        // SAFETY: `start` is at most `end`, which lies in the region or right behind it.
        Some(unsafe { self.start().add(start) })
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Where in the region a block begins, if it lies there.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.start() as usize);
        (offset < SIZE).then_some(offset)
    }
}

// SAFETY: blocks of the region never overlap: each is cut off at `next`, which only moves back to the beginning of the last
// block when that one is freed, or to 0 when none is in use. Their alignment is that of the region, whose beginning has
// the strictest one it gives out. All other blocks are the standard allocator's, which `offset` tells apart by address.
unsafe impl GlobalAlloc for Region {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.cut(layout.size(), layout.align()) {
            Some(block) => block,
            // SAFETY: the caller's own promise.
            None => unsafe { System.alloc(layout) },
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(offset) = self.offset(block) else {
            // SAFETY: the caller's own promise, and the block is not of the region.
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
            // SAFETY: the caller's own promise, and the block is not of the region.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises that `size` makes a layout with this alignment; the new block is another one, and larger.
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

/// How the host asks for room for what it hands over (Component Model, Canonical ABI). It does so for each string and each list, so this
/// goes to the region at once; what is handed over is freed as anything else is.
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    size: usize,
) -> *mut u8 {
    // SAFETY: the host gives alignments of the canonical ABI, powers of two up to 8, no more bytes than an address space has, and
    // what it has got from here before together with the size and alignment that it asked for then.
    let block = unsafe {
        if old_size == 0 {
            if size == 0 {
                return std::ptr::without_provenance_mut(align);
            }
            match REGION.cut(size, align) {
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
