//! `dig` asks the cloud's name server.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::{LocalCloud, LocalCloudOptions};
use serde_json::json;

use crate::outside::{aws, make, succeed, text};

/// What `dig` says about `name`: the status, and the answers if they are asked for in short.
fn dig(server: SocketAddr, question: &[&str]) -> String {
    let mut command = Command::new("dig");
    let server = [format!("@{}", server.ip()), "-p".into(), server.port().to_string()];
    succeed(command.args(server).args(["+time=2", "+tries=2"]).args(question))
}

fn name_server(cloud: &LocalCloud) -> SocketAddr {
    let status = cloud.status().expect("a status");
    text(&status, "/dns").parse().expect("an address and a port")
}

#[test]
fn dig_finds_the_names_of_hosted_zones() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    let made = make(&cloud, &["named", "sample:1"]);
    let zones = aws(&cloud, &["route53", "list-hosted-zones-by-name", "--dns-name", "pipeline.test"]);
    let zone = text(&zones, "/HostedZones/0/Id");
    let alias = json!({"Name": "www.pipeline.test", "Type": "A", "AliasTarget": {
        "HostedZoneId": made["zone_id"], "DNSName": made["dns_name"], "EvaluateTargetHealth": true }});
    let note = json!({"Name": "note.pipeline.test", "Type": "TXT", "TTL": 60,
        "ResourceRecords": [{"Value": "\"hello\""}]});
    let batch = json!({"Changes": [
        {"Action": "UPSERT", "ResourceRecordSet": alias},
        {"Action": "CREATE", "ResourceRecordSet": note}]});
    let change = ["route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch"];
    let info = aws(&cloud, &[&change[..], &[&batch.to_string()]].concat());
    let id = text(&info, "/ChangeInfo/Id").to_owned();
    eventually(Duration::from_secs(10), || {
        let change = aws(&cloud, &["route53", "get-change", "--id", &id]);
        let status = text(&change, "/ChangeInfo/Status").to_owned();
        if status == "INSYNC" { Ok(()) } else { Err(status) }
    })
    .expect("the change spreads");

    let server = name_server(&cloud);
    let address = dig(server, &["+short", "www.pipeline.test", "A"]);
    let address: IpAddr = address.trim().parse().unwrap_or_else(|_| panic!("no address: {address}"));
    assert!(address.is_loopback(), "{address}");
    assert_eq!(cloud.listener("named", 80).expect("a listener").ip(), address);
    let own = dig(server, &["+short", text(&made, "/dns_name"), "A"]);
    assert_eq!(own.trim(), address.to_string(), "the load balancer's own name");
    assert_eq!(dig(server, &["+short", "note.pipeline.test", "TXT"]).trim(), "\"hello\"");
    assert_eq!(dig(server, &["+tcp", "+short", "note.pipeline.test", "TXT"]).trim(), "\"hello\"");
    assert!(dig(server, &["pipeline.test", "SOA"]).contains("status: NOERROR"));
    assert!(dig(server, &["pipeline.test", "NS"]).contains("ANSWER: 4"), "four name servers, as AWS");
    assert!(dig(server, &["none.pipeline.test", "A"]).contains("status: NXDOMAIN"));
    let none = dig(server, &["note.pipeline.test", "A"]);
    assert!(none.contains("status: NOERROR") && none.contains("ANSWER: 0"), "{none}");
    assert!(dig(server, &["example.com", "A"]).contains("status: REFUSED"));
}
