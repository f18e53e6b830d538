//! A real program that is killed: this test binary again, under the preloaded library.
//!
//! Owns: starting it, killing it, and the power cut. A scene is a function that changes files in
//! the directory that it is given and then says that it is done; it is killed while it waits.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use unsynced::{Loss, Undone};

const SCENE: &str = "UNSYNCED_SCENE";
const STAGE: &str = "UNSYNCED_STAGE";
const DONE: &str = "the scene is played";

/// What a scene does in its directory.
pub(crate) type Scene = (&'static str, fn(&Path));

/// Plays the scene that the environment names, if it names one; then never returns.
pub(crate) fn play(scenes: &[Scene]) {
    let Ok(wanted) = std::env::var(SCENE) else { return };
    let dir = PathBuf::from(std::env::var_os(STAGE).unwrap());
    let (_, scene) = scenes.iter().find(|(name, _)| *name == wanted).unwrap();
    scene(&dir);
    say(DONE);
    loop {
        std::thread::park();
    }
}

/// Tells the parent.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// A directory, with a journal beside it.
pub(crate) struct Stage {
    root: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dir")).unwrap();
        Self { root }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("dir")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    /// Starts the scene; its lines can be read.
    pub(crate) fn start(&self, scene: &str) -> (Child, impl Iterator<Item = String> + use<>) {
        let library = unsynced::library().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_scene_is_played_in_a_child", "--nocapture"])
            .envs(unsynced::environment(&library, &self.dir(), &self.journal()))
            .env(SCENE, scene)
            .env(STAGE, self.dir())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map_while(Result::ok))
    }

    /// Plays the scene to its end, and kills it.
    pub(crate) fn play(&self, scene: &str) {
        let (mut child, mut lines) = self.start(scene);
        let played = lines.any(|line| line == DONE);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(played, "the scene {scene} died on its own");
    }

    /// The power cut.
    pub(crate) fn cut(&self, loss: Loss, seed: u64) -> Undone {
        unsynced::undo(&self.journal(), loss, seed).unwrap()
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        let bytes = std::fs::read(self.dir().join(name)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}
