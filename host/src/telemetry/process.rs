//! The process as its operating system sees it: time, memory, open files.

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// What `/proc` says of this process. A part that cannot be read is `None`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Process {
    /// User and system time, in hundredths of a second.
    pub(crate) cpu_centiseconds: Option<u64>,
    /// Since 1970, in hundredths of a second.
    pub(crate) started_centiseconds: Option<u64>,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) open_files: Option<u64>,
    /// The limit on open files; `None` also if there is no limit.
    pub(crate) max_files: Option<u64>,
    pub(crate) threads: Option<u64>,
}

impl Process {
    pub(crate) fn read() -> Self {
        let (stat, boot) = (
            std::fs::read_to_string("/proc/self/stat").unwrap_or_default(),
            std::fs::read_to_string("/proc/stat").unwrap_or_default(),
        );
        let open_files = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        Self {
            // One of them lists the others.
            open_files: open_files.ok().map(|open| open.saturating_sub(1) as u64),
            max_files: getrlimit(Resource::Nofile).current,
            ..Self::parse(&stat, &boot, clock_ticks_per_second(), page_size() as u64)
        }
    }

    /// Reads `/proc/self/stat` and `/proc/stat`, as proc(5) describes them.
    fn parse(stat: &str, boot: &str, ticks_per_second: u64, page: u64) -> Self {
        // The name, which may hold any character, is in parentheses. After it begins the third
        // field.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, fields)| fields.split_whitespace().collect())
            .unwrap_or_default();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let centiseconds = |ticks: u64| ticks.saturating_mul(100) / ticks_per_second.max(1);
        let booted = boot
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        Self {
            cpu_centiseconds: field(14)
                .zip(field(15))
                .map(|(user, system)| centiseconds(user.saturating_add(system))),
            started_centiseconds: field(22)
                .zip(booted)
                .map(|(ticks, booted)| centiseconds(ticks).saturating_add(booted * 100)),
            resident_bytes: field(24).map(|pages| pages.saturating_mul(page)),
            virtual_bytes: field(23),
            threads: field(20),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_after_a_name_with_parentheses_are_read() {
        let stat = "7 (a) (b)) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 1000 4096 3 0";
        let process = Process::parse(stat, "cpu 1 2\nbtime 1700000000\n", 100, 4096);
        let expected = Process {
            cpu_centiseconds: Some(300),
            started_centiseconds: Some(170_000_001_000),
            resident_bytes: Some(3 * 4096),
            virtual_bytes: Some(4096),
            threads: Some(9),
            ..Process::default()
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("", "", 100, 4096), Process::default());
    }

    #[test]
    fn this_process_has_all_parts() {
        let process = Process::read();
        assert!(process.resident_bytes > Some(0) && process.open_files > Some(0));
        assert!(process.cpu_centiseconds.is_some() && process.started_centiseconds.is_some());
    }
}
