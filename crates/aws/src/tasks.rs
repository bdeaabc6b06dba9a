//! Tasks of ECS that ended, and why.

use aws_sdk_ecs::types::{DesiredStatus, Task};
use pipeline_sdk::StageError;

use crate::{Aws, AwsResult};

/// The tasks of a service that have stopped, as long as ECS remembers them (an hour or so:
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html>), newest first: at most 100.
///
/// # Errors
/// AWS refuses to tell or cannot be reached.
pub async fn stopped(aws: &Aws, cluster: &str, service: &str) -> Result<Vec<Task>, StageError> {
    let call = aws.ecs().list_tasks().cluster(cluster).service_name(service);
    let listed = call.desired_status(DesiredStatus::Stopped).send().await.or_fail("ecs:ListTasks")?;
    let arns = listed.task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let call = aws.ecs().describe_tasks().cluster(cluster).set_tasks(Some(arns));
    let mut tasks = call.send().await.or_fail("ecs:DescribeTasks")?.tasks.unwrap_or_default();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.created_at().map(|at| at.secs())));
    Ok(tasks)
}

/// The reason of a task, and of its containers where they say more.
pub fn why_stopped(task: &Task) -> String {
    let reason = task.stopped_reason().unwrap_or("no reason given");
    let containers = task.containers().iter().filter_map(|container| {
        let name = container.name().unwrap_or("?");
        match (container.exit_code(), container.reason()) {
            (_, Some(same)) if same == reason => None,
            (_, Some(more)) => Some(format!("{name}: {more}")),
            (Some(code), None) => Some(format!("{name} ended with exit code {code}")),
            (None, None) => None,
        }
    });
    std::iter::once(reason.to_owned()).chain(containers).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::Container;

    use super::*;

    #[test]
    fn containers_say_more_than_their_task() {
        let ended = Container::builder().name("app").exit_code(3).build();
        let killed = Container::builder().name("side").reason("OutOfMemoryError").exit_code(137).build();
        let quiet = Container::builder().name("quiet").build();
        let task = Task::builder().stopped_reason("Essential container in task exited");
        let task = task.containers(ended).containers(killed).containers(quiet).build();
        let said = "Essential container in task exited; app ended with exit code 3; side: OutOfMemoryError";
        assert_eq!(why_stopped(&task), said);
        let same = Container::builder().name("app").reason("CannotStartContainerError: no such file").build();
        let task = Task::builder().stopped_reason("CannotStartContainerError: no such file").containers(same);
        assert_eq!(why_stopped(&task.build()), "CannotStartContainerError: no such file");
    }
}
