//! Small assignment problems: drawn, and judged without anything of the search.
#![allow(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

#[path = "../world/dice.rs"]
mod dice;

pub(crate) use dice::Dice;
use huddle_core::assign::{Amount, Apart, Layout, Problem, Service, Traffic};

/// Pods per service and node.
pub(crate) type Seats = Vec<Vec<u32>>;

/// A problem in plain numbers.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// Cpu and memory of each node.
    pub(crate) nodes: Vec<(i64, i64)>,
    /// Cpu and memory of a pod of each service.
    pub(crate) demand: Vec<(i64, i64)>,
    pub(crate) home: Seats,
    pub(crate) allowed: Vec<Option<Vec<usize>>>,
    pub(crate) most_per_node: Vec<Option<u32>>,
    pub(crate) traffic: Vec<(usize, usize, f64)>,
    pub(crate) apart: Option<(Vec<usize>, u32)>,
    pub(crate) most_moves: Option<u64>,
}

impl Case {
    /// A case of 3 to 6 services with 1 to 4 pods each on 2 to 4 nodes, of which today's layout breaks no rule.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let nodes = dice.within(2, 4) as usize;
        let services = dice.within(3, 6) as usize;
        let mut case = Self {
            nodes: (0..nodes).map(|_| (dice.within(8, 14), dice.within(10, 20))).collect(),
            ..Self::default()
        };
        for service in 0..services {
            let pods = dice.within(1, 4);
            case.demand.push((dice.within(1, 4), dice.within(1, 4)));
            case.allowed.push((dice.within(0, 9) == 0).then(|| vec![0, nodes - 1]));
            case.most_per_node
                .push((dice.within(0, 5) == 0).then(|| dice.within(1, 3) as u32));
            case.home.push(vec![0; nodes]);
            for _ in 0..pods {
                let start = dice.within(0, nodes as i64 - 1) as usize;
                let room = (0..nodes).map(|offset| (start + offset) % nodes).find(|node| {
                    case.home[service][*node] += 1;
                    let fits = case.broken(&case.home).is_empty();
                    case.home[service][*node] -= 1;
                    fits
                });
                if let Some(node) = room {
                    case.home[service][node] += 1;
                }
            }
        }
        for a in 0..services {
            for b in a + 1..services {
                // The last service of a case with more than four has no traffic.
                if (services < 5 || b + 1 < services) && dice.within(0, 2) > 0 {
                    case.traffic.push((a, b, dice.within(1, 30) as f64));
                }
            }
        }
        let together = |case: &Self| (0..nodes).map(|n| case.home[0][n] + case.home[services - 1][n]).max();
        if dice.within(0, 5) == 0 {
            case.apart = together(&case).map(|most| (vec![0, services - 1], most.max(1)));
        }
        case.most_moves = (dice.within(0, 1) == 0).then(|| dice.within(1, 4) as u64);
        case
    }

    pub(crate) fn pods(&self, service: usize) -> u32 {
        self.home[service].iter().sum()
    }

    pub(crate) fn problem(&self) -> Problem {
        let amount = |(cpu, memory): (i64, i64)| Amount([cpu, memory, 0, 0]);
        let services = (0..self.demand.len()).map(|s| Service {
            demand: amount(self.demand[s]),
            home: self.home[s]
                .iter()
                .copied()
                .enumerate()
                .filter(|(_, pods)| *pods > 0)
                .collect(),
            allowed: self.allowed[s].clone(),
            most_per_node: self.most_per_node[s],
        });
        let traffic: Vec<Traffic> = self
            .traffic
            .iter()
            .map(|(from, to, weight)| Traffic {
                from: *from,
                to: *to,
                weight: *weight,
            })
            .collect();
        let apart: Vec<Apart> = self
            .apart
            .iter()
            .map(|(services, most_per_node)| Apart {
                services: services.clone(),
                most_per_node: *most_per_node,
            })
            .collect();
        let nodes = self.nodes.iter().copied().map(amount).collect();
        Problem::new(services.collect(), nodes, &traffic, &apart).unwrap()
    }

    pub(crate) fn seats(&self, problem: &Problem, layout: &Layout) -> Seats {
        assert_eq!(problem.services(), self.demand.len());
        let mut seats = vec![vec![0; self.nodes.len()]; self.demand.len()];
        for (service, row) in seats.iter_mut().enumerate() {
            for (node, pods) in layout.of(service) {
                row[node] = pods;
            }
        }
        seats
    }

    /// Every rule that a layout breaks.
    pub(crate) fn broken(&self, seats: &Seats) -> Vec<String> {
        let mut broken = Vec::new();
        for (node, capacity) in self.nodes.iter().enumerate() {
            let sum = |of: fn(&(i64, i64)) -> i64| -> i64 {
                seats
                    .iter()
                    .zip(&self.demand)
                    .map(|(row, d)| i64::from(row[node]) * of(d))
                    .sum()
            };
            if sum(|d| d.0) > capacity.0 || sum(|d| d.1) > capacity.1 {
                broken.push(format!("node {node} is overfull"));
            }
            for (service, row) in seats.iter().enumerate() {
                if self.most_per_node[service].is_some_and(|most| row[node] > most) {
                    broken.push(format!("too many pods of {service} on {node}"));
                }
                if row[node] > 0 && self.allowed[service].as_ref().is_some_and(|list| !list.contains(&node)) {
                    broken.push(format!("{service} may not run on {node}"));
                }
            }
            if let Some((services, most)) = &self.apart
                && services.iter().map(|s| seats[*s][node]).sum::<u32>() > *most
            {
                broken.push(format!("too many of {services:?} on {node}"));
            }
        }
        for (service, row) in seats.iter().enumerate() {
            if self.home.len() == self.demand.len() && row.iter().sum::<u32>() != self.pods(service) {
                broken.push(format!("{service} has lost or won pods"));
            }
        }
        broken
    }

    pub(crate) fn moves(&self, seats: &Seats) -> u64 {
        let rows = self.home.iter().zip(seats);
        rows.flat_map(|(home, row)| home.iter().zip(row))
            .map(|(home, now)| u64::from(home.saturating_sub(*now)))
            .sum()
    }

    pub(crate) fn gain(&self, seats: &Seats) -> f64 {
        let (mut local, mut whole) = (0.0, 0.0);
        for (a, b, weight) in &self.traffic {
            if self.pods(*a) == 0 || self.pods(*b) == 0 {
                continue;
            }
            let share = |s: usize, node: usize| f64::from(seats[s][node]) / f64::from(self.pods(s));
            whole += weight;
            local += weight
                * (0..self.nodes.len())
                    .map(|n| share(*a, n).min(share(*b, n)))
                    .sum::<f64>();
        }
        if whole > 0.0 { local / whole } else { 0.0 }
    }

    /// What stays on its node when calls go to the caller's own node first, but evenly to services of which a pod would get
    /// more than `most` shares; and the most that a pod gets else.
    pub(crate) fn near_first(&self, seats: &Seats, most: f64) -> (f64, f64) {
        let (mut local, mut whole, mut worst) = (0.0, 0.0, 0.0f64);
        let pods = |service: usize| f64::from(self.pods(service));
        for called in 0..self.demand.len() {
            let callers = self
                .traffic
                .iter()
                .filter(|(from, to, _)| *to == called && pods(*from) > 0.0);
            let callers: Vec<_> = callers.filter(|_| pods(called) > 0.0).collect();
            let sent: f64 = callers.iter().map(|(_, _, weight)| weight).sum();
            let from_node = |node: usize| -> f64 {
                let each = callers
                    .iter()
                    .map(|(from, _, weight)| weight * f64::from(seats[*from][node]) / pods(*from));
                each.sum()
            };
            let homes: Vec<usize> = (0..self.nodes.len()).filter(|node| seats[called][*node] > 0).collect();
            let first: f64 = homes.iter().map(|node| from_node(*node)).sum();
            let load =
                |node: &usize| from_node(*node) / f64::from(seats[called][*node]) + (sent - first) / pods(called);
            let most_loaded = homes.iter().map(load).fold(0.0, f64::max) * pods(called) / sent.max(f64::MIN_POSITIVE);
            whole += sent;
            if most_loaded <= most {
                local += first;
                worst = worst.max(most_loaded);
            } else {
                let evenly = homes
                    .iter()
                    .map(|node| from_node(*node) * f64::from(seats[called][*node]));
                local += evenly.sum::<f64>() / pods(called);
            }
        }
        (if whole > 0.0 { local / whole } else { 0.0 }, worst)
    }
}
