//! What came of an edge's finding: what was planned, done, measured and undone, plan by plan, and what is not done and why.

use super::Style;
use super::graph::{percent, words};
use huddle_core::time::Timestamp;
use huddle_core::units::Micros;
use huddle_core::view::{EdgeView, PlanView, State, StepView};

/// So many plans are told of in full, the newest ones.
const TOLD: usize = 5;
/// Causes that a plan can do something about.
const CURABLE: [&str; 2] = ["pressure", "distance"];

/// The plans that concern an edge, oldest first. What was proposed and replaced before anybody agreed is no part of the story.
pub(super) fn plans<'a>(state: &'a State, edge: &EdgeView) -> Vec<&'a PlanView> {
    let ends = (edge.source.as_str(), edge.destination.as_str());
    let concerns = |plan: &&PlanView| {
        let expected = plan
            .expected
            .iter()
            .map(|it| (it.source.as_str(), it.destination.as_str()));
        let relief = plan
            .relief
            .iter()
            .map(|it| (it.source.as_str(), it.destination.as_str()));
        let given_back = plan.given_back.iter().any(|it| it.workload == edge.destination);
        plan.phase != "superseded" && (given_back || expected.chain(relief).any(|it| it == ends))
    };
    let mut plans: Vec<&PlanView> = state.plans.iter().filter(concerns).collect();
    plans.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    plans
}

/// What starved containers of the callee do not get.
pub(super) fn unrelieved<'a>(state: &'a State, edge: &EdgeView) -> Vec<&'a StepView> {
    let own = |step: &&StepView| step.workload.as_deref() == Some(edge.destination.as_str());
    state.unrelieved.iter().filter(own).collect()
}

/// All of it for people; empty where there is nothing to tell.
pub(super) fn tell(state: &State, edge: &EdgeView, style: Style) -> String {
    let (plans, left) = (plans(state, edge), unrelieved(state, edge));
    let mut text = String::new();
    if !plans.is_empty() {
        text += &format!("\n{}\n", style.bold("What was done about it"));
        let older = plans.len().saturating_sub(TOLD);
        if older > 0 {
            text += &format!("{older} older plans are left out: `huddle plan` lists them.\n");
        }
        for plan in plans.iter().skip(older) {
            text += &told(plan, edge, style);
        }
    }
    for step in &left {
        text += &format!("\n{} {}\n", style.warn("Not helped:"), step.sentence);
        text += &step
            .remedy
            .as_ref()
            .map(|remedy| format!("  {remedy}\n"))
            .unwrap_or_default();
    }
    let curable = |cause: &str| CURABLE.contains(&cause);
    let cause = edge.finding.as_ref().map(|finding| finding.cause.as_str());
    if plans.is_empty() && left.is_empty() && cause.is_some_and(curable) {
        text += "\nNothing is planned for it so far: `huddle plan` shows what is, and what is left alone and why.\n";
    }
    text
}

fn told(plan: &PlanView, edge: &EdgeView, style: Style) -> String {
    let made = Timestamp(plan.created_at).time_of_day();
    let mut text = format!("Plan {}, made at {made} ({})\n", plan.id, words(&plan.phase));
    text += &expects(plan, edge);
    text += &steps(plan, edge, style);
    text += &measured(plan, edge);
    if let Some(verdict) = &plan.verdict {
        let outcome = match verdict.outcome.as_str() {
            "improved" | "eased" => style.good(&verdict.sentence),
            "regressed" => style.bad(&verdict.sentence),
            _ => verdict.sentence.clone(),
        };
        text += &format!("  Verdict: {outcome}\n");
    }
    text += &match plan.phase.as_str() {
        "proposed" => format!(
            "  {} `huddle approve {}` lets it be done.\n",
            sentence(&plan.summary),
            plan.id
        ),
        "proved" => format!("  `huddle rollback {}` takes it back.\n", plan.id),
        _ => format!("  {}\n", sentence(&plan.summary)),
    };
    text
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    let first: String = letters
        .next()
        .map(|letter| letter.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn is(source: &str, destination: &str, edge: &EdgeView) -> bool {
    (source, destination) == (&edge.source, &edge.destination)
}

fn expects(plan: &PlanView, edge: &EdgeView) -> String {
    let mut text = String::new();
    for expected in plan.expected.iter().filter(|it| is(&it.source, &it.destination, edge)) {
        let [before, low, high] = expected.network_p50_us.map(Micros);
        text += &format!(
            "  It expects network p50 {before} → {low} to {high}, {} → {} on one node.\n",
            percent(expected.local_share[0]),
            percent(expected.local_share[1]),
        );
    }
    for relief in plan.relief.iter().filter(|it| is(&it.source, &it.destination, edge)) {
        let [before, low, high] = relief.served_p99_us.map(Micros);
        text += &format!(
            "  It expects served p99 {before} → {low} to {high}: {}.\n",
            relief.because
        );
    }
    for given in plan.given_back.iter().filter(|it| it.workload == edge.destination) {
        text += &format!("  It gives back: {}\n", given.sentence);
    }
    text
}

/// What is done to either end of the edge.
fn steps(plan: &PlanView, edge: &EdgeView, style: Style) -> String {
    let ends = [edge.source.as_str(), edge.destination.as_str()];
    let own = |step: &&StepView| {
        step.workload
            .as_deref()
            .is_some_and(|workload| ends.contains(&workload))
    };
    let mut text = String::new();
    for step in plan.actions.iter().filter(own) {
        let state = format!("{:<8}", step.state.as_deref().unwrap_or("pending"));
        text += &format!("  {} {}\n", style.dim(&state), step.sentence);
    }
    text
}

fn measured(plan: &PlanView, edge: &EdgeView) -> String {
    let mut text = String::new();
    for proof in plan.proof.iter().filter(|it| is(&it.source, &it.destination, edge)) {
        let (before, after) = (&proof.before, &proof.after);
        let arrow = |before: u64, after: u64| format!("{} → {}", Micros(before), Micros(after));
        let part = if plan.relief.is_empty() && plan.given_back.is_empty() {
            let stay = proof.local_share.map(percent);
            format!(
                "network p50 {}, p99 {}; {} → {} stay on their node",
                arrow(before.network.p50_us, after.network.p50_us),
                arrow(before.network.p99_us, after.network.p99_us),
                stay[0],
                stay[1],
            )
        } else {
            format!(
                "served p50 {}, p99 {}; p99 at the caller {}",
                arrow(before.served.p50_us, after.served.p50_us),
                arrow(before.served.p99_us, after.served.p99_us),
                arrow(before.upstream.p99_us, after.upstream.p99_us),
            )
        };
        text += &format!(
            "  Measured before and after, over {} and {} requests: {part}: {}.\n",
            before.requests,
            after.requests,
            words(&proof.verdict),
        );
    }
    text
}

#[cfg(test)]
#[path = "story_tests.rs"]
mod tests;
