//! Names that several parts of Huddle and its manifests must agree on.

/// The API group.
pub const GROUP: &str = "huddle.dev";
/// Huddle's own namespace: plans live there.
pub const SYSTEM_NAMESPACE: &str = "huddle-system";
/// The controller's service account, in [`SYSTEM_NAMESPACE`].
pub const SERVICE_ACCOUNT: &str = "huddle-controller";
/// The user name under which the API server sees the controller.
pub const CONTROLLER_USER: &str = "system:serviceaccount:huddle-system:huddle-controller";
/// Field manager of everything Huddle applies.
pub const FIELD_MANAGER: &str = "huddle";
/// Field manager of what Huddle applies to templates of others, and of nothing else: giving it up leaves nothing.
pub const TEMPLATE_MANAGER: &str = "huddle-placement";

/// Namespace label, value [`ACT_ALLOWED`]: Huddle may act there.
pub const LABEL_ACT: &str = "huddle.dev/act";
/// The value of [`LABEL_ACT`] that allows it.
pub const ACT_ALLOWED: &str = "allowed";
/// Namespace label, value [`RULES_TEMPLATE`]: placement rules are written into templates there.
pub const LABEL_RULES: &str = "huddle.dev/rules";
/// The value of [`LABEL_RULES`] that says so.
pub const RULES_TEMPLATE: &str = "template";
/// Namespace label, value [`CELLS_ALLOWED`]: nodes may be labelled for its workloads.
pub const LABEL_CELLS: &str = "huddle.dev/cells";
/// The value of [`LABEL_CELLS`] that allows it.
pub const CELLS_ALLOWED: &str = "allowed";
/// The beginning of the node labels that are cells'; the rest is the name of the cell's Rule.
pub const LABEL_CELL: &str = "huddle.dev/cell-";
/// Pod label: released from its ReplicaSet by the plan of this name (orphan move).
pub const LABEL_ORPHAN: &str = "huddle.dev/orphan";
/// Pod label: created under the rules of the plan of this name.
pub const LABEL_GENERATION: &str = "huddle.dev/gen";
/// Pod label of dry-run pods with which rules are tried before use.
pub const LABEL_TRIAL: &str = "huddle.dev/trial";
/// Rule label: the plan it belongs to.
pub const LABEL_PLAN: &str = "huddle.dev/plan";
/// Rule label: the Deployment whose pods it places.
pub const LABEL_WORKLOAD: &str = "huddle.dev/workload";
/// Rule label, of rules of sizes alone: the container whose figures it raises.
pub const LABEL_CONTAINER: &str = "huddle.dev/container";
/// Rule label (`"true"`), of rules that lower figures alone: the admission policy that asks the namespace's Policy selects on it.
pub const LABEL_LOWERS: &str = "huddle.dev/lowers";
/// Rule label: `step` or `steady`.
pub const LABEL_FORM: &str = "huddle.dev/form";
/// Rule label: [`STATE_TRIAL`] or [`STATE_ARMED`]; the admission bindings select on it.
pub const LABEL_STATE: &str = "huddle.dev/state";
/// A rule that acts on dry-run trial pods only.
pub const STATE_TRIAL: &str = "trial";
/// A rule in force.
pub const STATE_ARMED: &str = "armed";
/// Pod annotation: the names of the rules that placed it, separated by commas.
pub const ANNOTATION_RULE: &str = "huddle.dev/rule";
/// Pod annotation: the names of the older rules whose place the rule that placed it took, separated by commas.
pub const ANNOTATION_OUTRANKED: &str = "huddle.dev/outranked";
/// Rule annotation: what the rule was for is gone; what, since when, and when that was last seen, as JSON.
pub const ANNOTATION_FADED: &str = "huddle.dev/faded";
/// Pod annotation: [`LIMITS_AT_START`] where its containers read their limits only as they start, `live` where they do not, whatever they
/// look like.
pub const ANNOTATION_LIMITS: &str = "huddle.dev/limits-read";
/// The value of [`ANNOTATION_LIMITS`] that says so.
pub const LIMITS_AT_START: &str = "at-start";
/// The value of [`ANNOTATION_LIMITS`] that says the opposite.
pub const LIMITS_LIVE: &str = "live";
/// Pod annotation: the figures that the pod was created with, before rules changed them, as `container/limits/cpu=200m`, separated by
/// commas.
pub const ANNOTATION_FIGURES: &str = "huddle.dev/figures";
/// The name of a namespace's Policy.
pub const POLICY: &str = "huddle";
/// Annotation on a workload that Huddle must leave alone, see [`is_opted_out`].
pub const ANNOTATION_OPT_OUT: &str = "huddle.dev/opt-out";

/// Annotation on a workload: for how many seconds its pods are slow after they are ready, as caches are.
pub const ANNOTATION_WARM_UP: &str = "huddle.dev/warm-up-seconds";

/// The mutating admission policy and the binding that puts armed rules in force.
pub const RULES_POLICY: &str = "huddle-rules";
/// The binding that lets trial rules act on dry-run trial pods.
pub const TRIAL_BINDING: &str = "huddle-trial";

/// Namespace label, value [`MERGE_ALLOWED`]: companions may join the pods of its Deployments.
pub const LABEL_MERGE: &str = "huddle.dev/merge";
/// The value of [`LABEL_MERGE`] that allows it.
pub const MERGE_ALLOWED: &str = "allowed";
/// Pod label: the Companion whose containers it holds.
pub const LABEL_COMPANION: &str = "huddle.dev/companion";
/// Pod annotation: the Deployment whose containers those are.
pub const ANNOTATION_CALLEE: &str = "huddle.dev/companion-of";
/// Deployment annotation of a companion's callee: which calls that were sent and got no answer may be sent again, although they may have done
/// their work. `true`: all; `false`: none; otherwise those whose method is safe (RFC 9110, 9.2.1).
pub const ANNOTATION_REPEATABLE: &str = "huddle.dev/repeatable";
/// The mutating admission policy of companions and the binding that puts armed ones in force.
pub const COMPANIONS_POLICY: &str = "huddle-companions";
/// The name of the proxy's container in a pod, as Istio injects it.
pub const SIDECAR: &str = "istio-proxy";
/// The beginning of the names of a companion's containers and volumes.
pub const COMPANION_PREFIX: &str = "huddle-";
/// Where Kubernetes mounts a service account's token, unless something is mounted there already.
pub const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Whether the owner of an object with these annotations keeps Huddle away from it: with any value but `false`. Who writes `yes`, or
/// nothing, means it.
pub fn is_opted_out(annotations: &std::collections::BTreeMap<String, String>) -> bool {
    annotations
        .get(ANNOTATION_OPT_OUT)
        .is_some_and(|value| value != "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_but_false_opts_out() {
        let with = |value: &str| is_opted_out(&[(ANNOTATION_OPT_OUT.to_owned(), value.to_owned())].into());
        assert!(with("true") && with("yes") && with("") && with("True"));
        assert!(!with("false") && !is_opted_out(&std::collections::BTreeMap::new()));
    }
}
