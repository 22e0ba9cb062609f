//! Where one workload's new pods are placed, and how much cpu and memory their containers get. A Rule can say this and nothing else:
//! the schema has no field for an image, command, environment, volume or security setting.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A label's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// An annotation's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AnnotationValue(#[schemars(length(max = 512))] pub String);

/// How long a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleForm {
    /// While one pod is moved; may name a host.
    Step,
    /// Until it is undone; names pods or node labels, never a host, so that it does no harm when Huddle is gone.
    Steady,
}

/// Which pods of the namespace: those that carry all these labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodLabels {
    /// Label keys and values.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub match_labels: BTreeMap<String, LabelValue>,
}

/// Operators of a requirement on node labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeOperator {
    /// One of the values.
    In,
    /// None of the values.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

/// One requirement on node labels.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("self.operator in ['In', 'NotIn'] ? (has(self.values) && size(self.values) > 0) : !has(self.values)").message("In and NotIn need values, Exists and DoesNotExist take none"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeRequirement {
    /// The node label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How it is compared.
    pub operator: NodeOperator,
    /// With what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub values: Vec<LabelValue>,
}

/// Requirements that a node meets together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodePreference {
    /// All of them.
    #[schemars(length(min = 1, max = 4))]
    pub match_expressions: Vec<NodeRequirement>,
}

/// A wish about nodes; never a demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeTerm {
    /// Against the other wishes about nodes.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// Which nodes.
    pub preference: NodePreference,
}

/// Next to which pods, over which node label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodAffinityTerm {
    /// Which pods.
    pub label_selector: PodLabels,
    /// Pod labels whose value the new pod and the others must share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub match_label_keys: Vec<String>,
    /// In which namespaces; the pod's own where not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub namespaces: Vec<String>,
    /// The node label that says what counts as together.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
}

/// A wish to be near pods; never a demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTerm {
    /// Against the other wishes about pods.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// Near what.
    pub pod_affinity_term: PodAffinityTerm,
}

/// The only effect a rule's spread constraint may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unsatisfiable {
    /// The pod is scheduled all the same.
    ScheduleAnyway,
}

/// A wish to be spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpreadTerm {
    /// Largest difference wished for.
    #[schemars(range(min = 1, max = 100))]
    pub max_skew: i32,
    /// Over which node label.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
    /// Never more than a wish.
    pub when_unsatisfiable: Unsatisfiable,
    /// Which pods are counted.
    pub label_selector: PodLabels,
    /// Pod labels whose value the counted pods share with the new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub match_label_keys: Vec<String>,
}

/// Cpu and memory of a container, as Kubernetes quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Figures {
    /// Cpu: cores or millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[1-9][0-9]{0,7}m?$", "maxLength" = 9))]
    pub cpu: Option<String>,
    /// Memory: bytes, or in Ki, Mi or Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[1-9][0-9]{0,15}(Ki|Mi|Gi)?$", "maxLength" = 18))]
    pub memory: Option<String>,
}

/// Figures that a container's template says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Said {
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Figures>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Figures>,
}

/// The least that one container of the new pods gets, ordinary or native sidecar, where it has that figure at all and its template
/// says less: a rule only raises, and adds none. A figure that `insteadOf` names is lowered, where the template says just that. A request
/// without a limit beside it stays as it is where the pod's own limit is less.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.requests) || !has(self.requests.cpu) || !has(self.limits) || !has(self.limits.cpu) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0").message("a cpu request is not above the limit beside it"),
    validation = Rule::new("!has(self.requests) || !has(self.requests.memory) || !has(self.limits) || !has(self.limits.memory) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0").message("a memory request is not above the limit beside it")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerSize {
    /// The container's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Figures>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Figures>,
    /// What the template says of the figures that are lowered. Who writes anything else into the template gets what they write. Only
    /// where the namespace's Policy says `giveBack: BelowTemplate` or `LimitsToo` (`manifests/admission/privilege.yaml`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Said>,
}

/// An older rule of the same workload, and what it wishes: its spec never changes, so what is said here stays true. Its labels,
/// annotations and sleep are not repeated: the newer rule sets the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outranked {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub rule: String,
    /// Its wishes about nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub preferred_node_affinity: Vec<NodeTerm>,
    /// Its wishes to be near pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub preferred_pod_affinity: Vec<PodTerm>,
    /// Its wishes to be spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub topology_spread_constraints: Vec<SpreadTerm>,
}

/// Where one workload's new pods are placed, or how much cpu and memory their containers get. Its spec never changes (a new version is a new object, which outranks the older
/// one as long as it stands), so that every undo is a deletion. Only Huddle's controller may create one (`manifests/admission/privilege.yaml`).
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "huddle.dev",
    version = "v1alpha1",
    kind = "Rule",
    plural = "rules",
    namespaced,
    derive = "PartialEq",
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workload"),
    printcolumn(name = "Form", type_ = "string", json_path = ".spec.form"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".metadata.labels.huddle\\.dev/plan"),
    printcolumn(name = "State", type_ = "string", json_path = ".metadata.labels.huddle\\.dev/state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("a rule's spec never changes: make a new Rule"),
    validation = Rule::new("self.form == 'Step' || !has(self.preferredNodeAffinity) || self.preferredNodeAffinity.all(t, t.preference.matchExpressions.all(e, e.key != 'kubernetes.io/hostname'))").message("only a step rule may name hosts"),
    validation = Rule::new("!has(self.candidateNodes) || (self.form == 'Step' && self.candidateNodes.key == 'kubernetes.io/hostname' && self.candidateNodes.operator == 'In' && size(self.candidateNodes.values) > 1)").message("only a step rule may name the nodes considered, more than one, by their hostname label"),
    validation = Rule::new("!has(self.containers) || self.form == 'Steady'").message("only a steady rule sets figures"),
    validation = Rule::new("!has(self.labels) || self.labels.all(k, k.startsWith('huddle.dev/'))").message("a rule sets huddle.dev/ labels only"),
    validation = Rule::new("!has(self.annotations) || self.annotations.all(k, k.startsWith('huddle.dev/'))").message("a rule sets huddle.dev/ annotations only")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSpec {
    /// The Deployment whose pods it places, for people; `selector` is what counts.
    #[schemars(length(min = 1, max = 253))]
    pub workload: String,
    /// How long it stands.
    pub form: RuleForm,
    /// Which new pods.
    pub selector: PodLabels,
    /// Older rules whose place this one takes on the pods it selects. They stay as they are, and work again as soon as this one
    /// is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub outranks: Vec<Outranked>,
    /// The least that containers of the new pods get. A rule of sizes outranks rules of sizes of the same container, one of places
    /// those of places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub containers: Vec<ContainerSize>,
    /// The nodes considered for the new pods, of a large cluster: the wished one and others that may stand in for it. The scheduler
    /// scores a sample of the nodes that fit, and does not hear a wish about a node outside it; of so few it scores each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_nodes: Option<NodeRequirement>,
    /// Wishes about nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub preferred_node_affinity: Vec<NodeTerm>,
    /// Wishes to be near pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub preferred_pod_affinity: Vec<PodTerm>,
    /// Wishes to be spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub topology_spread_constraints: Vec<SpreadTerm>,
    /// Labels for the new pods, all under `huddle.dev/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub labels: BTreeMap<String, LabelValue>,
    /// Annotations for the new pods, all under `huddle.dev/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub annotations: BTreeMap<String, AnnotationValue>,
    /// A preStop sleep for containers without a preStop hook, in seconds; later restarts are then clean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15))]
    pub pre_stop_sleep_seconds: Option<i64>,
}
