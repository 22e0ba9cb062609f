//! How many pods there are in a cluster made up, what they take, and where they sit: planted, and scrambled.

use super::super::random::Dice;
use super::super::table::{at, put};
use super::{Drawn, FILL_CPU, FILL_MEMORY, GROUP, GROUP_FILL, Group, Recipe, TALKING_PODS, log_normal, shuffled};

/// Cpu of a pod, as a share of the largest node. M3: median 1.0 %, 90th percentile 2.1 %, most 6.3 %.
const CPU: (f64, f64, f64) = (0.01, 0.58, 0.063);
/// Memory likewise.
const MEMORY: (f64, f64, f64) = (0.005, 0.8, 0.05);
/// How the logarithm of the number of nodes of a group, and of the number of pods of a service, varies (M3: median 2,
/// 90th percentile 12).
const REPLICAS_SIGMA: f64 = 1.3;
/// A group spans at most so many nodes.
const WIDEST: f64 = 200.0;

fn size(dice: &mut Dice, (median, sigma, most): (f64, f64, f64)) -> f64 {
    log_normal(dice, median, sigma).min(most)
}

/// The services with traffic, in groups, and the nodes of each group.
pub(super) fn groups(recipe: &Recipe, talking: usize, capacity: &[f64], dice: &mut Dice) -> (Vec<Drawn>, Vec<Group>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut services = 0;
    while services < talking {
        let left = talking - services;
        let wanted = GROUP.0 + dice.below(GROUP.1 - GROUP.0 + 1);
        let count = if left < wanted + GROUP.0 { left } else { wanted };
        groups.push(Group {
            services: (services..services + count).collect(),
            nodes: Vec::new(),
        });
        services += count;
    }
    let widths = widths(recipe, groups.len(), dice);
    let mut next = 0;
    // Which group gets which nodes is drawn too: else large groups would sit on large nodes.
    for (index, width) in shuffled(groups.len(), dice).into_iter().zip(widths) {
        if let Some(group) = groups.get_mut(index) {
            group.nodes = (next..next + width).map(|node| node % recipe.nodes).collect();
        }
        next += width;
    }
    let seats: usize = groups.iter().map(|g| g.nodes.len() * g.services.len()).sum();
    let per_node = TALKING_PODS * recipe.pods as f64 / seats.max(1) as f64;
    let mut drawn = Vec::new();
    for group in &groups {
        let smallest = group.nodes.iter().map(|node| at(capacity, *node)).fold(1.0, f64::min);
        let mut members: Vec<(Drawn, usize)> = Vec::new();
        for _ in &group.services {
            let each = (log_normal(dice, 0.85 * per_node, 0.5).round() as usize).clamp(1, 8);
            let service = Drawn {
                cpu: size(dice, CPU),
                memory: size(dice, MEMORY),
                pods: each * group.nodes.len(),
                ..Drawn::default()
            };
            members.push((service, each));
        }
        let taken: f64 = members.iter().map(|(s, each)| s.cpu * *each as f64).sum();
        let memory: f64 = members.iter().map(|(s, each)| s.memory * *each as f64).sum();
        for (mut service, each) in members {
            service.cpu *= (GROUP_FILL * smallest / taken).min(1.0);
            service.memory *= (GROUP_FILL * smallest / memory).min(1.0);
            for node in &group.nodes {
                service.planted.extend(std::iter::repeat_n(*node, each));
            }
            drawn.push(service);
        }
    }
    (drawn, groups)
}

/// How many nodes each group spans: all together at most the nodes there are (or one for each group).
fn widths(recipe: &Recipe, groups: usize, dice: &mut Dice) -> Vec<usize> {
    let raw: Vec<f64> = (0..groups).map(|_| log_normal(dice, 1.0, REPLICAS_SIGMA)).collect();
    let scaled = |scale: f64| -> Vec<usize> {
        raw.iter()
            .map(|w| (w * scale).round().clamp(1.0, WIDEST) as usize)
            .collect()
    };
    let mut scale = 2.0 * recipe.nodes as f64 / raw.iter().sum::<f64>().max(1.0);
    let mut widths = scaled(scale);
    while widths.iter().sum::<usize>() > recipe.nodes && scale > 0.01 {
        scale *= 0.98;
        widths = scaled(scale);
    }
    widths
}

/// The services without traffic: as many as are left of the recipe's services and pods; and amounts brought to the wished fill.
pub(super) fn idle(recipe: &Recipe, drawn: &mut Vec<Drawn>, capacity: &[f64], dice: &mut Dice) {
    let count = recipe.services.saturating_sub(drawn.len()).max(1);
    let taken: usize = drawn.iter().map(|s| s.pods).sum();
    let pods = recipe.pods.saturating_sub(taken).max(count);
    let raw: Vec<f64> = (0..count).map(|_| log_normal(dice, 1.0, REPLICAS_SIGMA)).collect();
    let total: f64 = raw.iter().sum();
    let mut left = pods - count;
    let share = left as f64 / total;
    let mut extra: Vec<usize> = raw.iter().map(|r| (r * share) as usize).collect();
    left -= extra.iter().sum::<usize>().min(left);
    for slot in extra.iter_mut().take(left) {
        *slot += 1;
    }
    let talking = drawn.len();
    drawn.extend(extra.into_iter().map(|extra| Drawn {
        cpu: size(dice, CPU),
        memory: size(dice, MEMORY),
        pods: extra + 1,
        ..Drawn::default()
    }));
    let whole: f64 = capacity.iter().sum();
    let (there, idle) = drawn.split_at_mut(talking);
    let sum = |list: &[Drawn], of: fn(&Drawn) -> f64| list.iter().map(|s| of(s) * s.pods as f64).sum::<f64>();
    let room = |fill: f64, of: fn(&Drawn) -> f64, there: &[Drawn], idle: &[Drawn]| {
        (fill * whole - sum(there, of)).max(0.05 * whole) / sum(idle, of)
    };
    let cpu = room(FILL_CPU, |s| s.cpu, there, idle);
    let memory = room(FILL_MEMORY, |s| s.memory, there, idle);
    for service in idle {
        service.cpu = (service.cpu * cpu).min(2.0 * CPU.2);
        service.memory = (service.memory * memory).min(2.0 * MEMORY.2);
    }
}

/// Free cpu and memory of every node.
struct Room(Vec<(f64, f64)>);

impl Room {
    fn new(capacity: &[f64]) -> Self {
        Self(capacity.iter().map(|size| (*size, *size)).collect())
    }

    fn fits(&self, node: usize, service: &Drawn) -> bool {
        let (cpu, memory) = at(&self.0, node);
        service.cpu <= cpu - 1e-9 && service.memory <= memory - 1e-9
    }

    fn take(&mut self, node: usize, service: &Drawn) {
        let (cpu, memory) = at(&self.0, node);
        put(&mut self.0, node, (cpu - service.cpu, memory - service.memory));
    }

    /// The emptiest of some nodes drawn, or the first with room after a node drawn.
    fn find(&self, service: &Drawn, dice: &mut Dice) -> Option<usize> {
        let nodes = self.0.len();
        let drawn = (0..8)
            .map(|_| dice.below(nodes))
            .filter(|node| self.fits(*node, service));
        let emptiest = drawn.max_by(|a, b| at(&self.0, *a).0.total_cmp(&at(&self.0, *b).0));
        let start = dice.below(nodes);
        emptiest.or_else(|| (start..nodes).chain(0..start).find(|node| self.fits(*node, service)))
    }
}

/// Services in the order in which their pods are seated: the largest first, else the last would find no room.
fn by_size(drawn: &[Drawn]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..drawn.len()).collect();
    let size = |index: &usize| drawn.get(*index).map(|s| s.cpu.max(s.memory)).unwrap_or_default();
    order.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
    order
}

/// Seats the pods without traffic beside the planted groups. `None`: no room.
pub(super) fn plant(drawn: &mut [Drawn], groups: &[Group], capacity: &[f64], dice: &mut Dice) -> Option<()> {
    let talking: usize = groups.iter().map(|group| group.services.len()).sum();
    let mut room = Room::new(capacity);
    for service in drawn.iter().take(talking) {
        for node in &service.planted {
            room.take(*node, service);
        }
    }
    for index in by_size(drawn).into_iter().filter(|index| *index >= talking) {
        let service = drawn.get_mut(index)?;
        for _ in 0..service.pods {
            let node = room.find(service, dice)?;
            room.take(node, service);
            service.planted.push(node);
        }
    }
    Some(())
}

/// Seats all pods at random, spread. `None`: no room.
pub(super) fn scramble(drawn: &mut [Drawn], capacity: &[f64], dice: &mut Dice) -> Option<()> {
    let mut room = Room::new(capacity);
    for index in by_size(drawn) {
        let service = drawn.get_mut(index)?;
        for _ in 0..service.pods {
            let node = room.find(service, dice)?;
            room.take(node, service);
            service.start.push(node);
        }
    }
    Some(())
}
