//! The kubelets' counters, read through the API server by code that Huddle does not share.

use anyhow::{Context, Result};
use http::Request;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, ResourceExt, api::ListParams};
use std::collections::BTreeMap;

/// A container: its pod's name and its own.
pub(crate) type Container = (String, String);

/// One container's counters, as its kubelet last told them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// When cAdvisor looked, ms since the epoch.
    at: i64,
    cpu_seconds: f64,
    periods: f64,
    throttled: f64,
    memory_bytes: f64,
}

impl Counters {
    /// Mean use since `before`, thousandths of a processor; `None` where cAdvisor has not looked since.
    pub(crate) fn cpu_since(&self, before: &Self) -> Option<f64> {
        let ms = self.at - before.at;
        (ms > 0).then(|| (self.cpu_seconds - before.cpu_seconds) * 1e6 / ms as f64)
    }

    /// Working set at that look, bytes.
    pub(crate) fn memory_bytes(&self) -> f64 {
        self.memory_bytes
    }

    /// Throttled ÷ all periods since `before`; `None` where there were none.
    pub(crate) fn throttled_since(&self, before: &Self) -> Option<f64> {
        let periods = self.periods - before.periods;
        (periods > 0.0).then(|| (self.throttled - before.throttled) / periods)
    }
}

/// The counters of all containers of a namespace.
pub(crate) async fn counters(client: &Client, namespace: &str) -> Result<BTreeMap<Container, Counters>> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
    let mut all = BTreeMap::new();
    for node in nodes {
        let uri = format!("/api/v1/nodes/{}/proxy/metrics/cadvisor", node.name_any());
        let request = Request::get(&uri).body(Vec::new())?;
        let text = client.request_text(request).await.with_context(|| uri.clone())?;
        read(&text, namespace, &mut all);
    }
    Ok(all)
}

fn read(text: &str, namespace: &str, all: &mut BTreeMap<Container, Counters>) {
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let Some((labels, values)) = rest.rsplit_once('}') else {
            continue;
        };
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let (Some(pod), Some(container)) = (label("pod"), label("container")) else {
            continue;
        };
        if label("namespace") != Some(namespace) || container.is_empty() {
            continue;
        }
        let mut words = values.split_whitespace();
        let value = words.next().and_then(|word| word.parse::<f64>().ok());
        let at = words.next().and_then(|word| word.parse::<i64>().ok());
        let (Some(value), Some(at)) = (value, at) else {
            continue;
        };
        let counters: &mut Counters = all.entry((pod.to_owned(), container.to_owned())).or_default();
        match name {
            "container_cpu_usage_seconds_total" => {
                counters.cpu_seconds = value;
                counters.at = at;
            }
            "container_memory_working_set_bytes" => counters.memory_bytes = value,
            "container_cpu_cfs_periods_total" => counters.periods = value,
            "container_cpu_cfs_throttled_periods_total" => counters.throttled = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_pod_and_container_and_compared() {
        let lines = |cpu: f64, periods: u64, throttled: u64, at: i64| {
            let labels = r#"container="shop",id="/x",image="i",name="n",namespace="shop",pod="a-1""#;
            format!(
                "# HELP nothing\ncontainer_cpu_usage_seconds_total{{{labels},cpu=\"total\"}} {cpu} {at}\n\
                 container_memory_working_set_bytes{{{labels}}} 4096 {at}\n\
                 container_cpu_cfs_periods_total{{{labels}}} {periods} {at}\n\
                 container_cpu_cfs_throttled_periods_total{{{labels}}} {throttled} {at}\n\
                 container_cpu_usage_seconds_total{{container=\"\",namespace=\"shop\",pod=\"a-1\"}} 9 {at}\n\
                 container_cpu_usage_seconds_total{{container=\"shop\",namespace=\"load\",pod=\"b\"}} 9 {at}\n"
            )
        };
        let read = |text: String| {
            let mut all = BTreeMap::new();
            super::read(&text, "shop", &mut all);
            assert_eq!(all.len(), 1);
            all[&("a-1".to_owned(), "shop".to_owned())]
        };
        let (before, after) = (read(lines(1.0, 100, 10, 1_000)), read(lines(1.5, 200, 60, 11_000)));
        assert_eq!(after.cpu_since(&before), Some(50.0));
        assert_eq!(after.throttled_since(&before), Some(0.5));
        assert_eq!(before.cpu_since(&before), None);
        assert_eq!(after.memory_bytes(), 4096.0);
    }
}
