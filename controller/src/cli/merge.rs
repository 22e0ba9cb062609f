//! `huddle merge CALLER CALLEE`: asks for a merge. Advice on one, for people.

use super::{Outcome, Style, connect, plan};
use crate::args::Connection;
use crate::http::{Answered, Asked};
use anyhow::Context;
use huddle_core::view::MergeView;

/// Which two.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Whose pods hold both: `namespace/name`, or the name where it is the only one.
    pub caller: String,
    /// Whose containers join them.
    pub callee: String,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let client = connect::client(connection).await?;
    let asked = serde_json::to_vec(&Asked {
        caller: args.caller.clone(),
        callee: args.callee.clone(),
    })?;
    let body = connect::send(&client, connect::PEOPLE, "/api/v1/merge", asked).await?;
    let answered: Answered = serde_json::from_slice(&body)
        .context("the controller is of another version than this command: its answer cannot be read")?;
    match connection.output.structured(&answered)? {
        Some(text) => print!("{text}"),
        None => print!("{}", answer(&answered, Style::detect())),
    }
    Ok(match answered.plan {
        Some(_) => Outcome::Done,
        None => Outcome::Attention,
    })
}

/// What it would bring, and what comes of it.
fn answer(answered: &Answered, style: Style) -> String {
    let advice = MergeView {
        against: Vec::new(),
        ..answered.advice.clone()
    };
    let text = render(&advice, style);
    match (&answered.plan, &answered.after) {
        (Some(plan), _) => format!(
            "{text}\nProposed as {plan}: `huddle approve {plan}` lets it be done, and `huddle rollback {plan}` splits the two again, at any \
             time.\n"
        ),
        (None, Some(after)) => format!("{text}\nNot proposed: plan {after} has to end first.\n"),
        (None, None) => format!(
            "{text}\nNot proposed. Against it:\n{}",
            plan::refusals(&answered.against, style)
        ),
    }
}

/// Whether to run the callee inside the caller's pods: what it brings, what it costs, what changes, what stands against it.
pub(super) fn render(merge: &MergeView, style: Style) -> String {
    let mut text = format!("{}\n{}", style.bold(&merge.sentence), figures(merge));
    if !merge.against.is_empty() {
        text += &format!("Against it:\n{}", plan::refusals(&merge.against, style));
    }
    text
}

/// What it brings, what it costs, what changes.
pub(super) fn figures(merge: &MergeView) -> String {
    let mut text = String::new();
    if !merge.ways.is_empty() {
        text += &format!("It would bring, {}:\n", merge.basis);
        for way in &merge.ways {
            text += &format!("  - {}\n", way.sentence);
        }
    }
    text += &format!("It would cost:\n  - {}\n", merge.cost);
    text += "It would change:\n";
    for effect in &merge.effects {
        text += &format!("  - {effect}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use huddle_core::view::{StepView, WayView};

    fn answered() -> Answered {
        Answered {
            advice: MergeView {
                source: "shop/front".to_owned(),
                destination: "shop/back".to_owned(),
                way: "proxied".to_owned(),
                recommended: true,
                sentence: "Advice: run shop/back inside the pods of shop/front.".to_owned(),
                ways: vec![WayView {
                    way: "proxied".to_owned(),
                    network_p50_us: [2_400, 1_480, 1_710],
                    sentence: "Proxied (…): network p50 2.40 ms → 1.48 ms to 1.71 ms.".to_owned(),
                }],
                same_node_requests: 25_140,
                basis: "by 25140 requests on one node and what a merge brought on another cluster (borrowed, not measured here)".to_owned(),
                saved_per_second: Some([0.149, 0.194]),
                containers: vec!["app".to_owned()],
                pods: 2,
                cpu_request_m: 70,
                memory_request_bytes: 96 << 20,
                cpu_used_m: None,
                memory_used_bytes: None,
                cost: "Each of the caller's 2 pods would hold container app more.".to_owned(),
                effects: vec!["Security: the copies would get no token of the API server.".to_owned()],
                against: Vec::new(),
                ask: "`huddle merge shop/front shop/back` asks for it.".to_owned(),
            },
            plan: Some("plan-1".to_owned()),
            against: Vec::new(),
            after: None,
        }
    }

    #[test]
    fn who_asks_is_told_what_comes_of_it() {
        let refused = Answered {
            plan: None,
            against: vec![StepView {
                kind: "unmerged".to_owned(),
                sentence: "shop/back does not join the pods of shop/front: both listen on port 80 (TCP).".to_owned(),
                remedy: Some("Let one of them listen elsewhere.".to_owned()),
                ..StepView::default()
            }],
            ..answered()
        };
        let later = Answered {
            plan: None,
            after: Some("plan-0".to_owned()),
            ..answered()
        };
        let all = [answered(), refused, later].map(|it| answer(&it, Style::plain()));
        insta::assert_snapshot!(all.join("\n---\n"));
    }
}
