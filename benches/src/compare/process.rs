//! The kernel's figures of a process: processor time and memory (proc(5)).

use std::time::Duration;

/// `USER_HZ`, the kernel's unit of time for programs: 100 per second on every Linux.
const TICKS: u64 = 100;

/// Processor time, user and system, of all threads of a process, those that have ended included.
///
/// # Errors
/// If there is no such process.
pub fn cpu(pid: u32) -> std::io::Result<Duration> {
    stat(pid).map(|stat| duration(stat.ticks))
}

/// Processor time of a process and its children, as far as they live.
///
/// # Errors
/// If there is no such process.
pub fn cpu_with_children(pid: u32) -> std::io::Result<Duration> {
    let mut sum = cpu(pid)?;
    for entry in std::fs::read_dir("/proc")? {
        // One that ends meanwhile is left out.
        if let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat"))
            && let Some(stat) = Stat::parse(&stat)
            && stat.parent == pid
        {
            sum += duration(stat.ticks);
        }
    }
    Ok(sum)
}

/// The part of [`cpu`] that the kernel took on the process's behalf.
///
/// # Errors
/// If there is no such process.
pub fn system(pid: u32) -> std::io::Result<Duration> {
    stat(pid).map(|stat| duration(stat.system))
}

/// How often the living threads of a process have gone to sleep: each time is a switch to another
/// thread, and one back.
///
/// # Errors
/// If there is no such process.
pub fn sleeps(pid: u32) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that ends meanwhile is left out.
        if let Ok(status) = std::fs::read_to_string(entry?.path().join("status")) {
            sum += field(&status, "voluntary_ctxt_switches:").unwrap_or_default();
        }
    }
    Ok(sum)
}

/// Bytes of memory that a process has in RAM.
///
/// # Errors
/// If there is no such process.
pub fn resident(pid: u32) -> std::io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    field(&status, "VmRSS:")
        .map(|kib| kib * 1024)
        .ok_or_else(|| std::io::Error::other("/proc/PID/status has no VmRSS"))
}

/// A number in `/proc/PID/status`, by its name.
fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| {
        line.strip_prefix(name)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
}

fn stat(pid: u32) -> std::io::Result<Stat> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Stat::parse(&stat).ok_or_else(|| std::io::Error::other("/proc/PID/stat has another form"))
}

struct Stat {
    parent: u32,
    /// User and system.
    ticks: u64,
    system: u64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The program's name may have spaces and brackets in it.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let user: u64 = fields.nth(9)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            parent,
            ticks: user + system,
            system,
        })
    }
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks * (1000 / TICKS))
}

#[cfg(test)]
mod tests {
    use super::{Stat, cpu, resident, sleeps, system};
    use std::time::Duration;

    #[test]
    fn process_stat_with_any_program_name_is_parsed() {
        let stat = "7 (a) (b c) S 3 1 1 0 -1 4 5 6 7 8 11 22 0 0 20 0 1 0 5 6 7";
        let stat = Stat::parse(stat).expect("the form of proc(5)");
        assert_eq!((stat.parent, stat.ticks, stat.system), (3, 33, 22));
    }

    #[test]
    fn busy_process_uses_processor_time() {
        let own = std::process::id();
        let begin = cpu(own).expect("this process lives");
        let mut number = 1_u64;
        while cpu(own).expect("this process lives") < begin + Duration::from_millis(50) {
            for _ in 0..100_000 {
                number = std::hint::black_box(number.wrapping_mul(3));
            }
        }
        assert!(resident(own).expect("this process lives") > 4096);
        let (system, all) = (system(own), cpu(own));
        assert!(system.expect("this process lives") <= all.expect("this process lives"));
    }

    #[test]
    fn waiting_thread_counts_as_a_sleep() {
        let own = std::process::id();
        let begin = sleeps(own).expect("this process lives");
        std::thread::sleep(Duration::from_millis(1));
        assert!(sleeps(own).expect("this process lives") > begin);
    }
}
