//! `jepsen-lite mutants`: builds the server with its seeded bugs, and hunts each.
//!
//! Owns: the build, the order of the hunts, the table. Never does: catch a bug; see
//! [`jepsen_lite::mutants`].

use super::Exit;
use anyhow::{Context, bail, ensure};
use jepsen_lite::mutants::{
    self, ALL, Broken, HUNT_MAX, Hunt, Limits, Mutant, Nodes, Pace, Recipe,
};
use jepsen_lite::report::reasons;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the server with bugs is built: a directory of its own, so that it never takes the place
/// of the one without.
const TARGET: &str = "target/mutants";
/// The most runs of one recipe.
const RUNS_MAX: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hunt these bugs alone
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    only: Vec<String>,
    /// Hunt those alone that are caught within seconds
    #[arg(long)]
    fast: bool,
    /// A flashnode with seeded bugs; otherwise one is built into target/mutants
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// A flashnode without; otherwise the one beside this program
    #[arg(long, value_name = "PATH")]
    clean_binary: Option<PathBuf>,
    /// The seed of the first run for each bug [default: one that is known to be quick]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let chosen = chosen(args)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    compare_names(&binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clean = runtime.block_on(hunt_clean(args, &chosen))?;
    let hunts = runtime.block_on(hunt_mutants(args, &chosen, &binary))?;
    let alarms = clean.iter().filter(|hunt| hunt.caught.is_some()).count();
    let missed = hunts.iter().filter(|hunt| hunt.caught.is_none()).count();
    let mut out = io::stdout();
    if args.json {
        let report = serde_json::json!({ "clean": clean, "mutants": hunts });
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else if alarms + missed == 0 {
        writeln!(out, "verdict: ok. Every bug was caught, and nothing where there is none.")?;
    } else {
        writeln!(
            out,
            "verdict: {missed} bugs were not caught, {alarms} hunts raised a false alarm."
        )?;
    }
    Ok(if alarms + missed == 0 { Exit::Ok } else { Exit::Illegal })
}

fn chosen(args: &Args) -> anyhow::Result<Vec<Mutant>> {
    for name in &args.only {
        let names = ALL.map(|mutant| mutant.name).join(", ");
        let known = ALL.iter().any(|mutant| mutant.name == name);
        ensure!(known, "--only {name}: there is no such bug; there are {names}");
    }
    let mut chosen = ALL.to_vec();
    chosen.retain(|mutant| args.only.is_empty() || args.only.iter().any(|n| n == mutant.name));
    chosen.retain(|mutant| !args.fast || mutant.pace == Pace::Fast);
    ensure!(!chosen.is_empty(), "none of these bugs is caught within seconds; leave out --fast");
    Ok(chosen)
}

fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "-p", "node", "--features", "mutants", "--target-dir", TARGET];
    let status = Command::new(cargo).args(arguments).status();
    let status = status.context("cargo does not run; name a build with --binary")?;
    ensure!(status.success(), "the server with seeded bugs does not build; see above");
    Ok(Path::new(TARGET).join("debug/flashnode"))
}

/// The bugs that the server's own scenes hunt (`node/tests/self_check.rs`): what they break is
/// found and fenced by the cluster, before any client could see it.
const HUNTED_BY_THE_NODE: [&str; 1] = ["flipped-bit"];

/// A bug that nobody hunts proves nothing.
fn compare_names(binary: &Path) -> anyhow::Result<()> {
    let mut theirs = mutants::names_in(binary).map_err(anyhow::Error::msg)?;
    theirs.retain(|name| !HUNTED_BY_THE_NODE.contains(&name.as_str()));
    let ours = ALL.map(|mutant| mutant.name);
    if theirs != ours {
        bail!(
            "{} has the bugs {}, but those known here are {}; build both from one source",
            binary.display(),
            theirs.join(", "),
            ours.join(", ")
        );
    }
    Ok(())
}

/// Hunts once in each way in a server without bugs, which must pass.
async fn hunt_clean(args: &Args, chosen: &[Mutant]) -> anyhow::Result<Vec<Hunt>> {
    let mut recipes: Vec<Recipe> = Vec::new();
    for recipe in chosen.iter().map(|mutant| mutant.recipe) {
        if !recipes.contains(&recipe) {
            recipes.push(recipe);
        }
    }
    let nodes = Nodes { binary: args.clean_binary.clone(), mutant: None, seed: args.seed };
    let limits = Limits { time: HUNT_MAX, runs: 1 };
    let mut hunts = Vec::new();
    for recipe in recipes {
        let hunt = mutants::hunt(recipe, &nodes, limits).await?;
        tell(args, &hunt)?;
        hunts.push(hunt);
    }
    Ok(hunts)
}

async fn hunt_mutants(args: &Args, chosen: &[Mutant], binary: &Path) -> anyhow::Result<Vec<Hunt>> {
    let limits = Limits { time: HUNT_MAX, runs: RUNS_MAX };
    let mut hunts = Vec::new();
    for mutant in chosen {
        let nodes =
            Nodes { binary: Some(binary.to_owned()), mutant: Some(mutant.name), seed: args.seed };
        let hunt = mutants::hunt(mutant.recipe, &nodes, limits).await?;
        tell(args, &hunt)?;
        hunts.push(hunt);
    }
    Ok(hunts)
}

/// One line as soon as it is known; a hunt may take minutes.
fn tell(args: &Args, hunt: &Hunt) -> io::Result<()> {
    if args.json {
        return Ok(());
    }
    let Hunt { recipe, runs, seconds, seed, .. } = hunt;
    let what = hunt.mutant.unwrap_or("no bug");
    let end = match (&hunt.caught, hunt.mutant) {
        (Some(Broken { by, found }), _) => {
            format!("caught by {by}, seed {seed}: {}", reasons::cut(found))
        }
        (None, Some(_)) => "NOT CAUGHT".to_owned(),
        (None, None) => "nothing to catch".to_owned(),
    };
    let number = if *runs == 1 { "run" } else { "runs" };
    writeln!(io::stdout(), "{what} ({recipe}): {runs} {number}, {seconds:.1} s: {end}")
}
