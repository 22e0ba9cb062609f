//! One plan's round: read, decide, write, until there is something to wait for.

use super::convert::{digest, plan_of, progress_of, with_progress};
use super::error::{ActError, Doing, or_gone};
use super::evidence::{Before, Evidence, MEMORY_BYTES};
use super::observe::observe;
use super::trial::Tries;
use super::{carry, events, outrank, propose};
use huddle_api as api;
use huddle_core::act::{self, ActConfig, Intent, Lead, Next, Phase, Progress, Seen, Situation, StepState, Turn};
use huddle_core::id::PlanId;
use huddle_core::plan::{Plan, PlanKind};
use huddle_core::time::{Span, Timestamp, Window};
use kube::api::PostParams;
use kube::runtime::events::Recorder;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most writes of one round: a plan that never rests must not keep the others from theirs.
const WRITES: usize = 64;
/// When a step is under way.
const SOON: Span = Span(200);
/// When only time or people can change anything.
const LATER: Span = Span(1_000);
/// A verdict that still waits is written down no more often, and harm is looked for no more often while a plan is carried out: proxies
/// report every few seconds.
const VERDICT_EVERY: Span = Span(5_000);

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// When to come again.
    pub wake: Span,
    /// The plan keeps others from starting.
    pub active: bool,
}

/// Carries plans out.
pub struct Actor {
    client: Client,
    evidence: Arc<dyn Evidence>,
    config: ActConfig,
    recorder: Recorder,
    tries: Tries,
    verdicts: Times,
    looks: Times,
}

/// When something was last done for each plan.
type Times = BTreeMap<String, Timestamp>;

/// Whether it was last done long enough ago; then it is now.
fn is_due(times: &mut Times, read: &Read, now: Timestamp) -> bool {
    let last = times.get(read.id.as_str()).copied();
    let due = last.is_none_or(|last| now.since(last) >= VERDICT_EVERY);
    if due {
        times.insert(read.id.as_str().to_owned(), now);
    }
    due
}

/// Said of a plan that is done, while a version of its callee is not followed yet.
const VERSION_WAITS: &str =
    "another version of the callee is there: its companions follow once its own roll-out is whole";

/// What was seen of what stands.
#[derive(Default)]
struct Standing {
    /// A step that no longer holds.
    broken: Option<usize>,
    /// A merge is of an older version than its callee.
    outdated: bool,
}

/// What comes next for a step.
struct Decided {
    next: Next,
    outdated: bool,
}

/// A plan as it was read.
struct Read {
    object: api::Plan,
    plan: Plan,
    id: PlanId,
    progress: Progress,
    /// No other plan is active.
    alone: bool,
}

impl Read {
    fn says(&self, message: &str) -> bool {
        let status = self.object.status.as_ref();
        status.is_some_and(|status| status.message == message)
    }

    /// The before window with what is remembered of it.
    fn before(&self, window: Window) -> Before {
        let memory = self.object.status.as_ref().and_then(|status| status.before.as_ref());
        Before {
            window,
            memory: memory.map(|before| unboxed(&before.memory)).unwrap_or_default(),
        }
    }
}

/// Whether a round goes on.
enum Flow {
    Again,
    Until(Span),
}

impl Actor {
    /// `client`: made by [`super::client`], so that refused writes come back at once.
    pub fn new(client: Client, evidence: Arc<dyn Evidence>, config: ActConfig) -> Self {
        Self {
            recorder: events::recorder(client.clone()),
            client,
            evidence,
            config,
            tries: Tries::default(),
            verdicts: Times::new(),
            looks: Times::new(),
        }
    }

    /// The same with the image that holds what starts companions' programs: without one there are none.
    #[must_use]
    pub fn supervised(mut self, image: Option<String>) -> Self {
        self.tries = Tries::new(image);
        self
    }

    /// Takes the plan as far as it goes without waiting. `other`: another plan that is active.
    ///
    /// # Errors
    /// What the API server said; nothing is lost, the next round looks anew.
    pub async fn round(&mut self, name: &str, other: Option<&str>) -> Result<Round, ActError> {
        let mut active = false;
        for _ in 0..WRITES {
            let Some(read) = self.read(name, other.is_none()).await? else {
                return Ok(Round {
                    wake: LATER,
                    active: false,
                });
            };
            active = read.progress.is_active();
            let flow = match self.advance(&read, other).await {
                // Somebody was faster: look again.
                Err(error) if error.is_stale() => {
                    tracing::debug!(plan = name, %error, "decided anew");
                    Flow::Again
                }
                other => other?,
            };
            if let Flow::Until(wake) = flow {
                return Ok(Round { wake, active });
            }
        }
        Ok(Round { wake: SOON, active })
    }

    async fn read(&self, name: &str, alone: bool) -> Result<Option<Read>, ActError> {
        let found = or_gone(propose::plans(&self.client).get(name).await).doing("reading a plan")?;
        found
            .map(|object| {
                Ok(Read {
                    plan: plan_of(&object)?,
                    id: PlanId::new(object.name_any()),
                    progress: progress_of(&object)?,
                    object,
                    alone,
                })
            })
            .transpose()
    }

    async fn advance(&mut self, read: &Read, other: Option<&str>) -> Result<Flow, ActError> {
        let now = self.evidence.now();
        let standing = self.standing(read).await?;
        if let Some(index) = standing.broken {
            return self.step(read, index, now, now).await;
        }
        if let Some(proof) = self.harm(read, now)
            && let Some(progress) = act::judged(&read.progress, &proof.verdict, now)
        {
            return self.record(read, &progress, None, Some(&proof)).await;
        }
        let spec = &read.object.spec;
        let situation = Situation {
            approved: spec.approval.as_ref().is_some_and(|it| it.digest == spec.digest),
            genuine: digest(&read.plan) == spec.digest,
            rollback: spec.rollback.as_ref().map(|it| it.by.clone()),
            other: other.map(str::to_owned),
            missed: match read.progress.phase {
                Phase::Acting | Phase::Settling | Phase::Proving | Phase::Proved => self.evidence.missed(&read.plan),
                Phase::Proposed
                | Phase::Approved
                | Phase::Baseline
                | Phase::RollingBack
                | Phase::RolledBack
                | Phase::Superseded => None,
            },
        };
        match act::next(&read.progress, &situation, &self.config, now) {
            Lead::Record(progress) => self.record(read, &progress, None, None).await,
            Lead::Step { index, from } => self.step(read, index, from, now).await,
            Lead::Measure { from } => self.measure(read, from, now).await,
            Lead::Judge { before, from } => self.judge(read, before, from, now).await,
            Lead::Wait(why) => self.say(read, why.sentence(), LATER).await,
            Lead::Rest if standing.outdated => self.say(read, VERSION_WAITS.to_owned(), LATER).await,
            Lead::Rest if read.says(VERSION_WAITS) => self.say(read, message(&read.progress), LATER).await,
            Lead::Rest => Ok(Flow::Until(LATER)),
        }
    }

    /// Looks at what stands: the first step that no longer holds, as a route whose guard says no or that somebody else set, a cell whose rule is gone or
    /// there again; and whether a merge is of an older version than its callee.
    async fn standing(&self, read: &Read) -> Result<Standing, ActError> {
        let now = self.evidence.now();
        let mut standing = Standing::default();
        for index in act::watched(&read.progress) {
            let Some(decided) = self.decide(read, index, now, now).await? else {
                continue;
            };
            if matches!(decided.next, Next::Record(_) | Next::Do(_)) {
                standing.broken = Some(index);
                break;
            }
            standing.outdated |= decided.outdated;
        }
        Ok(standing)
    }

    async fn decide(
        &self,
        read: &Read,
        index: usize,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Decided>, ActError> {
        let (Some(step), Some(action)) = (read.progress.steps.get(index), read.plan.actions.get(index)) else {
            return Ok(None);
        };
        let mut seen = observe(
            &self.client,
            &*self.evidence,
            &self.tries,
            &read.id,
            index,
            step,
            action,
        )
        .await?;
        if let Seen::Merge(seen) = &mut seen {
            seen.undisturbed = read.progress.phase == Phase::Proved && read.alone;
        }
        let turn = Turn {
            plan: &read.id,
            index,
            from,
            now,
            config: &self.config,
        };
        Ok(Some(Decided {
            next: act::next_of_step(step, action, &seen, turn),
            outdated: act::is_outdated(step, &seen),
        }))
    }

    async fn step(&mut self, read: &Read, index: usize, from: Timestamp, now: Timestamp) -> Result<Flow, ActError> {
        match self.decide(read, index, from, now).await?.map(|decided| decided.next) {
            Some(Next::Record(step)) => {
                let mut progress = read.progress.clone();
                if let Some(slot) = progress.steps.get_mut(index) {
                    *slot = *step;
                }
                self.record(read, &progress, None, None).await
            }
            Some(Next::Do(intent)) => {
                tracing::info!(plan = %read.id, step = index, intent = intent.label(), "acting");
                carry::carry(&self.client, &mut self.tries, &intent).await?;
                // A rule is in force a moment after it was written; asking again at once would only ask.
                let asked = matches!(intent, Intent::TryRule { .. });
                Ok(if asked { Flow::Until(Span(50)) } else { Flow::Again })
            }
            Some(Next::Wait { why, .. }) => self.say(read, format!("step {index}: {}", why.sentence()), SOON).await,
            Some(Next::Over) | None => Ok(Flow::Until(SOON)),
        }
    }

    async fn measure(&mut self, read: &Read, from: Timestamp, now: Timestamp) -> Result<Flow, ActError> {
        match self.evidence.before(&read.plan, from) {
            Ok(before) => {
                let memory = boxed(before.memory);
                let progress = act::measured(&read.progress, before.window, now);
                self.record(read, &progress, Some(&memory), None).await
            }
            Err(waiting) => {
                self.say(read, format!("measuring before: {}", waiting.sentence()), LATER)
                    .await
            }
        }
    }

    /// What the plan does while it is carried out and proved, if it is harm.
    fn harm(&mut self, read: &Read, now: Timestamp) -> Option<super::Proof> {
        let window = read.progress.before?.window;
        let begun = matches!(read.progress.phase, Phase::Acting | Phase::Settling | Phase::Proving);
        if !((begun || read.progress.follows()) && is_due(&mut self.looks, read, now)) {
            return None;
        }
        self.evidence.harm(&read.plan, &read.before(window))
    }

    async fn judge(&mut self, read: &Read, window: Window, from: Timestamp, now: Timestamp) -> Result<Flow, ActError> {
        let proof = self.evidence.verdict(&read.plan, &read.before(window), from);
        match act::judged(&read.progress, &proof.verdict, now) {
            Some(progress) => {
                if progress.phase == Phase::Proved {
                    let gives_back = read.plan.kind() == PlanKind::GiveBack;
                    outrank::close(&self.client, &read.id, &progress, gives_back).await?;
                }
                self.record(read, &progress, None, Some(&proof)).await
            }
            None => {
                if is_due(&mut self.verdicts, read, now) {
                    self.record(read, &read.progress.clone(), None, Some(&proof)).await?;
                }
                Ok(Flow::Until(LATER))
            }
        }
    }

    /// Puts the progress down. Refused (409) when the plan has changed since it was read: also a stale writer's fate.
    async fn record(
        &self,
        read: &Read,
        progress: &Progress,
        memory: Option<&Value>,
        proof: Option<&super::Proof>,
    ) -> Result<Flow, ActError> {
        let mut object = read.object.clone();
        let mut status = with_progress(&read.object, progress, memory)?;
        status.message = message(progress);
        if let Some(proof) = proof {
            status.verdict = serde_json::to_value(&proof.verdict)
                .ok()
                .and_then(|it| serde_json::from_value(it).ok());
            status.proof = serde_json::to_value(proof).ok();
        }
        object.status = Some(status);
        self.write(&object).await?;
        events::tell(&self.recorder, &read.object, &read.progress, progress).await;
        Ok(Flow::Again)
    }

    /// Says what is waited for, where it was not said already.
    async fn say(&self, read: &Read, message: String, wake: Span) -> Result<Flow, ActError> {
        if !read.says(&message) {
            let mut object = read.object.clone();
            let mut status = with_progress(&read.object, &read.progress, None)?;
            status.message = message;
            object.status = Some(status);
            self.write(&object).await?;
        }
        Ok(Flow::Until(wake))
    }

    async fn write(&self, object: &api::Plan) -> Result<(), ActError> {
        let params = PostParams {
            field_manager: Some(api::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = propose::plans(&self.client)
            .replace_status(&object.name_any(), &params, object)
            .await;
        written.doing("writing a plan's status").map(drop)
    }
}

fn message(progress: &Progress) -> String {
    let done = progress
        .steps
        .iter()
        .filter(|step| step.state == StepState::Done)
        .count();
    let all = progress.steps.len();
    let why = progress
        .trouble
        .as_ref()
        .map(|it| format!(": {}", it.sentence()))
        .unwrap_or_default();
    format!("{}{why} ({done} of {all} steps stand)", progress.phase.label())
}

/// The status takes an object, and not too big a one.
fn boxed(memory: Value) -> Value {
    let size = memory.to_string().len();
    if size > MEMORY_BYTES {
        tracing::warn!(
            size,
            limit = MEMORY_BYTES,
            "the before window is too big to be kept in the plan"
        );
        return json!({});
    }
    json!({"of": memory})
}

/// What was measured before, out of the object that the status keeps it in.
pub(crate) fn unboxed(memory: &Value) -> Value {
    memory.get("of").cloned().unwrap_or_default()
}
