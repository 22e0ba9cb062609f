//! Laws of usage, over generated readings.

use huddle_core::time::{Slots, Span, Timestamp, Window};
use huddle_core::units::{Bytes, Millicores, Ratio};
use huddle_core::usage::{Counters, Figures, Pace, Reading, Usage, UsageConfig, UsageStore};
use proptest::prelude::*;

fn config() -> UsageConfig {
    UsageConfig::beside(Span::seconds(10), Span::seconds(30 * 60), Pace::KUBELETS)
}

fn reading(container: u8, at: i64, cpu_us: u64, periods: Option<u64>) -> Reading {
    Reading {
        pod: "uid-1".into(),
        container: format!("c{container}").as_str().into(),
        at: Timestamp(at),
        started: None,
        counters: Counters {
            cpu_us: Some(cpu_us),
            periods,
            ..Counters::default()
        },
        working_set: Bytes(cpu_us),
    }
}

fn store_of(readings: &[Reading]) -> UsageStore {
    let mut store = UsageStore::new(config());
    readings.iter().cloned().for_each(|reading| store.absorb(reading));
    store
}

fn window(from: i64, to: i64) -> Window {
    Window {
        from: Timestamp(from),
        to: Timestamp(to),
    }
}

/// A container's figures over a window; zero where there are none.
fn figures(usage: &Usage, container: &str) -> Figures {
    let containers = usage.pods.get(&"uid-1".into());
    containers
        .and_then(|containers| containers.get(&container.into()))
        .map(huddle_core::usage::ContainerUse::total)
        .unwrap_or_default()
}

/// One container's readings: pauses in ms, and what was used in between; a pause of more than a minute is a gap.
fn steps() -> impl Strategy<Value = Vec<(i64, u64)>> {
    prop::collection::vec((1_i64..60_000, 0_u64..20_000_000), 1..25)
}

fn readings(container: u8, start: i64, steps: &[(i64, u64)]) -> Vec<Reading> {
    let (mut at, mut used) = (start, 5_000);
    let mut all = vec![reading(container, at, used, None)];
    for (pause, more) in steps {
        (at, used) = (at + pause, used + more);
        all.push(reading(container, at, used, None));
    }
    all
}

const END: i64 = 2_000_000;

proptest! {
    #[test]
    fn what_slots_hold_is_what_was_counted(start in 0_i64..50_000, steps in steps()) {
        let readings = readings(0, start, &steps);
        let total = figures(&store_of(&readings).window(window(0, END)), "c0");
        let (used, passed): (u64, i64) = (steps.iter().map(|step| step.1).sum(), steps.iter().map(|step| step.0).sum());
        prop_assert_eq!(total.counted.cpu_us, Some(used));
        prop_assert_eq!(total.seen, Span(passed as u64));
        prop_assert_eq!(total.memory_peak, readings.last().unwrap().working_set);
    }

    #[test]
    fn adjacent_windows_add_up(start in 0_i64..50_000, steps in steps(), cut in 0_i64..1_500_000) {
        let store = store_of(&readings(0, start, &steps));
        let mut sum = figures(&store.window(window(0, cut)), "c0");
        sum.merge(&figures(&store.window(window(cut, END)), "c0"));
        prop_assert_eq!(sum, figures(&store.window(window(0, END)), "c0"));
    }

    #[test]
    fn containers_do_not_mind_each_other_and_old_news_is_no_news(a in steps(), b in steps(), seed in any::<u64>()) {
        let (a, b) = (readings(0, 3_000, &a), readings(1, 7_000, &b));
        let apart = store_of(&[a.clone(), b.clone()].concat());
        // Interleaved by lot, and each reading told again later on.
        let (mut a, mut b, mut bits) = (a.into_iter().peekable(), b.into_iter().peekable(), seed);
        let mut mixed = Vec::new();
        while a.peek().is_some() || b.peek().is_some() {
            bits = bits.rotate_left(1);
            let next = if bits & 1 == 0 { a.next().or_else(|| b.next()) } else { b.next().or_else(|| a.next()) };
            mixed.extend(next);
            let again = (bits % mixed.len() as u64) as usize;
            mixed.push(mixed[again].clone());
        }
        let mixed = store_of(&mixed);
        prop_assert_eq!(mixed.window(window(0, END)), apart.window(window(0, END)));
        prop_assert_eq!(mixed.cells(), apart.cells());
    }

    #[test]
    fn a_restart_loses_nothing_counted_after_it(before in steps(), after in steps()) {
        let mut all = readings(0, 0, &before);
        let last = all.last().unwrap().clone();
        let restart = readings(0, last.at.0 + 9_000, &after);
        let anew = restart.into_iter().enumerate().map(|(n, mut reading)| {
            reading.started = Some(Timestamp(last.at.0 + 4_000 + i64::from(n % 2 == 0)));
            reading
        });
        all.iter_mut().for_each(|reading| reading.started = Some(Timestamp(0)));
        all.extend(anew);
        let total = figures(&store_of(&all).window(window(0, 2 * END)), "c0");
        let used = |steps: &[(i64, u64)]| steps.iter().map(|step| step.1).sum::<u64>();
        prop_assert_eq!(total.counted.cpu_us, Some(used(&before) + used(&after) + 5_000));
        prop_assert_eq!(total.restarts, 1);
    }

    #[test]
    fn memory_is_bounded(starts in prop::collection::vec((0_u8..20, 0_i64..500_000), 1..200)) {
        let bounds = UsageConfig { max_cells: 15, ..config() };
        let mut store = UsageStore::new(bounds);
        for (container, at) in starts {
            store.absorb(reading(container, at, 1, None));
            let newest_alone = store.window(window(0, END)).pods.values().flatten().all(|(_, used)| used.slots.len() <= 1);
            prop_assert!(store.cells() <= 15 || newest_alone);
            prop_assert!(store.containers() <= 15);
        }
        store.forget(Timestamp(10 * END));
        prop_assert_eq!((store.cells(), store.containers()), (0, 0));
    }
}

#[test]
fn a_count_that_appears_or_goes_back_is_not_a_leap() {
    let all = [
        reading(0, 0, 100, None),
        // The limit was set in between: nobody knows since when these count.
        reading(0, 10_000, 200, Some(900)),
        reading(0, 20_000, 300, Some(1_000)),
        // Started anew, without saying so.
        reading(0, 30_000, 50, Some(10)),
    ];
    let total = figures(&store_of(&all).window(window(0, END)), "c0");
    assert_eq!(total.counted.periods, Some(110));
    assert_eq!((total.counted.cpu_us, total.restarts), (Some(250), 1));
}

proptest! {
    /// A Prometheus that looks every minute, at what cAdvisor saw up to 15 s before, and is asked every 10 s: most of what it says was said.
    #[test]
    fn a_reading_a_minute_told_again_and_again_is_counted_once(steps in prop::collection::vec((45_000_i64..=75_000, 0_u64..20_000_000), 1..20)) {
        let mut store = UsageStore::new(UsageConfig::beside(Span::seconds(10), Span::seconds(30 * 60), Pace::PROMETHEUS));
        let readings = readings(0, 0, &steps);
        readings.iter().flat_map(|reading| [reading; 6]).for_each(|reading| store.absorb(reading.clone()));
        let total = figures(&store.window(window(0, END)), "c0");
        let (used, passed): (u64, i64) = (steps.iter().map(|step| step.1).sum(), steps.iter().map(|step| step.0).sum());
        prop_assert_eq!(total.counted.cpu_us, Some(used));
        prop_assert_eq!(total.seen, Span(passed as u64));
        prop_assert_eq!(total.restarts, 0);
    }
}

#[test]
fn readings_too_far_apart_are_not_spread() {
    let all = [
        reading(0, 0, 100, None),
        reading(0, 61_000, 5_000, None),
        reading(0, 71_000, 6_000, None),
    ];
    let total = figures(&store_of(&all).window(window(0, END)), "c0");
    assert_eq!((total.counted.cpu_us, total.seen), (Some(1_000), Span::seconds(10)));
}

#[test]
fn figures_are_what_a_person_would_reckon() {
    let mut all = vec![reading(0, 0, 0, Some(0))];
    // 10 s at 150m, 10 s at 450m; throttled in 20 of 200 periods.
    for (at, cpu_us, periods, throttled) in [(10_000, 1_500_000, 100, 0), (20_000, 6_000_000, 200, 20)] {
        let mut next = reading(0, at, cpu_us, Some(periods));
        next.counters.throttled_periods = Some(throttled);
        next.counters.memory_stalled_us = Some(at as u64 * 100);
        all.push(next);
    }
    all[0].counters.throttled_periods = Some(0);
    all[0].counters.memory_stalled_us = Some(0);
    let usage = store_of(&all).window(window(0, END));
    let used = &usage.pods[&"uid-1".into()][&"c0".into()];
    assert_eq!(used.total().cpu(), Millicores(300));
    assert_eq!(used.peak(window(0, END)), Millicores(450));
    assert_eq!(used.total().throttled(), Ratio::clamped(0.1));
    assert_eq!(used.total().stalled(), Ratio::clamped(0.1));
    assert_eq!(used.total().waiting(), Ratio::ZERO, "this kernel does not tell");
    assert_eq!(usage.slots, Slots::default());
}
