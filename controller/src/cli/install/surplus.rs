//! What is there of earlier installations and not on this command line: a repeated `huddle install` takes it away, says so first, and
//! refuses where plans or rules stand that could not be undone after that.

use super::carry::{delete, step};
use super::objects::{self, Filter};
use super::preflight::Found;
use super::{Args, Rules, rolling};
use crate::cli::wait::until;
use crate::cli::{Style, undo, uninstall};
use anyhow::{Context, bail};
use huddle_api::{
    ActionKind, Companion, LABEL_ACT, LABEL_CELLS, LABEL_MERGE, LABEL_PLAN, LABEL_RULES, PlaceForm, Plan, Rule,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long deleted objects may take to be gone: a right lasts until then.
const GONE: Duration = Duration::from_secs(60);

/// What is too much.
#[derive(Clone, Debug, Default)]
pub(super) struct Surplus {
    /// Objects, in the order in which they are taken away.
    objects: Vec<DynamicObject>,
    /// Namespaces in which Huddle may act no longer.
    unacted: BTreeSet<String>,
    /// Namespaces into whose templates it writes no longer; it may still act in some of them.
    untemplated: BTreeSet<String>,
    /// Namespaces in which nothing is merged any longer; it may still act in some of them.
    unmerged: BTreeSet<String>,
}

/// Everything that the command line asks for. Digests and intervals are not looked at: an object is known by its name.
fn wanted(args: &Args, found: &Found) -> anyhow::Result<BTreeSet<String>> {
    let filter = Filter {
        sha256: "",
        interval_ms: 0,
        rolling: false,
    };
    let template = args.rules(found) == Rules::Template;
    let mut wanted = objects::definitions()?;
    wanted.extend(objects::privilege()?);
    wanted.extend(objects::controller(("", ""), args.prometheus.url.is_none())?);
    wanted.push(objects::deployment(args)?);
    for namespace in &found.gateways {
        wanted.extend(objects::gateway(namespace)?);
    }
    for target in &found.targets {
        wanted.extend(objects::filter(&target.name, &filter)?);
    }
    if args.act() {
        wanted.extend(objects::act_cluster(!template)?);
    }
    if args.cells() {
        wanted.extend(objects::cells()?);
    }
    if args.merge() {
        wanted.extend(objects::merge_definition()?);
        wanted.extend(objects::merge_cluster()?);
    }
    for namespace in args.merging() {
        wanted.extend(objects::merge_namespace(namespace)?);
    }
    for namespace in args.acting() {
        wanted.extend(objects::act_namespace(namespace)?);
        if template {
            wanted.extend(objects::act_template(namespace)?);
        }
    }
    Ok(wanted.iter().map(objects::title).collect())
}

/// What the cluster has and the command line does not name. Changes nothing.
///
/// # Errors
/// If the cluster cannot be asked.
pub(super) async fn look(client: &Client, args: &Args, found: &Found) -> anyhow::Result<Surplus> {
    let there = uninstall::installed(client, false).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let labelled = namespaces.list(&ListParams::default().labels(LABEL_ACT)).await?;
    Surplus::of(there, &labelled.items, args, found)
}

impl Surplus {
    fn of(there: Vec<DynamicObject>, labelled: &[Namespace], args: &Args, found: &Found) -> anyhow::Result<Self> {
        let wanted = wanted(args, found)?;
        let acting: BTreeSet<String> = args.acting().into_iter().map(str::to_owned).collect();
        let mut surplus = Self::default();
        for namespace in labelled {
            let name = namespace.name_any();
            if namespace.labels().contains_key(LABEL_RULES) {
                surplus.untemplated.insert(name.clone());
            }
            if namespace.labels().contains_key(LABEL_MERGE) {
                surplus.unmerged.insert(name.clone());
            }
            surplus.unacted.insert(name);
        }
        let merging = args.merging();
        surplus.unmerged.retain(|name| !merging.contains(&name.as_str()));
        for object in there {
            // The controller makes these bindings, and one is of use as long as its policy is.
            let of = object.data.pointer("/spec/policyName").and_then(|name| name.as_str());
            let of = of.map(|name| format!("MutatingAdmissionPolicy {name}"));
            let bound = objects::kind(&object) == "MutatingAdmissionPolicyBinding";
            let kept = bound && of.is_some_and(|policy| wanted.contains(&policy));
            if kept || wanted.contains(&objects::title(&object)) {
                continue;
            }
            match (object.name_any().as_str(), object.namespace()) {
                ("huddle-act", Some(namespace)) => _ = surplus.unacted.insert(namespace),
                ("huddle-act-template", Some(namespace)) => _ = surplus.untemplated.insert(namespace),
                _ => {}
            }
            surplus.objects.push(object);
        }
        surplus.unacted.retain(|namespace| !acting.contains(namespace));
        if args.rules(found) == Rules::Template {
            surplus.untemplated.retain(|namespace| !acting.contains(namespace));
        }
        Ok(surplus)
    }

    fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.unacted.is_empty() && self.untemplated.is_empty() && self.unmerged.is_empty()
    }

    /// Namespaces that are measured no longer.
    pub(super) fn unmeasured(&self) -> Vec<String> {
        let plugins = self
            .objects
            .iter()
            .filter(|object| objects::kind(object) == "WasmPlugin");
        plugins.filter_map(ResourceExt::namespace).collect()
    }

    fn takes_rules(&self) -> bool {
        let title = format!("MutatingAdmissionPolicy {}", huddle_api::RULES_POLICY);
        self.objects.iter().any(|object| objects::title(object) == title)
    }

    /// No node can be labelled after that.
    fn takes_cells(&self) -> bool {
        self.objects.iter().any(|object| object.name_any() == "huddle-cells")
    }

    /// What will be taken away, in words; nothing where there is nothing.
    pub(super) fn announce(&self, found: &Found, style: Style) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![
            String::new(),
            style.bold("This is there, is not on this command line, and will be taken away"),
        ];
        for namespace in &self.unacted {
            lines.push(style.warn(&format!("  the right to act in namespace {namespace}")));
        }
        for namespace in self.untemplated.difference(&self.unacted) {
            lines.push(style.warn(&format!("  the right to write into templates in namespace {namespace}")));
        }
        if self.takes_cells() {
            lines.push(style.warn("  the right to label nodes (cells)"));
        }
        for namespace in self.unmerged.difference(&self.unacted) {
            lines.push(style.warn(&format!("  the right to merge in namespace {namespace}")));
        }
        let rolled = uninstall::rolled(&self.objects);
        for namespace in self.unmeasured() {
            let how = if rolled.contains(&namespace) {
                "its Deployments are restarted once, rolling".to_owned()
            } else {
                format!(
                    "listeners change: calls longer than {} s are cut once",
                    found.mesh.drain_s
                )
            };
            lines.push(style.warn(&format!("  the filter from namespace {namespace} ({how})")));
        }
        if self.takes_rules() {
            lines.push("  the admission policy that carries placement rules out".to_owned());
        }
        for gateway in self.objects.iter().filter(|it| it.name_any() == "huddle-gateway") {
            let name = gateway.namespace().unwrap_or_default();
            lines.push(format!(
                "  what kept Huddle's headers inside at the gateways of namespace {name}"
            ));
        }
        lines.push(format!("  ({} objects in all)", self.objects.len()));
        lines
    }

    /// What stands in the way of taking it away, each with what to do.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub(super) async fn obstacles(&self, client: &Client) -> anyhow::Result<Vec<String>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let plans = undo::open(client).await?;
        let rules: Api<Rule> = Api::all(client.clone());
        let rules = match rules.list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(error).context("cannot list rules"),
        };
        let mut held = self.held_by(&plans, &rules);
        let companions: Api<Companion> = Api::all(client.clone());
        match companions.list_metadata(&ListParams::default()).await {
            Ok(list) => held.extend(list.items.iter().filter_map(|companion| self.held_in(companion))),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error).context("cannot list companions"),
        }
        Ok(held)
    }

    /// A companion would stand where nobody may look after it.
    fn held_in(&self, companion: &impl ResourceExt) -> Option<String> {
        let (namespace, name) = (companion.namespace().unwrap_or_default(), companion.name_any());
        self.unmerged.contains(&namespace).then(|| {
            format!(
                "companion {name} stands in namespace {namespace}: `kubectl -n {namespace} delete companions.huddle.dev {name}` and restart its caller first, or keep --allow act,merge there"
            )
        })
    }

    fn held_by(&self, plans: &[Plan], rules: &[Rule]) -> Vec<String> {
        let mut held = Vec::new();
        for plan in plans {
            let name = plan.name_any();
            let actions = plan.spec.actions.iter();
            let acted: BTreeSet<&str> = actions
                .clone()
                .map(|action| action.workload.namespace.as_str())
                .collect();
            let template: BTreeSet<&str> = actions
                .filter(|action| action.form == Some(PlaceForm::Template))
                .map(|action| action.workload.namespace.as_str())
                .collect();
            if self.takes_cells() && plan.spec.actions.iter().any(|action| action.kind == ActionKind::Cell) {
                held.push(format!(
                    "plan {name} labels nodes and could not be undone after that: `huddle rollback {name}` first, or keep --allow act,cells"
                ));
            }
            for namespace in acted {
                let lost = self.unacted.contains(namespace)
                    || (self.untemplated.contains(namespace) && template.contains(namespace));
                if lost {
                    let phase = plan.status.as_ref().map(|status| status.phase).unwrap_or_default();
                    held.push(format!(
                        "plan {name} stands in namespace {namespace} ({phase:?}) and could not be undone after that: `huddle rollback {name}` first, or keep --allow act there"
                    ));
                }
            }
        }
        let known = |rule: &Rule| {
            let plan = rule.labels().get(LABEL_PLAN);
            plans.iter().any(|open| Some(&open.name_any()) == plan)
        };
        for rule in rules {
            let (namespace, name) = (rule.namespace().unwrap_or_default(), rule.name_any());
            let plan = rule.labels().get(LABEL_PLAN).map_or("", String::as_str);
            if self.unacted.contains(&namespace) && !known(rule) {
                held.push(format!(
                    "rule {name} stands in namespace {namespace} and its plan {plan} is gone: `kubectl -n {namespace} delete rules.huddle.dev {name}`"
                ));
            } else if self.takes_rules() && !self.unacted.contains(&namespace) {
                held.push(format!(
                    "rule {name} of plan {plan} stands in namespace {namespace} and would do nothing any more: `huddle rollback {plan}`"
                ));
            }
        }
        held
    }

    /// Takes it away. The controller is told first, by the namespaces' labels; what it began meanwhile turns the whole back.
    ///
    /// # Errors
    /// If something stands in the way by now, or the cluster refuses.
    pub(super) async fn take(&self, client: &Client) -> anyhow::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        step("Take away what this command line does not name");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for name in self.unacted.union(&self.untemplated) {
            let mut labels = json!({LABEL_RULES: null});
            if self.unacted.contains(name) {
                labels[LABEL_ACT] = json!(null);
            }
            unlabel(&namespaces, name, labels).await?;
        }
        let held = self.obstacles(client).await?;
        if !held.is_empty() {
            for name in &self.unacted {
                unlabel(&namespaces, name, json!({LABEL_ACT: huddle_api::ACT_ALLOWED})).await?;
            }
            for name in &self.untemplated {
                unlabel(&namespaces, name, json!({LABEL_RULES: huddle_api::RULES_TEMPLATE})).await?;
            }
            bail!(
                "a plan began meanwhile, and nothing was taken away: {}",
                held.join("; ")
            );
        }
        // Without the first label it says nothing.
        for name in &self.unacted {
            unlabel(&namespaces, name, json!({LABEL_CELLS: null})).await?;
        }
        for name in &self.unmerged {
            unlabel(&namespaces, name, json!({LABEL_MERGE: null})).await?;
        }
        for namespace in uninstall::rolled(&self.objects) {
            rolling::restart(client, &namespace, false).await?;
        }
        for object in &self.objects {
            if delete(client, object).await? {
                println!("  {} deleted", objects::title(object));
            }
        }
        until("it to be gone", GONE, async || {
            for object in &self.objects {
                let api = objects::api(client, object).map_err(|error| format!("{error:#}"))?;
                let left = api.get_metadata_opt(&object.name_any()).await;
                if left.map_err(|error| error.to_string())?.is_some() {
                    return Err(format!("{} is still there", objects::title(object)));
                }
            }
            Ok(())
        })
        .await
    }
}

async fn unlabel(namespaces: &Api<Namespace>, name: &str, labels: serde_json::Value) -> anyhow::Result<()> {
    let patch = json!({"metadata": {"labels": labels}});
    match namespaces
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot change the labels of namespace {name}")),
    }
}

#[cfg(test)]
#[path = "surplus_tests.rs"]
mod tests;
