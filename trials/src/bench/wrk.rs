//! Load by `wrk`, and what it reports.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools;
use xtask::shell::{self, StepError};

/// `wrk` with one thread, and as many connections as told.
pub(super) struct Wrk {
    program: PathBuf,
    connections: u32,
    seconds: u32,
}

/// What one run of `wrk` gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Throughput {
    /// Requests per second.
    pub(super) rate: f64,
    /// The latency that 99 % of the requests stay below, in milliseconds.
    pub(super) p99: f64,
}

impl Wrk {
    /// Finds `wrk`, or installs it where that can be done.
    pub(super) fn find(connections: u32, seconds: u32) -> Result<Self, String> {
        Ok(Self { program: tools::ensure("wrk")?, connections, seconds })
    }

    /// How it is called, for the reader.
    pub(super) fn describe(&self) -> String {
        format!("`wrk -t1 -c{} -d{}s --latency`", self.connections, self.seconds)
    }

    /// Puts load on `url`; a Lua `script` says what requests to send.
    ///
    /// # Errors
    /// When any request failed: the speed of failing is no throughput.
    pub(super) fn run(&self, url: &str, script: Option<&Path>) -> Result<Throughput, StepError> {
        let mut command = Command::new(&self.program);
        command.args(["-t1", "--latency"]);
        command.arg(format!("-c{}", self.connections)).arg(format!("-d{}s", self.seconds));
        if let Some(script) = script {
            command.arg("-s").arg(script);
        }
        let report = shell::quiet(command.arg(url))?;
        parse(&report).map_err(|reason| StepError::Other(format!("wrk on {url}: {reason}\n{report}")))
    }
}

fn parse(report: &str) -> Result<Throughput, String> {
    let after = |label: &str| {
        report
            .lines()
            .find_map(|line| line.trim().strip_prefix(label))
            .map(str::trim)
            .ok_or_else(|| format!("no line begins with `{label}`"))
    };
    for failed in ["Non-2xx or 3xx responses:", "Socket errors:"] {
        if let Ok(count) = after(failed) {
            return Err(format!("{failed} {count}"));
        }
    }
    let rate = after("Requests/sec:")?;
    let rate = rate.parse().map_err(|_| format!("`{rate}` is no rate"))?;
    Ok(Throughput { rate, p99: milliseconds(after("99%")?)? })
}

fn milliseconds(text: &str) -> Result<f64, String> {
    // The longer units first: `ms` ends with `s` too.
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)] {
        if let Some(number) = text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok()) {
            return Ok(number * factor);
        }
    }
    Err(format!("`{text}` is no latency"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
Running 4s test @ http://127.0.0.1:15555/
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    33.10ms   12.00ms  68.38ms   66.84%
    Req/Sec   218.88     90.18   306.00     87.50%
  Latency Distribution
     50%   31.67ms
     99%   61.83ms
  195 requests in 4.08s, 78.84KB read
Requests/sec:     47.81
Transfer/sec:     19.33KB
";

    #[test]
    fn a_report_is_read() {
        assert_eq!(parse(REPORT), Ok(Throughput { rate: 47.81, p99: 61.83 }));
        assert_eq!(milliseconds("850.00us"), Ok(0.85));
        assert_eq!(milliseconds("1.20s"), Ok(1200.0));
    }

    #[test]
    fn a_run_with_failed_requests_is_none() {
        let failed = format!("{REPORT}  Non-2xx or 3xx responses: 7\n");
        assert_eq!(parse(&failed), Err("Non-2xx or 3xx responses: 7".into()));
    }
}
