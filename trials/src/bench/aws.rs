//! Calls to an AWS endpoint without an SDK. Neither the embedded cloud nor moto verifies
//! signatures; the scope is there because moto finds service and region by it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::http::{self, Message};
use xtask::shell::StepError;

/// The header in which JSON protocols name the operation.
const TARGET: &str = "x-amz-target";

/// One call, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Call(Message);

fn header(text: &str) -> Result<HeaderValue, StepError> {
    text.parse().map_err(|_| StepError::Other(format!("`{text}` cannot be a header")))
}

fn call(service: &str, content: &str, target: Option<&str>, body: String) -> Result<Call, StepError> {
    let scope = format!("bench/20260101/us-east-1/{service}/aws4_request");
    let mut headers = HeaderMap::new();
    let signature = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    headers.insert(AUTHORIZATION, header(&signature)?);
    headers.insert(CONTENT_TYPE, header(content)?);
    if let Some(target) = target {
        headers.insert(TARGET, header(target)?);
    }
    Ok(Call(Message::new(Method::POST, Uri::from_static("/"), headers, Bytes::from(body))))
}

impl Call {
    /// A call of a service that speaks the query protocol.
    pub(super) fn query(
        service: &str,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Self, StepError> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let fixed = [("Action", action), ("Version", version)];
        let fields = fixed.iter().chain(parameters);
        let form: Vec<_> = fields.map(|(name, value)| format!("{name}={}", encode(value))).collect();
        call(service, "application/x-www-form-urlencoded", None, form.join("&"))
    }

    /// A call of Elastic Load Balancing.
    pub(super) fn elb(action: &str, parameters: &[(&str, &str)]) -> Result<Self, StepError> {
        Self::query("elasticloadbalancing", "2015-12-01", action, parameters)
    }

    /// A call of EC2.
    pub(super) fn ec2(action: &str, parameters: &[(&str, &str)]) -> Result<Self, StepError> {
        Self::query("ec2", "2016-11-15", action, parameters)
    }

    /// A call of a service that speaks JSON; `target` is its prefix, a dot and the operation.
    pub(super) fn json(service: &str, target: &str, body: &Value) -> Result<Self, StepError> {
        call(service, "application/x-amz-json-1.1", Some(target), body.to_string())
    }

    /// A call of ECS.
    pub(super) fn ecs(operation: &str, body: &Value) -> Result<Self, StepError> {
        Self::json("ecs", &format!("AmazonEC2ContainerServiceV20141113.{operation}"), body)
    }

    /// Sends it; the answer's body, if it succeeded.
    pub(super) async fn send(&self, endpoint: SocketAddr) -> Result<String, StepError> {
        let body = http::send(endpoint, &self.0).await.map_err(StepError::Other)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// A script that makes `wrk` send it.
    pub(super) fn script(&self, path: &Path) -> Result<PathBuf, StepError> {
        let mut lua = format!("wrk.method = \"POST\"\nwrk.body = {:?}\n", text(&self.0.body));
        for (name, value) in &self.0.headers {
            lua += &format!("wrk.headers[{:?}] = {:?}\n", name.as_str(), text(value.as_bytes()));
        }
        std::fs::write(path, lua).map_err(StepError::file(path))?;
        Ok(path.to_owned())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The texts of all elements `name` of a query answer.
pub(super) fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = |part: &'a str| part.split_once(&close).map(|(text, _)| text);
    xml.split(&open).skip(1).filter_map(inside).collect()
}

/// The first element `name` of a query answer.
pub(super) fn element(xml: &str, name: &str) -> Result<String, StepError> {
    let found = elements(xml, name).first().map(|text| (*text).to_owned());
    found.ok_or_else(|| StepError::Other(format!("no {name} in the answer: {xml}")))
}

/// Makes an application load balancer in subnets of the default VPC; its ARN.
pub(super) async fn create_load_balancer(endpoint: SocketAddr, name: &str) -> Result<String, StepError> {
    let subnets = Call::ec2("DescribeSubnets", &[])?.send(endpoint).await?;
    let subnets = elements(&subnets, "subnetId");
    let [first, second, ..] = subnets.as_slice() else {
        return Err(StepError::Other("the default VPC has fewer than two subnets".into()));
    };
    let parameters = [("Name", name), ("Subnets.member.1", *first), ("Subnets.member.2", *second)];
    let answer = Call::elb("CreateLoadBalancer", &parameters)?.send(endpoint).await?;
    element(&answer, "LoadBalancerArn")
}

/// The default VPC.
pub(super) async fn default_vpc(endpoint: SocketAddr) -> Result<String, StepError> {
    element(&Call::ec2("DescribeVpcs", &[])?.send(endpoint).await?, "vpcId")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_answer() {
        let xml = "<set><item><subnetId>a</subnetId></item><item><subnetId>b</subnetId></item></set>";
        assert_eq!(elements(xml, "subnetId"), ["a", "b"]);
        assert!(element(xml, "vpcId").is_err());
    }

    #[test]
    fn parameters_are_encoded() {
        let call = Call::elb("DeleteListener", &[("ListenerArn", "a:b/c&d")]).expect("call");
        assert_eq!(
            text(&call.0.body),
            "Action=DeleteListener&Version=2015%2D12%2D01&ListenerArn=a%3Ab%2Fc%26d"
        );
    }
}
