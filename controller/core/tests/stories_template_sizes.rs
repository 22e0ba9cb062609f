//! Pressure where rules are written into templates: figures go there too, where the policy gives them away.

mod world;

use huddle_core::cluster::{ClusterView, Compute, Container, CpuOwner, Ruled, Sizing};
use huddle_core::diagnose::{Cause, Finding, Lack};
use huddle_core::id::{EdgeId, WorkloadId};
use huddle_core::plan::{Action, PlaceForm, Plan, PlanKind, PlannerConfig, Why, explain, saved_now, stands};
use huddle_core::units::{Bytes, Micros, Millicores, Ratio};
use world::starving::{NOW, decide, limits, nothing_measured, why};
use world::{World, id};

const MEBI: u64 = 1 << 20;

fn compute(cpu: Option<u64>, mebibytes: Option<u64>) -> Compute {
    Compute {
        cpu: cpu.map(Millicores),
        memory: mebibytes.map(|memory| Bytes(memory * MEBI)),
    }
}

fn sizing(requests: Compute, limits: Compute) -> Sizing {
    Sizing { requests, limits }
}

/// What every pod has: 100m and 32 MiB asked for, 200m and 64 MiB at most.
fn running() -> Sizing {
    sizing(compute(Some(100), Some(32)), compute(Some(200), Some(64)))
}

/// A front, and a back of three pods with these figures and this template, where rules are written into templates and figures may be.
fn shop(has: Sizing, says: Sizing) -> World {
    let mut world = World::new(4, 2, 4_000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[1, 2, 3]);
    for pod in world.cluster.pods.values_mut() {
        pod.containers = vec![Container {
            name: "app".into(),
            native_sidecar: false,
            requests: has.requests,
            limits: has.limits,
            restarts_for_cpu: true,
            restarts_for_memory: true,
            at_start: None,
            killed: None,
            resized: None,
        }];
    }
    let back = world.cluster.workloads.get_mut(&id("back")).unwrap();
    back.template = [("app".into(), says)].into();
    let policy = world.cluster.policies.get_mut(&"shop".into()).unwrap();
    (policy.form, policy.template_sizes) = (PlaceForm::Template, true);
    world
}

fn lacking(container: &str, lack: Lack, cpu_peak: u64) -> Finding {
    Finding {
        edge: EdgeId {
            source: id("front"),
            destination: id("back"),
        },
        cause: Cause::Pressure {
            container: container.into(),
            lack,
            share: Ratio::clamped(0.3),
            pods: 3,
            pods_seen: 3,
            cpu_used: Millicores(cpu_peak),
            cpu_peak: Millicores(cpu_peak),
            cpu_limit: (lack == Lack::CpuLimit).then_some(Millicores(200)),
            memory_peak: Bytes(63 * MEBI),
            memory_limit: None,
            served_p50: Micros(2_000),
            served_p99: Micros(80_000),
            calm_p99: Some(Micros(9_000)),
        },
        cost: 1.5,
    }
}

fn stopped() -> Finding {
    lacking("app", Lack::CpuLimit, 150)
}

/// The one action of a plan: what it writes, and what the template says of that.
fn written(plan: &Plan) -> (Sizing, Sizing) {
    let [Action::Size { to, instead, form, .. }] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(*form, PlaceForm::Template);
    (*to, *instead)
}

#[test]
fn a_starved_workload_gets_more_by_its_template_which_restarts_all_its_pods() {
    let world = shop(running(), running());
    let plan = decide(&world, &[stopped()]);
    let only = |cpu| sizing(Compute::default(), compute(Some(cpu), None));
    assert_eq!(written(&plan), (only(1_040), only(200)), "what it asks for stays");
    assert_eq!((plan.pods_restarted, plan.kind()), (3, PlanKind::Relief));
    assert!(plan.saved > 1.4 && plan.relief.len() == 1, "{}", plan.saved);
    assert!(
        plan.refusals.is_empty(),
        "a resizePolicy has no say: {:?}",
        plan.refusals
    );
    let (snapshot, config) = (nothing_measured(), PlannerConfig::default());
    let (_, whys) = explain(&plan, &snapshot, &[stopped()], &world.cluster, &config).unwrap();
    assert_eq!(whys, [Why::Starved]);
    insta::assert_snapshot!(plan.actions[0].sentence(), @"Let the template of shop/back give container app a cpu limit of 1040m (today 200m): all its pods are restarted, rolling, now and when it is undone.");
}

#[test]
fn memory_and_the_share_of_a_node_go_the_same_way() {
    let world = shop(running(), running());
    let plan = decide(&world, &[lacking("app", Lack::Memory, 50)]);
    let only = |mebibytes| sizing(Compute::default(), compute(None, Some(mebibytes)));
    assert_eq!((written(&plan), plan.pods_restarted), ((only(164), only(64)), 3));

    let plan = decide(&world, &[lacking("app", Lack::CpuShare, 150)]);
    let (to, instead) = written(&plan);
    assert_eq!(instead, sizing(compute(Some(100), None), Compute::default()));
    assert!(to.requests.cpu > Some(Millicores(150)), "{to:?}");
    assert_eq!(to.limits, Compute::default());
}

#[test]
fn a_limit_that_the_template_does_not_set_is_set_beside_what_the_pods_ask_for() {
    // What a LimitRange gave them: a limit alone would make them ask for all of it.
    let world = shop(running(), Sizing::default());
    let wanted = sizing(compute(Some(100), None), compute(Some(1_040), None));
    assert_eq!(written(&decide(&world, &[stopped()])), (wanted, Sizing::default()));

    // A pod that asks for all that it may use goes on so, without a request in its template.
    let all = sizing(compute(Some(200), Some(64)), compute(Some(200), Some(64)));
    let world = shop(all, sizing(Compute::default(), all.limits));
    let limit = |cpu| sizing(Compute::default(), compute(Some(cpu), None));
    let (to, instead) = written(&decide(&world, &[stopped()]));
    assert_eq!((to.requests, instead), (Compute::default(), limit(200)));

    // With one, both go up.
    let (to, instead) = written(&decide(&shop(all, all), &[stopped()]));
    assert_eq!(to.requests, to.limits);
    assert_eq!(instead, sizing(compute(Some(200), None), compute(Some(200), None)));
}

#[test]
fn who_is_not_to_be_touched_gets_nothing_and_hears_why() {
    let refused = |change: &dyn Fn(&mut ClusterView), finding: Finding| {
        let mut world = shop(running(), running());
        change(&mut world.cluster);
        let plan = decide(&world, &[finding]);
        assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        why(&plan)
    };
    fn workload(cluster: &mut ClusterView) -> &mut huddle_core::cluster::Workload {
        cluster.workloads.get_mut(&id("back")).unwrap()
    }
    let policy = |it: &mut ClusterView| it.policies.get_mut(&"shop".into()).unwrap().template_sizes = false;
    assert_eq!(refused(&policy, stopped()), ["templates"]);
    let injected = |it: &mut ClusterView| workload(it).template = [("other".into(), running())].into();
    assert_eq!(refused(&injected, stopped()), ["notInTemplate"]);
    let says_more = |it: &mut ClusterView| {
        let more = sizing(compute(Some(100), None), compute(Some(2_000), None));
        workload(it).template = [("app".into(), more)].into();
    };
    assert_eq!(refused(&says_more, stopped()), ["inTemplate"]);
    let owned = |it: &mut ClusterView| workload(it).cpu_owner = Some(CpuOwner::Horizontal("back".to_owned()));
    assert_eq!(refused(&owned, stopped()), ["cpuOwned"]);
    let scaled = |it: &mut ClusterView| workload(it).autoscaler = Some("back".to_owned());
    assert_eq!(refused(&scaled, lacking("app", Lack::Memory, 50)), ["memoryOwned"]);
    let new = |it: &mut ClusterView| it.pods.values_mut().for_each(|pod| pod.created = NOW);
    assert_eq!(refused(&new, stopped()), ["unsettled"]);
    let rolling = |it: &mut ClusterView| workload(it).rolling = true;
    assert_eq!(refused(&rolling, stopped()), ["rolling"]);
    let least = |it: &mut ClusterView| it.policies.get_mut(&"shop".into()).unwrap().max_cpu = Millicores(200);
    assert_eq!(refused(&least, stopped()), ["ceiling"]);
}

#[test]
fn a_placement_that_stands_in_the_template_keeps_no_figures_from_it_once_its_plan_has_ended() {
    let under = |settled| {
        let mut world = shop(running(), running());
        let rule = Ruled {
            plan: "plan-1".to_owned(),
            open: true,
            settled,
        };
        world.cluster.ruled.insert(id("back"), rule);
        decide(&world, &[stopped()])
    };
    assert_eq!(limits(&under(true)), [1_040]);
    assert_eq!(why(&under(false)), ["ruleInForce"]);
}

#[test]
fn a_proposal_stands_as_long_as_the_template_says_what_it_said() {
    let (snapshot, config) = (nothing_measured(), PlannerConfig::default());
    let world = shop(running(), running());
    let old = decide(&world, &[stopped()]);
    let stays = |world: &World, findings: &[Finding]| {
        let saved = saved_now(&old, &snapshot, findings, &world.cluster, &config).unwrap();
        stands(&old, saved, &old, Ratio::clamped(0.1), &world.cluster)
    };
    assert!(stays(&world, &[stopped()]));
    assert!(!stays(&world, &[]), "the pressure is gone");
    let says = |limit| sizing(running().requests, compute(Some(limit), Some(64)));
    assert!(!stays(&shop(running(), says(400)), &[stopped()]));
}

#[test]
fn two_workloads_are_two_roll_outs_and_each_counts() {
    let mut world = shop(running(), running());
    let front: WorkloadId = id("front");
    let template = world.cluster.workloads[&id("back")].template.clone();
    world.cluster.workloads.get_mut(&front).unwrap().template = template;
    let mut other = stopped();
    (other.edge.source, other.edge.destination) = (id("back"), front);
    let plan = decide(&world, &[stopped(), other]);
    assert_eq!((limits(&plan), plan.pods_restarted), (vec![1_040; 2], 4));
}
