//! Measures how fast the disk takes records of a journal: `journal_rate [FOLDER]`.

use std::time::Duration;

use pipeline_core::measure_rate;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder = tempfile::tempdir_in(parent)?;
    for writers in [1, 8, 64] {
        let rate = measure_rate(folder.path(), writers, Duration::from_secs(4)).await?;
        println!(
            "{writers:3} writers: {:8.0} flushes/s, {:8.0} records/s, {:5.1} % of the most possible",
            rate.flushes,
            rate.records,
            100.0 * rate.share()
        );
    }
    Ok(())
}
