//! The rules of the kit, one by one.

use pipeline_sdk::{Action, Maybe, Mode, Stage, Unknown, contains_unknown, json};

use super::fakes::{ShopInputs, Thing, Wish};
use super::properties::{Bench, raw};
use crate::Attributes;

fn one(name: &str, color: u8) -> ShopInputs {
    let wish = Wish { name: name.into(), color: color.into(), ..Wish::default() };
    ShopInputs { things: vec![wish], ..ShopInputs::default() }
}

fn put(bench: &Bench, name: &str, tags: pipeline_sdk::Value) {
    let attributes = Attributes::of(json!({"id": "x", "name": name, "color": 1, "size": 0, "tags": tags}));
    bench.world.lock().expect("world").things.push(Thing { name: name.into(), attributes });
}

#[tokio::test]
async fn what_is_not_ours_is_refused_with_the_way_to_take_it_over() {
    let bench = Bench::new();
    put(&bench, "table", json!({"by": "hand"}));
    let plan = bench.kit.plan(&bench.cx(Mode::Converge), &raw(&one("table", 1))).await;
    let error = plan.expect_err("not ours");
    assert_eq!(error.to_string(), "test:thing table exists already and was not made by this pipeline");
    assert_eq!(
        error.help(),
        Some("choose another name, or set `adopt = true` on stage `shop` to take it over")
    );
}

#[tokio::test]
async fn another_stage_of_the_pipeline_is_named() {
    let bench = Bench::new();
    let tags = json!({"pipeline:name": "hello", "pipeline:environment": "staging", "pipeline:stage": "old"});
    put(&bench, "table", tags);
    let plan = bench.kit.plan(&bench.cx(Mode::Converge), &raw(&one("table", 1))).await;
    let error = plan.expect_err("not ours");
    let message = "test:thing table exists already and belongs to stage `old` of this pipeline";
    assert_eq!(error.to_string(), message);
    let help = error.help().expect("what to do");
    assert!(!help.contains("adopt"), "both would fight for it: {help}");
}

#[tokio::test]
async fn taking_over_tags_it_and_undoing_gives_it_back() {
    let mut bench = Bench::new();
    put(&bench, "table", json!({"by": "hand"}));
    let before = bench.content();
    let inputs = ShopInputs { adopt: true, ..one("table", 1) };
    let plan = bench.plan(Mode::Converge, &inputs).await;
    assert_eq!(plan.changes[0].reason.as_deref(), Some("it exists already and is taken over"));
    bench.run(Mode::Converge, &inputs).await.expect("adopts");
    assert_eq!(bench.content()[0]["tags"]["by"], "hand");
    assert_eq!(bench.content()[0]["tags"]["pipeline:name"], "hello");
    bench.roll_back().await;
    assert_eq!(bench.content(), before);
}

#[tokio::test]
async fn tags_of_others_stay_after_a_takeover_and_a_change() {
    let mut bench = Bench::new();
    put(&bench, "table", json!({"by": "hand"}));
    for color in 1..4 {
        bench.settle(&ShopInputs { adopt: true, ..one("table", color) }).await;
        assert_eq!(bench.content()[0]["tags"]["by"], "hand", "after change {color}");
    }
}

#[tokio::test]
async fn destroy_leaves_what_is_not_ours() {
    let mut bench = Bench::new();
    put(&bench, "table", json!({}));
    bench.run(Mode::Destroy, &ShopInputs { adopt: true, ..one("table", 1) }).await.expect("destroys");
    assert_eq!(bench.content().len(), 1);
}

#[tokio::test]
async fn a_world_that_changed_since_the_plan_is_refused() {
    let mut bench = Bench::new();
    bench.settle(&one("table", 1)).await;
    let plan = bench.plan(Mode::Converge, &one("table", 2)).await;
    let tags = bench.content()[0]["tags"].clone();
    bench.world.lock().expect("world").things.clear();
    put(&bench, "table", {
        let mut tags = Attributes::of(tags);
        tags.set("pipeline:stage", "other");
        tags.to_value()
    });
    let error = bench.kit.apply(&bench.cx(Mode::Converge), &plan).await.expect_err("stale");
    assert_eq!(
        error.to_string(),
        "test:thing table exists already and belongs to stage `other` of this pipeline"
    );
    bench.world.lock().expect("world").things.clear();
    let error = bench.kit.apply(&bench.cx(Mode::Converge), &plan).await.expect_err("stale");
    assert_eq!(error.to_string(), "test:thing table: it was removed since the plan was made");
    assert!(bench.journal.entries.lock().expect("journal").is_empty(), "nothing was begun");
}

#[tokio::test]
async fn a_change_that_shows_late_is_waited_for() {
    let mut bench = Bench::new();
    bench.settle(&one("table", 1)).await;
    bench.world.lock().expect("world").shows_late = true;
    bench.run(Mode::Converge, &one("table", 2)).await.expect("applies");
    let entries = bench.journal.entries.lock().expect("journal");
    assert_eq!(entries[0].after.as_ref().expect("done")["color"], 2);
}

#[tokio::test]
async fn drift_says_what_was_made_and_what_is_there() {
    let mut bench = Bench::new();
    bench.settle(&one("table", 1)).await;
    bench.world.lock().expect("world").things[0].attributes.set("color", 9);
    let plan = bench.plan(Mode::Refresh, &one("table", 1)).await;
    let change = &plan.changes[0].attributes[0];
    assert_eq!((change.path.as_str(), &change.before, &change.after), ("color", &json!(1), &json!(9)));
    bench.world.lock().expect("world").things.clear();
    let plan = bench.plan(Mode::Refresh, &one("table", 1)).await;
    assert_eq!(plan.changes[0].action, Action::Delete);
}

#[tokio::test]
async fn unknown_inputs_are_planned_as_known_after_apply() {
    let bench = Bench::new();
    let mut inputs = one("table", 1);
    inputs.things[0].color = Maybe::Unknown(Unknown::new("stages.paint.color"));
    let plan = bench.plan(Mode::Converge, &inputs).await;
    let color = plan.changes[0].attributes.iter().find(|change| change.path == "color");
    assert!(contains_unknown(&color.expect("shown").after));
    assert!(contains_unknown(&plan.outputs.values["ids"]));
    let error = bench.kit.apply(&bench.cx(Mode::Converge), &plan).await.expect_err("not known");
    assert_eq!(error.to_string(), "test:thing table needs a value that is still not known");
}

#[tokio::test]
async fn a_cancelled_run_stops_before_the_next_side_effect() {
    let bench = Bench::new();
    let plan = bench.plan(Mode::Converge, &one("table", 1)).await;
    let cx = bench.cx(Mode::Converge);
    cx.cancel().cancel();
    assert!(bench.kit.apply(&cx, &plan).await.is_err());
    assert!(bench.content().is_empty());
}
