//! Control planes for the border tests, with Huddle's definitions, policies and roles installed.

use super::kubelets::make_node;
use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use huddle_tests::bed::ControlPlane;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::sync::OnceCell;

/// The user as whom the controller acts: held by its real roles and policies.
const CONTROLLER: &str = "system:serviceaccount:huddle-system:huddle-controller";
/// Nodes of the wide cluster, named `node-1` and on.
pub(crate) const WIDTH: usize = 1_000;
pub(crate) const NODES: [&str; 4] = ["node-1", "node-2", "node-3", "node-4"];

/// The running control plane.
pub(crate) struct Cluster {
    _plane: ControlPlane,
    kubeconfig: PathBuf,
}

static SHARED: OnceCell<Cluster> = OnceCell::const_new();
static WIDE: OnceCell<Cluster> = OnceCell::const_new();
static SWITCHED: OnceCell<Cluster> = OnceCell::const_new();
static COMPANIONED: OnceCell<Cluster> = OnceCell::const_new();
static BREAKABLE: OnceCell<Cluster> = OnceCell::const_new();

/// The control plane of most tests, started at first use.
pub(crate) async fn shared() -> &'static Cluster {
    let start = || async { Cluster::start().await.expect("the control plane starts") };
    SHARED.get_or_init(start).await
}

/// Another one, for the tests that break its policies and switch them off.
pub(crate) async fn switched() -> &'static Cluster {
    let start = || async { Cluster::start().await.expect("the control plane starts") };
    SWITCHED.get_or_init(start).await
}

/// One where merging is allowed; the others do not know of it.
pub(crate) async fn companioned() -> &'static Cluster {
    let start = || async {
        let cluster = Cluster::start().await.expect("the control plane starts");
        cluster.allow_merging().await.expect("merging is allowed");
        cluster
    };
    COMPANIONED.get_or_init(start).await
}

/// Another of the kind, whose policies a test breaks.
pub(crate) async fn breakable() -> &'static Cluster {
    let start = || async {
        let cluster = Cluster::start().await.expect("the control plane starts");
        cluster.allow_merging().await.expect("merging is allowed");
        cluster
    };
    BREAKABLE.get_or_init(start).await
}

/// A third one, with a thousand nodes: of so many the scheduler scores a sample.
pub(crate) async fn wide() -> &'static Cluster {
    let start = || async {
        let cluster = Cluster::start().await.expect("the control plane starts");
        cluster.widen().await.expect("the nodes are made");
        cluster
    };
    WIDE.get_or_init(start).await
}

impl Cluster {
    async fn start() -> Result<Self> {
        let plane = tokio::task::spawn_blocking(ControlPlane::start).await??;
        let kubeconfig = plane.kubeconfig();
        let cluster = Self {
            _plane: plane,
            kubeconfig,
        };
        let admin = Client::try_from(cluster.config(None).await?)?;
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        apply(
            &admin,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "huddle-system"}}),
        )
        .await?;
        apply(
            &admin,
            json!({"apiVersion": "v1", "kind": "ServiceAccount",
                   "metadata": {"name": "huddle-controller", "namespace": "huddle-system"}}),
        )
        .await?;
        for kind in ["policies", "plans", "rules"] {
            apply_file(&admin, &repository.join(format!("crds/{kind}.huddle.dev.yaml")), &[]).await?;
        }
        for file in ["rules", "privilege", "rbac-act-cluster"] {
            apply_file(&admin, &repository.join(format!("admission/{file}.yaml")), &[]).await?;
        }
        apply_file(
            &admin,
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/border/roles.yaml")
                .as_path(),
            &[],
        )
        .await?;
        super::kubelets::start(&admin).await?;
        let config = cluster.config(None).await?;
        super::kubelets::play(async move { Client::try_from(config).expect("a client is made") });
        Ok(cluster)
    }

    async fn allow_merging(&self) -> Result<()> {
        let admin = self.admin().await;
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        apply_file(&admin, &manifests.join("crds/companions.huddle.dev.yaml"), &[]).await?;
        super::scene::wait("the kind is served", async || {
            let all: Api<huddle_api::Companion> = Api::all(admin.clone());
            all.list(&ListParams::default()).await?;
            Ok(())
        })
        .await?;
        for file in ["companion-privilege", "companions", "rbac-merge-cluster"] {
            apply_file(&admin, &manifests.join(format!("admission/{file}.yaml")), &[]).await?;
        }
        Ok(())
    }

    async fn widen(&self) -> Result<()> {
        let admin = Client::try_from(self.config(None).await?)?;
        let names: Vec<String> = (NODES.len() + 1..=WIDTH)
            .map(|number| format!("node-{number}"))
            .collect();
        let made = names
            .iter()
            .enumerate()
            .map(|(index, name)| make_node(&admin, name, index));
        futures::stream::iter(made)
            .buffer_unordered(16)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn config(&self, user: Option<&str>) -> Result<Config> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.auth_info.impersonate = user.map(str::to_owned);
        Ok(config)
    }

    /// A client of the administrator.
    pub(crate) async fn admin(&self) -> Client {
        self.user(None).await
    }

    /// A client of somebody.
    pub(crate) async fn user(&self, name: Option<&str>) -> Client {
        let config = self.config(name).await.expect("the kubeconfig is read");
        huddle::act::client(config).expect("a client is made")
    }

    /// The controller's configuration, for a client with faults.
    pub(crate) async fn controller_config(&self) -> Config {
        let mut config = self.config(Some(CONTROLLER)).await.expect("the kubeconfig is read");
        config.default_retry = false;
        config
    }
}

/// Applies every document of a file, with words replaced.
pub(crate) async fn apply_file(client: &Client, file: &Path, words: &[(&str, &str)]) -> Result<()> {
    let mut text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    for (from, to) in words {
        text = text.replace(from, to);
    }
    for document in serde_saphyr::from_multiple::<serde_json::Value>(&text)? {
        if document.is_object() {
            apply(client, document)
                .await
                .with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

/// Applies one object, whatever it is.
pub(crate) async fn apply(client: &Client, object: serde_json::Value) -> Result<()> {
    let dynamic = DynamicObject::deserialize(&object)?;
    let types = dynamic.types.clone().context("an object has a kind")?;
    let kind = GroupVersionKind::try_from(&types)?;
    let mut resource = ApiResource::from_gvk(&kind);
    if kind.kind.ends_with("Policy") {
        resource.plural = format!("{}policies", kind.kind.to_lowercase().trim_end_matches("policy"));
    }
    let api: Api<DynamicObject> = match &dynamic.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = dynamic.metadata.name.clone().context("an object has a name")?;
    api.patch(&name, &PatchParams::apply("border").force(), &Patch::Apply(&object))
        .await?;
    Ok(())
}
