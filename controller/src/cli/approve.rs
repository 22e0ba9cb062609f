//! `huddle approve` and `huddle rollback`: the two wishes that people have of a plan.

use super::graph::words;
use super::{Outcome, Style, ask, connect, plan};
use crate::act;
use crate::args::Connection;
use crate::clock;
use anyhow::{Context, bail};
use huddle_api::{ActionKind, PlaceForm, PlanAction, PlanPhase};
use huddle_core::view::PlanView;
use kube::{Client, ResourceExt};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often a followed plan is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Which plan, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan's name, or `latest`.
    plan: String,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Follow the plan until it has ended.
    #[arg(short, long)]
    wait: bool,
    /// With --wait: for so many seconds at most.
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    timeout: u64,
}

pub(super) async fn approve(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let client = connect::client(connection).await?;
    let object = plan::find(&client, &args.plan).await?;
    let view = act::view(&object)?;
    let phase = object.status.as_ref().map(|status| status.phase).unwrap_or_default();
    if object.spec.approval.is_none() {
        if phase != PlanPhase::Proposed {
            bail!("{} cannot be approved: it is {}", view.id, words(&view.phase));
        }
        if !args.yes {
            println!("{}", plan::render(&view, Style::detect()));
        }
        if !ask::agreed(args.yes, &format!("Approve {}?", view.id))? {
            return Ok(Outcome::NotAgreed);
        }
        let by = act::approve(&client, &object, clock::now())
            .await
            .context("the approval was refused")?;
        eprintln!("{} is approved by {by}.", view.id);
    } else {
        eprintln!("{} is approved already.", view.id);
    }
    let ends = [PlanPhase::Proved, PlanPhase::RolledBack, PlanPhase::Superseded];
    let last = follow(&client, &view.id, args, &ends).await?;
    answer(connection, &last)?;
    Ok(match last.phase.as_str() {
        "rolledBack" | "superseded" => Outcome::Attention,
        _ => Outcome::Done,
    })
}

pub(super) async fn rollback(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let client = connect::client(connection).await?;
    let object = plan::find(&client, &args.plan).await?;
    let view = act::view(&object)?;
    if object.spec.rollback.is_none() && view.phase != "rolledBack" {
        if !args.yes {
            print!("{}", what_goes(&object, &view));
        }
        if !ask::agreed(args.yes, &format!("Roll back {}?", view.id))? {
            return Ok(Outcome::NotAgreed);
        }
        let by = act::request_rollback(&client, &object, clock::now())
            .await
            .context("the wish to roll back was refused")?;
        eprintln!("{by} asked for {} to be rolled back.", view.id);
    }
    let last = follow(&client, &view.id, args, &[PlanPhase::RolledBack, PlanPhase::Superseded]).await?;
    answer(connection, &last)?;
    Ok(Outcome::Done)
}

/// What a rollback undoes, and what it leaves.
fn what_goes(object: &huddle_api::Plan, view: &PlanView) -> String {
    let mut text = format!("Rolling back {} does this:\n", view.id);
    let steps = object
        .status
        .as_ref()
        .map(|status| status.steps.as_slice())
        .unwrap_or_default();
    for inverse in steps.iter().rev().flat_map(|step| &step.inverse) {
        text += &format!("  - {}\n", inverse.says);
    }
    let does = |kind: &str| view.actions.iter().any(|action| action.kind == kind);
    // What a template says comes back with it.
    let by_rule = |action: &PlanAction| action.kind == ActionKind::Size && action.form != Some(PlaceForm::Template);
    if object.spec.actions.iter().any(by_rule) {
        text += "Pods that were created meanwhile keep their figures until they are next re-created.\n";
    }
    if does("move") {
        text += "Pods that have moved stay where they are until they are next re-created.\n";
    }
    text
}

/// The plan once it has ended, its messages shown meanwhile; at once where nobody wants to wait.
async fn follow(client: &Client, name: &str, args: &Args, ends: &[PlanPhase]) -> anyhow::Result<PlanView> {
    let start = Instant::now();
    let mut said = String::new();
    loop {
        let object = plan::find(client, name).await?;
        let view = act::view(&object)?;
        let phase = object.status.as_ref().map(|status| status.phase).unwrap_or_default();
        if !args.wait || ends.contains(&phase) {
            return Ok(view);
        }
        let line = format!("{}: {}", words(&view.phase), view.summary);
        if line != said {
            eprintln!("{line}");
            said = line;
        }
        if start.elapsed() > Duration::from_secs(args.timeout) {
            bail!(
                "{} is still {} after {} s: {}",
                object.name_any(),
                words(&view.phase),
                args.timeout,
                view.summary
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn answer(connection: &Connection, view: &PlanView) -> anyhow::Result<()> {
    match connection.output.structured(view)? {
        Some(text) => print!("{text}"),
        None if std::io::stdout().is_terminal() => print!("\n{}", plan::render(view, Style::detect())),
        None => println!("{}: {}", view.id, words(&view.phase)),
    }
    Ok(())
}
