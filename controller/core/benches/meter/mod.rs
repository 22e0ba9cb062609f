//! What a benchmark reads of its own process.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "shared by several benchmarks, each of which uses a part"
)]

/// A size in `/proc/self/status`, in MiB.
pub fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Seconds of the processor that the main thread has had.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Does it, and says how long it took.
pub fn timed<T>(what: impl FnOnce() -> T) -> (T, f64) {
    let start = cpu_seconds();
    let done = what();
    (done, cpu_seconds() - start)
}
