//! What the cluster is like before anything is changed.

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};

/// Istio's default for `drainDuration`, in seconds.
const DRAIN_S: u64 = 45;

/// The oldest Istio, as README says. Companions' routes have a header made by CEL, which Envoy builds in since 1.34: the proxies of Istio
/// 1.26. Nothing older than 1.31 was tried.
const OLDEST: Release = Release(1, 27);

/// Major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Release(u32, u32);

/// The mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mesh {
    /// istiod's version, as far as its image or labels tell.
    pub(super) version: String,
    /// Where istiod runs.
    pub(super) namespace: String,
    /// How long requests on old listeners may go on, in seconds.
    pub(super) drain_s: u64,
}

/// One namespace to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its name.
    pub(super) name: String,
    /// Running pods with a sidecar.
    pub(super) meshed: usize,
    /// Running pods without.
    pub(super) bare: usize,
    /// The label that switches injection on there.
    pub(super) injection: (String, String),
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) mesh: Mesh,
    /// Smallest first: the first wave is the trial.
    pub(super) targets: Vec<Target>,
    /// Namespaces with ingress gateways.
    pub(super) gateways: Vec<String>,
    /// The API server serves MutatingAdmissionPolicy v1.
    pub(super) admission: bool,
    /// Huddle's Deployment is there already.
    pub(super) installed: bool,
}

/// Looks at everything that an installation needs. Changes nothing.
///
/// # Errors
/// If something is missing that Huddle cannot do without, with what to do.
pub(super) async fn look(client: &Client, wanted: &[String], (act, cells): (bool, bool)) -> anyhow::Result<Found> {
    let version = client
        .apiserver_version()
        .await
        .context("the cluster cannot be reached")?;
    let mesh = mesh(client).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), super::NAMESPACE);
    let installed = deployments.get_opt("huddle-controller").await?.is_some();
    rights(client, (act, cells), installed).await?;
    let mut targets = Vec::new();
    for namespace in wanted {
        targets.push(target(client, namespace).await?);
    }
    targets.sort_by(|a, b| (a.meshed, &a.name).cmp(&(b.meshed, &b.name)));
    let admission = serves(client, "admissionregistration.k8s.io/v1", "mutatingadmissionpolicies").await?;
    ensure!(
        serves(client, "admissionregistration.k8s.io/v1", "validatingadmissionpolicies").await?,
        "Kubernetes {} serves no ValidatingAdmissionPolicy v1, which protects Huddle's rules: 1.30 is the oldest version that does",
        version.git_version
    );
    Ok(Found {
        mesh,
        targets,
        gateways: gateways(client).await?,
        admission,
        installed,
    })
}

async fn mesh(client: &Client) -> anyhow::Result<Mesh> {
    for (group, kind) in [
        ("extensions.istio.io/v1alpha1", "wasmplugins"),
        ("networking.istio.io/v1alpha3", "envoyfilters"),
        ("security.istio.io/v1", "peerauthentications"),
    ] {
        ensure!(
            serves(client, group, kind).await?,
            "this cluster serves no {kind} ({group}): Huddle needs Istio with sidecars, 1.27 or newer"
        );
    }
    let all: Api<Deployment> = Api::all(client.clone());
    let list = all.list(&ListParams::default().labels("app=istiod")).await?;
    let Some(istiod) = list.items.first() else {
        bail!("no istiod found (a Deployment labelled app=istiod): is Istio's control plane outside this cluster?");
    };
    for istiod in &list.items {
        if let Some(older) = old(tag(istiod)) {
            let (namespace, name) = (istiod.namespace().unwrap_or_default(), istiod.name_any());
            let Release(major, minor) = OLDEST;
            bail!(
                "Deployment {namespace}/{name} is Istio {older}: Huddle needs {major}.{minor} or newer. Upgrade the mesh; where that is done \
                 revision by revision, take the old one away first"
            );
        }
    }
    let namespace = istiod.namespace().unwrap_or_default();
    Ok(Mesh {
        version: tag(istiod).unwrap_or("of unknown version").to_owned(),
        drain_s: drain(client, &namespace).await,
        namespace,
    })
}

/// The tag of the image that istiod runs.
fn tag(istiod: &Deployment) -> Option<&str> {
    let pod = istiod.spec.as_ref()?.template.spec.as_ref()?;
    let image = pod.containers.first()?.image.as_deref()?;
    // What a digest names tells nothing; what stands before it may.
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    let (_, tag) = image
        .rsplit_once('/')
        .map_or(image, |(_, name)| name)
        .rsplit_once(':')?;
    Some(tag)
}

/// A tag that surely is of an Istio that is too old: one that begins with a version. Vendors and builds of one's own write other things.
fn old(tag: Option<&str>) -> Option<&str> {
    tag.filter(|tag| release(tag).is_some_and(|release| release < OLDEST))
}

fn release(tag: &str) -> Option<Release> {
    let mut numbers = tag.trim_start_matches('v').split(['.', '-']).map(str::parse);
    Some(Release(numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The mesh's drain duration; Istio's default where nothing else is said.
async fn drain(client: &Client, namespace: &str) -> u64 {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let config = maps.get_opt("istio").await.ok().flatten();
    let text = config.and_then(|map| map.data?.remove("mesh"));
    text.and_then(|text| drain_in(&text)).unwrap_or(DRAIN_S)
}

fn drain_in(mesh: &str) -> Option<u64> {
    let config: serde_json::Value = serde_saphyr::from_str(mesh).ok()?;
    let duration = config.pointer("/defaultConfig/drainDuration")?.as_str()?;
    duration
        .strip_suffix('s')?
        .parse::<f64>()
        .ok()
        .map(|seconds| seconds.ceil() as u64)
}

async fn serves(client: &Client, group: &str, plural: &str) -> anyhow::Result<bool> {
    match client.list_api_group_resources(group).await {
        Ok(list) => Ok(list.resources.iter().any(|resource| resource.name == plural)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot ask what the cluster serves in {group}")),
    }
}

/// Asks for a few rights that stand for the rest, so that an installation does not stop half-way.
async fn rights(client: &Client, (act, cells): (bool, bool), installed: bool) -> anyhow::Result<()> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut needed = vec![
        ("apiextensions.k8s.io", "customresourcedefinitions", "create"),
        ("rbac.authorization.k8s.io", "clusterroles", "create"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", "create"),
        ("networking.istio.io", "envoyfilters", "create"),
        ("extensions.istio.io", "wasmplugins", "create"),
        ("", "namespaces", "create"),
    ];
    if act {
        needed.push(("", "namespaces", "patch"));
        needed.push(("admissionregistration.k8s.io", "mutatingadmissionpolicies", "create"));
    }
    if installed {
        // What this line does not name any more is taken away.
        needed.push(("rbac.authorization.k8s.io", "roles", "delete"));
        needed.push(("extensions.istio.io", "wasmplugins", "delete"));
        needed.push(("", "namespaces", "patch"));
    }
    if cells {
        // Nobody gives a right that they have not.
        needed.push(("", "nodes", "patch"));
    }
    let mut missing = Vec::new();
    for (group, resource, verb) in needed {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = reviews.create(&PostParams::default(), &review).await?;
        if !answer.status.is_some_and(|status| status.allowed) {
            missing.push(format!("{verb} {resource}"));
        }
    }
    ensure!(
        missing.is_empty(),
        "you may not do everything that an installation does: {}",
        missing.join(", ")
    );
    Ok(())
}

async fn target(client: &Client, name: &str) -> anyhow::Result<Target> {
    ensure!(
        name != super::NAMESPACE,
        "{name} is Huddle's own namespace and is not measured"
    );
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let Some(namespace) = namespaces.get_opt(name).await? else {
        bail!("there is no namespace {name}");
    };
    let label = |key: &str| namespace.labels().get(key).filter(|value| !value.is_empty()).cloned();
    let injection = match (label("istio-injection"), label("istio.io/rev")) {
        (Some(value), _) if value == "enabled" => ("istio-injection".to_owned(), value),
        (None, Some(revision)) => ("istio.io/rev".to_owned(), revision),
        _ => bail!(
            "namespace {name} is not in the mesh (no label istio-injection=enabled or istio.io/rev): nothing could be measured there"
        ),
    };
    let (meshed, bare) = pods(client, name).await?;
    Ok(Target {
        name: name.to_owned(),
        meshed: meshed.len(),
        bare,
        injection,
    })
}

/// Names of running pods with a sidecar, and the number of those without.
pub(super) async fn pods(client: &Client, namespace: &str) -> anyhow::Result<(Vec<String>, usize)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default().fields("status.phase=Running")).await?;
    let (meshed, bare): (Vec<&Pod>, Vec<&Pod>) = list
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .partition(|pod| has_sidecar(pod));
    let ready = meshed.into_iter().filter(|pod| super::super::connect::is_ready(pod));
    Ok((ready.map(ResourceExt::name_any).collect(), bare.len()))
}

fn has_sidecar(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.any(|container| container.name == huddle_api::SIDECAR)
    })
}

/// Namespaces of ingress gateways: Services that Istio's charts or the Gateway API made.
async fn gateways(client: &Client) -> anyhow::Result<Vec<String>> {
    let services: Api<Service> = Api::all(client.clone());
    let mut namespaces = std::collections::BTreeSet::new();
    for selector in [
        "istio=ingressgateway",
        "istio=ingress",
        "gateway.networking.k8s.io/gateway-name",
    ] {
        let list = services.list(&ListParams::default().labels(selector)).await?;
        namespaces.extend(list.iter().filter_map(ResourceExt::namespace));
    }
    Ok(namespaces.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::{drain_in, old};

    #[test]
    fn only_a_version_that_is_surely_too_old_is() {
        for tag in ["1.26.8", "1.24-alpha.1", "1.22.0-distroless", "v1.9.0", "0.8.0"] {
            assert_eq!(old(Some(tag)), Some(tag));
        }
        for tag in [
            "1.27.0",
            "1.31.1-distroless",
            "v2.0.0",
            "1.27-alpha.9",
            "latest",
            "asm-1264-2",
            "1",
            "",
        ] {
            assert_eq!(old(Some(tag)), None, "{tag}");
        }
        assert_eq!(old(None), None);
    }

    #[test]
    fn the_drain_duration_is_read_from_the_mesh_configuration() {
        assert_eq!(drain_in("defaultConfig:\n  drainDuration: 90s\n"), Some(90));
        assert_eq!(drain_in("accessLogFile: /dev/stdout\n"), None);
        assert_eq!(drain_in(": : :"), None);
    }
}
