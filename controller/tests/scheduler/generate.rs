//! Nodes and pods by lot: every filter of the scheduler that the planner knows, alone and together.

use super::dice::Dice;
use serde_json::{Map, Value, json};

pub(crate) const NAMESPACES: [&str; 2] = ["red", "blue"];
pub(crate) const NODES: usize = 10;

/// A runtime whose pods ask for more than their containers do.
pub(crate) const RUNTIME: &str = "heavy";

/// Its class: admission writes the overhead into the pods.
pub(crate) fn runtime() -> Value {
    json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME}, "handler": "heavy",
        "overhead": {"podFixed": {"cpu": "350m", "memory": "600Mi", "ephemeral-storage": "2Gi"}},
    })
}

const APPS: [&str; 3] = ["web", "db", "cache"];
const DISKS: [&str; 2] = ["ssd", "hdd"];
const KEYS: [&str; 3] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack"];

pub(crate) fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// A ready node; the last one is cordoned, and some lack the rack's label.
pub(crate) fn node(dice: &mut Dice, number: usize) -> Value {
    let name = node_name(number);
    let mut labels = Map::new();
    labels.insert("kubernetes.io/hostname".to_owned(), json!(name));
    labels.insert(
        "topology.kubernetes.io/zone".to_owned(),
        json!(format!("zone-{}", number % 3)),
    );
    labels.insert("disk".to_owned(), json!(dice.of(&DISKS)));
    labels.insert("generation".to_owned(), json!(dice.below(5).to_string()));
    if number % 4 != 3 {
        labels.insert("rack".to_owned(), json!(format!("rack-{}", number % 2)));
    }
    let taints = match number % 5 {
        1 => json!([{"key": "team", "value": "red", "effect": "NoSchedule"}]),
        2 => json!([{"key": "spot", "effect": "PreferNoSchedule"}]),
        3 => json!([{"key": "drain", "value": "soon", "effect": "NoExecute"}]),
        _ => json!([]),
    };
    let room = json!({
        "cpu": format!("{}m", 1500 + 500 * dice.below(5)), "memory": format!("{}Mi", 2048 * (1 + dice.below(4))),
        "ephemeral-storage": "20Gi", "pods": (5 + dice.below(8)).to_string(), "example.com/gpu": dice.below(3).to_string(),
    });
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints, "unschedulable": number + 1 == NODES},
        "status": {"allocatable": room, "capacity": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]}
    })
}

/// A pod of one of the namespaces. Half of them are pinned to one node by its label, so that the answer for that node alone is heard.
pub(crate) fn pod(dice: &mut Dice, number: usize) -> Value {
    let mut spec = Map::new();
    spec.insert("terminationGracePeriodSeconds".to_owned(), json!(0));
    spec.insert(
        "containers".to_owned(),
        json!([container(dice, "app"), container(dice, "side")]),
    );
    if dice.in_percent(20) {
        let mut native = container(dice, "native");
        native["restartPolicy"] = json!("Always");
        spec.insert("initContainers".to_owned(), json!([native, container(dice, "init")]));
    }
    if dice.in_percent(15) {
        spec.insert("runtimeClassName".to_owned(), json!(RUNTIME));
    }
    let mut selector = Map::new();
    if dice.in_percent(50) {
        selector.insert("kubernetes.io/hostname".to_owned(), json!(node_name(dice.below(NODES))));
    } else if dice.in_percent(20) {
        selector.insert("disk".to_owned(), json!(dice.of(&DISKS)));
    }
    spec.insert("nodeSelector".to_owned(), Value::Object(selector));
    spec.insert("tolerations".to_owned(), tolerations(dice));
    spec.insert("affinity".to_owned(), affinity(dice));
    if dice.in_percent(30) {
        let count = 1 + dice.below(2);
        let spreads: Vec<Value> = KEYS.iter().take(count).map(|key| spread(dice, key)).collect();
        spec.insert("topologySpreadConstraints".to_owned(), json!(spreads));
    }
    let labels = json!({"app": dice.of(&APPS), "tier": dice.below(2).to_string()});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "namespace": dice.of(&NAMESPACES), "labels": labels},
        "spec": spec,
    })
}

fn container(dice: &mut Dice, name: &str) -> Value {
    let mut requests = Map::new();
    for (resource, amount) in [
        ("cpu", format!("{}m", 25 * (1 + dice.below(12)))),
        ("memory", format!("{}Mi", 64 * (1 + dice.below(16)))),
        ("ephemeral-storage", format!("{}Gi", 1 + dice.below(6))),
    ] {
        if dice.in_percent(60) {
            requests.insert(resource.to_owned(), json!(amount));
        }
    }
    let mut limits = Map::new();
    if dice.in_percent(6) {
        limits.insert("example.com/gpu".to_owned(), json!("1"));
    }
    let ports = match dice.below(10) {
        0 => json!([{"containerPort": 80, "hostPort": 8080}]),
        1 => json!([{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}]),
        2 => json!([{"containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.1"}]),
        3 => json!([{"containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.2"}]),
        _ => json!([]),
    };
    let ports = if name == "app" { ports } else { json!([]) };
    json!({"name": name, "image": "none", "ports": ports, "resources": {"requests": requests, "limits": limits}})
}

fn tolerations(dice: &mut Dice) -> Value {
    let all = [
        json!({"key": "team", "operator": "Equal", "value": "red", "effect": "NoSchedule"}),
        json!({"key": "team", "operator": "Equal", "value": "blue"}),
        json!({"key": "team", "operator": "Exists"}),
        json!({"key": "drain", "operator": "Exists", "effect": "NoSchedule"}),
        json!({"key": "drain", "operator": "Equal", "value": "soon", "effect": "NoExecute"}),
        json!({"operator": "Exists", "effect": "NoExecute"}),
    ];
    let chosen: Vec<&Value> = all.iter().filter(|_| dice.in_percent(50)).collect();
    json!(chosen)
}

fn affinity(dice: &mut Dice) -> Value {
    let mut affinity = Map::new();
    let mut require = |kind: &str, what: Value| {
        affinity.insert(kind.to_owned(), what);
    };
    if dice.in_percent(20) {
        let terms: Vec<Value> = (0..1 + dice.below(2)).map(|_| node_term(dice)).collect();
        require(
            "nodeAffinity",
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}),
        );
    }
    for (kind, percent) in [("podAffinity", 12), ("podAntiAffinity", 8)] {
        if dice.in_percent(percent) {
            let terms: Vec<Value> = (0..1 + dice.below(2)).map(|_| pod_term(dice)).collect();
            require(kind, json!({"requiredDuringSchedulingIgnoredDuringExecution": terms}));
        }
    }
    Value::Object(affinity)
}

fn node_term(dice: &mut Dice) -> Value {
    let wanted = dice.below(5).to_string();
    match dice.below(8) {
        0 => json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}),
        1 => json!({"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]}),
        2 => json!({"matchExpressions": [{"key": "rack", "operator": "Exists"}]}),
        3 => json!({"matchExpressions": [{"key": "rack", "operator": "DoesNotExist"}]}),
        4 => json!({"matchExpressions": [{"key": "generation", "operator": "Gt", "values": [wanted]}]}),
        5 => json!({"matchExpressions": [{"key": "generation", "operator": "Lt", "values": [wanted]}]}),
        6 => {
            json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node_name(dice.below(NODES))]}]})
        }
        _ => json!({}),
    }
}

fn labels(dice: &mut Dice) -> Value {
    match dice.below(4) {
        0 => json!({"matchLabels": {"tier": dice.below(2).to_string()}}),
        1 => json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [dice.of(&APPS)]}]}),
        2 => json!({}),
        _ => json!({"matchLabels": {"app": dice.of(&APPS)}}),
    }
}

fn pod_term(dice: &mut Dice) -> Value {
    let mut term = json!({"topologyKey": dice.of(&KEYS), "labelSelector": labels(dice)});
    match dice.below(8) {
        0 => term["namespaces"] = json!([dice.of(&NAMESPACES)]),
        1 => term["namespaceSelector"] = json!({}),
        2 => term["namespaceSelector"] = json!({"matchLabels": {"team": dice.of(&NAMESPACES)}}),
        3 => term["namespaceSelector"] = json!({"matchLabels": {"team": "nobody"}}),
        4 => term["labelSelector"] = Value::Null,
        _ => {}
    }
    term
}

fn spread(dice: &mut Dice, key: &str) -> Value {
    let hard = dice.in_percent(75);
    let mut spread = json!({
        "maxSkew": 1 + dice.below(2), "topologyKey": key, "labelSelector": labels(dice),
        "whenUnsatisfiable": if hard { "DoNotSchedule" } else { "ScheduleAnyway" },
    });
    if hard && dice.in_percent(20) {
        spread["minDomains"] = json!(1 + dice.below(5));
    }
    if dice.in_percent(20) {
        spread["nodeAffinityPolicy"] = json!("Ignore");
    }
    if dice.in_percent(20) {
        spread["nodeTaintsPolicy"] = json!("Honor");
    }
    if dice.in_percent(10) {
        spread["labelSelector"] = Value::Null;
    }
    spread
}
