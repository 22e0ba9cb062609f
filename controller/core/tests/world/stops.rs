//! Containers that their quota stops: what requests feel of it, and what the node counts.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

use super::World;
use huddle_core::cluster::{Compute, Container};
use huddle_core::graph::{GraphConfig, TrafficGraph};
use huddle_core::id::{PodUid, WorkloadId};
use huddle_core::time::{Timestamp, Window};
use huddle_core::units::{Bytes, Millicores};
use huddle_core::usage::{Counters, Pace, Reading, UsageConfig, UsageStore};

/// A container that is stopped in a share of its periods, for 10 to 90 ms each time.
#[derive(Clone, Copy)]
pub struct Stop {
    pub container: &'static str,
    pub share: f64,
    /// Requests do not feel it: something else in the container is stopped.
    pub unfelt: bool,
}

/// What stops add to one request, in µs.
#[derive(Default)]
pub struct Delay {
    pub served: f64,
    pub network: f64,
}

pub fn delay(world: &mut World, caller: &PodUid, callee: &PodUid) -> Delay {
    let mut delay = Delay::default();
    for (pod, called) in [(caller, false), (callee, true)] {
        let Some(stop) = world.stops.get(pod).copied().filter(|stop| !stop.unfelt) else {
            continue;
        };
        let hit = world.dice.unit() < stop.share;
        let stopped = if hit {
            10_000.0 + 80_000.0 * world.dice.unit()
        } else {
            0.0
        };
        match stop.container {
            "istio-proxy" => delay.network += stopped,
            _ if called => delay.served += stopped,
            _ => {}
        }
    }
    delay
}

/// A world with what its nodes count.
pub struct Watched {
    pub world: World,
    pub graph: TrafficGraph,
    pub usage: UsageStore,
    counted: std::collections::BTreeMap<(PodUid, &'static str), Counters>,
}

/// What every container may use here.
pub const LIMIT: Millicores = Millicores(200);

impl Watched {
    pub fn new(world: World) -> Self {
        let config = GraphConfig::default();
        let mut watched = Self {
            world,
            graph: TrafficGraph::new(config),
            usage: UsageStore::new(UsageConfig::beside(config.slot, config.retention, Pace::KUBELETS)),
            counted: std::collections::BTreeMap::new(),
        };
        for pod in watched.world.cluster.pods.values_mut() {
            pod.containers = ["app", "istio-proxy"].map(container).to_vec();
        }
        watched.read();
        watched
    }

    /// Lets `seconds` of load pass; nodes are read every 10 s.
    pub fn run(&mut self, seconds: i64) {
        for _ in 0..seconds / 10 {
            self.world.run(&mut self.graph, 10);
            self.read();
        }
    }

    /// The last so many seconds.
    pub fn window(&self, seconds: i64) -> Window {
        Window {
            from: Timestamp(self.world.now.0 - seconds * 1000),
            to: self.world.now,
        }
    }

    /// Stops a container in the pods of a workload given by number.
    pub fn stop(&mut self, workload: &WorkloadId, pods: &[usize], container: &'static str, share: f64) {
        let uids: Vec<PodUid> = self
            .world
            .cluster
            .pods_of(workload)
            .map(|pod| pod.uid.clone())
            .collect();
        for pod in pods {
            let stop = Stop {
                container,
                share,
                unfelt: false,
            };
            self.world.stops.insert(uids[*pod].clone(), stop);
        }
    }

    fn read(&mut self) {
        for pod in self.world.cluster.pods.values() {
            for name in ["app", "istio-proxy"] {
                let stop = self.world.stops.get(&pod.uid).filter(|stop| stop.container == name);
                let throttled = stop.map_or(0.0, |stop| stop.share * 100.0) as u64;
                let counted = self.counted.entry((pod.uid.clone(), name)).or_default();
                let add = |slot: &mut Option<u64>, more: u64| *slot = Some(slot.unwrap_or(0) + more);
                // 150m of a limit of 200m, in all 100 periods of 10 s.
                add(&mut counted.cpu_us, 1_500_000);
                add(&mut counted.periods, 100);
                add(&mut counted.throttled_periods, throttled);
                self.usage.absorb(Reading {
                    pod: pod.uid.clone(),
                    container: name.into(),
                    at: self.world.now,
                    started: Some(pod.created),
                    counters: *counted,
                    working_set: Bytes(48 << 20),
                });
            }
        }
    }
}

fn container(name: &str) -> Container {
    let compute = Compute {
        cpu: Some(LIMIT),
        memory: Some(Bytes(64 << 20)),
    };
    Container {
        name: name.into(),
        native_sidecar: name == "istio-proxy",
        requests: compute,
        limits: compute,
        restarts_for_cpu: false,
        restarts_for_memory: false,
        at_start: None,
        killed: None,
        resized: None,
    }
}
