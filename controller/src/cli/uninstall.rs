//! `huddle uninstall`: undoes what Huddle did, then takes away what it installed. Needs no controller.

use super::install::objects::{self, PART_OF, ROLLING_LABEL};
use super::install::{delete, restart, step};
use super::undo;
use super::wait::until;
use super::{Outcome, Style, ask, connect};
use crate::args::Connection;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{ApiResource, ListParams, Patch, PatchParams, TypeMeta};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Flags of `huddle uninstall`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Leave rules and routing as they are, with the kinds and admission policies that they need.
    #[arg(long)]
    pub keep: bool,
    /// Take the filter away by rolling restarts where it came that way; else listeners change once.
    #[arg(long)]
    pub rolling: bool,
    /// Seconds to wait for the controller to roll its plans back before doing it without it.
    #[arg(long, default_value_t = 600)]
    pub patience: u64,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

/// Kinds that Huddle installs, in the order in which they are taken away; whether `--keep` leaves them.
const KINDS: [(&str, &str, bool); 16] = [
    ("extensions.istio.io/v1alpha1", "WasmPlugin", false),
    ("networking.istio.io/v1alpha3", "EnvoyFilter", false),
    // Bindings before policies: a policy without a binding does nothing.
    (
        "admissionregistration.k8s.io/v1",
        "MutatingAdmissionPolicyBinding",
        true,
    ),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy", true),
    ("apps/v1", "Deployment", false),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", false),
    ("rbac.authorization.k8s.io/v1", "Role", false),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", false),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", false),
    ("v1", "Service", false),
    ("v1", "ServiceAccount", false),
    ("security.istio.io/v1", "PeerAuthentication", false),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", true),
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        true,
    ),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", true),
    ("v1", "Namespace", true),
];

/// How long deleted objects may take to be gone: a namespace waits for its pods.
const GONE: Duration = Duration::from_secs(180);

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let client = connect::client(connection).await?;
    let there = installed(&client, args.keep).await?;
    if there.is_empty() {
        println!("Nothing of Huddle is installed.");
        return Ok(Outcome::Done);
    }
    print!("{}", announce(&there, args));
    if !ask::agreed(args.yes, "Go ahead?")? {
        println!("Nothing was changed.");
        return Ok(Outcome::NotAgreed);
    }
    if !args.keep {
        step("Undo what plans did");
        undo::all(&client, Duration::from_secs(args.patience)).await?;
    }
    step("Take away what was installed");
    if args.rolling {
        for namespace in rolled(&there) {
            restart(&client, &namespace, false).await?;
        }
    }
    take_away(&client, args.keep).await?;
    if !args.keep {
        marks(&client).await?;
    }
    let left = until("everything to be gone", GONE, async || {
        let left = installed(&client, args.keep)
            .await
            .map_err(|error| format!("{error:#}"))?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.iter().map(objects::title).collect::<Vec<_>>().join(", "))
        }
    });
    left.await?;
    println!("{}", Style::detect().good("Uninstalled."));
    Ok(Outcome::Done)
}

fn announce(there: &[DynamicObject], args: &Args) -> String {
    let filters: Vec<String> = there
        .iter()
        .filter(|object| objects::kind(object) == "WasmPlugin")
        .filter_map(ResourceExt::namespace)
        .collect();
    let mut text = "This will be done\n".to_owned();
    if args.keep {
        text += "  leave rules and routing of plans as they are\n";
    } else {
        text += "  roll back every plan that changed something\n";
    }
    let celled = |object: &DynamicObject| objects::kind(object) == "ClusterRole" && object.name_any() == "huddle-cells";
    if !args.keep && there.iter().any(celled) {
        text += "  take the labels that begin with huddle.dev/cell- from nodes, and the right to set them\n";
    }
    if !filters.is_empty() {
        text += &format!("  take the filter from {}\n", filters.join(", "));
        if !args.rolling {
            text += "  (the proxies' listeners change once: calls longer than the mesh's drain time are cut)\n";
        }
    }
    text + &format!("  delete {} objects of Huddle\n\n", there.len())
}

/// All objects that carry Huddle's label.
pub(super) async fn installed(client: &Client, keep: bool) -> anyhow::Result<Vec<DynamicObject>> {
    let mut all = Vec::new();
    for (version, kind, kept) in KINDS {
        if !(keep && kept) {
            all.extend(labelled(client, version, kind).await?);
        }
    }
    Ok(all)
}

/// How long an API server that is busy is asked again.
const BUSY: Duration = Duration::from_secs(30);

async fn labelled(client: &Client, version: &str, kind: &str) -> anyhow::Result<Vec<DynamicObject>> {
    let types = TypeMeta {
        api_version: version.to_owned(),
        kind: kind.to_owned(),
    };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::try_from(&types)?, &objects::plural(kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let selector = format!("{}={}", PART_OF.0, PART_OF.1);
    // The API server says 429 while it prepares a kind that was defined a moment ago, and where it has too much to do.
    let params = ListParams::default().labels(&selector);
    let wanted = format!("the list of {kind} objects");
    let listed = until(&wanted, BUSY, async || match api.list(&params).await {
        Err(kube::Error::Api(status)) if status.code == 429 => Err(status.message.clone()),
        other => Ok(other),
    });
    match listed.await? {
        Ok(list) => Ok(list
            .items
            .into_iter()
            .filter(|object| is_ours(kind, object))
            .map(|mut object| {
                object.types = Some(types.clone());
                object
            })
            .collect()),
        // A kind that is not served has no objects.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot list {kind} objects"))),
    }
}

/// Objects of kinds that anybody could label so count only in Huddle's own namespace.
fn is_ours(kind: &str, object: &DynamicObject) -> bool {
    match kind {
        "Namespace" => object.name_any() == connect::NAMESPACE,
        "Deployment" | "Service" | "ServiceAccount" => object.namespace().as_deref() == Some(connect::NAMESPACE),
        _ => true,
    }
}

async fn take_away(client: &Client, keep: bool) -> anyhow::Result<()> {
    for (version, kind, kept) in KINDS {
        if keep && kept {
            continue;
        }
        for object in labelled(client, version, kind).await? {
            if delete(client, &object).await? {
                println!("  {}", objects::title(&object));
            }
        }
    }
    Ok(())
}

/// Namespaces whose filter came by rolling restart.
pub(super) fn rolled(there: &[DynamicObject]) -> BTreeSet<String> {
    there
        .iter()
        .filter(|object| {
            let label = object
                .data
                .pointer("/spec/selector/matchLabels")
                .and_then(|labels| labels.get(ROLLING_LABEL.0));
            objects::kind(object) == "WasmPlugin" && label.is_some()
        })
        .filter_map(ResourceExt::namespace)
        .collect()
}

/// Labels that Huddle put on objects of others.
async fn marks(client: &Client) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let none = json!(null);
    for namespace in namespaces
        .list(&ListParams::default().labels(huddle_api::LABEL_ACT))
        .await?
    {
        let patch = json!({"metadata": {"labels": {
            (huddle_api::LABEL_ACT): none, (huddle_api::LABEL_RULES): none, (huddle_api::LABEL_CELLS): none,
            (huddle_api::LABEL_MERGE): none}}});
        let name = namespace.name_any();
        namespaces
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
    }
    unlabel_nodes(client).await?;
    let pods: Api<Pod> = Api::all(client.clone());
    for label in [huddle_api::LABEL_GENERATION, huddle_api::LABEL_ORPHAN] {
        for pod in pods.list(&ListParams::default().labels(label)).await? {
            let own: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            let patch = json!({"metadata": {"uid": pod.uid(), "labels": {(label): none},
                "annotations": {(huddle_api::ANNOTATION_RULE): none, (huddle_api::ANNOTATION_OUTRANKED): none}}});
            match own
                .patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                .await
            {
                Ok(_) => {}
                // Gone, or another pod by now.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Labels of cells that no plan accounts for any more.
async fn unlabel_nodes(client: &Client) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for node in nodes.list_metadata(&ListParams::default()).await? {
        let labels: serde_json::Map<String, serde_json::Value> = node
            .labels()
            .keys()
            .filter(|key| key.starts_with(huddle_api::LABEL_CELL))
            .map(|key| (key.clone(), json!(null)))
            .collect();
        if labels.is_empty() {
            continue;
        }
        let name = node.name_any();
        let patch = json!({"metadata": {"uid": node.uid(), "labels": labels}});
        match nodes
            .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => println!("  Node {name}: labels of cells"),
            // Gone, or another node by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::install::objects::{Filter, filter};
    use super::*;

    #[test]
    fn rolled_namespaces_are_known_by_their_selector() {
        let made = |namespace, rolling| {
            let settings = Filter {
                sha256: "x",
                interval_ms: 1,
                rolling,
            };
            filter(namespace, &settings).unwrap()
        };
        let there = [made("a", true), made("b", false)].concat();
        assert_eq!(rolled(&there), BTreeSet::from(["a".to_owned()]));
        let args = Args {
            keep: false,
            rolling: false,
            patience: 1,
            yes: true,
        };
        let text = announce(&there, &args);
        assert!(
            text.contains("take the filter from a, b") && text.contains("delete 4 objects"),
            "{text}"
        );
    }
}
