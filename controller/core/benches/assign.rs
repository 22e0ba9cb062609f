//! The table of issue 4 on M3: free assignment, with and without a limit on moves, in seconds of this process's cpu. One JSON
//! object per line. `cargo bench -p huddle-core --bench assign -- [NAME]…` runs the rows whose names are given, or all.
#![allow(missing_docs, reason = "a program, not an interface")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads its arguments and its clock")]

use huddle_core::assign::{Answer, Budget, Problem, RasaCluster, Wish, assign};

/// Seconds this process has been running on a cpu.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

struct CpuSeconds {
    start: f64,
    most: f64,
    now: f64,
}

impl CpuSeconds {
    fn new(most: f64) -> Self {
        Self {
            start: cpu_seconds(),
            most,
            now: 0.0,
        }
    }
}

impl Budget for CpuSeconds {
    fn spent(&mut self, steps: u64) -> f64 {
        if steps.is_multiple_of(8) {
            self.now = (cpu_seconds() - self.start) / self.most;
        }
        self.now
    }
}

fn run(problem: &Problem, name: &str, seconds: f64, most_moves: Option<u64>, seeds: u64) {
    let mut answers: Vec<(Answer, f64)> = (1..=seeds)
        .map(|seed| {
            let start = cpu_seconds();
            let answer = assign(problem, Wish { seed, most_moves }, &mut CpuSeconds::new(seconds));
            (answer, cpu_seconds() - start)
        })
        .collect();
    answers.sort_by(|a, b| a.0.gain.total_cmp(&b.0.gain));
    let (median, took) = &answers[answers.len() / 2];
    let gains: Vec<f64> = answers.iter().map(|(answer, _)| answer.gain).collect();
    println!(
        "{}",
        serde_json::json!({
            "row": name, "cpu_seconds": took, "median_gain": median.gain, "worst_gain": gains[0], "best_gain": gains[gains.len() - 1],
            "moves": median.moves, "most_moves": most_moves, "steps": median.steps, "gains": gains,
        })
    );
}

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/rasa-m3/M3.json");
    let cluster: RasaCluster = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let problem = cluster.problem().unwrap();
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(5);
    let share = |percent: u64| Some(problem.pods() * percent / 100);
    let rows = [
        ("free-1s", 1.0, None),
        ("free-10s", 10.0, None),
        ("free-60s", 60.0, None),
        ("moves-20%", 10.0, share(20)),
        ("moves-28%", 10.0, share(28)),
        ("moves-100", 10.0, Some(100)),
        ("moves-400", 10.0, Some(400)),
    ];
    for (name, seconds, most) in rows {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            run(&problem, name, seconds, most, seeds);
        }
    }
}
