use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Partition, State};

/// An account of its own, asked over and over.
struct Dns {
    state: State,
    settings: Settings,
}

impl Dns {
    fn new() -> Self {
        let settings = Settings {
            endpoint: ([127, 0, 0, 1], 4580).into(),
            inert: false,
            clock: Clock::new(1.0),
            uploads: pipeline_data_plane::registry::Uploads::default(),
        };
        Self { state: State::default(), settings }
    }

    fn ask(&mut self, operation: &str, parameters: Value) -> Result<Value, ApiError> {
        let mut call = Call {
            access_key: None,
            place: Partition { account: "123456789012".into(), region: "us-east-1".into() },
            now: self.settings.clock.now(),
            settings: &self.settings,
            state: &mut self.state,
        };
        let input = Input::from_value(Service::Route53, parameters);
        services::call(&mut call, Service::Route53, operation, &input).map(Output::into_body)
    }

    fn zone(&mut self, name: &str) -> String {
        let answer =
            self.ask("CreateHostedZone", json!({ "Name": name, "CallerReference": name })).expect("a zone");
        answer["HostedZone"]["Id"].as_str().expect("an id").to_owned()
    }

    fn change(&mut self, zone: &str, changes: Value) -> Result<Value, ApiError> {
        self.ask(
            "ChangeResourceRecordSets",
            json!({ "HostedZoneId": zone, "ChangeBatch": { "Changes": changes } }),
        )
    }

    fn names(&mut self, zone: &str, start: Value) -> Vec<String> {
        let mut parameters = json!({ "HostedZoneId": zone });
        parameters.as_object_mut().expect("a map").extend(start.as_object().expect("a map").clone());
        let answer = self.ask("ListResourceRecordSets", parameters).expect("a list");
        let sets = answer["ResourceRecordSets"].as_array().expect("sets").clone();
        sets.iter()
            .map(|set| {
                format!("{} {}", set["Name"].as_str().expect("name"), set["Type"].as_str().expect("type"))
            })
            .collect()
    }
}

fn a(name: &str, address: &str) -> Value {
    json!({ "Name": name, "Type": "A", "TTL": "60", "ResourceRecords": [{ "Value": address }] })
}

fn item(action: &str, set: Value) -> Value {
    json!({ "Action": action, "ResourceRecordSet": set })
}

#[test]
fn every_account_starts_with_a_zone() {
    let mut dns = Dns::new();
    let zones = dns.ask("ListHostedZonesByName", json!({ "DNSName": "pipeline.test" })).expect("zones");
    assert_eq!(zones["HostedZones"][0]["Name"], "pipeline.test.");
    assert_eq!(zones["HostedZones"][0]["ResourceRecordSetCount"], 2);
}

#[test]
fn a_caller_reference_makes_one_zone() {
    let mut dns = Dns::new();
    let id = dns.zone("Example.com");
    assert!(id.starts_with("/hostedzone/Z"));
    let error = dns.ask("CreateHostedZone", json!({ "Name": "x.com", "CallerReference": "Example.com" }));
    let error = error.expect_err("refused");
    assert_eq!((error.code.as_str(), error.status.as_u16()), ("HostedZoneAlreadyExists", 409));
    let zone = dns.ask("GetHostedZone", json!({ "Id": id })).expect("the zone");
    assert_eq!(zone["HostedZone"]["Name"], "example.com.");
    assert_eq!(zone["DelegationSet"]["NameServers"].as_array().map(Vec::len), Some(4));
    assert_eq!(dns.ask("GetHostedZone", json!({ "Id": "Z404" })).expect_err("none").code, "NoSuchHostedZone");
}

#[test]
fn a_batch_is_all_or_nothing() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    dns.change(&zone, json!([item("CREATE", a("one.example.com", "127.0.0.1"))])).expect("made");
    let batch = json!([
        item("CREATE", a("two.example.com", "127.0.0.2")),
        item("CREATE", a("one.example.com", "127.0.0.3"))
    ]);
    let error = dns.change(&zone, batch).expect_err("refused");
    assert_eq!(error.code, "InvalidChangeBatch");
    assert_eq!(
        error.message,
        "[Tried to create resource record set [name='one.example.com.', type='A'] but it already exists]"
    );
    assert_eq!(dns.names(&zone, json!({})), ["example.com. NS", "example.com. SOA", "one.example.com. A"]);
}

#[test]
fn a_deletion_must_say_what_is_there() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    dns.change(&zone, json!([item("UPSERT", a("one.example.com", "127.0.0.1"))])).expect("made");
    let other =
        dns.change(&zone, json!([item("DELETE", a("one.example.com", "127.0.0.2"))])).expect_err("refused");
    assert!(other.message.contains("values provided do not match the current values"));
    let none =
        dns.change(&zone, json!([item("DELETE", a("two.example.com", "127.0.0.2"))])).expect_err("refused");
    assert!(none.message.contains("but it was not found"));
    assert_eq!(
        dns.ask("DeleteHostedZone", json!({ "Id": zone })).expect_err("refused").code,
        "HostedZoneNotEmpty"
    );
    dns.change(&zone, json!([item("DELETE", a("ONE.example.com.", "127.0.0.1"))])).expect("deleted");
    let change = dns.ask("DeleteHostedZone", json!({ "Id": zone })).expect("deleted");
    let id = change["ChangeInfo"]["Id"].as_str().expect("an id").to_owned();
    assert_eq!(change["ChangeInfo"]["Status"], "PENDING");
    assert_eq!(
        dns.ask("GetChange", json!({ "Id": id })).expect("the change")["ChangeInfo"]["Status"],
        "INSYNC"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    let cname = |name: &str| json!({ "Name": name, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{ "Value": "x.org" }] });
    dns.change(&zone, json!([item("CREATE", cname("www.example.com"))])).expect("made");
    let cases = [
        (a("example.org", "127.0.0.1"), "is not permitted in zone example.com."),
        (a("x.example.com", "nowhere"), "ARRDATAIllegalIPv4Address"),
        (a("www.example.com", "127.0.0.1"), "conflicting RRSet of type CNAME"),
        (cname("example.com"), "is not permitted at apex in zone"),
        (json!({ "Name": "x.example.com", "Type": "A" }), "but found none in Change with [Action=CREATE"),
        (
            json!({ "Name": "x.example.com", "Type": "A", "Weight": 1, "TTL": 1, "ResourceRecords": [{ "Value": "127.0.0.1" }] }),
            "Missing field 'SetIdentifier'",
        ),
        (
            json!({ "Name": "x.example.com", "Type": "A", "AliasTarget":
            { "HostedZoneId": zone, "DNSName": "none.example.com", "EvaluateTargetHealth": false } }),
            "that target was not found",
        ),
    ];
    for (set, expected) in cases {
        let error = dns.change(&zone, json!([item("CREATE", set)])).expect_err("refused");
        assert!(error.message.contains(expected), "{}: {}", error.code, error.message);
    }
}

#[test]
fn a_value_is_there_once() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    let mut twice = a("x.example.com", "127.0.0.1");
    twice["ResourceRecords"] = json!([{ "Value": "127.0.0.1" }, { "Value": "127.0.0.1" }]);
    let error = dns.change(&zone, json!([item("CREATE", twice)])).expect_err("refused");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("InvalidChangeBatch", "[Duplicate Resource Record: '127.0.0.1']")
    );
}

/// A set of `x.example.com` that is routed to.
fn routed(id: &str, routing: Value) -> Value {
    let mut set = a("x.example.com", "127.0.0.1");
    set["SetIdentifier"] = json!(id);
    for (key, value) in routing.as_object().expect("an object") {
        set[key] = value.clone();
    }
    set
}

#[test]
fn sets_of_a_name_are_routed_alike() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    let mut told = |first: Value, second: Value| {
        let batch = json!([item("UPSERT", routed("a", first)), item("UPSERT", routed("b", second))]);
        dns.change(&zone, batch).expect_err("refused").message
    };
    let near = json!({ "Region": "eu-west-1" });
    let primary = json!({ "Failover": "PRIMARY" });
    insta::assert_snapshot!(told(near.clone(), near.clone()), @"[RRSet with DNS name x.example.com., type A, SetIdentifier b, and Region Name=eu-west-1 cannot be created because a latency RRSet with the same name, type and region already exists.]");
    insta::assert_snapshot!(told(json!({ "Weight": 1 }), near.clone()), @"[RRSet with DNS name x.example.com., type A, SetIdentifier b, and Region Name=eu-west-1 cannot be created because a non-latency RRSet with the same name and type already exists.]");
    insta::assert_snapshot!(told(near, json!({ "Weight": 1 })), @"[RRSet with DNS name x.example.com., type A, SetIdentifier b cannot be created as a non-weighted set exists with the same name and type.]");
    insta::assert_snapshot!(told(primary.clone(), primary), @"[RRSet with DNS name x.example.com., type A, SetIdentifier b, and Failover=PRIMARY cannot be created because a failover RRSet with the same name, type and failover already exists.]");
    insta::assert_snapshot!(told(json!({ "Weight": 1 }), json!({ "Weight": 2, "TTL": 5 })), @"[RRSet with DNS name x.example.com., type A, SetIdentifier b cannot be created as weighted sets must contain the same TTL.]");
}

#[test]
fn sets_may_change_together() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    let mut put = |first: Value, second: Value| {
        let batch = json!([item("UPSERT", routed("a", first)), item("UPSERT", routed("b", second))]);
        dns.change(&zone, batch).expect("put");
    };
    put(json!({ "Weight": 1 }), json!({ "Weight": 2 }));
    put(json!({ "Weight": 1, "TTL": 5 }), json!({ "Weight": 2, "TTL": 5 }));
    put(json!({ "Region": "eu-west-1" }), json!({ "Region": "us-east-1" }));
    put(json!({ "Region": "us-east-1" }), json!({ "Region": "eu-west-1" }));
}

#[test]
fn what_routing_names_has_to_exist() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    let mut refused = |routing: Value| {
        let error = dns.change(&zone, json!([item("CREATE", routed("a", routing))])).expect_err("refused");
        format!("{}: {}", error.code, error.message)
    };
    insta::assert_snapshot!(refused(json!({ "Weight": 1, "HealthCheckId": "none" })), @"NoSuchHealthCheck: A health check with id none does not exist.");
    let region = refused(json!({ "Region": "mars-1" }));
    assert!(region.starts_with("InvalidInput: 1 validation error detected: Value 'mars-1' at"), "{region}");
    insta::assert_snapshot!(refused(json!({ "Weight": 1, "TTL": -1 })), @"InvalidInput: 1 validation error detected: Value '-1' at 'changeBatch.changes.1.member.resourceRecordSet.tTL' failed to satisfy constraint: Member must have value greater than or equal to 0");
    insta::assert_snapshot!(refused(json!({ "Weight": 256 })), @"InvalidInput: 1 validation error detected: Value '256' at 'changeBatch.changes.1.member.resourceRecordSet.weight' failed to satisfy constraint: Member must have value less than or equal to 255");
}

#[test]
fn lists_are_ordered_by_reversed_labels_and_paged() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    let names = ["b.example.com", "a.b.example.com", "a.example.com", "*.example.com"];
    let changes: Vec<_> = names.iter().map(|name| item("CREATE", a(name, "127.0.0.1"))).collect();
    dns.change(&zone, json!(changes)).expect("made");
    let all = dns.names(&zone, json!({}));
    assert_eq!(
        all,
        [
            "example.com. NS",
            "example.com. SOA",
            "\\052.example.com. A",
            "a.example.com. A",
            "b.example.com. A",
            "a.b.example.com. A"
        ]
    );
    let page =
        dns.ask("ListResourceRecordSets", json!({ "HostedZoneId": zone, "MaxItems": "3" })).expect("a page");
    assert_eq!((&page["IsTruncated"], &page["NextRecordName"]), (&json!(true), &json!("a.example.com.")));
    let rest = dns.names(&zone, json!({ "StartRecordName": "a.example.com.", "StartRecordType": "A" }));
    assert_eq!(rest, all[3..]);
}

#[test]
fn tags_and_health_checks_are_kept() {
    let mut dns = Dns::new();
    let zone = dns.zone("example.com");
    let id = zone.trim_start_matches("/hostedzone/");
    let tagged =
        json!({ "ResourceType": "hostedzone", "ResourceId": id, "AddTags": [{ "Key": "a", "Value": "1" }] });
    dns.ask("ChangeTagsForResource", tagged).expect("tagged");
    let set = dns
        .ask("ListTagsForResource", json!({ "ResourceType": "hostedzone", "ResourceId": id }))
        .expect("tags");
    assert_eq!(set["ResourceTagSet"]["Tags"], json!([{ "Key": "a", "Value": "1" }]));
    let config = json!({ "Type": "HTTP", "FullyQualifiedDomainName": "example.com" });
    let made = dns
        .ask("CreateHealthCheck", json!({ "CallerReference": "r", "HealthCheckConfig": config }))
        .expect("made");
    assert_eq!(made["HealthCheck"]["HealthCheckConfig"]["Port"], "80");
}

#[test]
fn requests_are_routed_by_method_and_path() {
    let body = br#"<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch>
        <Changes><Change><Action>UPSERT</Action><ResourceRecordSet><Name>a.example.com</Name><Type>A</Type><TTL>60</TTL>
        <ResourceRecords><ResourceRecord><Value>127.0.0.1</Value></ResourceRecord></ResourceRecords>
        </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"#;
    let request = http::Request::post("/2013-04-01/hostedzone/Z1/rrset/").body(()).expect("a request");
    let (operation, parameters) = super::route(&request.into_parts().0, body).expect("routed");
    assert_eq!(operation, "ChangeResourceRecordSets");
    assert_eq!(parameters["HostedZoneId"], "Z1");
    let set = &parameters["ChangeBatch"]["Changes"][0]["ResourceRecordSet"];
    assert_eq!(set["ResourceRecords"][0]["Value"], "127.0.0.1");
    let request = http::Request::get("/2013-04-01/hostedzone/Z1/rrset?name=a.b&maxitems=2")
        .body(())
        .expect("a request");
    let (operation, parameters) = super::route(&request.into_parts().0, b"").expect("routed");
    assert_eq!(
        (operation.as_str(), &parameters["StartRecordName"]),
        ("ListResourceRecordSets", &json!("a.b"))
    );
}

#[test]
fn a_private_zone_keeps_its_last_vpc() {
    let mut dns = Dns::new();
    let vpc = |id: &str| json!({ "VPCId": id, "VPCRegion": "us-east-1" });
    let public = dns.zone("public.test");
    let refused = dns
        .ask("AssociateVPCWithHostedZone", json!({ "Id": public, "VPC": vpc("vpc-1") }))
        .expect_err("refused");
    assert_eq!(refused.code, "PublicZoneVPCAssociation");
    let made = json!({ "Name": "inner.test", "CallerReference": "inner", "VPC": vpc("vpc-1") });
    let zone = dns.ask("CreateHostedZone", made).expect("made")["HostedZone"]["Id"].clone();
    dns.ask("AssociateVPCWithHostedZone", json!({ "Id": zone, "VPC": vpc("vpc-2") })).expect("associated");
    let seen = dns.ask("GetHostedZone", json!({ "Id": zone })).expect("seen");
    assert_eq!(seen["VPCs"].as_array().map(Vec::len), Some(2));
    let zones = dns.ask("ListHostedZonesByVPC", vpc("vpc-2")).expect("list");
    assert_eq!(zones["HostedZoneSummaries"][0]["Name"], "inner.test.");
    let other = json!({ "Name": "inner.test", "CallerReference": "again", "VPC": vpc("vpc-1") });
    assert_eq!(dns.ask("CreateHostedZone", other).expect_err("refused").code, "ConflictingDomainExists");
    dns.ask("DisassociateVPCFromHostedZone", json!({ "Id": zone, "VPC": vpc("vpc-1") })).expect("gone");
    let last = dns
        .ask("DisassociateVPCFromHostedZone", json!({ "Id": zone, "VPC": vpc("vpc-2") }))
        .expect_err("refused");
    assert_eq!(last.code, "LastVPCAssociation");
}

#[test]
fn zones_share_a_delegation_set() {
    let mut dns = Dns::new();
    let set = dns.ask("CreateReusableDelegationSet", json!({ "CallerReference": "a" })).expect("made");
    let id = set["DelegationSet"]["Id"].clone();
    let twice = dns.ask("CreateReusableDelegationSet", json!({ "CallerReference": "a" }));
    assert_eq!(twice.expect_err("refused").code, "DelegationSetAlreadyCreated");
    let made = json!({ "Name": "a.test", "CallerReference": "z", "DelegationSetId": id });
    let zone = dns.ask("CreateHostedZone", made).expect("made");
    assert_eq!(zone["DelegationSet"]["Id"], id);
    let refused = dns.ask("DeleteReusableDelegationSet", json!({ "Id": id })).expect_err("refused");
    assert_eq!(refused.code, "DelegationSetInUse");
    let listed = dns.ask("ListHostedZones", json!({ "DelegationSetId": id })).expect("list");
    assert_eq!(listed["HostedZones"].as_array().map(Vec::len), Some(1));
    let unknown = dns.ask("GetReusableDelegationSet", json!({ "Id": "N0" })).expect_err("refused");
    assert_eq!(unknown.code, "NoSuchDelegationSet");
}

#[test]
fn queries_are_logged_to_a_group_that_exists() {
    let mut dns = Dns::new();
    let zone = dns.zone("logged.test");
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/dns";
    let asked = json!({ "HostedZoneId": zone, "CloudWatchLogsLogGroupArn": arn });
    let refused = dns.ask("CreateQueryLoggingConfig", asked.clone()).expect_err("refused");
    assert_eq!(refused.code, "NoSuchCloudWatchLogsLogGroup");
    dns.state.region_mut("123456789012", "us-east-1").logs.ensure_group("/dns");
    let made = dns.ask("CreateQueryLoggingConfig", asked.clone()).expect("made");
    let refused = dns.ask("CreateQueryLoggingConfig", asked).expect_err("refused");
    assert_eq!(refused.code, "QueryLoggingConfigAlreadyExists");
    let id = made["QueryLoggingConfig"]["Id"].clone();
    dns.ask("DeleteQueryLoggingConfig", json!({ "Id": id })).expect("deleted");
    let listed = dns.ask("ListQueryLoggingConfigs", json!({ "HostedZoneId": zone })).expect("list");
    assert_eq!(listed["QueryLoggingConfigs"], json!([]));
}
