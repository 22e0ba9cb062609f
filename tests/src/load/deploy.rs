//! The load generators in their namespace, with sidecars: they are callers in the mesh like any other.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::fortio::{Fortio, FortioError, Outcome, Run, RunId};
use crate::{
    pods::{PodPort, apply, running},
    shop::{
        ADMIN_PORT, DeployError, EntryReport, Graph, Mebibytes, MilliCpu, Resources, Window, create_namespace,
        manifests::{self, ManifestError, PROGRAM},
    },
    wait::until,
};

/// The load's namespace.
pub const NAMESPACE: &str = "load";
/// fortio's image, as the bed builds it.
pub const FORTIO_IMAGE: &str = "registry.local/fortio:1";
/// Where fortio's server listens for its REST interface.
const FORTIO_PORT: u16 = 8080;
/// The entry fortio drives; the driver leaves it out.
const HEADLINE: &str = "home";

/// Both generators on a cluster. The driver drives from the moment it is deployed; fortio when it is told to.
#[derive(Clone)]
pub struct Load {
    driver: PodPort,
    fortio: Fortio,
    run: Run,
}

impl Load {
    /// Deploys both generators for the graph and waits until they are ready. The driver starts driving at once.
    ///
    /// # Errors
    /// [`DeployError`]; a late one says what is missing.
    pub async fn deploy(client: &Client, graph: &str, limit: Duration) -> Result<Self, DeployError> {
        let shop = Graph::parse(graph).map_err(ManifestError::from)?;
        create_namespace(client, &manifests::namespace(NAMESPACE)?).await?;
        apply(client, NAMESPACE, &manifests::config(NAMESPACE, graph)?).await?;
        let target = target(&shop);
        for deployment in [fortio()?, driver(shop.image(), &target)?] {
            apply(client, NAMESPACE, &deployment).await?;
        }
        let pod = async |app: &str| until(format!("the {app} pod"), limit, async || ready_pod(client, app).await).await;
        let rate = shop
            .entries()
            .iter()
            .find(|entry| entry.name.as_str() == HEADLINE)
            .map_or(1.0, |entry| entry.rate);
        let url = format!("http://{target}/{HEADLINE}");
        Ok(Self {
            fortio: Fortio::new(PodPort::new(client, NAMESPACE, &pod("fortio").await?, FORTIO_PORT)),
            driver: PodPort::new(client, NAMESPACE, &pod("driver").await?, ADMIN_PORT),
            run: Run {
                url,
                rate,
                timeout: shop.timeout(),
            },
        })
    }

    /// Starts fortio on the home page at the graph's rate.
    ///
    /// # Errors
    /// If the pod does not answer.
    pub async fn start(&self) -> Result<RunId, FortioError> {
        self.fortio.start(&self.run).await
    }

    /// Starts fortio on the home page at a share of the graph's rate.
    ///
    /// # Errors
    /// If the pod does not answer.
    pub async fn start_at(&self, share: f64) -> Result<RunId, FortioError> {
        let mut run = self.run.clone();
        run.rate *= share;
        self.fortio.start(&run).await
    }

    /// Ends a window of fortio's load and starts the next one.
    ///
    /// # Errors
    /// If the pod does not answer or the result does not come.
    pub async fn next_window(&self, run: RunId) -> Result<(RunId, Outcome), FortioError> {
        let outcome = self.fortio.stop(run).await?;
        Ok((self.start().await?, outcome))
    }

    /// Ends fortio's load.
    ///
    /// # Errors
    /// If the pod does not answer or the result does not come.
    pub async fn stop(&self, run: RunId) -> Result<Outcome, FortioError> {
        self.fortio.stop(run).await
    }

    /// Holds the driver and waits until all it asked has been answered: what was counted so far is then complete.
    ///
    /// # Errors
    /// If the pod does not answer.
    pub async fn pause_driver(&self) -> Result<(), DeployError> {
        self.driver.send(Method::POST, "/pause", &()).await?;
        Ok(())
    }

    /// Lets the driver drive again.
    ///
    /// # Errors
    /// If the pod does not answer.
    pub async fn resume_driver(&self) -> Result<(), DeployError> {
        self.driver.send(Method::POST, "/resume", &()).await?;
        Ok(())
    }

    /// What the driver saw in a window of whole seconds, by entry.
    ///
    /// # Errors
    /// If the pod does not answer.
    pub async fn driven(&self, window: Window) -> Result<Vec<EntryReport>, DeployError> {
        let bound = |name, second: Option<u64>| second.map(|second| format!("{name}={second}"));
        let query: Vec<String> = [bound("from", window.from), bound("to", window.to)]
            .into_iter()
            .flatten()
            .collect();
        Ok(self.driver.get(&format!("/report?{}", query.join("&"))).await?)
    }
}

/// Host and port of the entries' service, as seen from another namespace.
fn target(graph: &Graph) -> String {
    let service = graph
        .entries()
        .first()
        .and_then(|entry| graph.service(&entry.to.service));
    service.map_or_else(String::new, |of| {
        format!("{}.{}:{}", of.name, graph.namespace(), of.port)
    })
}

async fn ready_pod(client: &Client, app: &str) -> Result<String, String> {
    let pods = running(client, NAMESPACE, &format!("app={app}"))
        .await
        .map_err(|error| error.to_string())?;
    let ready = pods.iter().find(|pod| {
        let conditions = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    ready
        .map(ResourceExt::name_any)
        .ok_or_else(|| format!("{} running, none ready", pods.len()))
}

fn fortio() -> Result<Deployment, ManifestError> {
    let container = json!({
        "image": FORTIO_IMAGE,
        "command": ["fortio", "server", "-http-port", FORTIO_PORT.to_string(), "-data-dir", "/data",
            "-grpc-port", "disabled", "-tcp-port", "disabled", "-udp-port", "disabled", "-redirect-port", "disabled"],
        "readinessProbe": {"httpGet": {"path": "/fortio/rest/status", "port": FORTIO_PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    });
    deployment(
        "fortio",
        FORTIO_PORT,
        container,
        json!([{"name": "data", "emptyDir": {}}]),
    )
}

fn driver(image: &str, target: &str) -> Result<Deployment, ManifestError> {
    let container = json!({
        "image": image,
        "command": [PROGRAM, "drive"],
        "env": [
            {"name": "SHOP_GRAPH", "value": "/etc/shop/graph.yaml"},
            {"name": "SHOP_TARGET", "value": target},
            {"name": "SHOP_WITHOUT", "value": HEADLINE},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": ADMIN_PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "graph", "mountPath": "/etc/shop", "readOnly": true}],
    });
    deployment(
        "driver",
        ADMIN_PORT,
        container,
        json!([{"name": "graph", "configMap": {"name": manifests::GRAPH_CONFIG}}]),
    )
}

/// One pod; its control port is left out of the mesh.
fn deployment(name: &str, control: u16, mut container: Value, volumes: Value) -> Result<Deployment, ManifestError> {
    let sidecar = Resources {
        cpu: MilliCpu::new(50),
        memory: Mebibytes::new(96),
    };
    container["name"] = json!(name);
    container["imagePullPolicy"] = json!("IfNotPresent");
    container["resources"] = json!({"requests": {"cpu": "50m", "memory": "64Mi"}});
    let mut annotations = manifests::annotations(sidecar, "load");
    annotations.insert("traffic.sidecar.istio.io/excludeInboundPorts", control.to_string());
    let labels = json!({"app": name});
    manifests::object(
        name,
        json!({"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}, "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"enableServiceLinks": false, "containers": [container], "volumes": volumes},
            },
        }}),
    )
}
