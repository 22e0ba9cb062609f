//! `huddle plan`: what Huddle would do, why, and what it expects; what it refuses, and why.

use super::graph::words;
use super::{Outcome, Style, Table, connect, offline};
use crate::act;
use crate::args::Connection;
use anyhow::{Context, bail};
use huddle_core::units::Micros;
use huddle_core::view::{ExpectedView, PlanView, ReliefView, SpreadView, StepView};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeSet;

/// Which plan.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan's name, `latest`, or nothing for a list.
    plan: Option<String>,
    /// Or a new one, made here.
    #[command(flatten)]
    offline: offline::Args,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    if args.offline.wanted() {
        return offline::run(connection, &args.offline).await;
    }
    let client = connect::client(connection).await?;
    let style = Style::detect();
    if let Some(name) = &args.plan {
        let plan = act::view(&find(&client, name).await?)?;
        match connection.output.structured(&plan)? {
            Some(text) => print!("{text}"),
            None => print!("{}", render(&plan, style)),
        }
    } else {
        let plans = views(&client).await?;
        match connection.output.structured(&plans)? {
            Some(text) => print!("{text}"),
            None => print!("{}", render_list(&plans, style)),
        }
    }
    Ok(Outcome::Done)
}

fn plans(client: &Client) -> Api<huddle_api::Plan> {
    Api::namespaced(client.clone(), huddle_api::SYSTEM_NAMESPACE)
}

async fn list(client: &Client) -> anyhow::Result<Vec<huddle_api::Plan>> {
    let mut list = plans(client)
        .list(&ListParams::default())
        .await
        .context("plans cannot be listed")?
        .items;
    list.sort_by_key(|plan| (std::cmp::Reverse(plan.spec.at), plan.name_any()));
    Ok(list)
}

async fn views(client: &Client) -> anyhow::Result<Vec<PlanView>> {
    let list = list(client).await?;
    Ok(list.iter().filter_map(|plan| act::view(plan).ok()).collect())
}

/// The plan of that name, or the newest one.
pub(super) async fn find(client: &Client, name: &str) -> anyhow::Result<huddle_api::Plan> {
    if name == "latest" {
        return match list(client).await?.into_iter().next() {
            Some(plan) => Ok(plan),
            None => bail!("there is no plan yet: `huddle status` says how far the measuring is"),
        };
    }
    plans(client)
        .get(name)
        .await
        .with_context(|| format!("plan {name} cannot be read"))
}

fn render_list(plans: &[PlanView], style: Style) -> String {
    if plans.is_empty() {
        return "No plans yet: `huddle graph` shows what is measured.\n".to_owned();
    }
    let mut table = Table::new(style, &["PLAN", "PHASE", "ACTIONS", "PODS MOVED", "SUMMARY"]);
    for plan in plans {
        table.row([
            plan.id.clone(),
            words(&plan.phase),
            plan.actions.len().to_string(),
            plan.actions
                .iter()
                .filter(|action| action.kind == "move")
                .count()
                .to_string(),
            plan.summary.clone(),
        ]);
    }
    format!("{table}\n`huddle plan NAME` shows one; `huddle approve NAME` lets it be done.\n")
}

/// One plan in full.
pub(super) fn render(plan: &PlanView, style: Style) -> String {
    let mut text = format!("{} ({})\n{}\n", style.bold(&plan.id), words(&plan.phase), plan.summary);
    text += &format!("\n{}\n", style.bold("It does, in this order"));
    for (index, action) in plan.actions.iter().enumerate() {
        let state = action.state.as_deref().unwrap_or("pending");
        let state = match state {
            "done" => style.good(state),
            "undone" | "skipped" | "undoing" => style.warn(state),
            _ => style.dim(state),
        };
        text += &format!("{index:>3}  {}  [{state}]\n", action.sentence);
        for stage in &action.stages {
            text += &format!("     - {}  [{}]\n", stage.sentence, stage.state);
        }
    }
    if !plan.expected.is_empty() {
        text += &format!("\n{}\n{}", style.bold("It expects"), expected(&plan.expected, style));
    }
    if !plan.relief.is_empty() {
        text += &format!("\n{}\n{}", style.bold("It expects"), relief(&plan.relief, style));
    }
    for merge in &plan.merging {
        text += &format!("\n{}", super::merge::figures(merge));
    }
    if !plan.given_back.is_empty() {
        text += &format!("\n{}\n", style.bold("It gives back"));
        for given in &plan.given_back {
            text += &format!("  {}\n", given.sentence);
        }
    }
    if !plan.spread.is_empty() {
        text += &format!("\n{}\n{}", style.bold("Spread"), spread(&plan.spread, style));
    }
    if !plan.refusals.is_empty() {
        text += &format!(
            "\n{}\n{}",
            style.bold("It leaves alone"),
            refusals(&plan.refusals, style)
        );
    }
    if !plan.proof.is_empty() {
        text += &format!("\n{}\n{}", style.bold("Measured"), proof(plan, style));
    }
    if let Some(verdict) = &plan.verdict {
        let outcome = match verdict.outcome.as_str() {
            "improved" | "eased" => style.good(&verdict.outcome),
            "regressed" => style.bad(&verdict.outcome),
            _ => verdict.outcome.clone(),
        };
        text += &format!("\nVerdict: {outcome}. {}\n", verdict.sentence);
    }
    text
}

pub(super) fn refusals(refusals: &[StepView], style: Style) -> String {
    let mut text = String::new();
    for refusal in refusals {
        text += &format!("  - {}\n", refusal.sentence);
        if let Some(remedy) = &refusal.remedy {
            text += &format!("    {}\n", style.dim(remedy));
        }
    }
    text
}

pub(super) fn spread(rows: &[SpreadView], style: Style) -> Table {
    let mut table = Table::new(style, &["WORKLOAD", "NODES", "ZONES"]);
    for spread in rows {
        let arrow = |[before, after]: [u64; 2]| format!("{before} → {after}");
        table.row([spread.workload.clone(), arrow(spread.nodes), arrow(spread.zones)]);
    }
    table
}

pub(super) fn expected(edges: &[ExpectedView], style: Style) -> String {
    let mut table = Table::new(style, &["EDGE", "SAME NODE", "NETWORK P50", "NETWORK P99"]);
    for edge in edges {
        let [before, after] = edge.local_share;
        let range = |[now, low, high]: [u64; 3]| format!("{} → {} … {}", Micros(now), Micros(low), Micros(high));
        table.row([
            format!("{} → {}", edge.source, edge.destination),
            format!("{:.0} % → {:.0} %", before * 100.0, after * 100.0),
            range(edge.network_p50_us),
            range(edge.network_p99_us),
        ]);
    }
    table.to_string()
}

fn relief(edges: &[ReliefView], style: Style) -> String {
    let mut table = Table::new(style, &["EDGE", "CONTAINER", "LACKS", "SERVED P99"]);
    for edge in edges {
        let [before, after] = edge.throttled;
        let [now, low, high] = edge.served_p99_us.map(Micros);
        table.row([
            format!("{} → {}", edge.source, edge.destination),
            edge.container.clone(),
            format!("{} {:.0} % → {:.0} %", words(&edge.lack), before * 100.0, after * 100.0),
            format!("{now} → {low} … {high}"),
        ]);
    }
    let mut text = table.to_string();
    let cautions = edges.iter().filter_map(|edge| {
        let does = edge.at_start.as_ref()?;
        Some(format!("Container {} of {} {does}\n", edge.container, edge.destination))
    });
    text.extend(cautions.collect::<BTreeSet<_>>());
    text
}

/// What a plan that changed containers' figures is judged by: the time that they serve in.
fn served(plan: &PlanView, style: Style) -> String {
    let heads = [
        "EDGE",
        "SERVED P50",
        "SERVED P99",
        "P99 AT THE CALLER",
        "REQUESTS",
        "VERDICT",
    ];
    let mut table = Table::new(style, &heads);
    for edge in &plan.proof {
        let arrow = |before: u64, after: u64| format!("{} → {}", Micros(before), Micros(after));
        table.row([
            format!("{} → {}", edge.source, edge.destination),
            arrow(edge.before.served.p50_us, edge.after.served.p50_us),
            arrow(edge.before.served.p99_us, edge.after.served.p99_us),
            arrow(edge.before.upstream.p99_us, edge.after.upstream.p99_us),
            format!("{} / {}", edge.before.requests, edge.after.requests),
            edge.verdict.clone(),
        ]);
    }
    table.to_string()
}

/// What a merge is judged by: whole calls, as the caller's proxy sees them.
fn calls(plan: &PlanView, style: Style) -> String {
    let mut table = Table::new(style, &["EDGE", "CALLS P50", "CALLS P99", "REQUESTS", "VERDICT"]);
    for edge in &plan.proof {
        let arrow = |before: u64, after: u64| format!("{} → {}", Micros(before), Micros(after));
        table.row([
            format!("{} → {}", edge.source, edge.destination),
            arrow(edge.before.upstream.p50_us, edge.after.upstream.p50_us),
            arrow(edge.before.upstream.p99_us, edge.after.upstream.p99_us),
            format!("{} / {}", edge.before.requests, edge.after.requests),
            edge.verdict.clone(),
        ]);
    }
    table.to_string()
}

fn proof(plan: &PlanView, style: Style) -> String {
    if !plan.relief.is_empty() || !plan.given_back.is_empty() {
        return served(plan, style);
    }
    if !plan.merging.is_empty() {
        return calls(plan, style);
    }
    let heads = ["EDGE", "SAME NODE", "NETWORK P50", "NETWORK P99", "REQUESTS", "VERDICT"];
    let mut table = Table::new(style, &heads);
    for edge in &plan.proof {
        let [before, after] = edge.local_share;
        let arrow = |before: u64, after: u64| format!("{} → {}", Micros(before), Micros(after));
        table.row([
            format!("{} → {}", edge.source, edge.destination),
            format!("{:.0} % → {:.0} %", before * 100.0, after * 100.0),
            arrow(edge.before.network.p50_us, edge.after.network.p50_us),
            arrow(edge.before.network.p99_us, edge.after.network.p99_us),
            format!("{} / {}", edge.before.requests, edge.after.requests),
            edge.verdict.clone(),
        ]);
    }
    let mut text = table.to_string();
    if let Some(together) = &plan.together {
        text += &format!(
            "Together: {:.0} % of the gap closed at p50, {:.0} % at p99; {} pods moved.\n",
            together.gap_closed_p50 * 100.0,
            together.gap_closed_p99 * 100.0,
            together.pods_moved,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use huddle_core::view::{Part, ProofView, Quantiles, VerdictView};

    fn sample() -> PlanView {
        PlanView {
            id: "plan-1".to_owned(),
            phase: "rollingBack".to_owned(),
            summary: "rolling back: the proof shows harm".to_owned(),
            created_at: 0,
            actions: vec![StepView {
                kind: "route".to_owned(),
                sentence: "Calls to shop/currency stay on their node".to_owned(),
                state: Some("undone".to_owned()),
                ..StepView::default()
            }],
            refusals: Vec::new(),
            expected: Vec::new(),
            relief: Vec::new(),
            given_back: Vec::new(),
            merging: Vec::new(),
            proof: Vec::new(),
            together: None,
            spread: Vec::new(),
            verdict: Some(VerdictView {
                outcome: "regressed".to_owned(),
                sentence: "Errors rose.".to_owned(),
            }),
        }
    }

    #[test]
    fn a_plan_says_its_phase_its_steps_and_its_verdict() {
        let text = render(&sample(), Style::plain());
        assert!(text.starts_with("plan-1 (rolling back)\n"), "{text}");
        assert!(
            text.contains("  0  Calls to shop/currency stay on their node  [undone]"),
            "{text}"
        );
        assert!(text.ends_with("Verdict: regressed. Errors rose.\n"), "{text}");
    }

    #[test]
    fn a_plan_that_gives_cpu_says_what_it_expects_and_what_it_measured() {
        let served = |p99_us| Part {
            requests: 12_000,
            served: Quantiles {
                p50_us: 2_000,
                p95_us: 3_000,
                p99_us,
            },
            ..Part::default()
        };
        let plan = PlanView {
            relief: vec![ReliefView {
                source: "shop/front".to_owned(),
                destination: "shop/back".to_owned(),
                container: "app".to_owned(),
                throttled: [0.3, 0.01],
                served_p99_us: [80_000, 9_000, 11_000],
                at_start: Some("was sized as it started (GOMAXPROCS).".to_owned()),
                lack: "cpuLimit".to_owned(),
                because: String::new(),
            }],
            proof: vec![ProofView {
                source: "shop/front".to_owned(),
                destination: "shop/back".to_owned(),
                local_share: [0.5, 0.5],
                before: served(80_000),
                local_before: Part::default(),
                after: served(9_500),
                verdict: "improved".to_owned(),
            }],
            verdict: None,
            ..sample()
        };
        insta::assert_snapshot!(render(&plan, Style::plain()));
    }

    #[test]
    fn a_plan_that_gives_back_says_what_was_seen_what_it_saves_and_what_undoes_it() {
        let given = crate::testing::given_back();
        let plan = PlanView {
            given_back: vec![(&given).into()],
            verdict: None,
            ..sample()
        };
        insta::assert_snapshot!(render(&plan, Style::plain()));
    }

    #[test]
    fn no_plans_point_to_the_graph() {
        assert!(render_list(&[], Style::plain()).contains("huddle graph"));
    }
}
