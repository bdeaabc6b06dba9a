//! Reading a journal, and finding what is wrong with it.

use pipeline_sdk::{RunId, Value};

use super::encoding::{DIGITS, FORMAT, Header, VERSION, checksum, read_record};
use super::{JournalError, Record};

/// What a journal holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The run; `None` if nothing of the journal became durable.
    pub run: Option<RunId>,
    /// The records, first to last.
    pub records: Vec<Record>,
    /// How many bytes are good.
    pub length: usize,
    /// What was cut off at the end, if anything.
    pub torn: Option<Torn>,
    /// The checksum of the last good line.
    pub(super) chain: String,
    /// The last good line has lost the end of the line.
    pub(super) unended: bool,
}

/// The end of a journal that was being written when the process or the machine stopped. Nobody was told
/// that it is durable, so nothing has begun that depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// How many bytes.
    pub bytes: usize,
}

/// Reads a journal and checks every line.
///
/// # Errors
/// A line was changed, lost or put in, or the journal is of a newer version. What was cut short at the
/// end is no error.
pub fn read(bytes: &[u8]) -> Result<Reading, JournalError> {
    let mut reading = Reading {
        run: None,
        records: Vec::new(),
        length: 0,
        torn: None,
        chain: String::new(),
        unended: false,
    };
    // A file system may have made room for what it did not come to write.
    let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let mut rest = &bytes[..written];
    let mut number = 1;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        reading.take_line(number, line)?;
        reading.length += end + 1;
        number += 1;
        rest = after;
    }
    reading.take_tail(number, rest)?;
    let cut = bytes.len() - reading.length;
    reading.torn = (cut > 0).then_some(Torn { bytes: cut });
    Ok(reading)
}

impl Reading {
    fn take_line(&mut self, number: usize, line: &[u8]) -> Result<(), JournalError> {
        let damaged = |reason: String| JournalError::Damaged { line: number, reason };
        let Some((sum, json)) = verified(&self.chain, line) else {
            return Err(damaged("its checksum is wrong".to_owned()));
        };
        if number == 1 {
            self.run = Some(read_header(json)?);
        } else {
            let record = read_record(json).map_err(damaged)?;
            let expected = self.records.len() as u64;
            if record.seq != expected {
                return Err(damaged(format!("it is record {}, where {expected} should be", record.seq)));
            }
            self.records.push(record);
        }
        self.chain = sum.to_owned();
        Ok(())
    }

    /// Looks at what follows the last end of a line.
    fn take_tail(&mut self, number: usize, tail: &[u8]) -> Result<(), JournalError> {
        if verified(&self.chain, tail).is_some() {
            self.take_line(number, tail)?;
            (self.length, self.unended) = (self.length + tail.len(), true);
            return Ok(());
        }
        let changed = tail.split_last().and_then(|(_, line)| verified(&self.chain, line));
        if changed.is_some() {
            // A line that was whole, and may have been told to be durable.
            let reason = "the end of the line was changed".to_owned();
            return Err(JournalError::Damaged { line: number, reason });
        }
        Ok(())
    }
}

/// The checksum and the JSON of `line`, if they belong together.
fn verified<'a>(chain: &str, line: &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    let (sum, json) = line.split_at_checked(DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    let sum = std::str::from_utf8(sum).ok()?;
    (checksum(chain.as_bytes(), json) == sum.as_bytes()).then_some((sum, json))
}

fn read_header(json: &[u8]) -> Result<RunId, JournalError> {
    let no_journal =
        || JournalError::Damaged { line: 1, reason: "it is not the first line of a journal".to_owned() };
    // The version first: a newer one may look different in all the rest.
    let value: Value = serde_json::from_slice(json).map_err(|_| no_journal())?;
    let version = value.get("version").and_then(Value::as_u64);
    match (value.get("format").and_then(Value::as_str), version) {
        (Some(FORMAT), Some(found)) if found > VERSION => Err(JournalError::TooNew { found }),
        (Some(FORMAT), Some(_)) => {
            serde_json::from_value(value).map(|header: Header| header.run).map_err(|_| no_journal())
        }
        _ => Err(no_journal()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encoding::{Encoded, Lines};
    use super::super::legal::{Legal, began, run_id};
    use super::super::{Entry, recover};
    use super::*;

    /// The text of a journal, and where each of its lines ends.
    fn text(seed: u64) -> (Vec<u8>, Vec<usize>, Vec<Entry>) {
        let entries: Vec<_> = Legal::new(seed).entries.into_iter().map(|(entry, _)| entry).collect();
        let mut lines = Lines::first(run_id()).expect("header");
        let mut ends = vec![lines.text.len()];
        for (seq, entry) in (0..).zip(&entries) {
            lines.record(seq, began().holder.since, &Encoded::of(entry).expect("encodes"));
            ends.push(lines.text.len());
        }
        (lines.text, ends, entries)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5, ..ProptestConfig::default() })]
        #[test]
        fn an_end_torn_at_any_byte_loses_no_whole_line(seed: u64, zeros in 0..600_usize) {
            let (text, ends, entries) = text(seed);
            for cut in 0..=text.len() {
                let whole = ends.iter().filter(|end| **end <= cut).count();
                // What a file system makes room for and does not fill.
                let torn = [&text[..cut], &vec![0; zeros]].concat();
                let reading = read(&torn).unwrap_or_else(|error| panic!("{error} at {cut}"));
                // A line that lost nothing but its end is taken too.
                let complete = ends.contains(&(cut + 1));
                let lines = whole + usize::from(complete);
                prop_assert_eq!(reading.run.is_some(), lines > 0);
                let read: Vec<_> = reading.records.iter().map(|record| record.entry.clone()).collect();
                prop_assert_eq!(&read[..], &entries[..lines.saturating_sub(1)]);
                prop_assert_eq!(reading.length + reading.torn.map_or(0, |torn| torn.bytes), torn.len());
                prop_assert_eq!(reading.unended, complete);
                recover(&reading.records).expect("legal");
            }
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn a_flipped_bit_is_found(seed: u64, at: prop::sample::Index, bit in 0..8_u8) {
            let (mut text, ..) = text(seed);
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
            match read(&text) {
                Err(JournalError::Damaged { .. }) => {}
                other => panic!("bit {bit} of byte {at}: {other:?}"),
            }
        }

        #[test]
        fn lines_that_are_lost_repeated_or_swapped_are_found(seed: u64, at: prop::sample::Index, how in 0..3) {
            let (text, ends, _) = text(seed);
            let mut lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let at = at.index(ends.len() - 1);
            match how {
                0 => { lines.remove(at); }
                1 => lines.insert(at, lines[at]),
                _ => lines.swap(at, at + 1),
            }
            let damaged = matches!(read(&lines.concat()), Err(JournalError::Damaged { .. }));
            prop_assert!(damaged);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_line_and_what_to_do() {
        let (text, ends, _) = text(3);
        let mut changed = text.clone();
        changed[ends[1] + 60] ^= 1;
        let way_out = "What the run did after it cannot be told from the journal. Move the journal out of the \
                       way, but keep it; then see with `pipeline plan` what is in the world: `pipeline run` goes on \
                       from there";
        let damaged = |bytes: &[u8]| read(bytes).expect_err("damaged").to_string();
        let said = format!("line 3 of the journal is damaged: its checksum is wrong. {way_out}");
        assert_eq!(damaged(&changed), said);
        let said = format!("line 1 of the journal is damaged: its checksum is wrong. {way_out}");
        assert_eq!(damaged(b"[stages]\nuses = 1\n"), said);
        let mut newer = Lines::default();
        newer.push(br#"{"format":"pipeline-journal","version":2,"other":true}"#);
        let said = "the journal has version 2, and this program reads up to 1; use a newer `pipeline`";
        assert_eq!(damaged(&newer.text), said);
        assert_eq!(read(b"").expect("nothing").run, None);
        assert_eq!(read(&[0; 40]).expect("nothing").torn, Some(Torn { bytes: 40 }));
    }
}
