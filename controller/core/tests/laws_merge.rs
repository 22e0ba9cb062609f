//! Laws of merging, over pairs drawn by lot.

mod merging;
mod world;

use huddle_core::cluster::*;
use huddle_core::diagnose::{ChatterConfig, DiagnoseConfig, Finding, diagnose};
use huddle_core::graph::{EdgeStats, Snapshot};
use huddle_core::id::*;
use huddle_core::plan::merge::{RULES, Uses, Way, gain};
use huddle_core::time::Span;
use huddle_core::units::Millicores;
use merging::{account, advice, edge, pair, port};
use proptest::prelude::*;
use std::sync::OnceLock;
use world::id;

fn measured() -> &'static (ClusterView, Snapshot, Vec<Finding>) {
    static MEASURED: OnceLock<(ClusterView, Snapshot, Vec<Finding>)> = OnceLock::new();
    MEASURED.get_or_init(|| {
        let mut world = pair();
        let snapshot = world.measure(60);
        let findings = diagnose(&snapshot, &DiagnoseConfig::default());
        (world.cluster, snapshot, findings)
    })
}

fn template<'a>(cluster: &'a mut ClusterView, name: &str) -> &'a mut Template {
    cluster.templates.get_mut(&id(name)).unwrap()
}

/// Breaks one of several things, at either end.
fn break_one(cluster: &mut ClusterView, what: u8, caller: bool) {
    let name = if caller { "front" } else { "back" };
    match what {
        0 => cluster.workloads.get_mut(&id(name)).unwrap().opted_out = true,
        1 => template(cluster, name).start_up = None,
        2 => template(cluster, name).containers[0].ports.clear(),
        3 => {
            template(cluster, name).host.insert(HostNamespace::Ipc);
        }
        4 => {
            let setting = ("spec.dnsPolicy".to_owned(), name.to_owned());
            template(cluster, name).settings.extend([setting]);
        }
        5 => cluster.trust.grants = None,
        6 => {
            cluster.templates.remove(&id(name));
        }
        7 => template(cluster, "back").requests.cpu = Millicores(1 << 30),
        8 => template(cluster, "back").start_up = Some(Span::seconds(900)),
        9 => {
            let binding = "RoleBinding shop/b".to_owned();
            let account = account("back");
            cluster.trust.grants.get_or_insert_default().insert(Grant {
                to: Grantee::Account(account),
                binding,
            });
        }
        10 => {
            template(cluster, "back").containers[0].ports.insert(port(8080));
        }
        _ => {
            let (name, is) = ("data".to_owned(), VolumeKind::Claim);
            template(cluster, "back").volumes.insert(Volume { name, is });
        }
    }
}

proptest! {
    /// Nothing is advised while a condition is unmet, whichever.
    #[test]
    fn nothing_is_advised_with_a_reason_against_it(broken in prop::collection::vec((0_u8..12, any::<bool>()), 1..5)) {
        let (cluster, snapshot, findings) = measured();
        let told = |broken: &[(u8, bool)]| {
            let mut cluster = cluster.clone();
            broken.iter().for_each(|(what, caller)| {
                // A template that is gone cannot be broken further.
                if cluster.templates.len() == 2 || matches!(what, 0 | 5) {
                    break_one(&mut cluster, *what, *caller);
                }
            });
            advice(&cluster, snapshot, findings, &edge(), &Uses::new())
        };
        let all = told(&broken);
        prop_assert!(!all.against.is_empty());
        prop_assert!(!all.recommends(Way::Proxied) && !all.recommends(Way::Direct));
        // Equal input, equal advice; and the words are there for each.
        prop_assert_eq!(&told(&broken), &all);
        for reason in &all.against {
            prop_assert!(!reason.sentence().is_empty() && !reason.remedy().is_empty());
        }
    }

    /// Consent has no direction: what an owner or a border says against A in B it says against B in A.
    #[test]
    fn consent_is_symmetric(
        namespaces in prop::array::uniform2(0_u8..2), out in prop::array::uniform2(any::<bool>()), observe in prop::array::uniform2(any::<bool>()),
    ) {
        let (_, snapshot, _) = measured();
        let mut cluster = ClusterView::default();
        let ends = [0_usize, 1].map(|ix| WorkloadId::deployment(&format!("n{}", namespaces[ix]), &format!("w{ix}")));
        let known = &measured().0.workloads[&id("back")];
        for (ix, end) in ends.iter().enumerate() {
            cluster.workloads.insert(end.clone(), Workload { id: end.clone(), opted_out: out[ix], ..known.clone() });
            let policy = cluster.policies.entry(end.namespace.clone()).or_default();
            if observe[ix] {
                policy.automation = Automation::Observe;
            }
        }
        let consent = |source: &WorkloadId, destination: &WorkloadId| {
            let edge = EdgeId { source: source.clone(), destination: destination.clone() };
            let against = advice(&cluster, snapshot, &[], &edge, &Uses::new()).against;
            let labels = ["otherNamespace", "observeOnly", "optedOut", "notDeployment"];
            labels.map(|label| against.iter().filter(|reason| reason.label() == label).count())
        };
        let [a, b] = &ends;
        prop_assert_eq!(consent(a, b), consent(b, a));
        prop_assert_eq!(consent(a, b)[0] > 0, namespaces[0] != namespaces[1]);
    }

    /// The interval is one, holds no promise beyond the measured ratios, and narrows with more requests.
    #[test]
    fn a_gain_is_an_interval(times in prop::collection::vec(50_u64..20_000, 200..400), more in 2_u64..20) {
        let stats = |weight: u64| {
            let mut part = huddle_core::sample::Exchange::default();
            for at in &times {
                part.requests += weight;
                part.network.add(huddle_core::units::Micros(*at), weight);
                part.upstream.add(huddle_core::units::Micros(*at + 10), weight);
            }
            EdgeStats {
                edge: edge(),
                total: part.clone(),
                by_locality: [(huddle_core::sample::Locality::SameNode, part)].into(),
                pairs: Vec::new(),
                classes: std::collections::BTreeMap::new(),
                last: huddle_core::time::Timestamp(0),
            }
        };
        let of = |weight| gain(&stats(weight), 60.0, 100, &ChatterConfig::default()).unwrap();
        let (few, many) = (of(1), of(more));
        for gain in [&few, &many] {
            for way in [Way::Proxied, Way::Direct] {
                let (low, high) = gain.p50(way);
                prop_assert!(low <= high);
            }
            prop_assert!(gain.direct_p50.0 <= gain.proxied_p50.0 && gain.direct_p50.1 <= gain.proxied_p50.1);
            prop_assert!(gain.saved_per_second.0 <= gain.saved_per_second.1);
        }
        prop_assert!(few.proxied_p50.0 <= many.proxied_p50.0 && many.proxied_p50.1 <= few.proxied_p50.1);
        prop_assert!(gain(&stats(1), 60.0, 1_000, &ChatterConfig::default()).is_none(), "too few");
    }
}

#[test]
fn every_rule_asks_one_question() {
    for rule in RULES {
        let question = rule.asks.split(" (").next().unwrap();
        assert!(question.ends_with('?'), "{}", rule.asks);
    }
    let (cluster, snapshot, _) = measured();
    for rule in RULES {
        assert_eq!(rule.finds(cluster, snapshot, &edge()), [], "{}", rule.asks);
    }
}
