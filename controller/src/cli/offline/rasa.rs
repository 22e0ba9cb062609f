//! RASA's published format, read from files and checked beyond what the search itself asks.

use super::file;
use crate::dump::from_json;
use anyhow::{Context, bail};
use huddle_core::assign::{Problem, RasaCluster, RasaTraffic};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// The requests of a whole file, in its own unit: more than any cluster has, and little enough to be summed exactly.
const MOST: f64 = 1e6;

/// A file that holds the traffic.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Graph {
    traffic_list: Vec<RasaTraffic>,
}

/// Reads a cluster, its traffic perhaps from another file, and states the problem.
pub(super) fn read(path: &Path, graph: Option<&Path>) -> anyhow::Result<(RasaCluster, Problem)> {
    let mut cluster: RasaCluster = file::read(path)?;
    let mut files = path.display().to_string();
    if let Some(graph) = graph {
        let graph = file::only(graph)?;
        cluster.traffic_list = file::read::<Graph>(&graph)?.traffic_list;
        files += &format!(" with {}", graph.display());
    }
    let problem = stated(&cluster).context(files)?;
    Ok((cluster, problem))
}

/// The problem that the bytes of such a file state, its traffic in it.
///
/// # Errors
/// What is wrong, by the file's own names.
pub fn rasa_problem(bytes: &[u8]) -> anyhow::Result<Problem> {
    stated(&from_json(bytes)?)
}

/// The problem that a file states.
fn stated(cluster: &RasaCluster) -> anyhow::Result<Problem> {
    check(cluster)?;
    Ok(cluster.problem()?)
}

/// Names once, requests within what can be summed.
fn check(cluster: &RasaCluster) -> anyhow::Result<()> {
    let machines = cluster.machine_list.iter().map(|machine| &machine.machine_ip);
    once("MachineList, MachineIP", machines)?;
    once(
        "ServiceList, Service",
        cluster.service_list.iter().map(|service| &service.service),
    )?;
    let containers = cluster.service_list.iter().flat_map(|service| &service.container_list);
    once("ServiceList, ContainerList", containers)?;
    let mut sums = [0.0; 2];
    for service in &cluster.service_list {
        let requests = [("RequestCPU", service.request_cpu), ("RequestMem", service.request_mem)];
        for (sum, (field, amount)) in sums.iter_mut().zip(requests) {
            within("ServiceList", &service.service, field, amount)?;
            *sum += amount * service.container_list.len() as f64;
        }
    }
    if let Some(sum) = sums.into_iter().find(|sum| *sum > MOST) {
        bail!("ServiceList: all containers together ask for {sum} of one resource; {MOST} is the most");
    }
    for machine in &cluster.machine_list {
        within("MachineList", &machine.machine_ip, "TotalCPU", machine.total_cpu)?;
        within("MachineList", &machine.machine_ip, "TotalMem", machine.total_mem)?;
    }
    for edge in &cluster.traffic_list {
        if !edge.traffic.is_finite() || edge.traffic < 0.0 {
            let (one, other) = (&edge.service1, &edge.service2);
            bail!(
                "TrafficList, {one:?} and {other:?}: Traffic is {}, which is below 0 or no number",
                edge.traffic
            );
        }
    }
    Ok(())
}

/// The amounts that the search can count with.
fn within(list: &str, name: &str, field: &str, amount: f64) -> anyhow::Result<()> {
    if !(0.0..=1000.0).contains(&amount) {
        bail!("{list}, {name:?}: {field} is {amount}, not between 0 and 1000");
    }
    Ok(())
}

fn once<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            bail!("{field}: {name:?} is there twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use huddle_core::assign::{Layout, Steps, Wish, assign};
    use proptest::prelude::*;

    const SMALL: &str = r#"{
        "ServiceList": [
            {"Service": "a", "RequestCPU": 0.5, "RequestMem": 0.1, "ContainerList": ["a0", "a1"], "CompatibleMachines": "*"},
            {"Service": "b", "RequestCPU": 0.25, "RequestMem": 0.1, "ContainerList": ["b0"], "CompatibleMachines": ["m0", "m1"]}
        ],
        "MachineList": [
            {"MachineIP": "m0", "TotalCPU": 1.0, "TotalMem": 1, "InitialDeployingContainers": ["a0", "a1"]},
            {"MachineIP": "m1", "TotalCPU": 1.0, "TotalMem": 1, "InitialDeployingContainers": ["b0"]}
        ],
        "TrafficList": [{"Service1": "a", "Service2": "b", "Traffic": 3.5}]
    }"#;

    fn error(from: &str, to: &str) -> String {
        assert!(SMALL.contains(from), "{from}");
        let text = SMALL.replacen(from, to, 1);
        format!("{:#}", rasa_problem(text.as_bytes()).map(drop).expect_err(to))
    }

    #[test]
    fn errors_name_the_field() {
        insta::assert_snapshot!(
            [
                error(r#""RequestCPU": 0.25, "#, ""),
                error("0.25", r#""a quarter""#),
                error("0.25", "-0.25"),
                error("0.25", "900000"),
                error(r#"["b0"]"#, r#"["a0"]"#),
                error(r#""MachineIP": "m1""#, r#""MachineIP": "m0""#),
                error(r#"["m0", "m1"]"#, r#"["m0", "m7"]"#),
                error(r#"["m0", "m1"]"#, "7"),
                error(r#""Service2": "b""#, r#""Service2": "c""#),
                error("3.5", "-3.5"),
                error(r#"["a0", "a1"]}"#, r#"["a0"]}"#),
                error(r#""TrafficList""#, r#""Traffic""#),
                error("]\n    }", "]"),
            ]
            .join("\n")
        );
    }

    proptest! {
        /// Whatever bytes come: an error, or a problem that can be searched.
        #[test]
        fn no_file_breaks_it(at in prop::collection::vec((0..SMALL.len(), any::<u8>()), 0..6), digits in any::<bool>()) {
            let mut bytes = SMALL.as_bytes().to_vec();
            for (at, byte) in at {
                // Half of the cases stay JSON more often: only digits change.
                if !digits || bytes[at].is_ascii_digit() {
                    bytes[at] = if digits { b'0' + byte % 10 } else { byte };
                }
            }
            if let Ok(problem) = rasa_problem(&bytes) {
                let answer = assign(&problem, Wish::default(), &mut Steps(3));
                prop_assert!(answer.gain >= Layout::home(&problem).gain(&problem));
                prop_assert!((0.0..=1.0 + 1e-9).contains(&answer.gain));
            }
        }
    }
}
