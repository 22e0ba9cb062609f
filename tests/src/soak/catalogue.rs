//! The twenty faults: what is done, and what is right to say of each edge while it lasts.

use crate::shop::Fault;
use serde::Serialize;

/// Which half of the shop; each has two nodes of one zone to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Half {
    A,
    B,
}

impl Half {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) fn nodes(self) -> [&'static str; 2] {
        match self {
            Self::A => ["node-1", "node-3"],
            Self::B => ["node-2", "node-4"],
        }
    }
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
    /// The name of one of its services.
    pub(super) fn service(self, role: Role) -> String {
        let half = match self {
            Self::A => "a",
            Self::B => "b",
        };
        format!("{half}-{}", role.label())
    }
}

/// A service of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Front,
    Work,
    Wait,
    Store,
}

impl Role {
    /// Those that have a limit and work to do.
    pub(super) const WORKING: [Self; 3] = [Self::Work, Self::Wait, Self::Store];
    pub(super) const ALL: [Self; 4] = [Self::Front, Self::Work, Self::Wait, Self::Store];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Work => "work",
            Self::Wait => "wait",
            Self::Store => "store",
        }
    }
}

/// The shop's own container.
pub(super) const APPLICATION: &str = "shop";
/// Istio's.
pub(super) const SIDECAR: &str = "istio-proxy";
/// How the sentence of pressure names them.
const OF_APPLICATION: &str = "container shop ";
const OF_SIDECAR: &str = "container istio-proxy ";
const OF_KILLED: &str = "container shop had a process killed for want of memory";
/// More than the limit that the shop's file sets, in MiB.
pub(super) const TOO_MUCH: usize = 512;

/// One thing done to a half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Deed {
    /// A cpu limit of 1.2 × the mean use, in place.
    Throttle(Role, &'static str),
    /// The half's two nodes further apart: so much more each way, in ms.
    Wire(u32),
    /// The pods on the other half's nodes, in the other zone, so much away each way, in ms.
    Elsewhere(Role, u32),
    /// Told to the pods: to wait, or to compute.
    Told(Role, Fault),
    /// One pod holds more memory than its limit, and is killed for it.
    Killed(Role),
}

/// What is right to say of an edge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right {
    pub(super) from: Role,
    pub(super) to: Role,
    /// Any of these causes.
    pub(super) causes: &'static [&'static str],
    /// The sentence holds this.
    pub(super) says: &'static str,
}

/// A fault, or a pair of them, or none.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) half: Half,
    pub(super) deeds: Vec<Deed>,
    /// Edges of which something else is right to say than that nothing is wrong.
    pub(super) right: Vec<Right>,
}

/// Nothing that this soak could have done: where a call is short, that its proxies are most of it is no fault.
pub(super) const CLEAN: &[&str] = &["notDistance", "chatter"];
const PRESSURE: &[&str] = &["pressure"];
const DISTANCE: &[&str] = &["distance"];
const DOWNSTREAM: &[&str] = &["downstream"];
/// The way is longer, and a small part of what the callee takes: either is true.
const FAR_OR_NOT: &[&str] = &["distance", "notDistance", "chatter"];
/// The callee waits longer, and works about as long itself: either is true.
const WAITS_OR_NOT: &[&str] = &["downstream", "notDistance", "chatter"];

fn right(from: Role, to: Role, causes: &'static [&'static str], says: &'static str) -> Right {
    Right { from, to, causes, says }
}

fn work(says: &'static str, causes: &'static [&'static str]) -> Right {
    right(Role::Front, Role::Work, causes, says)
}
fn wait(says: &'static str, causes: &'static [&'static str]) -> Right {
    right(Role::Front, Role::Wait, causes, says)
}
fn store(says: &'static str, causes: &'static [&'static str]) -> Right {
    right(Role::Wait, Role::Store, causes, says)
}

/// 40 ms of waiting in every request.
fn slow() -> Fault {
    Fault {
        delay_us: 40_000,
        ..busy(0)
    }
}

/// So much more processor time in every request, in ms, beside what all of them have to do.
fn busy(ms: u64) -> Fault {
    Fault {
        work_us: WORK_US + ms * 1_000,
        ..Fault::default()
    }
}

/// Processor time that each request costs the working services, in µs: it is what a limit can stop.
pub(super) const WORK_US: u64 = 3_000;
/// Further away by so much each way, in ms.
const FAR: u32 = 3;

fn throttled_work() -> Deed {
    Deed::Throttle(Role::Work, APPLICATION)
}

/// In the order in which they are made: from one half to the other, those that change how long a healthy callee takes last, since
/// Huddle compares with the eight minutes before.
pub(super) fn cases() -> Vec<Case> {
    let mut all = one_at_a_time();
    all.extend(pairs_and_slow_ones());
    all
}

fn case(name: &'static str, half: Half, deeds: &[Deed], right: &[Right]) -> Case {
    Case {
        name,
        half,
        deeds: deeds.to_vec(),
        right: right.to_vec(),
    }
}

fn pressed(says: &'static str) -> Right {
    work(says, PRESSURE)
}

fn far() -> [Right; 3] {
    [work("", DISTANCE), wait("", FAR_OR_NOT), store("", DISTANCE)]
}

fn one_at_a_time() -> Vec<Case> {
    let far = far();
    vec![
        case("control-a: nothing", Half::A, &[], &[]),
        case("control-b: nothing", Half::B, &[], &[]),
        case(
            "throttle-a: callee throttled",
            Half::A,
            &[throttled_work()],
            &[pressed(OF_APPLICATION)],
        ),
        case(
            "throttle-b: callee throttled",
            Half::B,
            &[throttled_work()],
            &[pressed(OF_APPLICATION)],
        ),
        case("wire-a: callee far by the wire", Half::A, &[Deed::Wire(FAR)], &far),
        case(
            "sidecar-b: callee's sidecar throttled",
            Half::B,
            &[Deed::Throttle(Role::Work, SIDECAR)],
            &[pressed(OF_SIDECAR)],
        ),
        case(
            "middle-a: callee throttled that calls others",
            Half::A,
            &[Deed::Throttle(Role::Wait, APPLICATION)],
            &[wait(OF_APPLICATION, PRESSURE)],
        ),
        case(
            "memory-b: callee killed for want of memory",
            Half::B,
            &[Deed::Killed(Role::Work)],
            &[pressed(OF_KILLED)],
        ),
        case(
            "sidecar-a: sidecar at the end throttled",
            Half::A,
            &[Deed::Throttle(Role::Store, SIDECAR)],
            &[store(OF_SIDECAR, PRESSURE), wait("", WAITS_OR_NOT)],
        ),
        case(
            "end-b: callee at the end throttled",
            Half::B,
            &[Deed::Throttle(Role::Store, APPLICATION)],
            &[store(OF_APPLICATION, PRESSURE), wait("", WAITS_OR_NOT)],
        ),
    ]
}

fn pairs_and_slow_ones() -> Vec<Case> {
    let (far, downstream) = (far(), wait("-store", DOWNSTREAM));
    vec![
        case(
            "pair-a: far, and the callee throttled",
            Half::A,
            &[Deed::Wire(FAR), throttled_work()],
            &[pressed(OF_APPLICATION), far[1], far[2]],
        ),
        case(
            "pair-b: callee throttled, and another one's sidecar",
            Half::B,
            &[throttled_work(), Deed::Throttle(Role::Store, SIDECAR)],
            &[
                pressed(OF_APPLICATION),
                store(OF_SIDECAR, PRESSURE),
                wait("", WAITS_OR_NOT),
            ],
        ),
        case(
            "placed-a: callee far by its place",
            Half::A,
            &[Deed::Elsewhere(Role::Work, FAR)],
            &[work("", DISTANCE)],
        ),
        case(
            "pair-b: far, and the callee's sidecar throttled",
            Half::B,
            &[Deed::Wire(FAR), Deed::Throttle(Role::Work, SIDECAR)],
            &[pressed(OF_SIDECAR), far[1], far[2]],
        ),
        case(
            "downstream-a: callee waits for a slow one",
            Half::A,
            &[Deed::Told(Role::Store, slow())],
            &[downstream],
        ),
        case(
            "downstream-b: callee waits for a busy one",
            Half::B,
            &[Deed::Told(Role::Store, busy(25))],
            &[downstream],
        ),
        case(
            "pair-a: callee throttled, and another waits for a slow one",
            Half::A,
            &[throttled_work(), Deed::Told(Role::Store, slow())],
            &[pressed(OF_APPLICATION), downstream],
        ),
        case(
            "pair-b: far, and one waits for a slow one",
            Half::B,
            &[Deed::Wire(FAR), Deed::Told(Role::Store, slow())],
            &[far[0], downstream, store("", FAR_OR_NOT)],
        ),
        case(
            "slow-a: callee slow by itself",
            Half::A,
            &[Deed::Told(Role::Work, slow())],
            &[],
        ),
        case(
            "slow-b: callee busy by itself",
            Half::B,
            &[Deed::Told(Role::Work, busy(10))],
            &[],
        ),
    ]
}

impl Case {
    /// What is right to say of each edge of the half.
    pub(super) fn edges(&self) -> [Right; 3] {
        let of = |from, to| {
            let own = self.right.iter().find(|right| (right.from, right.to) == (from, to));
            own.copied().unwrap_or_else(|| right(from, to, CLEAN, ""))
        };
        [
            of(Role::Front, Role::Work),
            of(Role::Front, Role::Wait),
            of(Role::Wait, Role::Store),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::{Graph, ServiceName};
    use std::collections::BTreeSet;

    #[test]
    fn there_are_twenty_with_names_of_their_own_half_by_half() {
        let cases = cases();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!((cases.len(), names.len()), (20, 20));
        assert!(cases.windows(2).all(|two| two[0].half != two[1].half));
        let pairs = cases.iter().filter(|case| case.deeds.len() == 2).count();
        assert_eq!(pairs, 5);
    }

    #[test]
    fn the_shop_has_these_services_and_edges() {
        let graph = Graph::parse(include_str!("../../shop/faults.yaml")).expect("a graph");
        let edges = graph.rates();
        for half in Half::BOTH {
            for right in cases()[0].edges() {
                let names = [right.from, right.to].map(|role| half.service(role));
                let there = |edge: &crate::shop::Edge| {
                    edge.source.as_str() == names[0] && edge.destination.as_str() == names[1]
                };
                assert!(edges.keys().any(there), "{names:?}");
            }
            for role in Role::WORKING {
                let name = ServiceName::new(&half.service(role)).expect("a name");
                let cpu = graph.service(&name).and_then(|service| service.limits.cpu);
                assert_eq!(cpu.map(|cpu| cpu.get()), Some(super::super::sizes::LOOSE));
            }
        }
    }
}
