//! `make soak-faults`: each fault made, waited for, recorded, healed.

use super::catalogue::{APPLICATION, CLEAN, Case, Deed, Half, Role, SIDECAR, TOO_MUCH, WORK_US, cases};
use super::explain::{Said, explain};
use super::sizes::{LOOSE, by_the_mean, limit, throttled, use_of};
use super::{Options, place, write};
use crate::demo::Demo;
use crate::demo::narrator::percent;
use crate::kubelet::{Container, Counters, counters};
use crate::shop::{Fault, ServiceName};
use crate::wait::until;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The graph with the two halves.
const GRAPH: &str = "tests/shop/faults.yaml";
/// How long a fault may last until it is named (issue 5, section 3).
const NAMED: Duration = Duration::from_secs(120);
/// It must be named rightly over this long: the graph's slots are 10 s.
const HOLDS: Duration = Duration::from_secs(12);
/// How long nothing must be said where nothing was done.
const CONTROL: Duration = Duration::from_secs(60);
/// Until what was healed is no longer said: the window is two minutes, and figures come late.
const HEALED: Duration = Duration::from_secs(300);
/// Over this time the mean use is taken.
const MEAN: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// A container throttled less than this was not starved: the fault was not made.
const STARVED: f64 = 0.10;
/// Of the faults, so many are to be named rightly (issue 5, section 1).
const WANTED: f64 = 0.95;

type Readings = BTreeMap<Container, Counters>;

/// A container that was throttled.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttled {
    service: String,
    container: String,
    /// Mean use in the pod that uses most, before any fault, in thousandths of a processor.
    mean_m: f64,
    /// The limit it got.
    limit_m: u64,
    /// Share of the periods in which it was stopped, by the kubelet's counters.
    share: Option<f64>,
}

/// How one case went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    name: &'static str,
    half: Half,
    /// Each edge was said what is right, or nothing where nothing was done.
    right: bool,
    /// From the fault to that, in seconds.
    seconds: Option<f64>,
    /// What was wrong, if something was.
    wrong: Vec<String>,
    throttled: Vec<Throttled>,
    said: Vec<Said>,
    /// How long the edges took, after the last fault of this half, to be said nothing of.
    healed_seconds: f64,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Cases tried.
    tried: usize,
    /// Cases in which all was said rightly.
    right: usize,
    cases: Vec<Outcome>,
}

impl Report {
    /// Whether enough were named.
    pub fn holds(&self) -> bool {
        self.tried > 0 && self.right as f64 >= WANTED * self.tried as f64
    }
}

/// Runs the soak: a bed, the shop, Huddle, and the cases that are wanted. The report is written after each.
///
/// # Errors
/// When the bed or Huddle does not come up, or a fault cannot be made or healed. A fault that is not named is no error.
pub async fn run(options: &Options) -> Result<Report> {
    let mut soak = Soak::begin(options).await?;
    let mut report = Report::default();
    for case in cases().into_iter().filter(|case| options.wants(case.name)) {
        let outcome = soak.case(&case).await.with_context(|| case.name)?;
        report.tried += 1;
        report.right += usize::from(outcome.right);
        report.cases.push(outcome);
        write(&report, &options.report)?;
    }
    soak.tell(&report, options);
    if !options.on_running_bed {
        soak.demo.bed.run(&["down"]).await?;
    }
    Ok(report)
}

struct Soak {
    demo: Demo,
    /// Mean use by service and container, in thousandths, before any fault.
    means: BTreeMap<(String, &'static str), f64>,
}

impl Soak {
    async fn begin(options: &Options) -> Result<Self> {
        let mut demo = Demo::start(&options.demo(GRAPH)).await?;
        demo.bed.run(&["wire", "profile", "flat"]).await?;
        demo.narrator
            .section("Two halves, each on two nodes of one zone; the wire adds nothing");
        for half in Half::BOTH {
            let services: Vec<String> = Role::ALL.map(|role| half.service(role)).to_vec();
            place::pin(&demo.client, &services, half.nodes()).await?;
        }
        demo.install().await?;
        let mut soak = Self {
            demo,
            means: BTreeMap::new(),
        };
        for half in Half::BOTH {
            for role in Role::WORKING {
                soak.told(half, role, at_work()).await?;
            }
        }
        soak.measure().await?;
        Ok(soak)
    }

    async fn readings(&self) -> Result<Readings> {
        counters(&self.demo.client, "shop").await
    }

    /// What everything uses while nothing is wrong.
    async fn measure(&mut self) -> Result<()> {
        self.demo
            .narrator
            .section(&format!("Mean use over {} s, by the kubelets", MEAN.as_secs()));
        // What was told a moment ago is in no counter yet: cAdvisor looks every ten to twenty seconds.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let before = self.readings().await?;
        tokio::time::sleep(MEAN).await;
        let after = self.readings().await?;
        for half in Half::BOTH {
            for role in Role::WORKING {
                let service = half.service(role);
                for container in [APPLICATION, SIDECAR] {
                    let mean = use_of(&service, container, &before, &after);
                    let mean = mean.with_context(|| format!("no kubelet tells of {container} in {service}"))?;
                    self.demo.narrator.say(format!("{service}, {container}: {mean:.0}m"));
                    self.means.insert((service.clone(), container), mean);
                }
            }
        }
        Ok(())
    }

    async fn said(&self, case: &Case) -> Vec<Said> {
        let mut said = Vec::new();
        for right in case.edges() {
            let names = [right.from, right.to].map(|role| case.half.service(role));
            said.push(explain(&self.demo, &names[0], &names[1]).await);
        }
        said
    }

    /// Nothing is said of the half's edges; the seconds that took.
    async fn clean(&self, case: &Case) -> Result<f64> {
        let began = Instant::now();
        until("nothing to be said of the half", HEALED, async || {
            let said = self.said(case).await;
            let wrong: Vec<String> = said.iter().filter(|said| !said.is_clean()).map(brief).collect();
            if wrong.is_empty() {
                Ok(())
            } else {
                Err(wrong.join("; "))
            }
        })
        .await?;
        Ok(began.elapsed().as_secs_f64())
    }

    async fn case(&mut self, case: &Case) -> Result<Outcome> {
        self.demo.narrator.section(case.name);
        let mut outcome = Outcome {
            name: case.name,
            half: case.half,
            right: false,
            seconds: None,
            wrong: Vec::new(),
            throttled: Vec::new(),
            said: Vec::new(),
            healed_seconds: 0.0,
        };
        match self.clean(case).await {
            Ok(seconds) => outcome.healed_seconds = seconds,
            Err(error) => {
                outcome.wrong.push(format!("not clean before: {error:#}"));
                outcome.said = self.said(case).await;
                self.demo.narrator.say(format!("WRONG  {}", outcome.wrong.join("; ")));
                return Ok(outcome);
            }
        }
        let before = self.readings().await?;
        let made = self.make(case).await;
        let watched = match made {
            Ok(()) => {
                self.watch(case, &mut outcome).await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        let after = self.readings().await;
        self.heal(case).await?;
        watched?;
        self.judge(case, &before, &after?, &mut outcome);
        let word = if outcome.right { "right" } else { "WRONG" };
        let seconds = outcome.seconds.map(|seconds| format!(" after {seconds:.0} s"));
        self.demo.narrator.say(format!(
            "{word}{}  {}",
            seconds.unwrap_or_default(),
            outcome.wrong.join("; ")
        ));
        for said in &outcome.said {
            self.demo.narrator.say(format!("  {}: {}", said.edge, said.sentence));
        }
        Ok(outcome)
    }

    async fn make(&self, case: &Case) -> Result<()> {
        for deed in &case.deeds {
            match *deed {
                Deed::Throttle(role, container) => {
                    let to = self.limit_by_the_mean(case.half, role, container)?;
                    limit(&self.demo.client, &case.half.service(role), container, to).await?;
                }
                Deed::Wire(ms) => self.apart(case.half.nodes(), case.half.nodes(), ms).await?,
                Deed::Elsewhere(role, ms) => {
                    let away = case.half.other().nodes();
                    self.apart(case.half.nodes(), away, ms).await?;
                    place::pin(&self.demo.client, &[case.half.service(role)], away).await?;
                    self.told(case.half, role, at_work()).await?;
                }
                Deed::Told(role, fault) => self.told(case.half, role, fault).await?,
                Deed::Killed(role) => self.kill(case.half, role).await?,
            }
        }
        Ok(())
    }

    async fn heal(&self, case: &Case) -> Result<()> {
        for deed in &case.deeds {
            match *deed {
                Deed::Throttle(role, container) => {
                    limit(&self.demo.client, &case.half.service(role), container, LOOSE).await?;
                }
                Deed::Wire(_) => self.demo.bed.run(&["wire", "profile", "flat"]).await?,
                Deed::Elsewhere(role, _) => {
                    self.demo.bed.run(&["wire", "profile", "flat"]).await?;
                    place::pin(&self.demo.client, &[case.half.service(role)], case.half.nodes()).await?;
                    self.told(case.half, role, at_work()).await?;
                }
                Deed::Told(role, _) => self.told(case.half, role, at_work()).await?,
                // What was killed has forgotten what it had to do, and may still be starting.
                Deed::Killed(role) => {
                    until("what was killed to be back", HEALED, async || {
                        let told = self.told(case.half, role, at_work()).await;
                        told.map_err(|error| format!("{error:#}"))
                    })
                    .await?;
                }
            }
        }
        Ok(())
    }

    fn limit_by_the_mean(&self, half: Half, role: Role, container: &'static str) -> Result<u64> {
        let mean = self.means.get(&(half.service(role), container));
        let limit = by_the_mean(*mean.context("its mean was not measured")?);
        // Requests are 10m, and no limit may be lower.
        ensure!(limit >= 10, "{container} of {} hardly works", half.service(role));
        Ok(limit)
    }

    async fn apart(&self, some: [&str; 2], others: [&str; 2], ms: u32) -> Result<()> {
        let delay = format!("{ms}ms");
        for (index, from) in some.into_iter().enumerate() {
            let rest = if some == others { &others[index..] } else { &others[..] };
            for to in rest.iter().copied().filter(|to| *to != from) {
                self.demo.bed.run(&["wire", "set", from, to, "--delay", &delay]).await?;
            }
        }
        Ok(())
    }

    async fn told(&self, half: Half, role: Role, fault: Fault) -> Result<()> {
        let service = ServiceName::new(&half.service(role)).context("a service's name")?;
        for admin in self.demo.shop.admins(Some(&service)).await? {
            self.demo.shop.fault(&admin.pod, fault).await?;
        }
        Ok(())
    }

    /// One pod is told to hold too much. Whether it can still answer does not matter.
    async fn kill(&self, half: Half, role: Role) -> Result<()> {
        let service = ServiceName::new(&half.service(role)).context("a service's name")?;
        let admins = self.demo.shop.admins(Some(&service)).await?;
        let fault = Fault {
            hold_mib: TOO_MUCH,
            ..at_work()
        };
        let pod = admins.first().context("no pod runs")?;
        if let Err(error) = self.demo.shop.fault(&pod.pod, fault).await {
            self.demo.narrator.say(format!("{}: {error}", pod.pod));
        }
        Ok(())
    }

    /// Looks until all is said rightly for a while, or too long has passed; where nothing was done, for a minute.
    async fn watch(&self, case: &Case, outcome: &mut Outcome) {
        let began = Instant::now();
        let mut since: Option<f64> = None;
        let control = case.deeds.is_empty();
        loop {
            let said = self.said(case).await;
            let wrong = wrong(case, &said);
            let now = began.elapsed();
            outcome.said = said;
            if wrong.is_empty() {
                let first = *since.get_or_insert(now.as_secs_f64());
                let held = now.as_secs_f64() - first;
                let long = if case.right.is_empty() { CONTROL } else { HOLDS };
                if held >= long.as_secs_f64() {
                    outcome.right = true;
                    outcome.seconds = (!case.right.is_empty()).then_some(first);
                    outcome.wrong.clear();
                    return;
                }
            } else {
                since = None;
                outcome.wrong = wrong;
                if control || now >= NAMED {
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the kubelets say of the containers that were to be throttled.
    fn judge(&self, case: &Case, before: &Readings, after: &Readings, outcome: &mut Outcome) {
        for deed in &case.deeds {
            let Deed::Throttle(role, container) = *deed else {
                continue;
            };
            let service = case.half.service(role);
            let mean = self.means.get(&(service.clone(), container)).copied().unwrap_or(0.0);
            let share = throttled(&service, container, before, after);
            if share.is_none_or(|share| share < STARVED) {
                outcome.right = false;
                outcome.wrong.push(format!(
                    "the fault was not made: {container} of {service} is hardly throttled"
                ));
            }
            outcome.throttled.push(Throttled {
                service,
                container: container.to_owned(),
                mean_m: mean,
                limit_m: by_the_mean(mean),
                share,
            });
        }
    }

    fn tell(&self, report: &Report, options: &Options) {
        self.demo.narrator.section("Named or not");
        let head = ["case", "right", "after", "throttled (kubelet)", "said"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for case in &report.cases {
            let throttled: Vec<String> = case
                .throttled
                .iter()
                .map(|of| {
                    format!(
                        "{} of {:.0}m at {}m",
                        of.share.map_or("-".to_owned(), percent),
                        of.mean_m,
                        of.limit_m
                    )
                })
                .collect();
            let said: Vec<&str> = case.said.iter().map(|said| said.cause.as_str()).collect();
            rows.push(vec![
                case.name.to_owned(),
                if case.right { "yes" } else { "NO" }.to_owned(),
                case.seconds.map_or(String::new(), |seconds| format!("{seconds:.0} s")),
                throttled.join(", "),
                said.join(", "),
            ]);
        }
        self.demo.narrator.table(&rows);
        self.demo.narrator.say(format!(
            "{} of {} named rightly; report: {}",
            report.right,
            report.tried,
            options.report.display()
        ));
    }
}

/// What the working services do while nothing is wrong.
fn at_work() -> Fault {
    Fault {
        work_us: WORK_US,
        ..Fault::default()
    }
}

fn brief(said: &Said) -> String {
    format!("{}: {}", said.edge, said.sentence)
}

/// Edges of which something else is said than what is right. That there is too little to say anything is wrong only where something
/// is to be said.
fn wrong(case: &Case, said: &[Said]) -> Vec<String> {
    let edges = case.edges();
    let both = edges.iter().zip(said);
    both.filter(|(right, said)| {
        let named = right.causes.contains(&said.cause.as_str()) && said.sentence.contains(right.says);
        let silent = right.causes == CLEAN && !said.cause.is_empty() && !said.is_actionable();
        !named && !silent
    })
    .map(|(_, said)| brief(said))
    .collect()
}
