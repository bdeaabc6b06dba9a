//! Whatever goes wrong, at whichever side effect: undone means as before, run again means as wanted.

use std::sync::Arc;

use pipeline_sdk::{ApplyError, Context, Inputs, Mode, Outputs, Prior, Stage, StagePlan, json};
use proptest::prelude::*;

use super::context_for;
use super::fakes::{Fault, Journal, SharedWorld, Shop, ShopInputs, Wish};
use crate::Kit;

/// A shop, its journal and its state.
pub(super) struct Bench {
    pub(super) world: SharedWorld,
    pub(super) kit: Kit<Shop>,
    pub(super) journal: Arc<Journal>,
    pub(super) prior: Option<Prior>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let world = SharedWorld::default();
        Self { kit: Kit(Shop(Arc::clone(&world))), world, journal: Arc::default(), prior: None }
    }

    pub(super) fn cx(&self, mode: Mode) -> Context {
        context_for(mode, self.prior.clone(), Arc::clone(&self.journal) as _)
    }

    pub(super) async fn plan(&self, mode: Mode, inputs: &ShopInputs) -> StagePlan {
        self.kit.plan(&self.cx(mode), &raw(inputs)).await.expect("plans")
    }

    pub(super) async fn run(&mut self, mode: Mode, inputs: &ShopInputs) -> Result<Outputs, ApplyError> {
        let plan = self.plan(mode, inputs).await;
        self.kit.apply(&self.cx(mode), &plan).await
    }

    /// Runs without faults and forgets the journal, as the engine does.
    pub(super) async fn settle(&mut self, inputs: &ShopInputs) {
        let outputs = self.run(Mode::Converge, inputs).await.expect("applies");
        self.prior = Some(Prior { outputs });
        self.journal = Arc::default();
        self.world.lock().expect("world").revive();
    }

    pub(super) async fn roll_back(&self) {
        let done = self.journal.entries.lock().expect("journal").clone();
        self.kit.rollback(&self.cx(Mode::Converge), &done).await.expect("rolls back");
    }

    pub(super) fn content(&self) -> Vec<pipeline_sdk::Value> {
        self.world.lock().expect("world").content()
    }

    fn with_fault(&self, fault: Option<Fault>) {
        self.world.lock().expect("world").fault = fault;
    }

    fn revive(&self) {
        self.world.lock().expect("world").revive();
    }
}

pub(super) fn raw(inputs: &ShopInputs) -> Inputs {
    serde_json::from_value(json!(inputs)).expect("inputs")
}

fn wishes() -> impl Strategy<Value = ShopInputs> {
    let wish = (0..5usize, 0..3u8, 0..2u8, any::<bool>()).prop_map(|(name, color, size, child)| Wish {
        name: format!("thing-{name}"),
        color: color.into(),
        size,
        child,
    });
    let tags = prop_oneof![Just(vec![]), Just(vec![("team", "a")]), Just(vec![("team", "b"), ("cost", "1")])];
    (prop::collection::vec(wish, 0..5), tags).prop_map(|(mut things, tags)| {
        things.sort_by(|a, b| a.name.cmp(&b.name));
        things.dedup_by(|a, b| a.name == b.name);
        let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        ShopInputs { things, adopt: false, tags }
    })
}

fn faults() -> impl Strategy<Value = Fault> {
    (0..10usize, 0..4).prop_map(|(n, kind)| match kind {
        0 => Fault::Refused(n),
        1 => Fault::AnswerLost(n),
        kind => Fault::Killed(n, kind == 2),
    })
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("runtime").block_on(future)
}

/// What the world looks like when `wanted` is applied to nothing.
async fn made_from_nothing(wanted: &ShopInputs) -> Vec<pipeline_sdk::Value> {
    let mut bench = Bench::new();
    bench.settle(wanted).await;
    bench.content()
}

proptest! {
    #[test]
    fn a_plan_after_apply_is_empty(first in wishes(), second in wishes()) {
        block_on(async {
            let mut bench = Bench::new();
            bench.settle(&first).await;
            bench.settle(&second).await;
            prop_assert_eq!(bench.content(), made_from_nothing(&second).await);
            let plan = bench.plan(Mode::Converge, &second).await;
            prop_assert_eq!(plan.changes, vec![]);
            let drift = bench.plan(Mode::Refresh, &second).await;
            prop_assert_eq!(drift.changes, vec![]);
            bench.run(Mode::Destroy, &second).await.expect("destroys");
            prop_assert!(bench.content().is_empty());
            Ok(())
        })?;
    }

    #[test]
    fn undone_means_as_before(first in wishes(), second in wishes(), fault in faults()) {
        block_on(async {
            let mut bench = Bench::new();
            bench.settle(&first).await;
            let before = bench.content();
            bench.with_fault(Some(fault));
            let result = bench.run(Mode::Converge, &second).await;
            bench.revive();
            if result.is_ok() {
                prop_assert_eq!(bench.content(), made_from_nothing(&second).await);
            }
            bench.roll_back().await;
            prop_assert_eq!(bench.content(), before.clone());
            bench.roll_back().await;
            prop_assert_eq!(bench.content(), before);
            Ok(())
        })?;
    }

    #[test]
    fn run_again_means_as_wanted(first in wishes(), second in wishes(), fault in faults()) {
        block_on(async {
            let mut bench = Bench::new();
            bench.settle(&first).await;
            bench.with_fault(Some(fault));
            let _ = bench.run(Mode::Converge, &second).await;
            bench.revive();
            bench.run(Mode::Converge, &second).await.expect("goes on");
            prop_assert_eq!(bench.content(), made_from_nothing(&second).await);
            Ok(())
        })?;
    }
}
