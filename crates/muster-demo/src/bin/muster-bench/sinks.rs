//! What sinks cost: each alone, with pages that are in memory; and Muster with all of them at once. Their receivers are real ones
//! that somebody else started (`.ci/sinks-beside-clients` does).

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use muster::wiring;
use muster_model::SystemClock;

use crate::{Figure, PATIENCE, Pages, deliver, figures, open, rounded, split, until_delivered};

/// The first argument with which the program measures sinks.
pub(crate) const AS_SINKS: &str = "as-sinks";

/// The sections of the file, with a route of their own.
pub(crate) fn sections(file: &Path) -> anyhow::Result<String> {
    let mut text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("[sinks.")?.strip_suffix(']'));
    // Behind a point there are a sink's own sections.
    let names: Vec<&str> = names.filter(|name| !name.contains('.')).collect();
    if names.is_empty() {
        bail!("there is no section [sinks.NAME] in {}", file.display());
    }
    let route = format!("\n[[routes]]\nsources = [\"graph_alerts\"]\nsinks = {names:?}\n");
    text.push_str(&route);
    Ok(text)
}

/// Has each sink measured, in a process of its own, and prints what it took.
pub(crate) async fn alone(folder: &Path, pages: u32) -> anyhow::Result<()> {
    let measured = figures(AS_SINKS, folder, pages).await?;
    Figure::print_head();
    measured.iter().for_each(Figure::print);
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Delivers the pages to each sink, as many at the same time as Muster would; prints a line of JSON for each.
pub(crate) async fn each(folder: &Path, pages: u32) -> anyhow::Result<()> {
    let (settings, store) = open(folder).await?;
    let fetched = Pages::fetch(&settings, store.as_ref(), pages).await?;
    store.close().await;
    let (alerts, bytes) = (fetched.alerts(), fetched.bytes()?);
    let pages = fetched.bodies.iter().map(|body| split(body)).collect::<Result<Vec<_>, _>>()?;
    for (name, sink) in &settings.sinks {
        let senders = sink.any().concurrency() as usize;
        let opened = wiring::open_sink(&settings, name, sink, Arc::new(SystemClock), None);
        let opened = opened.map_err(anyhow::Error::msg)?;
        let delivered = deliver(opened, &fetched.label, &pages, senders).await;
        let (seconds, cpu_seconds, peak_rss_mb) = delivered.with_context(|| format!("sink `{name}`"))?;
        let figure = Figure { what: name.to_string(), alerts, bytes, seconds, cpu_seconds, peak_rss_mb };
        println!("{}", serde_json::to_string(&figure)?);
    }
    Ok(())
}

/// Runs Muster until every sink has every alert.
pub(crate) async fn at_once(folder: &Path, alerts: u64) -> anyhow::Result<()> {
    let (settings, store) = open(folder).await?;
    store.close().await;
    let sinks = settings.sinks.len() as u64;
    eprintln!("running Muster until {sinks} sinks have {alerts} alerts each …");
    let (seconds, usage, _) = until_delivered(folder, None, PATIENCE, alerts * sinks).await?;
    println!(
        "{sinks} sinks: {:.0} alerts/s to each, {} CPU s per million alerts, peak memory {} MB",
        alerts as f64 / seconds,
        rounded(usage.cpu.as_secs_f64() * 1e6 / alerts.max(1) as f64),
        rounded(usage.peak_rss_bytes as f64 / 1e6)
    );
    Ok(())
}
