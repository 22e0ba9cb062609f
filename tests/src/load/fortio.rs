//! fortio's runs: what to ask for, and its JSON turned into counts and percentiles.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use serde::Deserialize;
use thiserror::Error;

use crate::{
    pods::{PodError, PodPort},
    wait::{Late, until},
};

/// A load to run until it is stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What to request.
    pub url: String,
    /// Requests per second.
    pub rate: f64,
    /// Time after which a request fails.
    pub timeout: Duration,
}

impl Run {
    /// Enough connections that each has at least a second per request.
    fn connections(&self) -> u32 {
        (self.rate.ceil() as u32).max(1)
    }

    /// The request that starts it: fortio's ordinary Go client (its fast one reports spikes that are none), uniform
    /// spacing, no end, resolution 0.1 ms.
    fn start_path(&self) -> String {
        format!(
            "/fortio/rest/run?url={}&qps={}&c={}&t=on&timeout={}ms&r=0.0001&p=50,90,95,99,99.9&uniform=on&stdclient=on\
             &async=on&save=on",
            self.url,
            self.rate,
            self.connections(),
            self.timeout.as_millis(),
        )
    }
}

/// A started run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RunId(i64);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    #[serde(rename = "RunID")]
    run_id: RunId,
    #[serde(default, rename = "ResultID")]
    result_id: String,
}

/// Why a run failed.
#[derive(Debug, Error)]
pub enum FortioError {
    /// The pod did not answer.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// The result did not appear.
    #[error(transparent)]
    Late(#[from] Late),
    /// The result is not what fortio writes.
    #[error("fortio's result: {0}")]
    Result(#[from] serde_json::Error),
}

/// A fortio server in a pod.
#[derive(Clone)]
pub struct Fortio {
    port: PodPort,
}

impl Fortio {
    /// The server behind a pod's port.
    pub fn new(port: PodPort) -> Self {
        Self { port }
    }

    /// Starts a run that lasts until it is stopped.
    ///
    /// # Errors
    /// If the pod does not answer.
    pub async fn start(&self, run: &Run) -> Result<RunId, FortioError> {
        let text = self
            .port
            .send(Method::POST, &run.start_path(), &serde_json::json!({}))
            .await?;
        Ok(serde_json::from_str::<Reply>(&text)?.run_id)
    }

    /// Stops a run, waits for its last answers and gives its result.
    ///
    /// # Errors
    /// [`FortioError::Late`] if the result is not there half a minute later.
    pub async fn stop(&self, RunId(id): RunId) -> Result<Outcome, FortioError> {
        let stop = format!("/fortio/rest/stop?runid={id}&wait=true");
        let reply: Reply = serde_json::from_str(&self.port.send(Method::POST, &stop, &serde_json::json!({})).await?)?;
        let path = format!("/fortio/data/{}.json", reply.result_id);
        let text = until(format!("fortio's result {path}"), Duration::from_secs(30), async || {
            self.port.send(Method::GET, &path, &()).await
        })
        .await?;
        Ok(Outcome::parse(&text)?)
    }
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Requests answered or failed.
    pub requests: u64,
    /// Those not answered with 200.
    pub failed: u64,
    /// Requests per second that were really sent.
    pub rps: f64,
    /// Answers by HTTP status; `-1` stands for none.
    pub statuses: BTreeMap<i32, u64>,
    /// fortio's buckets: (upper bound in microseconds, count), ascending. Their width is a tenth to a fifth of
    /// their value.
    pub latencies_us: Vec<(u64, u64)>,
    /// Longest latency, microseconds.
    pub max_us: u64,
    /// Percentiles as fortio interpolates them: (percent, microseconds).
    pub percentiles_us: Vec<(f64, u64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultFile {
    #[serde(rename = "ActualQPS")]
    actual_qps: f64,
    duration_histogram: HistogramFile,
    ret_codes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HistogramFile {
    count: u64,
    max: f64,
    #[serde(default)]
    data: Option<Vec<BucketFile>>,
    #[serde(default)]
    percentiles: Option<Vec<PercentileFile>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BucketFile {
    end: f64,
    count: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PercentileFile {
    percentile: f64,
    value: f64,
}

/// Seconds to microseconds.
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round().max(0.0) as u64
}

impl Outcome {
    /// Reads fortio's JSON.
    ///
    /// # Errors
    /// If a field is missing or of another type; serde names it.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let file: ResultFile = serde_json::from_str(text)?;
        let statuses: BTreeMap<i32, u64> = file
            .ret_codes
            .iter()
            .map(|(code, count)| (code.parse().unwrap_or(-1), *count))
            .collect();
        let histogram = file.duration_histogram;
        let buckets = histogram.data.unwrap_or_default();
        let percentiles = histogram.percentiles.unwrap_or_default();
        Ok(Self {
            requests: histogram.count,
            failed: statuses
                .iter()
                .filter(|(code, _)| **code != 200)
                .map(|(_, count)| count)
                .sum(),
            rps: file.actual_qps,
            statuses,
            latencies_us: buckets
                .iter()
                .map(|bucket| (micros(bucket.end), bucket.count))
                .collect(),
            max_us: micros(histogram.max),
            percentiles_us: percentiles.iter().map(|of| (of.percentile, micros(of.value))).collect(),
        })
    }

    /// A percentile fortio was asked for (50, 90, 95, 99, 99.9).
    pub fn percentile_us(&self, percent: f64) -> Option<u64> {
        self.percentiles_us
            .iter()
            .find(|(at, _)| (at - percent).abs() < 1e-9)
            .map(|(_, us)| *us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_gives_counts_and_percentiles_in_microseconds() {
        let text = r#"{"RunType": "HTTP", "ActualQPS": 19.98, "RetCodes": {"200": 998, "503": 1, "-1": 1},
            "DurationHistogram": {"Count": 1000, "Min": 0.01, "Max": 0.0912, "Data": [
                {"Start": 0.01, "End": 0.012, "Percent": 60, "Count": 600},
                {"Start": 0.012, "End": 0.0912, "Percent": 100, "Count": 400}],
            "Percentiles": [{"Percentile": 50, "Value": 0.0115}, {"Percentile": 99, "Value": 0.08}]}}"#;
        let outcome = Outcome::parse(text).expect("fortio's shape");
        assert_eq!((outcome.requests, outcome.failed), (1000, 2));
        assert_eq!(outcome.percentile_us(50.0), Some(11_500));
        assert_eq!(outcome.percentile_us(75.0), None);
        assert_eq!(outcome.latencies_us, [(12_000, 600), (91_200, 400)]);
    }

    #[test]
    fn every_connection_has_a_second_per_request() {
        let run = Run {
            url: "http://frontend.shop:8080/home".to_owned(),
            rate: 19.5,
            timeout: Duration::from_secs(5),
        };
        assert_eq!(run.connections(), 20);
        assert!(run.start_path().contains("&timeout=5000ms&"));
    }
}
