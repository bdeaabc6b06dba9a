//! Load while something happens, and what became of it.

use std::time::Duration;

use pipeline_tests::LoadSummary;

use super::SETTLING;
use super::stage::Site;
use xtask::shell::StepError;

/// The share of the wanted rate that has to be reached for the run to count.
const REACHED: f64 = 0.9;

/// Keeps `rate` requests per second on `site` while `work` runs; prints and checks what came of it.
/// `ends_with` is the version that has to answer at the end; without one it is the first again.
pub(super) async fn during(
    site: &Site,
    rate: u32,
    ends_with: Option<&str>,
    work: impl FnOnce() -> Result<(), StepError> + Send,
) -> Result<(), StepError> {
    let load = site.start_load(rate)?;
    tokio::time::sleep(SETTLING).await;
    let result = tokio::task::block_in_place(work);
    tokio::time::sleep(SETTLING).await;
    let summary = load.stop().await;
    print(&summary);
    result?;
    check(&summary, rate, ends_with)
}

fn print(summary: &LoadSummary) {
    let versions = summary.versions();
    println!("\nAnswers by version, in percent:");
    println!(
        "  {:>6}  {}",
        "time",
        versions.iter().map(|v| format!("{:>5}", format!("v{v}"))).collect::<String>()
    );
    let mut shown: Option<String> = None;
    for slice in &summary.timeline {
        let total: usize = slice.answers.values().sum();
        let shares: String = versions
            .iter()
            .map(|version| slice.answers.get(version).copied().unwrap_or(0) * 100 / total.max(1))
            .map(|percent| format!("{percent:>5}"))
            .collect();
        // A row only when something moved.
        if shown.as_ref() != Some(&shares) {
            println!("  {:>5.1}s  {shares}", slice.at.as_secs_f64());
            shown = Some(shares);
        }
    }
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let latency = summary.latency;
    println!(
        "Latency: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms",
        ms(latency.p50),
        ms(latency.p90),
        ms(latency.p99),
        ms(latency.p999),
        ms(latency.max)
    );
    println!("Requests: {} ({:.0}/s), failed: {}", summary.requests, summary.rate(), summary.failed);
    for (reason, count) in &summary.failures {
        println!("  {count} x {reason}");
    }
}

fn check(summary: &LoadSummary, rate: u32, ends_with: Option<&str>) -> Result<(), StepError> {
    if summary.failed > 0 {
        return Err(StepError::Other(format!("{} of {} requests failed", summary.failed, summary.requests)));
    }
    if summary.rate() < f64::from(rate) * REACHED {
        return Err(StepError::Other(format!(
            "only {:.0} of {rate} requests/s were reached",
            summary.rate()
        )));
    }
    let first = summary.timeline.first().and_then(|slice| slice.answers.keys().next()).cloned();
    let wanted = ends_with.map(str::to_owned).or(first);
    let last = summary.timeline.last().map(|slice| slice.answers.keys().cloned().collect::<Vec<_>>());
    if last.as_deref() != wanted.as_ref().map(std::slice::from_ref) {
        return Err(StepError::Other(format!("at the end answers {last:?}, which should be {wanted:?}")));
    }
    Ok(())
}
