"""An inert cloud: it answers everything and moves nothing, so that a client's own waiting can be tested."""

import time

from stack import Stack, equal


def main():
    stack = Stack("inert").create(desired=2)
    looks = 20
    which = stack.deploy(stack.register(VERSION="2"))
    for _ in range(looks):
        service = stack.service()
        equal(service["status"], "ACTIVE", "the status of the service")
        equal((service["desiredCount"], service["runningCount"]), (2, 0), "the desired and running tasks")
        equal(stack.primary()["stabilityStatus"], "STABILIZING", "the stability of the task set")
        equal(stack.deployment(which)["status"], "Created", "the status of the deployment")
        equal(stack.share(stack.blue), 100, "the traffic")
        time.sleep(0.01)
    target = {"Id": "10.0.0.1", "Port": 8080}
    stack.elb.register_targets(TargetGroupArn=stack.blue, Targets=[target])
    equal(set(stack.health(stack.blue)), {"healthy"}, "the health of a registered target")
    stopped = stack.codedeploy.stop_deployment(deploymentId=which)
    equal(stopped["status"] in ("Pending", "Succeeded"), True, "a deployment can be stopped")


if __name__ == "__main__":
    main()
