//! What is to be assigned: services with equal replicas, nodes, and the traffic between services. Checked once, here.

use std::collections::BTreeMap;

use thiserror::Error;

/// How many kinds of resource one [`Amount`] holds; what a cluster does not use stays 0.
pub const RESOURCES: usize = 4;

/// All weights of a problem sum to this many units of gain: sums of whole numbers neither drift nor depend on their order.
pub(super) const WHOLE: f64 = 1e12;

/// Amounts of each resource, in units of the caller's choice (millicores, bytes, pods): requests of a pod, or a node's room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub [i64; RESOURCES]);

impl Amount {
    /// The sum, resource by resource.
    #[must_use]
    #[inline]
    pub fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| cell(self, i) + cell(other, i)))
    }

    /// The difference, resource by resource; may be negative.
    #[must_use]
    #[inline]
    pub fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| cell(self, i) - cell(other, i)))
    }

    /// So many times this amount.
    #[must_use]
    #[inline]
    pub fn times(self, count: i64) -> Self {
        Self(self.0.map(|v| v * count))
    }

    /// Whether no resource exceeds `room`.
    #[must_use]
    #[inline]
    pub fn fits(self, room: Self) -> bool {
        self.0.iter().zip(room.0).all(|(need, room)| *need <= room)
    }

    /// How many whole times this amount goes into `room`.
    pub(super) fn goes_into(self, room: Self) -> i64 {
        let each = self.0.iter().zip(room.0).filter(|(need, _)| **need > 0);
        each.map(|(need, room)| room.max(0) / need).min().unwrap_or(i64::MAX)
    }

    /// The largest share that any resource takes of `whole`.
    pub(super) fn share_of(self, whole: Self) -> f64 {
        let shares = self.0.iter().zip(whole.0).filter(|(_, whole)| *whole > 0);
        shares
            .map(|(part, whole)| *part as f64 / whole as f64)
            .fold(0.0, f64::max)
    }
}

#[inline]
fn cell(amount: Amount, index: usize) -> i64 {
    amount.0.get(index).copied().unwrap_or_default()
}

/// Equal pods, and where they are today.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// What one pod takes.
    pub demand: Amount,
    /// Pods per node index, today. Their sum is the service's number of replicas, which the search keeps.
    pub home: BTreeMap<usize, u32>,
    /// The nodes that may take its pods; `None`: every node.
    pub allowed: Option<Vec<usize>>,
    /// At most this many of its pods on one node; `None`: as many as fit.
    pub most_per_node: Option<u32>,
}

/// Requests between two services, as the share of each one's pods that sit beside the other makes them local. Who calls whom
/// matters to [`Layout::near_first`](super::Layout::near_first) only.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// The index of one service, which calls.
    pub from: usize,
    /// The index of the other, which is called.
    pub to: usize,
    /// How much it weighs, in any unit; must be finite and not negative.
    pub weight: f64,
}

/// Services of which one node may hold only so many pods together (anti-affinity).
#[derive(Clone, Debug)]
pub struct Apart {
    /// Indices of the services.
    pub services: Vec<usize>,
    /// Pods of all of them together on one node.
    pub most_per_node: u32,
}

/// What makes an assignment problem impossible to state.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum InvalidProblem {
    /// A list names a service that does not exist.
    #[error("services: there is no service with index {0}")]
    UnknownService(usize),
    /// A list names a node that does not exist.
    #[error("nodes: there is no node with index {0}")]
    UnknownNode(usize),
    /// A weight is negative, infinite or not a number.
    #[error("traffic: the weight between services {0} and {1} is not a finite number of at least 0")]
    Weight(usize, usize),
    /// A request or a capacity is negative, or too large to be summed.
    #[error("amounts: service or node {0} has an amount below 0 or above 10^15")]
    Amount(usize),
}

/// One neighbour of a service in the traffic graph.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tie {
    /// The neighbour.
    pub(super) other: usize,
    /// Gain units that one more pod of this service is worth, while the neighbour has the larger share.
    pub(super) own: i64,
    /// The same for one pod of the neighbour.
    pub(super) theirs: i64,
}

/// A checked problem. Equal pairs of services are merged, traffic of a service with itself is left out.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(super) services: Vec<Service>,
    pub(super) nodes: Vec<Amount>,
    pub(super) ties: Vec<Vec<Tie>>,
    pub(super) replicas: Vec<u32>,
    /// The weight of the calls from one service to another.
    pub(super) calls: BTreeMap<(usize, usize), f64>,
    /// Per service: the caps it shares, as (index of the cap).
    pub(super) caps_of: Vec<Vec<usize>>,
    pub(super) caps: Vec<u32>,
    /// Per service: which nodes may take it; empty where all may.
    pub(super) allowed: Vec<Vec<bool>>,
}

impl Problem {
    /// Checks that every index exists and every number is usable.
    ///
    /// # Errors
    /// The first thing that is wrong, by index.
    pub fn new(
        services: Vec<Service>,
        nodes: Vec<Amount>,
        traffic: &[Traffic],
        apart: &[Apart],
    ) -> Result<Self, InvalidProblem> {
        check_amounts(services.iter().map(|s| s.demand).chain(nodes.iter().copied()))?;
        let replicas: Vec<u32> = services.iter().map(|s| s.home.values().sum()).collect();
        let named = services
            .iter()
            .flat_map(|s| s.home.keys().chain(s.allowed.iter().flatten()));
        if let Some(node) = named.copied().find(|node| *node >= nodes.len()) {
            return Err(InvalidProblem::UnknownNode(node));
        }
        let allowed = services
            .iter()
            .map(|s| mask(s.allowed.as_deref(), nodes.len()))
            .collect();
        let (caps_of, caps) = caps(&services, apart)?;
        let pairs = weights(traffic, &replicas, |from, to| (from.min(to), from.max(to)))?;
        let calls = weights(traffic, &replicas, |from, to| (from, to))?;
        let total_weight = pairs.values().sum();
        Ok(Self {
            ties: ties(&pairs, &replicas, total_weight),
            calls,
            services,
            nodes,
            replicas,
            caps_of,
            caps,
            allowed,
        })
    }

    /// The number of services.
    #[must_use]
    pub fn services(&self) -> usize {
        self.services.len()
    }

    /// The number of nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The number of pods of all services.
    #[must_use]
    pub fn pods(&self) -> u64 {
        self.replicas.iter().map(|r| u64::from(*r)).sum()
    }

    #[inline]
    pub(super) fn may_run(&self, service: usize, node: usize) -> bool {
        self.allowed
            .get(service)
            .is_none_or(|mask| mask.is_empty() || mask.get(node).copied().unwrap_or_default())
    }

    pub(super) fn demand(&self, service: usize) -> Amount {
        self.services.get(service).map(|s| s.demand).unwrap_or_default()
    }

    #[inline]
    pub(super) fn ties_of(&self, service: usize) -> &[Tie] {
        self.ties.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn caps_of(&self, service: usize) -> &[usize] {
        self.caps_of.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// Gain units one pod of a service is worth at most.
    pub(super) fn pod_worth(&self, service: usize) -> i64 {
        self.ties_of(service).iter().map(|tie| tie.own).sum()
    }
}

fn check_amounts(amounts: impl Iterator<Item = Amount>) -> Result<(), InvalidProblem> {
    const MOST: i64 = 1_000_000_000_000_000;
    for (index, amount) in amounts.enumerate() {
        if amount.0.iter().any(|v| !(0..=MOST).contains(v)) {
            return Err(InvalidProblem::Amount(index));
        }
    }
    Ok(())
}

fn mask(allowed: Option<&[usize]>, nodes: usize) -> Vec<bool> {
    let Some(allowed) = allowed else {
        return Vec::new();
    };
    let mut mask = vec![false; nodes];
    for node in allowed {
        super::table::put(&mut mask, *node, true);
    }
    mask
}

/// Every cap of the problem, those of single services included, and which services each binds.
fn caps(services: &[Service], apart: &[Apart]) -> Result<(Vec<Vec<usize>>, Vec<u32>), InvalidProblem> {
    let mut of = vec![Vec::new(); services.len()];
    let mut caps = Vec::new();
    for (list, service) in of.iter_mut().zip(services) {
        if let Some(most) = service.most_per_node {
            list.push(caps.len());
            caps.push(most);
        }
    }
    for group in apart {
        for service in &group.services {
            let list: &mut Vec<usize> = of.get_mut(*service).ok_or(InvalidProblem::UnknownService(*service))?;
            if list.last() != Some(&caps.len()) {
                list.push(caps.len());
            }
        }
        caps.push(group.most_per_node);
    }
    Ok((of, caps))
}

/// The weights of all traffic that one key stands for. Traffic of a service with itself or with one without pods is left out.
fn weights(
    traffic: &[Traffic],
    replicas: &[u32],
    key: fn(usize, usize) -> (usize, usize),
) -> Result<BTreeMap<(usize, usize), f64>, InvalidProblem> {
    let mut weights: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for edge in traffic {
        for end in [edge.from, edge.to] {
            if end >= replicas.len() {
                return Err(InvalidProblem::UnknownService(end));
            }
        }
        if !edge.weight.is_finite() || edge.weight < 0.0 {
            return Err(InvalidProblem::Weight(edge.from, edge.to));
        }
        let runs = |service| super::table::at(replicas, service) > 0;
        if edge.from != edge.to && edge.weight > 0.0 && runs(edge.from) && runs(edge.to) {
            weights.entry(key(edge.from, edge.to)).or_default().push(edge.weight);
        }
    }
    // Sorted before they are summed: the order of the input must not show in the last digit.
    Ok(weights
        .into_iter()
        .map(|(pair, mut list)| {
            (pair, {
                list.sort_by(f64::total_cmp);
                list.iter().sum()
            })
        })
        .collect())
}

fn ties(pairs: &BTreeMap<(usize, usize), f64>, replicas: &[u32], total: f64) -> Vec<Vec<Tie>> {
    let mut ties = vec![Vec::new(); replicas.len()];
    for ((a, b), weight) in pairs {
        let unit = |service| (weight / total * WHOLE / f64::from(super::table::at(replicas, service)).max(1.0)) as i64;
        for (this, other) in [(*a, *b), (*b, *a)] {
            if let Some(list) = ties.get_mut(this) {
                list.push(Tie {
                    other,
                    own: unit(this),
                    theirs: unit(other),
                });
            }
        }
    }
    ties
}
