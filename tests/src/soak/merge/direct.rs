//! Merged over loopback, where nothing stands between a companion's end and its caller's calls: what fails is counted twice, by who asks for pages and
//! by the companions' supervisors, and nothing fails while none of them ends.

use super::layouts::{WAY, WAY_FIELD};
use super::steady::kill;
use super::{Report, Soak};
use crate::demo::merge::{Attempt, Proposal};
use crate::demo::narrator::Narrator;
use crate::pair::{Deployed, Failure, Pair, Watch, failed_during};
use crate::wait::until;
use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a new companion's supervisor may have nothing to tell.
const TELL: Duration = Duration::from_secs(60);
/// How long nothing happens.
const QUIET: Duration = Duration::from_secs(120);
/// What goes on, in this order.
const MERGE: &str = "the merge over loopback";
const NOTHING: &str = "nothing happens";
const ENDS: &str = "companions are killed";
const FOLLOWS: &str = "the callee's owner rolls out, and companions follow";
const SPLIT: &str = "the split";

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Direct {
    attempt: Option<Attempt>,
    refused: Vec<String>,
    /// What was seen of the kills.
    killed: Vec<String>,
    /// What `huddle companions` said after them, and after the roll-out.
    told: Vec<Value>,
    /// Seconds of the callee's own roll-out, and of what followed it.
    followed: Option<(u64, u64)>,
    pages: u64,
    failures: Vec<Failure>,
    left_behind: Vec<String>,
    /// All was done, to the split.
    ended: bool,
}

impl Direct {
    fn failed(&self, during: &str) -> u64 {
        failed_during(&self.failures, during)
    }

    /// Nothing failed while no companion ended, and each end was told of: by its supervisor, and by what came back refused. Who is told to end may be told
    /// twice: an API server repeats what broke off.
    pub(super) fn holds(&self) -> bool {
        let quiet = [MERGE, NOTHING, SPLIT].iter().all(|during| self.failed(during) == 0);
        let count = |told: &Value, field: &str| told["all"][field].as_u64().unwrap_or(0);
        let after_ends = self.told.first();
        let told = after_ends.is_some_and(|told| {
            count(told, "times") >= self.killed.len() as u64 && (count(told, "refused") > 0) == (self.failed(ENDS) > 0)
        });
        self.ended && quiet && told && self.left_behind.is_empty() && self.followed.is_some()
    }

    pub(super) fn tell(&self, narrator: &Narrator) {
        narrator.section("Over loopback: what failed, and what the companions' supervisors told");
        let head = ["during", "failed pages"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for during in [MERGE, NOTHING, ENDS, FOLLOWS, SPLIT] {
            rows.push(vec![during.to_owned(), self.failed(during).to_string()]);
        }
        rows.push(vec!["pages asked for in all".to_owned(), self.pages.to_string()]);
        narrator.table(&rows);
        for line in self.killed.iter().chain(&self.refused).chain(&self.left_behind) {
            narrator.say(line);
        }
        for told in &self.told {
            narrator.say(format!("huddle companions: {}", told["all"]));
        }
        if let Some((rolled, followed)) = self.followed {
            narrator.say(format!(
                "the callee rolled out in {rolled} s, its companions followed {followed} s later"
            ));
        }
    }
}

impl Soak {
    pub(super) async fn direct(&mut self, report: &mut Report) -> Result<()> {
        self.demo
            .narrator
            .section("direct: merged over loopback, companions killed, a version followed");
        self.demo.set_policy(&json!({WAY_FIELD: WAY})).await?;
        let pair = Deployed::deploy(&self.demo.client, &Pair::lingering()).await?;
        let watch = Watch::begin(&pair, MERGE);
        let mut direct = Direct::default();
        let told = self.direct_parts(&pair, &watch, &mut direct).await;
        (direct.failures, direct.pages) = watch.end().await?;
        direct.ended = told.is_ok();
        direct.tell(&self.demo.narrator);
        self.tell_failures(&direct.failures);
        report.direct = Some(direct);
        self.demo.set_policy(&json!({WAY_FIELD: null})).await?;
        told
    }

    async fn direct_parts(&self, pair: &Deployed, watch: &Watch, direct: &mut Direct) -> Result<()> {
        let plan = match self.demo.propose_merge(pair.pair.ends).await? {
            Proposal::Plan(plan) => plan,
            Proposal::Refused(why) => {
                direct.refused = why;
                bail!("the merge is refused: {}", direct.refused.join(" "));
            }
        };
        let attempt = self.demo.carry_out(&plan, pair).await?;
        let stands = attempt.stands();
        direct.attempt = Some(attempt);
        if !stands {
            bail!("the merge did not stand");
        }
        watch.during(NOTHING).await?;
        tokio::time::sleep(QUIET).await;
        watch.during(ENDS).await?;
        direct.killed = kill(pair).await?;
        direct.told.push(self.companions(&plan).await?);
        watch.during(FOLLOWS).await?;
        direct.followed = Some(self.demo.follow(&plan, pair).await?);
        direct.told.push(self.companions(&plan).await?);
        let text = self.demo.huddle.text(&["companions", &plan]).await?;
        self.demo.narrator.show(&text);
        watch.during(SPLIT).await?;
        self.demo.split(&plan, pair).await?;
        direct.left_behind = self.demo.left_of(&plan).await?;
        Ok(())
    }

    /// What the supervisors of all companions tell, once those do.
    async fn companions(&self, plan: &str) -> Result<Value> {
        let asked = until("all companions' supervisors to tell", TELL, async || {
            let answer: Result<Value> = self.demo.huddle.answer(&["companions", plan, "-o", "json"]).await;
            let answer = answer.map_err(|error| format!("{error:#}"))?;
            let companions = answer["companions"].as_array();
            let all = companions.is_some_and(|all| !all.is_empty() && all.iter().all(|it| it["told"].is_object()));
            if all { Ok(answer) } else { Err(answer.to_string()) }
        });
        Ok(asked.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn failure(during: &str) -> Failure {
        Failure {
            during: during.to_owned(),
            entry: "page".to_owned(),
            seconds: vec![(7, 2)],
            causes: BTreeMap::new(),
            logged: Vec::new(),
        }
    }

    #[test]
    fn it_holds_when_only_ends_cost_pages_and_all_of_them_were_told_of() {
        let told = |times: u64, refused: u64| json!({"all": {"times": times, "refused": refused}});
        let good = Direct {
            killed: vec!["front-1: killed".to_owned(), "front-2: killed".to_owned()],
            told: vec![told(2, 9)],
            followed: Some((10, 60)),
            failures: vec![failure(ENDS)],
            ended: true,
            ..Direct::default()
        };
        assert!(good.holds());
        let without = |change: fn(&mut Direct)| {
            let mut it = good.clone();
            change(&mut it);
            it.holds()
        };
        assert!(!without(|it| it.failures.push(failure(NOTHING))));
        assert!(!without(|it| it.told[0]["all"]["times"] = json!(1)));
        assert!(!without(|it| it.told[0]["all"]["refused"] = json!(0)));
        assert!(!without(|it| it.followed = None));
        assert!(!without(|it| it.ended = false));
        assert!(!without(|it| it.left_behind.push("Companion plan-1-0".to_owned())));
    }
}
