//! Usage from a real Prometheus, which scrapes what the test exposes as kubelets do.

use super::plane::until;
use anyhow::Result;
use axum::extract::State;
use axum::routing::get;
use huddle::usage::{Blind, Cause, Looked, Metrics, Names, PrometheusArgs, Source, Target};
use huddle_core::id::{NodeName, PodUid};
use huddle_core::units::Bytes;
use huddle_core::usage::Reading;
use huddle_tests::bed::Prometheus;
use kube::Config;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// When the container started, in seconds.
const STARTED: u64 = 1_767_225_000;

/// When each look was, in ms; the Nth look's counters are made of N. Everybody who asks sees the newest one, as long as it is young: cAdvisor
/// looks at its own pace.
#[derive(Clone, Default)]
struct Looks(Arc<Mutex<Vec<u64>>>);

impl Looks {
    /// The number of the newest look, and when it was.
    fn newest(&self) -> (usize, u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = u64::try_from(now.as_millis()).unwrap();
        let mut looks = self.0.lock().unwrap();
        if looks.last().is_none_or(|last| now >= last + 700) {
            looks.push(now);
        }
        (looks.len(), *looks.last().unwrap())
    }
    fn at(&self, look: u64) -> u64 {
        self.0.lock().unwrap()[usize::try_from(look).unwrap() - 1]
    }
}

/// As a kubelet of Kubernetes 1.36 writes it: a running container, what is left of the one before it, its pod's sum, and one without limit.
async fn cadvisor(State(looks): State<Looks>) -> String {
    let (n, at) = looks.newest();
    let n = n as f64;
    let app =
        r#"container="app",id="/kubepods/burstable/pod1/b",image="shop:1",name="b",namespace="shop",pod="cart-1.x""#;
    let old =
        r#"container="app",id="/kubepods/burstable/pod1/a",image="shop:1",name="a",namespace="shop",pod="cart-1.x""#;
    let sum = r#"container="",id="/kubepods/burstable/pod1",image="",name="",namespace="shop",pod="cart-1.x""#;
    let other =
        r#"container="gun",id="/kubepods/besteffort/pod2/c",image="load:1",name="c",namespace="load",pod="gun-1""#;
    let aside =
        r#"container="app",id="/kubepods/besteffort/pod3/d",image="shop:1",name="d",namespace="shop",pod="cart-10x""#;
    format!(
        r#"# HELP container_cpu_cfs_periods_total Number of elapsed enforcement period intervals.
# TYPE container_cpu_cfs_periods_total counter
container_cpu_cfs_periods_total{{{app}}} {periods} {at}
# TYPE container_cpu_cfs_throttled_periods_total counter
container_cpu_cfs_throttled_periods_total{{{app}}} {throttled} {at}
# TYPE container_cpu_cfs_throttled_seconds_total counter
container_cpu_cfs_throttled_seconds_total{{{app}}} {waited} {at}
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{cpu="total",{sum}}} {used} {at}
container_cpu_usage_seconds_total{{cpu="total",{old}}} 9000 {at}
container_cpu_usage_seconds_total{{cpu="total",{app}}} {used} {at}
container_cpu_usage_seconds_total{{cpu="total",{other}}} {used} {at}
container_cpu_usage_seconds_total{{cpu="total",{aside}}} {used} {at}
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{{{app}}} {memory} {at}
container_memory_working_set_bytes{{{other}}} {memory} {at}
# TYPE container_network_receive_bytes_total counter
container_network_receive_bytes_total{{{app}}} 1 {at}
# TYPE container_start_time_seconds gauge
container_start_time_seconds{{{old}}} {before}
container_start_time_seconds{{{app}}} {STARTED}
container_start_time_seconds{{{other}}} {STARTED}
"#,
        periods = 10.0 * n,
        throttled = n,
        waited = n / 10.0,
        used = n / 4.0,
        memory = 4096.0 * n,
        before = STARTED - 100,
    )
}

/// The number of a reading's look, which all its figures are of.
fn look(reading: &Reading, looks: &Looks) -> u64 {
    let counters = reading.counters;
    let n = counters.cpu_us.unwrap() / 250_000;
    assert_eq!(counters.cpu_us, Some(250_000 * n));
    assert_eq!(reading.working_set, Bytes(4096 * n));
    assert_eq!(reading.started.map(|at| at.0), i64::try_from(STARTED * 1000).ok());
    // By how much clocks differ is told in whole seconds.
    let off = reading.at.0.abs_diff(i64::try_from(looks.at(n)).unwrap());
    assert!(off <= 3_000, "{off} ms");
    if reading.container.as_str() == "app" {
        assert_eq!((counters.periods, counters.throttled_periods), (Some(10 * n), Some(n)));
    } else {
        assert_eq!((counters.periods, counters.throttled_periods), (None, None));
    }
    n
}

fn target(node: &str, pods: &[(&str, &str)]) -> Target {
    let name = |(namespace, pod): &(&str, &str)| (((*namespace).to_owned(), (*pod).to_owned()), PodUid::from(*pod));
    Target {
        node: NodeName::from(node),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        pods: pods.iter().map(name).collect::<Names>(),
    }
}

fn source(url: &str) -> Source {
    let args = PrometheusArgs {
        url: Some(url.to_owned()),
        ..PrometheusArgs::default()
    };
    Source::new(Config::new("https://127.0.0.1".parse().unwrap()), false, &args).unwrap()
}

/// Asks about the three nodes by one request.
async fn ask(source: &Source) -> Vec<Looked> {
    let targets = [
        target("node-1", &[("shop", "cart-1.x")]),
        target("node-2", &[("load", "gun-1")]),
        target("node-3", &[("load", "none-1")]),
    ];
    let [batch] = <[_; 1]>::try_from(source.batches(targets)).unwrap();
    source.ask(batch, &Metrics::default()).await
}

/// The looks that two nodes' readings are of, and the throttled time told of the first; the third node is blind, alone.
fn told(looked: &[Looked], looks: &Looks) -> Result<(u64, u64, Option<u64>), String> {
    let [one, two, three] = looked else {
        panic!("{looked:?}")
    };
    let nothing = Err(Blind::Prometheus(Cause::Nothing));
    assert_eq!(three.outcome, nothing);
    match (&one.outcome, &two.outcome) {
        (Ok(one), Ok(two)) => {
            let ([app], [gun]) = (one.as_slice(), two.as_slice()) else {
                panic!("{one:?} {two:?}")
            };
            assert_eq!((app.pod.as_str(), gun.pod.as_str()), ("cart-1.x", "gun-1"));
            Ok((look(app, looks), look(gun, looks), app.counters.throttled_us))
        }
        (one, two) => {
            // Not scraped yet.
            for outcome in [one, two] {
                assert!(outcome.is_ok() || *outcome == nothing, "{outcome:?}");
            }
            Err("not scraped yet".to_owned())
        }
    }
}

/// Prometheus with these settings of its job beside address and path.
async fn prometheus(server: SocketAddr, settings: &'static str) -> Prometheus {
    let job = |name: &str, settings: &str| {
        format!(
            "  - job_name: {name}\n    metrics_path: /metrics/cadvisor\n    static_configs:\n      - targets: [\"{server}\"]\n        \
             labels: {{node: somewhere, prometheus: monitoring/k8s}}\n{settings}"
        )
    };
    let jobs = [job("kubelet", settings), job("another", settings)].concat();
    let text = format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n{jobs}");
    let started = tokio::task::spawn_blocking(move || Prometheus::start(&text));
    started.await.unwrap().unwrap()
}

async fn kubelet() -> (SocketAddr, Looks) {
    let looks = Looks::default();
    let router = axum::Router::new()
        .route("/metrics/cadvisor", get(cadvisor))
        .with_state(looks.clone());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, looks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_of_a_prometheus_are_what_its_kubelets_exposed() {
    let (server, looks) = kubelet().await;
    let mut prometheus = prometheus(server, "").await;
    let source = source(&prometheus.url());
    let after = async |past: u64| {
        until("newer readings", async || {
            let (app, gun, throttled) = told(&ask(&source).await, &looks)?;
            assert_eq!(throttled, Some(app * 100_000));
            if app.min(gun) > past {
                Ok(app.max(gun))
            } else {
                Err(format!("look {app}"))
            }
        })
        .await
    };
    let first = after(0).await;
    let later = after(first + 2).await;

    // Every node, also the one of which it knows nothing.
    tokio::task::block_in_place(|| prometheus.kill()).unwrap();
    let lost: Vec<_> = ask(&source).await.into_iter().map(|looked| looked.outcome).collect();
    assert_eq!(lost, [const { Err(Blind::Prometheus(Cause::Unreachable)) }; 3]);
    tokio::task::block_in_place(|| prometheus.run()).unwrap();
    after(later).await;
}

/// Labels and a series dropped, and not the node's clock but Prometheus'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relabeled_series_still_make_readings() {
    let (server, looks) = kubelet().await;
    let settings = r#"    honor_timestamps: false
    metric_relabel_configs:
      - {source_labels: [__name__], regex: container_cpu_cfs_throttled_seconds_total, action: drop}
      - {source_labels: [id], regex: .*/a, action: drop}
      - {regex: id|name|image, action: labeldrop}
"#;
    let prometheus = prometheus(server, settings).await;
    let source = source(&prometheus.url());
    until("a third look", async || {
        let (app, gun, throttled) = told(&ask(&source).await, &looks)?;
        assert_eq!(throttled, None);
        if app.min(gun) > 2 {
            Ok(())
        } else {
            Err(format!("look {app}"))
        }
    })
    .await;
    // What is not there, or serves no /federate, is told apart.
    let odd = ask(&self::source(&prometheus.url().replace("/prom", "/none"))).await;
    assert_eq!(odd[0].outcome, Err(Blind::Prometheus(Cause::Odd { status: 404 })));
    drop(prometheus);
    until("no connection to be left", async || {
        let lost = ask(&source).await;
        let unreachable = Err(Blind::Prometheus(Cause::Unreachable));
        if lost[0].outcome == unreachable {
            Ok(())
        } else {
            Err(format!("{lost:?}"))
        }
    })
    .await;
}
