//! Where calls go when the mesh sends them to the caller's own node first, and what each pod of the called then gets.
//!
//! The formula is facts/loop.md B2's "strict prefer-local": with x pods of d on a node, a caller's pod finds a local pod
//! wherever the called has one, and what finds none is spread evenly over all. Every pod of a caller sends alike.

use super::layout::Layout;
use super::problem::{Problem, WHOLE};
use super::table::{Table, at, put};

/// One end of the calls between two services.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Call {
    /// The service at the other end.
    pub(super) other: usize,
    /// What one pod of the caller sends, in gain units.
    pub(super) unit: i64,
}

/// Who calls whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// By called service: its callers.
    pub(super) into: Vec<Vec<Call>>,
    /// By caller: whom it calls.
    pub(super) out_of: Vec<Vec<Call>>,
    /// By called service: what comes in all, in gain units.
    pub(super) whole: Vec<i64>,
}

impl Calls {
    pub(super) fn of(problem: &Problem) -> Self {
        let services = problem.services();
        let mut calls = Self {
            into: vec![Vec::new(); services],
            out_of: vec![Vec::new(); services],
            whole: vec![0; services],
        };
        let total: f64 = problem.calls.values().sum();
        for ((from, to), weight) in &problem.calls {
            let pods = at(&problem.replicas, *from).max(1);
            let unit = (weight / total * WHOLE / f64::from(pods)) as i64;
            if let (Some(into), Some(out_of)) = (calls.into.get_mut(*to), calls.out_of.get_mut(*from)) {
                into.push(Call { other: *from, unit });
                out_of.push(Call { other: *to, unit });
            }
            let whole = at(&calls.whole, *to) + unit * i64::from(pods);
            put(&mut calls.whole, *to, whole);
        }
        calls
    }

    /// What the callers on each node send to each called service.
    pub(super) fn flow(&self, pods: &Table<i32>, nodes: usize) -> Table<i64> {
        let mut flow = Table::new(self.into.len(), nodes);
        for (called, callers) in self.into.iter().enumerate() {
            for call in callers {
                for (node, pods) in pods.row(call.other).iter().enumerate().filter(|(_, pods)| **pods > 0) {
                    flow.put(called, node, flow.at(called, node) + call.unit * i64::from(*pods));
                }
            }
        }
        flow
    }
}

/// What comes to one called service.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inflow {
    /// What stays on its node when the own node is tried first, in gain units.
    pub(super) near: i64,
    /// What does when every pod is called alike.
    pub(super) any: i64,
    /// The most that one pod gets when the own node is tried first, in shares (all ÷ pods).
    pub(super) worst: f64,
    /// What pods get beyond the bound, in gain units.
    pub(super) over: f64,
}

impl Inflow {
    /// Of what callers send from each node, and the pods there. `whole`: all that is sent.
    pub(super) fn of(flow: &[i64], pods: &[i32], whole: i64, most_load: f64) -> Self {
        let (mut near, mut any, mut replicas, mut densest) = (0i64, 0i64, 0i64, 0.0f64);
        for (flow, pods) in flow.iter().zip(pods).filter(|(_, pods)| **pods > 0) {
            near += flow;
            any += flow * i64::from(*pods);
            replicas += i64::from(*pods);
            densest = densest.max(*flow as f64 / f64::from(*pods));
        }
        if whole <= 0 || replicas == 0 {
            return Self::default();
        }
        let share = whole as f64 / replicas as f64;
        let rest = (whole - near) as f64 / whole as f64;
        let worst = densest / share + rest;
        let mut over = 0.0;
        if worst > most_load {
            for (flow, pods) in flow.iter().zip(pods).filter(|(_, pods)| **pods > 0) {
                let pods = f64::from(*pods);
                over += (*flow as f64 + (rest - most_load) * share * pods).max(0.0);
            }
        }
        Self {
            near,
            any: any / replicas,
            worst,
            over,
        }
    }
}

/// What a layout is worth where the mesh tries the own node first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NearFirst {
    /// The share of all calls that stay on their node, from 0 to 1.
    pub local: f64,
    /// The most that one pod of a service so routed gets, in shares (all that comes to its service ÷ its pods).
    pub worst_load: f64,
    /// The services that are called so.
    pub routed: Vec<usize>,
    /// Services for which that would give a pod more than allowed, and how much: these are called evenly, wherever the caller is.
    pub refused: Vec<(usize, f64)>,
}

impl Layout {
    /// The share of all calls that stay on their node, where those to a service go to the caller's own node first, unless
    /// that gave one pod more than `most_load` shares; then they go to all its pods alike.
    #[must_use]
    pub fn near_first(&self, problem: &Problem, most_load: f64) -> NearFirst {
        let calls = Calls::of(problem);
        let mut pods = Table::new(problem.services(), problem.nodes());
        for service in 0..problem.services() {
            for (node, count) in self.of(service) {
                pods.put(service, node, count as i32);
            }
        }
        let flow = calls.flow(&pods, problem.nodes());
        let mut found = NearFirst::default();
        let mut units = 0;
        for (called, whole) in calls.whole.iter().enumerate().filter(|(_, whole)| **whole > 0) {
            let inflow = Inflow::of(flow.row(called), pods.row(called), *whole, most_load);
            if inflow.worst <= most_load {
                found.worst_load = found.worst_load.max(inflow.worst);
                found.routed.push(called);
                units += inflow.near;
            } else {
                found.refused.push((called, inflow.worst));
                units += inflow.any;
            }
        }
        found.local = units as f64 / WHOLE;
        found
    }
}
