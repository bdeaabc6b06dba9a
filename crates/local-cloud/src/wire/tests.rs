use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Group {
    name: String,
    port: Option<i32>,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    subnets: Vec<String>,
    #[serde(default)]
    actions: Vec<Action>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Action {
    order: u8,
}

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_query_call_becomes_typed() {
    let input = Input::from_query(
        Service::Elbv2,
        &fields(&[
            ("Name", "blue"),
            ("Port", "80"),
            ("Enabled", "true"),
            ("Subnets.member.2", "b"),
            ("Subnets.member.1", "a"),
            ("Actions.member.1.Order", "7"),
            ("Unknown.Field", "ignored"),
        ]),
    );
    let group: Group = input.parse().expect("parses");
    assert_eq!(
        group,
        Group {
            name: "blue".into(),
            port: Some(80),
            enabled: true,
            subnets: vec!["a".into(), "b".into()],
            actions: vec![Action { order: 7 }],
        }
    );
}

#[test]
fn lists_are_ordered_by_number_not_by_text() {
    let numbered: Vec<_> = (1..=12).map(|n| (format!("Subnets.{n}"), n.to_string())).collect();
    let mut all = numbered.clone();
    all.push(("Name".into(), "x".into()));
    let group: Group = Input::from_query(Service::Ec2, &all).parse().expect("parses");
    assert_eq!(group.subnets, numbered.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
}

#[test]
fn a_wrong_type_names_the_service_code() {
    let input = Input::from_query(Service::Elbv2, &fields(&[("Name", "blue"), ("Port", "eighty")]));
    let error = input.parse::<Group>().expect_err("refused");
    assert_eq!(error.code, "ValidationError");
}

#[test]
fn answers_have_the_shape_of_their_protocol() {
    let output = || Output::of(&json!({ "Groups": [{ "Name": "a<b" }], "Next": null, "Count": 2 }));
    let text =
        |service| String::from_utf8(encode(service, "DescribeGroups", "r-1", output()).body).expect("utf-8");
    insta::assert_snapshot!(text(Service::Elbv2), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <DescribeGroupsResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeGroupsResult><Groups><member><Name>a&lt;b</Name></member></Groups><Count>2</Count></DescribeGroupsResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></DescribeGroupsResponse>
    "#);
    insta::assert_snapshot!(text(Service::Ec2), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <DescribeGroupsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId><Groups><item><Name>a&lt;b</Name></item></Groups><Count>2</Count></DescribeGroupsResponse>
    "#);
    insta::assert_snapshot!(text(Service::Route53), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <DescribeGroupsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Groups><Group><Name>a&lt;b</Name></Group></Groups><Count>2</Count></DescribeGroupsResponse>
    "#);
    insta::assert_snapshot!(text(Service::Ecs), @r#"{"Groups":[{"Name":"a<b"}],"Count":2}"#);
}

#[test]
fn errors_have_the_shape_of_their_protocol() {
    let error = || Err(ApiError::sender("NoSuchThing", "there is no thing & never was"));
    let text = |service| String::from_utf8(encode(service, "Get", "r-1", error()).body).expect("utf-8");
    insta::assert_snapshot!(text(Service::Sts), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>NoSuchThing</Code><Message>there is no thing &amp; never was</Message></Error><RequestId>r-1</RequestId></ErrorResponse>
    "#);
    insta::assert_snapshot!(text(Service::Ec2), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <Response><Errors><Error><Code>NoSuchThing</Code><Message>there is no thing &amp; never was</Message></Error></Errors><RequestID>r-1</RequestID></Response>
    "#);
    insta::assert_snapshot!(text(Service::Ecs), @r#"{"__type":"NoSuchThing","message":"there is no thing & never was"}"#);
}

#[test]
fn xml_bodies_are_read_as_trees() {
    let value = parse_xml(
        br#"<R xmlns="x"><Name>a &amp; b</Name><Changes><Change><N>1</N></Change><Change><N>2</N></Change></Changes><Empty/></R>"#,
    )
    .expect("parses");
    assert_eq!(
        value,
        json!({ "Name": "a & b", "Changes": { "Change": [{ "N": "1" }, { "N": "2" }] }, "Empty": "" })
    );
}
