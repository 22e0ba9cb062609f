//! The words of diagnose.

use super::seen::SIDECAR;
use super::{Cause, Finding, Lack, LocalEvidence, NotChatter};
use crate::units::Ratio;

impl LocalEvidence {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Borrowed => "borrowed",
        }
    }
    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Own => "measured on the same edge's own same-node requests",
            Self::Borrowed => "borrowed from other edges' same-node requests",
        }
    }
}

impl Lack {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::CpuLimit => "cpuLimit",
            Self::CpuShare => "cpuShare",
            Self::Memory => "memory",
        }
    }
}

impl Cause {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Distance { .. } => "distance",
            Self::Pressure { .. } => "pressure",
            Self::Downstream { .. } => "downstream",
            Self::Chatter { .. } => "chatter",
            Self::Inside { .. } => "inside",
            Self::NotEnoughData { .. } => "notEnoughData",
            Self::NotDistance { .. } => "notDistance",
        }
    }
    /// For people, with the evidence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Distance {
                network_share,
                local_p50,
                remote_p50,
                local_requests,
                remote_requests,
                saved_p50_at_least,
                local_evidence,
                ..
            } => format!(
                "Distance: requests that leave the node spend {remote_p50} on the way at the median, same-node requests \
                 {local_p50} ({remote_requests} and {local_requests} requests, {}); at least {saved_p50_at_least} of each \
                 would be saved. The network is {network_share} of the tail.",
                local_evidence.sentence()
            ),
            Self::Pressure { .. } => self.starved().unwrap_or_default(),
            Self::Downstream { through, share } => {
                format!(
                    "Downstream: the callee spends {share} of the time it serves waiting for {through}; look there."
                )
            }
            Self::Chatter { .. } => self.hops().unwrap_or_default(),
            Self::Inside { requests, share } => {
                format!(
                    "Inside the pod: {share} of the calls ({requests}) pass no network and no proxy of the callee's."
                )
            }
            Self::NotEnoughData { requests, wanted } => {
                format!("Not enough data: {requests} of {wanted} requests with a network time.")
            }
            Self::NotDistance {
                network_share,
                not_chatter,
            } => {
                let far = network_share.map_or_else(
                    || "Not distance: every call stays on its node.".to_owned(),
                    |share| {
                        format!(
                            "Not distance: the network is {share} of the tail, and same-node requests would not be \
                             clearly faster."
                        )
                    },
                );
                let near = not_chatter.map(|why| format!(" Not chatter either: {}", why.sentence()));
                far + &near.unwrap_or_default()
            }
        }
    }
}

impl NotChatter {
    /// For people, with the figure that is short of it.
    fn sentence(self) -> String {
        match self {
            Self::FewMeasured { requests, wanted } => {
                format!("{requests} of {wanted} requests on one node were measured.")
            }
            Self::HopsAreLittle { at_p50, at_p99 } => format!(
                "on one node hops and proxies take {at_p50} of a call at the median and {at_p99} at p99; the callee and its proxy take the rest."
            ),
            Self::FewCalls { calls_per_pod, wanted } => {
                format!("each calling pod makes {calls_per_pod:.1} calls a second; {wanted} would be many.")
            }
            Self::LargeCalls {
                bytes_per_call,
                at_most,
            } => format!("a call carries {bytes_per_call}; more than {at_most} costs by its length."),
            Self::OtherCallers { caller_share } => {
                format!("{caller_share} of the callee's calls come from this caller.")
            }
            Self::LittleSaved { saved_p50_at_least } => {
                format!("inside one pod each call would be sure to save {saved_p50_at_least} only.")
            }
            Self::MayBeStarved => "the callee may be starved, and its copies would be, too.".to_owned(),
        }
    }
}

impl Cause {
    /// The same, with why it is not chatter either; other causes stay as they are.
    pub(super) fn not_chatter_because(self, why: NotChatter) -> Self {
        match self {
            Self::NotDistance { network_share, .. } => Self::NotDistance {
                network_share,
                not_chatter: Some(why),
            },
            Self::Distance { .. }
            | Self::Pressure { .. }
            | Self::Downstream { .. }
            | Self::Chatter { .. }
            | Self::Inside { .. }
            | Self::NotEnoughData { .. } => self,
        }
    }
    /// The sentence of chatter.
    fn hops(&self) -> Option<String> {
        let Self::Chatter {
            network_share,
            same_node_p50,
            same_node_p99,
            same_node_requests,
            local_share,
            calls_per_pod,
            caller_share,
            callers,
            bytes_per_call,
            saved_p50_at_least,
        } = self
        else {
            return None;
        };
        let callers = match callers {
            1 => "its only caller".to_owned(),
            callers => format!("one of {callers} callers"),
        };
        Some(format!(
            "Chatter: each calling pod makes {calls_per_pod:.1} small calls a second ({bytes_per_call} each), {caller_share} of all \
             that the callee gets ({callers}). On one node they still spend {same_node_p50} at the median and {same_node_p99} at p99 \
             on hops and proxies ({same_node_requests} requests, {network_share} of their time; {local_share} of the calls stay on \
             their node). No move removes that; inside one pod at least {saved_p50_at_least} of each call would be saved, by what was \
             measured on another cluster."
        ))
    }
    /// The sentence of pressure.
    fn starved(&self) -> Option<String> {
        let Self::Pressure {
            container,
            lack,
            share,
            pods,
            pods_seen,
            cpu_used,
            cpu_peak,
            cpu_limit,
            memory_peak,
            memory_limit,
            served_p50,
            served_p99,
            calm_p99,
        } = self
        else {
            return None;
        };
        let cpu = match cpu_limit {
            Some(limit) => format!("it uses {cpu_used} of the {limit} it may, {cpu_peak} at its height"),
            None => format!("it uses {cpu_used}, {cpu_peak} at its height, and has no limit"),
        };
        let lacks = match lack {
            Lack::CpuLimit => {
                format!("the cpu limit of container {container} stops it in {share} of its periods ({cpu})")
            }
            Lack::CpuShare => {
                format!("container {container} waits for a processor in {share} of the time ({cpu})")
            }
            Lack::Memory => {
                let limit =
                    memory_limit.map_or("and has no limit".to_owned(), |limit| format!("of the {limit} it may"));
                let does = if *share == Ratio::ZERO {
                    "had a process killed for want of memory".to_owned()
                } else {
                    format!("stalls on memory in {share} of the time")
                };
                format!("container {container} {does} (it holds {memory_peak} {limit})")
            }
        };
        let calm = match calm_p99 {
            Some(calm) => format!(", against {calm} at p99 where and when nothing lacks"),
            None => "; there is nothing calm to compare with".to_owned(),
        };
        let sidecar = if container.as_str() == SIDECAR {
            " It is the sidecar: the network time of calls to these pods and from them holds its stops."
        } else {
            ""
        };
        Some(format!(
            "Pressure: in {pods} of the callee's {pods_seen} pods {lacks}. Requests are served in {served_p50} at the median and \
             {served_p99} at p99{calm}.{sidecar}"
        ))
    }
}

impl Finding {
    /// For people, with the edge's name.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.edge, self.cause.sentence())
    }
}
