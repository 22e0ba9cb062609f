//! Clusters made up with the statistics of real ones, whose good layout is known because it was planted and then scrambled.
//!
//! Services with traffic come in *groups*. All services of a group sit on the same nodes in the planted layout, each with the
//! same number of pods on every one of them, so that all traffic inside a group is local there. A smaller part of the traffic
//! runs between groups and is not local. The pods of the other services fill the nodes up. What the search is given is the
//! same pods, spread at random.

mod graph;
mod seats;

use std::collections::BTreeMap;

use thiserror::Error;

use super::layout::Layout;
use super::random::Dice;
use super::rasa::{Compatible, RasaCluster, RasaMachine, RasaService, RasaTraffic};
use super::table::at;

/// The share of services that talk with any other, as in ByteDance's M3 (161 of 547).
const TALKING: f64 = 0.29;
/// The share of pods that belong to them, as in M3 (1 618 of 3 485).
const TALKING_PODS: f64 = 0.46;
/// The share of all cpu that is requested; M3 has 0.88.
const FILL_CPU: f64 = 0.85;
/// The share of all memory that is requested; M3 has 0.28.
const FILL_MEMORY: f64 = 0.4;
/// Services of a planted group, at least and at most.
const GROUP: (usize, usize) = (4, 16);
/// No more of a node than this is taken by its planted group.
const GROUP_FILL: f64 = 0.75;
/// Node sizes, as shares of the largest.
const SHAPES: [f64; 3] = [1.0, 0.75, 0.5];

/// How large a cluster to make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Where its random choices begin: equal recipes give equal clusters.
    pub seed: u64,
    /// Nodes, from 4 to 100 000.
    pub nodes: usize,
    /// Pods of all services together, from 4 per service to 100 per node.
    pub pods: usize,
    /// Services, from 16 up.
    pub services: usize,
}

/// A cluster made up.
#[derive(Clone, Debug)]
pub struct Generated {
    /// What the search is given, in ByteDance's published form.
    pub cluster: RasaCluster,
    /// The planted layout, a layout of [`RasaCluster::problem`] of that cluster. Its worth is [`Layout::gain`].
    pub planted: Layout,
}

/// Why a recipe cannot be followed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidRecipe {
    /// Too few or too many nodes.
    #[error("nodes: {0} is not between 4 and 100000")]
    Nodes(usize),
    /// Too few services.
    #[error("services: {0} is less than 16")]
    Services(usize),
    /// Too few or too many pods.
    #[error("pods: {pods} is not between {least} (4 per service) and {most} (100 per node)")]
    Pods {
        /// Pods asked for.
        pods: usize,
        /// The fewest possible.
        least: usize,
        /// The most possible.
        most: usize,
    },
    /// The pods drawn do not go onto the nodes drawn; another seed may do better.
    #[error("seed: no room for all pods with this one")]
    NoRoom,
}

/// A service as it is drawn.
#[derive(Clone, Debug, Default)]
struct Drawn {
    cpu: f64,
    memory: f64,
    pods: usize,
    /// Node of each pod in the planted layout.
    planted: Vec<usize>,
    /// Node of each pod in the scrambled one.
    start: Vec<usize>,
}

/// A planted group: its services (as indices of what is drawn) and its nodes.
#[derive(Clone, Debug, Default)]
struct Group {
    services: Vec<usize>,
    nodes: Vec<usize>,
}

impl Recipe {
    /// Makes the cluster.
    ///
    /// # Errors
    /// Which number of the recipe cannot be had.
    pub fn generate(&self) -> Result<Generated, InvalidRecipe> {
        self.check()?;
        let mut dice = Dice::new(self.seed);
        let capacity: Vec<f64> = (0..self.nodes)
            .map(|node| at(&SHAPES, node * SHAPES.len() / self.nodes))
            .collect();
        let talking = ((self.services as f64 * TALKING) as usize).max(GROUP.0);
        let (mut drawn, groups) = seats::groups(self, talking, &capacity, &mut dice);
        seats::idle(self, &mut drawn, &capacity, &mut dice);
        seats::plant(&mut drawn, &groups, &capacity, &mut dice).ok_or(InvalidRecipe::NoRoom)?;
        seats::scramble(&mut drawn, &capacity, &mut dice).ok_or(InvalidRecipe::NoRoom)?;
        let traffic = graph::traffic(&groups, &mut dice);
        Ok(publish(&drawn, &capacity, &traffic, &mut dice))
    }

    fn check(&self) -> Result<(), InvalidRecipe> {
        let (least, most) = (self.services.saturating_mul(4), self.nodes.saturating_mul(100));
        if !(4..=100_000).contains(&self.nodes) {
            Err(InvalidRecipe::Nodes(self.nodes))
        } else if self.services < 16 {
            Err(InvalidRecipe::Services(self.services))
        } else if self.pods < least || self.pods > most {
            Err(InvalidRecipe::Pods {
                pods: self.pods,
                least,
                most,
            })
        } else {
            Ok(())
        }
    }
}

/// A number whose logarithm is normal (the sum of twelve even ones, close enough), around `median`.
fn log_normal(dice: &mut Dice, median: f64, sigma: f64) -> f64 {
    let normal: f64 = (0..12).map(|_| dice.unit()).sum::<f64>() - 6.0;
    median * (sigma * normal).exp()
}

fn shuffled(count: usize, dice: &mut Dice) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for index in (1..count).rev() {
        order.swap(index, dice.below(index + 1));
    }
    order
}

/// Names everything in an order that tells nothing of the groups. Names are padded, so that their order is that of the indices.
fn publish(drawn: &[Drawn], capacity: &[f64], traffic: &[(usize, usize, f64)], dice: &mut Dice) -> Generated {
    let (service_of, node_of) = (shuffled(drawn.len(), dice), shuffled(capacity.len(), dice));
    let service_name = |index: usize| format!("service-{:06}", at(&service_of, index));
    let mut planted = vec![BTreeMap::new(); drawn.len()];
    let mut services = Vec::new();
    let mut machines: Vec<(usize, RasaMachine)> = Vec::new();
    for (node, size) in capacity.iter().enumerate() {
        let rank = at(&node_of, node);
        let machine = RasaMachine {
            machine_ip: format!("node-{rank:06}"),
            total_cpu: *size,
            total_mem: *size,
            initial_deploying_containers: Vec::new(),
        };
        machines.push((rank, machine));
    }
    let mut container = 0;
    for (index, data) in drawn.iter().enumerate() {
        let rank = at(&service_of, index);
        let mut names = Vec::new();
        for node in &data.start {
            let name = format!("container-{container:07}");
            container += 1;
            if let Some((_, machine)) = machines.get_mut(*node) {
                machine.initial_deploying_containers.push(name.clone());
            }
            names.push(name);
        }
        for node in &data.planted {
            if let Some(row) = planted.get_mut(rank) {
                *row.entry(at(&node_of, *node)).or_insert(0u32) += 1;
            }
        }
        let service = RasaService {
            service: service_name(index),
            request_cpu: data.cpu,
            request_mem: data.memory,
            container_list: names,
            compatible_machines: Compatible::Every("*".to_owned()),
        };
        services.push((rank, service));
    }
    services.sort_by_key(|(rank, _)| *rank);
    machines.sort_by_key(|(rank, _)| *rank);
    let edge = |(a, b, weight): &(usize, usize, f64)| RasaTraffic {
        service1: service_name(*a),
        service2: service_name(*b),
        traffic: *weight,
    };
    Generated {
        cluster: RasaCluster {
            service_list: services.into_iter().map(|(_, service)| service).collect(),
            machine_list: machines.into_iter().map(|(_, machine)| machine).collect(),
            traffic_list: traffic.iter().map(edge).collect(),
        },
        planted: Layout { seats: planted },
    }
}
