//! Three layouts of one pair, one after the other and again: what a call's way takes in each.

use super::{Report, Soak, write};
use crate::demo::merge::{Attempt, PROXIED, Proposal};
use crate::pair::measure::{Figures, SETTLED, table};
use crate::pair::{Deployed, Failure, Pair, Watch, leaf};
use anyhow::{Context, Result, ensure};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Length of a measured window: 1 200 pages, 4 800 calls.
const WINDOW: Duration = Duration::from_secs(60);
/// How often a merge is tried that is taken back.
const TRIES: usize = 2;
/// Most that a call over loopback may take, of one between two proxies on one node, at p50.
const DIRECT: f64 = 0.35;
/// The field of a namespace's Policy that says which way merges take.
pub(super) const WAY_FIELD: &str = "mergeWay";
/// What it says of the direct one.
pub(super) const WAY: &str = "Direct";

/// Where the callee that answers is, and by which way calls come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Layout {
    SameNode,
    Proxied,
    Direct,
}

impl Layout {
    const ALL: [Self; 3] = [Self::SameNode, Self::Proxied, Self::Direct];

    fn words(self) -> &'static str {
        match self {
            Self::SameNode => "same node",
            Self::Proxied => "merged, proxied",
            Self::Direct => "merged, direct",
        }
    }
}

/// One layout of one round.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    round: usize,
    layout: Layout,
    figures: Option<Figures>,
    /// Why there are none.
    skipped: Option<String>,
    /// The merges that were tried for it.
    attempts: Vec<Attempt>,
}

/// All rounds.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layouts {
    windows: Vec<Measured>,
    /// Of the way at p50, all windows of a layout as one: proxied ÷ same node.
    proxied: Option<f64>,
    /// The same, direct.
    direct: Option<f64>,
    /// The same of the same-node windows: the highest ÷ the lowest, which nothing but noise makes.
    noise: Option<f64>,
    pages: u64,
    failures: Vec<Failure>,
}

impl Layouts {
    fn of(&self, layout: Layout) -> Vec<Figures> {
        let own = self.windows.iter().filter(|window| window.layout == layout);
        own.filter_map(|window| window.figures.clone()).collect()
    }

    fn ratio(&self, layout: Layout) -> Option<f64> {
        let same = Figures::pooled(&self.of(Layout::SameNode))?;
        Figures::pooled(&self.of(layout))?.ratio_to(&same)
    }

    fn reckon(&mut self) {
        self.proxied = self.ratio(Layout::Proxied);
        self.direct = self.ratio(Layout::Direct);
        let same = self.of(Layout::SameNode);
        let medians = || same.iter().map(|window| window.way_p50_us);
        let bounds = medians().max().zip(medians().min().filter(|lowest| *lowest > 0));
        self.noise = bounds.map(|(highest, lowest)| highest as f64 / lowest as f64);
    }

    /// No page may fail, by any way: no companion ends here.
    pub(super) fn holds(&self) -> bool {
        self.proxied.is_some_and(|ratio| ratio <= PROXIED)
            && self.direct.is_none_or(|ratio| ratio <= DIRECT)
            && self.failures.is_empty()
    }
}

/// Whether a CRD's schema has this field of its spec, and the field takes this word.
fn takes(crd: &Value, field: &str, word: &str) -> bool {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let mut fields =
        versions.map(|version| &version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][field]);
    fields.any(|field| {
        let words = field["enum"].as_array().into_iter().flatten();
        words.into_iter().any(|known| known == word)
    })
}

impl Soak {
    async fn knows_direct(&self) -> Result<bool> {
        let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let crds: Api<DynamicObject> = Api::all_with(self.demo.client.clone(), &ApiResource::from_gvk(&kind));
        let crd = crds.get("policies.huddle.dev").await.context("read Policy's schema")?;
        Ok(takes(&crd.data, WAY_FIELD, WAY))
    }

    /// The layouts of the pair that is brought.
    pub(super) async fn layouts(&mut self, options: &super::Options, report: &mut Report) -> Result<()> {
        let section = "layouts: same node, merged proxied, merged direct";
        self.demo.narrator.section(section);
        let pair = Deployed::deploy(&self.demo.client, &Pair::lingering()).await?;
        self.taken(&pair, options, report, |report| &mut report.layouts).await
    }

    /// The layouts of the shop's own chattiest leaf edge.
    pub(super) async fn leaf_layouts(&mut self, options: &super::Options, report: &mut Report) -> Result<()> {
        let section = "leaf: the shop's chattiest leaf edge: same node, merged proxied, merged direct";
        self.demo.narrator.section(section);
        let pair = leaf::deploy(&self.demo.client).await?;
        self.taken(&pair, options, report, |report| &mut report.leaf).await
    }

    async fn taken(
        &self,
        pair: &Deployed,
        options: &super::Options,
        report: &mut Report,
        slot: fn(&mut Report) -> &mut Option<Layouts>,
    ) -> Result<()> {
        let knows_direct = self.knows_direct().await?;
        if !knows_direct {
            let say = format!("the direct way is SKIPPED: this Huddle's Policy has no {WAY_FIELD}: {WAY}");
            self.demo.narrator.say(say);
        }
        let watch = Watch::begin(pair, Layout::SameNode.words());
        let mut layouts = Layouts::default();
        for round in 1..=options.rounds {
            for layout in Layout::ALL {
                if layout == Layout::Direct && !knows_direct {
                    continue;
                }
                let name = format!("round {round} of {}, {}", options.rounds, layout.words());
                self.demo.narrator.section(&name);
                let measured = self.layout(pair, &watch, round, layout).await.context(name)?;
                layouts.windows.push(measured);
                layouts.failures = watch.so_far();
                layouts.reckon();
                *slot(report) = Some(layouts.clone());
                write(report, &options.common.report)?;
            }
        }
        (layouts.failures, layouts.pages) = watch.end().await?;
        *slot(report) = Some(layouts);
        Ok(())
    }

    /// Brings a layout, measures it, and goes back to that of one node.
    async fn layout(&self, pair: &Deployed, watch: &Watch, round: usize, layout: Layout) -> Result<Measured> {
        let mut measured = Measured {
            round,
            layout,
            figures: None,
            skipped: None,
            attempts: Vec::new(),
        };
        let say = |during: &str| format!("{during}, {}", layout.words());
        watch.during(&say("on the way to it")).await?;
        match layout {
            Layout::SameNode => {}
            Layout::Proxied => self.brought(pair, &mut measured).await?,
            Layout::Direct => {
                self.demo.set_policy(&json!({WAY_FIELD: WAY})).await?;
                self.brought(pair, &mut measured).await?;
            }
        }
        if measured.skipped.is_none() {
            tokio::time::sleep(SETTLED).await;
            watch.during(layout.words()).await?;
            match pair.figures(WINDOW).await {
                Ok(figures) => measured.figures = Some(figures),
                Err(error) => measured.skipped = Some(format!("{error:#}")),
            }
        }
        if let Some(figures) = &measured.figures {
            self.demo.narrator.table(&table(&[(layout.words(), figures)]));
        }
        if let Some(why) = &measured.skipped {
            self.demo.narrator.say(format!("not measured: {why}"));
        }
        watch.during(&say("on the way back")).await?;
        if let Some(last) = measured.attempts.last().filter(|last| last.stands()) {
            self.demo.split(&last.plan, pair).await?;
        }
        if layout == Layout::Direct {
            self.demo.set_policy(&json!({WAY_FIELD: null})).await?;
        }
        Ok(measured)
    }

    /// By which ways a plan merges.
    async fn ways(&self, plan: &str) -> Result<Vec<String>> {
        let plans: Api<huddle_api::Plan> = Api::namespaced(self.demo.client.clone(), huddle_api::SYSTEM_NAMESPACE);
        let actions = plans.get(plan).await.context("read the plan")?.spec.actions;
        let way =
            |action: &huddle_api::PlanAction| format!("{:?}", action.way.unwrap_or(huddle_api::MergeWay::Proxied));
        Ok(actions.iter().map(way).collect())
    }

    /// Merges, and once more if it is taken back; why not, where it comes to nothing.
    async fn brought(&self, pair: &Deployed, measured: &mut Measured) -> Result<()> {
        for _ in 0..TRIES {
            let plan = match self.demo.propose_merge(pair.pair.ends).await? {
                Proposal::Plan(plan) => plan,
                Proposal::Refused(why) => {
                    measured.skipped = Some(format!("refused: {}", why.join(" ")));
                    return Ok(());
                }
            };
            let [way] = self.ways(&plan).await?.try_into().ok().context("one merge")?;
            ensure!((way == WAY) == (measured.layout == Layout::Direct), "{plan} is {way}");
            let attempt = self.demo.carry_out(&plan, pair).await?;
            let stands = attempt.stands();
            measured.skipped = (!stands).then(|| format!("{}: {}", attempt.phase, attempt.sentence));
            measured.attempts.push(attempt);
            if stands {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn tell_layouts(&self, whose: &str, layouts: &Layouts) {
        let narrator = &self.demo.narrator;
        narrator.section(&format!(
            "Layouts of {whose}: client time less the callee's compute time, request by request, all rounds together"
        ));
        let pooled: Vec<(&str, Figures)> = Layout::ALL
            .into_iter()
            .filter_map(|layout| Some((layout.words(), Figures::pooled(&layouts.of(layout))?)))
            .collect();
        let columns: Vec<(&str, &Figures)> = pooled.iter().map(|(name, figures)| (*name, figures)).collect();
        narrator.table(&table(&columns));
        let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "not measured".to_owned(), |ratio| format!("{ratio:.2}"));
        narrator.say(format!(
            "p50 ÷ same node: proxied {} (wanted ≤ {PROXIED:.2}), direct {} (wanted ≤ {DIRECT:.2}); same node, highest ÷ lowest: {}",
            ratio(layouts.proxied),
            ratio(layouts.direct),
            ratio(layouts.noise)
        ));
        for window in &layouts.windows {
            let of = format!("round {}, {}", window.round, window.layout.words());
            match (&window.figures, &window.skipped) {
                (Some(figures), _) => narrator.say(format!(
                    "{of}: p50 {} µs, p99 {} µs of {} calls",
                    figures.way_p50_us, figures.way_p99_us, figures.calls
                )),
                (None, why) => narrator.say(format!("{of}: {}", why.as_deref().unwrap_or("not measured"))),
            }
        }
        narrator.say(format!("pages asked for in all: {}", layouts.pages));
        self.tell_failures(&layouts.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(layout: Layout, p50: u64) -> Measured {
        let figures = Figures {
            calls: 100,
            pages: 25,
            way_us: vec![(p50, 100)],
            way_p50_us: p50,
            ..Figures::default()
        };
        Measured {
            round: 1,
            layout,
            figures: Some(figures),
            skipped: None,
            attempts: Vec::new(),
        }
    }

    fn failure(during: &str) -> Failure {
        Failure {
            during: during.to_owned(),
            entry: "page".to_owned(),
            seconds: vec![(7, 1)],
            causes: std::collections::BTreeMap::new(),
            logged: Vec::new(),
        }
    }

    #[test]
    fn layouts_hold_by_their_ratios_and_where_no_page_failed() {
        let mut layouts = Layouts {
            windows: vec![
                window(Layout::SameNode, 1_000),
                window(Layout::Proxied, 640),
                window(Layout::Direct, 300),
                window(Layout::SameNode, 1_100),
            ],
            ..Layouts::default()
        };
        assert!(!layouts.holds());
        layouts.reckon();
        assert!(layouts.holds(), "{layouts:?}");
        assert_eq!(layouts.noise.map(|noise| (noise * 10.0).round()), Some(11.0));
        layouts.failures = vec![failure("on the way to it, merged, direct")];
        assert!(!layouts.holds(), "over loopback either, for no companion ends here");
        let mut without = Layouts {
            windows: vec![window(Layout::SameNode, 1_000), window(Layout::Proxied, 900)],
            ..Layouts::default()
        };
        without.reckon();
        assert_eq!(without.direct, None);
        assert!(!without.holds());
    }

    #[test]
    fn the_way_is_known_where_the_policys_schema_says_so() {
        let crd = |fields: Value| json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": fields}}}}}]}});
        assert!(takes(
            &crd(json!({"mergeWay": {"enum": ["Proxied", "Direct"]}})),
            WAY_FIELD,
            WAY
        ));
        assert!(!takes(&crd(json!({"mergeWay": {"enum": ["Proxied"]}})), WAY_FIELD, WAY));
        assert!(!takes(&crd(json!({"merges": {"type": "boolean"}})), WAY_FIELD, WAY));
    }
}
