"""Makes a service under CodeDeploy and prints, as JSON, what another client needs to go on with it.

make.py NAME IMAGE [--https] [KEY=VALUE ...]: the pairs are the environment of the container.
"""

import json
import sys

from stack import Stack, check, client, until


def certificate():
    """The certificate that a region has from the start, and whom to trust for it."""
    acm = client("acm")
    found = acm.list_certificates()["CertificateSummaryList"]
    check(found, "there is a certificate from the start", found)
    arn = found[0]["CertificateArn"]
    got = acm.get_certificate(CertificateArn=arn)
    return arn, got.get("CertificateChain") or got["Certificate"]


def main(name, image, *options):
    environment = dict(option.split("=", 1) for option in options if not option.startswith("--"))
    stack = Stack(name, image)
    trusted, secure = None, None
    if "--https" in options:
        secure, trusted = certificate()
    stack.create(desired=1, certificate=secure, listener_port=443 if secure else 80, **environment)
    if secure:
        redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
        stack.elb.create_listener(
            LoadBalancerArn=stack.balancer, Protocol="HTTP", Port=80, DefaultActions=[redirect]
        )
    stack.steady()
    until(lambda: stack.health(stack.blue) == ["healthy"], "the target is healthy")
    resource = {
        "Type": "AWS::ECS::Service",
        "Properties": {
            "TaskDefinition": "to be replaced",
            "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": stack.port},
        },
    }
    told = {
        "definition": stack.definition(**environment | {"VERSION": "2"}),
        "appspec": {"version": 0.0, "Resources": [{"TargetService": resource}]},
        "blue": stack.blue,
        "green": stack.green,
        "listener": stack.listener,
        "dns_name": stack.dns_name,
        "zone_id": stack.zone_id,
        "log_group": stack.log_group,
        "trusted": trusted,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
