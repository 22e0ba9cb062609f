//! The witness: what a caller's own clock and a callee's own counter saw, independent of mesh and Huddle.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::graph::{Edge, EndpointName, ServiceName, Target};

/// Longest time a histogram tells apart: 60 s in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// An empty histogram, 1 µs to 60 s with 3 significant digits: ten times finer than what it is held against.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constants that HdrHistogram accepts")
}

/// Adds `count` observations of `us` microseconds; what is out of range counts as the nearest bound.
pub fn record(histogram: &mut Histogram<u64>, us: u64, count: u64) {
    histogram.saturating_record_n(us.clamp(1, LONGEST_US), count);
}

/// A histogram as pairs of (microseconds, count), ascending; merging such lists loses nothing.
pub fn sparse(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let pair =
        |value: hdrhistogram::iterators::IterationValue<u64>| (value.value_iterated_to(), value.count_at_value());
    histogram.iter_recorded().map(pair).collect()
}

#[derive(Debug)]
struct Sent {
    requests: u64,
    errors: u64,
    headers: Histogram<u64>,
    way: Histogram<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Served {
    requests: u64,
    errors: u64,
}

#[derive(Debug, Default)]
struct Seen {
    sent: BTreeMap<Target, Sent>,
    served: BTreeMap<EndpointName, Served>,
}

/// Counters and clocks of one pod.
#[derive(Debug, Default)]
pub struct Witness {
    seen: Mutex<Seen>,
}

impl Witness {
    /// A panicking holder leaves plain counters behind, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, to: &Target, change: impl FnOnce(&mut Sent)) {
        let mut seen = self.lock();
        let new = || Sent {
            requests: 0,
            errors: 0,
            headers: histogram(),
            way: histogram(),
        };
        change(seen.sent.entry(to.clone()).or_insert_with(new));
    }

    /// A request was handed to the client.
    pub fn request(&self, to: &Target) {
        self.sent(to, |sent| sent.requests += 1);
    }

    /// The headers of a response that is no refusal arrived `after` the request was sent. `took`: what of that the callee had the request,
    /// by its own clock, where it says so; the rest is the way there and back.
    pub fn headers(&self, to: &Target, after: Duration, took: Option<Duration>) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.sent(to, |sent| {
            record(&mut sent.headers, us(after), 1);
            if let Some(took) = took {
                record(&mut sent.way, us(after.saturating_sub(took)), 1);
            }
        });
    }

    /// The request failed: no answer, a refusal, or a body that ended badly.
    pub fn error(&self, to: &Target) {
        self.sent(to, |sent| sent.errors += 1);
    }

    /// This pod answered a request.
    pub fn served(&self, endpoint: &EndpointName, failed: bool) {
        let mut seen = self.lock();
        let served = seen.served.entry(endpoint.clone()).or_default();
        served.requests += 1;
        served.errors += u64::from(failed);
    }

    /// Forgets everything seen so far.
    pub fn reset(&self) {
        *self.lock() = Seen::default();
    }

    /// What was seen since the last reset.
    pub fn report(&self, service: &ServiceName, pod: &str) -> Report {
        let seen = self.lock();
        let sent = |(to, sent): (&Target, &Sent)| SentReport {
            to: to.clone(),
            requests: sent.requests,
            errors: sent.errors,
            headers_us: sparse(&sent.headers),
            way_us: sparse(&sent.way),
        };
        let served = |(endpoint, served): (&EndpointName, &Served)| ServedReport {
            endpoint: endpoint.clone(),
            requests: served.requests,
            errors: served.errors,
        };
        Report {
            service: service.clone(),
            pod: pod.to_owned(),
            sent: seen.sent.iter().map(sent).collect(),
            served: seen.served.iter().map(served).collect(),
        }
    }
}

/// What one pod saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The pod's service.
    pub service: ServiceName,
    /// The pod's name.
    pub pod: String,
    /// Its calls, by where they went.
    pub sent: Vec<SentReport>,
    /// The requests it answered.
    pub served: Vec<ServedReport>,
}

/// A pod's calls to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentReport {
    /// The endpoint called.
    pub to: Target,
    /// Requests handed to the client.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Time from sending to the headers of a response that is no refusal: (microseconds, count).
    pub headers_us: Vec<(u64, u64)>,
    /// The same less the time in which the callee had the request, request by request: (microseconds, count).
    pub way_us: Vec<(u64, u64)>,
}

/// The requests a pod answered on one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedReport {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Requests answered.
    pub requests: u64,
    /// Those answered with an error.
    pub errors: u64,
}

/// What all pods together saw on one edge.
#[derive(Clone, Debug)]
pub struct EdgeSeen {
    /// Requests sent.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Time from sending to the response's headers, microseconds.
    pub headers: Histogram<u64>,
    /// The same less the time in which the callee had the request.
    pub way: Histogram<u64>,
}

/// Sums the pods' reports by edge.
pub fn by_edge(reports: &[Report]) -> BTreeMap<Edge, EdgeSeen> {
    let mut edges = BTreeMap::new();
    for report in reports {
        for sent in &report.sent {
            let edge = Edge {
                source: report.service.clone(),
                destination: sent.to.service.clone(),
            };
            let seen = edges.entry(edge).or_insert_with(|| EdgeSeen {
                requests: 0,
                errors: 0,
                headers: histogram(),
                way: histogram(),
            });
            seen.requests += sent.requests;
            seen.errors += sent.errors;
            sent.headers_us
                .iter()
                .for_each(|(us, count)| record(&mut seen.headers, *us, *count));
            sent.way_us
                .iter()
                .for_each(|(us, count)| record(&mut seen.way, *us, *count));
        }
    }
    edges
}

/// Requests each service answered, summed over its pods.
pub fn served_by_service(reports: &[Report]) -> BTreeMap<ServiceName, u64> {
    let mut served = BTreeMap::new();
    for report in reports {
        *served.entry(report.service.clone()).or_default() += report.served.iter().map(|of| of.requests).sum::<u64>();
    }
    served
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target() -> Target {
        Target::parse("currency/convert").expect("a target")
    }

    fn frontend() -> ServiceName {
        ServiceName::new("frontend").expect("a name")
    }

    #[test]
    fn a_reset_forgets_and_an_error_is_a_request_without_headers() {
        let witness = Witness::default();
        witness.request(&target());
        witness.error(&target());
        let report = witness.report(&frontend(), "frontend-1");
        assert_eq!((report.sent[0].requests, report.sent[0].errors), (1, 1));
        assert!(report.sent[0].headers_us.is_empty());
        witness.reset();
        assert!(witness.report(&frontend(), "frontend-1").sent.is_empty());
    }

    #[test]
    fn the_way_is_what_the_callee_did_not_take_and_only_where_it_says_so() {
        let witness = Witness::default();
        let ms = Duration::from_millis;
        witness.headers(&target(), ms(5), Some(ms(3)));
        witness.headers(&target(), ms(4), None);
        // A callee's clock may run ahead of its answer's arrival by nothing but rounding.
        witness.headers(&target(), ms(1), Some(ms(2)));
        let edges = by_edge(&[witness.report(&frontend(), "frontend-1")]);
        let seen = edges.values().next().expect("an edge");
        assert_eq!((seen.headers.len(), seen.way.len()), (3, 2));
        assert_eq!((seen.way.min(), seen.way.max()), (1, 2_000));
    }

    proptest! {
        /// Splitting the same observations over pods and going through JSON changes no count and no quantile.
        #[test]
        fn pods_sum_to_what_one_pod_would_have_seen(times in prop::collection::vec(1_u64..100_000_000, 1..200)) {
            let pods = [Witness::default(), Witness::default(), Witness::default()];
            let one = Witness::default();
            for (index, us) in times.iter().enumerate() {
                for witness in [&pods[index % 3], &one] {
                    witness.request(&target());
                    witness.headers(&target(), Duration::from_micros(*us), None);
                }
            }
            let through_json = |witness: &Witness| -> Report {
                let text = serde_json::to_string(&witness.report(&frontend(), "pod")).expect("JSON");
                serde_json::from_str(&text).expect("the same report")
            };
            let split = by_edge(&pods.iter().map(through_json).collect::<Vec<_>>());
            let whole = by_edge(&[through_json(&one)]);
            let (split, whole) = (split.values().next().expect("an edge"), whole.values().next().expect("an edge"));
            prop_assert_eq!(split.requests, times.len() as u64);
            prop_assert_eq!(&split.headers, &whole.headers);
        }
    }
}
