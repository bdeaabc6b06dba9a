"""A stage in Python that makes a log group with boto3, by the access that its host gives it."""

import boto3

from pipeline_plugin import Change, Context, Done, Outputs, Plugin, Resource, StagePlan

KIND = "logs:log-group"

plugin = Plugin("log-group", "1")


def logs(cx: Context):
    aws = cx.aws()
    return boto3.client(
        "logs",
        region_name=aws["region"],
        endpoint_url=aws.get("endpoint_url"),
        aws_access_key_id=aws["access_key_id"],
        aws_secret_access_key=aws["secret_access_key"],
        aws_session_token=aws.get("session_token"),
    )


def exists(cx: Context, name: str) -> bool:
    groups = logs(cx).describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group["logGroupName"] == name for group in groups)


@plugin.stage(
    "log-group",
    "A log group",
    inputs={
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {"name": {"type": "string", "description": "Its name."}},
    },
    outputs={"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
)
class LogGroup:
    def plan(self, cx: Context, inputs: dict) -> StagePlan:
        if cx.mode == "destroy":
            there = [one.name for one in cx.prior.resources] if cx.prior else []
            return StagePlan([Change(KIND, name, "delete") for name in there if exists(cx, name)])
        name = inputs["name"]
        changes = [] if exists(cx, name) else [Change(KIND, name, "create")]
        return StagePlan(changes, Outputs({"name": name}, [Resource(KIND, name, {})]))

    def apply(self, cx: Context, plan: StagePlan) -> Outputs:
        for change in plan.changes:
            intent = cx.intent(change.kind, change.name, change.action)
            client = logs(cx)
            if change.action == "create" and not exists(cx, change.name):
                client.create_log_group(logGroupName=change.name)
            if change.action == "delete" and exists(cx, change.name):
                client.delete_log_group(logGroupName=change.name)
            cx.done(intent, {})
        return plan.outputs

    def rollback(self, cx: Context, done: list[Done]) -> None:
        for one in reversed(done):
            if one.action == "create" and exists(cx, one.name):
                logs(cx).delete_log_group(logGroupName=one.name)


plugin.run()
