//! Values that many tests need.

use crate::watch::{Cluster, Coverage};
use huddle_core::cluster::{
    Budget, Compute, Constraints, Labels, Node, Pod, Resources, RoutingMode, Selector, Service, ServicePort, Sizing,
    Target, Workload,
};
use huddle_core::id::{Namespace, NodeName, PodUid, ServiceId, WorkloadId, WorkloadKind, ZoneName};
use huddle_core::plan::{Action, GivenBack, PlaceForm, Plan};
use huddle_core::sample::Endpoint;
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::{Bytes, Millicores, Ratio};

/// A Deployment of namespace `shop`.
pub(crate) fn deployment(name: &str) -> WorkloadId {
    WorkloadId {
        namespace: Namespace::from("shop"),
        kind: WorkloadKind::Deployment,
        name: name.to_owned(),
    }
}

/// A pod of the Deployment that is called like the pod up to its last dash.
pub(crate) fn endpoint(pod: &str, node: &str, zone: &str) -> Endpoint {
    Endpoint {
        pod: PodUid::from(pod),
        workload: deployment(pod.rsplit_once('-').map_or(pod, |(name, _)| name)),
        node: NodeName::from(node),
        zone: ZoneName::from(zone),
    }
}

/// A plan that places `web` with `db`.
pub(crate) fn plan(at: i64, saved: f64) -> Plan {
    Plan {
        at: Timestamp(at),
        actions: vec![Action::Place {
            workload: deployment("web"),
            with: deployment("db"),
            form: PlaceForm::Admission,
        }],
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        spread: Vec::new(),
        refusals: Vec::new(),
        pods_restarted: 0,
        because: Vec::new(),
        saved,
    }
}

/// What is given back of `back`, which has three pods.
pub(crate) fn given_back() -> GivenBack {
    let sizing = |limit, request, memory: u64| Sizing {
        requests: Compute {
            cpu: Some(Millicores(request)),
            memory: None,
        },
        limits: Compute {
            cpu: Some(Millicores(limit)),
            memory: Some(Bytes(memory << 20)),
        },
    };
    GivenBack {
        workload: deployment("back"),
        container: "app".into(),
        pods: 3,
        edges: Vec::new(),
        watched: Span::seconds(7 * 24 * 3600),
        cpu_peak: Millicores(100),
        cpu_high: Millicores(61),
        memory_peak: Bytes(40 << 20),
        throttled: Ratio::clamped(0.001),
        before: sizing(400, 200, 128),
        after: sizing(360, 180, 116),
    }
}

/// A ready, meshed pod, see [`endpoint`].
pub(crate) fn pod(name: &str, node: &str) -> Pod {
    Pod {
        uid: PodUid::from(name),
        name: name.to_owned(),
        workload: endpoint(name, node, "zone-a").workload,
        node: Some(NodeName::from(node)),
        address: None,
        labels: Labels::default(),
        requests: Resources::default(),
        containers: Vec::new(),
        constraints: Constraints::default(),
        ready: true,
        deleting: false,
        created: Timestamp(0),
        orphan_of: None,
        meshed: true,
        start_up: None,
    }
}

/// A cluster of such pods in namespace `shop`, which has the filter.
pub(crate) fn cluster(pods: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::default();
    let coverage = Coverage {
        injected: true,
        filtered: true,
    };
    cluster.namespaces.insert(Namespace::from("shop"), coverage);
    for (name, node) in pods {
        let pod = pod(name, node);
        let workload = cluster
            .view
            .workloads
            .entry(pod.workload.clone())
            .or_insert_with(|| Workload {
                id: pod.workload.clone(),
                replicas: 0,
                ready: 0,
                selector: Selector::default(),
                labels: Labels::default(),
                budget: Budget::None,
                rolling: false,
                opted_out: false,
                autoscaler: None,
                cpu_owner: None,
                warm_up: None,
                template: std::collections::BTreeMap::new(),
            });
        workload.replicas += 1;
        workload.ready += 1;
        cluster.view.nodes.entry(NodeName::from(*node)).or_insert_with(|| Node {
            name: NodeName::from(*node),
            zone: ZoneName::from("zone-a"),
            allocatable: Resources::default(),
            labels: Labels::default(),
            taints: Vec::new(),
            schedulable: true,
        });
        cluster.view.pods.insert(pod.uid.clone(), pod);
    }
    cluster
}

/// The Service shop/back with these ports.
pub(crate) fn back(ports: &[u16]) -> Service {
    let port = |port: &u16| ServicePort {
        port: *port,
        target: Target::Port(*port),
    };
    Service {
        id: ServiceId {
            namespace: "shop".into(),
            name: "back".to_owned(),
        },
        selector: Labels::new(),
        routing: RoutingMode::Spread,
        headless: false,
        overridden_by: None,
        ports: ports.iter().map(port).collect(),
    }
}
