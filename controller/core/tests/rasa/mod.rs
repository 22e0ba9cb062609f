//! The independent checker: recomputes gained affinity and every constraint from the publisher's file and a layout (container
//! → index of its machine), with numbers as the file has them. It shares no code with the search.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the checker found out.
#[derive(Debug)]
pub(crate) struct Report {
    /// Gained affinity, as RASA defines it.
    pub(crate) gain: f64,
    /// Containers that are elsewhere than in the file.
    pub(crate) moved: usize,
    /// Everything that is wrong.
    pub(crate) broken: Vec<String>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no text in {value}"))
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("{field} is no list"))
}

/// What same-node-first routing makes of a layout.
#[derive(Debug, Default)]
#[allow(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
pub(crate) struct Near {
    /// The share of the traffic that stays on its node; `Service1` calls `Service2`.
    pub(crate) local: f64,
    /// The most load of one container of a service so routed, in shares.
    pub(crate) worst: f64,
    /// Services that are called evenly because a container would get more than allowed.
    pub(crate) evenly: usize,
}

/// Sends every container's calls to the called service's containers on its own machine, or to all of them where there are none;
/// to all of them for every service of which one container would get more than `most` times its share.
#[allow(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
pub(crate) fn near_first(cluster: &Value, layout: &BTreeMap<String, usize>, most: f64) -> Near {
    let containers: BTreeMap<&str, Vec<usize>> = list(cluster, "ServiceList")
        .iter()
        .map(|service| {
            let names = list(service, "ContainerList").iter().filter_map(Value::as_str);
            (text(service, "Service"), names.map(|name| layout[name]).collect())
        })
        .collect();
    let whole: f64 = list(cluster, "TrafficList")
        .iter()
        .map(|edge| edge["Traffic"].as_f64().expect("Traffic"))
        .sum();
    let mut near = Near::default();
    for (called, at) in &containers {
        let callers = list(cluster, "TrafficList")
            .iter()
            .filter(|edge| edge["Service2"] == **called);
        let callers: Vec<(&Vec<usize>, f64)> = callers
            .map(|edge| {
                (
                    &containers[text(edge, "Service1")],
                    edge["Traffic"].as_f64().expect("Traffic"),
                )
            })
            .filter(|(callers, _)| !callers.is_empty())
            .collect();
        let sent: f64 = callers.iter().map(|(_, weight)| weight).sum();
        if sent <= 0.0 || at.is_empty() {
            continue;
        }
        let mut load = vec![0.0; at.len()];
        let (mut first, mut evenly) = (0.0, 0.0);
        for (callers, weight) in callers {
            let each = weight / callers.len() as f64;
            for machine in callers {
                let here: Vec<usize> = (0..at.len()).filter(|pod| at[*pod] == *machine).collect();
                evenly += each * here.len() as f64 / at.len() as f64;
                if here.is_empty() {
                    load.iter_mut().for_each(|load| *load += each / at.len() as f64);
                } else {
                    first += each;
                    here.iter().for_each(|pod| load[*pod] += each / here.len() as f64);
                }
            }
        }
        let worst = load.iter().fold(0.0, |most: f64, load| most.max(*load)) * at.len() as f64 / sent;
        if worst <= most + 1e-6 {
            near.local += first / whole;
            near.worst = near.worst.max(worst);
        } else {
            near.local += evenly / whole;
            near.evenly += 1;
        }
    }
    near
}

/// Checks a layout against the cluster it was made for.
pub(crate) fn check(cluster: &Value, layout: &BTreeMap<String, usize>) -> Report {
    let machines = list(cluster, "MachineList");
    let mut broken = Vec::new();
    let mut load = vec![(0.0, 0.0); machines.len()];
    let mut share: BTreeMap<&str, BTreeMap<usize, f64>> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for service in list(cluster, "ServiceList") {
        let containers = list(service, "ContainerList");
        let allowed: Option<BTreeSet<&str>> = service["CompatibleMachines"]
            .as_array()
            .map(|names| names.iter().filter_map(Value::as_str).collect());
        for container in containers {
            let name = container.as_str().expect("a container's name");
            known.insert(name);
            let Some(machine) = layout.get(name).copied().filter(|machine| *machine < machines.len()) else {
                broken.push(format!("{name} is on no machine"));
                continue;
            };
            if allowed
                .as_ref()
                .is_some_and(|allowed| !allowed.contains(text(&machines[machine], "MachineIP")))
            {
                broken.push(format!("{name} may not run on machine {machine}"));
            }
            load[machine].0 += service["RequestCPU"].as_f64().expect("RequestCPU");
            load[machine].1 += service["RequestMem"].as_f64().expect("RequestMem");
            *share
                .entry(text(service, "Service"))
                .or_default()
                .entry(machine)
                .or_default() += 1.0 / containers.len() as f64;
        }
    }
    broken.extend(
        layout
            .keys()
            .filter(|name| !known.contains(name.as_str()))
            .map(|name| format!("{name} does not exist")),
    );
    let mut moved = 0;
    for (index, machine) in machines.iter().enumerate() {
        for (field, taken) in [("TotalCPU", load[index].0), ("TotalMem", load[index].1)] {
            let has = machine[field].as_f64().expect(field);
            if taken > has * (1.0 + 1e-9) {
                broken.push(format!("machine {index}: {taken} of {field} {has}"));
            }
        }
        let initial = list(machine, "InitialDeployingContainers")
            .iter()
            .filter_map(Value::as_str);
        moved += initial.filter(|name| layout.get(*name) != Some(&index)).count();
    }
    let (mut gained, mut whole) = (0.0, 0.0);
    for edge in list(cluster, "TrafficList") {
        let weight = edge["Traffic"].as_f64().expect("Traffic");
        whole += weight;
        if let (Some(a), Some(b)) = (share.get(text(edge, "Service1")), share.get(text(edge, "Service2"))) {
            gained += weight
                * a.iter()
                    .map(|(machine, own)| own.min(*b.get(machine).unwrap_or(&0.0)))
                    .sum::<f64>();
        }
    }
    Report {
        gain: gained / whole,
        moved,
        broken,
    }
}
