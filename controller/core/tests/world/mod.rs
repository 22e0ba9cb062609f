//! A small world for stories: nodes, pods, calls, a wire with distance, and a router of its own (request by request, so that it
//! shares no code with the planner's model of routing).
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

pub mod check;
pub mod dice;
pub mod drawn;
pub mod giving;
pub mod starving;
pub mod stops;

pub use dice::Dice;
use huddle_core::cluster::*;
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::graph::{GraphConfig, Snapshot, TrafficGraph};
use huddle_core::id::*;
use huddle_core::plan::{Action, Plan, PlannerConfig, plan};
use huddle_core::sample::{Exchange, RequestClass, Sample};
use huddle_core::time::{Timestamp, Window};
use huddle_core::units::{Bytes, Micros, Millicores};
use std::collections::BTreeMap;

pub struct World {
    pub cluster: ClusterView,
    /// Calls per second over all pods of the caller.
    pub calls: Vec<(WorkloadId, WorkloadId, f64)>,
    pub now: Timestamp,
    pub dice: Dice,
    pub fresh: u64,
    /// Extra network time of every request, in µs: a story's disturbance.
    pub slower: f64,
    /// Median served time where it is not 500 µs.
    pub served: BTreeMap<WorkloadId, f64>,
    /// Pods that are stopped now and then.
    pub stops: BTreeMap<PodUid, stops::Stop>,
}

pub fn id(name: &str) -> WorkloadId {
    WorkloadId::deployment("shop", name)
}

pub fn resources(cpu: u64, memory_mib: u64) -> Resources {
    Resources {
        cpu: Millicores(cpu),
        memory: Bytes(memory_mib << 20),
        ephemeral: Bytes(0),
        pods: 1,
        extended: BTreeMap::new(),
    }
}

pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Two callers on nodes 0 and 1, two callees on nodes 2 and 3, every node in a zone of its own; a pair of neighbours lends
/// local evidence on each node.
pub fn apart() -> World {
    let mut world = World::new(4, 4, 4000);
    world.deploy("front", 100, &[0, 1]);
    world.deploy("back", 100, &[2, 3]);
    world.deploy("here", 100, &[0, 1, 2, 3]);
    world.deploy("there", 100, &[0, 1, 2, 3]);
    world.calls("front", "back", 100.0);
    world.calls("here", "there", 20.0);
    world
}

impl World {
    pub fn new(nodes: usize, zones: usize, cpu: u64) -> Self {
        let mut cluster = ClusterView::default();
        for n in 0..nodes {
            let (name, zone) = (format!("node-{n}"), format!("zone-{}", n % zones.max(1)));
            let mut allocatable = resources(cpu, 16 << 10);
            allocatable.pods = 110;
            cluster.nodes.insert(
                name.as_str().into(),
                Node {
                    name: name.as_str().into(),
                    zone: zone.as_str().into(),
                    allocatable,
                    labels: labels(&[
                        ("kubernetes.io/hostname", &name),
                        ("topology.kubernetes.io/zone", &zone),
                    ]),
                    taints: Vec::new(),
                    schedulable: true,
                },
            );
        }
        let policy = NamespacePolicy {
            may_act: true,
            ..NamespacePolicy::default()
        };
        cluster.policies.insert("shop".into(), policy);
        Self {
            cluster,
            calls: Vec::new(),
            now: Timestamp(1_000_000_000),
            dice: Dice(42),
            fresh: 0,
            slower: 0.0,
            served: BTreeMap::new(),
            stops: BTreeMap::new(),
        }
    }

    /// A Deployment with a Service, its pods on the nodes given by number.
    pub fn deploy(&mut self, name: &str, cpu: u64, nodes: &[usize]) -> WorkloadId {
        let id = id(name);
        let app = labels(&[("app", name)]);
        self.cluster.workloads.insert(
            id.clone(),
            Workload {
                id: id.clone(),
                replicas: nodes.len() as u64,
                ready: nodes.len() as u64,
                selector: Selector {
                    labels: app.clone(),
                    requirements: Vec::new(),
                },
                labels: app.clone(),
                budget: Budget::None,
                rolling: false,
                opted_out: false,
                autoscaler: None,
                cpu_owner: None,
                warm_up: None,
                template: BTreeMap::new(),
            },
        );
        let service = ServiceId {
            namespace: id.namespace.clone(),
            name: name.to_owned(),
        };
        self.cluster.services.insert(
            service.clone(),
            Service {
                id: service,
                selector: app,
                routing: RoutingMode::Spread,
                headless: false,
                overridden_by: None,
                ports: Vec::new(),
            },
        );
        for node in nodes {
            self.pod(&id, cpu, &format!("node-{node}"));
        }
        id
    }

    pub fn pod(&mut self, workload: &WorkloadId, cpu: u64, node: &str) -> PodUid {
        self.fresh += 1;
        let uid: PodUid = format!("uid-{:05}", self.fresh).as_str().into();
        let app = self.cluster.workloads[workload].labels.clone();
        self.cluster.pods.insert(
            uid.clone(),
            Pod {
                uid: uid.clone(),
                name: format!("{}-{:05}", workload.name, self.fresh),
                workload: workload.clone(),
                node: Some(node.into()),
                address: None,
                labels: app,
                requests: resources(cpu, 192),
                containers: Vec::new(),
                constraints: Constraints::default(),
                ready: true,
                deleting: false,
                created: self.now,
                orphan_of: None,
                meshed: true,
                start_up: None,
            },
        );
        uid
    }

    pub fn calls(&mut self, from: &str, to: &str, per_second: f64) {
        self.calls.push((id(from), id(to), per_second));
    }

    /// The stock scheduler without hints: each pod in turn to the node with the fewest pods of its own workload, then the
    /// least cpu asked for (what default topology spreading and LeastAllocated come to).
    pub fn scatter(&mut self, replicas: &[(&str, u64, usize)]) {
        for (name, cpu, count) in replicas {
            let id = self.deploy(name, *cpu, &[]);
            for _ in 0..*count {
                let node = self
                    .cluster
                    .nodes
                    .keys()
                    .min_by_key(|node| {
                        let on = |pod: &&Pod| pod.node.as_ref() == Some(*node);
                        let own = self.cluster.pods_of(&id).filter(on).count();
                        let cpu: u64 = self
                            .cluster
                            .pods
                            .values()
                            .filter(on)
                            .map(|pod| pod.requests.cpu.0)
                            .sum();
                        (own, cpu, (*node).clone())
                    })
                    .unwrap()
                    .clone();
                self.pod(&id, *cpu, node.as_str());
            }
            let workload = self.cluster.workloads.get_mut(&id).unwrap();
            (workload.replicas, workload.ready) = (*count as u64, *count as u64);
        }
    }

    /// The pods that calls from `from` go to, evenly: the first tier that has any.
    fn route(&self, from: &Pod, to: &WorkloadId) -> Vec<Pod> {
        let Some(service) = self
            .cluster
            .services
            .values()
            .find(|service| service.id.name == to.name)
        else {
            return Vec::new();
        };
        let zone = |pod: &Pod| self.cluster.nodes[pod.node.as_ref().unwrap()].zone.clone();
        let ready: Vec<Pod> = self
            .cluster
            .pods_of(to)
            .filter(|pod| pod.ready && pod.node.is_some())
            .cloned()
            .collect();
        let tier = |keep: &dyn Fn(&Pod) -> bool| ready.iter().filter(|pod| keep(pod)).cloned().collect::<Vec<_>>();
        let (node, near) = (tier(&|pod| pod.node == from.node), tier(&|pod| zone(pod) == zone(from)));
        match service.routing {
            RoutingMode::PreferSameNode if !node.is_empty() => node,
            RoutingMode::PreferSameNode | RoutingMode::PreferSameZone if !near.is_empty() => near,
            RoutingMode::Spread | RoutingMode::PreferSameZone | RoutingMode::PreferSameNode => ready,
        }
    }

    /// Network time of one request in µs: 400 local, 600 same zone, 1600 other zone at the median, 1 % tail of 2–5 ms off-node.
    pub fn network(&mut self, far: bool, other_zone: bool) -> f64 {
        let base = self.dice.around(400.0, 0.25);
        let wire = f64::from(u8::from(far)) * 200.0 + f64::from(u8::from(other_zone)) * 1000.0;
        let tail = if far && self.dice.unit() < 0.01 {
            2000.0 + 3000.0 * self.dice.unit()
        } else {
            0.0
        };
        base + wire + tail + self.slower
    }

    /// Lets `seconds` of load pass and gives what the proxies report, in reports of 10 s. A workload's calls start where its own
    /// calls arrive; entry workloads start theirs evenly.
    pub fn run(&mut self, graph: &mut TrafficGraph, seconds: i64) {
        let order = self.callers_first();
        for _ in 0..(seconds / 10) {
            self.now = Timestamp(self.now.0 + 10_000);
            let mut load: BTreeMap<PodUid, f64> = BTreeMap::new();
            for source in &order {
                let pods: Vec<Pod> = self
                    .cluster
                    .pods_of(source)
                    .filter(|pod| pod.node.is_some())
                    .cloned()
                    .collect();
                let arrived: f64 = pods.iter().map(|pod| load.get(&pod.uid).copied().unwrap_or(0.0)).sum();
                let calls: Vec<_> = self
                    .calls
                    .iter()
                    .filter(|(from, _, _)| from == source)
                    .cloned()
                    .collect();
                for (_, to, rate) in calls {
                    for pod in &pods {
                        let share = match arrived > 0.0 {
                            true => load.get(&pod.uid).copied().unwrap_or(0.0) / arrived,
                            false => 1.0 / pods.len() as f64,
                        };
                        self.calls_of(graph, pod, &to, (rate * 10.0 * share).round() as u64, &mut load);
                    }
                }
            }
        }
    }

    /// Workloads, each after all that call it; where calls go in a circle, the one that stands first in the calls begins.
    fn callers_first(&self) -> Vec<WorkloadId> {
        let mut left: Vec<WorkloadId> = Vec::new();
        for id in self.calls.iter().flat_map(|(from, to, _)| [from, to]) {
            if !left.contains(id) {
                left.push(id.clone());
            }
        }
        let mut order = Vec::new();
        while !left.is_empty() {
            let called = |id: &WorkloadId| {
                self.calls
                    .iter()
                    .any(|(from, to, _)| to == id && from != id && left.contains(from))
            };
            let next = left.iter().position(|id| !called(id)).unwrap_or(0);
            order.push(left.remove(next));
        }
        order
    }

    fn calls_of(
        &mut self,
        graph: &mut TrafficGraph,
        from: &Pod,
        to: &WorkloadId,
        requests: u64,
        load: &mut BTreeMap<PodUid, f64>,
    ) {
        let mut exchanges: BTreeMap<PodUid, Exchange> = BTreeMap::new();
        let tier = self.route(from, to);
        let zone = |pod: &Pod| self.cluster.nodes[pod.node.as_ref().unwrap()].zone.clone();
        let apart: Vec<(bool, bool)> = tier
            .iter()
            .map(|pod| (pod.node != from.node, zone(pod) != zone(from)))
            .collect();
        for _ in 0..(if tier.is_empty() { 0 } else { requests }) {
            let chosen = self.dice.below(tier.len());
            let callee = tier[chosen].uid.clone();
            let stopped = stops::delay(self, &from.uid, &callee);
            let network = (self.network(apart[chosen].0, apart[chosen].1) + stopped.network) as u64;
            let median = self.served.get(to).copied().unwrap_or(500.0);
            let served = (self.dice.around(median, 0.5) + stopped.served) as u64;
            let exchange = exchanges.entry(callee.clone()).or_default();
            exchange.requests += 1;
            exchange.served.record(Micros(served));
            exchange.network.record(Micros(network));
            exchange.upstream.record(Micros(network + served));
            *load.entry(callee).or_default() += 1.0;
        }
        for (callee, exchange) in exchanges {
            graph.absorb(&Sample {
                at: Timestamp(self.now.0 - 1),
                caller: self.cluster.endpoint(&from.uid).unwrap(),
                callee: self.cluster.endpoint(&callee).unwrap(),
                class: RequestClass::Grpc,
                exchange,
            });
        }
    }

    /// Runs the load for a while and gives the picture of just that time.
    pub fn measure(&mut self, seconds: i64) -> Snapshot {
        let (mut graph, from) = (TrafficGraph::new(GraphConfig::default()), self.now);
        self.run(&mut graph, seconds);
        graph.snapshot(Window { from, to: self.now }, self.now)
    }

    /// A pod dies and its replacement comes up on `node`.
    pub fn relocate(&mut self, pod: &PodUid, node: &NodeName) {
        let mut pod = self.cluster.pods.remove(pod).unwrap();
        self.fresh += 1;
        pod.uid = format!("uid-{:05}", self.fresh).as_str().into();
        pod.name = format!("{}-{:05}", pod.workload.name, self.fresh);
        pod.node = Some(node.clone());
        self.cluster.pods.insert(pod.uid.clone(), pod);
    }
}

/// The shop of facts/loop.md C1, with its calls per 100 HTTP requests as calls per second over `scale`; every hot workload twice.
pub fn boutique(scale: f64) -> World {
    let mut world = World::new(4, 2, 4000);
    world.scatter(&[
        ("load", 200, 2),
        ("frontend", 300, 2),
        ("checkout", 200, 2),
        ("cart", 300, 2),
        ("redis", 200, 2),
        ("productcatalog", 300, 2),
        ("currency", 300, 2),
        ("recommendation", 300, 2),
        ("shipping", 200, 2),
        ("payment", 200, 2),
        ("email", 200, 2),
        ("ad", 300, 3),
    ]);
    for (from, to, rate) in [
        ("load", "frontend", 100.0),
        ("frontend", "productcatalog", 465.6),
        ("frontend", "currency", 290.2),
        ("frontend", "cart", 89.3),
        ("frontend", "recommendation", 71.5),
        ("frontend", "ad", 57.1),
        ("frontend", "shipping", 21.5),
        ("frontend", "checkout", 3.6),
        ("checkout", "currency", 12.3),
        ("checkout", "productcatalog", 8.8),
        ("checkout", "cart", 7.2),
        ("checkout", "shipping", 7.2),
        ("checkout", "payment", 3.6),
        ("checkout", "email", 3.6),
        ("recommendation", "productcatalog", 71.5),
        ("cart", "redis", 107.2),
    ] {
        world.calls(from, to, rate / scale);
    }
    world
}

/// Carries a plan out as act would, without its care.
pub fn carry_out(world: &mut World, plan: &Plan) {
    for action in &plan.actions {
        match action {
            Action::Place { .. }
            | Action::Size { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => {}
            Action::Move { pod, to, .. } => world.relocate(pod, to),
            Action::Route { service, to, .. } => world.cluster.services.get_mut(service).unwrap().routing = *to,
            Action::Resize { pod, container, to, .. } => {
                let pod = world.cluster.pods.get_mut(pod).unwrap();
                let sized = pod.containers.iter_mut().find(|it| it.name == *container).unwrap();
                (sized.requests, sized.limits) = (to.requests, to.limits);
            }
        }
    }
}

/// Diagnoses and plans with the defaults.
pub fn planned(world: &World, snapshot: &Snapshot) -> Plan {
    let findings = diagnose(snapshot, &DiagnoseConfig::default());
    plan(
        snapshot,
        &findings,
        &world.cluster,
        &PlannerConfig::default(),
        world.now,
    )
}

/// The demo's shop (tests/shop/boutique.yaml): its order of creation, replicas, requests with sidecars, calls per second, on four
/// nodes of 1500m in two zones.
pub fn demo(scale: f64) -> World {
    let mut world = World::new(4, 2, 1500);
    world.scatter(&[
        ("email", 230, 2),
        ("catalog", 80, 2),
        ("shipping", 210, 2),
        ("redis", 80, 2),
        ("ad", 190, 3),
        ("currency", 80, 2),
        ("recommendation", 170, 2),
        ("payment", 190, 2),
        ("frontend", 230, 2),
        ("cart", 90, 2),
        ("checkout", 250, 2),
        ("load", 100, 1),
    ]);
    for (from, to, rate) in [
        ("load", "frontend", 25.5),
        ("frontend", "currency", 209.5),
        ("frontend", "catalog", 47.5),
        ("frontend", "cart", 25.0),
        ("frontend", "ad", 23.0),
        ("frontend", "recommendation", 4.5),
        ("frontend", "shipping", 1.0),
        ("frontend", "checkout", 0.5),
        ("recommendation", "catalog", 4.5),
        ("cart", "redis", 27.0),
        ("checkout", "cart", 1.0),
        ("checkout", "catalog", 0.5),
        ("checkout", "currency", 1.0),
        ("checkout", "shipping", 1.0),
        ("checkout", "payment", 0.5),
        ("checkout", "email", 0.5),
    ] {
        world.calls(from, to, rate / scale);
    }
    // The load comes from a namespace of its own, where Huddle has no right.
    let outside = WorkloadId::deployment("load", "load");
    let mut load = world.cluster.workloads.remove(&id("load")).unwrap();
    load.id = outside.clone();
    world.cluster.workloads.insert(outside.clone(), load);
    for pod in world.cluster.pods.values_mut().filter(|pod| pod.workload == id("load")) {
        pod.workload = outside.clone();
    }
    world.calls[0].0 = outside;
    world
}
