//! Scripts of command lines with what they print, as the README shows them.
//!
//! `$ ` begins a command line, which bash runs; the lines after it are its output, both streams
//! together, and `? CODE` how it ends if not with 0. `[..]` is anything within a line, and `...`
//! any lines. An empty line ends the output, and `#` begins a comment. `first COMMAND…` prints the
//! first line of what does not end by itself, and ends it.

use std::path::Path;
use std::process::Command;

/// One command line, and what it must come to.
#[derive(Debug, Default)]
struct Step {
    command: String,
    output: Vec<String>,
    code: i32,
}

/// What every command line can use.
const PRELUDE: &str = r#"exec 2>&1
first() { exec 3< <(exec "$@"); IFS= read -r line <&3; kill $!; echo "$line"; }
"#;

/// Plays a script in a directory, against these nodes.
pub(crate) fn play(script: &str, nodes: &str, dir: &Path) {
    let flashctl = Path::new(env!("CARGO_BIN_EXE_flashctl")).parent().unwrap();
    let path = format!("{}:{}", flashctl.display(), std::env::var("PATH").unwrap());
    for step in steps(script) {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("{PRELUDE}{}", step.command)]);
        bash.env("PATH", &path).env("FLASHCTL_NODES", nodes).current_dir(dir);
        let done = bash.output().unwrap();
        let told = String::from_utf8(done.stdout).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        let expected: Vec<&str> = step.output.iter().map(String::as_str).collect();
        assert!(
            fits(&expected, &lines) && done.status.code() == Some(step.code),
            "$ {}\nends with {:?} and prints\n{told}\nbut must end with {} and print\n{}\n",
            step.command,
            done.status.code(),
            step.code,
            expected.join("\n"),
        );
    }
}

fn steps(script: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), ..Step::default() });
            continue;
        }
        let step = steps.last_mut().unwrap();
        match line.strip_prefix("? ") {
            Some(code) => step.code = code.parse().unwrap(),
            None => step.output.push(line.to_owned()),
        }
    }
    steps
}

fn fits(expected: &[&str], lines: &[&str]) -> bool {
    match expected {
        [] => lines.is_empty(),
        ["...", rest @ ..] => (0..=lines.len()).any(|skipped| fits(rest, &lines[skipped..])),
        [first, rest @ ..] => {
            lines.first().is_some_and(|line| line_fits(first, line)) && fits(rest, &lines[1..])
        }
    }
}

fn line_fits(expected: &str, line: &str) -> bool {
    let mut parts = expected.split("[..]");
    let begin = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}
