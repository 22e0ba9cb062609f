//! Stories of a merge that is proposed: where, when not, beside what, by what it is judged, and when what stands is no longer wanted.

mod merging;
mod said;
mod world;

use huddle_core::act::{AloneConfig, Hold, may_go_alone};
use huddle_core::cluster::*;
use huddle_core::diagnose::{DiagnoseConfig, Finding, diagnose};
use huddle_core::distribution::Distribution;
use huddle_core::graph::Snapshot;
use huddle_core::id::*;
use huddle_core::plan::merge::{Adviser, Standing, Unmerged, Uses, Way, asked_for, merge_beside, standing};
use huddle_core::plan::{
    Action, Faded, Plan, PlanKind, PlannerConfig, Refusal, RefusalReason, Trigger, Use, plan, replaces, saved_now,
    stands,
};
use huddle_core::sample::Locality;
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::{Micros, Ratio};
use huddle_core::verify::{Harm, Verdict, VerifyConfig, Waiting, baseline, judge};
use huddle_core::view::ProofView;
use merging::{edge, pair};
use said::lines;
use world::{World, id};

const NOW: Timestamp = Timestamp(2_000_000_000);

/// A chatty pair whose namespace wants merges.
fn wanting() -> World {
    let mut world = pair();
    let policy = policy(&mut world);
    (policy.may_merge, policy.merges) = (true, true);
    world
}

fn policy(world: &mut World) -> &mut NamespacePolicy {
    world.cluster.policies.get_mut(&Namespace::from("shop")).unwrap()
}

struct Looked {
    cluster: ClusterView,
    snapshot: Snapshot,
    findings: Vec<Finding>,
}

impl Looked {
    fn at(world: &mut World) -> Self {
        let snapshot = world.measure(60);
        Self {
            findings: diagnose(&snapshot, &DiagnoseConfig::default()),
            cluster: world.cluster.clone(),
            snapshot,
        }
    }
    fn with<T>(&self, ask: impl FnOnce(&Adviser<'_>) -> T) -> T {
        ask(&Adviser {
            cluster: &self.cluster,
            snapshot: &self.snapshot,
            uses: &Uses::new(),
            config: &DiagnoseConfig::default(),
        })
    }
    fn first(&self) -> Plan {
        plan(
            &self.snapshot,
            &self.findings,
            &self.cluster,
            &PlannerConfig::default(),
            NOW,
        )
    }
    fn merge(&self) -> (Option<Plan>, Vec<Refusal>) {
        self.with(|adviser| merge_beside(&self.first(), adviser, &self.findings, NOW))
    }
    fn asked(&self) -> Result<Plan, Vec<Refusal>> {
        self.with(|adviser| asked_for(&edge(), adviser, &self.findings, NOW))
    }
}

fn merged(parted: Option<Parted>) -> Merged {
    Merged {
        caller: id("front"),
        callee: id("back"),
        plan: "plan-1".to_owned(),
        parted,
    }
}

fn why(refusals: &[Refusal]) -> Vec<&'static str> {
    let of = |refusal: &Refusal| {
        let RefusalReason::Unmerged { why } = &refusal.reason else {
            panic!("{refusal:?} is no reason against a merge")
        };
        why.label()
    };
    refusals.iter().map(of).collect()
}

#[test]
fn chatter_is_merged_where_the_policy_wants_it_and_nowhere_else() {
    let found = Looked::at(&mut wanting());
    let (plan, refusals) = found.merge();
    let plan = plan.unwrap();
    let merge = Action::Merge {
        workload: id("front"),
        with: id("back"),
        way: Way::Proxied,
    };
    assert_eq!(
        (plan.kind(), plan.actions.as_slice()),
        (PlanKind::Merge, [merge].as_slice())
    );
    assert_eq!((plan.pods_restarted, refusals.len()), (1, 0));
    let advice = &plan.merging[0];
    assert_eq!(plan.saved, advice.gain.as_ref().unwrap().saved_per_second.0);
    assert!(plan.saved > 0.0 && advice.against.is_empty() && advice.extra.requests.cpu.0 == 50);
    assert_eq!(plan.edges().collect::<Vec<_>>(), [&edge()]);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);

    let silent = Looked::at(&mut pair());
    assert_eq!(silent.merge(), (None, Vec::new()), "it is off by default");
    let mut calm = wanting();
    calm.calls[0].2 = 5.0;
    assert_eq!(
        Looked::at(&mut calm).merge(),
        (None, Vec::new()),
        "no chatter, no reason"
    );
}

#[test]
fn each_thing_that_stands_in_its_way_is_told() {
    type Break = fn(&mut World);
    let broken: &[(&str, Break)] = &[
        ("noRight", |world| policy(world).may_merge = false),
        ("untouchable", |world| {
            world.cluster.workloads.get_mut(&id("front")).unwrap().rolling = true;
        }),
        ("untouchable", |world| {
            world.cluster.workloads.get_mut(&id("back")).unwrap().rolling = true;
        }),
        ("untouchable", |world| {
            world.cluster.workloads.get_mut(&id("front")).unwrap().budget = Budget::Allows(0);
        }),
        ("untouchable", |world| policy(world).may_act = false),
        ("inside", |world| world.cluster.merged.push(merged(None))),
        ("inside", |world| {
            world.cluster.merged.push(Merged {
                callee: id("other"),
                ..merged(None)
            });
        }),
        ("parted", |world| {
            world.cluster.merged.push(merged(Some(Parted {
                unwanted: true,
                times: 1,
                last: NOW.minus(Span::seconds(3600)),
            })));
        }),
        ("against", |world| {
            world.cluster.templates.get_mut(&id("back")).unwrap().containers[0].names_command = false;
        }),
    ];
    for (label, broken) in broken {
        let mut world = wanting();
        broken(&mut world);
        let found = Looked::at(&mut world);
        let (plan, refusals) = found.merge();
        assert_eq!(plan, None, "{label}");
        assert!(
            why(&refusals).iter().all(|why| why == label) && !refusals.is_empty(),
            "{label}: {refusals:?}"
        );
        // Who asks hears the same, but that it was undone is his to overrule.
        match *label {
            "parted" => assert!(found.asked().is_ok()),
            _ => assert_eq!(found.asked().unwrap_err(), refusals, "{label}"),
        }
    }
}

#[test]
fn what_was_undone_waits_longer_each_time_and_what_was_overtaken_not_for_long() {
    let until = |unwanted, times| {
        let last = Timestamp(0);
        Parted { unwanted, times, last }.until().0 / 60_000
    };
    let minutes: Vec<i64> = [1, 2, 3, 9].map(|times| until(false, times)).to_vec();
    assert_eq!(minutes, [30, 60, 120, 24 * 60]);
    let days: Vec<i64> = [1, 2, 3, 9].map(|times| until(true, times) / (24 * 60)).to_vec();
    assert_eq!(days, [1, 2, 4, 14]);
    let mut world = wanting();
    world.cluster.merged.push(merged(Some(Parted {
        unwanted: false,
        times: 1,
        last: NOW.minus(Span::seconds(1800)),
    })));
    assert!(Looked::at(&mut world).merge().0.is_some(), "its time is up");
}

#[test]
fn somebody_may_ask_for_it_without_a_policy_or_chatter_and_then_a_person_approves() {
    let mut world = pair();
    world.calls[0].2 = 10.0;
    policy(&mut world).may_merge = true;
    policy(&mut world).automation = Automation::Auto;
    let found = Looked::at(&mut world);
    let asked = found.asked().unwrap();
    assert!(asked.because == [Trigger::Asked] && !asked.merging[0].chatter);
    let alone = |cluster: &ClusterView| {
        may_go_alone(
            &asked,
            NOW,
            cluster,
            &[],
            &AloneConfig::default(),
            NOW.plus(Span::seconds(600)),
        )
    };
    assert!(matches!(alone(&found.cluster), Err(Hold::NotAuto { .. })));
    let mut wanted = found.cluster.clone();
    wanted.policies.get_mut(&Namespace::from("shop")).unwrap().merges = true;
    assert_eq!(alone(&wanted), Ok(()));
    // Nothing is measured that would be gained, and no newer merge takes its place.
    let (better, later) = (
        Plan {
            saved: 9.0,
            because: Vec::new(),
            ..asked.clone()
        },
        NOW.plus(Span::seconds(600)),
    );
    assert!(!replaces(&better, &asked, true, later) && replaces(&better, &asked, false, later));
}

#[test]
fn it_stands_beside_moves_and_what_is_given_back_and_waits_for_who_is_starved() {
    let all = [
        PlanKind::Relief,
        PlanKind::Nearer,
        PlanKind::Withdrawal,
        PlanKind::Merge,
        PlanKind::GiveBack,
    ];
    let beside = |kind: PlanKind| all.map(|other| other.is_beside(kind));
    assert_eq!(beside(PlanKind::Merge), [false, true, true, false, true]);
    assert_eq!(beside(PlanKind::Nearer), [false, false, false, true, true]);
    assert_eq!(beside(PlanKind::Relief), [false; 5]);
    for (kind, other) in all.iter().flat_map(|kind| all.iter().map(move |other| (kind, other))) {
        assert_eq!(kind.is_beside(*other), other.is_beside(*kind), "{kind:?} {other:?}");
    }
    let found = Looked::at(&mut wanting());
    let relief = Plan {
        actions: vec![Action::Size {
            workload: id("back"),
            container: "back".into(),
            to: Sizing::default(),
            instead: Sizing::default(),
            form: huddle_core::plan::PlaceForm::Admission,
        }],
        ..found.first()
    };
    let (plan, _) = found.with(|adviser| merge_beside(&relief, adviser, &found.findings, NOW));
    assert_eq!(plan, None);
}

#[test]
fn a_proposal_stands_while_its_load_does() {
    let found = Looked::at(&mut wanting());
    let plan = found.merge().0.unwrap();
    let saved = |found: &Looked| {
        let config = PlannerConfig::default();
        saved_now(&plan, &found.snapshot, &found.findings, &found.cluster, &config).unwrap()
    };
    assert_eq!(saved(&found), plan.saved);
    assert!(stands(&plan, saved(&found), &plan, Ratio::clamped(0.1), &found.cluster));
    let mut busier = wanting();
    busier.calls[0].2 = 300.0;
    let busier = Looked::at(&mut busier);
    let newer = busier.merge().0.unwrap();
    assert!(
        (saved(&busier) - newer.saved).abs() < 1e-9,
        "the same edge on the same data"
    );
    let mut rolling = found.cluster.clone();
    rolling.workloads.get_mut(&id("front")).unwrap().rolling = true;
    assert!(!stands(&plan, plan.saved, &plan, Ratio::clamped(0.1), &rolling));
}

/// The same calls, inside the pod: no served time and so no network time, and `micros` from sending to the first byte back.
fn inside(before: &Snapshot, micros: u64) -> Snapshot {
    let mut after = before.clone();
    after.window = huddle_core::time::Window {
        from: before.window.to,
        to: before.window.to.plus(before.window.span()),
    };
    after.at = after.window.to;
    let stats = after.edges.get_mut(&edge()).unwrap();
    let near = stats.by_locality.remove(&Locality::SameNode).unwrap();
    let mut exchange = huddle_core::sample::Exchange {
        requests: near.requests,
        missing_served: near.requests,
        ..Default::default()
    };
    let mut times = Distribution::default();
    for (at, part) in [(micros * 9 / 10, 2), (micros, 6), (micros * 12 / 10, 2)] {
        times.add(Micros(at), near.requests * part / 10);
    }
    exchange.upstream = times;
    stats.total = exchange.clone();
    stats.by_locality.insert(Locality::SamePod, exchange);
    stats.pairs.clear();
    after
}

#[test]
fn it_is_judged_by_whole_calls_since_nothing_inside_the_pod_tells_their_parts() {
    let found = Looked::at(&mut wanting());
    let plan = found.merge().0.unwrap();
    let config = VerifyConfig {
        requests: 2_000,
        ..VerifyConfig::default()
    };
    assert_eq!(baseline(&found.snapshot, &plan, &config), None);
    let verdict = |micros| {
        let after = inside(&found.snapshot, micros);
        judge(&found.snapshot, &after, &plan, &found.cluster, &config, after.at)
    };
    let before = found.snapshot.edges[&edge()].total.upstream.quantile(0.5).unwrap().0;
    assert_eq!(verdict(before * 6 / 10), Verdict::Improved);
    let after = inside(&found.snapshot, before * 6 / 10);
    let [proof] = ProofView::all(&plan, &found.snapshot, &after, &config)
        .try_into()
        .unwrap();
    assert_eq!(
        (proof.before.network, proof.after.network),
        Default::default(),
        "it is nobody's to tell"
    );
    assert!(proof.after.upstream.p50_us < proof.before.upstream.p50_us && proof.verdict == "improved");
    let slower = verdict(before * 2);
    assert!(
        matches!(
            &slower,
            Verdict::Regressed {
                harm: Harm::Calls { .. }
            }
        ),
        "{slower:?}"
    );
    assert!(slower.sentence().contains("on average"), "{}", slower.sentence());
    let few = VerifyConfig {
        requests: 1_000_000,
        ..config
    };
    assert!(matches!(
        baseline(&found.snapshot, &plan, &few),
        Some(Waiting::Requests { .. })
    ));
}

#[test]
fn over_loopback_it_is_judged_by_what_its_caller_serves() {
    let mut world = wanting();
    policy(&mut world).merge_way = Way::Direct;
    let found = Looked::at(&mut world);
    let plan = found.merge().0.unwrap();
    assert_eq!(plan.direct(), Some(&id("front")));
    let gain = plan.merging[0].gain.as_ref().unwrap();
    assert_eq!(plan.saved, gain.saved(Way::Direct).0);
    assert!(plan.saved > gain.saved_per_second.0);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);

    let config = VerifyConfig {
        requests: 500,
        ..VerifyConfig::default()
    };
    assert_eq!(baseline(&found.snapshot, &plan, &config), None);
    let few = VerifyConfig {
        requests: 1_000,
        ..config
    };
    assert!(
        matches!(
            baseline(&found.snapshot, &plan, &few),
            Some(Waiting::Requests { seen: 600, .. })
        ),
        "calls to the caller are what counts"
    );
    let into = EdgeId {
        source: id("gate"),
        destination: id("front"),
    };
    // The edge itself is seen no more; the caller serves in `percent` of the time, and fails some.
    let after = |percent: u64, errors: u64| {
        let mut after = inside(&found.snapshot, 1);
        after.edges.remove(&edge());
        let stats = after.edges.get_mut(&into).unwrap();
        let mut served = Distribution::default();
        for (at, count) in found.snapshot.edges[&into].total.served.buckets() {
            served.add(Micros(at.0 * percent / 100), count);
        }
        (stats.total.served, stats.total.errors) = (served, errors);
        stats.pairs.clear();
        after
    };
    let verdict = |percent, errors| {
        let after = after(percent, errors);
        judge(&found.snapshot, &after, &plan, &found.cluster, &config, after.at)
    };
    assert_eq!(verdict(60, 0), Verdict::Improved);
    assert_eq!(verdict(100, 0), Verdict::Unchanged);
    let of = |verdict| {
        let Verdict::Regressed { harm } = verdict else {
            panic!("{verdict:?}")
        };
        harm.label()
    };
    assert_eq!(of(verdict(200, 0)), "served");
    assert_eq!(of(verdict(60, 100)), "errors", "what it does not get it fails to serve");
    let [proof] = ProofView::all(&plan, &found.snapshot, &after(60, 0), &config)
        .try_into()
        .unwrap();
    assert_eq!(
        (
            proof.source.as_str(),
            proof.destination.as_str(),
            proof.verdict.as_str()
        ),
        ("shop/gate", "shop/front", "improved")
    );
}

#[test]
fn what_the_policys_way_does_not_allow_is_not_led_another() {
    let mut world = wanting();
    policy(&mut world).merge_way = Way::Direct;
    world.calls.pop();
    let found = Looked::at(&mut world);
    let (plan, refusals) = found.merge();
    assert_eq!((plan, why(&refusals)), (None, vec!["against"]));
    assert!(refusals[0].sentence().contains("the direct way only"));
    let mut proxied = wanting();
    proxied.calls.pop();
    assert!(Looked::at(&mut proxied).merge().0.is_some());
}

#[test]
fn what_stands_is_looked_at_and_half_of_what_was_asked_for_is_too_little() {
    let look = |world: &mut World| {
        let snapshot = world.measure(60);
        standing(&edge(), &snapshot, &world.cluster, &DiagnoseConfig::default().chatter)
    };
    let mut world = pair();
    let of = |of_use| Standing {
        of_use,
        calls: None,
        patience: NamespacePolicy::default().faded_after,
    };
    assert_eq!(look(&mut world), of(Use::Of));
    world.calls[0].2 = 12.0;
    assert_eq!(
        look(&mut world),
        of(Use::Of),
        "less than chatter asks for, more than half of it"
    );
    world.calls[0].2 = 8.0;
    assert_eq!(look(&mut world), of(Use::Gone(Faded::NotCalled)));
    world.cluster.workloads.get_mut(&id("back")).unwrap().rolling = true;
    assert_eq!(look(&mut world), of(Use::Unknown));
    let mut silent = pair();
    silent.calls.clear();
    assert_eq!(look(&mut silent), of(Use::Unknown), "nobody reports");
    let mut calls = pair();
    calls.deploy("store", 100, &[0]);
    calls.calls("back", "store", 1.0);
    assert_eq!(look(&mut calls).calls, Some(id("store")));
}

#[test]
fn reasons_why_none_is_proposed() {
    let until = Timestamp(1_790_000_000_000);
    let plan = || "plan-1".to_owned();
    let reasons = vec![
        Unmerged::NoRight,
        Unmerged::Untouchable {
            which: id("front"),
            because: Box::new(RefusalReason::Rolling),
        },
        Unmerged::Inside { plan: plan() },
        Unmerged::Parted {
            plan: plan(),
            times: 2,
            until,
        },
        Unmerged::Against {
            against: huddle_core::plan::merge::Unmergeable::ProxyPort { port: 15_021 },
        },
    ];
    let whole = |why: &Unmerged| {
        let refusal = Refusal {
            workload: id("back"),
            with: Some(id("front")),
            reason: RefusalReason::Unmerged { why: why.clone() },
        };
        let json = serde_json::to_string(&refusal).unwrap();
        assert_eq!(serde_json::from_str::<Refusal>(&json).unwrap(), refusal, "{json}");
        format!("{} {}", refusal.sentence(), refusal.reason.remedy())
    };
    insta::assert_snapshot!(lines(&reasons, "why", Unmerged::label, whole));
}
