//! What a layout of the pair is like: its calls by the shop's own clocks, its pages, and what its pods use by the kubelets' counters.

use super::cluster::since_epoch;
use super::{Deployed, Ends};
use crate::demo::narrator::micros;
use crate::kubelet::{Container, Counters, counters};
use crate::shop::witness::{by_edge, histogram, record, served_by_service, sparse};
use crate::shop::{Edge, EntryReport, Window, witness};
use crate::wait::until;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a new container may take to appear in its kubelet's counters.
const COUNTED: Duration = Duration::from_secs(90);
/// Longer than between two looks of cAdvisor: what went on before a window is no longer in its first counter.
pub const SETTLED: Duration = Duration::from_secs(30);
/// Pages of a window's last second have been answered by then.
const ANSWERED: Duration = Duration::from_secs(2);
/// A window with fewer calls says nothing.
const FEWEST: u64 = 500;

/// One window of one layout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Calls that the caller's pods sent.
    pub calls: u64,
    /// Those that failed.
    pub failed_calls: u64,
    /// Client time less the time in which the callee had the call, request by request: (microseconds, calls).
    pub way_us: Vec<(u64, u64)>,
    /// Its median, microseconds.
    pub way_p50_us: u64,
    /// Its 99th percentile.
    pub way_p99_us: u64,
    /// Client time whole: median.
    pub client_p50_us: u64,
    /// Its 99th percentile.
    pub client_p99_us: u64,
    /// Share of the calls that the callee's own pods did not answer.
    pub inside: f64,
    /// Pages that the asker asked for.
    pub pages: u64,
    /// Those that failed.
    pub failed_pages: u64,
    /// From a page's intended start to its end: (microseconds, pages).
    pub pages_us: Vec<(u64, u64)>,
    /// Its median, microseconds.
    pub page_p50_us: u64,
    /// Its 99th percentile.
    pub page_p99_us: u64,
    /// Processor time of all containers of caller and callee, proxies among them, for each page, microseconds.
    pub cpu_us_per_page: f64,
    /// Working sets of the same containers together, bytes, at the window's end.
    pub memory_bytes: f64,
    /// Pods of caller and callee.
    pub pods: usize,
}

fn merged<'a>(lists: impl IntoIterator<Item = &'a Vec<(u64, u64)>>) -> Histogram<u64> {
    let mut all = histogram();
    for (us, count) in lists.into_iter().flatten() {
        record(&mut all, *us, *count);
    }
    all
}

fn at(times: &Histogram<u64>, quantile: f64) -> u64 {
    match times.is_empty() {
        true => 0,
        false => times.value_at_quantile(quantile),
    }
}

impl Figures {
    /// Several windows of one layout as one: histograms and counts are added, shares and uses weighted with pages; `None` of none.
    pub fn pooled(windows: &[Self]) -> Option<Self> {
        let last = windows.last()?;
        let sum = |of: fn(&Self) -> u64| windows.iter().map(of).sum::<u64>();
        let pages = sum(|window| window.pages);
        let weighted = |of: fn(&Self) -> f64| {
            let all: f64 = windows.iter().map(|window| of(window) * window.pages as f64).sum();
            all / pages.max(1) as f64
        };
        let way = merged(windows.iter().map(|window| &window.way_us));
        let page = merged(windows.iter().map(|window| &window.pages_us));
        let longest = |of: fn(&Self) -> u64| windows.iter().map(of).max().unwrap_or(0);
        Some(Self {
            calls: sum(|window| window.calls),
            failed_calls: sum(|window| window.failed_calls),
            way_p50_us: at(&way, 0.5),
            way_p99_us: at(&way, 0.99),
            way_us: sparse(&way),
            // Not needed of several, and no quantile of quantiles is one: the worst is at least true.
            client_p50_us: longest(|window| window.client_p50_us),
            client_p99_us: longest(|window| window.client_p99_us),
            inside: weighted(|window| window.inside),
            pages,
            failed_pages: sum(|window| window.failed_pages),
            page_p50_us: at(&page, 0.5),
            page_p99_us: at(&page, 0.99),
            pages_us: sparse(&page),
            cpu_us_per_page: weighted(|window| window.cpu_us_per_page),
            memory_bytes: weighted(|window| window.memory_bytes),
            pods: last.pods,
        })
    }

    /// Of the way: this one's p50 ÷ the other's; `None` where the other has none.
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        (other.way_p50_us > 0).then(|| self.way_p50_us as f64 / other.way_p50_us as f64)
    }
}

/// A table of layouts side by side: the first is what the others are held against.
pub fn table(layouts: &[(&str, &Figures)]) -> Vec<Vec<String>> {
    let first = layouts.first().map(|(_, figures)| *figures);
    let row = |name: &str, cell: &dyn Fn(&Figures) -> String| -> Vec<String> {
        let cells = layouts.iter().map(|(_, figures)| cell(figures));
        [name.to_owned()].into_iter().chain(cells).collect()
    };
    let ratio = |figures: &Figures| {
        let ratio = first.and_then(|first| figures.ratio_to(first));
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    let head = ["".to_owned()].into_iter();
    let head = head.chain(layouts.iter().map(|(name, _)| (*name).to_owned()));
    vec![
        head.collect(),
        row("call less its compute, p50", &|figures| micros(figures.way_p50_us)),
        row("call less its compute, p99", &|figures| micros(figures.way_p99_us)),
        row("p50 ÷ the first's", &ratio),
        row("page, p50", &|figures| micros(figures.page_p50_us)),
        row("page, p99", &|figures| micros(figures.page_p99_us)),
        row("cpu of all pods for each page", &|figures| {
            micros(figures.cpu_us_per_page.round() as u64)
        }),
        row("memory of all pods", &|figures| {
            format!(
                "{:.0} MiB in {}",
                figures.memory_bytes / f64::from(1 << 20),
                figures.pods
            )
        }),
        row("calls inside", &|figures| format!("{:.1} %", figures.inside * 100.0)),
        row("calls", &|figures| figures.calls.to_string()),
        row("failed pages", &|figures| {
            format!("{} of {}", figures.failed_pages, figures.pages)
        }),
    ]
}

/// The containers of pods whose use counts: those that go on running.
fn running(pods: &[Pod]) -> Vec<Container> {
    let mut names = Vec::new();
    for pod in pods {
        let Some(spec) = &pod.spec else { continue };
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let all = spec.containers.iter().chain(sidecars);
        names.extend(all.map(|container| (pod.name_any(), container.name.clone())));
    }
    names
}

/// Mean use of these containers between two readings, in thousandths of a processor, and their working sets at the second, bytes.
///
/// # Errors
/// Names a container of which a reading does not tell.
fn used(
    containers: &[Container],
    before: &BTreeMap<Container, Counters>,
    after: &BTreeMap<Container, Counters>,
) -> Result<(f64, f64)> {
    let (mut cpu, mut memory) = (0.0, 0.0);
    for container in containers {
        let pair = before.get(container).zip(after.get(container));
        let (was, is) = pair.with_context(|| format!("no kubelet tells of {container:?}"))?;
        let mean = is.cpu_since(was);
        cpu += mean.with_context(|| format!("cAdvisor has not looked at {container:?} again"))?;
        memory += is.memory_bytes();
    }
    Ok((cpu, memory))
}

impl Deployed {
    async fn reports(&self) -> Result<Vec<witness::Report>> {
        let callers = self.callers().await?;
        let reports = callers.iter().map(|port| port.get("/witness"));
        Ok(futures::future::try_join_all(reports).await?)
    }

    /// Calls that the callee's own pods have answered so far.
    pub(crate) async fn answered_outside(&self) -> Result<u64> {
        let callees = self.callees().await?;
        let reports = callees.iter().map(|port| port.get("/witness"));
        let reports: Vec<witness::Report> = futures::future::try_join_all(reports).await?;
        Ok(served_by_service(&reports).values().sum())
    }

    /// All running containers of caller and callee, once their kubelets tell of each.
    async fn counted(&self) -> Result<(Vec<Container>, BTreeMap<Container, Counters>)> {
        let counted = until("the kubelets to tell of each container", COUNTED, async || {
            let look = async {
                let pods = self.both().await?;
                let names = running(&pods);
                let read = counters(&self.client, super::NAMESPACE).await?;
                let missing: Vec<&Container> = names.iter().filter(|name| !read.contains_key(*name)).collect();
                ensure!(missing.is_empty(), "not of {missing:?}");
                anyhow::Ok((names, read))
            };
            look.await.map_err(|error| format!("{error:#}"))
        });
        Ok(counted.await?)
    }

    /// Measures from now on for so long, after the layout has [`SETTLED`].
    ///
    /// # Errors
    /// When pods come or go meanwhile, do not answer, or make too few calls.
    pub async fn figures(&self, span: Duration) -> Result<Figures> {
        let (containers, before) = self.counted().await?;
        let outside = self.answered_outside().await?;
        for caller in self.callers().await? {
            caller.send(Method::POST, "/witness/reset", &()).await?;
        }
        let from = since_epoch();
        tokio::time::sleep(span).await;
        let reports = self.reports().await?;
        let (to, outside) = (since_epoch(), self.answered_outside().await?.saturating_sub(outside));
        let after = counters(&self.client, super::NAMESPACE).await?;
        let same = running(&self.both().await?);
        ensure!(same == containers, "pods came or went: {containers:?}, then {same:?}");
        let (mean, memory) = used(&containers, &before, &after)?;
        tokio::time::sleep(ANSWERED).await;
        let window = Window {
            from: Some(from),
            to: Some(to),
        };
        let (asker, _) = self.asked(window).await?;
        let figures = figures(self.pair.ends, &reports, outside, &asker, to.saturating_sub(from))?;
        Ok(Figures {
            // Thousandths of a second for each second, by pages in a second: thousandths of a second for each page.
            cpu_us_per_page: mean * 1e3 * to.saturating_sub(from) as f64 / asker.requests.max(1) as f64,
            memory_bytes: memory,
            pods: self.both().await?.len(),
            ..figures
        })
    }
}

/// Everything but what pods use.
fn figures(
    ends: Ends,
    reports: &[witness::Report],
    outside: u64,
    asker: &EntryReport,
    seconds: u64,
) -> Result<Figures> {
    let name = |name| crate::shop::ServiceName::new(name).context("a service's name");
    let edge = Edge {
        source: name(ends.caller)?,
        destination: name(ends.callee)?,
    };
    let edges = by_edge(reports);
    let seen = edges.get(&edge).context("the caller's pods made no calls")?;
    ensure!(
        seen.way.len() >= FEWEST && asker.requests > 0,
        "only {} calls and {} pages in {seconds} s",
        seen.way.len(),
        asker.requests
    );
    Ok(Figures {
        calls: seen.requests,
        failed_calls: seen.errors,
        way_us: sparse(&seen.way),
        way_p50_us: at(&seen.way, 0.5),
        way_p99_us: at(&seen.way, 0.99),
        client_p50_us: at(&seen.headers, 0.5),
        client_p99_us: at(&seen.headers, 0.99),
        inside: (1.0 - outside as f64 / seen.requests.max(1) as f64).max(0.0),
        pages: asker.requests,
        failed_pages: asker.failed,
        pages_us: asker.latencies_us.clone(),
        page_p50_us: asker.p50_us,
        page_p99_us: asker.p99_us,
        ..Figures::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn window(way: &[(u64, u64)], pages: u64, cpu: f64) -> Figures {
        let way = merged([&way.to_vec()]);
        Figures {
            calls: way.len(),
            way_p50_us: at(&way, 0.5),
            way_p99_us: at(&way, 0.99),
            way_us: sparse(&way),
            pages,
            inside: 1.0,
            cpu_us_per_page: cpu,
            memory_bytes: f64::from(200 << 20),
            pods: 4,
            ..Figures::default()
        }
    }

    #[test]
    fn pooled_windows_are_one_distribution_and_not_a_mean_of_medians() {
        let few = window(&[(1_000, 10)], 100, 10.0);
        let many = window(&[(2_000, 90)], 300, 20.0);
        let both = Figures::pooled(&[few.clone(), many]).expect("two windows");
        assert_eq!((both.calls, both.pages), (100, 400));
        assert_eq!(merged([&both.way_us]).value_at_quantile(0.05), 1_000);
        // Three significant digits.
        assert!((1_999..=2_001).contains(&both.way_p50_us), "{}", both.way_p50_us);
        assert_eq!(both.cpu_us_per_page, 17.5);
        assert_eq!(
            Figures::pooled(std::slice::from_ref(&few)),
            Some(Figures {
                client_p50_us: 0,
                ..few
            })
        );
        assert_eq!(Figures::pooled(&[]), None);
    }

    #[test]
    fn the_table_holds_the_others_against_the_first() {
        let (same, merged) = (window(&[(2_400, 1)], 50, 8_000.0), window(&[(1_200, 1)], 50, 5_000.0));
        assert_eq!(merged.ratio_to(&same).map(|ratio| (ratio * 100.0).round()), Some(50.0));
        assert_eq!(same.ratio_to(&Figures::default()), None);
        let rows = table(&[("same node", &same), ("proxied", &merged)]);
        assert_eq!(rows[0], ["", "same node", "proxied"]);
        assert_eq!(rows[3], ["p50 ÷ the first's", "1.00", "0.50"]);
        assert_eq!(rows[7], ["memory of all pods", "200 MiB in 4", "200 MiB in 4"]);
        assert!(rows.iter().all(|row| row.len() == 3));
    }

    #[test]
    fn what_is_inside_is_what_the_callees_own_pods_did_not_answer() {
        let report: witness::Report = serde_json::from_value(json!({
            "service": "front", "pod": "local", "served": [],
            "sent": [{"to": {"service": "back", "endpoint": "get"}, "requests": 1_000, "errors": 2,
                "headers_us": [[900, 998]], "way_us": [[800, 998]]}],
        }))
        .expect("a report");
        let asker: EntryReport = serde_json::from_value(
            json!({"name": "page", "requests": 250, "failed": 1, "failed_at": [[7, 1]],
            "causes": {"status 503": 1}, "p50_us": 4_000, "p99_us": 9_000, "latencies_us": [[4_000, 249]]}),
        )
        .expect("a report");
        let figures =
            super::figures(Ends::BROUGHT, &[report.clone(), report.clone()], 200, &asker, 12).expect("figures");
        assert_eq!(
            (figures.calls, figures.failed_calls, figures.failed_pages),
            (2_000, 4, 1)
        );
        assert_eq!((figures.inside, figures.way_p50_us), (0.9, 800));
        let none = EntryReport { requests: 0, ..asker };
        assert!(super::figures(Ends::BROUGHT, &[report], 0, &none, 12).is_err());
    }

    #[test]
    fn sidecars_count_and_what_only_prepares_does_not() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "front-1"},
            "spec": {"containers": [{"name": "front"}, {"name": "huddle-back-back"}],
                "initContainers": [{"name": "istio-init"}, {"name": "istio-proxy", "restartPolicy": "Always"}]},
        }))
        .expect("a pod");
        let names: Vec<String> = running(&[pod]).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["front", "huddle-back-back", "istio-proxy"]);
    }
}
