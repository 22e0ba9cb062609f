//! What one request costs in the recorder: `cargo bench -p huddle-filter-core`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use huddle_filter_core::{Exchange, Limits, Recorder};

fn exchange(address: &str, step: u64) -> Exchange<'_> {
    let upstream = 900 + step * 7919 % 40_000;
    Exchange {
        upstream_address: address,
        cluster: "outbound|8080||currency.shop.svc.cluster.local",
        status: Some(200),
        attempts: 1,
        duration_us: Some(upstream + 300),
        upstream_us: Some(upstream),
        served_us: Some(upstream / 2),
        backend_us: Some(upstream + 120),
        request_bytes: 512,
        response_bytes: 2_048,
        ..Exchange::default()
    }
}

fn record(c: &mut Criterion) {
    for edges in [1_usize, 64, 512] {
        let addresses: Vec<String> = (0..edges)
            .map(|n| format!("10.244.{}.{}:8080", n / 256, n % 256))
            .collect();
        let mut recorder = Recorder::new(
            Limits {
                memory_bytes: 16 << 20,
                ..Limits::default()
            },
            0,
        );
        let mut step = 0_usize;
        c.bench_function(&format!("record, {edges} edges"), |b| {
            b.iter(|| {
                step = step.wrapping_add(1);
                recorder.record(black_box(&exchange(&addresses[step % edges], step as u64)));
            });
        });
    }
    let addresses: Vec<String> = (0..64).map(|n| format!("10.244.0.{n}:8080")).collect();
    c.bench_function("cut, 64 edges of 50 requests", |b| {
        b.iter_batched(
            || {
                let mut recorder = Recorder::new(
                    Limits {
                        memory_bytes: 16 << 20,
                        ..Limits::default()
                    },
                    0,
                );
                for step in 0..64 * 50 {
                    recorder.record(&exchange(&addresses[step % 64], step as u64));
                }
                recorder
            },
            |mut recorder| black_box(recorder.cut(5_000)),
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
