//! The users component with one export more: `coverage`, the counters of what has run.
//!
//! They are returned in the format of LLVM's `.profraw` files, in version 10
//! (`llvm/ProfileData/InstrProfData.inc`). LLVM's own run time for it is C, and this target has
//! none. `run` beside this folder builds the component.

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package usher:covered;
            world covered {
                export coverage: func() -> list<u8>;
            }
        ",
    });
    use super::Covered;
    export!(Covered);
}

// Its exports are those of this component.
use usher_guest as _;

// Where the linker has put what the compiler generated: a record for each function, the counters
// of all, and the compressed names.
#[allow(non_upper_case_globals)]
unsafe extern "C" {
    static __start___llvm_prf_data: u8;
    static __stop___llvm_prf_data: u8;
    static __start___llvm_prf_cnts: u8;
    static __stop___llvm_prf_cnts: u8;
    static __start___llvm_prf_names: u8;
    static __stop___llvm_prf_names: u8;
}

/// `\xFFlprofR\x81`, where the `R` means pointers of 32 bits.
const MAGIC: u64 = u64::from_be_bytes(*b"\xFFlprofR\x81");
/// The version of the format, which LLVM's tools compare with theirs.
const VERSION: u64 = 10;
/// The last kind of values that a profile may have besides counters; this one has none.
const LAST_VALUE_KIND: u64 = 2;
/// The size of a function's record.
const RECORD: usize = 48;

struct Covered;

impl bindings::Guest for Covered {
    fn coverage() -> Vec<u8> {
        // Safety: the linker places each pair at the ends of one section, and nothing else runs in
        // a component meanwhile, which has one thread.
        let (records, counters, names) = unsafe {
            (
                section(
                    &raw const __start___llvm_prf_data,
                    &raw const __stop___llvm_prf_data,
                ),
                section(
                    &raw const __start___llvm_prf_cnts,
                    &raw const __stop___llvm_prf_cnts,
                ),
                section(
                    &raw const __start___llvm_prf_names,
                    &raw const __stop___llvm_prf_names,
                ),
            )
        };
        let address = |section: &[u8]| section.as_ptr() as usize as u32;
        let padding = names.len().next_multiple_of(8) - names.len();
        let header = [
            MAGIC,
            VERSION,
            0, // The size of binary ids.
            (records.len() / RECORD) as u64,
            0, // Padding before the counters.
            (counters.len() / size_of::<u64>()) as u64,
            0, // Padding after the counters.
            0, // The size of bitmaps.
            0, // Padding after the bitmaps.
            names.len() as u64,
            u64::from(address(counters).wrapping_sub(address(records))),
            0, // Where bitmaps are.
            u64::from(address(names)),
            0, // The number of tables of virtual functions.
            0, // The size of their names.
            LAST_VALUE_KIND,
        ];
        let mut profile: Vec<u8> = header.into_iter().flat_map(u64::to_le_bytes).collect();
        for part in [records, counters, names] {
            profile.extend_from_slice(part);
        }
        profile.resize(profile.len() + padding, 0);
        profile
    }
}

/// The bytes between two addresses.
///
/// # Safety
/// They are the ends of memory that nothing changes meanwhile.
unsafe fn section(start: *const u8, end: *const u8) -> &'static [u8] {
    // Safety: as said.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}
