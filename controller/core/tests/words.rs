//! Every closed set of reasons speaks: its label is its JSON tag, its sentence is fixed here for people to read.

mod said;

use huddle_core::cluster::{Compute, RoutingMode, Sizing};
use huddle_core::diagnose::{Cause, Lack, LocalEvidence, NotChatter};
use huddle_core::id::{EdgeId, NodeName, ServiceId, WorkloadId};
use huddle_core::plan::merge::Way;
use huddle_core::plan::{
    Action, CellWeight, Faded, Percent, PlaceForm, Refusal, RefusalReason, RoutingLoad, Seat, Unrelieved,
};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::{Bytes, Micros, Millicores, Ratio};
use huddle_core::verify::{Harm, Verdict, Waiting};
use said::{lines, tag};

fn back() -> WorkloadId {
    WorkloadId::deployment("shop", "back")
}

fn front() -> WorkloadId {
    WorkloadId::deployment("shop", "front")
}

fn edge() -> EdgeId {
    EdgeId {
        source: front(),
        destination: back(),
    }
}

#[test]
fn causes() {
    let distance = |local_evidence| Cause::Distance {
        network_share: Ratio::clamped(0.55),
        local_p50: Micros(402),
        local_p99: Micros(700),
        remote_p50: Micros(1600),
        remote_p99: Micros(3000),
        local_requests: 2143,
        remote_requests: 2208,
        saved_p50_at_least: Micros(1180),
        local_evidence,
    };
    let pressure = |container: &str, lack, calm_p99| Cause::Pressure {
        container: container.into(),
        lack,
        share: Ratio::clamped(0.34),
        pods: 2,
        pods_seen: 3,
        cpu_used: Millicores(182),
        cpu_peak: Millicores(200),
        cpu_limit: Some(Millicores(200)),
        memory_peak: Bytes(61 << 20),
        memory_limit: Some(Bytes(64 << 20)),
        served_p50: Micros(540),
        served_p99: Micros(71_000),
        calm_p99,
    };
    let chatter = |callers| Cause::Chatter {
        network_share: Ratio::clamped(0.86),
        same_node_p50: Micros(2_400),
        same_node_p99: Micros(10_300),
        same_node_requests: 25_140,
        local_share: Ratio::ONE,
        calls_per_pod: 104.75,
        caller_share: Ratio::clamped(0.98),
        callers,
        bytes_per_call: Bytes(640),
        saved_p50_at_least: Micros(702),
    };
    let mut killed = pressure("app", Lack::Memory, None);
    if let Cause::Pressure { share, .. } = &mut killed {
        *share = Ratio::ZERO;
    }
    let causes = [
        distance(LocalEvidence::Own),
        distance(LocalEvidence::Borrowed),
        pressure("app", Lack::CpuLimit, Some(Micros(1_900))),
        pressure("app", Lack::CpuShare, None),
        pressure("app", Lack::Memory, Some(Micros(1_900))),
        pressure("istio-proxy", Lack::CpuLimit, Some(Micros(1_900))),
        killed,
        Cause::Downstream {
            through: WorkloadId::deployment("shop", "store"),
            share: Ratio::clamped(0.81),
        },
        chatter(1),
        chatter(4),
        Cause::Inside {
            requests: 9_801,
            share: Ratio::clamped(0.98),
        },
        Cause::NotEnoughData {
            requests: 12,
            wanted: 200,
        },
    ];
    let causes: Vec<Cause> = causes.into_iter().chain(not_distance()).collect();
    insta::assert_snapshot!(lines(&causes, "cause", Cause::label, Cause::sentence));
    for evidence in [LocalEvidence::Own, LocalEvidence::Borrowed] {
        assert_eq!(tag(&evidence, ""), evidence.label());
    }
    for lack in [Lack::CpuLimit, Lack::CpuShare, Lack::Memory] {
        assert_eq!(tag(&lack, ""), lack.label());
    }
}

fn not_distance() -> Vec<Cause> {
    let why = [
        NotChatter::FewMeasured {
            requests: 12,
            wanted: 100,
        },
        NotChatter::HopsAreLittle {
            at_p50: Ratio::clamped(0.22),
            at_p99: Ratio::clamped(0.61),
        },
        NotChatter::FewCalls {
            calls_per_pod: 15.0,
            wanted: 20.0,
        },
        NotChatter::LargeCalls {
            bytes_per_call: Bytes(20 << 10),
            at_most: Bytes(16 << 10),
        },
        NotChatter::OtherCallers {
            caller_share: Ratio::clamped(0.2),
        },
        NotChatter::LittleSaved {
            saved_p50_at_least: Micros(31),
        },
        NotChatter::MayBeStarved,
    ];
    let near = why.map(|why| Cause::NotDistance {
        network_share: None,
        not_chatter: Some(why),
    });
    let far = Cause::NotDistance {
        network_share: Some(Ratio::clamped(0.05)),
        not_chatter: None,
    };
    [far].into_iter().chain(near).collect()
}

/// A cpu request in millicores, memory in Mi, a cpu limit.
fn sizing(request: Option<u64>, memory: Option<u64>, limit: Option<u64>) -> Sizing {
    let memory = memory.map(|mebibytes| Bytes(mebibytes << 20));
    let compute = |cpu: Option<u64>| Compute {
        cpu: cpu.map(Millicores),
        memory,
    };
    Sizing {
        requests: compute(request),
        limits: compute(limit),
    }
}

#[test]
fn actions() {
    let actions = [
        Action::Place {
            workload: back(),
            with: front(),
            form: PlaceForm::Admission,
        },
        Action::Place {
            workload: back(),
            with: front(),
            form: PlaceForm::Template,
        },
        Action::Move {
            workload: back(),
            pod: "uid".into(),
            pod_name: "back-1".to_owned(),
            from: "node-1".into(),
            to: "node-2".into(),
        },
        Action::Route {
            service: ServiceId {
                namespace: "shop".into(),
                name: "back".to_owned(),
            },
            workload: back(),
            from: RoutingMode::Spread,
            to: RoutingMode::PreferSameNode,
        },
        Action::Merge {
            workload: front(),
            with: back(),
            way: Way::Proxied,
        },
        Action::Merge {
            workload: front(),
            with: back(),
            way: Way::Direct,
        },
        Action::Size {
            workload: back(),
            container: "app".into(),
            to: sizing(None, None, Some(400)),
            instead: Sizing::default(),
            form: PlaceForm::Admission,
        },
        Action::Size {
            workload: back(),
            container: "app".into(),
            to: sizing(None, None, Some(400)),
            instead: sizing(None, None, Some(100)),
            form: PlaceForm::Template,
        },
        Action::Resize {
            workload: back(),
            pod: "uid".into(),
            pod_name: "back-1".to_owned(),
            container: "app".into(),
            from: sizing(Some(100), Some(64), Some(100)),
            to: sizing(Some(400), Some(64), Some(400)),
        },
        Action::Withdraw {
            workload: back(),
            with: Some(front()),
            rule: "plan-1-0".to_owned(),
            rule_uid: "uid".to_owned(),
            faded: Faded::NotCalled,
            faded_since: Timestamp(1_795_392_300_000),
        },
        Action::Withdraw {
            workload: back(),
            with: None,
            rule: "plan-1-0".to_owned(),
            rule_uid: "uid".to_owned(),
            faded: Faded::Gone,
            faded_since: Timestamp(1_795_392_300_000),
        },
        Action::Cell {
            workload: back(),
            with: front(),
            seats: [("node-1", 100), ("node-2", 60)]
                .map(|(node, weight)| Seat {
                    node: node.into(),
                    weight: CellWeight::clamped(f64::from(weight)),
                })
                .to_vec(),
        },
    ];
    insta::assert_snapshot!(lines(&actions, "kind", Action::label, Action::sentence));
}

#[test]
fn refusals() {
    let reasons = [
        RefusalReason::ObserveOnly,
        RefusalReason::NoRight,
        RefusalReason::NoConsent,
        RefusalReason::OptedOut,
        RefusalReason::NotMovable,
        RefusalReason::Rolling,
        RefusalReason::RuleInForce {
            plan: "plan-7".to_owned(),
        },
        RefusalReason::Budget,
        RefusalReason::NoCapacity {
            node: "node-2".into(),
            resource: "cpu".to_owned(),
        },
        RefusalReason::Constraint {
            field: "spec.nodeSelector".to_owned(),
        },
        RefusalReason::TriedInVain {
            node: NodeName::from("node-2"),
            times: 2,
            plan: "plan-1".to_owned(),
            until: Timestamp(1_795_392_300_000),
        },
        RefusalReason::Spread {
            nodes_before: 3,
            nodes_after: 2,
        },
        RefusalReason::TemplateElsewhere,
        RefusalReason::Overload { factor: Percent(154) },
        RefusalReason::TooFewPods,
        RefusalReason::RoutingOverridden {
            by: "DestinationRule shop/back".to_owned(),
        },
        RefusalReason::SmallGain,
        RefusalReason::MoveLimit { limit: 20 },
        RefusalReason::NotEnoughData,
        RefusalReason::Headroom {
            node: "node-2".into(),
            resource: "cpu".to_owned(),
            percent: 86,
            most: 80,
        },
        RefusalReason::Costly {
            payback: Span::seconds(24 * 3600),
        },
        RefusalReason::PressureFirst,
        RefusalReason::Unrelieved {
            why: Unrelieved::NotDeployment,
        },
        RefusalReason::NoCellRight,
        RefusalReason::CellTooWide { nodes: 40, most: 32 },
    ];
    insta::assert_snapshot!(lines(&reasons, "reason", RefusalReason::label, RefusalReason::sentence));
    insta::assert_snapshot!(
        "remedies",
        lines(&reasons, "reason", RefusalReason::label, RefusalReason::remedy)
    );
    let refusal = |with| Refusal {
        workload: back(),
        with,
        reason: RefusalReason::TooFewPods,
    };
    insta::assert_snapshot!(format!("{}\n{}", refusal(Some(front())).sentence(), refusal(None).sentence()), @r"
    shop/back is not brought closer to shop/front: local routing needs at least two ready pods behind the Service.
    shop/back: local routing needs at least two ready pods behind the Service.
    ");
}

#[test]
fn starved_pods_that_get_nothing() {
    let container = || "app".into();
    let wanted = Millicores(800);
    let other = |lack| Unrelieved::OtherLack {
        container: container(),
        lack,
    };
    let reasons = [
        other(Lack::CpuShare),
        other(Lack::Memory),
        Unrelieved::NotDeployment,
        Unrelieved::Templates,
        Unrelieved::NotInTemplate {
            container: "istio-proxy".into(),
        },
        Unrelieved::NotInTemplate { container: container() },
        Unrelieved::InTemplate { container: container() },
        Unrelieved::CpuOwned {
            by: "HorizontalPodAutoscaler back".to_owned(),
            container: container(),
            limit: Millicores(200),
            wanted,
        },
        Unrelieved::Restarts {
            container: container(),
            wanted,
        },
        Unrelieved::Ceiling {
            container: container(),
            ceiling: Millicores(4_000),
        },
        Unrelieved::NodeFull {
            container: container(),
            node: "node-2".into(),
        },
        Unrelieved::Raised { container: container() },
        Unrelieved::Unsettled {
            container: container(),
            watched: Span::seconds(30),
        },
        Unrelieved::PlanFull { steps: 400 },
        Unrelieved::OneAtATime { container: container() },
        Unrelieved::MemoryOwned {
            by: "VerticalPodAutoscaler back".to_owned(),
            container: container(),
            limit: Bytes(64 << 20),
            wanted: Bytes(164 << 20),
        },
        Unrelieved::MemoryCeiling {
            container: container(),
            ceiling: Bytes(4 << 30),
        },
        Unrelieved::MemoryRestarts {
            container: container(),
            wanted: Bytes(164 << 20),
        },
        Unrelieved::MemoryNodeFull {
            container: container(),
            node: "node-2".into(),
            wanted: Bytes(164 << 20),
        },
        Unrelieved::ShareOwned {
            by: "HorizontalPodAutoscaler back".to_owned(),
            container: container(),
            request: Millicores(100),
            wanted,
        },
        Unrelieved::ShareRestarts {
            container: container(),
            wanted,
        },
        Unrelieved::ShareNodeFull {
            container: container(),
            node: "node-2".into(),
            wanted,
        },
    ];
    insta::assert_snapshot!(lines(&reasons, "why", Unrelieved::label, Unrelieved::sentence));
    insta::assert_snapshot!(
        "starved_remedies",
        lines(&reasons, "why", Unrelieved::label, Unrelieved::remedy)
    );
}

#[test]
fn routing() {
    let loads = [
        RoutingLoad::Within { factor: Percent(100) },
        RoutingLoad::Over {
            factor: Percent(305),
            pod: "uid".into(),
        },
        RoutingLoad::TooFewPods { ready: 1 },
    ];
    let said: Vec<String> = loads
        .iter()
        .map(|load| format!("{}: {}", load.label(), load.sentence()))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    within: The busiest pod gets 1.00 × its share.
    over: The busiest pod would get 3.05 × its share.
    tooFewPods: Ready pods: 1, fewer than local routing needs.
    ");
    for mode in [
        RoutingMode::Spread,
        RoutingMode::PreferSameZone,
        RoutingMode::PreferSameNode,
    ] {
        assert_eq!(tag(&mode, ""), mode.label());
    }
}

#[test]
fn verdicts() {
    let waits = [
        Waiting::Requests {
            seen: 400,
            wanted: 10_000,
        },
        Waiting::Settling { left_ms: 12_001 },
        Waiting::Window { left_ms: 9_830 },
        Waiting::Load { percent: 205 },
    ];
    let harms = [
        Harm::Network {
            edge: edge(),
            before: Micros(700),
            after: Micros(900),
        },
        Harm::Served {
            edge: edge(),
            before: Micros(4_000),
            after: Micros(6_000),
        },
        Harm::Calls {
            edge: edge(),
            before: Micros(2_400),
            after: Micros(2_900),
        },
        Harm::Errors {
            edge: edge(),
            before: Ratio::ZERO,
            after: Ratio::clamped(0.021),
        },
        Harm::CalleePod {
            edge: edge(),
            pod: "back-1".to_owned(),
            before: Micros(500),
            after: Micros(1100),
        },
        Harm::Entry {
            edge: edge(),
            before: Micros(12_000),
            after: Micros(15_000),
        },
    ];
    let waiting = lines(&waits, "why", Waiting::label, Waiting::sentence);
    let harm = lines(&harms, "harm", Harm::label, Harm::sentence);
    let verdicts: Vec<Verdict> = [Verdict::Improved, Verdict::Unchanged, Verdict::Eased]
        .into_iter()
        .chain(waits.into_iter().map(|waiting| Verdict::Waiting { waiting }))
        .chain(harms.into_iter().map(|harm| Verdict::Regressed { harm }))
        .collect();
    let verdict = lines(&verdicts, "outcome", Verdict::label, Verdict::sentence);
    insta::assert_snapshot!(format!("{waiting}\n\n{harm}\n\n{verdict}"));
}
