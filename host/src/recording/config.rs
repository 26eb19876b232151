//! The settings of the recorder.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use crate::options::{GIB, KIB, TIB, number, size};

/// Which requests are recorded, and how much of them is kept.
#[derive(Args, Clone, Debug)]
#[group(id = "recording-options")]
pub struct Config {
    /// The directory to record requests in, with their database calls; none if absent. It is made
    /// if it does not exist, for this user alone.
    #[arg(long, env = "USHER_RECORD", value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Of how many requests one is recorded; 1 records them all.
    // At 100 the cost is small beside that of the requests: docs/recording.md has the figures.
    #[arg(
        long,
        env = "USHER_RECORD_ONE_IN",
        value_name = "N",
        default_value = "100",
        value_parser = number::<NonZeroU32>(1, 1_000_000_000)
    )]
    pub record_one_in: NonZeroU32,
    /// A recording; of a larger one only the fact is kept.
    #[arg(
        long,
        env = "USHER_RECORD_MAX_FILE",
        value_name = "SIZE",
        default_value = "1MiB",
        value_parser = size::<usize>(4 * KIB, GIB)
    )]
    pub record_max_file: usize,
    /// All recordings in the directory; recording stops before there are more.
    #[arg(
        long,
        env = "USHER_RECORD_MAX_TOTAL",
        value_name = "SIZE",
        default_value = "1GiB",
        value_parser = size::<u64>(4 * KIB, TIB)
    )]
    pub record_max_total: u64,
    /// Record values as they are, names and addresses of people included. For test systems.
    #[arg(long, env = "USHER_RECORD_PERSONAL_DATA")]
    pub record_personal_data: bool,
}
