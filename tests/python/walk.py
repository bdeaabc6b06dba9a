"""Walks a service through its life with boto3: made from nothing, deployed, deployed back, failed and
rolled back, stopped and rolled back."""

import sys

from stack import Stack, check, client, equal, refused, until

EVENTS = [
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "AllowTestTraffic",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
]


def creation(stack):
    made = stack.service()
    equal(made["deployments"], [], "the ECS deployments of a CODE_DEPLOY service")
    equal(len(made["taskSets"]), 1, "the number of task sets of a new service")
    primary = stack.steady()
    equal(primary["taskDefinition"], stack.first, "the task definition of the first task set")
    equal(primary["loadBalancers"], [stack.route_to(stack.blue)], "the target group of the first task set")
    equal(primary["scale"], {"value": 100.0, "unit": "PERCENT"}, "the scale of the first task set")
    equal(stack.service()["runningCount"], 2, "the running tasks")
    until(lambda: stack.health(stack.blue) == ["healthy", "healthy"], "both targets are healthy")
    tasks = stack.ecs.list_tasks(cluster=stack.name, serviceName=stack.name)["taskArns"]
    described = stack.ecs.describe_tasks(cluster=stack.name, tasks=tasks)["tasks"]
    equal({task["lastStatus"] for task in described}, {"RUNNING"}, "the status of the tasks")
    group = stack.codedeploy.get_deployment_group(applicationName=stack.name, deploymentGroupName=stack.name)
    equal(group["deploymentGroupInfo"]["computePlatform"], "ECS", "the platform of the group")


def moves(stack, definition, origin, destination, expected, **arguments):
    """Deploys and watches how the destination's share of the traffic grows."""
    shares = []

    def look():
        share = stack.share(destination)
        if not shares or shares[-1] != share:
            shares.append(share)

    which = stack.deploy(definition, **arguments)
    info = stack.ends(which, seen=look)
    equal(info["status"], "Succeeded", f"deployment {which} ({info.get('errorInformation')})")
    look()
    equal(shares, expected, "how the share of the new version grew")
    equal(info["creator"], "user", "the creator of a deployment")
    equal(stack.live_group(), destination, "the target group of the primary task set")
    equal(stack.primary()["taskDefinition"], definition, "what is live")
    target = stack.target(which)
    equal(target["status"], "Succeeded", "the status of the target")
    events = {event["lifecycleEventName"]: event["status"] for event in target["lifecycleEvents"]}
    equal([name for name in EVENTS if name in events], list(events), "the order of the events")
    for name in ("Install", "AllowTraffic"):
        equal(events[name], "Succeeded", f"event {name}")
    check(set(events.values()) <= {"Succeeded", "Skipped"}, "no event failed", events)
    labels = {each["taskSetLabel"]: each for each in target["taskSetsInfo"]}
    equal(labels["Green"]["trafficWeight"], 100.0, "the green weight")
    until(lambda: len(stack.service()["taskSets"]) == 1, "the old task set is gone")
    until(lambda: stack.health(destination) == ["healthy"] * 2, "the new targets are healthy")
    until(lambda: stack.health(origin) == [], "the old targets have drained")
    return which


def one_at_a_time(stack):
    """While a canary waits there is room for no other; stopping it brings the traffic back."""
    live, idle = stack.live_group(), stack.blue if stack.live_group() == stack.green else stack.green
    before = stack.primary()["taskDefinition"]
    slow = "CodeDeployDefault.ECSCanary10Percent15Minutes"
    which = stack.deploy(stack.register(VERSION="stopped"), deploymentConfigName=slow)
    until(lambda: stack.share(idle) == 10, "a tenth of the traffic moved")
    refused("DeploymentLimitExceededException", stack.deploy, which, definition=stack.first)
    stopped = stack.codedeploy.stop_deployment(deploymentId=which, autoRollbackEnabled=True)
    check(stopped["status"] in ("Pending", "Succeeded"), "the answer of StopDeployment", stopped)
    info = stack.ends(which)
    equal(info["status"], "Stopped", "a stopped deployment")
    equal(info["errorInformation"]["code"], "MANUAL_STOP", "why it stopped")
    rolled_back(stack, which, live, before)
    refused(
        "DeploymentAlreadyCompletedException", stack.codedeploy.stop_deployment, deploymentId=which
    )


def rolled_back(stack, which, live, definition):
    """The rollback is a deployment of its own, and the traffic is where it was."""
    back = until(
        lambda: stack.deployment(which).get("rollbackInfo", {}).get("rollbackDeploymentId"),
        f"the rollback of {which} has an id",
    )
    check(back != which and back.startswith("d-"), "a rollback is a new deployment", back)
    info = stack.ends(back)
    equal(info["creator"], "codeDeployRollback", "the creator of a rollback")
    equal(info["status"], "Succeeded", f"rollback {back} ({info.get('errorInformation')})")
    equal(info["rollbackInfo"]["rollbackTriggeringDeploymentId"], which, "what the rollback undoes")
    equal(stack.share(live), 100, "the share of the old version")
    equal(stack.live_group(), live, "the target group of the primary task set")
    equal(stack.primary()["taskDefinition"], definition, "what is live")
    until(lambda: len(stack.service()["taskSets"]) == 1, "the new task set is gone")
    equal(stack.health(live), ["healthy"] * 2, "the old targets")


def failure(stack):
    live, before = stack.live_group(), stack.primary()["taskDefinition"]
    which = stack.deploy(stack.register(VERSION="broken", SIMULATE_HEALTH_STATUS="503"))
    info = stack.ends(which)
    equal(info["status"], "Failed", "a deployment whose tasks are unhealthy")
    check(info["errorInformation"]["code"] and info["errorInformation"]["message"], "it says why", info)
    equal(stack.share(live), 100, "the share of the old version after the failure")
    rolled_back(stack, which, live, before)
    failed = stack.codedeploy.list_deployments(
        applicationName=stack.name, deploymentGroupName=stack.name, includeOnlyStatuses=["Failed"]
    )["deployments"]
    equal(failed, [which], "the failed deployments of the group")


def main():
    equal(client("sts").get_caller_identity()["Account"], "123456789012", "the account")
    stack = Stack("walk").create()
    creation(stack)
    second, third = stack.register(VERSION="2"), stack.register(VERSION="3")
    check(second.endswith(":2") and third.endswith(":3"), "revisions count up", second, third)
    first_time = moves(stack, second, stack.blue, stack.green, [0, 10, 100])
    again = moves(
        stack, third, stack.green, stack.blue, [0, 100], deploymentConfigName="CodeDeployDefault.ECSAllAtOnce"
    )
    check(first_time != again, "every deployment has its own id", first_time)
    failure(stack)
    one_at_a_time(stack)
    equal(stack.primary()["taskDefinition"], third, "what is live in the end")


if __name__ == "__main__":
    sys.exit(main())
