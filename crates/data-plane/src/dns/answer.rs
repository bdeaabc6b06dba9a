//! From a question to an answer: chains of CNAMEs, wildcards, and the two ways of "no".

use super::{Record, RecordData, RecordType, Zones};

/// What the zones say to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Records, the chain of CNAMEs first.
    Records(Vec<Record>),
    /// The name exists, but not with this type; with the zone's SOA if it has one.
    NoData(Option<Record>),
    /// The name does not exist; with the zone's SOA if it has one.
    NoName(Option<Record>),
    /// No zone of ours contains the name.
    NotOurs,
}

/// A chain longer than this is a loop.
const LONGEST_CHAIN: usize = 8;

/// Answers the question for `name` (lower-case, without a final dot) and `kind`.
pub(super) fn answer(zones: &dyn Zones, name: &str, kind: RecordType) -> Answer {
    let mut found = Vec::new();
    let mut name = name.to_owned();
    for _ in 0..LONGEST_CHAIN {
        let Some(zone) = zones.zone(&name) else {
            // The chain leaves our zones: the client has to follow the last CNAME itself.
            return if found.is_empty() { Answer::NotOurs } else { Answer::Records(found) };
        };
        let Some(records) = owner_or_wildcard(zones, &zone, &name) else {
            return ended(found, || Answer::NoName(soa(zones, &zone)));
        };
        let cname = records.iter().find_map(|record| match &record.data {
            RecordData::Text(RecordType::Cname, target) => Some((record.clone(), target.clone())),
            _ => None,
        });
        if let Some((record, target)) = cname.filter(|_| kind != RecordType::Cname) {
            found.push(record);
            name = target.trim_end_matches('.').to_ascii_lowercase();
            continue;
        }
        let before = found.len();
        found.extend(records.into_iter().filter(|record| record.data.kind() == kind));
        if found.len() == before {
            return ended(found, || Answer::NoData(soa(zones, &zone)));
        }
        return Answer::Records(found);
    }
    Answer::Records(found)
}

fn ended(found: Vec<Record>, no: impl FnOnce() -> Answer) -> Answer {
    if found.is_empty() { no() } else { Answer::Records(found) }
}

fn soa(zones: &dyn Zones, zone: &str) -> Option<Record> {
    zones.owner(zone, zone)?.into_iter().find(|record| record.data.kind() == RecordType::Soa)
}

/// The records of `name`, or those of the wildcard beside it. Only the closest existing ancestor's
/// wildcard counts (RFC 4592, section 3.3.1).
fn owner_or_wildcard(zones: &dyn Zones, zone: &str, name: &str) -> Option<Vec<Record>> {
    if let Some(records) = zones.owner(zone, name) {
        return Some(records);
    }
    let mut rest = name;
    while rest != zone {
        let (_, parent) = rest.split_once('.')?;
        if let Some(records) = zones.owner(zone, &format!("*.{parent}")) {
            return Some(
                records.into_iter().map(|record| Record { name: name.to_owned(), ..record }).collect(),
            );
        }
        if zones.owner(zone, parent).is_some() {
            return None;
        }
        rest = parent;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::TestZones;
    use super::*;

    fn ask(name: &str, kind: RecordType) -> Answer {
        answer(&TestZones, name, kind)
    }

    fn texts(answer: Answer) -> Vec<String> {
        let Answer::Records(records) = answer else { panic!("no records: {answer:?}") };
        records.into_iter().map(|record| format!("{} {:?}", record.name, record.data)).collect()
    }

    #[test]
    fn follows_names_to_addresses() {
        assert_eq!(texts(ask("app.example.test", RecordType::A)), ["app.example.test Address(127.70.0.1)"]);
        let chain = texts(ask("www.example.test", RecordType::A));
        assert_eq!(chain.len(), 2, "{chain:?}");
        assert_eq!(texts(ask("www.example.test", RecordType::Cname)).len(), 1);
        assert_eq!(texts(ask("out.example.test", RecordType::A)).len(), 1, "the target is elsewhere");
        assert_eq!(texts(ask("loop.example.test", RecordType::A)).len(), LONGEST_CHAIN);
    }

    #[test]
    fn wildcards_cover_only_what_does_not_exist() {
        assert_eq!(
            texts(ask("a.b.wild.example.test", RecordType::A)),
            ["a.b.wild.example.test Address(127.70.0.2)"]
        );
        assert!(matches!(ask("x.app.example.test", RecordType::A), Answer::NoName(Some(_))));
    }

    #[test]
    fn tells_the_ways_of_no_apart() {
        assert!(matches!(ask("app.example.test", RecordType::Aaaa), Answer::NoData(Some(_))));
        assert!(matches!(ask("gone.example.test", RecordType::A), Answer::NoName(Some(_))));
        assert_eq!(ask("example.org", RecordType::A), Answer::NotOurs);
    }
}
