"""What a cloud knows before it ends, it knows after: steps that are called one by one."""

import sys

from stack import Stack, client, equal, until

NAME = "kept"


def make():
    stack = Stack(NAME).create(desired=1)
    stack.steady()
    until(lambda: stack.health(stack.blue) == ["healthy"], "the target is healthy")


def found():
    """The stack as it can be found again by name."""
    stack = Stack(NAME)
    elb = stack.elb
    stack.balancer = elb.describe_load_balancers(Names=[NAME])["LoadBalancers"][0]["LoadBalancerArn"]
    stack.listener = elb.describe_listeners(LoadBalancerArn=stack.balancer)["Listeners"][0]["ListenerArn"]
    groups = elb.describe_target_groups(Names=[f"{NAME}-blue", f"{NAME}-green"])["TargetGroups"]
    arns = {group["TargetGroupName"]: group["TargetGroupArn"] for group in groups}
    stack.blue, stack.green = arns[f"{NAME}-blue"], arns[f"{NAME}-green"]
    stack.log_group = f"/ecs/{NAME}"
    stack.execution_role = stack.iam.get_role(RoleName=f"{NAME}-execution")["Role"]["Arn"]
    stack.task_role = stack.iam.get_role(RoleName=f"{NAME}-task")["Role"]["Arn"]
    return stack


def again():
    stack = found()
    equal(stack.logs.describe_log_groups()["logGroups"][0]["retentionInDays"], 1, "the retention")
    group = client("codedeploy").get_deployment_group(applicationName=NAME, deploymentGroupName=NAME)
    equal(group["deploymentGroupInfo"]["ecsServices"][0]["serviceName"], NAME, "the service of the group")
    stack.steady()
    live = stack.live_group()
    until(lambda: stack.health(live) == ["healthy"], "the target is healthy again")
    equal(stack.share(live), 100, "the traffic")
    deploys(stack)


def deploys(stack):
    """It is no dead record: a deployment goes through."""
    before = stack.live_group()
    which = stack.deploy(stack.register(VERSION="next"), deploymentConfigName="CodeDeployDefault.ECSAllAtOnce")
    info = stack.ends(which)
    equal(info["status"], "Succeeded", f"deployment {which} ({info.get('errorInformation')})")
    equal(stack.live_group() != before, True, "that the groups swapped their roles")


def begin():
    """Leaves a canary half done and says its id."""
    stack = found()
    live = stack.live_group()
    which = stack.deploy(
        stack.register(VERSION="half"), deploymentConfigName="CodeDeployDefault.ECSCanary10Percent15Minutes"
    )
    until(lambda: stack.share(live) == 90, "a tenth of the traffic moved")
    print(which)


def finish(which):
    """A deployment that was under way when the cloud died comes to its end."""
    info = found().ends(which)
    equal(info["status"], "Succeeded", f"deployment {which} ({info.get('errorInformation')})")


STEPS = {"make": make, "again": again, "begin": begin, "finish": finish}

if __name__ == "__main__":
    STEPS[sys.argv[1]](*sys.argv[2:])
