"""A service under CodeDeploy, made from nothing through the API, as a program of somebody else would.

Everything is found through AWS_ENDPOINT_URL and AWS_DEFAULT_REGION; nothing here knows the cloud.
"""

import json
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# Every failing call is to be seen at once, as the server answered it.
CONFIG = Config(retries={"max_attempts": 0}, parameter_validation=True)

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": ""}}],
}


def client(service):
    return boto3.client(service, config=CONFIG)


def check(condition, what, *seen):
    """Fails with what was expected and what was seen."""
    if not condition:
        raise AssertionError(what + "".join(f"\n  seen: {item!r}" for item in seen))


def equal(seen, expected, what):
    check(seen == expected, f"{what} should be {expected!r}", seen)


def until(question, what, limit=60.0):
    """Asks until the answer is true, and returns it."""
    began = time.monotonic()
    while True:
        answer = question()
        if answer:
            return answer
        check(time.monotonic() - began < limit, f"not within {limit} s: {what}", answer)
        time.sleep(0.02)


def refused(code, call, *words, **arguments):
    """Makes a call that has to fail with `code`, and `words` in its message; returns the message."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        seen, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        equal(seen, code, f"the code of {message!r}")
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        check(400 <= status < 500, f"{code} is the client's fault", status)
        for word in words:
            check(word in message, f"the message of {code} should have {word!r}", message)
        return message
    raise AssertionError(f"{call.__name__} should fail with {code}\n  seen: {answer!r}")


class Stack:
    """Load balancer, roles, cluster, service and deployment group, all named after `name`."""

    def __init__(self, name, image="sample:1", cpu="256", port=8080):
        self.name, self.image, self.cpu, self.port = name, image, cpu, port
        self.ec2, self.elb, self.iam = client("ec2"), client("elbv2"), client("iam")
        self.ecs, self.logs, self.codedeploy = client("ecs"), client("logs"), client("codedeploy")

    # -- making ---------------------------------------------------------------------------------

    def create(self, desired=2, certificate=None, listener_port=80, **environment):
        self.create_network()
        self.create_load_balancer(certificate, listener_port)
        self.create_roles()
        self.create_service(desired, environment)
        self.create_deployment_group()
        return self

    def create_network(self):
        vpcs = self.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        equal(len(vpcs), 1, "the number of default VPCs")
        self.vpc = vpcs[0]["VpcId"]
        subnets = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["Subnets"]
        check(len(subnets) >= 3, "the default VPC has three subnets", subnets)
        equal(len({subnet["AvailabilityZone"] for subnet in subnets}), len(subnets), "zones of subnets")
        self.subnets = [subnet["SubnetId"] for subnet in subnets]
        make = self.ec2.create_security_group
        self.front = make(GroupName=f"{self.name}-lb", Description="front", VpcId=self.vpc)["GroupId"]
        self.back = make(GroupName=f"{self.name}-tasks", Description="tasks", VpcId=self.vpc)["GroupId"]
        anyone = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.ec2.authorize_security_group_ingress(GroupId=self.front, IpPermissions=[anyone])
        only_front = {
            "IpProtocol": "tcp",
            "FromPort": self.port,
            "ToPort": self.port,
            "UserIdGroupPairs": [{"GroupId": self.front}],
        }
        self.ec2.authorize_security_group_ingress(GroupId=self.back, IpPermissions=[only_front])
        group = self.ec2.describe_security_groups(GroupIds=[self.back])["SecurityGroups"][0]
        rule = group["IpPermissions"][0]
        equal(rule["UserIdGroupPairs"][0]["GroupId"], self.front, "the source of the tasks' only rule")
        refused(
            "InvalidPermission.Duplicate",
            self.ec2.authorize_security_group_ingress,
            GroupId=self.back,
            IpPermissions=[only_front],
        )

    def create_load_balancer(self, certificate, port):
        made = self.elb.create_load_balancer(
            Name=self.name, Subnets=self.subnets, SecurityGroups=[self.front], Scheme="internet-facing"
        )["LoadBalancers"][0]
        self.balancer, self.dns_name = made["LoadBalancerArn"], made["DNSName"]
        self.zone_id = made["CanonicalHostedZoneId"]
        self.elb.get_waiter("load_balancer_available").wait(
            LoadBalancerArns=[self.balancer], WaiterConfig={"Delay": 1}
        )
        self.blue, self.green = self.create_target_group("blue"), self.create_target_group("green")
        forward = {
            "Type": "forward",
            "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": self.blue, "Weight": 1}]},
        }
        secure = {"Certificates": [{"CertificateArn": certificate}]} if certificate else {}
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTPS" if certificate else "HTTP",
            Port=port,
            DefaultActions=[forward],
            **secure,
        )["Listeners"][0]["ListenerArn"]

    def create_target_group(self, color):
        group = self.elb.create_target_group(
            Name=f"{self.name}-{color}",
            Protocol="HTTP",
            Port=self.port,
            VpcId=self.vpc,
            TargetType="ip",
            HealthCheckPath="/health-check",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=3,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(
            TargetGroupArn=group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}],
        )
        return group

    def create_roles(self):
        self.execution_role = self.create_role("execution", "ecs-tasks.amazonaws.com")
        self.task_role = self.create_role("task", "ecs-tasks.amazonaws.com")
        self.deploy_role = self.create_role("deploy", "codedeploy.amazonaws.com")

    def create_role(self, kind, service):
        trust = json.loads(json.dumps(TRUST))
        trust["Statement"][0]["Principal"]["Service"] = service
        name = f"{self.name}-{kind}"
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        equal(made["AssumeRolePolicyDocument"], trust, "the trust policy")
        allow = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [allow]}
        self.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        equal(self.iam.get_role_policy(RoleName=name, PolicyName="own")["PolicyDocument"], policy, "a policy")
        return made["Arn"]

    def create_service(self, desired, environment):
        self.log_group = f"/ecs/{self.name}"
        self.logs.create_log_group(logGroupName=self.log_group)
        self.logs.put_retention_policy(logGroupName=self.log_group, retentionInDays=1)
        self.cluster = self.ecs.create_cluster(clusterName=self.name)["cluster"]["clusterArn"]
        self.first = self.register(**environment)
        made = self.ecs.create_service(
            cluster=self.name,
            serviceName=self.name,
            taskDefinition=self.first,
            desiredCount=desired,
            launchType="FARGATE",
            deploymentController={"type": "CODE_DEPLOY"},
            loadBalancers=[self.route_to(self.blue)],
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": self.subnets,
                    "securityGroups": [self.back],
                    "assignPublicIp": "ENABLED",
                }
            },
        )["service"]
        equal(made["status"], "ACTIVE", "the status of a new service")

    def route_to(self, group):
        return {"targetGroupArn": group, "containerName": "app", "containerPort": self.port}

    def definition(self, **environment):
        """What `register_task_definition` takes."""
        return {
            "family": self.name,
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": self.cpu,
            "memory": "512",
            "executionRoleArn": self.execution_role,
            "taskRoleArn": self.task_role,
            "containerDefinitions": [
                {
                    "name": "app",
                    "image": self.image,
                    "essential": True,
                    "portMappings": [{"containerPort": self.port, "protocol": "tcp"}],
                    "environment": [{"name": key, "value": value} for key, value in environment.items()],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": self.log_group,
                            "awslogs-region": boto3.session.Session().region_name,
                            "awslogs-stream-prefix": "app",
                        },
                    },
                }
            ],
        }

    def register(self, **environment):
        made = self.ecs.register_task_definition(**self.definition(**environment))
        return made["taskDefinition"]["taskDefinitionArn"]

    def create_deployment_group(self):
        self.codedeploy.create_application(applicationName=self.name, computePlatform="ECS")
        self.codedeploy.create_deployment_group(**self.group())

    def group(self, **changes):
        """What `create_deployment_group` takes."""
        pair = {
            "targetGroups": [{"name": f"{self.name}-blue"}, {"name": f"{self.name}-green"}],
            "prodTrafficRoute": {"listenerArns": [self.listener]},
        }
        group = {
            "applicationName": self.name,
            "deploymentGroupName": self.name,
            "serviceRoleArn": self.deploy_role,
            "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent5Minutes",
            "deploymentStyle": {
                "deploymentType": "BLUE_GREEN",
                "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            "ecsServices": [{"clusterName": self.name, "serviceName": self.name}],
            "loadBalancerInfo": {"targetGroupPairInfoList": [pair]},
            "autoRollbackConfiguration": {
                "enabled": True,
                "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"],
            },
            "blueGreenDeploymentConfiguration": {
                "deploymentReadyOption": {
                    "actionOnTimeout": "CONTINUE_DEPLOYMENT",
                    "waitTimeInMinutes": 0,
                },
                "terminateBlueInstancesOnDeploymentSuccess": {
                    "action": "TERMINATE",
                    "terminationWaitTimeInMinutes": 1,
                },
            },
        }
        return group | changes

    # -- looking --------------------------------------------------------------------------------

    def service(self):
        services = self.ecs.describe_services(cluster=self.name, services=[self.name])["services"]
        equal(len(services), 1, "the number of services")
        return services[0]

    def primary(self):
        """The task set that has the traffic."""
        sets = [found for found in self.service()["taskSets"] if found["status"] == "PRIMARY"]
        equal(len(sets), 1, "the number of primary task sets")
        return sets[0]

    def live_group(self):
        return self.primary()["loadBalancers"][0]["targetGroupArn"]

    def steady(self):
        """Waits as AWS.md says one has to: the SDKs' waiter looks at `deployments`, which is empty."""
        return until(
            lambda: (found := self.primary())["stabilityStatus"] == "STEADY_STATE" and found,
            f"the primary task set of {self.name} is steady",
        )

    def weights(self):
        """Weight by target group, as the listener has them."""
        action = self.elb.describe_listeners(ListenerArns=[self.listener])["Listeners"][0]["DefaultActions"][0]
        groups = action["ForwardConfig"]["TargetGroups"]
        return {group["TargetGroupArn"]: group.get("Weight", 1) for group in groups}

    def share(self, group):
        """Percent of the traffic that the listener gives to `group`."""
        weights = self.weights()
        return 100 * weights.get(group, 0) // (sum(weights.values()) or 1)

    def health(self, group):
        described = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [target["TargetHealth"]["State"] for target in described]

    # -- deploying ------------------------------------------------------------------------------

    def deploy(self, definition, **arguments):
        """Starts a deployment and returns its id."""
        resource = {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": definition,
                "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": self.port},
            },
        }
        content = json.dumps({"version": 0.0, "Resources": [{"TargetService": resource}]})
        return self.codedeploy.create_deployment(
            applicationName=self.name,
            deploymentGroupName=self.name,
            revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": content}},
            **arguments,
        )["deploymentId"]

    def deployment(self, which):
        return self.codedeploy.get_deployment(deploymentId=which)["deploymentInfo"]

    def target(self, which):
        listed = self.codedeploy.list_deployment_targets(deploymentId=which)["targetIds"]
        equal(listed, [f"{self.name}:{self.name}"], "the targets of a deployment")
        got = self.codedeploy.get_deployment_target(deploymentId=which, targetId=listed[0])
        return got["deploymentTarget"]["ecsTarget"]

    def ends(self, which, limit=90.0, seen=None):
        """Waits until a deployment ended; `seen` is called at every look."""

        def over():
            if seen:
                seen()
            info = self.deployment(which)
            return info["status"] in ("Succeeded", "Failed", "Stopped") and info

        return until(over, f"deployment {which} ends", limit)
