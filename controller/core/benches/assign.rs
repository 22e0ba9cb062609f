//! The table of issue 4: M3 and planted clusters, free and with limits on moves, in seconds of this process's cpu, one thread. One
//! JSON object per line. Every layout is judged by the independent checker of the tests.
//! `cargo bench -p huddle-core --bench assign -- [NAME]…` runs the rows whose names begin so, or all; `SEEDS=n` sets how many
//! seeds (5).
#![allow(missing_docs, reason = "a program, not an interface")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads its arguments and its clock")]

mod baselines;
#[path = "../tests/rasa/mod.rs"]
mod rasa;

use baselines::Score;
use huddle_core::assign::{Answer, Budget, Layout, Problem, RasaCluster, Recipe, Unit, Wish, assign, renew};
use serde_json::{Value, json};

/// Seconds this process has been running on a cpu.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The most memory this process has held, in MiB.
fn peak_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
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
        if steps.is_multiple_of(8) || self.now == 0.0 {
            self.now = (cpu_seconds() - self.start) / self.most;
        }
        self.now
    }
}

/// A cluster as its file says, for the checker and for the search.
struct Input {
    file: Value,
    cluster: RasaCluster,
    problem: Problem,
}

impl Input {
    fn of(cluster: RasaCluster) -> Self {
        Self {
            file: serde_json::to_value(&cluster).unwrap(),
            problem: cluster.problem().unwrap(),
            cluster,
        }
    }

    fn m3() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/rasa-m3/M3.json");
        Self::of(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    /// The checker's word on a layout; panics where a rule is broken or the gain is not what was said.
    fn check(&self, layout: &Layout, gain: f64) -> usize {
        let report = rasa::check(&self.file, &self.cluster.containers(layout));
        assert!(report.broken.is_empty(), "{:?}", report.broken);
        assert!((report.gain - gain).abs() < 1e-6, "{} is not {gain}", report.gain);
        report.moved
    }
}

fn rows(asked: &[String], input: &Input, seeds: u64) {
    let pods = input.problem.pods();
    let free = |most| (Unit::Pod, most);
    let rows = [
        ("free-1s", 1.0, free(None)),
        ("free-10s", 10.0, free(None)),
        ("free-60s", 60.0, free(None)),
        ("moves-20%", 10.0, free(Some(pods * 20 / 100))),
        ("moves-28%", 10.0, free(Some(pods * 28 / 100))),
        ("moves-100", 10.0, free(Some(100))),
        ("moves-400", 10.0, free(Some(400))),
        ("workloads-32", 10.0, (Unit::Workload, Some(32))),
        ("workloads-170", 10.0, (Unit::Workload, Some(170))),
        ("workloads-438", 10.0, (Unit::Workload, Some(438))),
        ("workloads-800", 10.0, (Unit::Workload, Some(800))),
        ("workloads-all", 10.0, (Unit::Workload, None)),
    ];
    for (name, seconds, (unit, most_moves)) in rows {
        if !wanted(asked, name) {
            continue;
        }
        let mut answers: Vec<(Answer, f64)> = (1..=seeds)
            .map(|seed| {
                let start = cpu_seconds();
                let wish = Wish { seed, most_moves, unit };
                let answer = assign(&input.problem, wish, &mut CpuSeconds::new(seconds));
                (answer, cpu_seconds() - start)
            })
            .collect();
        answers.sort_by(|a, b| a.0.gain.total_cmp(&b.0.gain));
        for (answer, _) in &answers {
            let moved = input.check(&answer.layout, answer.gain) as u64;
            assert!(unit == Unit::Workload || moved == answer.moves);
            assert!(moved <= answer.moves && most_moves.is_none_or(|most| answer.moves <= most));
        }
        let (median, took) = &answers[answers.len() / 2];
        let gains: Vec<f64> = answers.iter().map(|(answer, _)| answer.gain).collect();
        println!(
            "{}",
            json!({
                "row": name, "cpu_seconds": took, "median_gain": median.gain, "worst_gain": gains[0],
                "best_gain": gains[gains.len() - 1], "moves": median.moves, "most_moves": most_moves, "steps": median.steps,
                "gains": gains,
            })
        );
    }
}

/// What others would do with the same pods.
fn others(asked: &[String], input: &Input) {
    let rows = [
        ("spread", Score::Spread, 0),
        ("netmarks", Score::NetMarks, 0),
        ("netmarks-twice", Score::NetMarks, 1),
        ("netmarks-ten-times", Score::NetMarks, 9),
    ];
    for (name, score, again) in rows {
        if wanted(asked, name) {
            let start = cpu_seconds();
            let layout = baselines::place(&input.file, score, again);
            let took = cpu_seconds() - start;
            let report = rasa::check(&input.file, &layout);
            println!(
                "{}",
                json!({"row": name, "cpu_seconds": took, "gain": report.gain, "moves": report.moved,
                    "without_room": report.broken.len()})
            );
        }
    }
}

/// A planted cluster of 5 000 nodes: the first plan, one in a minute, and one after a small change.
fn planted(asked: &[String], seeds: u64) {
    let recipe = |seed| Recipe {
        seed,
        nodes: 5_000,
        pods: 150_000,
        services: 10_000,
    };
    for (name, seconds) in [("planted-first", 5.0), ("planted-60s", 60.0)] {
        for seed in (1..=seeds).filter(|_| wanted(asked, name)) {
            let made = recipe(seed).generate().unwrap();
            let input = Input::of(made.cluster);
            let planted = made.planted.gain(&input.problem);
            input.check(&made.planted, planted);
            let start = cpu_seconds();
            let wish = Wish {
                seed,
                ..Wish::default()
            };
            let answer = assign(&input.problem, wish, &mut CpuSeconds::new(seconds));
            let took = cpu_seconds() - start;
            input.check(&answer.layout, answer.gain);
            println!(
                "{}",
                json!({"row": name, "seed": seed, "cpu_seconds": took, "gain": answer.gain, "planted": planted,
                    "of_planted": answer.gain / planted, "moves": answer.moves, "peak_mib": peak_mib(), "steps": answer.steps,
                    "pods": input.problem.pods(), "start": Layout::home(&input.problem).gain(&input.problem)})
            );
            if name == "planted-first" {
                changed(&input.cluster, &answer.layout, seed);
            }
        }
    }
}

/// Three services get a third more pods, and ten edges five times their traffic.
fn changed(cluster: &RasaCluster, before: &Layout, seed: u64) {
    let mut cluster = cluster.clone();
    let mut names = Vec::new();
    for edge in cluster.traffic_list.iter_mut().skip(200).take(10) {
        edge.traffic *= 5.0;
        names.extend([edge.service1.clone(), edge.service2.clone()]);
    }
    for name in names.iter().take(3) {
        let service = cluster.service_list.iter_mut().find(|s| s.service == *name).unwrap();
        let more = service.container_list.len().div_ceil(3);
        for extra in 0..more {
            service.container_list.push(format!("{name}-new-{extra}"));
        }
        // A new container is wherever it was created; the layout that stood knows nothing of it.
        let machine = &mut cluster.machine_list[seed as usize];
        let new = service.container_list.iter().rev().take(more).cloned();
        machine.initial_deploying_containers.extend(new);
    }
    let index: Vec<usize> = names
        .iter()
        .map(|name| cluster.service_list.iter().position(|s| s.service == *name).unwrap())
        .collect();
    let input = Input::of(cluster);
    let still = before.gain(&input.problem);
    let start = cpu_seconds();
    let answer = renew(&input.problem, before, &index, seed, &mut CpuSeconds::new(0.5)).unwrap();
    let took = cpu_seconds() - start;
    input.check(&answer.layout, answer.gain);
    println!(
        "{}",
        json!({"row": "planted-incremental", "seed": seed, "cpu_seconds": took, "gain_before": still, "gain": answer.gain,
            "moves": answer.moves, "steps": answer.steps})
    );
}

fn wanted(asked: &[String], name: &str) -> bool {
    asked.is_empty() || asked.iter().any(|asked| name.starts_with(asked.as_str()))
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(5);
    let m3 = Input::m3();
    others(&asked, &m3);
    rows(&asked, &m3, seeds);
    planted(&asked, seeds);
}
