//! The format in which ByteDance published its clusters (`bytedance/Resource-Allocation-Service-Affinity`): services,
//! machines and traffic by name, amounts as fractions. Turned into a [`Problem`] once, here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::layout::Layout;
use super::problem::{Amount, InvalidProblem, Problem, Service, Traffic};

/// A cluster as its file says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RasaCluster {
    /// The services and their containers.
    pub service_list: Vec<RasaService>,
    /// The machines and who is on them.
    pub machine_list: Vec<RasaMachine>,
    /// Who talks with whom.
    pub traffic_list: Vec<RasaTraffic>,
}

/// Equal containers of one service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RasaService {
    /// Its name.
    pub service: String,
    /// Cpu of one container, in the file's unit.
    #[serde(rename = "RequestCPU")]
    pub request_cpu: f64,
    /// Memory of one container, in the file's unit.
    pub request_mem: f64,
    /// The names of its containers.
    pub container_list: Vec<String>,
    /// Which machines may run it.
    pub compatible_machines: Compatible,
}

/// Which machines may run a service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Compatible {
    /// `"*"`: every machine.
    Every(String),
    /// These, by address.
    These(Vec<String>),
}

/// One machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RasaMachine {
    /// Its name.
    #[serde(rename = "MachineIP")]
    pub machine_ip: String,
    /// Cpu it has for containers.
    #[serde(rename = "TotalCPU")]
    pub total_cpu: f64,
    /// Memory it has for containers.
    pub total_mem: f64,
    /// The containers on it today.
    pub initial_deploying_containers: Vec<String>,
}

/// Traffic between two services.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RasaTraffic {
    /// One service.
    pub service1: String,
    /// The other.
    pub service2: String,
    /// How much.
    pub traffic: f64,
}

/// What makes such a file unusable.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum InvalidRasa {
    /// A service is mentioned that the list of services lacks.
    #[error("TrafficList: service {0:?} is not in ServiceList")]
    UnknownService(String),
    /// A machine runs a container that no service has.
    #[error("MachineList, InitialDeployingContainers: container {0:?} is in no ContainerList")]
    UnknownContainer(String),
    /// A service names a machine that does not exist.
    #[error("ServiceList, CompatibleMachines: machine {0:?} is not in MachineList")]
    UnknownMachine(String),
    /// A container is on no machine, or on two.
    #[error("container {container:?} is on {machines} machines, not on one")]
    NotOnce {
        /// The container.
        container: String,
        /// How many machines list it.
        machines: usize,
    },
    /// An amount is negative, not a number, or above 1000.
    #[error("{of:?}: an amount of {amount} is not between 0 and 1000")]
    Amount {
        /// The service or machine.
        of: String,
        /// The amount.
        amount: f64,
    },
    /// The numbers do not make a problem.
    #[error(transparent)]
    Problem(#[from] InvalidProblem),
}

/// Units of the search per unit of the file: requests are rounded up and capacities down, so that what fits here fits there.
const FINE: f64 = 1e12;

fn amount(of: &str, cpu: f64, mem: f64, round: fn(f64) -> f64) -> Result<Amount, InvalidRasa> {
    for amount in [cpu, mem] {
        if !(0.0..=1000.0).contains(&amount) {
            return Err(InvalidRasa::Amount {
                of: of.to_owned(),
                amount,
            });
        }
    }
    Ok(Amount([round(cpu * FINE) as i64, round(mem * FINE) as i64, 0, 0]))
}

impl RasaCluster {
    /// The problem the file states. Services and nodes are numbered by their names' order, so that the file's own order
    /// changes nothing.
    ///
    /// # Errors
    /// What is wrong, by the file's own names.
    pub fn problem(&self) -> Result<Problem, InvalidRasa> {
        let (services, machines) = (self.services(), self.machines());
        let places = self.places()?;
        let rank = |names: Vec<&str>| -> BTreeMap<String, usize> {
            names
                .into_iter()
                .enumerate()
                .map(|(rank, name)| (name.to_owned(), rank))
                .collect()
        };
        let machine_rank = rank(machines.iter().map(|(_, m)| m.machine_ip.as_str()).collect());
        let service_rank = rank(services.iter().map(|s| s.service.as_str()).collect());
        let file_to_rank: BTreeMap<usize, usize> = machines
            .iter()
            .enumerate()
            .map(|(rank, (file, _))| (*file, rank))
            .collect();
        let mut stated = Vec::new();
        for data in services {
            let mut home = BTreeMap::new();
            for container in &data.container_list {
                if let Some(rank) = places.get(container.as_str()).and_then(|file| file_to_rank.get(file)) {
                    *home.entry(*rank).or_default() += 1;
                }
            }
            stated.push(Service {
                demand: amount(&data.service, data.request_cpu, data.request_mem, f64::ceil)?,
                home,
                allowed: allowed(&data.compatible_machines, &machine_rank)?,
                most_per_node: None,
            });
        }
        let nodes: Result<Vec<Amount>, _> = machines
            .iter()
            .map(|(_, m)| amount(&m.machine_ip, m.total_cpu, m.total_mem, f64::floor))
            .collect();
        let service = |name: &String| {
            service_rank
                .get(name)
                .copied()
                .ok_or_else(|| InvalidRasa::UnknownService(name.clone()))
        };
        let traffic: Result<Vec<Traffic>, InvalidRasa> = self
            .traffic_list
            .iter()
            .map(|t| {
                Ok(Traffic {
                    from: service(&t.service1)?,
                    to: service(&t.service2)?,
                    weight: t.traffic,
                })
            })
            .collect();
        Ok(Problem::new(stated, nodes?, &traffic?, &[])?)
    }

    fn services(&self) -> Vec<&RasaService> {
        let mut list: Vec<_> = self.service_list.iter().collect();
        list.sort_by(|a, b| a.service.cmp(&b.service));
        list
    }

    /// The machines by name, each with its index in the file.
    fn machines(&self) -> Vec<(usize, &RasaMachine)> {
        let mut list: Vec<_> = self.machine_list.iter().enumerate().collect();
        list.sort_by(|a, b| a.1.machine_ip.cmp(&b.1.machine_ip));
        list
    }

    /// The machine of every container, each on exactly one.
    fn places(&self) -> Result<BTreeMap<&str, usize>, InvalidRasa> {
        let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for data in &self.service_list {
            found.extend(
                data.container_list
                    .iter()
                    .map(|container| (container.as_str(), Vec::new())),
            );
        }
        for (index, machine) in self.machine_list.iter().enumerate() {
            for container in &machine.initial_deploying_containers {
                let places = found.get_mut(container.as_str());
                places
                    .ok_or_else(|| InvalidRasa::UnknownContainer(container.clone()))?
                    .push(index);
            }
        }
        let once = |(container, machines): (_, Vec<usize>)| match *machines.as_slice() {
            [machine] => Ok((container, machine)),
            _ => Err(InvalidRasa::NotOnce {
                container: String::from(container),
                machines: machines.len(),
            }),
        };
        found.into_iter().map(once).collect()
    }

    /// A layout of [`RasaCluster::problem`] in the publisher's form: every container's index of its machine. Containers stay
    /// where they are as long as their service keeps a pod there.
    #[must_use]
    pub fn containers(&self, layout: &Layout) -> BTreeMap<String, usize> {
        let places = self.places().unwrap_or_default();
        let machines = self.machines();
        let file_index = |node: usize| machines.get(node).map(|(file, _)| *file).unwrap_or_default();
        let mut out = BTreeMap::new();
        for (index, data) in self.services().into_iter().enumerate() {
            let mut seats: BTreeMap<usize, u32> =
                layout.of(index).map(|(node, pods)| (file_index(node), pods)).collect();
            let mut movers = Vec::new();
            for container in &data.container_list {
                let place = places.get(container.as_str()).copied();
                match place.and_then(|place| seats.get_mut(&place)).filter(|left| **left > 0) {
                    Some(left) => {
                        *left -= 1;
                        out.insert(container.clone(), place.unwrap_or_default());
                    }
                    None => movers.push(container.clone()),
                }
            }
            let free = seats
                .into_iter()
                .flat_map(|(node, left)| std::iter::repeat_n(node, left as usize));
            out.extend(movers.into_iter().zip(free));
        }
        out
    }
}

fn allowed(compatible: &Compatible, machines: &BTreeMap<String, usize>) -> Result<Option<Vec<usize>>, InvalidRasa> {
    let find = |name: &String| {
        machines
            .get(name.as_str())
            .copied()
            .ok_or_else(|| InvalidRasa::UnknownMachine(name.clone()))
    };
    match compatible {
        Compatible::Every(star) if star == "*" => Ok(None),
        Compatible::Every(one) => Ok(Some(vec![find(one)?])),
        Compatible::These(list) => list.iter().map(find).collect::<Result<_, _>>().map(Some),
    }
}
