//! `flashctl completions`: what a shell needs to complete its command line.

use super::Exit;
use crate::out;
use clap::Command;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(flashctl completions bash)                           for this shell
  flashctl completions bash > ~/.local/share/bash-completion/completions/flashctl
  flashctl completions fish > ~/.config/fish/completions/flashctl.fish
  flashctl completions zsh > \"${fpath[1]}/_flashctl\"")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for the command line that `of` describes.
pub(crate) fn run(args: &Args, mut of: Command) -> Exit {
    let mut script = Vec::new();
    let name = of.get_name().to_owned();
    clap_complete::generate(args.shell, &mut of, name, &mut script);
    out::text(&String::from_utf8_lossy(&script));
    Exit::Ok
}
