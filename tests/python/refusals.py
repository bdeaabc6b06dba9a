"""The errors that AWS answers with, as clients see them: code, HTTP status and the words people match."""

import json
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest

from stack import Stack, check, client, equal, refused, until

TOO_LONG = "a" * 33


def services(stack):
    ecs = stack.ecs
    where = {"cluster": stack.name, "service": stack.name}
    refused(
        "InvalidParameterException",
        ecs.update_service,
        "Unable to update task definition on services with a CODE_DEPLOY deployment controller. "
        "Use AWS CodeDeploy to trigger a new deployment.",
        **where,
        taskDefinition=stack.register(VERSION="2"),
    )
    refused(
        "InvalidParameterException",
        ecs.update_service,
        "CODE_DEPLOY",
        **where,
        networkConfiguration={"awsvpcConfiguration": {"subnets": stack.subnets[:1]}},
    )
    refused(
        "InvalidParameterException",
        ecs.update_service,
        "CODE_DEPLOY",
        **where,
        loadBalancers=[stack.route_to(stack.green)],
    )
    # What may change, does.
    equal(ecs.update_service(**where, desiredCount=1)["service"]["desiredCount"], 1, "the desired count")
    ecs.update_service(**where, healthCheckGracePeriodSeconds=7)
    equal(stack.service()["healthCheckGracePeriodSeconds"], 7, "the grace period")
    refused("ServiceNotFoundException", ecs.update_service, cluster=stack.name, service="none", desiredCount=1)
    refused("ClusterNotFoundException", ecs.update_service, cluster="none", service="none", desiredCount=1)
    refused("ClientException", ecs.describe_task_definition, taskDefinition="none")
    failures = ecs.describe_services(cluster=stack.name, services=["none"])["failures"]
    equal(failures[0]["reason"], "MISSING", "why a service is not described")
    loose = stack.elb.create_target_group(
        Name="loose", Protocol="HTTP", Port=8080, VpcId=stack.vpc, TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    refused(
        "InvalidParameterException",
        ecs.create_service,
        "does not have an associated load balancer",
        cluster=stack.name,
        serviceName="loose",
        taskDefinition=stack.first,
        desiredCount=1,
        launchType="FARGATE",
        deploymentController={"type": "CODE_DEPLOY"},
        loadBalancers=[stack.route_to(loose)],
        networkConfiguration={"awsvpcConfiguration": {"subnets": stack.subnets}},
    )
    refused("InvalidParameterException", ecs.delete_service, **where)
    refused("ClusterContainsServicesException", ecs.delete_cluster, cluster=stack.name)


def load_balancing(stack):
    elb = stack.elb
    group = {"Protocol": "HTTP", "Port": 80, "VpcId": stack.vpc, "TargetType": "ip"}
    refused("ValidationError", elb.create_target_group, "32", Name=TOO_LONG, **group)
    refused("ValidationError", elb.create_load_balancer, "32", Name=TOO_LONG, Subnets=stack.subnets)
    refused("DuplicateTargetGroupName", elb.create_target_group, Name=f"{stack.name}-blue", **group | {"Port": 81})
    refused("ResourceInUse", elb.delete_target_group, TargetGroupArn=stack.blue)
    refused("TargetGroupNotFound", elb.describe_target_groups, Names=["none"])
    refused("LoadBalancerNotFound", elb.describe_load_balancers, Names=["none"])
    gone = stack.listener[:-4] + "0000"
    refused("ListenerNotFound", elb.describe_listeners, ListenerArns=[gone])
    forward = [{"Type": "forward", "TargetGroupArn": stack.green}]
    refused(
        "DuplicateListener",
        elb.create_listener,
        LoadBalancerArn=stack.balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=forward,
    )
    equal(stack.health(stack.green), [], "targets of a group without any")


def deployments(stack):
    codedeploy = stack.codedeploy
    refused("ApplicationDoesNotExistException", codedeploy.get_application, applicationName="none")
    refused("ApplicationAlreadyExistsException", codedeploy.create_application, applicationName=stack.name)
    refused(
        "DeploymentGroupDoesNotExistException",
        codedeploy.get_deployment_group,
        applicationName=stack.name,
        deploymentGroupName="none",
    )
    refused("DeploymentGroupAlreadyExistsException", codedeploy.create_deployment_group, **stack.group())
    refused(
        "ECSServiceMappingLimitExceededException",
        codedeploy.create_deployment_group,
        **stack.group(deploymentGroupName="second"),
    )
    refused("DeploymentDoesNotExistException", codedeploy.get_deployment, deploymentId="d-ABCDEFGHI")
    refused(
        "DeploymentConfigDoesNotExistException",
        stack.deploy,
        definition=stack.first,
        deploymentConfigName="CodeDeployDefault.None",
    )
    two = [stack.listener, stack.listener[:-4] + "0000"]
    pair = {
        "targetGroups": [{"name": f"{stack.name}-blue"}, {"name": f"{stack.name}-green"}],
        "prodTrafficRoute": {"listenerArns": two},
    }
    refused(
        "InvalidTrafficRoutingConfigurationException",
        codedeploy.update_deployment_group,
        applicationName=stack.name,
        currentDeploymentGroupName=stack.name,
        loadBalancerInfo={"targetGroupPairInfoList": [pair]},
    )


def wrong_listener(stack):
    """A listener that was turned away from the live group by somebody else's hand."""
    turned = [{"Type": "forward", "TargetGroupArn": stack.green}]
    stack.elb.modify_listener(ListenerArn=stack.listener, DefaultActions=turned)
    try:
        which = stack.deploy(stack.register(VERSION="2"))
    except stack.codedeploy.exceptions.ClientError as error:
        check("listener" in error.response["Error"]["Message"], "the reason names the listener", error)
    else:
        info = stack.ends(which)
        equal(info["status"], "Failed", "a deployment behind a wrong listener")
        message = info["errorInformation"]["message"]
        check("Primary taskset target group must be behind listener" in message, "the reason", message)
    back = [{"Type": "forward", "TargetGroupArn": stack.blue}]
    stack.elb.modify_listener(ListenerArn=stack.listener, DefaultActions=back)


def others(stack):
    refused("NoSuchEntity", stack.iam.get_role, RoleName="none")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    refused(
        "EntityAlreadyExists",
        stack.iam.create_role,
        RoleName=f"{stack.name}-task",
        AssumeRolePolicyDocument=trust,
    )
    refused("DeleteConflict", stack.iam.delete_role, RoleName=f"{stack.name}-task")
    refused("InvalidGroup.NotFound", stack.ec2.describe_security_groups, GroupIds=["sg-00000000000000000"])
    refused("InvalidVpcID.NotFound", stack.ec2.describe_vpcs, VpcIds=["vpc-00000000000000000"])
    refused("DependencyViolation", stack.ec2.delete_security_group, GroupId=stack.front)
    refused("ResourceAlreadyExistsException", stack.logs.create_log_group, logGroupName=stack.log_group)
    refused("ResourceNotFoundException", stack.logs.describe_log_streams, logGroupName="/none")
    ecr = client("ecr")
    refused("RepositoryNotFoundException", ecr.describe_repositories, repositoryNames=["none"])
    ecr.create_repository(repositoryName="twice")
    refused("RepositoryAlreadyExistsException", ecr.create_repository, repositoryName="twice")
    refused("NoSuchHostedZone", client("route53").get_hosted_zone, Id="ZNONE")
    missing = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    refused("ResourceNotFoundException", client("acm").describe_certificate, CertificateArn=missing)


def unknown_operations():
    """What is not there says its name, in the protocol of its service."""
    refused("UnknownOperationException", client("ecs").discover_poll_endpoint, "DiscoverPollEndpoint")
    refused("InvalidAction", client("iam").list_virtual_mfa_devices, "ListVirtualMFADevices")
    refused("InvalidAction", client("ec2").describe_spot_fleet_requests, "DescribeSpotFleetRequests")
    equal(signed("ecs", "AmazonEC2ContainerServiceV20141113.MakeCoffee"), 400, "the status of no operation at all")


def signed(service, target):
    """The status that a request no SDK would send is answered with."""
    session = boto3.session.Session()
    endpoint = client(service).meta.endpoint_url
    headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.1"}
    request = botocore.awsrequest.AWSRequest("POST", endpoint, data=b"{}", headers=headers)
    signer = botocore.auth.SigV4Auth(session.get_credentials(), service, session.region_name)
    signer.add_auth(request)
    prepared = urllib.request.Request(endpoint, data=b"{}", headers=dict(request.headers), method="POST")
    try:
        with urllib.request.urlopen(prepared) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        check(target.rsplit(".", 1)[1] in error.read().decode(), "the error names the operation", target)
        return error.code


def main():
    stack = Stack("refused").create(desired=1)
    stack.steady()
    until(lambda: stack.health(stack.blue) == ["healthy"], "the target is healthy")
    services(stack)
    load_balancing(stack)
    deployments(stack)
    wrong_listener(stack)
    others(stack)
    unknown_operations()


if __name__ == "__main__":
    main()
