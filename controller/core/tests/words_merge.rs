//! Reasons against a merge, and advice on one: labels are JSON tags, and the sentences are fixed here for people to read.

mod said;

use huddle_core::cluster::{HostNamespace, OneAtATime, Rerouting, Resources};
use huddle_core::id::{ContainerName, EdgeId, NodeName, WorkloadId, WorkloadKind};
use huddle_core::plan::merge::{
    Advice, Effect, Extra, Gain, Privilege, Same, Selecting, Side, Unknown, Unmergeable, Use, Way,
};
use huddle_core::time::Span;
use huddle_core::units::{Bytes, Micros, Millicores, Ratio};
use said::{lines, tag};

fn edge() -> EdgeId {
    EdgeId {
        source: WorkloadId::deployment("shop", "front"),
        destination: WorkloadId::deployment("shop", "back"),
    }
}

fn against() -> Vec<Unmergeable> {
    let callee = Side::Callee;
    let unknown = |what| Unmergeable::CannotTell { whose: callee, what };
    let container = || ContainerName::from("app");
    let does = [
        Rerouting::Elsewhere,
        Rerouting::Subset,
        Rerouting::Answers,
        Rerouting::SentOnce,
        Rerouting::SentAgain,
        Rerouting::Stands,
    ];
    let privileged = |privilege| Unmergeable::Privileged { privilege };
    vec![
        Unmergeable::Itself,
        Unmergeable::OtherNamespace,
        Unmergeable::ObserveOnly,
        Unmergeable::OptedOut { whose: Side::Caller },
        Unmergeable::NotDeployment {
            whose: callee,
            kind: WorkloadKind::StatefulSet,
        },
        Unmergeable::Stateful {
            volume: "data".to_owned(),
        },
        Unmergeable::Singleton {
            sign: OneAtATime::Recreate,
        },
        Unmergeable::Singleton {
            sign: OneAtATime::NoSurge,
        },
        Unmergeable::Outbound {
            to: WorkloadId::deployment("shop", "store"),
        },
        Unmergeable::OtherCallers {
            share: Ratio::clamped(0.2),
        },
        Unmergeable::Unmeshed { whose: callee },
        Unmergeable::MeshPolicy {
            policy: "AuthorizationPolicy shop/back".to_owned(),
        },
        Unmergeable::Granted {
            binding: "RoleBinding shop/back".to_owned(),
        },
        Unmergeable::CloudIdentity {
            annotation: "eks.amazonaws.com/role-arn".to_owned(),
        },
        Unmergeable::Token {
            volume: "token".to_owned(),
        },
        Unmergeable::IdentityVolume {
            volume: "spiffe".to_owned(),
            driver: "csi.spiffe.io".to_owned(),
        },
        privileged(Privilege::Security {
            container: container(),
            field: "securityContext.privileged".to_owned(),
        }),
        privileged(Privilege::HostPath {
            volume: "node".to_owned(),
        }),
        privileged(Privilege::ProxyUser { container: container() }),
        Unmergeable::HostNamespace {
            whose: callee,
            namespace: HostNamespace::Network,
        },
        Unmergeable::Port {
            port: 8080,
            protocol: "TCP".to_owned(),
        },
        Unmergeable::ProxyPort { port: 15_021 },
        Unmergeable::Name {
            what: Same::Container,
            name: "app".to_owned(),
        },
        Unmergeable::Name {
            what: Same::Volume,
            name: "config".to_owned(),
        },
        Unmergeable::User {
            container: container(),
            field: "spec.securityContext.runAsUser".to_owned(),
        },
        Unmergeable::PodSetting {
            field: "spec.securityContext.fsGroup".to_owned(),
            caller: None,
            callee: Some("2000".to_owned()),
        },
        Unmergeable::Inexpressible {
            by: "container app".to_owned(),
            field: "lifecycle".to_owned(),
        },
        Unmergeable::PullSecret {
            name: "registry".to_owned(),
        },
        Unmergeable::DownwardApi {
            by: "app".to_owned(),
            field: "metadata.name".to_owned(),
        },
        Unmergeable::OutOfMemory { container: container() },
        Unmergeable::InitContainer { container: container() },
        Unmergeable::NoCommand { container: container() },
        Unmergeable::NodeNeeds {
            node: NodeName::from("node-3"),
            field: "spec.tolerations".to_owned(),
        },
        Unmergeable::Architecture {
            architecture: "arm64".to_owned(),
        },
        Unmergeable::NoRoom {
            node: NodeName::from("node-3"),
            resource: "cpu".to_owned(),
        },
        Unmergeable::SelectedTwice {
            by: Selecting::PodDisruptionBudget,
            name: "all".to_owned(),
        },
        Unmergeable::AutoscalerBlind {
            autoscaler: "front".to_owned(),
            container: container(),
        },
        Unmergeable::SlowStart {
            caller: Span::seconds(2),
            callee: Span::seconds(45),
        },
        Unmergeable::PortMapped { port: 80, target: 8080 },
        Unmergeable::Headless {
            service: "back".to_owned(),
        },
        Unmergeable::SharedService {
            service: "back".to_owned(),
            with: WorkloadId::deployment("shop", "canary"),
        },
        Unmergeable::OwnNames {
            field: "spec.hostAliases".to_owned(),
        },
        Unmergeable::CallerWaits { container: container() },
        Unmergeable::ManyServices { services: 17, most: 16 },
        Unmergeable::Unseen,
        unknown(Unknown::Template),
        unknown(Unknown::Ports),
        unknown(Unknown::StartUp),
        unknown(Unknown::Callers),
        unknown(Unknown::Grants),
        unknown(Unknown::Cloud),
        unknown(Unknown::MeshPolicies),
        unknown(Unknown::Routes),
    ]
    .into_iter()
    .chain(does.map(|does| Unmergeable::Rerouted {
        route: "VirtualService shop/back".to_owned(),
        does,
    }))
    .collect()
}

#[test]
fn reasons_against_a_merge() {
    let reasons = against();
    insta::assert_snapshot!(lines(&reasons, "reason", Unmergeable::label, Unmergeable::sentence));
    insta::assert_snapshot!(
        "remedies_of_a_merge",
        lines(&reasons, "reason", Unmergeable::label, Unmergeable::remedy)
    );
    for reason in reasons {
        let json = serde_json::to_string(&reason).unwrap();
        assert_eq!(serde_json::from_str::<Unmergeable>(&json).unwrap(), reason, "{json}");
        if let Unmergeable::CannotTell { what, .. } = reason {
            assert_eq!(tag(&what, ""), what.label());
        }
    }
    for side in [Side::Caller, Side::Callee] {
        assert_eq!(tag(&side, ""), side.label());
    }
    for way in [Way::Proxied, Way::Direct] {
        assert_eq!(tag(&way, ""), way.label());
    }
}

#[test]
fn advice_on_a_merge() {
    let gain = Gain {
        requests: 25_140,
        same_node_p50: Micros(2_400),
        proxied_p50: (Micros(1_480), Micros(1_710)),
        direct_p50: (Micros(590), Micros(860)),
        calls_per_second: 209.5,
        saved_per_second: (0.149, 0.194),
        saved_direct_per_second: Some((0.324, 0.379)),
    };
    let extra = |used| Extra {
        containers: vec!["app".into(), "cache".into()],
        requests: Resources {
            cpu: Millicores(70),
            memory: Bytes(96 << 20),
            ..Default::default()
        },
        used,
        pods: 2,
    };
    let used = Use {
        cpu: Millicores(41),
        memory: Bytes(52 << 20),
    };
    let effects = vec![
        Effect::Unguarded,
        Effect::FallsBack,
        Effect::NoFallback,
        Effect::OneIdentity {
            account: "front".to_owned(),
        },
        Effect::NoToken,
        Effect::OneFate,
        Effect::ScaledTogether {
            pods: 2,
            autoscaler: Some("front".to_owned()),
        },
        Effect::OwnPodsStay {
            others: Ratio::clamped(0.02),
            replicas: 2,
            way: Way::Proxied,
        },
        Effect::OwnPodsStay {
            others: Ratio::clamped(0.02),
            replicas: 2,
            way: Way::Direct,
        },
    ];
    let advice = |chatter, gain: Option<Gain>, against: Vec<Unmergeable>, used| Advice {
        edge: edge(),
        way: Way::Proxied,
        chatter,
        gain,
        extra: extra(used),
        effects: effects.clone(),
        against,
    };
    let all = [
        advice(true, Some(gain.clone()), Vec::new(), Some(used)),
        advice(
            true,
            Some(gain.clone()),
            vec![Unmergeable::ProxyPort { port: 15_021 }],
            None,
        ),
        advice(true, Some(gain.clone()), against(), None),
        advice(true, None, Vec::new(), None),
        advice(false, Some(gain.clone()), Vec::new(), None),
    ];
    let mut words: Vec<String> = all.iter().map(Advice::sentence).collect();
    let direct = Advice {
        way: Way::Direct,
        ..all[0].clone()
    };
    words.push(direct.sentence());
    words.extend([Way::Proxied, Way::Direct].map(|way| gain.sentence(way)));
    words.extend([
        extra(Some(used)).sentence(),
        extra(None).sentence(),
        Extra::default().sentence(),
    ]);
    words.push(lines(&effects, "effect", Effect::label, Effect::sentence));
    insta::assert_snapshot!(words.join("\n"));
    assert_eq!(
        all.map(|advice| advice.recommends(Way::Proxied)),
        [true, false, false, false, false]
    );
}
