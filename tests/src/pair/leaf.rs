//! The shop's chattiest leaf edge, written by its two owners so that it can be merged.
//!
//! What Huddle's rules refuse of the shop's templates is what its owner changes: container, volume and the witness's port of the callee get
//! names and a number of their own, and it is told its pod's name no longer. The caller's owner takes the opt-out away and lets its pods go on
//! serving for a moment when they are to stop. Both are on one node. What the two do, and what they call, stays.

use super::{ASKER, CALLEE_ADMIN_PORT, Deployed, Ends, Member, NAMESPACE, NODE, Pair, apply_as};
use crate::pods::{FIELD_MANAGER, rolled_out};
use crate::shop::{ADMIN_PORT, manifests};
use anyhow::{Context, Result};
use huddle_api::ANNOTATION_OPT_OUT;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::time::Duration;

/// The shop.
const GRAPH: &str = include_str!("../../shop/boutique.yaml");
/// How long a roll-out may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// For how many seconds a caller's pod goes on serving.
const LINGERS: u32 = 3;

impl Pair {
    /// The shop's own two, asked for home pages. What they are stands in the shop's graph: of the fields only `pages_per_second` and
    /// `timeout_seconds` are read.
    pub fn leaf() -> Self {
        Self {
            ends: Ends::LEAF,
            ..Self::default()
        }
    }
}

/// Who asks for home pages: the shop's graph, with this as the only way in.
pub(super) fn asker(pages_per_second: u32) -> Member<'static> {
    let mut graph: Value = serde_saphyr::from_str(GRAPH).expect("the shop's graph is a constant that tests read");
    graph["entries"] = json!([{"name": "home", "to": "frontend/home", "rate": pages_per_second}]);
    Member {
        env: vec![json!({"name": "SHOP_TARGET", "value": "frontend:8080"})],
        graph,
        ..Member::new(ASKER, "drive")
    }
}

/// A Deployment of the shop as its graph has it.
fn written(name: &str) -> Result<Value> {
    let manifests = manifests::of(GRAPH)?;
    let mut all = manifests.services.into_iter().map(|service| service.deployment);
    let own = all.find(|of: &Deployment| of.metadata.name.as_deref() == Some(name));
    Ok(serde_json::to_value(
        own.with_context(|| format!("the shop has no {name}"))?,
    )?)
}

/// As its owner writes it for a merge.
fn mergeable(name: &str) -> Result<Value> {
    let mut deployment = written(name)?;
    let template = &mut deployment["spec"]["template"];
    template["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": NODE});
    // One node is to hold both of both, beside what the scheduler has put there.
    template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("20m");
    template["metadata"]["annotations"]["sidecar.istio.io/proxyCPU"] = json!("10m");
    let outside = if name == Ends::LEAF.callee {
        callee(&mut template["spec"]);
        CALLEE_ADMIN_PORT.to_string()
    } else {
        template["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": LINGERS}}});
        // The companion's witness is asked through the caller's pods.
        format!("{ADMIN_PORT},{CALLEE_ADMIN_PORT}")
    };
    template["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeInboundPorts"] = json!(outside);
    if let Some(annotations) = deployment["metadata"]["annotations"].as_object_mut() {
        annotations.remove(ANNOTATION_OPT_OUT);
    }
    Ok(deployment)
}

fn callee(pod: &mut Value) {
    let name = Ends::LEAF.callee;
    let volume = format!("{name}-graph");
    pod["volumes"][0]["name"] = json!(volume);
    let container = &mut pod["containers"][0];
    container["name"] = json!(name);
    container["volumeMounts"][0]["name"] = json!(volume);
    container["readinessProbe"]["httpGet"]["port"] = json!(CALLEE_ADMIN_PORT);
    if let Some(port) = container["ports"].as_array_mut().and_then(|ports| ports.last_mut()) {
        *port = json!({"name": "own-admin", "containerPort": CALLEE_ADMIN_PORT});
    }
    if let Some(env) = container["env"].as_array_mut() {
        env.retain(|variable| variable["valueFrom"].is_null());
        env.push(json!({"name": "SHOP_ADMIN_PORT", "value": CALLEE_ADMIN_PORT.to_string()}));
    }
}

async fn roll(client: &Client, of: fn(&str) -> Result<Value>) -> Result<()> {
    let names = [Ends::LEAF.callee, Ends::LEAF.caller];
    for name in names {
        apply_as(client, FIELD_MANAGER, &of(name)?).await?;
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    for name in names {
        let generation = deployments.get(name).await?.metadata.generation;
        rolled_out(client, NAMESPACE, name, generation, PATIENCE).await?;
    }
    Ok(())
}

/// Both owners roll out what can be merged, and pages are asked for.
///
/// # Errors
/// Whatever the API server says, and when pods do not become ready or nobody is answered.
pub async fn deploy(client: &Client) -> Result<Deployed> {
    roll(client, mergeable)
        .await
        .context("the shop's own two, to be merged")?;
    Deployed::deploy(client, &Pair::leaf()).await
}

/// Both owners roll out what the shop's graph has.
///
/// # Errors
/// Whatever the API server says, and when pods do not become ready.
pub async fn restore(client: &Client) -> Result<()> {
    roll(client, written).await.context("the shop's own two, as they were")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::Graph;
    use std::collections::BTreeSet;

    fn container(deployment: &Value) -> &Value {
        &deployment["spec"]["template"]["spec"]["containers"][0]
    }

    #[test]
    fn what_the_rules_refuse_differs_and_what_the_two_do_does_not() {
        let [caller, callee] =
            [Ends::LEAF.caller, Ends::LEAF.callee].map(|name| mergeable(name).expect("a Deployment"));
        let ports = |of: &Value| -> BTreeSet<u64> {
            let ports = container(of)["ports"].as_array().expect("ports");
            ports.iter().filter_map(|port| port["containerPort"].as_u64()).collect()
        };
        assert!(ports(&caller).is_disjoint(&ports(&callee)));
        for pointer in ["/name", "/volumeMounts/0/name"] {
            assert_ne!(container(&caller).pointer(pointer), container(&callee).pointer(pointer));
        }
        assert!(!container(&callee)["env"].to_string().contains("fieldRef"));
        assert_eq!(caller["metadata"]["annotations"].get(ANNOTATION_OPT_OUT), None);
        for (mergeable, name) in [(&caller, Ends::LEAF.caller), (&callee, Ends::LEAF.callee)] {
            let as_it_was = written(name).expect("a Deployment");
            assert_eq!(container(mergeable)["command"], container(&as_it_was)["command"]);
            assert_eq!(container(mergeable)["image"], container(&as_it_was)["image"]);
            let _: Deployment = serde_json::from_value(mergeable.clone()).expect("Kubernetes knows it");
        }
    }

    #[test]
    fn it_is_the_edge_into_a_leaf_with_the_most_calls() {
        let graph = Graph::parse(GRAPH).expect("a graph");
        let calls = graph.rates();
        let callers: BTreeSet<&str> = calls.keys().map(|edge| edge.source.as_str()).collect();
        let leaves = calls
            .iter()
            .filter(|(edge, _)| !callers.contains(edge.destination.as_str()));
        let (most, _) = leaves.max_by(|a, b| a.1.total_cmp(b.1)).expect("an edge");
        assert_eq!(
            [most.source.as_str(), most.destination.as_str()],
            [Ends::LEAF.caller, Ends::LEAF.callee]
        );
        let asked = Graph::parse(&asker(20).graph.to_string()).expect("a graph");
        assert_eq!(asked.entries().len(), 1);
        assert_eq!(asked.services(), graph.services());
    }
}
