//! The table of issue 4: M3 and planted clusters, free and with limits on moves, in seconds of this process's cpu, one thread. One
//! JSON object per line. Every layout is judged by the independent checker of the tests.
//! `cargo bench -p huddle-core --bench assign -- [NAME]…` runs the rows whose names begin so, or all; `SEEDS=n` sets how many
//! seeds (5).
#![allow(missing_docs, reason = "a program, not an interface")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads its arguments and its clock")]

mod baselines;
#[path = "../tests/world/dice.rs"]
mod dice;
mod meter;
#[path = "../tests/rasa/mod.rs"]
mod rasa;

use baselines::Score;
use dice::Dice;
use huddle_core::assign::{
    Alone, Answer, Budget, Layout, Means, NearWish, Problem, RasaCluster, Recipe, Rule, Unit, Wish, assign,
    assign_by_rules, bound, curve, recreate, renew,
};
use meter::{cpu_seconds, status};
use serde_json::{Value, json};

/// Seconds from the first question on, or from now.
struct CpuSeconds {
    start: Option<f64>,
    most: f64,
    now: f64,
}

impl CpuSeconds {
    fn new(most: f64) -> Self {
        Self {
            start: Some(cpu_seconds()),
            most,
            now: 0.0,
        }
    }
}

impl Budget for CpuSeconds {
    fn spent(&mut self, steps: u64) -> f64 {
        if steps.is_multiple_of(8) || self.now == 0.0 {
            let now = cpu_seconds();
            self.now = (now - *self.start.get_or_insert(now)) / self.most;
        }
        self.now
    }

    fn part(&self, share: f64) -> Box<dyn Budget + Send> {
        Box::new(Self {
            start: None,
            most: self.most * share,
            now: 0.0,
        })
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
                    "of_planted": answer.gain / planted, "moves": answer.moves, "peak_mib": status("VmHWM"), "steps": answer.steps,
                    "pods": input.problem.pods(), "start": Layout::home(&input.problem).gain(&input.problem)})
            );
            if name == "planted-first" {
                changed(&input.cluster, &answer.layout, seed);
            }
        }
    }
}

/// The same clusters with a limit on moves, and the curve of gain against moves.
fn planted_moves(asked: &[String], seeds: u64) {
    let rows = [
        ("planted-moves-1000", 10.0, 1_000),
        ("planted-moves-10%", 10.0, 15_000),
        ("planted-moves-10%-60s", 60.0, 15_000),
        ("planted-moves-30%-60s", 60.0, 45_000),
    ];
    let recipe = |seed| Recipe {
        seed,
        nodes: 5_000,
        pods: 150_000,
        services: 10_000,
    };
    for seed in 1..=seeds {
        let wanted_rows = rows.iter().filter(|(name, ..)| wanted(asked, name));
        let mut input = None;
        for (name, seconds, most) in wanted_rows {
            let input = input.get_or_insert_with(|| Input::of(recipe(seed).generate().unwrap().cluster));
            let start = cpu_seconds();
            let wish = Wish {
                seed,
                most_moves: Some(*most),
                ..Wish::default()
            };
            let answer = assign(&input.problem, wish, &mut CpuSeconds::new(*seconds));
            let took = cpu_seconds() - start;
            input.check(&answer.layout, answer.gain);
            println!(
                "{}",
                json!({"row": name, "seed": seed, "cpu_seconds": took, "gain": answer.gain, "most_moves": most,
                    "moves": answer.moves, "peak_mib": status("VmHWM"), "steps": answer.steps})
            );
        }
        if wanted(asked, "planted-curve") {
            let input = Input::of(recipe(seed).generate().unwrap().cluster);
            let start = cpu_seconds();
            let wish = Wish {
                seed,
                ..Wish::default()
            };
            let limits = [100, 1_000, 5_000, 15_000, 45_000];
            let points = curve(&input.problem, &limits, wish, &mut CpuSeconds::new(60.0), &Alone);
            let took = cpu_seconds() - start;
            let points: Vec<Value> = points
                .iter()
                .map(|(most, answer)| {
                    input.check(&answer.layout, answer.gain);
                    json!({"most_moves": most, "moves": answer.moves, "gain": answer.gain})
                })
                .collect();
            println!(
                "{}",
                json!({"row": "planted-curve", "seed": seed, "cpu_seconds": took, "points": points, "peak_mib": status("VmHWM")})
            );
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

/// By rules only, under same-node-first routing: the layout and the rules that keep it, and what the stock scheduler makes of it when
/// every pod is created anew, once and five times over, under these rules alone; with dice that the search did not throw.
fn by_rules(asked: &[String], input: &Input, seeds: u64) {
    const MOST_LOAD: f64 = 1.3;
    let least_moves = Some(input.problem.pods() * 28 / 100);
    let rows = [
        ("rules-weighted-cells", Means::WeightedCells, None),
        ("rules-cells", Means::Cells, None),
        ("rules-beside", Means::Beside, None),
        ("rules-weighted-cells-28%", Means::WeightedCells, least_moves),
    ];
    for (name, means, most_moves) in rows {
        for seed in (1..=seeds).filter(|_| wanted(asked, name)) {
            let start = cpu_seconds();
            let wish = NearWish {
                seed,
                most_moves,
                most_load: MOST_LOAD,
            };
            let answer = assign_by_rules(&input.problem, wish, means, &mut CpuSeconds::new(20.0));
            let took = cpu_seconds() - start;
            let churn = |layout: &Layout, dice: u64| recreate(&input.problem, layout, &answer.rules, dice);
            let mut once: Vec<Value> = (1..=5)
                .map(|dice| judge(input, &churn(&answer.layout, dice), MOST_LOAD))
                .collect();
            once.sort_by(|a, b| a["local"].as_f64().unwrap().total_cmp(&b["local"].as_f64().unwrap()));
            let five_times = |from: &Layout| {
                judge(
                    input,
                    &(1..=5).fold(from.clone(), |layout, dice| churn(&layout, dice)),
                    MOST_LOAD,
                )
            };
            let ruled = answer.rules.iter().filter(|rule| **rule != Rule::None).count();
            println!(
                "{}",
                json!({"row": name, "seed": seed, "cpu_seconds": took, "moves": answer.moves, "rules": ruled,
                    "planned": judge(input, &answer.layout, MOST_LOAD), "free_routing": answer.layout.gain(&input.problem),
                    "predicted": answer.after.local, "after_churn_median": once[2], "after_churn_worst": once[0],
                    "after_five_churns": five_times(&answer.layout),
                    "five_churns_from_today": five_times(&Layout::home(&input.problem)), "steps": answer.steps})
            );
        }
    }
}

/// The checker's word on a layout under same-node-first routing; panics where it is not what the layout says of itself.
fn judge(input: &Input, layout: &Layout, most_load: f64) -> Value {
    let containers = input.cluster.containers(layout);
    let report = rasa::check(&input.file, &containers);
    assert!(report.broken.is_empty(), "{:?}", report.broken);
    let near = rasa::near_first(&input.file, &containers, most_load);
    let said = layout.near_first(&input.problem, most_load);
    assert!(
        (near.local - said.local).abs() < 1e-6,
        "{} is not {}",
        near.local,
        said.local
    );
    assert_eq!(near.evenly, said.refused.len());
    json!({"local": near.local, "worst_load": near.worst, "called_evenly": near.evenly, "moved": report.moved})
}

/// A small change of input: all traffic wavers by up to 5 %, and one container of a hundred is gone. What stood is renewed; beside it, all
/// is searched anew.
fn stability(asked: &[String], input: &Input, seeds: u64) {
    for seed in (1..=seeds).filter(|_| wanted(asked, "stability")) {
        let wish = Wish {
            seed,
            ..Wish::default()
        };
        let stood = assign(&input.problem, wish, &mut CpuSeconds::new(10.0));
        let mut dice = Dice(seed);
        let mut cluster = input.cluster.clone();
        for edge in &mut cluster.traffic_list {
            edge.traffic *= 0.95 + 0.1 * dice.unit();
        }
        let mut names: Vec<String> = cluster
            .service_list
            .iter()
            .map(|service| service.service.clone())
            .collect();
        names.sort();
        let mut gone = std::collections::BTreeSet::new();
        for service in cluster.service_list.iter_mut() {
            // Who has one keeps it: without pods a service has no traffic.
            let last = service.container_list.len() == 1;
            service.container_list.retain(|container| {
                let stays = last || dice.below(100) > 0;
                if !stays {
                    gone.insert(container.clone());
                }
                stays
            });
        }
        for machine in &mut cluster.machine_list {
            machine
                .initial_deploying_containers
                .retain(|container| !gone.contains(container));
        }
        let smaller = cluster.service_list.iter().zip(&input.cluster.service_list);
        let smaller = smaller.filter(|(now, was)| now.container_list.len() < was.container_list.len());
        let changed: Vec<usize> = smaller
            .map(|(now, _)| names.iter().position(|name| *name == now.service).unwrap())
            .collect();
        let input = Input::of(cluster);
        for (way, seconds) in [("renewed", 1.0), ("anew, the same seed", 10.0)] {
            let start = cpu_seconds();
            let budget = &mut CpuSeconds::new(seconds);
            let answer = match way {
                "renewed" => renew(&input.problem, &stood.layout, &changed, seed, budget).unwrap(),
                _ => assign(&input.problem, wish, budget),
            };
            let took = cpu_seconds() - start;
            input.check(&answer.layout, answer.gain);
            // A service's pod less is not a pod elsewhere.
            let elsewhere = stood.layout.moves_from(&answer.layout);
            println!(
                "{}",
                json!({"row": "stability", "way": way, "seed": seed, "cpu_seconds": took, "containers_gone": gone.len(),
                    "gain_before": stood.gain, "still": stood.layout.gain(&input.problem), "gain": answer.gain,
                    "elsewhere": elsewhere, "share_elsewhere": elsewhere as f64 / input.problem.pods() as f64})
            );
        }
    }
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
    if wanted(&asked, "bound") {
        println!("{}", json!({"row": "bound", "gain": bound(&m3.problem)}));
    }
    others(&asked, &m3);
    rows(&asked, &m3, seeds);
    by_rules(&asked, &m3, seeds);
    stability(&asked, &m3, seeds);
    planted(&asked, seeds);
    planted_moves(&asked, seeds);
}
