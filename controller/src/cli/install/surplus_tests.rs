use super::super::tests::{Line, found};
use super::*;
use clap::Parser;
use huddle_api::{PlanPhase, PlanStatus};

fn args(more: &[&str]) -> Args {
    Line::parse_from([&["x"], more].concat()).args
}

/// All that an installation for `shop` and `load` leaves that may act in both, and the labels.
fn there(rules: Rules) -> (Vec<DynamicObject>, Vec<Namespace>) {
    let filter = |rolling| Filter {
        sha256: "x",
        interval_ms: 1,
        rolling,
    };
    let mut there = objects::filter("shop", &filter(false)).unwrap();
    there.extend(objects::filter("load", &filter(true)).unwrap());
    there.extend(objects::gateway("istio-ingress").unwrap());
    there.extend(objects::act_cluster(rules == Rules::Admission).unwrap());
    let mut namespaces = Vec::new();
    for name in ["load", "shop"] {
        there.extend(objects::act_namespace(name).unwrap());
        let mut labels = json!({LABEL_ACT: huddle_api::ACT_ALLOWED});
        if rules == Rules::Template {
            there.extend(objects::act_template(name).unwrap());
            labels[LABEL_RULES] = json!(huddle_api::RULES_TEMPLATE);
        }
        let object = json!({"metadata": {"name": name, "labels": labels}});
        namespaces.push(serde_json::from_value(object).unwrap());
    }
    (there, namespaces)
}

fn surplus(rules: Rules, more: &[&str]) -> Surplus {
    let args = args(more);
    let (there, labelled) = there(rules);
    let mut found = found();
    found.targets.retain(|target| args.namespaces.contains(&target.name));
    Surplus::of(there, &labelled, &args, &found).unwrap()
}

fn said(surplus: &Surplus) -> String {
    surplus.announce(&found(), Style::plain()).join("\n")
}

#[test]
fn the_same_line_again_takes_nothing_away() {
    let same = surplus(Rules::Admission, &["-n", "shop,load", "--allow", "act"]);
    assert!(same.is_empty() && said(&same).is_empty(), "{same:?}");
    let same = surplus(
        Rules::Template,
        &["-n", "shop,load", "--allow", "act", "--rules", "template"],
    );
    assert!(same.is_empty(), "{same:?}");
}

#[test]
fn what_is_taken_away_is_said_first() {
    let less = [
        ("no right to act", surplus(Rules::Admission, &["-n", "shop,load"])),
        (
            "one namespace less",
            surplus(Rules::Admission, &["-n", "shop", "--allow", "act"]),
        ),
        (
            "the right in one only",
            surplus(Rules::Admission, &["-n", "shop,load", "--allow", "act=shop"]),
        ),
        (
            "no templates",
            surplus(Rules::Template, &["-n", "shop,load", "--allow", "act"]),
        ),
        (
            "templates instead",
            surplus(
                Rules::Admission,
                &["-n", "shop,load", "--allow", "act", "--rules", "template"],
            ),
        ),
    ];
    let text: Vec<String> = less
        .iter()
        .map(|(what, surplus)| format!("# {what}{}", said(surplus)))
        .collect();
    insta::assert_snapshot!(text.join("\n\n"));
}

fn plan(name: &str, phase: PlanPhase, namespace: &str, form: Option<&str>) -> Plan {
    let workload = json!({"namespace": namespace, "kind": "Deployment", "name": "cart"});
    let object = json!({
        "apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": name},
        "spec": {"at": 1, "actions": [{"kind": "place", "workload": workload, "with": workload, "form": form}],
            "podsRestarted": 1, "saved": 1.0, "digest": "0".repeat(64)}
    });
    let mut plan: Plan = serde_json::from_value(object).unwrap();
    plan.status = Some(PlanStatus {
        phase,
        ..PlanStatus::default()
    });
    plan
}

fn rule(name: &str, namespace: &str, plan: &str) -> Rule {
    let object = json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Rule",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL_PLAN: plan}},
        "spec": {"workload": "cart", "form": "Steady", "selector": {"matchLabels": {"app": "cart"}}}});
    serde_json::from_value(object).unwrap()
}

#[test]
fn what_could_not_be_undone_after_it_stands_in_its_way() {
    let plans = [plan("p1", PlanPhase::Proved, "shop", None)];
    let rules = [rule("r1", "shop", "p1"), rule("r0", "load", "gone")];
    let held = |more: &[&str]| surplus(Rules::Admission, more).held_by(&plans, &rules);
    let all = held(&["-n", "shop,load"]);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].contains("plan p1 stands in namespace shop (Proved)") && all[0].contains("`huddle rollback p1`"));
    assert!(
        all[1].contains("`kubectl -n load delete rules.huddle.dev r0`"),
        "{all:?}"
    );
    // What is kept is in nobody's way.
    assert_eq!(held(&["-n", "shop", "--allow", "act"]).len(), 1, "load's rule");
    assert!(held(&["-n", "shop,load", "--allow", "act"]).is_empty());
    // Rules need their policy.
    let templates = held(&["-n", "shop,load", "--allow", "act", "--rules", "template"]);
    assert!(
        templates.iter().all(|it| it.contains("would do nothing any more")) && templates.len() == 2,
        "{templates:?}"
    );
}

#[test]
fn the_right_to_label_nodes_goes_after_the_plans_that_did() {
    let (mut there, labelled) = there(Rules::Admission);
    there.extend(objects::cells().unwrap());
    let of = |more: &[&str]| Surplus::of(there.clone(), &labelled, &args(more), &found()).unwrap();
    let same = of(&["-n", "shop,load", "--allow", "act,cells"]);
    assert!(same.is_empty(), "{same:?}");
    let less = of(&["-n", "shop,load", "--allow", "act"]);
    assert!(
        said(&less).contains("the right to label nodes (cells)"),
        "{}",
        said(&less)
    );
    let mut celled = plan("p1", PlanPhase::Proved, "shop", None);
    celled.spec.actions[0].kind = ActionKind::Cell;
    let held = less.held_by(&[celled.clone()], &[]);
    assert!(
        held.len() == 1 && held[0].contains("plan p1 labels nodes") && held[0].contains("`huddle rollback p1`"),
        "{held:?}"
    );
    assert!(same.held_by(&[celled], &[]).is_empty());
    assert!(
        less.held_by(&[plan("p2", PlanPhase::Proved, "shop", None)], &[])
            .is_empty()
    );
}

#[test]
fn a_plan_in_templates_needs_the_right_to_them() {
    let wrote = [plan("p2", PlanPhase::Acting, "shop", Some("template"))];
    let held = |more: &[&str]| surplus(Rules::Template, more).held_by(&wrote, &[]);
    let without = held(&["-n", "shop,load", "--allow", "act"]);
    assert!(
        without.len() == 1 && without[0].contains("plan p2 stands in namespace shop (Acting)"),
        "{without:?}"
    );
    assert!(held(&["-n", "shop,load", "--allow", "act", "--rules", "template"]).is_empty());
    let other = [plan("p3", PlanPhase::Acting, "elsewhere", None)];
    assert!(
        surplus(Rules::Template, &["-n", "shop,load"])
            .held_by(&other, &[])
            .is_empty()
    );
}
