"""A CloudWatch alarm that fires stops the deployment that watches it, and the traffic goes back."""

from stack import Stack, client, equal, refused, until


def put(cloudwatch, name):
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/ApplicationELB",
        MetricName="HTTPCode_Target_5XX_Count",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=10,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )


def state(cloudwatch, name):
    return cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]


def main():
    cloudwatch = client("cloudwatch")
    stack = Stack("alarms").create(desired=1)
    stack.steady()
    put(cloudwatch, "errors")
    equal(state(cloudwatch, "errors"), "INSUFFICIENT_DATA", "the state of a new alarm")
    refused(
        "ResourceNotFound", cloudwatch.set_alarm_state, AlarmName="none", StateValue="OK", StateReason="a test"
    )
    stack.codedeploy.update_deployment_group(
        applicationName=stack.name,
        currentDeploymentGroupName=stack.name,
        alarmConfiguration={"enabled": True, "alarms": [{"name": "errors"}]},
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_ALARM"]},
    )
    live = stack.live_group()
    which = stack.deploy(stack.register(VERSION="2"))
    until(lambda: stack.share(live) == 90, "the canary has its share")
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    stopped = until(
        lambda: (found := stack.deployment(which))["status"] == "Stopped" and found, "the alarm stops it"
    )
    equal(stopped["errorInformation"]["code"], "ALARM_ACTIVE", "why the deployment was stopped")
    rollback = until(
        lambda: stack.deployment(which).get("rollbackInfo", {}).get("rollbackDeploymentId"), "it is rolled back"
    )
    until(lambda: stack.deployment(rollback)["status"] == "Succeeded", "the rollback, whatever the alarm says")
    equal(stack.share(live), 100, "the traffic of what ran before")
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="a test")
    cloudwatch.delete_alarms(AlarmNames=["errors"])
    equal(cloudwatch.describe_alarms()["MetricAlarms"], [], "the alarms that are left")


if __name__ == "__main__":
    main()
