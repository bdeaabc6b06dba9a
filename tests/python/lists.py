"""Lists that come in pages, and a reset that leaves nothing but what was there from the start."""

import os
import urllib.request

from stack import Stack, check, client, equal


def pages(service, operation, key, size, **arguments):
    """All items of a list that is asked for in pages of `size`, and how many pages it took."""
    paginator = client(service).get_paginator(operation)
    answers = list(paginator.paginate(**arguments, PaginationConfig={"PageSize": size}))
    for answer in answers:
        check(len(answer[key]) <= size, f"a page of {operation} has at most {size}", answer[key])
    return [item for answer in answers for item in answer[key]], len(answers)


def whole(listed, expected, least_pages, what):
    items, count = listed
    equal(sorted(items), sorted(expected), what)
    check(count >= least_pages, f"{what} came in pages", count)


def paginated():
    ecs, codedeploy, ecr, elb = client("ecs"), client("codedeploy"), client("ecr"), client("elbv2")
    names = [f"list-{number}" for number in range(7)]
    arns = [ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"] for name in names]
    whole(pages("ecs", "list_clusters", "clusterArns", 3), arns, 3, "clusters")

    definition = {"networkMode": "awsvpc", "containerDefinitions": [{"name": "app", "image": "x", "memory": 64}]}
    revisions = [
        ecs.register_task_definition(family="list", **definition)["taskDefinition"]["taskDefinitionArn"]
        for _ in range(5)
    ]
    listed = pages("ecs", "list_task_definitions", "taskDefinitionArns", 2, familyPrefix="list")
    whole(listed, revisions, 3, "task definitions")

    for name in names:
        ecr.create_repository(repositoryName=name)
        codedeploy.create_application(applicationName=name, computePlatform="ECS")
        client("logs").create_log_group(logGroupName=name)
    repositories, count = pages("ecr", "describe_repositories", "repositories", 3)
    whole(([each["repositoryName"] for each in repositories], count), names, 3, "repositories")
    listed = client("codedeploy").get_paginator("list_applications").paginate()
    equal(sorted(name for page in listed for name in page["applications"]), names, "applications")
    groups, count = pages("logs", "describe_log_groups", "logGroups", 3)
    whole(([each["logGroupName"] for each in groups], count), names, 3, "log groups")

    for name in names:
        elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=default_vpc(), TargetType="ip")
    groups, count = pages("elbv2", "describe_target_groups", "TargetGroups", 3)
    whole(([each["TargetGroupName"] for each in groups], count), names, 3, "target groups")
    roles()
    records()


def roles():
    iam = client("iam")
    names = [f"list-{number}" for number in range(5)]
    for name in names:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    found, count = pages("iam", "list_roles", "Roles", 2, PathPrefix="/")
    whole(([each["RoleName"] for each in found if each["RoleName"].startswith("list-")], count), names, 3, "roles")


def records():
    route53 = client("route53")
    zone = route53.list_hosted_zones_by_name(DNSName="pipeline.test")["HostedZones"][0]["Id"]
    names = [f"list-{number}.pipeline.test." for number in range(5)]
    changes = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": name,
                "Type": "TXT",
                "TTL": 60,
                "ResourceRecords": [{"Value": '"x"'}],
            },
        }
        for name in names
    ]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    listed = pages("route53", "list_resource_record_sets", "ResourceRecordSets", 2, HostedZoneId=zone)
    whole(([each["Name"] for each in listed[0] if each["Type"] == "TXT"], listed[1]), names, 3, "records")


def default_vpc():
    vpcs = client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    return vpcs[0]["VpcId"]


def reset(path):
    Stack("reset").create(desired=1)
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + path, method="POST")
    with urllib.request.urlopen(request) as answer:
        equal(answer.status, 200, f"the status of {path}")
    equal(client("ecs").list_clusters()["clusterArns"], [], "clusters after a reset")
    equal(client("elbv2").describe_load_balancers()["LoadBalancers"], [], "load balancers after a reset")
    equal(client("elbv2").describe_target_groups()["TargetGroups"], [], "target groups after a reset")
    equal(client("ecr").describe_repositories()["repositories"], [], "repositories after a reset")
    equal(client("codedeploy").list_applications()["applications"], [], "applications after a reset")
    equal(client("iam").list_roles()["Roles"], [], "roles after a reset")
    equal(client("logs").describe_log_groups()["logGroups"], [], "log groups after a reset")
    groups = client("ec2").describe_security_groups()["SecurityGroups"]
    equal([group["GroupName"] for group in groups], ["default"], "security groups after a reset")
    check(default_vpc(), "there is a default VPC after a reset")


def main():
    paginated()
    reset("/_cloud/reset")
    reset("/moto-api/reset")


if __name__ == "__main__":
    main()
