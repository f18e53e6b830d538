//! Seeded bugs: a normal build has none and says so; a build with them runs with exactly one.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

use std::process::{Command, Output};

/// Every bug that a build with the feature can plant.
const NAMES: [&str; 11] = [
    "read-without-readindex",
    "answer-before-commit",
    "no-fsync",
    "request-table-missing-from-snapshot",
    "vote-not-persisted",
    "retry-under-new-id",
    "speculative-sold-out",
    "follower-answers-stale",
    "ack-before-write",
    "leader-restored",
    "flipped-bit",
];

/// Runs a node that is expected to end by itself.
fn run(args: &[&str], mutant: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashnode"));
    command.args(args).env_remove("FLASHNODE_MUTANT");
    if let Some(name) = mutant {
        command.env("FLASHNODE_MUTANT", name);
    }
    command.output().expect("flashnode runs")
}

fn refused(mutant: Option<&str>) -> String {
    let output = run(&["--id", "1", "--peers", "1=127.0.0.1:1"], mutant);
    assert_eq!(output.status.code(), Some(2), "it started with {mutant:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn version() -> String {
    String::from_utf8_lossy(&run(&["--version"], None).stdout).into_owned()
}

#[cfg(not(feature = "mutants"))]
mod without {
    use super::{NAMES, refused, version};

    #[test]
    fn a_normal_build_refuses_a_choice_of_bug() {
        for name in NAMES {
            let said = refused(Some(name));
            assert!(said.contains("this build has no seeded bugs"), "{said}");
        }
        assert!(!version().contains("seeded bugs"), "{}", version());
    }

    #[test]
    fn a_normal_build_holds_no_bug() {
        let binary = std::fs::read(env!("CARGO_BIN_EXE_flashnode")).expect("the binary");
        let holds = |text: &str| binary.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(holds("FLASHNODE_MUTANT"), "this is how a text in the binary is found");
        for name in NAMES {
            assert!(!holds(name), "a normal build knows {name}");
        }
    }
}

#[cfg(feature = "mutants")]
mod with {
    use super::{NAMES, refused, version};

    #[test]
    fn it_needs_a_known_name_and_lists_them() {
        for choice in [None, Some(""), Some("no-such-bug")] {
            let said = refused(choice);
            let names = said.trim().rsplit("Choose one of: ").next().expect("a list");
            assert_eq!(names.split(", ").collect::<Vec<_>>(), NAMES, "{said}");
        }
    }

    #[test]
    fn it_says_what_it_is() {
        assert!(version().contains("with seeded bugs"), "{}", version());
    }
}
