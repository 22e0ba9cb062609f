//! The words of a merge's stages.

use super::MergeStage;
use crate::plan::merge::Way;

impl MergeStage {
    /// The way forward, in order.
    pub const FORWARD: [Self; 6] = [
        Self::Companion,
        Self::Clusters,
        Self::Route,
        Self::Pods,
        Self::Prove,
        Self::Lower,
    ];

    /// The way forward of a merge by this way: over loopback no proxy is told of anything.
    pub fn forward(way: Way) -> impl Iterator<Item = Self> {
        let told = |stage: &Self| matches!(stage, Self::Clusters | Self::Route);
        Self::FORWARD
            .into_iter()
            .filter(move |stage| way == Way::Proxied || !told(stage))
    }

    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Companion => "companion",
            Self::Clusters => "clusters",
            Self::Route => "route",
            Self::Pods => "pods",
            Self::Prove => "prove",
            Self::Lower => "lower",
            Self::Closed => "closed",
        }
    }
    /// For people: what is done in it.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Companion => "The companion is put in force: tried on a dry-run pod, bound, armed, tried again.",
            Self::Clusters => "The proxies of pods that hold it, of which there are none yet, are told where it is.",
            Self::Route => "They are told that calls to the callee's Service go there first.",
            Self::Pods => "The caller's pods are replaced one by one, each when its successor is ready.",
            Self::Prove => "Nine of ten calls must stay inside the pods, or it is undone.",
            Self::Lower => "The callee's own replicas are lowered to what others need.",
            Self::Closed => "The route is gone; what it led to follows once the last calls have ended.",
        }
    }
}
