//! How much the recorder may use, and how often it reports.

/// Bounds and periods of one reporter. All have useful defaults; the plugin's configuration may change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most edges kept at a time. Requests to others are counted as overflow.
    pub edges: usize,
    /// Most bytes of edges and buckets in the open window. A batch under way may take as much again.
    pub memory_bytes: usize,
    /// A request that lived longer than this many microseconds is of the class LONG.
    pub long_us: u64,
    /// Milliseconds between reports, until the controller's answer says otherwise.
    pub interval_ms: u64,
    /// An idle reporter that has seen traffic says so after this many milliseconds.
    pub heartbeat_ms: u64,
    /// Milliseconds after which a send without any answer is taken for failed. Longer than the call's own timeout.
    pub answer_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            edges: 512,
            memory_bytes: 1 << 20,
            long_us: 10_000_000,
            interval_ms: 5_000,
            heartbeat_ms: 30_000,
            answer_ms: 15_000,
        }
    }
}

/// The shortest interval a controller may ask for, in milliseconds.
pub(crate) const SHORTEST_INTERVAL_MS: u64 = 50;

/// The longest interval a controller may ask for, in milliseconds: a wrong number must not silence a mesh.
pub(crate) const LONGEST_INTERVAL_MS: u64 = 300_000;
