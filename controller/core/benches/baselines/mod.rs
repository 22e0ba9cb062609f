//! What others would do with the same pods, from the publisher's file alone: plain spreading, as kube-scheduler scores nodes
//! by default, and NetMARKS' greedy score (Wojciechowski et al., INFOCOM 2021). Neither moves pods: all are placed anew, one
//! after the other in the order of the file, each on the node with the best score that has room.

use std::collections::BTreeMap;

use serde_json::Value;

/// How a node is scored for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Score {
    /// Least allocated, balanced allocation (weight 1 each) and few pods of the same service (weight 2): kube-scheduler's
    /// default plugins as far as they apply to a cluster with cpu and memory only.
    Spread,
    /// The traffic of the pod with pods that are there already, each pair of pods with its share of the edge; where that is
    /// equal, as above.
    NetMarks,
}

struct Workload {
    cpu: f64,
    memory: f64,
    containers: Vec<String>,
    /// Neighbour and traffic of one pair of pods.
    ties: Vec<(usize, f64)>,
}

struct Hall {
    capacity: Vec<(f64, f64)>,
    load: Vec<(f64, f64)>,
    /// Pods by workload and node.
    pods: Vec<Vec<u32>>,
}

/// Container → index of its machine. `again`: how many times every pod is taken out and placed once more, with all others there.
pub(crate) fn place(cluster: &Value, score: Score, again: usize) -> BTreeMap<String, usize> {
    let workloads = workloads(cluster);
    let of = |machine: &Value| {
        (
            machine["TotalCPU"].as_f64().unwrap(),
            machine["TotalMem"].as_f64().unwrap(),
        )
    };
    let capacity: Vec<_> = cluster["MachineList"].as_array().unwrap().iter().map(of).collect();
    let mut hall = Hall {
        load: vec![(0.0, 0.0); capacity.len()],
        pods: vec![vec![0; capacity.len()]; workloads.len()],
        capacity,
    };
    let mut layout: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..=again {
        for (index, workload) in workloads.iter().enumerate() {
            for container in &workload.containers {
                if let Some(node) = layout.get(container).filter(|_| round > 0) {
                    hall.change(index, workload, *node, -1.0);
                }
                if let Some(node) = hall.best(&workloads, index, score) {
                    hall.change(index, workload, node, 1.0);
                    layout.insert(container.clone(), node);
                }
            }
        }
    }
    layout
}

fn workloads(cluster: &Value) -> Vec<Workload> {
    let list = cluster["ServiceList"].as_array().unwrap();
    let mut workloads: Vec<Workload> = list
        .iter()
        .map(|service| Workload {
            cpu: service["RequestCPU"].as_f64().unwrap(),
            memory: service["RequestMem"].as_f64().unwrap(),
            containers: serde_json::from_value(service["ContainerList"].clone()).unwrap(),
            ties: Vec::new(),
        })
        .collect();
    let name = |service: &Value| service["Service"].as_str().unwrap().to_owned();
    let index: BTreeMap<String, usize> = list.iter().enumerate().map(|(i, s)| (name(s), i)).collect();
    for edge in cluster["TrafficList"].as_array().unwrap() {
        let end = |field: &str| index[edge[field].as_str().unwrap()];
        let (a, b) = (end("Service1"), end("Service2"));
        let pairs = workloads[a].containers.len() * workloads[b].containers.len();
        let each = edge["Traffic"].as_f64().unwrap() / pairs as f64;
        workloads[a].ties.push((b, each));
        workloads[b].ties.push((a, each));
    }
    workloads
}

impl Hall {
    fn change(&mut self, index: usize, workload: &Workload, node: usize, by: f64) {
        let load = &mut self.load[node];
        *load = (load.0 + by * workload.cpu, load.1 + by * workload.memory);
        self.pods[index][node] = (f64::from(self.pods[index][node]) + by) as u32;
    }

    fn best(&self, workloads: &[Workload], index: usize, score: Score) -> Option<usize> {
        let workload = &workloads[index];
        let fits = |node: &usize| {
            let (load, capacity) = (self.load[*node], self.capacity[*node]);
            load.0 + workload.cpu <= capacity.0 && load.1 + workload.memory <= capacity.1
        };
        let most = self.pods[index].iter().copied().max().unwrap_or_default().max(1);
        let key = |node: &usize| -> (f64, f64) {
            let (load, capacity) = (self.load[*node], self.capacity[*node]);
            let cpu = (load.0 + workload.cpu) / capacity.0;
            let memory = (load.1 + workload.memory) / capacity.1;
            let least_allocated = 1.0 - (cpu + memory) / 2.0;
            let balanced = 1.0 - (cpu - memory).abs() / 2.0;
            let apart = 1.0 - f64::from(self.pods[index][*node]) / f64::from(most);
            let spread = least_allocated + balanced + 2.0 * apart;
            let traffic = workload
                .ties
                .iter()
                .map(|(other, each)| each * f64::from(self.pods[*other][*node]));
            match score {
                Score::Spread => (spread, 0.0),
                Score::NetMarks => (traffic.sum(), spread),
            }
        };
        let better = |a: &usize, b: &usize| {
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        };
        (0..self.capacity.len()).filter(fits).max_by(better)
    }
}
