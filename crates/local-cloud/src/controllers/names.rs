//! The hosted zones as the DNS server asks for them: records of every account, aliases to load
//! balancers resolved to the loopback addresses where these listen.
//!
//! Names of load balancers (`….elb.amazonaws.com`) are answered as well, so that what
//! DescribeLoadBalancers says can be looked up.

use std::net::IpAddr;

use rand::Rng;

use crate::services::elbv2;
use crate::services::route53::{RecordSet, Zone};
use crate::world::{State, World};
use pipeline_data_plane::dns::{Record, RecordData, RecordType, Zones};

/// The zone of the load balancers' own names.
const BALANCERS: &str = "elb.amazonaws.com";
/// Route 53 answers aliases to load balancers with this time to live, in seconds
/// (docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html).
const ALIAS_TTL: u32 = 60;
/// An alias that leads to an alias, and so on, longer than this is a loop.
const LONGEST_CHAIN: u8 = 8;

/// The names that a world knows.
pub(crate) struct WorldNames(pub(crate) World);

impl Zones for WorldNames {
    fn zone(&self, name: &str) -> Option<String> {
        self.0.read(|state| zone_of(state, name))
    }

    fn owner(&self, zone: &str, name: &str) -> Option<Vec<Record>> {
        self.0.read(|state| owner(state, zone, name))
    }
}

fn zones(state: &State) -> impl Iterator<Item = &Zone> {
    state.accounts.values().flat_map(|account| account.route53.zones.values())
}

fn is_within(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

fn zone_of(state: &State, name: &str) -> Option<String> {
    let own = zones(state).map(Zone::plain_name).filter(|zone| is_within(name, zone));
    let balancers = is_balancer(name).then(|| BALANCERS.to_owned());
    own.chain(balancers).max_by_key(String::len)
}

/// `name-id.REGION.elb.amazonaws.com`, and `….elb.REGION.amazonaws.com` of network load balancers.
fn is_balancer(name: &str) -> bool {
    name.ends_with(".amazonaws.com") && name.split('.').any(|label| label == "elb")
}

fn owner(state: &State, zone: &str, name: &str) -> Option<Vec<Record>> {
    if zone == BALANCERS {
        let address = elbv2::load_balancer_by_dns_name(state, name)?.address;
        return Some(vec![record(name, ALIAS_TTL, RecordData::Address(IpAddr::V4(address)))]);
    }
    let mut exists = false;
    let mut records = Vec::new();
    for zone in zones(state).filter(|known| known.plain_name() == zone) {
        exists |= zone.records.iter().any(|set| is_within(&set.plain_name(), name));
        let sets: Vec<&RecordSet> = zone.records.iter().filter(|set| set.plain_name() == name).collect();
        for set in chosen(&sets) {
            records.extend(answers(state, zone, set, name, LONGEST_CHAIN));
        }
    }
    exists.then_some(records)
}

fn record(name: &str, ttl: u32, data: RecordData) -> Record {
    Record { name: name.to_owned(), ttl, data }
}

/// Of the sets of a name, those that are answered: of several with one type, one is chosen by
/// weight, the primary before the secondary; multivalue sets are all answered.
fn chosen<'a>(sets: &[&'a RecordSet]) -> Vec<&'a RecordSet> {
    let mut chosen = Vec::new();
    let mut kinds: Vec<&str> = sets.iter().map(|set| set.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let same: Vec<&'a RecordSet> = sets.iter().copied().filter(|set| set.kind == kind).collect();
        let total: i64 = same.iter().filter_map(|set| set.weight).sum();
        if same.iter().any(|set| set.multi_value_answer == Some(true)) {
            chosen.extend(same);
        } else if total > 0 {
            let mut ticket = rand::rng().random_range(0..total);
            chosen.extend(same.into_iter().find(|set| {
                let weight = set.weight.unwrap_or(0);
                let drawn = ticket < weight;
                ticket = ticket.saturating_sub(weight);
                drawn
            }));
        } else {
            let primary = same.iter().find(|set| set.failover.as_deref() == Some("PRIMARY"));
            chosen.extend(primary.or(same.first()).copied());
        }
    }
    chosen
}

fn answers(state: &State, zone: &Zone, set: &RecordSet, name: &str, chain: u8) -> Vec<Record> {
    let Some(alias) = &set.alias_target else {
        let ttl = set.ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(ALIAS_TTL);
        let values = set.resource_records.iter();
        return values.filter_map(|value| Some(record(name, ttl, data(&set.kind, &value.value)?))).collect();
    };
    if let Some(balancer) = elbv2::load_balancer_by_dns_name(state, &alias.dns_name) {
        return match set.kind.as_str() {
            "A" => vec![record(name, ALIAS_TTL, RecordData::Address(IpAddr::V4(balancer.address)))],
            _ => Vec::new(),
        };
    }
    let Some(chain) = chain.checked_sub(1) else { return Vec::new() };
    let targets: Vec<&RecordSet> =
        zone.records.iter().filter(|known| known.name == alias.dns_name && known.kind == set.kind).collect();
    chosen(&targets).into_iter().flat_map(|target| answers(state, zone, target, name, chain)).collect()
}

fn data(kind: &str, value: &str) -> Option<RecordData> {
    let kind = match kind {
        "A" | "AAAA" => return value.parse().ok().map(RecordData::Address),
        "CNAME" => RecordType::Cname,
        "TXT" | "SPF" => RecordType::Txt,
        "NS" => RecordType::Ns,
        "SOA" => RecordType::Soa,
        "MX" => RecordType::Mx,
        "SRV" => RecordType::Srv,
        "CAA" => RecordType::Caa,
        "PTR" => RecordType::Ptr,
        _ => return None,
    };
    Some(RecordData::Text(kind, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::DEFAULT_ACCOUNT;

    fn names(records: Vec<RecordSet>) -> WorldNames {
        let world = World::in_memory();
        world.write(|state| {
            let zones = &mut state.account_mut(DEFAULT_ACCOUNT).route53.zones;
            zones.values_mut().for_each(|zone| zone.records.extend(records.clone()));
        });
        WorldNames(world)
    }

    fn set(name: &str, value: &str) -> RecordSet {
        let record = serde_json::json!({ "Name": name, "Type": "A", "TTL": 5, "ResourceRecords": [{ "Value": value }] });
        serde_json::from_value(record).expect("a record set")
    }

    #[test]
    fn records_are_answered_from_their_zone() {
        let names =
            names(vec![set("a.b.pipeline.test.", "127.0.0.9"), set("\\052.c.pipeline.test.", "127.0.0.8")]);
        assert_eq!(names.zone("a.b.pipeline.test").as_deref(), Some("pipeline.test"));
        assert_eq!(names.zone("example.org"), None);
        let found = names.owner("pipeline.test", "a.b.pipeline.test").expect("there");
        assert_eq!(found, [record("a.b.pipeline.test", 5, RecordData::Address([127, 0, 0, 9].into()))]);
        assert_eq!(names.owner("pipeline.test", "b.pipeline.test"), Some(vec![]), "something is below it");
        assert_eq!(names.owner("pipeline.test", "none.pipeline.test"), None);
        assert_eq!(names.owner("pipeline.test", "*.c.pipeline.test").map(|found| found.len()), Some(1));
        let apex = names.owner("pipeline.test", "pipeline.test").expect("there");
        assert_eq!(apex.len(), 5, "four name servers and the start of authority");
    }

    #[test]
    fn an_alias_in_the_zone_is_followed() {
        let alias = serde_json::json!({ "Name": "www.pipeline.test.", "Type": "A", "AliasTarget":
            { "HostedZoneId": "Z", "DNSName": "a.pipeline.test.", "EvaluateTargetHealth": false } });
        let alias = serde_json::from_value(alias).expect("a record set");
        let names = names(vec![set("a.pipeline.test.", "127.0.0.9"), alias]);
        let found = names.owner("pipeline.test", "www.pipeline.test").expect("there");
        assert_eq!(found[0].name, "www.pipeline.test");
        assert_eq!(found[0].data, RecordData::Address([127, 0, 0, 9].into()));
    }

    #[test]
    fn weights_choose() {
        let weighted = |weight| RecordSet { weight: Some(weight), ..set("a.", "127.0.0.1") };
        let (none, all) = (weighted(0), weighted(7));
        for _ in 0..50 {
            assert_eq!(chosen(&[&none, &all])[0].weight, Some(7));
        }
    }
}
