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
fn private_zones_have_vpcs() {
    let mut dns = Dns::new();
    let vpc = |id: &str| json!({ "VPCRegion": "eu-central-1", "VPCId": id });
    let private = json!({ "Name": "inside.test", "CallerReference": "r", "VPC": vpc("vpc-1") });
    let zone = dns.ask("CreateHostedZone", private).expect("made")["HostedZone"]["Id"].clone();
    let which = |id: &str| json!({ "HostedZoneId": zone, "VPC": vpc(id) });
    let last = dns.ask("DisassociateVPCFromHostedZone", which("vpc-1")).expect_err("the last one");
    assert_eq!(last.code, "LastVPCAssociation");
    dns.ask("AssociateVPCWithHostedZone", which("vpc-2")).expect("associated");
    let listed = dns.ask("ListHostedZonesByVPC", vpc("vpc-2")).expect("listed");
    assert_eq!(listed["HostedZoneSummaries"][0]["Name"], "inside.test.");
    dns.ask("DisassociateVPCFromHostedZone", which("vpc-1")).expect("disassociated");
    let shown = dns.ask("GetHostedZone", json!({ "Id": zone })).expect("shown");
    assert_eq!(shown["VPCs"], json!([vpc("vpc-2")]));
    let public = dns.zone("outside.test");
    let refused =
        dns.ask("AssociateVPCWithHostedZone", json!({ "HostedZoneId": public, "VPC": vpc("vpc-1") }));
    assert_eq!(refused.expect_err("public").code, "PublicZoneVPCAssociation");
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
