//! Half an hour of a merged pair under steady load, with all that may happen to it in between. No page may fail.

use super::{Report, Soak, write};
use crate::demo::merge::{Attempt, Proposal};
use crate::pair::{CALLER, CALLS_PER_PAGE, Deployed, Failure, Health, Pair, Watch, failed_during, since_epoch};
use crate::pods::PodPort;
use crate::shop::{Fault, Window};
use crate::wait::until;
use anyhow::{Context, Result, bail, ensure};
use http::Method;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the first merge is tried.
const TRIES: usize = 3;
/// How long a companion may take to be back: its supervisor waits up to half a minute between two starts.
const BACK: Duration = Duration::from_secs(90);
/// Between what is done to one companion and to the next.
const BETWEEN: Duration = Duration::from_secs(20);
/// How long companions are ended again and again, as soon as they are back.
const CRASHING: Duration = Duration::from_secs(60);
/// How long who is ended by what it is told has to answer; less than a client waits before it asks again.
const ENDED: Duration = Duration::from_millis(300);
/// Between two looks whether they are.
const LOOK: Duration = Duration::from_millis(500);
/// Most memory of the callee's container, MiB …
const LIMIT_MIB: u32 = 96;
/// … and what it is told to hold to meet it.
const TOO_MUCH_MIB: usize = 256;

/// What is done in one part of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Deed {
    Nothing,
    Killed,
    OutOfMemory,
    CrashLoop,
    CallerRollsOut,
    CalleeRollsOut,
}

impl Deed {
    const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Killed,
        Self::OutOfMemory,
        Self::CrashLoop,
        Self::CallerRollsOut,
        Self::CalleeRollsOut,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing happens",
            Self::Killed => "companions are killed",
            Self::OutOfMemory => "companions run out of memory",
            Self::CrashLoop => "companions crash-loop",
            Self::CallerRollsOut => "the caller's owner rolls out",
            Self::CalleeRollsOut => "the callee's owner rolls out",
        }
    }
}

/// How one part went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    deed: Deed,
    seconds: u64,
    pages: u64,
    failed: u64,
    /// Share of the calls that the callee's own pods did not answer; nothing where their counters began anew.
    inside: Option<f64>,
    /// What was seen of the deed.
    seen: Vec<String>,
    /// It could not be done as it was meant.
    wrong: Option<String>,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Steady {
    minutes: u64,
    attempts: Vec<Attempt>,
    parts: Vec<Part>,
    /// From before the first merge to after the last split.
    pages: u64,
    failures: Vec<Failure>,
    left_behind: Vec<String>,
    /// All was done, to the last split.
    ended: bool,
}

impl Steady {
    pub(super) fn holds(&self) -> bool {
        let done = self.parts.len() == Deed::ALL.len() && self.parts.iter().all(|part| part.wrong.is_none());
        self.ended && done && self.failures.is_empty() && self.left_behind.is_empty()
    }
}

/// How long each part lasts at least.
fn share(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60 / Deed::ALL.len() as u64)
}

/// Share of a window's calls that were not answered outside; `None` where nothing was asked.
fn inside(pages: u64, outside: u64) -> Option<f64> {
    let calls = pages * CALLS_PER_PAGE;
    (calls > 0).then(|| (1.0 - outside as f64 / calls as f64).max(0.0))
}

/// What became of the caller's pods between two looks.
fn fared(before: &BTreeMap<String, Health>, after: &BTreeMap<String, Health>) -> String {
    let gone = before.keys().filter(|pod| !after.contains_key(*pod)).count();
    let both = before.iter().filter_map(|(pod, was)| Some((was, after.get(pod)?)));
    let (mut restarts, mut unready) = (0, 0);
    for (was, is) in both {
        restarts += is.restarts - was.restarts;
        unready += usize::from(is.ready_since != was.ready_since);
    }
    format!(
        "of {} caller pods {gone} were replaced, {unready} were unready for a time; {restarts} containers restarted",
        before.len()
    )
}

async fn is_up(companion: &PodPort) -> bool {
    companion.send(Method::GET, "/readyz", &()).await.is_ok()
}

/// Waits until a companion serves, and gives the seconds that took.
async fn back(companion: &PodPort) -> Result<f64> {
    let began = Instant::now();
    until(
        format!("the companion in {} to be back", companion.pod),
        BACK,
        async || {
            let asked = companion.send(Method::GET, "/readyz", &()).await;
            asked.map_err(|error| error.to_string())
        },
    )
    .await?;
    Ok(began.elapsed().as_secs_f64())
}

/// Tells a companion to do what it does not live to answer; whether it did not. kube's client would send that again and again, since what is
/// broken off comes back as 503.
async fn unanswered(companion: &PodPort, path: &str, body: &impl Serialize) -> bool {
    let asked = companion.send(Method::POST, path, body);
    !matches!(tokio::time::timeout(ENDED, asked).await, Ok(Ok(_)))
}

/// Each companion's program is ended once.
pub(super) async fn kill(pair: &Deployed) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    for companion in pair.companions().await? {
        back(&companion).await?;
        ensure!(unanswered(&companion, "/kill", &()).await, "{} lives on", companion.pod);
        let seconds = back(&companion).await?;
        seen.push(format!("{}: killed, back after {seconds:.1} s", companion.pod));
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(seen)
}

/// Each companion is told once to hold more than its limit.
async fn overfill(pair: &Deployed) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    for companion in pair.companions().await? {
        back(&companion).await?;
        let fault = Fault {
            hold_mib: TOO_MUCH_MIB,
            ..Fault::default()
        };
        let began = Instant::now();
        ensure!(
            unanswered(&companion, "/fault", &fault).await,
            "{} holds {TOO_MUCH_MIB} MiB under a limit of {LIMIT_MIB}",
            companion.pod
        );
        back(&companion).await?;
        let now: Fault = companion.get("/fault").await?;
        ensure!(now.hold_mib == 0, "{} is still the one that was told", companion.pod);
        let seconds = began.elapsed().as_secs_f64();
        seen.push(format!("{}: out of memory, back after {seconds:.1} s", companion.pod));
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(seen)
}

/// All companions are ended as often as they come back.
async fn crash(pair: &Deployed, span: Duration) -> Result<Vec<String>> {
    let companions = pair.companions().await?;
    let (began, mut ends) = (Instant::now(), 0_u32);
    while began.elapsed() < span {
        for companion in &companions {
            if is_up(companion).await {
                ends += u32::from(unanswered(companion, "/kill", &()).await);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    ensure!(
        ends as usize > companions.len(),
        "they came back too seldom: {ends} ends"
    );
    let mut seen = vec![format!("{ends} ends in {} s", span.as_secs())];
    for companion in &companions {
        let seconds = back(companion).await?;
        seen.push(format!("{}: back for good after {seconds:.1} s more", companion.pod));
    }
    Ok(seen)
}

impl Soak {
    /// Merges, and gives the plan that stands.
    async fn joined(&self, pair: &Deployed, steady: &mut Steady, tries: usize) -> Result<String> {
        for _ in 0..tries {
            let plan = match self.demo.propose_merge(pair.pair.ends).await? {
                Proposal::Plan(plan) => plan,
                Proposal::Refused(why) => bail!("the merge is refused: {}", why.join(" ")),
            };
            let attempt = self.demo.carry_out(&plan, pair).await?;
            let stands = attempt.stands();
            steady.attempts.push(attempt);
            if stands {
                return Ok(plan);
            }
        }
        bail!("no merge of {tries} stood");
    }

    pub(super) async fn steady(
        &mut self,
        minutes: u64,
        report: &mut Report,
        options: &super::super::Options,
    ) -> Result<()> {
        self.demo.narrator.section(&format!(
            "steady: {minutes} minutes merged, with all that may happen to it"
        ));
        let pair = Pair {
            // What an owner does whose pods are not to lose requests when they are replaced.
            pre_stop: Some(2),
            memory_limit: Some(LIMIT_MIB),
            only_asks: true,
            ..Pair::default()
        };
        let pair = Deployed::deploy(&self.demo.client, &pair).await?;
        let watch = Watch::begin(&pair, "the merge");
        let mut steady = Steady {
            minutes,
            ..Steady::default()
        };
        let told = self.parts(&pair, &watch, &mut steady, report, options).await;
        let (failures, pages) = watch.end().await?;
        (steady.failures, steady.pages) = (failures, pages);
        steady.ended = told.is_ok();
        report.steady = Some(steady);
        told
    }

    async fn parts(
        &self,
        pair: &Deployed,
        watch: &Watch,
        steady: &mut Steady,
        report: &mut Report,
        options: &super::super::Options,
    ) -> Result<()> {
        let plan = self.joined(pair, steady, TRIES).await?;
        for deed in Deed::ALL {
            self.demo.narrator.section(deed.words());
            watch.during(deed.words()).await?;
            let part = self
                .part(deed, pair, &plan, steady)
                .await
                .with_context(|| deed.words())?;
            part.seen.iter().for_each(|line| self.demo.narrator.say(line));
            if let Some(wrong) = &part.wrong {
                self.demo.narrator.say(format!("NOT as it was meant: {wrong}"));
            }
            steady.parts.push(part);
            steady.failures = watch.so_far();
            for part in &mut steady.parts {
                part.failed = failed_during(&steady.failures, part.deed.words());
            }
            report.steady = Some(steady.clone());
            write(report, &options.report)?;
        }
        self.demo.narrator.section("the split");
        watch.during("the split").await?;
        self.demo.split(&plan, pair).await?;
        for attempt in &steady.attempts {
            steady.left_behind.extend(self.demo.left_of(&attempt.plan).await?);
        }
        Ok(())
    }

    /// Does it, and lets the rest of its time pass.
    async fn part(&self, deed: Deed, pair: &Deployed, plan: &str, steady: &Steady) -> Result<Part> {
        let (began, from) = (Instant::now(), since_epoch());
        let span = share(steady.minutes);
        let (outside, health) = (pair.answered_outside().await?, pair.health().await?);
        let done = match deed {
            Deed::Nothing => Ok(Vec::new()),
            Deed::Killed => kill(pair).await,
            Deed::OutOfMemory => overfill(pair).await,
            Deed::CrashLoop => crash(pair, CRASHING.min(span)).await,
            Deed::CallerRollsOut => self.caller_rolls_out(pair).await,
            Deed::CalleeRollsOut => self.callee_rolls_out(pair, plan).await,
        };
        let (mut seen, wrong) = match done {
            Ok(seen) => (seen, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        tokio::time::sleep(span.saturating_sub(began.elapsed())).await;
        seen.push(fared(&health, &pair.health().await?));
        let to = since_epoch();
        let window = Window {
            from: Some(from),
            to: Some(to),
        };
        let (asker, _) = pair.asked(window).await?;
        let inside = match deed {
            // Its pods are new, and have counted anew.
            Deed::CalleeRollsOut => None,
            Deed::Nothing | Deed::Killed | Deed::OutOfMemory | Deed::CrashLoop | Deed::CallerRollsOut => {
                let outside = pair.answered_outside().await?.saturating_sub(outside);
                inside(asker.requests, outside)
            }
        };
        Ok(Part {
            deed,
            seconds: to.saturating_sub(from),
            pages: asker.requests,
            failed: asker.failed,
            inside,
            seen,
            wrong,
        })
    }

    /// Its new pods come with the companion.
    async fn caller_rolls_out(&self, pair: &Deployed) -> Result<Vec<String>> {
        let began = Instant::now();
        pair.restart(CALLER).await?;
        let (holding, pods) = pair.merged().await?;
        ensure!(holding == pods, "{holding} of {pods} new pods hold the companion");
        Ok(vec![format!(
            "rolled out in {} s; {holding} of {pods} new pods hold the companion",
            began.elapsed().as_secs()
        )])
    }

    /// The companions follow its new version, pod by pod.
    async fn callee_rolls_out(&self, pair: &Deployed, plan: &str) -> Result<Vec<String>> {
        let (rolled, followed) = self.demo.follow(plan, pair).await?;
        Ok(vec![format!(
            "rolled out in {rolled} s; all companions are of the new version {followed} s later"
        )])
    }

    pub(super) fn tell_steady(&self, steady: &Steady) {
        let narrator = &self.demo.narrator;
        narrator.section(&format!("Steady: {} minutes, {} pages", steady.minutes, steady.pages));
        let head = ["part", "seconds", "pages", "failed", "inside"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for part in &steady.parts {
            let inside = part
                .inside
                .map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
            rows.push(vec![
                part.deed.words().to_owned(),
                part.seconds.to_string(),
                part.pages.to_string(),
                part.failed.to_string(),
                inside,
            ]);
        }
        for during in ["the merge", "the split"] {
            let failed = failed_during(&steady.failures, during);
            let none = String::new();
            rows.push(vec![
                during.to_owned(),
                none.clone(),
                none.clone(),
                failed.to_string(),
                none,
            ]);
        }
        narrator.table(&rows);
        for attempt in &steady.attempts {
            narrator.say(format!(
                "{}: {} after {} s; {}",
                attempt.plan, attempt.phase, attempt.seconds, attempt.sentence
            ));
        }
        for part in &steady.parts {
            let wrong = part.wrong.iter().map(|wrong| format!("NOT as it was meant: {wrong}"));
            for line in part.seen.iter().cloned().chain(wrong) {
                narrator.say(format!("{}: {line}", part.deed.words()));
            }
        }
        if !steady.left_behind.is_empty() {
            narrator.say(format!("left behind: {}", steady.left_behind.join(", ")));
        }
        self.tell_failures(&steady.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_shared_evenly_and_calls_outside_are_not_inside() {
        assert_eq!(share(30), Duration::from_secs(300));
        assert_eq!(share(0), Duration::ZERO);
        assert_eq!(inside(1_000, 400), Some(0.9));
        assert_eq!(inside(10, 100), Some(0.0));
        assert_eq!(inside(0, 0), None);
    }

    #[test]
    fn pods_fare_by_what_changed_in_those_that_stayed() {
        let health = |restarts, since: &str| Health {
            restarts,
            ready_since: since.to_owned(),
        };
        let pods = |list: [(&str, Health); 2]| list.map(|(pod, health)| (pod.to_owned(), health)).into_iter().collect();
        let before = pods([("a", health(0, "1")), ("b", health(1, "1"))]);
        let after = pods([("b", health(3, "2")), ("c", health(9, "3"))]);
        assert_eq!(
            fared(&before, &after),
            "of 2 caller pods 1 were replaced, 1 were unready for a time; 2 containers restarted"
        );
    }

    #[test]
    fn it_holds_when_all_was_done_and_nothing_failed() {
        let part = |deed| Part {
            deed,
            seconds: 300,
            pages: 6_000,
            failed: 0,
            inside: Some(1.0),
            seen: Vec::new(),
            wrong: None,
        };
        let mut steady = Steady {
            parts: Deed::ALL.map(part).to_vec(),
            ended: true,
            ..Steady::default()
        };
        assert!(steady.holds());
        steady.parts[2].wrong = Some("it would not die".to_owned());
        assert!(!steady.holds());
        steady.parts.remove(2);
        assert!(!steady.holds());
    }
}
