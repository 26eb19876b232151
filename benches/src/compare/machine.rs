//! One line that describes the machine, without which no figure means anything.

/// The processor, memory and system of this machine, as far as they can be read.
pub fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str, separator: char| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(separator)?;
            (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let processor = field(&read("/proc/cpuinfo"), "model name", ':');
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal", ':')
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    let system = field(&read("/etc/os-release"), "PRETTY_NAME", '=');
    let mut parts = vec![format!(
        "{cores} core{} of {}",
        if cores == 1 { "" } else { "s" },
        processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
    )];
    parts.extend(memory.map(|kib| format!("{} GiB", (kib + (1 << 19)) >> 20)));
    parts.push(format!("Linux {}", kernel.trim()));
    parts.extend(system);
    parts.join(", ")
}

/// The load average of the last minute, and whether it is too high for steady figures.
pub fn others_load() -> Option<(f64, bool)> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load = text.split_whitespace().next()?.parse().ok()?;
    Some((load, load > QUIET))
}

/// The load average up to which a machine counts as idle.
const QUIET: f64 = 0.5;

#[cfg(test)]
mod tests {
    #[test]
    fn machine_description_has_cores_and_kernel() {
        let text = super::description();
        assert!(
            text.contains(" cores of ") && text.contains("Linux "),
            "{text}"
        );
    }
}
