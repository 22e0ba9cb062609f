//! What keeps a layout when pods are created anew: for each moved workload the wish to be beside a neighbour, or a cell.

use super::cell::{MOST_SEATS, seats};
use super::model::{NodeIx, WorkloadIx};
use super::routing::State;
use super::search::{Search, partners, worths};
use super::sequence::{Sequence, keeps_spread, successor};
use super::steady::{ALL_SCORED, Steady, predict};
use super::{PlaceForm, RefusalReason, Seat};
use crate::cluster::Pod;
use crate::id::{NodeName, PodUid};
use std::collections::BTreeMap;

/// A workload and what keeps its pods.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) workload: WorkloadIx,
    /// The neighbour that it is for.
    pub(crate) with: WorkloadIx,
    pub(crate) by: Keeping,
}

/// By what steady rule.
#[derive(Clone, Debug)]
pub(crate) enum Keeping {
    /// To be beside the neighbour's pods, wherever they are.
    Beside,
    /// A cell, on these nodes.
    Cell(Vec<Seat>),
}

/// Where a workload's pods come up when they are all created anew, pod by pod in the workload's order.
type Layout<'a> = Vec<&'a NodeName>;

impl<'a> Search<'a, '_> {
    /// The steady rules that come with a layout. A cell is taken where it is allowed and, by prediction, keeps more than the wish to
    /// be beside the neighbour, be it the workload's own pods that are created anew or the neighbour's; where that wish would not
    /// keep the spread; and in clusters so large that the scheduler scores a sample of the nodes. A neighbour that stays, and that
    /// nothing holds where it is, gets a cell on the nodes it has: else the two would drift apart.
    ///
    /// Refused where a rule would not keep its workload's spread, or none can be made where one is needed.
    pub(super) fn keeping(
        &self,
        sequence: &Sequence<'a>,
        state: &State,
        chosen: &[WorkloadIx],
    ) -> Result<Vec<Kept>, RefusalReason> {
        let mut kept: Vec<Kept> = Vec::new();
        let partners = partners(self.model, state, chosen);
        for &(workload, with) in &partners {
            let by = self.kept_by(sequence, state, chosen, (workload, with))?;
            kept.push(Kept { workload, with, by });
        }
        for &ix in chosen.iter().filter(|ix| !partners.iter().any(|(led, _)| led == *ix)) {
            match self.alone(sequence, state, ix) {
                Some(own) => kept.push(own),
                None => self.ruled_already(ix)?,
            }
        }
        let celled: Vec<(WorkloadIx, WorkloadIx)> = kept
            .iter()
            .filter(|kept| matches!(kept.by, Keeping::Cell(_)))
            .map(|kept| (kept.with, kept.workload))
            .collect();
        for (hub, follower) in celled {
            let held = chosen.contains(&hub) || kept.iter().any(|kept| kept.workload == hub);
            if !held
                && self.can_be_held(hub)
                && let Ok((seats, _)) = self.cell(sequence, state, hub)
            {
                kept.push(Kept {
                    workload: hub,
                    with: follower,
                    by: Keeping::Cell(seats),
                });
            }
        }
        Ok(kept)
    }

    /// A moved workload whose new pods an older rule places gets a new one with the move: the older would take it back.
    fn ruled_already(&self, ix: WorkloadIx) -> Result<(), RefusalReason> {
        if let Some(plan) = self.model.rule(ix) {
            return Err(RefusalReason::RuleInForce { plan: plan.to_owned() });
        }
        match self.model.form(ix) {
            PlaceForm::Template => Err(RefusalReason::TemplateElsewhere),
            PlaceForm::Admission => Ok(()),
        }
    }

    fn kept_by(
        &self,
        sequence: &Sequence<'a>,
        state: &State,
        chosen: &[WorkloadIx],
        (ix, with): (WorkloadIx, WorkloadIx),
    ) -> Result<Keeping, RefusalReason> {
        let beside = self.beside(sequence, state, ix, with);
        if !self.may_have_cell(ix) {
            return beside.map(|_| Keeping::Beside);
        }
        let (beside, (seats, own)) = match (beside, self.cell(sequence, state, ix)) {
            (beside, Err(_)) => return beside.map(|_| Keeping::Beside),
            (Err(_), Ok((seats, _))) => return Ok(Keeping::Cell(seats)),
            (Ok(beside), Ok(cell)) => (beside, cell),
        };
        let held = chosen.contains(&with) || self.can_be_held(with) || self.model.rule(with).is_some();
        if !held && !self.is_sampled() {
            return Ok(Keeping::Beside);
        }
        let follows = self
            .after(state, ix, &beside)
            .min(self.after_restart(sequence, state, chosen, (ix, with)));
        let stays = self.after(state, ix, &own);
        let cell = self.is_sampled() || stays > follows + self.price;
        Ok(if cell { Keeping::Cell(seats) } else { Keeping::Beside })
    }

    /// A cell for a moved workload that follows nobody: for the neighbour of whose calls most stand together with it.
    fn alone(&self, sequence: &Sequence<'a>, state: &State, ix: WorkloadIx) -> Option<Kept> {
        if !self.may_have_cell(ix) {
            return None;
        }
        let worths = worths(self.model, state, ix).into_iter();
        let (with, _) = worths
            .filter(|(_, worth)| *worth > 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        let (seats, _) = self.cell(sequence, state, ix).ok()?;
        Some(Kept {
            workload: ix,
            with,
            by: Keeping::Cell(seats),
        })
    }

    /// Nodes may be labelled for it.
    fn may_have_cell(&self, ix: WorkloadIx) -> bool {
        let Some(workload) = self.model.workload(ix) else {
            return false;
        };
        let policy = self.model.cluster.policies.get(&workload.id.namespace);
        policy.is_some_and(|policy| policy.cells && policy.form == PlaceForm::Admission)
    }

    /// A workload that stays can have a cell where it is: its pods may be touched, and no rule of an earlier plan holds them.
    fn can_be_held(&self, ix: WorkloadIx) -> bool {
        let free = self
            .model
            .workload(ix)
            .is_some_and(|workload| workload.immovable.is_none());
        free && self.may_have_cell(ix) && self.model.rule(ix).is_none()
    }

    /// The scheduler scores a sample of the nodes.
    fn is_sampled(&self) -> bool {
        self.model.nodes.len() > ALL_SCORED
    }

    /// Why a workload that is kept beside its neighbour has no cell where one would be taken, if it is worth saying.
    pub(crate) fn uncelled(&self, kept: &Kept) -> Option<RefusalReason> {
        if !matches!(kept.by, Keeping::Beside) || !self.is_sampled() {
            return None;
        }
        if !self.may_have_cell(kept.workload) {
            let template = self.model.form(kept.workload) == PlaceForm::Template;
            return (!template).then_some(RefusalReason::NoCellRight);
        }
        let nodes = self.counts(&self.state, kept.workload).len();
        (nodes > MOST_SEATS).then_some(RefusalReason::CellTooWide {
            nodes: nodes as u64,
            most: MOST_SEATS as u64,
        })
    }

    fn counts(&self, state: &State, ix: WorkloadIx) -> BTreeMap<&'a NodeName, u64> {
        let pods = self.model.workload(ix).map(|workload| workload.pods.as_slice());
        let mut counts: BTreeMap<&NodeName, u64> = BTreeMap::new();
        let nodes = pods.unwrap_or_default().iter().filter_map(|pod| state.at.get(*pod));
        for node in nodes.filter_map(|node| self.model.node_name(node)) {
            *counts.entry(node).or_default() += 1;
        }
        counts
    }

    /// The cell that keeps a workload where a state has it, and where its pods come up under it.
    fn cell(
        &self,
        sequence: &Sequence<'a>,
        state: &State,
        ix: WorkloadIx,
    ) -> Result<(Vec<Seat>, Layout<'a>), RefusalReason> {
        let counts = self.counts(state, ix);
        if counts.len() > MOST_SEATS {
            return Err(RefusalReason::CellTooWide {
                nodes: counts.len() as u64,
                most: MOST_SEATS as u64,
            });
        }
        let seats = seats(self.model.cluster, &sequence.board, &counts);
        let layout = self.restarted_under(sequence, state, ix, Steady::Cell(&seats))?;
        if let Some(workload) = self.model.workload(ix) {
            keeps_spread(self.model, &self.start, workload.id, &layout)?;
        }
        Ok((seats, layout))
    }

    /// Where a workload's pods, standing as a state has them, come up in a restart.
    fn restarted_under(
        &self,
        sequence: &Sequence<'a>,
        state: &State,
        ix: WorkloadIx,
        rule: Steady<'_>,
    ) -> Result<Layout<'a>, RefusalReason> {
        match self.model.workload(ix) {
            Some(workload) => predict(
                self.model,
                &sequence.board,
                workload.id,
                rule,
                &self.standing(state, ix),
            ),
            None => Ok(Vec::new()),
        }
    }

    /// The workload's pods on the board after the moves: under which name, like which pod, on which node.
    fn standing(&self, state: &State, ix: WorkloadIx) -> Vec<(PodUid, &'a Pod, &'a NodeName)> {
        let pods = self.model.workload(ix).map(|workload| workload.pods.as_slice());
        let standing = pods.unwrap_or_default().iter().filter_map(|pod| {
            let (model, at) = (self.model.pods.get(*pod)?, state.at.get(*pod)?);
            let uid = &model.pod.uid;
            let name = if model.home == at { uid.clone() } else { successor(uid) };
            Some((name, model.pod, self.model.node_name(at)?))
        });
        standing.collect()
    }

    /// What a state is worth once a workload's pods stand elsewhere.
    fn after(&self, state: &State, ix: WorkloadIx, layout: &[&NodeName]) -> f64 {
        let mut then = state.clone();
        let pods = self.model.workload(ix).map(|workload| workload.pods.as_slice());
        for (pod, node) in pods.unwrap_or_default().iter().zip(layout) {
            let number: Option<NodeIx> = self.model.nodes.binary_search_by(|known| known.name.cmp(node)).ok();
            if let Some(number) = number {
                then.at.set(*pod, number);
            }
        }
        self.judged(&then).value
    }

    /// What a state is worth once the neighbour's pods were created anew, and those of the workload beside it have not yet been. The
    /// scheduler counts a wish to be near pods both ways: who is followed is drawn to its followers. A neighbour that moves, or
    /// that a rule holds, has a rule of its own.
    fn after_restart(
        &self,
        sequence: &Sequence<'a>,
        state: &State,
        chosen: &[WorkloadIx],
        (ix, hub): (WorkloadIx, WorkloadIx),
    ) -> f64 {
        let bound = chosen.contains(&hub) || self.model.rule(hub).is_some();
        let Some(workload) = self.model.workload(ix).filter(|_| !bound) else {
            return f64::INFINITY;
        };
        let anew = self.restarted_under(sequence, state, hub, Steady::Beside(workload.id));
        anew.map_or(f64::INFINITY, |layout| self.after(state, hub, &layout))
    }

    /// Where the workload's pods come up when they are created anew under the wish to be beside the neighbour; refused where that
    /// would not keep its spread.
    fn beside(
        &self,
        sequence: &Sequence<'a>,
        state: &State,
        ix: WorkloadIx,
        with: WorkloadIx,
    ) -> Result<Layout<'a>, RefusalReason> {
        let (Some(workload), Some(with)) = (self.model.workload(ix), self.model.workload(with)) else {
            return Ok(Vec::new());
        };
        let mut old = self.standing(state, ix);
        let by_template = self.model.form(ix) == PlaceForm::Template;
        let mut wanted: Vec<&NodeName> = old.iter().map(|(_, _, at)| *at).collect();
        let mut board = sequence.board.clone();
        if by_template {
            // Nobody moves them first: the restart that brings the wish begins where they stand today.
            for (slot, pod) in old.iter_mut().zip(&workload.pods) {
                let home = self.model.pods.get(*pod).and_then(|pod| self.model.node_name(pod.home));
                let Some(home) = home else { continue };
                board.remove(&slot.0, slot.2);
                *slot = (slot.1.uid.clone(), slot.1, home);
                board.add(slot.0.clone(), slot.1, home);
            }
        }
        let layout = predict(self.model, &board, workload.id, Steady::Beside(with.id), &old)?;
        keeps_spread(self.model, &self.start, workload.id, &layout)?;
        let mut sorted = layout.clone();
        sorted.sort_unstable();
        wanted.sort_unstable();
        if by_template && sorted != wanted {
            return Err(RefusalReason::TemplateElsewhere);
        }
        Ok(layout)
    }
}
