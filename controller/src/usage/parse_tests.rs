use super::*;
use proptest::prelude::*;

/// As a kubelet of Kubernetes 1.36 tells it.
const ANSWER: &str = r#"# HELP container_cpu_cfs_periods_total Number of elapsed enforcement period intervals.
# TYPE container_cpu_cfs_periods_total counter
container_cpu_cfs_periods_total{container="app",id="/kubepods/burstable/pod1/a",image="shop:1",name="a",namespace="shop",pod="cart-1"} 1200 1767225600123
container_cpu_cfs_throttled_periods_total{container="app",id="/kubepods/burstable/pod1/a",image="shop:1",name="a",namespace="shop",pod="cart-1"} 420 1767225600123
container_cpu_usage_seconds_total{container="",cpu="total",id="/",image="",name="",namespace="",pod=""} 9.5 1767225600000
container_cpu_usage_seconds_total{container="",cpu="total",id="/kubepods/burstable/pod1",image="",name="",namespace="shop",pod="cart-1"} 20.5 1767225600000
container_cpu_usage_seconds_total{container="app",cpu="total",id="/kubepods/burstable/pod1/a",image="shop:1",name="a",namespace="shop",pod="cart-1"} 12.345678 1767225600123
container_cpu_usage_seconds_total{container="app",cpu="cpu01",id="/kubepods/burstable/pod1/a",image="shop:1",name="a",namespace="shop",pod="cart-1"} 3 1767225600123
container_memory_working_set_bytes{container="app",id="/kubepods/burstable/pod1/a",image="shop:1",name="a",namespace="shop",pod="cart-1"} 6.5536e+06 1767225600123
container_start_time_seconds{container="app",id="/kubepods/burstable/pod1/a",image="shop:1",name="a",namespace="shop",pod="cart-1"} 1.767225e+09
container_network_receive_bytes_total{id="/kubepods",interface="eth0",namespace="shop",pod="cart-1"} 5 1767225600123
machine_cpu_cores 2
"#;

#[test]
fn an_answer_of_a_kubelet() {
    let parsed = parse(ANSWER);
    assert_eq!(parsed.unreadable, 0);
    let [row] = parsed.rows.as_slice() else {
        panic!("{parsed:?}")
    };
    assert_eq!(
        (row.namespace.as_str(), row.pod.as_str(), row.container.as_str()),
        ("shop", "cart-1", "app")
    );
    assert_eq!(row.at, Some(1_767_225_600_123));
    assert_eq!(row.value(Series::Cpu), Some(12.345678));
    assert_eq!(
        (row.value(Series::Periods), row.value(Series::ThrottledPeriods)),
        (Some(1200.0), Some(420.0))
    );
    assert_eq!(row.value(Series::WorkingSet), Some(6_553_600.0));
    assert_eq!(row.value(Series::CpuWaiting), None);
}

#[test]
fn bad_lines_cost_only_themselves() {
    let broken = ANSWER.replace("} 1200 1767225600123", "} many 1767225600123");
    let parsed = parse(&broken);
    assert_eq!((parsed.rows.len(), parsed.unreadable), (1, 1));
    assert_eq!(parsed.rows[0].value(Series::Periods), None);
    assert_eq!(parsed.rows[0].value(Series::ThrottledPeriods), Some(420.0));
    for line in [
        "container_oom_events_total",
        "container_oom_events_total{",
        "container_oom_events_total{pod=\"a} 1",
        "container_oom_events_total{pod=\"a\" 1",
        "container_oom_events_total{pod=\"a\"} NaN",
        "container_oom_events_total{pod=\"a\"} -1",
        "container_oom_events_total{pod=\"a\"} 1 2 3",
        "container_oom_events_total{pod=\"a\\",
    ] {
        assert_eq!(parse(line).rows, [], "{line}");
    }
}

#[test]
fn of_two_containers_of_one_name_the_later_one_counts() {
    let of = |id: &str, started: u32, cpu: u32| {
        let labels = format!(r#"{{container="app",id="{id}",namespace="shop",pod="cart-1"}}"#);
        format!("container_start_time_seconds{labels} {started}\ncontainer_cpu_usage_seconds_total{labels} {cpu} 5\n")
    };
    for text in [of("a", 10, 100) + &of("b", 20, 1), of("b", 20, 1) + &of("a", 10, 100)] {
        let parsed = parse(&text);
        assert_eq!(parsed.rows.len(), 1);
        assert_eq!(parsed.rows[0].value(Series::Cpu), Some(1.0));
    }
}

proptest! {
    #[test]
    fn whatever_stands_there_is_borne(text in r#"(container_(cpu_usage_seconds_total|oom_events_total)(\{|\}|"|\\|=|,|pod|container|é| |[0-9.]|\n){0,30}|\PC{0,20}|\n){0,8}"#) {
        let parsed = parse(&text);
        prop_assert!(parsed.rows.len() as u64 + parsed.unreadable <= text.lines().count() as u64);
    }

    #[test]
    fn what_is_written_is_read(pod in r#"[a-z"\\
]{1,12}"#, value in 0_u32..1_000_000, at in any::<Option<u32>>()) {
        let escaped = pod.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let at_text = at.map(|at| format!(" {at}")).unwrap_or_default();
        let text = format!("container_oom_events_total{{container=\"app\",namespace=\"shop\",pod=\"{escaped}\"}} {value}{at_text}\n");
        let parsed = parse(&text);
        prop_assert_eq!(parsed.rows.len(), 1);
        prop_assert_eq!(&parsed.rows[0].pod, &pod);
        prop_assert_eq!(parsed.rows[0].value(Series::Kills), Some(f64::from(value)));
        prop_assert_eq!(parsed.rows[0].at, at.map(i64::from));
    }
}

/// As Prometheus federates what kube-prometheus scrapes: other labels beside, no `id` or `name`, metadata, histograms.
#[test]
fn an_answer_of_prometheus() {
    let text = r#"# TYPE container_cpu_usage_seconds_total untyped
container_cpu_usage_seconds_total{container="app",cpu="total",endpoint="https-metrics",instance="10.0.0.1:10250",job="kubelet",metrics_path="/metrics/cadvisor",namespace="shop",node="node-1",pod="cart-1",prometheus="monitoring/k8s"} 12.5 1767225600123
container_memory_working_set_bytes{container="app",endpoint="https-metrics",instance="10.0.0.1:10250",job="kubelet",metrics_path="/metrics/cadvisor",namespace="shop",node="node-1",pod="cart-1",prometheus="monitoring/k8s"} 4096 1767225600123
container_start_time_seconds{container="app",endpoint="https-metrics",instance="10.0.0.1:10250",job="kubelet",metrics_path="/metrics/cadvisor",namespace="shop",node="node-1",pod="cart-1",prometheus="monitoring/k8s"} 1.767225e+09 1767225611000
# TYPE request_seconds histogram
request_seconds_bucket{le="+Inf",pod="cart-1"} 5 1767225600123
request_seconds_sum{pod="cart-1"} NaN 1767225600123
"#;
    let parsed = parse(text);
    assert_eq!((parsed.rows.len(), parsed.unreadable), (1, 0));
    let row = &parsed.rows[0];
    assert_eq!(
        (row.value(Series::Cpu), row.value(Series::WorkingSet)),
        (Some(12.5), Some(4096.0))
    );
    assert_eq!(row.at, Some(1_767_225_600_123), "not when Prometheus read its start");
    assert!(!row.has_no_figures());
    let started = text.lines().nth(3).unwrap();
    assert!(parse(started).rows[0].has_no_figures());
}

#[test]
fn two_jobs_that_scrape_one_container_are_not_mixed() {
    let of = |job: &str, at: u32, cpu: u32| {
        let labels = format!(r#"{{container="app",job="{job}",namespace="shop",pod="cart-1"}}"#);
        format!(
            "container_cpu_usage_seconds_total{labels} {cpu} {at}\ncontainer_cpu_cfs_periods_total{labels} {cpu} {at}\n"
        )
    };
    for text in [
        of("a", 10, 100) + &of("b", 20, 110),
        of("b", 20, 110) + &of("a", 10, 100),
    ] {
        let parsed = parse(&text);
        assert_eq!(parsed.rows.len(), 1);
        let row = &parsed.rows[0];
        assert_eq!(
            (row.value(Series::Cpu), row.value(Series::Periods), row.at),
            (Some(110.0), Some(110.0), Some(20))
        );
    }
}
