//! A shop whose back has been watched for a week, and what the planner would have it give back.

use super::{World, id};
use huddle_core::cluster::*;
use huddle_core::diagnose::Finding;
use huddle_core::graph::Snapshot;
use huddle_core::plan::{Plan, PlannerConfig, RefusalReason, plan_with};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::*;
use huddle_core::usage::{Counters, Figures, Habits, Moment};
use std::collections::BTreeMap;

pub const MEBI: u64 = 1 << 20;
pub const HOUR: i64 = 3_600_000;
pub const WEEK: i64 = 7 * 24 * HOUR;
pub const NOW: Timestamp = Timestamp(WEEK);

pub fn sizing(request: u64, limit: u64, memory: u64) -> Sizing {
    let compute = |cpu| Compute {
        cpu: Some(Millicores(cpu)),
        memory: Some(Bytes(memory * MEBI)),
    };
    Sizing {
        requests: Compute {
            memory: Some(Bytes(32 * MEBI)),
            ..compute(request)
        },
        limits: compute(limit),
    }
}

pub fn container(sizing: Sizing) -> Container {
    Container {
        name: "app".into(),
        native_sidecar: false,
        requests: sizing.requests,
        limits: sizing.limits,
        restarts_for_cpu: false,
        restarts_for_memory: false,
        at_start: None,
        killed: None,
        resized: None,
    }
}

/// A front that calls a back of three pods; `back` has these figures, and its template says those.
pub fn shop(has: Sizing, template: Sizing) -> (World, Snapshot) {
    let mut world = World::new(4, 2, 4_000);
    world.deploy("front", 100, &[0]);
    let back = world.deploy("back", 100, &[1, 2, 3]);
    world.calls("front", "back", 100.0);
    let snapshot = world.measure(20);
    for pod in world.cluster.pods.values_mut().filter(|pod| pod.workload == back) {
        pod.containers = vec![container(has)];
        pod.created = Timestamp(0);
    }
    world.cluster.workloads.get_mut(&back).unwrap().template = BTreeMap::from([("app".into(), template)]);
    (world, snapshot)
}

pub fn policy(world: &mut World) -> &mut NamespacePolicy {
    world.cluster.policies.get_mut(&"shop".into()).unwrap()
}

pub fn figures(cpu: u64, memory: u64, throttled: u64, kills: u64) -> Figures {
    Figures {
        seen: Span::seconds(10),
        counted: Counters {
            cpu_us: Some(cpu * 10_000),
            periods: Some(100),
            throttled_periods: Some(throttled),
            kills: Some(kills),
            ..Counters::default()
        },
        memory_peak: Bytes(memory * MEBI),
        restarts: 0,
    }
}

/// A moment every ten minutes of the week, under the figures that the pods have.
pub fn absorb(
    habits: &mut Habits,
    world: &World,
    name: &str,
    hours: std::ops::Range<i64>,
    of: impl Fn(i64) -> Figures,
) {
    let limits = world.cluster.pods_of(&id(name)).next().unwrap().containers[0].limits;
    let step = HOUR / 6;
    for at in (hours.start * 6..hours.end * 6).map(|n| n * step) {
        habits.absorb(Moment {
            workload: &id(name),
            container: &"app".into(),
            at: Timestamp(at),
            length: Span(u64::try_from(step).unwrap()),
            figures: &Figures {
                seen: Span(u64::try_from(step).unwrap()),
                ..of(at)
            },
            limits,
            window: world.cluster.policy(&"shop".into()).give_back_after,
        });
    }
}

pub fn watched(world: &World, hours: std::ops::Range<i64>, of: impl Fn(i64) -> Figures) -> Habits {
    let mut habits = Habits::default();
    absorb(&mut habits, world, "back", hours, of);
    habits
}

/// 60m all the time, 100m in the afternoon, never stopped.
pub fn usual(at: i64) -> Figures {
    let afternoon = (at / HOUR) % 24 == 15;
    let cpu = if afternoon { 100 } else { 60 };
    let mut figures = figures(cpu, 40, 0, 0);
    figures.counted.cpu_us = Some(cpu * 600_000);
    figures.counted.periods = Some(6_000);
    figures
}

pub fn week(world: &World) -> Habits {
    watched(world, 0..7 * 24, usual)
}

pub fn decide(world: &World, snapshot: &Snapshot, habits: &Habits, findings: &[Finding]) -> Plan {
    let config = PlannerConfig::default();
    plan_with(snapshot, findings, habits, &world.cluster, &config, NOW)
}

pub fn kept(plan: &Plan) -> Vec<&'static str> {
    let why = |refusal: &huddle_core::plan::Refusal| {
        if let RefusalReason::Kept { why } = &refusal.reason {
            why.label()
        } else {
            refusal.reason.label()
        }
    };
    plan.refusals.iter().map(why).collect()
}
