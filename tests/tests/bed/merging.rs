//! A callee inside its caller's pods: refused with reasons, proposed, carried out under load without a failed request, proved, split again.
//!
//! The shop's own services cannot be merged: all call their container and its volume alike, listen on one port for their witnesses, and are
//! told their pods' names. So the story brings two of its own, and who asks them (tests/src/pair).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use huddle_core::view::{EdgeView, PlanView};
use huddle_tests::demo::failures;
use huddle_tests::pair::Pair;
use huddle_tests::pods::{PodPort, rolled_out, running};
use huddle_tests::shop::{ADMIN_PORT, EntryReport};
use huddle_tests::wait::until;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::huddle::{LIMIT, World};

const PAIR: [&str; 2] = ["shop/front", "shop/back"];
/// The proof rests on some twenty-five seconds of calls; the shop's own pods stay where they are.
const POLICY: [(&str, i64); 2] = [("maxMoves", 0), ("proofRequests", 2_000)];
/// So much of the proxies' logs is read where pages failed.
const LOGGED: Duration = Duration::from_secs(300);
/// How long it may take until enough is measured for a merge to be proposed: a window has to fill.
const MEASURED: Duration = Duration::from_secs(180);

fn objects() -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": Pair::lingering().objects()})
}

impl World {
    async fn pair_edge(&self) -> Result<EdgeView, String> {
        let edge = self
            .demo
            .huddle
            .json(&["explain", PAIR[0], PAIR[1], "-o", "json"])
            .await;
        edge.map_err(|error| format!("{error:#}"))
    }

    /// Pages asked for and failed since the asker began; half a minute of load is tens of thousands of calls to the callee.
    async fn asked(&self) -> Result<EntryReport> {
        let pods = running(&self.demo.client, "shop", "app=asker").await?;
        let pod = pods.first().context("nobody asks")?.name_any();
        let port = PodPort::new(&self.demo.client, "shop", &pod, ADMIN_PORT);
        let [report]: [EntryReport; 1] = port.get("/report").await?;
        Ok(report)
    }

    /// Whatever failed since `before` is told by second, with what the proxies know of it.
    async fn none_failed(&self, during: &str, before: &EntryReport) -> Result<()> {
        let now = self.asked().await?;
        println!("   {during}: {} pages so far, {} failed", now.requests, now.failed);
        if now.failed == before.failed {
            return Ok(());
        }
        for line in failures::logged(&self.demo.client, LOGGED).await? {
            println!("   {line}");
        }
        let when: Vec<_> = now
            .failed_at
            .iter()
            .filter(|at| !before.failed_at.contains(at))
            .collect();
        bail!(
            "{} pages failed during {during}: {:?}, by second {when:?}",
            now.failed - before.failed,
            now.causes
        );
    }

    /// What `huddle merge` says, whatever its exit code.
    async fn ask_for_merge(&self) -> Result<Value, String> {
        let answer = self
            .demo
            .huddle
            .answer(&["merge", PAIR[0], PAIR[1], "-o", "json"])
            .await;
        answer.map_err(|error| format!("{error:#}"))
    }

    /// Containers of each caller pod, by name.
    async fn caller_containers(&self) -> Result<Vec<Vec<String>>> {
        let pods = running(&self.demo.client, "shop", "app=front").await?;
        let names = |pod: k8s_openapi::api::core::v1::Pod| {
            let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
            containers.into_iter().map(|container| container.name).collect()
        };
        Ok(pods.into_iter().map(names).collect())
    }

    async fn merged_and_split(&mut self) -> Result<()> {
        for name in ["back", "front", "asker"] {
            rolled_out(&self.demo.client, "shop", name, None, LIMIT).await?;
        }
        let before = self.demo.objects().await?;
        let refused = self.ask_for_merge().await.map_err(anyhow::Error::msg)?;
        let against = refused["against"].to_string();
        ensure!(
            refused["plan"].is_null() && against.contains("no companion may join pods of this namespace"),
            "a merge without the right to: {refused}"
        );
        self.demo.allow(&["--allow", "act,merge=shop"]).await?;
        // Whether Huddle calls it chatter depends on how busy the bed is: where calls wait for a processor, hops are not what dominates. Who
        // asks for a merge need not wait for that.
        let answer = until("the merge to be proposed", MEASURED, async || {
            let answer = self.ask_for_merge().await?;
            match answer["plan"].as_str() {
                Some(plan) => Ok(plan.to_owned()),
                None => Err(answer.to_string()),
            }
        })
        .await?;
        let edge: EdgeView = self.pair_edge().await.map_err(anyhow::Error::msg)?;
        let sentence = edge.finding.map(|finding| finding.sentence).unwrap_or_default();
        println!("   {} → {}: {sentence}", PAIR[0], PAIR[1]);
        let failed = self.asked().await?;
        let approved = self.demo.huddle.run(&["approve", &answer, "--yes", "--wait"]).await;
        let view: PlanView = self.demo.plan(&answer).await?;
        self.none_failed("the merge", &failed).await?;
        for proof in &view.proof {
            let [was, is] = [&proof.before.upstream, &proof.after.upstream];
            println!(
                "   whole calls, p50 and p99 in us: {} and {} → {} and {} ({})",
                was.p50_us, was.p99_us, is.p50_us, is.p99_us, proof.verdict
            );
        }
        if let (Err(error), None) = (approved, &view.verdict) {
            return Err(error.context(view.summary));
        }
        let verdict = view.verdict.as_ref().context("no verdict")?;
        ensure!(
            view.phase == "proved" && verdict.outcome == "improved",
            "{}: {}; {}",
            view.phase,
            view.summary,
            verdict.sentence
        );
        let holds = |names: &Vec<String>| names.iter().any(|name| name == "huddle-back-back");
        let pods = self.caller_containers().await?;
        ensure!(pods.len() == 2 && pods.iter().all(holds), "{pods:?}");

        self.demo.huddle.run(&["rollback", &answer, "--yes", "--wait"]).await?;
        self.none_failed("the split", &failed).await?;
        let pods = self.caller_containers().await?;
        ensure!(pods.len() == 2 && !pods.iter().any(holds), "{pods:?}");
        let left = before.differences(&self.demo.objects().await?);
        ensure!(left.is_empty(), "not as it was: {left:?}");
        let lists = self.in_shop(&["get", "companions.huddle.dev,envoyfilters", "-o", "name"])?;
        let ours: Vec<&str> = lists.lines().filter(|line| line.contains(&answer)).collect();
        ensure!(ours.is_empty(), "left behind: {ours:?}");
        Ok(())
    }

    /// With the right to merge, and to read who was granted what, for this story alone.
    pub(crate) fn callee_joins_its_callers_pods(&mut self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text)?;
            anyhow::Ok(path.display().to_string())
        };
        let policy = self.in_shop(&["get", "policies.huddle.dev", "huddle", "-o", "json"])?;
        let policy: Value = serde_json::from_str(&policy)?;
        let was = POLICY.map(|(field, _)| (field.to_owned(), policy["spec"][field].clone()));
        self.set_policy(&json!(std::collections::BTreeMap::from(POLICY)))?;
        self.bed
            .kubectl(&["apply", "-f", &file("pair.json", objects().to_string())?])?;
        let binding = ["clusterrolebinding", "huddle-read-grants"];
        let to = [
            "--clusterrole=huddle-read-grants",
            "--serviceaccount=huddle-system:huddle-controller",
        ];
        self.bed.kubectl(&[&["create"], &binding[..], &to[..]].concat())?;
        let runtime = self.runtime.handle().clone();
        let told = runtime.block_on(self.merged_and_split());
        self.bed.kubectl(&[&["delete"], &binding[..]].concat())?;
        let kinds = "deployments,services,configmaps,serviceaccounts";
        self.in_shop(&["delete", kinds, "-l", "bed=pair"])?;
        runtime.block_on(self.demo.allow(&["--allow", "act"]))?;
        self.set_policy(&Value::Object(was.into_iter().collect()))?;
        told
    }

    fn set_policy(&self, spec: &Value) -> Result<()> {
        let patch = json!({"spec": spec}).to_string();
        let words = ["patch", "policies.huddle.dev", "huddle", "--type=merge", "-p", &patch];
        self.in_shop(&words).map(drop)
    }
}
