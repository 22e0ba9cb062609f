//! The objects that an installation consists of, from the manifests that the binary carries.

use super::Args;
use anyhow::{Context, anyhow};
use kube::api::{ApiResource, TypeMeta};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::path::PathBuf;

macro_rules! manifest {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../../manifests/", $path)))
    };
}

type Manifest = (&'static str, &'static str);

const CRDS: [Manifest; 3] = [
    manifest!("crds/policies.huddle.dev.yaml"),
    manifest!("crds/plans.huddle.dev.yaml"),
    manifest!("crds/rules.huddle.dev.yaml"),
];
const CONTROLLER: [Manifest; 3] = [
    manifest!("controller/namespace.yaml"),
    manifest!("controller/rbac.yaml"),
    manifest!("controller/service.yaml"),
];
const DEPLOYMENT: Manifest = manifest!("controller/deployment.yaml");
const IDENTITY: Manifest = manifest!("mesh/identity.yaml");
const TIMES: Manifest = manifest!("mesh/times.yaml");
const FILTER: Manifest = manifest!("mesh/filter.yaml");
const GATEWAY: Manifest = manifest!("mesh/gateway.yaml");
const PRIVILEGE: Manifest = manifest!("admission/privilege.yaml");
const RULES: Manifest = manifest!("admission/rules.yaml");
const ACT_CLUSTER: Manifest = manifest!("admission/rbac-act-cluster.yaml");
const ACT_NAMESPACE: Manifest = manifest!("admission/rbac-act-namespace.yaml");
const ACT_TEMPLATE: Manifest = manifest!("admission/rbac-act-template.yaml");
const CELLS: Manifest = manifest!("admission/rbac-cells.yaml");

const COMPANION: Manifest = manifest!("crds/companions.huddle.dev.yaml");
const COMPANION_PRIVILEGE: Manifest = manifest!("admission/companion-privilege.yaml");
const COMPANIONS: Manifest = manifest!("admission/companions.yaml");
const MERGE_CLUSTER: Manifest = manifest!("admission/rbac-merge-cluster.yaml");
const MERGE_NAMESPACE: Manifest = manifest!("admission/rbac-merge-namespace.yaml");

/// Label on everything that Huddle's command line applies; `uninstall` goes by it.
pub(in crate::cli) const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "huddle");
/// Pod label that the filter is bound to where it comes by rolling restart.
pub(in crate::cli) const ROLLING_LABEL: (&str, &str) = ("huddle.dev/filter", "enabled");

/// The service's name within the cluster.
const HOST: &str = "huddle.huddle-system.svc.cluster.local";

/// What the filter is configured with.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Filter<'a> {
    /// SHA-256 of the module.
    pub(in crate::cli) sha256: &'a str,
    /// Milliseconds between reports until the controller says otherwise.
    pub(in crate::cli) interval_ms: u32,
    /// Bind it to pods with [`ROLLING_LABEL`] only.
    pub(in crate::cli) rolling: bool,
}

/// The definitions of Huddle's kinds.
pub(in crate::cli) fn definitions() -> anyhow::Result<Vec<DynamicObject>> {
    all(&CRDS, &[])
}

/// Everything of the controller but its Deployment. `injection` replaces the label that switches injection on. `kubelets`: it asks them,
/// and needs the right to.
pub(in crate::cli) fn controller(injection: (&str, &str), kubelets: bool) -> anyhow::Result<Vec<DynamicObject>> {
    let mut objects = all(&CONTROLLER, &[])?;
    if !kubelets {
        objects.iter_mut().for_each(without_kubelets);
    }
    objects.extend(all(&[IDENTITY], &[("namespace", super::NAMESPACE)])?);
    for object in &mut objects {
        if kind(object) == "Namespace" {
            object.labels_mut().remove("istio-injection");
            object
                .labels_mut()
                .insert(injection.0.to_owned(), injection.1.to_owned());
        }
    }
    Ok(objects)
}

/// Takes the right to ask kubelets out of a role.
fn without_kubelets(role: &mut DynamicObject) {
    if let Some(rules) = role.data.get_mut("rules").and_then(Value::as_array_mut) {
        rules.retain(|rule| rule["resources"] != json!(["nodes/metrics"]));
    }
}

/// The controller's Deployment.
pub(super) fn deployment(args: &Args) -> anyhow::Result<DynamicObject> {
    let mut object = all(&[DEPLOYMENT], &[])?.remove(0);
    let container = object
        .data
        .pointer_mut("/spec/template/spec/containers/0")
        .ok_or_else(|| anyhow!("the Deployment's manifest has no container"))?;
    container["image"] = json!(args.image);
    let mut env = vec![
        json!({"name": "HUDDLE_CLUSTER_NAME", "value": args.cluster_name}),
        json!({"name": "HUDDLE_REPORT_INTERVAL", "value": args.report_interval.to_string()}),
    ];
    if args.kubelet_insecure_tls {
        env.push(json!({"name": "HUDDLE_KUBELET_INSECURE_TLS", "value": "true"}));
    }
    env.extend(prometheus(args)?);
    if args.edge_metrics > 0 {
        env.push(json!({"name": "HUDDLE_EDGE_METRICS", "value": args.edge_metrics.to_string()}));
    }
    if args.merge() {
        env.push(json!({"name": "HUDDLE_SUPERVISOR_IMAGE", "value": args.image}));
    }
    container["env"] = json!(env);
    Ok(object)
}

/// What the controller is told of Prometheus.
fn prometheus(args: &Args) -> anyhow::Result<Vec<Value>> {
    let address = args.prometheus.check()?.map(|address| address.to_string());
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let variables = [
        ("HUDDLE_PROMETHEUS", address),
        ("HUDDLE_PROMETHEUS_TOKEN_FILE", path(&args.prometheus.token_file)),
        ("HUDDLE_PROMETHEUS_CA_FILE", path(&args.prometheus.ca_file)),
    ];
    let given = variables.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Ok(given
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect())
}

/// The filter in one namespace, in the order of application: the times, then what records them.
pub(in crate::cli) fn filter(namespace: &str, filter: &Filter<'_>) -> anyhow::Result<Vec<DynamicObject>> {
    let interval = filter.interval_ms.to_string();
    let url = format!("http://{HOST}:8080/filter.wasm");
    let mut objects = all(
        &[TIMES, FILTER],
        &[
            ("namespace", namespace),
            ("url", &url),
            ("sha256", filter.sha256),
            ("ingest_host", HOST),
            ("ingest_port", "9000"),
            ("interval_ms", &interval),
        ],
    )?;
    if filter.rolling {
        let (key, value) = ROLLING_LABEL;
        for object in &mut objects {
            let spec = &mut object.data["spec"];
            if kind_of(&object.types) == "WasmPlugin" {
                spec["selector"] = json!({"matchLabels": {key: value}});
            } else {
                spec["workloadSelector"] = json!({"labels": {key: value}});
            }
        }
    }
    Ok(objects)
}

/// Keeps the headers inside the mesh at the gateways of a namespace.
pub(in crate::cli) fn gateway(namespace: &str) -> anyhow::Result<Vec<DynamicObject>> {
    all(&[GATEWAY], &[("namespace", namespace)])
}

/// Who may write Huddle's own objects: held by the API server, always installed.
pub(in crate::cli) fn privilege() -> anyhow::Result<Vec<DynamicObject>> {
    all(&[PRIVILEGE], &[])
}

/// What acting needs once per cluster. `admission`: rules are written as Rules.
pub(in crate::cli) fn act_cluster(admission: bool) -> anyhow::Result<Vec<DynamicObject>> {
    if admission {
        all(&[RULES, ACT_CLUSTER], &[])
    } else {
        Ok(Vec::new())
    }
}

/// What labelling nodes needs, once per cluster. What it may do is held by a policy of [`privilege`], which stands before.
pub(in crate::cli) fn cells() -> anyhow::Result<Vec<DynamicObject>> {
    all(&[CELLS], &[])
}

/// The kind that merging needs.
pub(in crate::cli) fn merge_definition() -> anyhow::Result<Vec<DynamicObject>> {
    all(&[COMPANION], &[])
}

/// What merging needs once per cluster, once the kind is served: who may make Companions first, then what they do, then the right.
pub(in crate::cli) fn merge_cluster() -> anyhow::Result<Vec<DynamicObject>> {
    all(&[COMPANION_PRIVILEGE, COMPANIONS, MERGE_CLUSTER], &[])
}

/// What merging needs per namespace.
pub(in crate::cli) fn merge_namespace(namespace: &str) -> anyhow::Result<Vec<DynamicObject>> {
    within(MERGE_NAMESPACE, namespace)
}

/// What acting needs per namespace.
pub(in crate::cli) fn act_namespace(namespace: &str) -> anyhow::Result<Vec<DynamicObject>> {
    within(ACT_NAMESPACE, namespace)
}

/// What writing rules into templates needs per namespace beyond that.
pub(in crate::cli) fn act_template(namespace: &str) -> anyhow::Result<Vec<DynamicObject>> {
    within(ACT_TEMPLATE, namespace)
}

fn within((path, text): Manifest, namespace: &str) -> anyhow::Result<Vec<DynamicObject>> {
    parse(
        path,
        &text.replace("namespace: NAMESPACE", &format!("namespace: {namespace}")),
    )
}

fn all(manifests: &[Manifest], values: &[(&str, &str)]) -> anyhow::Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    for (path, text) in manifests {
        let mut text = (*text).to_owned();
        for (name, value) in values {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        objects.extend(parse(path, &text)?);
    }
    Ok(objects)
}

fn parse(path: &str, text: &str) -> anyhow::Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    for document in text.split("\n---") {
        let empty = document
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---");
        if empty {
            continue;
        }
        let value: Value = serde_saphyr::from_str(document).with_context(|| format!("manifests/{path}"))?;
        let mut object: DynamicObject = serde_json::from_value(value).with_context(|| format!("manifests/{path}"))?;
        object.labels_mut().insert(PART_OF.0.to_owned(), PART_OF.1.to_owned());
        objects.push(object);
    }
    Ok(objects)
}

fn kind_of(types: &Option<TypeMeta>) -> &str {
    types.as_ref().map_or("", |types| types.kind.as_str())
}

/// The object's kind.
pub(in crate::cli) fn kind(object: &DynamicObject) -> &str {
    kind_of(&object.types)
}

/// `Kind namespace/name`.
pub(in crate::cli) fn title(object: &DynamicObject) -> String {
    match object.namespace() {
        Some(namespace) => format!("{} {namespace}/{}", kind(object), object.name_any()),
        None => format!("{} {}", kind(object), object.name_any()),
    }
}

/// The API to write an object through.
///
/// # Errors
/// If the object does not say what it is.
pub(in crate::cli) fn api(client: &Client, object: &DynamicObject) -> anyhow::Result<Api<DynamicObject>> {
    let types = object
        .types
        .as_ref()
        .ok_or_else(|| anyhow!("an object without a kind"))?;
    let kind = GroupVersionKind::try_from(types)?;
    let resource = ApiResource::from_gvk_with_plural(&kind, &plural(&kind.kind));
    Ok(match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

/// Plurals of the kinds that occur here.
pub(in crate::cli) fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if lower.ends_with('s') => format!("{lower}es"),
        None => format!("{lower}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(more: &[&str]) -> Args {
        let line = ["x", "--image", "r/huddle:1"].iter().chain(more);
        <Line as clap::Parser>::parse_from(line).args
    }

    fn titles(objects: &[DynamicObject]) -> Vec<String> {
        objects.iter().map(title).collect()
    }

    #[test]
    fn every_manifest_is_readable_and_marked() {
        let named = |args: &Args| {
            let object = super::deployment(args).unwrap();
            let env = object.data.pointer("/spec/template/spec/containers/0/env").cloned();
            env.unwrap_or_default().to_string().contains("HUDDLE_SUPERVISOR_IMAGE")
        };
        assert!(named(&args(&["-n", "shop", "--allow", "act,merge"])));
        assert!(
            !named(&args(&["-n", "shop", "--allow", "act"])),
            "companions are made nowhere"
        );
        let filter_of = Filter {
            sha256: "abc",
            interval_ms: 5_000,
            rolling: false,
        };
        let everything: Vec<DynamicObject> = [
            definitions().unwrap(),
            controller(("istio-injection", "enabled"), true).unwrap(),
            vec![deployment(&args(&[])).unwrap()],
            filter("shop", &filter_of).unwrap(),
            gateway("istio-ingress").unwrap(),
            privilege().unwrap(),
            act_cluster(true).unwrap(),
            act_namespace("shop").unwrap(),
            act_template("shop").unwrap(),
            cells().unwrap(),
            merge_definition().unwrap(),
            merge_cluster().unwrap(),
            merge_namespace("shop").unwrap(),
        ]
        .concat();
        insta::assert_debug_snapshot!(titles(&everything));
        for object in &everything {
            assert_eq!(
                object.labels().get(PART_OF.0).map(String::as_str),
                Some(PART_OF.1),
                "{}",
                title(object)
            );
            let text = serde_json::to_string(object).unwrap();
            assert!(!text.contains("{{") && !text.contains("NAMESPACE"), "{text}");
        }
    }

    #[test]
    fn the_image_and_the_rolling_selector_are_set() {
        let deployment = deployment(&args(&["--kubelet-insecure-tls"])).unwrap();
        let env = deployment.data.pointer("/spec/template/spec/containers/0/env/2/name");
        assert_eq!(env, Some(&json!("HUDDLE_KUBELET_INSECURE_TLS")));
        let image = deployment.data.pointer("/spec/template/spec/containers/0/image");
        assert_eq!(image, Some(&json!("r/huddle:1")));
        let filter_of = Filter {
            sha256: "abc",
            interval_ms: 5_000,
            rolling: true,
        };
        let objects = filter("shop", &filter_of).unwrap();
        assert_eq!(
            objects[0].data.pointer("/spec/workloadSelector/labels"),
            Some(&json!({"huddle.dev/filter": "enabled"}))
        );
        assert_eq!(
            objects[1].data.pointer("/spec/selector/matchLabels"),
            Some(&json!({"huddle.dev/filter": "enabled"}))
        );
    }

    #[test]
    fn with_prometheus_kubelets_are_not_asked_and_no_right_to_is_given() {
        let flags = [
            "--prometheus",
            "https://prometheus.monitoring:9090/prom/",
            "--prometheus-token-file",
            "/t",
        ];
        let deployment = deployment(&args(&flags)).unwrap();
        let env = deployment.data.pointer("/spec/template/spec/containers/0/env").unwrap();
        assert_eq!(
            env.as_array().unwrap()[2..],
            [
                json!({"name": "HUDDLE_PROMETHEUS", "value": "https://prometheus.monitoring:9090/prom"}),
                json!({"name": "HUDDLE_PROMETHEUS_TOKEN_FILE", "value": "/t"})
            ]
        );
        let may = |kubelets| {
            let objects = controller(("istio-injection", "enabled"), kubelets).unwrap();
            let role = objects
                .iter()
                .find(|object| title(object) == "ClusterRole huddle-read")
                .unwrap();
            let rules = role.data["rules"].as_array().unwrap();
            (
                rules.len(),
                rules.iter().any(|rule| rule.to_string().contains("nodes/metrics")),
            )
        };
        let (all, asked) = may(true);
        assert!(asked);
        assert_eq!(may(false), (all - 1, false));

        let secret = super::deployment(&args(&["--prometheus", "http://a:secret@b"]))
            .unwrap_err()
            .to_string();
        assert!(
            secret.starts_with("--prometheus") && !secret.contains("secret"),
            "{secret}"
        );
    }

    #[test]
    fn rights_follow_the_revision_label() {
        let objects = controller(("istio.io/rev", "stable"), true).unwrap();
        let labels = objects[0].labels();
        assert_eq!(labels.get("istio.io/rev").map(String::as_str), Some("stable"));
        assert!(!labels.contains_key("istio-injection"));
    }

    #[test]
    fn plurals() {
        assert_eq!(plural("NetworkPolicy"), "networkpolicies");
        assert_eq!(
            plural("MutatingAdmissionPolicyBinding"),
            "mutatingadmissionpolicybindings"
        );
        assert_eq!(plural("Ingress"), "ingresses");
    }
}
