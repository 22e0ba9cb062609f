//! What a namespace allows.

use crate::companion::CompanionWay;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// How far Huddle may go alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Automation {
    /// Measure only.
    Observe,
    /// Make plans, take no approval.
    Recommend,
    /// Act on approved plans.
    #[default]
    Approve,
    /// Act alone within the limits: a plan whose namespaces all say so is approved by the controller itself, once it has stood for two
    /// minutes and none of its workloads was changed a short while ago.
    Auto,
}

/// What is given back where nobody needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum GiveBack {
    /// Nothing.
    Never,
    /// What Huddle gave, down to what the template says.
    #[default]
    Given,
    /// Also what the template's owner gave: cpu requests, and with `giveBackMemory` memory; cpu limits of Guaranteed pods alone. Such a rule
    /// lowers a figure only as long as the template says what it said then.
    BelowTemplate,
    /// Also cpu limits, down to `giveBackFloorPercent`.
    LimitsToo,
}

/// What plans are to bring, in points for each part; parts not named count nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objective {
    /// Points for one second of waiting saved in each second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub latency: Option<i64>,
    /// Points for a thousand calls a second kept on their node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub traffic: Option<i64>,
    /// Points for one unit of money saved in each hour, at the prices below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub money: Option<i64>,
    /// What a gigabyte between two zones costs, in thousandths of a unit of money; 20 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub thousandths_per_gb: Option<i64>,
    /// Pairs of zones between which it costs something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub prices: Vec<ZonePrice>,
}

/// What a gigabyte between two zones costs, either way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ZonePrice {
    /// The two zones, by name.
    #[schemars(length(min = 2, max = 2))]
    pub zones: Vec<String>,
    /// The price, in thousandths of a unit of money.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub thousandths_per_gb: i64,
}

/// One namespace's wishes. Without a Policy the defaults hold. There is one per namespace, named `huddle`.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "huddle.dev",
    version = "v1alpha1",
    kind = "Policy",
    plural = "policies",
    namespaced,
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name == 'huddle'").message("a namespace has one Policy, named huddle"),
    printcolumn(name = "Automation", type_ = "string", json_path = ".spec.automation"),
    printcolumn(name = "Max moves", type_ = "integer", json_path = ".spec.maxMoves"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// How far Huddle may go alone; Approve where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation: Option<Automation>,
    /// Other namespaces whose workloads may be placed together with this one's. Both must name each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub consents_to: Vec<String>,
    /// Most pods to move in one plan; 20 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_moves: Option<i64>,
    /// Requests wanted before and after, for the proof; 10 000 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 10_000_000))]
    pub proof_requests: Option<i64>,
    /// Under Auto: how many minutes a workload is left alone after it was changed; 360 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub cooldown_minutes: Option<i64>,
    /// Most cpu that Huddle may give one container, as a quantity; `4` where not given, `0` for none. Who has
    /// more by their own template keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,7}(m|\\.[0-9]{1,3})?$"))]
    pub max_cpu: Option<String>,
    /// Most cpu that one plan may give a container, in percent of what it has; 800 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 110, max = 1000))]
    pub cpu_step_percent: Option<i64>,
    /// Whether containers whose `resizePolicy` says so may be restarted by a resize; not where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize_restarts: Option<bool>,
    /// Whether Huddle may change the cpu and memory figures in templates of this namespace, where rules are written into templates
    /// (`huddle install --rules template`); not where not given. Each change rolls all pods of its workload out anew, and whoever deploys
    /// the template is told of it by the field manager `huddle-placement`, or sets his own figures again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_sizes: Option<bool>,
    /// Whether Huddle may propose by itself that a callee joins its caller's pods, where an edge is called chatter, companions are installed
    /// for the namespace (`huddle install --allow act,merge`) and no rule of refusal says no; not where not given. Somebody may ask for
    /// it in any case (`huddle merge`), and under Auto such a plan waits for a person unless this says true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merges: Option<bool>,
    /// Which way merges take; Proxied where not given: through the caller's own proxy, with the callee's Service to fall back on, so that no
    /// call fails for want of a companion. Direct: over loopback, the fastest way. It accepts that calls fail from a companion's end until it
    /// listens again, and in each new pod until its companion listens, and that the mesh neither secures nor measures them. What cannot go
    /// that way is refused, not led another; taking the word back splits what stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_way: Option<CompanionWay>,
    /// How many minutes a placement rule's gain must have been gone, on every look, before its deletion is proposed; the same time without
    /// the load that justified it splits a merge. 10080, a week, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub faded_after_minutes: Option<i64>,
    /// In how many minutes what a plan brings must be more than its moves cost; 1440, a day, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub payback_minutes: Option<i64>,
    /// Most memory that Huddle may give one container that stalls on it or is killed for want of it, as a quantity; `4Gi` where not given,
    /// `0` for none. It never takes any away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,12}(Ki|Mi|Gi|Ti)?$"))]
    pub max_memory: Option<String>,
    /// What is given back of what containers do not use; what Huddle gave (Given) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_back: Option<GiveBack>,
    /// How many minutes a container is watched before anything of it is given back; 10 080 (seven days) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100_000))]
    pub give_back_after_minutes: Option<i64>,
    /// Most that one plan gives back of a container's figure, in percent of it; 10 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 50))]
    pub give_back_step_percent: Option<i64>,
    /// Least that giving back leaves of a cpu limit, in percent of what the container stays under in 95 % of its time; 450 where not given.
    /// Less gives back more, and lets the limit stop it now and then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 150, max = 1000))]
    pub give_back_floor_percent: Option<i64>,
    /// Whether memory is given back too; not where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_back_memory: Option<bool>,
    /// What plans are to bring to calls to this namespace's workloads; waiting saved (latency: 1) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
}
