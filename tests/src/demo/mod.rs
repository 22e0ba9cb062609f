//! `make demo` and `make demo-check`: Huddle's main job on the bed, told as it happens.
//!
//! Everything is done the way a user would do it, through the `bed` and `huddle` programs; only the load and the
//! comparison of objects are the test crate's own.

mod command;
pub(crate) mod failures;
pub mod merge;
pub(crate) mod narrator;
mod objects;
pub mod pressure;
pub mod report;
mod traffic;

use crate::{shop, wait::until};
use anyhow::{Context, Result, bail};
pub use command::Program;
use huddle_core::view::{PlanView, State};
use kube::Api;
use kube::api::{Patch, PatchParams};
use narrator::{Narrator, micros, percent};
pub use objects::Objects;
use report::{Entry, Report};
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};
pub use traffic::{Phase, Traffic};

/// How the demo runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// After the proof also roll back and uninstall, and take the bed down.
    #[arg(long)]
    pub check: bool,
    /// Approve nothing: measure two windows without acting (A/A), to know the noise.
    #[arg(long)]
    pub no_act: bool,
    /// First starve a callee by its cpu limit, and let Huddle find and mend that.
    #[arg(long)]
    pub pressure: bool,
    /// At the end merge two services that talk a lot into one pod; with --check also split them again.
    #[arg(long)]
    pub merge: bool,
    /// Where the report goes.
    #[arg(long, default_value = "target/demo/report.json")]
    pub report: PathBuf,
    /// The graph that the shop plays.
    #[arg(long, default_value = "tests/shop/boutique.yaml")]
    pub graph: PathBuf,
    /// The folder with the images that `make image` and tests/setup/demo.sh write.
    #[arg(long, default_value = "target/image")]
    pub images: PathBuf,
    /// Use the bed that is up instead of starting one.
    #[arg(long)]
    pub on_running_bed: bool,
}

/// How long anything may take before the demo gives up and says what it last saw.
const PATIENCE: Duration = Duration::from_secs(300);
/// Requests that the proof rests on, in each window: more than the default, so that the edges that had same-node requests before have
/// 10 000 in each window by themselves.
const PROOF_REQUESTS: i64 = 15_000;
/// Where the demo's dashboard is seen: beside the port that `huddle dashboard` takes by default.
const DASHBOARD_PORT: &str = "18081";
/// Namespaces Huddle is installed into: the shop, and the load that calls it.
const NAMESPACES: [&str; 2] = ["shop", "load"];

/// Runs the demo and writes its report.
///
/// # Errors
/// When a step fails; the error says which and what was last seen. The bed is left up for a look.
pub async fn run(options: &Options) -> Result<Report> {
    let mut demo = Demo::start(options).await?;
    demo.install().await?;
    demo.open_dashboard()?;
    if options.pressure {
        demo.relieve().await?;
        demo.feed().await?;
    }
    let plan = demo.learn().await?;
    if options.no_act {
        demo.twice().await?;
    } else {
        let before = demo.objects().await?;
        demo.act(&plan).await?;
        demo.closing_table();
        if options.merge {
            demo.join(options.check).await?;
        }
        if options.check {
            demo.rollback(&plan.id, &before).await?;
            demo.close_dashboard()?;
            demo.uninstall().await?;
        }
    }
    demo.report.write(&options.report)?;
    demo.narrator.say(format!("report: {}", options.report.display()));
    if !options.check {
        demo.leave()?;
    }
    if options.check && !options.on_running_bed {
        demo.bed.run(&["down"]).await?;
    }
    Ok(demo.report)
}

/// A demo under way: a bed with the shop under load, and what was measured so far. The bed rung tells its stories on one.
pub struct Demo {
    /// What was measured so far.
    pub report: Report,
    /// The cluster.
    pub client: kube::Client,
    /// The `huddle` program, with the bed's kubeconfig.
    pub huddle: Program,
    /// The load.
    pub traffic: Traffic,
    /// The shop.
    pub shop: shop::Shop,
    pub(crate) narrator: Narrator,
    pub(crate) bed: Program,
    dashboard: Option<tokio::process::Child>,
}

impl Demo {
    /// Bed, shop and load.
    ///
    /// # Errors
    /// When the bed does not come up or the shop does not become ready.
    pub async fn start(options: &Options) -> Result<Self> {
        let narrator = Narrator::default();
        let began = Instant::now();
        let bed = Program::beside("bed")?;
        narrator.section("A cluster: 4 nodes in 2 zones, Istio with mTLS, a wire with a cloud's delays");
        if !options.on_running_bed {
            bed.run(&["up", "--nodes", "4", "--zones", "2", "--wire", "cloud"])
                .await?;
        }
        let kubeconfig = PathBuf::from(bed.text(&["kubeconfig"]).await?.trim());
        for image in ["huddle", "shop"] {
            let file = options.images.join(format!("{image}.tar"));
            bed.run(&["load", &file.display().to_string()]).await?;
        }
        let huddle = Program::beside("huddle")?.with_kubeconfig(&kubeconfig);
        let client = client(&kubeconfig).await?;
        narrator.section("A shop: Online Boutique's call graph, placed by the stock scheduler without hints");
        let graph = std::fs::read_to_string(&options.graph)
            .with_context(|| format!("read the graph {}", options.graph.display()))?;
        let shop = shop::deploy(&client, &graph, PATIENCE).await?;
        let traffic = Traffic::start(&client, &graph).await?;
        narrator.say("load is on: constant rate, every answer counted from the moment its request was due");
        let mut report = Report::default();
        report.seconds.bed = began.elapsed().as_secs();
        report.placed = shop.placement().await.context("where the shop's pods are")?;
        Ok(Self {
            report,
            client,
            huddle,
            traffic,
            shop,
            narrator,
            bed,
            dashboard: None,
        })
    }

    /// `huddle dashboard` in the background, until it is closed or the demo ends.
    fn open_dashboard(&mut self) -> Result<()> {
        let dashboard = self
            .huddle
            .start(&["dashboard", "--port", DASHBOARD_PORT, "--no-browser"])?;
        self.dashboard = Some(dashboard);
        self.narrator.section("Watch");
        self.narrator.say(format!(
            "dashboard: http://127.0.0.1:{DASHBOARD_PORT}/ (open until the demo ends)"
        ));
        Ok(())
    }

    /// Ends it; an error when it had ended by itself.
    fn close_dashboard(&mut self) -> Result<()> {
        let Some(mut dashboard) = self.dashboard.take() else {
            return Ok(());
        };
        if let Some(status) = dashboard.try_wait().context("the dashboard's port-forward")? {
            bail!("`huddle dashboard` ended early with {status}");
        }
        Ok(())
    }

    /// The bed stays up: says how to go on. On a terminal the dashboard stays open for as long as somebody looks at it.
    fn leave(&mut self) -> Result<()> {
        self.narrator.section("The cluster stays up");
        self.narrator.say("make bed-down takes it away; until then, as root:");
        self.narrator.say(format!("  {} dashboard", self.huddle.words()));
        if self.dashboard.is_some() && std::io::stdin().is_terminal() && !said_yes() {
            println!("   The dashboard is open: press Enter when you have seen enough.");
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).context("wait for Enter")?;
        }
        self.close_dashboard()
    }

    /// `huddle install`, under load, until every pod reports.
    ///
    /// # Errors
    /// When the installation fails or pods stay silent.
    pub async fn install(&mut self) -> Result<()> {
        self.install_with("act").await
    }

    /// The same with other rights, as `--allow` takes them.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub async fn install_with(&mut self, rights: &str) -> Result<()> {
        self.narrator
            .section("Install Huddle: the controller, then the filter namespace by namespace");
        self.traffic.close().await?;
        let began = Instant::now();
        self.allow(&["--allow", rights]).await?;
        self.report.seconds.install = began.elapsed().as_secs();
        self.ask_for_proof(PROOF_REQUESTS).await?;
        until("every pod to report", PATIENCE, async || {
            let state = self.state().await.map_err(|error| format!("{error:#}"))?;
            let silent: Vec<String> = state
                .silent
                .iter()
                .map(|pod| format!("{} ({})", pod.pod, pod.reason))
                .collect();
            if silent.is_empty() && !state.edges.is_empty() {
                Ok(())
            } else {
                Err(format!("silent: {silent:?}"))
            }
        })
        .await?;
        self.report.failed_requests.install = self.ended("install").await?.failed;
        Ok(())
    }

    /// Runs `huddle install` with these words as well: the rights that Huddle then has.
    ///
    /// # Errors
    /// When it fails.
    pub async fn allow(&self, rights: &[&str]) -> Result<()> {
        let mut args = vec!["install", "--yes", "--image", "registry.local/huddle:dev"];
        for namespace in NAMESPACES {
            args.extend(["--namespace", namespace]);
        }
        args.extend(rights);
        self.huddle.run(&args).await
    }

    /// Ends a phase of the load; whatever failed in it is told and kept, with what the proxies know of it.
    async fn ended(&mut self, what: &str) -> Result<Phase> {
        let phase = self.traffic.close().await?;
        if phase.failed > 0 {
            let logged = failures::logged(&self.client, phase.span).await?;
            for line in phase.causes.iter().chain(&logged) {
                let line = format!("failed during {what}: {line}");
                self.narrator.say(&line);
                self.report.failures.push(line);
            }
        }
        Ok(phase)
    }

    /// The shop's Policy: proofs rest on so many requests before and after.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn ask_for_proof(&self, requests: i64) -> Result<()> {
        let spec = huddle_api::PolicySpec {
            proof_requests: Some(requests),
            ..huddle_api::PolicySpec::default()
        };
        let policies: Api<huddle_api::Policy> = Api::namespaced(self.client.clone(), NAMESPACES[0]);
        let policy = huddle_api::Policy::new("huddle", spec);
        policies
            .patch("huddle", &PatchParams::apply("huddle-demo"), &Patch::Apply(&policy))
            .await
            .context("write the shop's Policy")?;
        self.narrator.say(format!(
            "Policy shop/huddle: the proof is to rest on {requests} requests before and after"
        ));
        Ok(())
    }

    /// Waits for enough data and a plan with actions; shows the graph and the plan.
    ///
    /// # Errors
    /// When no plan is proposed in time.
    pub async fn learn(&mut self) -> Result<PlanView> {
        self.narrator.section("Measure: the service graph, from every sidecar");
        let began = Instant::now();
        let plan = until("a plan with actions", PATIENCE, async || {
            let plans: Vec<PlanView> = self
                .huddle
                .json(&["plan", "-o", "json"])
                .await
                .map_err(|error| format!("{error:#}"))?;
            let open = plans
                .into_iter()
                .find(|plan| plan.phase == "proposed" && !plan.actions.is_empty());
            open.ok_or_else(|| "no proposed plan yet".to_owned())
        })
        .await?;
        self.narrator.show(&self.huddle.text(&["graph"]).await?);
        self.narrator
            .section("The plan: what, why, what it should gain, what it refuses");
        self.narrator.show(&self.huddle.text(&["plan", &plan.id]).await?);
        self.report.seconds.learn = began.elapsed().as_secs();
        Ok(plan)
    }

    /// Approval, moves, proof.
    ///
    /// # Errors
    /// When the plan is not approved or comes to no end.
    pub async fn act(&mut self, plan: &PlanView) -> Result<PlanView> {
        self.narrator.section("Approval");
        if !agreed(&format!("Approve {}?", plan.id))? {
            bail!(
                "not approved; the bed stays up: `huddle approve {}` when you want to",
                plan.id
            );
        }
        self.huddle.run(&["approve", &plan.id, "--yes"]).await?;
        self.narrator.section("Before, moves, after");
        self.traffic.close().await?;
        let mut last = String::new();
        let (mut before, mut moving) = (Phase::default(), Phase::default());
        let mut began = Instant::now();
        let limit = Instant::now() + PATIENCE * 4;
        let view = loop {
            let view = self.plan(&plan.id).await?;
            let line = format!("{}: {}", view.phase, progress(&view));
            if line != last {
                self.narrator.say(&line);
                let was = last.split(':').next().unwrap_or_default().to_owned();
                if was != view.phase {
                    match view.phase.as_str() {
                        "acting" => {
                            before = self.traffic.close().await?;
                            began = Instant::now();
                        }
                        "settling" | "proving" => {
                            // The after window begins with the last of the two: new pods have warmed up by then.
                            moving.failed += self.ended("the moves").await?.failed;
                            if self.report.seconds.r#move == 0 {
                                self.report.seconds.r#move = began.elapsed().as_secs();
                                began = Instant::now();
                            }
                        }
                        _ => {}
                    }
                }
                last = line;
            }
            if matches!(view.phase.as_str(), "proved" | "rolledBack" | "failed") {
                break view;
            }
            if Instant::now() > limit {
                bail!("plan {} is still {last}", plan.id);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        self.report.seconds.prove = began.elapsed().as_secs();
        let after = self.ended("the proof").await?;
        self.report.failed_requests.r#move = moving.failed + after.failed;
        self.report.entries = entries(&before, &after);
        self.report.take_proof(&view);
        Ok(view)
    }

    /// Two windows of equal length without acting.
    async fn twice(&mut self) -> Result<()> {
        self.narrator.section("A/A: two windows, nothing done between them");
        let window = Duration::from_secs(90);
        self.traffic.close().await?;
        tokio::time::sleep(window).await;
        let before = self.traffic.close().await?;
        tokio::time::sleep(window).await;
        let after = self.traffic.close().await?;
        self.report.failed_requests.r#move = before.failed + after.failed;
        self.report.entries = entries(&before, &after);
        Ok(())
    }

    /// Rollback, and what is not as it was `before`.
    ///
    /// # Errors
    /// When the plan is not rolled back in time. A difference is no error: the report says it.
    pub async fn rollback(&mut self, plan: &str, before: &Objects) -> Result<()> {
        self.narrator.section("Rollback: rules and routing as they were");
        self.traffic.close().await?;
        self.huddle.run(&["rollback", plan, "--yes"]).await?;
        until("the plan to be rolled back", PATIENCE, async || {
            let view = self.plan(plan).await.map_err(|error| format!("{error:#}"))?;
            if view.phase == "rolledBack" {
                Ok(())
            } else {
                Err(format!("{}: {}", view.phase, progress(&view)))
            }
        })
        .await?;
        self.report.failed_requests.rollback = self.ended("rollback").await?.failed;
        let differences = before.differences(&self.objects().await?);
        self.report.rollback_restored = differences.is_empty();
        match differences.as_slice() {
            [] => self.narrator.say("object by object as before: no difference"),
            some => some.iter().for_each(|line| self.narrator.say(line)),
        }
        Ok(())
    }

    /// `huddle uninstall`, under load.
    ///
    /// # Errors
    /// When it fails.
    pub async fn uninstall(&mut self) -> Result<()> {
        self.narrator.section("Uninstall");
        self.traffic.close().await?;
        self.huddle.run(&["uninstall", "--yes"]).await?;
        self.report.failed_requests.uninstall = self.ended("uninstall").await?.failed;
        Ok(())
    }

    /// The shop's objects that Huddle may change.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn objects(&self) -> Result<Objects> {
        Objects::read(&self.client, "shop").await
    }

    /// One plan.
    ///
    /// # Errors
    /// When `huddle plan` fails.
    pub async fn plan(&self, id: &str) -> Result<PlanView> {
        self.huddle.json(&["plan", id, "-o", "json"]).await
    }

    /// What the controller publishes.
    ///
    /// # Errors
    /// When `huddle graph` fails.
    pub async fn state(&self) -> Result<State> {
        self.huddle.json(&["graph", "-o", "json"]).await
    }

    fn closing_table(&self) {
        let report = &self.report;
        self.narrator.section("What it brought");
        let head = ["edge", "same node", "network p50", "network p99", "verdict"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for edge in report.edges.iter().filter(|edge| edge.acted_on) {
            let (before, after) = (&edge.before, &edge.after);
            rows.push(vec![
                format!("{} → {}", edge.source, edge.destination),
                format!(
                    "{} → {}",
                    percent(before.same_node_share),
                    percent(after.same_node_share)
                ),
                format!("{} → {}", micros(before.network_p50_us), micros(after.network_p50_us)),
                format!("{} → {}", micros(before.network_p99_us), micros(after.network_p99_us)),
                edge.verdict.clone(),
            ]);
        }
        for entry in &report.entries {
            let (before, after) = (&entry.before, &entry.after);
            rows.push(vec![
                format!("entry {}", entry.name),
                String::new(),
                format!("p50 {} → {}", micros(before.p50_us), micros(after.p50_us)),
                format!("p99 {} → {}", micros(before.p99_us), micros(after.p99_us)),
                String::new(),
            ]);
        }
        self.narrator.table(&rows);
        let t = &report.together;
        self.narrator.say(format!(
            "{} pods moved; of the way to same-node calls {} closed at p50, {} at p99; {} requests failed meanwhile",
            t.pods_moved,
            percent(t.gap_closed_p50),
            percent(t.gap_closed_p99),
            report.failed_requests.r#move,
        ));
    }
}

fn progress(view: &PlanView) -> String {
    let in_state = |state: &'static str| {
        let steps = view.actions.iter();
        steps.filter(move |step| step.state.as_deref() == Some(state))
    };
    let now = in_state("running").next();
    let now = now.map(|step| format!("; now: {}", step.sentence)).unwrap_or_default();
    let verdict = view.verdict.as_ref();
    let verdict = verdict
        .map(|verdict| format!("; {}", verdict.sentence))
        .unwrap_or_default();
    let done = in_state("done").count();
    format!("{done} of {} steps done{now}{verdict}", view.actions.len())
}

fn entries(before: &Phase, after: &Phase) -> Vec<Entry> {
    let both = before
        .entries
        .iter()
        .filter_map(|(name, b)| Some((name, b, after.entries.get(name)?)));
    both.map(|(name, b, a)| Entry {
        name: name.clone(),
        before: b.clone(),
        after: a.clone(),
    })
    .collect()
}

async fn client(kubeconfig: &std::path::Path) -> Result<kube::Client> {
    let config =
        kube::config::Kubeconfig::read_from(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

fn said_yes() -> bool {
    std::env::var("YES").is_ok_and(|yes| yes == "1")
}

/// `YES=1` answers; otherwise a person at a terminal does.
fn agreed(question: &str) -> Result<bool> {
    if said_yes() {
        println!("   {question} yes (YES=1)");
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        bail!("no terminal to ask on: run again with YES=1 to approve");
    }
    println!("   {question} [y/N]");
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("read the answer")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
