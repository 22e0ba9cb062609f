//! The third lever: a callee that joins its caller's pods, asked for, explained, approved, measured, and taken out again.

use super::report::Merged;
use super::{Demo, agreed};
use crate::pair::measure::{SETTLED, table};
use crate::pair::{Deployed, Ends, Failure, NAMESPACE, Pair, Watch};
use crate::wait::until;
use anyhow::{Context, Result, bail, ensure};
use huddle_core::view::PlanView;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long it may take until enough is measured for a merge to be proposed: a window has to fill.
const MEASURED: Duration = Duration::from_secs(180);
/// How long pods may take to be without the companion after a merge that was taken back.
const APART: Duration = Duration::from_secs(240);
/// How long it may take until all companions are of their callee's new version.
const FOLLOW: Duration = Duration::from_secs(300);
/// Seconds for which a plan is followed: two or three minutes is what one takes.
const FOLLOWED: &str = "900";
/// Requests that a merge's proof rests on: some twenty-five seconds of the pair's calls.
const PROOF: i64 = 2_000;
/// Length of a measured window: 1 200 pages, 4 800 calls.
const WINDOW: Duration = Duration::from_secs(60);
/// What it takes to merge in the shop, as `--allow` takes it.
pub const RIGHTS: &str = "act,merge=shop";
/// What lets Huddle read who was granted what; installed, and bound to nobody.
const GRANTS: &str = "huddle-read-grants";

/// What came of asking for a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// The plan's name.
    Plan(String),
    /// What stood against it to the last.
    Refused(Vec<String>),
}

/// A merge that was approved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its plan.
    pub plan: String,
    /// How that ended.
    pub phase: String,
    /// The verdict's sentence, or the plan's where there is none.
    pub sentence: String,
    /// From the approval to that end.
    pub seconds: u64,
}

impl Attempt {
    /// The two are one pod now.
    pub fn stands(&self) -> bool {
        self.phase == "proved"
    }
}

/// What an answer of `huddle merge` comes to.
fn proposal(answer: &Value) -> Proposal {
    if let Some(plan) = answer["plan"].as_str() {
        return Proposal::Plan(plan.to_owned());
    }
    let steps = answer["against"].as_array().map(Vec::as_slice).unwrap_or_default();
    let said = steps.iter().filter_map(|step| step["sentence"].as_str());
    let first = answer["after"].as_str();
    let first = first.map(|plan| format!("plan {plan} has to end first"));
    Proposal::Refused(said.map(str::to_owned).chain(first).collect())
}

impl Demo {
    /// Gives Huddle the right to merge in the shop, and to read who was granted what there, or takes both away again.
    ///
    /// # Errors
    /// When the installation fails.
    pub async fn may_merge(&self, may: bool) -> Result<()> {
        let rights = if may { RIGHTS } else { "act" };
        self.allow(&["--allow", rights]).await?;
        self.may_read_grants(may).await
    }

    /// Gives Huddle the right to read who was granted what, or takes it away again.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn may_read_grants(&self, may: bool) -> Result<()> {
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        if !may {
            return match bindings.delete(GRANTS, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(drop).context("take the right to read grants away"),
            };
        }
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": GRANTS},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": GRANTS},
            "subjects": [{"kind": "ServiceAccount", "name": "huddle-controller", "namespace": huddle_api::SYSTEM_NAMESPACE}],
        });
        let params = PatchParams::apply("huddle-demo").force();
        let bound = bindings.patch(GRANTS, &params, &Patch::Apply(&binding)).await;
        bound.map(drop).context("give the right to read grants")
    }

    /// Sets fields of the shop's Policy; null takes one out.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn set_policy(&self, spec: &Value) -> Result<()> {
        let policies: Api<huddle_api::Policy> = Api::namespaced(self.client.clone(), NAMESPACE);
        let body = json!({"spec": spec});
        let patched = policies
            .patch("huddle", &PatchParams::default(), &Patch::Merge(&body))
            .await;
        patched.map(drop).with_context(|| format!("set {spec} in the Policy"))
    }

    /// The Policy under which pairs are merged: pods that are not asked about stay where they are, and proofs are short.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn set_policy_for_merging(&self) -> Result<()> {
        self.set_policy(&json!({"maxMoves": 0, "proofRequests": PROOF})).await
    }

    /// Asks for the merge of these two until it is proposed, or for as long as it takes to measure what is needed.
    ///
    /// # Errors
    /// When the controller does not answer at all.
    pub async fn propose_merge(&self, ends: Ends) -> Result<Proposal> {
        let began = Instant::now();
        let [caller, callee] = ends.workloads();
        loop {
            let answer: Result<Value> = self.huddle.answer(&["merge", &caller, &callee, "-o", "json"]).await;
            let last = answer.as_ref().map(proposal);
            match last {
                Ok(Proposal::Plan(plan)) => return Ok(Proposal::Plan(plan)),
                Ok(refused) if began.elapsed() >= MEASURED => return Ok(refused),
                Err(_) if began.elapsed() >= MEASURED => return answer.map(|answer| proposal(&answer)),
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_secs(2)).await,
            }
        }
    }

    /// Approves a merge and follows it to its end, whatever that is. A merge that was taken back has left the caller's pods when this
    /// returns.
    ///
    /// # Errors
    /// When it comes to no end.
    pub async fn carry_out(&self, plan: &str, pair: &Deployed) -> Result<Attempt> {
        let began = Instant::now();
        let words = ["approve", plan, "--yes", "--wait", "--timeout", FOLLOWED];
        let approved = self.huddle.run(&words).await;
        let view: PlanView = self.plan(plan).await?;
        let attempt = Attempt {
            plan: plan.to_owned(),
            phase: view.phase,
            sentence: view.verdict.map_or(view.summary, |verdict| verdict.sentence),
            seconds: began.elapsed().as_secs(),
        };
        self.narrator.say(format!(
            "{plan} after {} s: {}; {}",
            attempt.seconds, attempt.phase, attempt.sentence
        ));
        match (approved, attempt.phase.as_str()) {
            (_, "proved") => {
                let (holding, pods) = pair.merged().await?;
                ensure!(holding == pods, "{holding} of {pods} pods hold the companion");
            }
            (_, "rolledBack" | "superseded") => self.apart(pair).await?,
            (Err(error), _) => return Err(error),
            (Ok(()), phase) => bail!("{plan} is {phase}"),
        }
        Ok(attempt)
    }

    /// The callee's owner restarts it, and the companions of a merge that stands follow the new version; the seconds of the roll-out, and of
    /// what followed it.
    ///
    /// # Errors
    /// When they do not.
    pub async fn follow(&self, plan: &str, pair: &Deployed) -> Result<(u64, u64)> {
        let (began, before) = (Instant::now(), pair.held().await?);
        pair.restart(pair.pair.ends.callee).await?;
        let rolled = began.elapsed().as_secs();
        until("all companions to be of the new version", FOLLOW, async || {
            let held = pair.held().await.map_err(|error| format!("{error:#}"))?;
            let view = self.plan(plan).await.map_err(|error| format!("{error:#}"))?;
            let stands = view
                .actions
                .iter()
                .all(|action| action.state.as_deref() == Some("done"));
            if held.len() == 1 && held.is_disjoint(&before) && !held.contains(&None) && stands {
                Ok(())
            } else {
                Err(format!("{held:?}, {}: {}", view.phase, view.summary))
            }
        })
        .await?;
        Ok((rolled, began.elapsed().as_secs().saturating_sub(rolled)))
    }

    /// Takes the callee out of its caller's pods.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn split(&self, plan: &str, pair: &Deployed) -> Result<()> {
        let words = ["rollback", plan, "--yes", "--wait", "--timeout", FOLLOWED];
        self.huddle.run(&words).await?;
        self.apart(pair).await
    }

    /// Waits until a merge that nobody asked back has been taken apart; what the plan says of it then.
    ///
    /// # Errors
    /// When it stands to the last.
    pub async fn parted(&self, plan: &str, pair: &Deployed) -> Result<String> {
        self.apart(pair).await?;
        let ended = until("the plan to say that its merge is undone", APART, async || {
            let view = self.plan(plan).await.map_err(|error| format!("{error:#}"))?;
            let undone = view.actions.iter().find(|it| it.state.as_deref() == Some("undone"));
            let word = undone.map(|action| action.sentence.clone());
            word.ok_or_else(|| format!("{}: {}", view.phase, view.summary))
        });
        Ok(ended.await?)
    }

    /// Waits until no pod of the caller holds the companion.
    ///
    /// # Errors
    /// When some keep it.
    pub async fn apart(&self, pair: &Deployed) -> Result<()> {
        until(
            "the caller's pods to be without the companion",
            APART,
            async || match pair.merged().await.map_err(|error| format!("{error:#}"))? {
                (0, _) => Ok(()),
                (some, pods) => Err(format!("{some} of {pods} hold it")),
            },
        )
        .await?;
        Ok(())
    }

    /// Companions and EnvoyFilters that a plan has left in the shop.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn left_of(&self, plan: &str) -> Result<Vec<String>> {
        let kinds = [
            ("huddle.dev", "v1alpha1", "Companion"),
            ("networking.istio.io", "v1alpha3", "EnvoyFilter"),
        ];
        let mut left = Vec::new();
        for (group, version, kind) in kinds {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
            let found = api.list(&ListParams::default()).await;
            let found = found.with_context(|| format!("list {kind}s"))?;
            let own = found
                .iter()
                .map(ResourceExt::name_any)
                .filter(|name| name.starts_with(&format!("{plan}-")));
            left.extend(own.map(|name| format!("{kind} {name}")));
        }
        Ok(left)
    }

    /// The whole story: a pair that talks a lot is brought, measured, merged, measured again; `apart`: split again, and taken away.
    ///
    /// # Errors
    /// When it does not come to that. Failed pages and a merge that is taken back are no errors: the report says so.
    pub(super) async fn join(&mut self, apart: bool) -> Result<()> {
        self.narrator
            .section("Two that talk a lot: four small calls for each page, all on one node");
        let pair = Deployed::deploy(&self.client, &Pair::lingering()).await?;
        self.may_merge(true).await?;
        self.set_policy_for_merging().await?;
        self.traffic.close().await?;
        tokio::time::sleep(SETTLED).await;
        let before = pair.figures(WINDOW).await.context("before the merge")?;
        let [caller, callee] = pair.pair.ends.workloads();
        self.narrator.section(&format!(
            "What would it bring to run {callee} inside the pods of {caller}?"
        ));
        let plan = match self.propose_merge(pair.pair.ends).await? {
            Proposal::Plan(plan) => plan,
            Proposal::Refused(why) => bail!("the merge is refused: {}", why.join(" ")),
        };
        self.narrator
            .show(&self.huddle.text(&["explain", &caller, &callee]).await?);
        self.narrator.show(&self.huddle.text(&["plan", &plan]).await?);
        if !agreed(&format!("Approve {plan}?"))? {
            bail!("not approved; the bed stays up: `huddle approve {plan}` when you want to");
        }
        let watch = Watch::begin(&pair, "the merge");
        let attempt = self.carry_out(&plan, &pair).await?;
        let mut after = None;
        if attempt.stands() {
            watch.during("the time after it").await?;
            tokio::time::sleep(SETTLED).await;
            after = Some(pair.figures(WINDOW).await.context("after the merge")?);
        }
        self.narrator.section("What it brought");
        match &after {
            Some(after) => {
                self.narrator.table(&table(&[
                    ("same node, two proxies", &before),
                    ("inside the pod", after),
                ]));
                self.narrator.say(format!(
                    "dashboard: http://127.0.0.1:{}/ draws {callee} inside {caller}, and marks the edge between them",
                    super::DASHBOARD_PORT
                ));
            }
            None => self.narrator.say("It was taken back: nothing to compare."),
        }
        if apart && attempt.stands() {
            self.narrator.section("Split: the exact inverse");
            watch.during("the split").await?;
            self.split(&plan, &pair).await?;
        }
        let (failures, pages) = watch.end().await?;
        let merged = Merged {
            phase: attempt.phase,
            verdict: attempt.sentence,
            before,
            after,
            pages,
            failed_pages: failures.iter().map(Failure::requests).sum(),
            left_behind: if apart { self.left_of(&plan).await? } else { Vec::new() },
            failed_elsewhere: self.ended("the merge").await?.failed,
        };
        self.narrator.say(format!(
            "{} of {pages} pages failed from the approval on; {} requests of the shop's own load meanwhile",
            merged.failed_pages, merged.failed_elsewhere
        ));
        let lines = failures.iter().flat_map(Failure::lines);
        self.report
            .failures
            .extend(lines.map(|line| format!("failed during {line}")));
        self.report.merged = Some(merged);
        if apart {
            pair.remove().await?;
            self.may_merge(false).await?;
            self.set_policy(&json!({"maxMoves": null, "proofRequests": super::PROOF_REQUESTS}))
                .await?;
        }
        Ok(())
    }
}

/// What of a merge's promise was not kept (issue 6, section 3).
pub(super) fn shortfalls(merged: &Merged) -> Vec<String> {
    let mut short = Vec::new();
    if merged.phase != "proved" {
        short.push(format!("the merge is {}: {}", merged.phase, merged.verdict));
    }
    if merged.failed_pages > 0 {
        short.push(format!("{} of {} pages failed", merged.failed_pages, merged.pages));
    }
    if merged.failed_elsewhere > 0 {
        short.push(format!("{} requests failed during the merge", merged.failed_elsewhere));
    }
    if !merged.left_behind.is_empty() {
        short.push(format!("the split left {}", merged.left_behind.join(", ")));
    }
    let ratio = merged.after.as_ref().and_then(|after| after.ratio_to(&merged.before));
    if let Some(ratio) = ratio.filter(|ratio| *ratio > PROXIED) {
        short.push(format!("calls inside took {ratio:.2} of before, wanted ≤ {PROXIED:.2}"));
    }
    short
}

/// Most that a call inside the pod may take through the caller's proxy, of one between two proxies on one node, at p50.
pub const PROXIED: f64 = 0.70;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::measure::Figures;

    #[test]
    fn an_answer_is_a_plan_or_every_reason_against_it() {
        let plan = json!({"plan": "plan-7", "against": [], "after": null});
        assert_eq!(proposal(&plan), Proposal::Plan("plan-7".to_owned()));
        let refused = json!({"plan": null, "against": [{"sentence": "One."}, {"sentence": "Two."}], "after": "plan-3"});
        let why = ["One.", "Two.", "plan plan-3 has to end first"];
        assert_eq!(proposal(&refused), Proposal::Refused(why.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_merge_falls_short_by_its_phase_its_failures_and_its_ratio() {
        let figures = |p50| Figures {
            way_p50_us: p50,
            ..Figures::default()
        };
        let kept = Merged {
            phase: "proved".to_owned(),
            before: figures(2_000),
            after: Some(figures(1_300)),
            ..Merged::default()
        };
        assert!(shortfalls(&kept).is_empty());
        let broken = Merged {
            phase: "rolledBack".to_owned(),
            failed_pages: 3,
            pages: 100,
            after: Some(figures(1_500)),
            left_behind: vec!["Companion plan-1-0".to_owned()],
            ..kept
        };
        assert_eq!(shortfalls(&broken).len(), 4);
    }
}
