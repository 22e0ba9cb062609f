//! What rollback must bring back: Services' routing, Deployments' templates, rules, nodes' labels. Compared object by object.

use anyhow::{Context, Result};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, Service},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The specs of a namespace's objects that Huddle may change, and its labels of nodes, by kind and name.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects(BTreeMap<String, Value>);

impl Objects {
    /// Reads them.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn read(client: &Client, namespace: &str) -> Result<Self> {
        let mut objects = BTreeMap::new();
        let all = ListParams::default();
        for service in Api::<Service>::namespaced(client.clone(), namespace)
            .list(&all)
            .await?
            .items
        {
            objects.insert(
                format!("Service {}", service.name_any()),
                serde_json::to_value(&service.spec)?,
            );
        }
        for deployment in Api::<Deployment>::namespaced(client.clone(), namespace)
            .list(&all)
            .await?
            .items
        {
            objects.insert(
                format!("Deployment {}", deployment.name_any()),
                serde_json::to_value(&deployment.spec)?,
            );
        }
        let rules = ApiResource::from_gvk(&GroupVersionKind::gvk("huddle.dev", "v1alpha1", "Rule"));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &rules);
        for rule in api.list(&all).await.context("list Huddle's rules")?.items {
            objects.insert(
                format!("Rule {}", rule.name_any()),
                rule.data.get("spec").cloned().unwrap_or_default(),
            );
        }
        for node in Api::<Node>::all(client.clone()).list(&all).await?.items {
            let ours = node.labels().iter().filter(|(key, _)| key.starts_with("huddle.dev/"));
            let ours: BTreeMap<_, _> = ours.collect();
            objects.insert(format!("Node {}", node.name_any()), serde_json::to_value(ours)?);
        }
        Ok(Self(objects))
    }

    /// One line for each object that is not as it was.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, was) in &self.0 {
            match now.0.get(name) {
                None => lines.push(format!("- {name}: gone")),
                Some(is) if is != was => lines.push(format!("~ {name}: was {was}, is {is}")),
                Some(_) => {}
            }
        }
        lines.extend(
            now.0
                .keys()
                .filter(|name| !self.0.contains_key(*name))
                .map(|name| format!("+ {name}: new")),
        );
        lines
    }
}
