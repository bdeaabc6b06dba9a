//! What the stage takes.

use std::collections::BTreeMap;

use pipeline_aws::UserTags;
use pipeline_sdk::{JsonSchema, Maybe, StageError, Value, schemars};
use serde::{Deserialize, Serialize};

/// The inputs of the stage `ecs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcsInputs {
    /// Name of the service, the task definition's family and, with suffixes, of the rest. Default:
    /// `{name}-{environment}`.
    #[serde(default)]
    pub name: Option<String>,
    /// Name of a cluster that exists. Default: one is made for the service.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The image, pinned by digest: `${{ stages.image.image }}`.
    pub image: Maybe<String>,
    /// Name of the container. Default: the pipeline's name.
    #[serde(default)]
    pub container_name: Option<String>,
    /// Port that the app listens on.
    #[schemars(range(min = 1))]
    #[serde(default = "port")]
    pub port: u16,
    /// CPU units of a task; 1024 are one vCPU.
    #[serde(default = "cpu")]
    pub cpu: u32,
    /// Memory of a task in MiB.
    #[serde(default = "memory")]
    pub memory: u32,
    /// CPU architecture of the image: `X86_64` or `ARM64`.
    #[schemars(extend("enum" = ["X86_64", "ARM64"]))]
    #[serde(default = "architecture")]
    pub architecture: String,
    /// How many tasks run, if they are not scaled; with `scaling`, how many there are at first. Default: 1, or
    /// `scaling.min`.
    #[serde(default)]
    pub desired_count: Option<u32>,
    /// Environment variables of the app.
    #[serde(default)]
    pub environment: BTreeMap<String, Maybe<String>>,
    /// Environment variables whose values ECS reads from ARNs of Secrets Manager or Parameter Store.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Takes the place of the image's command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Takes the place of the image's entry point.
    #[serde(default)]
    pub entry_point: Vec<String>,
    /// Seconds between SIGTERM and SIGKILL when a task is stopped; at most 120.
    #[schemars(range(max = 120))]
    #[serde(default = "stop_timeout")]
    pub stop_timeout_seconds: u32,
    /// Own task definition file: a list of container definitions, or the whole input of
    /// RegisterTaskDefinition, as JSON. `${image}`, `${name}`, `${port}`, `${region}`, `${log-group}`,
    /// `${family}`, `${cpu}`, `${memory}`, `${execution_role_arn}`, `${task_role_arn}`, `${app_name}` and
    /// `${environment}` in it are replaced.
    #[serde(default)]
    pub task_definition: Option<String>,
    /// Subnets of the tasks.
    pub subnets: Maybe<Vec<String>>,
    /// Security groups of the tasks.
    pub security_groups: Maybe<Vec<String>>,
    /// Whether tasks get a public address: needed to pull images from subnets without a NAT gateway. The service starts
    /// so; a `codedeploy` stage changes it if it gets this output of the stage.
    #[serde(default = "yes")]
    pub assign_public_ip: bool,
    /// ARN of the target group that the service starts in. Later deployments move it.
    pub target_group_arn: Maybe<String>,
    /// Seconds for which failing health checks of a new task are ignored.
    #[serde(default)]
    pub health_check_grace_seconds: u32,
    /// Fargate platform version of the first start.
    #[serde(default = "platform_version")]
    pub platform_version: String,
    /// Allow `aws ecs execute-command` into tasks; set when the service is made.
    #[serde(default)]
    pub execute_command: bool,
    /// CloudWatch Container Insights of the cluster.
    #[serde(default)]
    pub container_insights: bool,
    /// Name of the log group. Default: `/ecs/{name}-{environment}`.
    #[serde(default)]
    pub log_group: Option<String>,
    /// Days for which logs are kept; 0 keeps them for ever.
    #[serde(default = "log_retention")]
    pub log_retention_days: i32,
    /// Auto scaling by CPU.
    #[serde(default)]
    pub scaling: Option<Scaling>,
    /// ARN of an own execution role. Default: one is made that may pull the image, write the logs and
    /// read the `secrets`.
    #[serde(default)]
    pub execution_role_arn: Option<Maybe<String>>,
    /// ARN of an own task role. Default: one is made with `task_policies` and `task_policy`.
    #[serde(default)]
    pub task_role_arn: Option<Maybe<String>>,
    /// ARNs of managed policies for the task role.
    #[serde(default)]
    pub task_policies: Vec<String>,
    /// Inline policy document for the task role.
    #[serde(default)]
    pub task_policy: Option<Value>,
    /// How many seconds the service may take until its first tasks are healthy.
    #[serde(default = "start_timeout")]
    pub start_timeout_seconds: u64,
    /// Take over what has these names and was not made by this pipeline.
    #[serde(default)]
    pub adopt: bool,
    /// More tags.
    #[serde(default)]
    pub tags: UserTags,
}

/// Auto scaling of the service by its average CPU utilisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// The fewest tasks.
    pub min: u32,
    /// The most tasks.
    pub max: u32,
    /// The average CPU utilisation to hold, in percent.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "cpu_percent")]
    pub cpu_percent: u32,
}

fn yes() -> bool {
    true
}
fn port() -> u16 {
    8080
}
fn cpu() -> u32 {
    256
}
fn memory() -> u32 {
    512
}
fn architecture() -> String {
    "X86_64".into()
}
fn stop_timeout() -> u32 {
    30
}
fn platform_version() -> String {
    "LATEST".into()
}
fn log_retention() -> i32 {
    30
}
fn start_timeout() -> u64 {
    600
}
fn cpu_percent() -> u32 {
    60
}

/// The retention periods that CloudWatch Logs takes:
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>.
const RETENTIONS: [i32; 23] = [
    0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288,
    3653,
];

impl EcsInputs {
    /// Checks what the schema cannot.
    pub(crate) fn check(&self) -> Result<(), StageError> {
        self.check_size()?;
        if !RETENTIONS.contains(&self.log_retention_days) {
            let text = RETENTIONS.map(|days| days.to_string()).join(", ");
            return Err(StageError::input("log_retention_days", format!("is one of {text}")));
        }
        let Some(Scaling { min, max, .. }) = self.scaling else { return Ok(()) };
        if min > max {
            return Err(StageError::input("scaling.min", "is larger than `scaling.max`"));
        }
        match self.desired_count {
            Some(count) if !(min..=max).contains(&count) => Err(StageError::input(
                "desired_count",
                format!("is {count}, and `scaling` allows {min} to {max} tasks"),
            )),
            _ => Ok(()),
        }
    }

    /// How many tasks there are at first.
    pub(crate) fn first_count(&self) -> u32 {
        self.desired_count.unwrap_or_else(|| self.scaling.map_or(1, |scaling| scaling.min))
    }

    /// Fargate takes certain pairs of CPU and memory only:
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>.
    fn check_size(&self) -> Result<(), StageError> {
        let (least, most, step) = match self.cpu {
            256 if [512, 1024, 2048].contains(&self.memory) => return Ok(()),
            256 => return Err(StageError::input("memory", "is 512, 1024 or 2048 with `cpu = 256`")),
            512 => (1024, 4096, 1024),
            1024 => (2048, 8192, 1024),
            2048 => (4096, 16384, 1024),
            4096 => (8192, 30720, 1024),
            8192 => (16384, 61440, 4096),
            16384 => (32768, 122_880, 8192),
            _ => {
                return Err(StageError::input(
                    "cpu",
                    "is 256, 512, 1024, 2048, 4096, 8192 or 16384 on Fargate",
                ));
            }
        };
        let fits = (least..=most).contains(&self.memory) && self.memory.is_multiple_of(step);
        if fits {
            return Ok(());
        }
        let cpu = self.cpu;
        Err(StageError::input(
            "memory",
            format!("is {least} to {most} in steps of {step} with `cpu = {cpu}`"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::json;

    use super::*;

    fn inputs(more: Value) -> EcsInputs {
        let mut all = json!({
            "image": "a@sha256:b", "subnets": ["s"], "security_groups": ["g"], "target_group_arn": "t",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).expect("reads")
    }

    #[test]
    fn only_the_sizes_of_fargate_are_taken() {
        for (cpu, memory, fine) in
            [(256, 512, true), (256, 4096, false), (512, 512, false), (1024, 2048, true), (300, 512, false)]
        {
            assert_eq!(
                inputs(json!({ "cpu": cpu, "memory": memory })).check().is_ok(),
                fine,
                "{cpu} {memory}"
            );
        }
    }

    #[test]
    fn impossible_values_are_refused_before_anything_is_changed() {
        assert!(inputs(json!({ "log_retention_days": 2 })).check().is_err());
        assert!(inputs(json!({ "scaling": { "min": 3, "max": 2 } })).check().is_err());
        let scaling = json!({ "min": 2, "max": 6 });
        assert!(inputs(json!({ "scaling": scaling, "desired_count": 9 })).check().is_err());
        assert!(inputs(json!({ "scaling": scaling, "desired_count": 6 })).check().is_ok());
        assert_eq!(inputs(json!({ "scaling": scaling })).first_count(), 2);
        assert!(inputs(json!({})).check().is_ok());
    }
}
