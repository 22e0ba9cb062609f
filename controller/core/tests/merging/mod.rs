//! A chatty pair against whose merge nothing stands, and what could.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

use super::world::{World, id, resources};
use huddle_core::cluster::*;
use huddle_core::diagnose::{DiagnoseConfig, Finding, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::id::*;
use huddle_core::plan::merge::{Advice, Adviser, Uses};
use huddle_core::time::Span;
use huddle_core::units::{Bytes, Millicores};
use std::collections::{BTreeMap, BTreeSet};

pub fn edge() -> EdgeId {
    EdgeId {
        source: id("front"),
        destination: id("back"),
    }
}

fn compute(cpu: u64, mebibytes: u64) -> Compute {
    Compute {
        cpu: Some(Millicores(cpu)),
        memory: Some(Bytes(mebibytes << 20)),
    }
}

pub fn port(port: u16) -> Port {
    Port {
        port,
        protocol: "TCP".to_owned(),
        name: None,
    }
}

/// One container with one port; everything else at its default.
pub fn template(name: &str, at: u16) -> Template {
    Template {
        containers: vec![TemplateContainer {
            name: name.into(),
            role: Role::Ordinary,
            ports: BTreeSet::from([port(at)]),
            requests: compute(50, 64),
            pod_fields: BTreeSet::new(),
            privileges: BTreeSet::new(),
            names_command: true,
            user: None,
            group: None,
            confined: BTreeSet::new(),
        }],
        account: name.to_owned(),
        requests: resources(50, 64),
        start_up: Some(Span::seconds(2)),
        ..Template::default()
    }
}

pub fn account(name: &str) -> AccountId {
    AccountId {
        namespace: "shop".into(),
        name: name.to_owned(),
    }
}

/// front calls back 100 times a second on one node, nobody else does, gate calls front now and then, and all that must be known is.
pub fn pair() -> World {
    let mut world = World::new(2, 1, 4000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[0]);
    world.served.insert(id("back"), 100.0);
    world.calls("front", "back", 100.0);
    world.deploy("gate", 100, &[0]);
    world.calls("gate", "front", 10.0);
    world.cluster.templates = BTreeMap::from([
        (id("front"), template("front", 8080)),
        (id("back"), template("back", 9090)),
    ]);
    world.cluster.trust = Trust {
        grants: Some(BTreeSet::new()),
        cloud: Some(BTreeSet::new()),
        mesh: Some(BTreeSet::new()),
    };
    world.cluster.reroutes = Some(BTreeSet::new());
    world
}

pub fn advice(cluster: &ClusterView, snapshot: &Snapshot, findings: &[Finding], edge: &EdgeId, uses: &Uses) -> Advice {
    let adviser = Adviser {
        cluster,
        snapshot,
        uses,
        config: &DiagnoseConfig::default(),
    };
    adviser.advise(edge, findings)
}

/// What is said of front → back after a minute under load.
pub fn advised(world: &mut World) -> Advice {
    let snapshot = world.measure(60);
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    advice(&world.cluster, &snapshot, &findings, &edge(), &Uses::new())
}
