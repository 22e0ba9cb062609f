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
