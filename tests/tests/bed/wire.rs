//! What Huddle calls network time, held against what the wire is known to add.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use huddle_core::distribution::Distribution;
use huddle_core::view::pairs::{PairView, PairsView};
use huddle_tests::bed::wire::Links;
use huddle_tests::wait::until;

use crate::huddle::{LIMIT, World};

/// The busiest edge, to a callee that calls nobody: what it serves knows nothing of the wire.
const EDGE: [&str; 4] = ["--source", "shop/frontend", "--destination", "shop/currency"];
/// Added in each direction while on.
const ADDED_US: u32 = 2_000;
/// A sample tells of up to one reporting interval (5 s) before it was taken in, and a proxy reports up to a quarter late; then
/// the requests that were under way at the switch.
const STALE: Duration = Duration::from_secs(8);
/// Fewest calls of the measured edge over the measured pair of nodes in a phase.
const CALLS: u64 = 500;
/// Fewest calls over another pair of nodes in a phase, for its median to be looked at; a phase lasts until the busiest of them has so many.
const OTHER_CALLS: u64 = 150;

/// The headline's rate in the first series. At the graph's own rate its pages come every 50 ms and take about as long: a slower wire lets
/// them overlap, and then they wait for the processors on every pair of nodes.
const SHARE: f64 = 0.5;
/// The lowest rate: one page every 400 ms.
const LEAST_SHARE: f64 = 0.125;
/// Where less of the processors' time is left over, the next series has half the rate.
const IDLE: f64 = 0.5;
/// Times of equal phases that the wire does not touch differ by no more than this on a machine that is quiet.
const QUIET: std::ops::RangeInclusive<f64> = 0.95..=1.05;
/// What the wire adds is seen to this, in ms: 4.0 ± 0.4.
const SEEN_MS: std::ops::RangeInclusive<f64> = 3.6..=4.4;
/// No more than that is seen where the wire does not add anything, in ms.
const ELSEWHERE_MS: f64 = 0.4;
/// Series measured at most; one has to tell all of it.
const SERIES: usize = 5;

type Ends = (String, String);

/// A pair of nodes, whoever calls.
fn ends(row: &PairView) -> Ends {
    let (a, b) = (row.caller_node.clone(), row.callee_node.clone());
    if a <= b { (a, b) } else { (b, a) }
}

/// One phase: medians in µs.
#[derive(Debug)]
struct Phase {
    on: bool,
    calls: u64,
    network: f64,
    served: f64,
    others: BTreeMap<Ends, (u64, f64)>,
}

/// The pair of nodes that carries most of what is asked for.
fn busiest(view: &PairsView, asked: impl Fn(&PairView) -> bool) -> Option<Ends> {
    let mut calls: BTreeMap<Ends, u64> = BTreeMap::new();
    for row in view.pairs.iter().filter(|row| asked(row)) {
        *calls.entry(ends(row)).or_default() += row.total.requests;
    }
    calls.into_iter().max_by_key(|(_, calls)| *calls).map(|(ends, _)| ends)
}

fn p50(distribution: &Distribution) -> f64 {
    distribution.quantile(0.5).map_or(f64::NAN, |micros| micros.0 as f64)
}

fn merged<'a>(distributions: impl Iterator<Item = &'a Distribution>) -> Distribution {
    let mut all = Distribution::default();
    distributions.for_each(|one| all.merge(one));
    all
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get((values.len().max(1) - 1) / 2), values.get(values.len() / 2));
    low.zip(high).map_or(f64::NAN, |(low, high)| f64::midpoint(*low, *high))
}

/// For each phase that is on, `of` it and the mean of its neighbours.
fn against_neighbours(phases: &[Phase], of: impl Fn(&Phase) -> f64) -> Vec<(f64, f64)> {
    let switched = phases.windows(3).filter(|three| three[1].on);
    switched
        .map(|three| (of(&three[1]), f64::midpoint(of(&three[0]), of(&three[2]))))
        .collect()
}

/// What on has more than off, in ms.
fn added_ms(phases: &[Phase], of: impl Fn(&Phase) -> f64) -> f64 {
    let pairs = against_neighbours(phases, of);
    median(pairs.into_iter().map(|(on, off)| (on - off) / 1_000.0).collect())
}

/// Off against the off before it: what two equal phases differ by.
fn off_to_off(phases: &[Phase], of: impl Fn(&Phase) -> f64) -> f64 {
    let offs: Vec<f64> = phases.iter().filter(|phase| !phase.on).map(of).collect();
    median(offs.windows(2).map(|two| two[1] / two[0]).collect())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Busy and all processor time of the machine so far.
fn processors() -> Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let times: Vec<u64> = stat
        .lines()
        .next()
        .context("no processors")?
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let (all, idle) = (
        times.iter().take(8).sum::<u64>(),
        times.iter().skip(3).take(2).sum::<u64>(),
    );
    Ok((all - idle, all))
}

impl World {
    async fn pairs(&self, edge: &[&str], since_ms: i64) -> Result<PairsView> {
        let since = format!("{since_ms}ms");
        let words = [&["graph", "--by", "node-pair", "--since", &since, "-o", "json"], edge].concat();
        self.demo.huddle.json(&words).await
    }

    /// The pair of nodes over which the edge carries most, and the busiest other one, one node to itself included.
    async fn busiest_pairs(&self) -> Result<[Ends; 2]> {
        let edge = self.pairs(&EDGE, 60_000).await?;
        let crosses = |row: &PairView| row.caller_node != row.callee_node;
        let measured = busiest(&edge, crosses).context("the edge crosses no nodes")?;
        let all = self.pairs(&[], 60_000).await?;
        let other = busiest(&all, |row| ends(row) != measured).context("no other pair of nodes has calls")?;
        Ok([measured, other])
    }

    fn switch(&self, pair: &Ends, on: bool) -> Result<()> {
        let record = self.bed.folder().record()?;
        let zone = |name: &str| {
            record
                .nodes
                .iter()
                .find(|node| node.name() == name)
                .map(|node| &node.zone)
        };
        let same_zone = zone(&pair.0) == zone(&pair.1);
        let links = Links::load("cloud")?;
        let delay = links.link(&pair.0, &pair.1, same_zone).delay_us + if on { ADDED_US } else { 0 };
        let delay = format!("{delay}us");
        self.bed.bed(&["wire", "set", &pair.0, &pair.1, "--delay", &delay])?;
        Ok(())
    }

    /// Switches, and measures once every sample of the window was taken wholly after the switch.
    async fn phase(&self, pairs: &[Ends; 2], on: bool) -> Result<Phase> {
        let [pair, other] = pairs;
        self.switch(pair, on)?;
        let clean = now_ms() + i64::try_from(STALE.as_millis())?;
        let phase = until("enough calls after the switch", LIMIT, async || {
            let since = now_ms() - clean;
            if since <= 0 {
                return Err("what is on its way is of before".to_owned());
            }
            let look = async || {
                let edge = self.pairs(&EDGE, since).await?;
                let all = self.pairs(&[], since).await?;
                ensure!(
                    edge.from >= clean && all.from >= clean,
                    "the window reaches back to before the switch"
                );
                anyhow::Ok((edge, all))
            };
            let (edge, all) = look().await.map_err(|error| format!("{error:#}"))?;
            let ours = || edge.pairs.iter().filter(|row| ends(row) == *pair);
            let network = merged(ours().map(|row| &row.histograms.network));
            let mut others: BTreeMap<Ends, Distribution> = BTreeMap::new();
            for row in all.pairs.iter().filter(|row| ends(row) != *pair) {
                others.entry(ends(row)).or_default().merge(&row.histograms.network);
            }
            let beside = others.get(other).map_or(0, Distribution::count);
            if network.count() < CALLS || beside < OTHER_CALLS {
                let (a, b) = other;
                return Err(format!("{} calls, and {beside} over {a} ↔ {b}", network.count()));
            }
            Ok(Phase {
                on,
                calls: network.count(),
                network: p50(&network),
                served: p50(&merged(ours().map(|row| &row.histograms.served))),
                others: others
                    .into_iter()
                    .filter(|(_, network)| network.count() >= OTHER_CALLS)
                    .map(|(ends, network)| (ends, (network.count(), p50(&network))))
                    .collect(),
            })
        });
        Ok(phase.await?)
    }

    /// Off, on, off, on, off on one pair of nodes, and the share of the processors that was idle meanwhile.
    fn series(&self, pairs: &[Ends; 2]) -> Result<(Vec<Phase>, f64)> {
        let before = processors()?;
        let phases = self.runtime.handle().block_on(async {
            let mut phases = Vec::new();
            for on in [false, true, false, true, false] {
                phases.push(self.phase(pairs, on).await?);
            }
            anyhow::Ok(phases)
        });
        let after = processors()?;
        self.bed.bed(&["wire", "profile", "cloud"])?;
        let phases = phases?;
        let idle = 1.0 - (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64;
        println!(
            "   {} ↔ {}, {:.0} % of the processors idle",
            pairs[0].0,
            pairs[0].1,
            idle * 100.0
        );
        for phase in &phases {
            let (on, calls) = (if phase.on { "on " } else { "off" }, phase.calls);
            println!(
                "   {on}: {calls} calls, network p50 {:.0} µs, served p50 {:.0} µs",
                phase.network, phase.served
            );
        }
        Ok((phases, idle))
    }

    /// Series, until one tells all of the wire: at half the rate where the one before was too busy, or quiet and still of another
    /// opinion. A slower wire lets pages overlap, and what overlaps waits for the processors, in the callee and on other pairs of nodes as
    /// well; that goes away with the load. A wire counted as served, or on another pair, would not.
    fn a_series_tells(&mut self) -> Result<()> {
        let runtime = self.runtime.handle().clone();
        let pairs = runtime.block_on(self.busiest_pairs())?;
        let mut share = SHARE;
        for series in 1.. {
            runtime.block_on(self.demo.traffic.throttle(share))?;
            let (phases, idle) = self.series(&pairs)?;
            let told = Told::of(&phases)?;
            let Err(error) = told.of_the_wire() else { break };
            ensure!(series < SERIES, "{error:#}, in the last of {SERIES} series");
            println!("   {error:#}: once more");
            if idle < IDLE || told.is_quiet() {
                share = (share / 2.0).max(LEAST_SHARE);
            }
        }
        Ok(())
    }

    /// The load is the shop's own again afterwards.
    pub(crate) fn network_follows_the_wire(&mut self) -> Result<()> {
        let told = self.a_series_tells();
        self.runtime.handle().block_on(self.demo.traffic.throttle(1.0))?;
        told
    }
}

/// What a series tells, by medians: what on has more than the offs beside it, in ms, and off ÷ the off before it.
struct Told {
    network_ms: f64,
    served: (f64, f64),
    others: (f64, f64),
}

impl Told {
    /// Tells it to the reader as well.
    ///
    /// # Errors
    /// No other pair of nodes has enough calls in every phase, which a phase waits for.
    fn of(phases: &[Phase]) -> Result<Self> {
        let (network_ms, network) = both(phases, |phase| phase.network);
        println!("   added to the network: {network_ms:.2} ms; off/off {network:.3}");
        let served = both(phases, |phase| phase.served);
        println!("   to what was served: {:.2} ms; off/off {:.3}", served.0, served.1);
        let others = others(phases)?;
        println!("   to other pairs: {:.2} ms; off/off {:.3}", others.0, others.1);
        Ok(Self {
            network_ms,
            served,
            others,
        })
    }

    /// Equal phases look alike.
    fn is_quiet(&self) -> bool {
        [self.served.1, self.others.1].iter().all(|ratio| QUIET.contains(ratio))
    }

    /// The added time is seen on that pair of nodes, and nowhere else.
    fn of_the_wire(&self) -> Result<()> {
        let added = self.network_ms;
        ensure!(
            SEEN_MS.contains(&added),
            "the wire added 4.0 ms, the network time {added:.2} ms"
        );
        for (what, added) in [("what was served", self.served.0), ("other pairs", self.others.0)] {
            ensure!(added.abs() <= ELSEWHERE_MS, "{added:.2} ms of the wire's 4.0 at {what}");
        }
        Ok(())
    }
}

fn both(phases: &[Phase], of: impl Fn(&Phase) -> f64 + Copy) -> (f64, f64) {
    (added_ms(phases, of), off_to_off(phases, of))
}

/// The means of the other pairs' own, by calls: the balancer shifts calls between near and far pairs when one of them slows
/// down, so that a median over all of them would move without any of them moving.
fn others(phases: &[Phase]) -> Result<(f64, f64)> {
    let mut seen: BTreeSet<&Ends> = phases.iter().flat_map(|phase| phase.others.keys()).collect();
    seen.retain(|ends| phases.iter().all(|phase| phase.others.contains_key(*ends)));
    ensure!(!seen.is_empty(), "no other pair of nodes has enough calls");
    let (mut added, mut off_off, mut all) = (0.0, 0.0, 0.0);
    for ends in seen {
        let of = |phase: &Phase| phase.others.get(ends).map_or(f64::NAN, |(_, p50)| *p50);
        let counts = phases.iter().filter_map(|phase| phase.others.get(ends));
        let calls: u64 = counts.map(|(calls, _)| calls).sum();
        let (ms, off) = both(phases, of);
        println!(
            "   {} ↔ {}: {calls} calls, {ms:.2} ms; off/off {off:.3}",
            ends.0, ends.1
        );
        added += ms * calls as f64;
        off_off += off * calls as f64;
        all += calls as f64;
    }
    Ok((added / all, off_off / all))
}
