//! Containers: how long one takes from start to end, many at once, and what one that idles costs; beside
//! crun, runc and podman, taking turns; and how long a pull takes.

mod engines;
mod pull;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::report::{median, percentile};
use engines::{Engine, Stage};

/// Between two looks at what has been started.
const LOOK: Duration = Duration::from_millis(10);
/// Nothing that is measured here takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Containers side by side.
#[derive(clap::Args)]
pub(crate) struct Containers {
    /// The program to measure.
    #[arg(long, default_value = "target/release/argosy")]
    pub(crate) argosy: std::path::PathBuf,
    /// How often each runs `true`.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How many are started at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    many: u32,
    /// How often each pulls; 0: no pulls.
    #[arg(long, default_value_t = 5)]
    pulls: u32,
}

pub(crate) fn measure(options: &Containers) -> Result<()> {
    let stage = Stage::prepare(&options.argosy)?;
    let engines = stage.engines();
    for engine in &engines {
        // The first one warms what all have in the page cache.
        engine.run_true(&stage).with_context(|| format!("{} does not run", engine.name()))?;
    }
    one_after_another(options, &stage, &engines)?;
    many_at_once(options, &stage, &engines)?;
    idle(&stage)?;
    match options.pulls {
        0 => Ok(()),
        pulls => pull::measure(&stage, pulls),
    }
}

fn one_after_another(options: &Containers, stage: &Stage, engines: &[Engine]) -> Result<()> {
    let mut times: Vec<Vec<f64>> = engines.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.runs {
        for (engine, times) in engines.iter().zip(&mut times) {
            times.push(engine.run_true(stage)?.as_secs_f64() * 1e3);
        }
    }
    println!(
        "`true` in busybox, from start to the end of the command, ms ({} runs each)\n",
        options.runs
    );
    println!("{:<10} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p90", "min", "ratio");
    let ours = median(times[0].clone());
    for (engine, times) in engines.iter().zip(&times) {
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let p50 = median(times.clone());
        println!(
            "{:<10} {p50:>8.1} {:>8.1} {least:>8.1} {:>8.2}",
            engine.name(),
            percentile(times.clone(), 90),
            ours / p50,
        );
    }
    println!("\nratio: argosy to it, of medians\n");
    Ok(())
}

fn many_at_once(options: &Containers, stage: &Stage, engines: &[Engine]) -> Result<()> {
    let engines: Vec<&Engine> = engines.iter().filter(|it| it.has_background()).collect();
    println!(
        "{} containers started at once, s until all run, and until all are gone again\n",
        options.many
    );
    for engine in engines {
        let begin = Instant::now();
        let started = (0..options.many)
            .map(|number| engine.start_sleep(stage, &format!("many{number}")))
            .collect::<Result<Vec<_>>>()?;
        for mut child in started {
            if !child.wait()?.success() {
                bail!("{} did not start one of {}", engine.name(), options.many);
            }
        }
        wait_for(|| Ok(engine.count(stage)? >= options.many as usize))?;
        let up = begin.elapsed();
        let begin = Instant::now();
        let names: Vec<String> = (0..options.many).map(|number| format!("many{number}")).collect();
        engine.remove(stage, &names)?;
        println!(
            "{:<10} {:>8.2} {:>8.2}",
            engine.name(),
            up.as_secs_f64(),
            begin.elapsed().as_secs_f64()
        );
    }
    println!();
    Ok(())
}

/// What a container of ours that sleeps costs in processes of ours.
fn idle(stage: &Stage) -> Result<()> {
    const COUNT: u32 = 20;
    let engine = Engine::Argosy;
    let names: Vec<String> = (0..COUNT).map(|number| format!("idle{number}")).collect();
    for name in &names {
        if !engine.start_sleep(stage, name)?.wait()?.success() {
            bail!("a container did not start");
        }
    }
    let kib = engines::monitors(stage)?;
    engine.remove(stage, &names)?;
    let private = kib.iter().map(|it| it.private).sum::<u64>();
    let pss = kib.iter().map(|it| it.pss).sum::<u64>();
    println!(
        "our processes of an idle container, mean of {COUNT}: {} KiB PSS, {} KiB that nobody shares",
        pss / u64::from(COUNT),
        private / u64::from(COUNT)
    );
    Ok(())
}

fn wait_for(mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > until {
            bail!("nothing came of it within {PATIENCE:?}");
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
