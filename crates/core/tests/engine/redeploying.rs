//! Bringing back what an earlier run had deployed.

use pipeline_core::{EngineError, Plan, Run, RunReport, Wait};
use pipeline_sdk::{Mode, RunCommand, RunId, RunOutcome};

use crate::world::{Fault, Lab};

/// A pipeline that deploys `version` of what it builds.
fn pipeline(version: &str) -> String {
    format!(
        r#"
[stages.build]
uses = "thing"
value = "{version}"
[stages.service]
uses = "thing"
value = "for ${{{{ stages.build.value }}}}"
[stages.deploy]
uses = "deploy"
value = "${{{{ stages.build.value }}}}"
needs = ["service"]
[stages.check]
uses = "thing"
value = "${{{{ stages.deploy.value }}}} is there"
"#
    )
}

async fn begin(lab: &Lab, text: &str, earlier: RunId) -> Result<Run, EngineError> {
    lab.engine(text).begin_redeployment(earlier, "test", lab.cancel.clone(), Wait::never()).await
}

async fn redeploy(lab: &Lab, text: &str, earlier: RunId) -> (Plan, RunReport) {
    let mut run = begin(lab, text, earlier).await.unwrap_or_else(|error| panic!("{error}"));
    let plan = run.plan(Mode::Converge).await.unwrap_or_else(|error| panic!("{error}"));
    (plan.clone(), run.apply(plan).await)
}

async fn undo(lab: &Lab, text: &str) -> RunReport {
    let undoing = lab.engine(text).begin_rollback("test", lab.cancel.clone(), Wait::never()).await;
    undoing.unwrap_or_else(|error| panic!("{error}")).apply().await
}

fn values(lab: &Lab) -> Vec<String> {
    let things = lab.things();
    ["build", "service", "deploy", "check"]
        .iter()
        .map(|name| things[*name].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_deploys_and_what_builds_on_it_goes_back_and_the_rest_is_not_even_planned() {
    let (lab, second) = (Lab::default(), pipeline("v2"));
    let first = lab.run(&pipeline("v1")).await.run;
    lab.run(&second).await;
    lab.take_log();
    let (plan, report) = redeploy(&lab, &second, first).await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Succeeded, 2));
    let changed: Vec<_> = plan.changes().map(|(stage, _)| stage.to_string()).collect();
    assert_eq!(changed, ["deploy", "check"]);
    assert_eq!(values(&lab), ["v2", "for v2", "v1", "v1 is there"]);
    assert!(!lab.take_log().iter().any(|call| call.ends_with("build") || call.ends_with("service")));

    let next = lab.plan(&second, Mode::Converge).await.unwrap();
    let changed: Vec<_> = next.changes().map(|(stage, _)| stage.to_string()).collect();
    assert_eq!(changed, ["deploy", "check"], "the file still wants the second version");
    assert_eq!(undo(&lab, &second).await.outcome, RunOutcome::Succeeded);
    assert_eq!(values(&lab), ["v2", "for v2", "v2", "v2 is there"]);
    assert!(lab.plan(&second, Mode::Converge).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redeployment_that_fails_is_undone_like_any_other_run() {
    let (lab, second) = (Lab::default(), pipeline("v2"));
    let first = lab.run(&pipeline("v1")).await.run;
    lab.run(&second).await;
    lab.fault("check", Fault::Late);
    let (_, report) = redeploy(&lab, &second, first).await;
    assert_eq!(report.outcome, RunOutcome::RolledBack);
    lab.fault("check", Fault::None);
    assert_eq!(values(&lab), ["v2", "for v2", "v2", "v2 is there"]);
    assert!(lab.plan(&second, Mode::Converge).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_undone_before_anything_is_brought_back() {
    let (lab, second) = (Lab::default(), pipeline("v2"));
    let first = lab.run(&pipeline("v1")).await.run;
    let mut cut_off =
        lab.engine(&second).begin(RunCommand::Run, "test", lab.cancel.clone(), Wait::never()).await.unwrap();
    let plan = cut_off.plan(Mode::Converge).await.unwrap();
    lab.fault("deploy", Fault::UntilCancelled);
    let applying = tokio::spawn(cut_off.apply(plan));
    while !lab.take_calls("apply").contains(&"deploy".to_owned()) {
        lab.applying.notified().await;
    }
    applying.abort();
    assert!(applying.await.is_err(), "it is gone");
    lab.fault("deploy", Fault::None);
    let (plan, report) = redeploy(&lab, &second, first).await;
    assert_eq!((plan.is_empty(), report.outcome), (true, RunOutcome::Unchanged));
    assert_eq!(values(&lab), ["v1", "for v1", "v1", "v1 is there"]);
}

#[tokio::test]
async fn a_run_that_left_no_deployment_is_refused() {
    let lab = Lab::default();
    let refusal = async |text: &str, run| match begin(&lab, text, run).await {
        Ok(_) => panic!("it began"),
        Err(error) => error.to_string(),
    };
    let unknown = RunId::generate();
    let error = refusal(&pipeline("v1"), unknown).await;
    assert_eq!(
        error,
        format!("nothing can be brought back: there is no run {unknown}; `pipeline history` lists the runs")
    );
    lab.fault("check", Fault::Late);
    let failed = lab.run(&pipeline("v1")).await.run;
    lab.fault("check", Fault::None);
    assert!(refusal(&pipeline("v1"), failed).await.contains("did not succeed"));
    let without = "[stages.build]\nuses = \"thing\"\n";
    let built = lab.run(without).await.run;
    assert!(refusal(without, built).await.contains("no stage of this pipeline deploys an app"));
    let destroyed = lab.destroy(without).await.run;
    assert!(refusal(&pipeline("v1"), destroyed).await.contains("removed everything"));

    let mut run = begin(&lab, &pipeline("v1"), built).await.unwrap();
    let EngineError::Plan(failures) = run.plan(Mode::Converge).await.unwrap_err() else { panic!("no plan") };
    let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        failures,
        [
            "stage `build`: it does not exist yet, so nothing can be deployed",
            "stage `service`: it does not exist yet, so nothing can be deployed",
            &format!("stage `deploy`: run {built} deployed nothing by this stage"),
        ]
    );
}
