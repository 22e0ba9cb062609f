//! Who asks is looked at all the time: what failed, in which second, during what, and what the proxies logged of it while they are still
//! there to be asked.

use super::Deployed;
use super::cluster::since_epoch;
use crate::demo::failures;
use crate::shop::{EntryReport, Window};
use crate::wait::until;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// So much longer than a page may take: then all have been answered, or have failed.
const ANSWERED: Duration = Duration::from_secs(1);
/// How long whoever asks may not answer.
const SILENT: Duration = Duration::from_secs(60);
/// How far back proxies are asked for what they logged, once something failed.
const BACK: Duration = Duration::from_secs(15);

/// What failed between two looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What went on at that look.
    pub during: String,
    /// Whose: `page`, or the name of another caller's entry.
    pub entry: String,
    /// Requests that failed, by the second (since the epoch) in which they should have started.
    pub seconds: Vec<(u64, u64)>,
    /// Why, by who asked, with how many.
    pub causes: BTreeMap<String, u64>,
    /// Pod and access log line, of all proxies that logged one.
    pub logged: Vec<String>,
}

impl Failure {
    /// How many failed.
    pub fn requests(&self) -> u64 {
        self.seconds.iter().map(|(_, failed)| failed).sum()
    }

    /// It, for people.
    pub fn lines(&self) -> Vec<String> {
        let seconds: Vec<String> = self
            .seconds
            .iter()
            .map(|(second, failed)| format!("{failed} at {second}"))
            .collect();
        let causes: Vec<String> = self
            .causes
            .iter()
            .map(|(cause, times)| format!("{times} × {cause}"))
            .collect();
        let head = format!(
            "{}: {} of {} failed ({}): {}",
            self.during,
            self.requests(),
            self.entry,
            seconds.join(", "),
            causes.join(", ")
        );
        [head]
            .into_iter()
            .chain(self.logged.iter().map(|line| format!("  {line}")))
            .collect()
    }
}

/// How many failed while this went on, all entries together.
pub(crate) fn failed_during(failures: &[Failure], during: &str) -> u64 {
    let own = failures.iter().filter(|failure| failure.during == during);
    own.map(Failure::requests).sum()
}

/// What is known of one entry already.
#[derive(Clone, Debug, Default)]
struct Known {
    seconds: BTreeMap<u64, u64>,
    causes: BTreeMap<String, u64>,
}

impl Known {
    /// What a report has beyond it, which is known from now on.
    fn news(&mut self, report: &EntryReport, during: &str) -> Option<Failure> {
        let beyond = |old: u64, new: u64| (new > old).then(|| new - old);
        let mut seconds = Vec::new();
        for (second, failed) in &report.failed_at {
            let old = self.seconds.insert(*second, *failed).unwrap_or(0);
            seconds.extend(beyond(old, *failed).map(|more| (*second, more)));
        }
        let mut causes = BTreeMap::new();
        for (cause, times) in &report.causes {
            let old = self.causes.insert(cause.clone(), *times).unwrap_or(0);
            causes.extend(beyond(old, *times).map(|more| (cause.clone(), more)));
        }
        (!seconds.is_empty()).then(|| Failure {
            during: during.to_owned(),
            entry: report.name.to_string(),
            seconds,
            causes,
            logged: Vec::new(),
        })
    }
}

/// A watch that is kept until it is ended.
pub struct Watch {
    pair: Deployed,
    from: u64,
    during: Arc<Mutex<String>>,
    found: Arc<Mutex<Found>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Found {
    known: BTreeMap<usize, Known>,
    failures: Vec<Failure>,
}

impl Watch {
    /// Begins with this moment.
    pub fn begin(pair: &Deployed, during: &str) -> Self {
        let (during, found) = (Arc::new(Mutex::new(during.to_owned())), Arc::default());
        let (stop, stopped) = watch::channel(false);
        let from = since_epoch();
        let (of, told, kept) = (pair.clone(), Arc::clone(&during), Arc::clone(&found));
        let task = tokio::spawn(keep(of, from, told, kept, stopped));
        Self {
            pair: pair.clone(),
            from,
            during,
            found,
            stop,
            task,
        }
    }

    /// From now on this goes on. What failed before is looked for first, so that it is not taken for a part of it.
    ///
    /// # Errors
    /// When who asks does not answer.
    pub async fn during(&self, what: &str) -> Result<()> {
        self.look().await?;
        what.clone_into(&mut self.during.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// What has failed so far.
    pub fn so_far(&self) -> Vec<Failure> {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failures
            .clone()
    }

    /// Ends it, and gives what failed from its beginning on, and how many pages were asked for.
    ///
    /// # Errors
    /// When who asks does not answer.
    pub async fn end(self) -> Result<(Vec<Failure>, u64)> {
        // What is under way when the watch ends is still answered, or fails.
        let page = Duration::from_secs(self.pair.pair.timeout_seconds.into());
        tokio::time::sleep(page + ANSWERED).await;
        let _ended = self.stop.send(true);
        let Self {
            pair,
            from,
            during,
            found,
            task,
            ..
        } = self;
        task.await.context("the watch")?;
        let pages = patient(&pair, from, &during, &found).await?;
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((found.failures.clone(), pages))
    }

    async fn look(&self) -> Result<u64> {
        patient(&self.pair, self.from, &self.during, &self.found).await
    }
}

/// The API server may be busy for a moment.
async fn patient(pair: &Deployed, from: u64, during: &Mutex<String>, found: &Mutex<Found>) -> Result<u64> {
    let looked = until("a look at who asks", SILENT, async || {
        let looked = look(pair, from, during, found).await;
        looked.map_err(|error| format!("{error:#}"))
    });
    Ok(looked.await?)
}

/// Ends when it is told to, or nobody can tell it any more; never in the middle of a look.
async fn keep(
    pair: Deployed,
    from: u64,
    during: Arc<Mutex<String>>,
    found: Arc<Mutex<Found>>,
    mut stopped: watch::Receiver<bool>,
) {
    while tokio::time::timeout(PAUSE, stopped.changed()).await.is_err() {
        // The API server may be busy: the next look sees what this one would have.
        if let Err(error) = look(&pair, from, &during, &found).await {
            tracing::info!(%error, "a look at who asks");
        }
    }
}

/// Keeps what is new, and gives the pages asked for so far.
async fn look(pair: &Deployed, from: u64, during: &Mutex<String>, found: &Mutex<Found>) -> Result<u64> {
    let window = Window {
        from: Some(from),
        to: None,
    };
    let during = during.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (asker, others) = pair.asked(window).await?;
    let mut news: Vec<Failure> = {
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = [&asker].into_iter().chain(&others).enumerate();
        let known =
            |(index, report): (usize, &EntryReport)| found.known.entry(index).or_default().news(report, &during);
        reports.filter_map(known).collect()
    };
    if let Some(first) = news.first_mut() {
        let logged = failures::logged(&pair.client, BACK).await;
        first.logged = logged.unwrap_or_else(|error| vec![format!("the proxies' logs cannot be read: {error:#}")]);
        first.lines().iter().for_each(|line| println!("   failed {line}"));
        found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failures
            .extend(news);
    }
    Ok(asker.requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failed_at: &[(u64, u64)], causes: &[(&str, u64)]) -> EntryReport {
        let json = serde_json::json!({"name": "page", "requests": 100, "failed": 0, "failed_at": failed_at,
            "causes": causes.iter().copied().collect::<BTreeMap<_, _>>(), "p50_us": 0, "p99_us": 0, "latencies_us": []});
        serde_json::from_value(json).expect("a report")
    }

    #[test]
    fn each_failure_is_told_once_and_with_what_went_on() {
        let mut known = Known::default();
        assert_eq!(known.news(&report(&[], &[]), "steady"), None);
        let first = known
            .news(&report(&[(10, 2)], &[("status 503", 2)]), "steady")
            .expect("news");
        assert_eq!((first.seconds.clone(), first.requests()), (vec![(10, 2)], 2));
        let both = report(&[(10, 3), (11, 1)], &[("status 503", 3), ("no answer", 1)]);
        let second = known.news(&both, "the merge").expect("news");
        assert_eq!(second.seconds, [(10, 1), (11, 1)]);
        assert_eq!(
            second.causes,
            BTreeMap::from([("status 503".to_owned(), 1), ("no answer".to_owned(), 1)])
        );
        assert_eq!(known.news(&both, "the merge"), None);
        let all = [first, second];
        assert_eq!(
            (failed_during(&all, "steady"), failed_during(&all, "the merge")),
            (2, 2)
        );
        assert_eq!(all[0].lines()[0], "steady: 2 of page failed (2 at 10): 2 × status 503");
    }
}
