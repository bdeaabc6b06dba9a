//! How soon a command ends once CodeDeploy has finished: `pipeline run` against `aws ecs deploy`,
//! which both deploy the same task definition on the same cloud.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Bench;
use super::deployed::{Deployed, sample};
use super::table::{Bound, Row, Section, figures, median};
use xtask::shell::{self, StepError};

/// Deployments by each side; every one has its real waits.
const ROUNDS: u32 = 3;

/// What `RegisterTaskDefinition` takes of what `DescribeTaskDefinition` gives.
const REGISTRABLE: [&str; 9] = [
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "requiresCompatibilities",
    "cpu",
    "memory",
];

/// Fills `section`.
pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let site = Site::find(bench, Deployed::start(bench)?)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let version = (round + 2).to_string();
        ours.push(site.lateness(&mut site.deployed.command(&sample(), &version))?);
        theirs.push(site.lateness(&mut site.ecs_deploy(bench)?)?);
        println!("round {}: {} and {}", round + 1, seconds(&ours), seconds(&theirs));
    }
    let (each_ours, each_theirs) = (seconds(&ours), seconds(&theirs));
    let worst = ours.iter().copied().fold(f64::MIN, f64::max);
    let (ours, theirs) = (median(ours), median(theirs));
    let s = |value: f64| format!("{} s", figures(value));
    let row = Row::new("from CodeDeploy's end to the command's, median", s(ours), s(theirs));
    section.rows.push(row);
    section.rows.push(Row::new("each time", each_ours, each_theirs).judged(worst, Bound::AtMost(1.0), " s"));
    section.notes.push(format!(
        "{ROUNDS} deployments of each, in turns: a canary and the wait before the old tasks end, \
         sixty times as fast as real time. The worst one of ours is judged."
    ));
    Ok(())
}

fn seconds(values: &[f64]) -> String {
    let texts: Vec<_> = values.iter().map(|value| figures(*value)).collect();
    format!("{} s", texts.join(", "))
}

/// The sample's deployment, as the AWS CLI sees it.
struct Site {
    aws: PathBuf,
    endpoint: String,
    deployed: Deployed,
    cluster: String,
    service: String,
    application: String,
    group: String,
}

impl Site {
    fn find(bench: &Bench, deployed: Deployed) -> Result<Self, StepError> {
        let endpoint = format!("http://{}", deployed.endpoint()?);
        let (aws, none) = (bench.python.join("aws"), String::new);
        let mut site = Self {
            aws,
            endpoint,
            deployed,
            cluster: none(),
            service: none(),
            application: none(),
            group: none(),
        };
        site.cluster = first(&site.ask(&["ecs", "list-clusters"])?, "clusterArns")?;
        site.service =
            first(&site.ask(&["ecs", "list-services", "--cluster", &site.cluster])?, "serviceArns")?;
        site.application = first(&site.ask(&["deploy", "list-applications"])?, "applications")?;
        let groups = ["deploy", "list-deployment-groups", "--application-name", &site.application];
        site.group = first(&site.ask(&groups)?, "deploymentGroups")?;
        Ok(site)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.aws);
        // By the environment, because `aws ecs deploy` does not pass `--endpoint-url` on to CodeDeploy.
        command.env("AWS_ENDPOINT_URL", &self.endpoint).args(["--output", "json"]).args(arguments);
        self.deployed.credentials(&mut command);
        command
    }

    fn ask(&self, arguments: &[&str]) -> Result<Value, StepError> {
        let text = shell::quiet(&mut self.command(arguments))?;
        serde_json::from_str(&text).map_err(|error| StepError::Other(format!("{error}: {text}")))
    }

    /// Runs a command that deploys; the seconds from CodeDeploy's end to the command's.
    fn lateness(&self, command: &mut Command) -> Result<f64, StepError> {
        let before = self.deployments()?;
        shell::quiet(command)?;
        let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let new: Vec<_> = self.deployments()?.into_iter().filter(|id| !before.contains(id)).collect();
        let [id] = new.as_slice() else {
            return Err(StepError::Other(format!("one deployment should have been made, not {new:?}")));
        };
        let answer = self.ask(&["deploy", "get-deployment", "--deployment-id", id])?;
        let info = &answer["deploymentInfo"];
        match (info["status"].as_str(), info["completeTime"].as_f64()) {
            (Some("Succeeded"), Some(complete)) => Ok(ended - complete),
            _ => Err(StepError::Other(format!("the deployment has no good end: {info}"))),
        }
    }

    fn deployments(&self) -> Result<Vec<String>, StepError> {
        let list = ["deploy", "list-deployments", "--application-name", &self.application];
        let answer = self.ask(&[&list[..], &["--deployment-group-name", &self.group]].concat())?;
        Ok(texts(&answer["deployments"]))
    }

    /// `aws ecs deploy` of the task definition that is live.
    fn ecs_deploy(&self, bench: &Bench) -> Result<Command, StepError> {
        let services =
            self.ask(&["ecs", "describe-services", "--cluster", &self.cluster, "--services", &self.service])?;
        let sets = services["services"][0]["taskSets"].as_array().cloned().unwrap_or_default();
        let live =
            sets.iter().find(|set| set["status"] == "PRIMARY").and_then(|set| set["taskDefinition"].as_str());
        let live = live.ok_or_else(|| StepError::Other(format!("no live task set in {services}")))?;
        let described = self.ask(&["ecs", "describe-task-definition", "--task-definition", live])?;
        let mut definition = described["taskDefinition"].as_object().cloned().unwrap_or_default();
        definition.retain(|key, _| REGISTRABLE.contains(&key.as_str()));
        let specification = app_spec(&definition);
        let write = |name: &str, value: &Value| {
            let path = bench.folder.join(name);
            std::fs::write(&path, value.to_string()).map_err(StepError::file(&path)).map(|()| path)
        };
        let definition = write("task-definition.json", &Value::Object(definition))?;
        let specification = write("appspec.json", &specification)?;
        let mut command = self.command(&["ecs", "deploy", "--cluster", &self.cluster]);
        command.args(["--service", &self.service]);
        command.arg("--task-definition").arg(definition);
        command.arg("--codedeploy-appspec").arg(specification);
        command.args(["--codedeploy-application", &self.application]);
        command.args(["--codedeploy-deployment-group", &self.group]);
        Ok(command)
    }
}

/// The AppSpec; `aws ecs deploy` puts the new task definition in.
fn app_spec(definition: &Map<String, Value>) -> Value {
    let container = &definition["containerDefinitions"][0];
    let load_balancer = json!({
        "ContainerName": container["name"],
        "ContainerPort": container["portMappings"][0]["containerPort"],
    });
    let properties = json!({ "TaskDefinition": "<TASK_DEFINITION>", "LoadBalancerInfo": load_balancer });
    let target = json!({ "Type": "AWS::ECS::Service", "Properties": properties });
    json!({ "version": 0.0, "Resources": [{ "TargetService": target }] })
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn first(answer: &Value, key: &str) -> Result<String, StepError> {
    let found = texts(&answer[key]).into_iter().next();
    found.ok_or_else(|| StepError::Other(format!("no {key} in {answer}")))
}
