//! Weeks of one workload's usage, made up by a seed, with the real decisions in the loop: what is watched (`Habits`), the planner, when Auto
//! goes ahead, the first sign that something is missed, and what a starved container gets again. Beside it the same weeks untouched.
//!
//! The container is a model, stated here and nowhere measured. Its demand of a scheduling period (100 ms) is exponential above its mean:
//! a period is throttled with the probability exp(−6 · (limit ÷ mean − 1)), 0.25 % where the limit is twice the mean, and always where
//! it is below. Limits are 3 to 8 times the height of an ordinary day, requests anywhere between that height and the limit, of memory between what
//! is used and the limit: chosen, since no figures of requested and used are at hand; there is something to give back. What is undone takes 40 s: two readings and the kubelet.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by a test and a benchmark, each of which uses a part of it"
)]

use crate::world::giving::container;
use crate::world::{Dice, World, id};
use huddle_core::act::{AloneConfig, Past, Phase, may_go_alone};
use huddle_core::cluster::*;
use huddle_core::diagnose::{Cause, Finding, Lack};
use huddle_core::graph::Snapshot;
use huddle_core::id::*;
use huddle_core::plan::{Action, Plan, PlanKind, PlannerConfig, plan_with};
use huddle_core::time::{Slots, Span, Timestamp};
use huddle_core::units::{Bytes, Micros, Millicores, Ratio};
use huddle_core::usage::{ContainerUse, Counters, Figures, Habits, Moment, Usage};
use huddle_core::verify::sign;
use std::collections::{BTreeMap, BTreeSet};

const SLOT: Span = Span::seconds(20);
const PER_HOUR: i64 = 180;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
pub const WEEKS: i64 = 5;
/// From a sign to figures given again, in slots.
const LATE: i64 = 2;
/// From starved to relieved, in slots: a proposal stands for two minutes, then it is measured before.
const RELIEF: i64 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rhythm,
    Bursts,
    Growth,
    Leak,
}

pub const KINDS: [Kind; 4] = [Kind::Rhythm, Kind::Bursts, Kind::Growth, Kind::Leak];

/// What a container was asked for, moment by moment.
struct Demand {
    kind: Kind,
    dice: Dice,
    base: f64,
    weekend: f64,
    growth: f64,
    burst: Option<(i64, f64)>,
    memory: f64,
    leak: f64,
    leaked_since: i64,
    restart: i64,
}

impl Demand {
    fn new(kind: Kind, seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(977) + kind as u64);
        let base = 50.0 + 250.0 * dice.unit();
        let memory = f64::from(64 << 20) * (1.0 + 7.0 * dice.unit());
        Self {
            kind,
            base,
            weekend: 0.4 + 0.6 * dice.unit(),
            growth: if kind == Kind::Growth {
                0.05 + 0.10 * dice.unit()
            } else {
                0.0
            },
            burst: None,
            memory,
            leak: if kind == Kind::Leak {
                0.03 + 0.12 * dice.unit()
            } else {
                0.0
            },
            leaked_since: 0,
            restart: DAY * dice.within(3, 10),
            dice,
        }
    }
    /// The height of an ordinary day.
    fn height(&self) -> f64 {
        self.base * 1.6
    }
    fn cpu(&mut self, at: i64) -> f64 {
        let days = at as f64 / DAY as f64;
        let rhythm = 1.0 + 0.6 * (std::f64::consts::TAU * (days - 0.25)).sin();
        let weekend = if days as i64 % 7 >= 5 { self.weekend } else { 1.0 };
        let grown = (1.0 + self.growth).powf(days / 7.0);
        if self.kind == Kind::Bursts {
            // Two a day.
            if self.burst.is_none() && self.dice.unit() < 2.0 / (24 * PER_HOUR) as f64 {
                let length = self.dice.within(3, 30) * i64::try_from(SLOT.0).unwrap();
                self.burst = Some((at + length, 1.3 + 0.9 * self.dice.unit()));
            }
            if self.burst.is_some_and(|(until, _)| at >= until) {
                self.burst = None;
            }
        }
        let burst = self.burst.map_or(1.0, |(_, times)| times);
        let mean = self.base * rhythm * weekend * grown * burst;
        self.dice.around(mean, 0.08)
    }
    /// Memory wanted; `reborn`: the container was just restarted by its being killed.
    fn memory(&mut self, at: i64) -> f64 {
        if at - self.leaked_since >= self.restart {
            (self.leaked_since, self.restart) = (at, DAY * self.dice.within(3, 10));
        }
        let days = (at - self.leaked_since) as f64 / DAY as f64;
        self.memory * (1.0 + self.leak * days) * (1.0 + 0.05 * self.dice.unit())
    }
    /// The highest that it leaks to.
    fn leaks_to(&self) -> f64 {
        self.memory * (1.0 + self.leak * 10.0) * 1.05
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Limit − use of the last week, in core days.
    pub cpu_slack: f64,
    /// The same of memory, in GiB days.
    pub memory_slack: f64,
    /// Request − use of the last week, in core days; 0 while use is above it.
    pub cpu_reserved: f64,
    /// The same of memory, in GiB days.
    pub memory_reserved: f64,
    /// Slots of the last week, those in which more cpu was used than requested, and those in which more memory was.
    pub slots: u64,
    pub cpu_above: u64,
    pub memory_above: u64,
    pub periods: u64,
    pub throttled: u64,
    pub kills: u64,
    /// Given back, and undone at a sign.
    pub steps: u64,
    pub undone: u64,
    pub relieved: u64,
    /// From a sign to what was before, the longest, in seconds.
    pub back_after: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.cpu_slack += other.cpu_slack;
        self.memory_slack += other.memory_slack;
        self.cpu_reserved += other.cpu_reserved;
        self.memory_reserved += other.memory_reserved;
        self.slots += other.slots;
        self.cpu_above += other.cpu_above;
        self.memory_above += other.memory_above;
        self.periods += other.periods;
        self.throttled += other.throttled;
        self.kills += other.kills;
        self.steps += other.steps;
        self.undone += other.undone;
        self.relieved += other.relieved;
        self.back_after = self.back_after.max(other.back_after);
    }
    fn take(&mut self, at: i64, figures: &Figures, cpu: f64, memory: u64, sizing: Sizing) {
        let Sizing { requests, limits } = sizing;
        self.periods += figures.counted.periods.unwrap();
        self.throttled += figures.counted.throttled_periods.unwrap();
        self.kills += figures.counted.kills.unwrap();
        if at >= (WEEKS - 1) * 7 * DAY {
            let days = SLOT.as_secs_f64() / 86_400.0;
            let limit = limits.cpu.unwrap().0 as f64;
            self.cpu_slack += (limit - cpu.min(limit)) / 1000.0 * days;
            let limit = limits.memory.unwrap().0;
            self.memory_slack += limit.saturating_sub(memory) as f64 / f64::from(1 << 30) * days;
            let (request, used) = (requests.cpu.unwrap().0 as f64, cpu.min(limits.cpu.unwrap().0 as f64));
            self.cpu_reserved += (request - used).max(0.0) / 1000.0 * days;
            self.cpu_above += u64::from(used > request);
            let request = requests.memory.unwrap().0;
            self.memory_reserved += request.saturating_sub(memory) as f64 / f64::from(1 << 30) * days;
            self.memory_above += u64::from(memory > request);
            self.slots += 1;
        }
    }
}

/// Throttled periods of a slot.
fn stopped(cpu: f64, limit: f64, luck: f64) -> u64 {
    let share = (-6.0 * (limit / cpu.max(1.0) - 1.0)).exp().min(1.0);
    let periods = SLOT.0 / 100;
    ((share * periods as f64 + luck).floor() as u64).min(periods)
}

/// What the kernel counts of a container that wants so much under these limits.
fn counted(cpu: f64, memory: f64, limits: Compute, luck: f64) -> Figures {
    let limit = limits.cpu.unwrap().0 as f64;
    let periods = SLOT.0 / 100;
    Figures {
        seen: SLOT,
        counted: Counters {
            cpu_us: Some((cpu.min(limit) * SLOT.0 as f64) as u64),
            periods: Some(periods),
            throttled_periods: Some(stopped(cpu, limit, luck)),
            kills: Some(u64::from(memory > limits.memory.unwrap().0 as f64)),
            ..Counters::default()
        },
        memory_peak: Bytes((memory as u64).min(limits.memory.unwrap().0)),
        restarts: 0,
    }
}

/// One life, with giving back and without; `floor`: cpu limits go below the template, too, down to that.
pub fn replay(kind: Kind, seed: u64, floor: Option<u64>) -> (Outcome, Outcome) {
    let mut life = Life::new(kind, seed, floor);
    let mut without = Outcome::default();
    let slots = WEEKS * 7 * 24 * PER_HOUR;
    let first = life.sizing();
    for n in 0..slots {
        let at = n * i64::try_from(SLOT.0).unwrap();
        let (cpu, memory) = (life.demand.cpu(at), life.demand.memory(at));
        let luck = life.demand.dice.unit();
        let plain = counted(cpu, memory, first.limits, luck);
        without.take(at, &plain, cpu, memory as u64, first);
        life.pass(n, at, cpu, memory, luck);
    }
    (without, life.outcome)
}

/// By what factor `hindsight` lowers from one limit to the next.
const FINER: f64 = 0.97;

/// What one who knows all five weeks could do with one limit from the second week on: slack of the last week in core days and throttled
/// periods of all weeks, the limit of the template first, each further one 3 % lower.
pub fn hindsight(kind: Kind, seed: u64) -> Vec<(f64, u64)> {
    let mut life = Life::new(kind, seed, None);
    let first = life.limits().cpu.unwrap().0 as f64;
    let slots = (0..WEEKS * 7 * 24 * PER_HOUR).map(|n| {
        let at = n * i64::try_from(SLOT.0).unwrap();
        let (cpu, _) = (life.demand.cpu(at), life.demand.memory(at));
        (cpu, life.demand.dice.unit())
    });
    let slots: Vec<(f64, f64)> = slots.collect();
    let week = slots.len() / WEEKS as usize;
    let throttled =
        |slots: &[(f64, f64)], limit: f64| -> u64 { slots.iter().map(|(cpu, luck)| stopped(*cpu, limit, *luck)).sum() };
    let before = throttled(&slots[..week], first);
    let lower = std::iter::successors(Some(first), |limit| {
        (*limit > life.demand.height()).then_some(limit * FINER)
    });
    let of = |limit: f64| {
        let last = &slots[slots.len() - week..];
        let slack: f64 = last.iter().map(|(cpu, _)| limit - cpu.min(limit)).sum();
        let days = SLOT.as_secs_f64() / 86_400.0;
        (slack / 1000.0 * days, before + throttled(&slots[week..], limit))
    };
    lower.map(of).collect()
}

struct Life {
    demand: Demand,
    world: World,
    snapshot: Snapshot,
    edge: EdgeId,
    back: WorkloadId,
    habits: Habits,
    usage: Usage,
    past: Vec<Past>,
    /// Plans that give back and stand, with since when.
    standing: Vec<(Plan, Timestamp)>,
    since: Timestamp,
    /// When the newest of them is undone.
    due: Option<i64>,
    relief: Option<i64>,
    outcome: Outcome,
}

impl Life {
    fn new(kind: Kind, seed: u64, floor: Option<u64>) -> Self {
        let mut demand = Demand::new(kind, seed);
        let mut world = World::new(2, 2, 64_000);
        world.deploy("front", 100, &[0]);
        let back = world.deploy("back", 100, &[1]);
        world.calls("front", "back", 20.0);
        let snapshot = world.measure(30);
        let memory = demand.leaks_to().max(demand.memory) * (1.5 + 2.0 * demand.dice.unit());
        let cpu = demand.height() * (3.0 + 5.0 * demand.dice.unit());
        // Dice of their own: demand and limits are those of before there were requests.
        let mut dice = Dice(seed.wrapping_mul(7_919) + kind as u64);
        let mut between = |low: f64, high: f64| (low + (high - low) * dice.unit()) as u64;
        let sizing = Sizing {
            requests: Compute {
                cpu: Some(Millicores(between(demand.height(), cpu))),
                memory: Some(Bytes(between(demand.memory, memory))),
            },
            limits: Compute {
                cpu: Some(Millicores(cpu as u64)),
                memory: Some(Bytes(memory as u64)),
            },
        };
        for pod in world.cluster.pods.values_mut().filter(|pod| pod.workload == back) {
            pod.containers = vec![container(sizing)];
        }
        world.cluster.workloads.get_mut(&back).unwrap().template = BTreeMap::from([("app".into(), sizing)]);
        let policy = world.cluster.policies.get_mut(&"shop".into()).unwrap();
        policy.automation = Automation::Auto;
        policy.give_back = floor.map_or(GiveBack::BelowTemplate, |_| GiveBack::LimitsToo);
        policy.give_back_memory = true;
        policy.give_back_floor = floor.unwrap_or(policy.give_back_floor);
        policy.max_cpu = sizing.limits.cpu.unwrap();
        Self {
            demand,
            world,
            snapshot,
            edge: EdgeId {
                source: id("front"),
                destination: back.clone(),
            },
            back,
            habits: Habits::default(),
            usage: Usage {
                slots: Slots::of_length(SLOT),
                pods: BTreeMap::new(),
            },
            past: Vec::new(),
            standing: Vec::new(),
            since: Timestamp(0),
            due: None,
            relief: None,
            outcome: Outcome::default(),
        }
    }

    fn pod(&self) -> &Pod {
        self.world.cluster.pods_of(&self.back).next().unwrap()
    }
    fn limits(&self) -> Compute {
        self.sizing().limits
    }
    fn sizing(&self) -> Sizing {
        self.pod().containers[0].sizing()
    }

    fn pass(&mut self, n: i64, at: i64, cpu: f64, memory: f64, luck: f64) {
        let limits = self.limits();
        let figures = counted(cpu, memory, limits, luck);
        let sizing = self.sizing();
        self.outcome.take(at, &figures, cpu, memory as u64, sizing);
        let policy = self.world.cluster.policy(&"shop".into());
        self.habits.absorb(Moment {
            workload: &self.back,
            container: &"app".into(),
            at: Timestamp(at),
            length: SLOT,
            figures: &figures,
            limits,
            window: policy.give_back_after,
        });
        let uid = self.pod().uid.clone();
        let used: &mut ContainerUse = self.usage.pods.entry(uid).or_default().entry("app".into()).or_default();
        used.slots.insert(Timestamp(at), figures);
        used.slots.retain(|start, _| *start > Timestamp(at - 120_000));
        let now = Timestamp(at).plus(SLOT);
        self.guard(n, now);
        self.starve(n, now);
        if n % PER_HOUR == 0 && self.due.is_none() && self.relief.is_none() {
            self.consider(now);
        }
    }

    /// The newest plan that stands is undone at the first sign.
    fn guard(&mut self, n: i64, now: Timestamp) {
        if self.due.is_some_and(|due| n >= due) {
            self.due = None;
            let (plan, _) = self.standing.pop().unwrap();
            for action in &plan.actions {
                if let Action::Resize { from, .. } = action {
                    self.set(from.limits, from.requests);
                }
            }
            self.since = now;
            self.outcome.undone += 1;
            self.past.push(self.ended(Phase::RolledBack, now, true));
        }
        let Some((plan, _)) = self.standing.last() else { return };
        if self.due.is_none() && sign(plan, &self.usage, &self.world.cluster, self.since, now).is_some() {
            self.due = Some(n + LATE);
            self.outcome.back_after = self
                .outcome
                .back_after
                .max(SLOT.0 * u64::try_from(LATE + 1).unwrap() / 1000);
        }
    }

    /// What pressure does without giving back: it raises the limit, here after five minutes.
    fn starve(&mut self, n: i64, now: Timestamp) {
        let total = self.usage.pods.values().next().unwrap()[&ContainerName::from("app")].total();
        if self.relief.is_none() && total.throttled().get() >= 0.10 {
            self.relief = Some(n + RELIEF);
        }
        if self.relief.is_some_and(|due| n >= due) {
            self.relief = None;
            if total.throttled().get() < 0.10 {
                return;
            }
            let finding = self.pressed(&total);
            let plan = self.plan(&[finding], now);
            if plan.kind() == PlanKind::Relief && !plan.actions.is_empty() {
                crate::world::carry_out(&mut self.world, &plan);
                self.standing.clear();
                self.due = None;
                self.since = now;
                self.outcome.relieved += 1;
                self.past.push(self.ended(Phase::Proved, now, false));
            }
        }
    }

    fn consider(&mut self, now: Timestamp) {
        let plan = self.plan(&[], now);
        if plan.actions.is_empty() {
            return;
        }
        assert_eq!(plan.kind(), PlanKind::GiveBack);
        let config = AloneConfig::default();
        let proposed = now.minus(config.stand);
        if may_go_alone(&plan, proposed, &self.world.cluster, &self.past, &config, now).is_err() {
            return;
        }
        crate::world::carry_out(&mut self.world, &plan);
        self.past.push(self.ended(Phase::Proved, now, false));
        self.standing.push((plan, now));
        self.since = now;
        self.outcome.steps += 1;
    }

    fn plan(&self, findings: &[Finding], now: Timestamp) -> Plan {
        let config = PlannerConfig::default();
        plan_with(
            &self.snapshot,
            findings,
            &self.habits,
            &self.world.cluster,
            &config,
            now,
        )
    }

    fn set(&mut self, limits: Compute, requests: Compute) {
        let uid = self.pod().uid.clone();
        let container = &mut self.world.cluster.pods.get_mut(&uid).unwrap().containers[0];
        (container.limits, container.requests) = (limits, requests);
    }

    fn ended(&self, phase: Phase, since: Timestamp, setback: bool) -> Past {
        Past {
            workloads: BTreeSet::from([self.back.clone()]),
            phase,
            since,
            setback,
        }
    }

    fn pressed(&self, total: &Figures) -> Finding {
        Finding {
            edge: self.edge.clone(),
            cause: Cause::Pressure {
                container: "app".into(),
                lack: Lack::CpuLimit,
                share: total.throttled(),
                pods: 1,
                pods_seen: 1,
                cpu_used: total.cpu(),
                cpu_peak: total.cpu(),
                cpu_limit: self.limits().cpu,
                memory_peak: total.memory_peak,
                memory_limit: self.limits().memory,
                served_p50: Micros(2_000),
                served_p99: Micros(80_000),
                calm_p99: Some(Micros(9_000)),
            },
            cost: 1.0,
        }
    }
}

/// Throttled periods of all, in hundredths of a percent.
pub fn basis_points(outcome: &Outcome) -> f64 {
    Ratio::of(outcome.throttled, outcome.periods).get() * 10_000.0
}

/// The lives of one kind together.
pub fn together(kind: Kind, seeds: u64, floor: Option<u64>) -> (Outcome, Outcome) {
    let (mut without, mut with) = (Outcome::default(), Outcome::default());
    for seed in 1..=seeds {
        let (plain, given) = replay(kind, seed, floor);
        without.add(&plain);
        with.add(&given);
    }
    tell(&format!("{kind:?}, {seeds} seeds"), &without, &with);
    (without, with)
}

/// One line of figures.
pub fn tell(what: &str, without: &Outcome, with: &Outcome) {
    println!(
        "{what}: reserved cpu slack of the last week {:.2} → {:.2} core days ({:.1} %), memory {:.2} → {:.2} GiB days ({:.1} %); \
         above the request {} → {} (cpu), {} → {} (memory) of {} slots; limits: cpu slack of the last week {:.2} → {:.2} core days ({:.0} %), memory {:.2} → {:.2} GiB days ({:.0} %); \
         OOM kills {} → {}; throttled {} → {} of {} periods ({:.4} → {:.4} of 10 000); {} steps, {} undone at a sign, {} relieved; back after {} s at most",
        without.cpu_reserved,
        with.cpu_reserved,
        with.cpu_reserved / without.cpu_reserved * 100.0,
        without.memory_reserved,
        with.memory_reserved,
        with.memory_reserved / without.memory_reserved * 100.0,
        without.cpu_above,
        with.cpu_above,
        without.memory_above,
        with.memory_above,
        with.slots,
        without.cpu_slack,
        with.cpu_slack,
        with.cpu_slack / without.cpu_slack * 100.0,
        without.memory_slack,
        with.memory_slack,
        with.memory_slack / without.memory_slack * 100.0,
        without.kills,
        with.kills,
        without.throttled,
        with.throttled,
        with.periods,
        basis_points(without),
        basis_points(with),
        with.steps,
        with.undone,
        with.relieved,
        with.back_after,
    );
}
