//! A browser without a screen, and the driver that is its only way in.

use super::scene::{PATIENCE, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use thirtyfour::prelude::*;
use tokio::net::TcpListener;

/// Where Debian puts them.
const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

pub(crate) struct Programs {
    chromium: PathBuf,
    driver: PathBuf,
}

/// The browser and its driver; none, said aloud, where they are missing.
pub(crate) fn programs() -> Option<Programs> {
    let found = [CHROMIUM, DRIVER].map(Path::new);
    if found.iter().all(|program| program.is_file()) {
        let [chromium, driver] = found.map(Path::to_owned);
        return Some(Programs { chromium, driver });
    }
    let why = "there is no browser here (Debian packages chromium, chromium-driver)";
    assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    /// Where the driver listens.
    server: String,
    process: Child,
}

impl Browser {
    pub(crate) async fn start(programs: &Programs) -> Self {
        // Taken for a moment to find one that is free.
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let process = Command::new(&programs.driver)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut asked = DesiredCapabilities::chrome();
        asked.set_binary(&programs.chromium.to_string_lossy()).expect("a path");
        for arg in [
            "--headless=new",
            // Nobody but this test's own nodes is shown, and containers have no user namespaces.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1440,1000",
        ] {
            asked.add_arg(arg).expect("an argument");
        }
        let server = format!("http://127.0.0.1:{port}");
        let driver = until("the browser to start", || async {
            WebDriver::new(server.as_str(), asked.clone()).await.ok()
        })
        .await;
        let timeouts =
            TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), Some(Duration::ZERO));
        driver.update_timeouts(timeouts).await.expect("timeouts");
        Self { driver, server, process }
    }

    pub(crate) async fn visit(&self, url: &str) {
        self.driver.goto(url).await.expect("the page loads");
    }

    /// What a script returns, as text.
    pub(crate) async fn run(&self, script: &str) -> String {
        let ret = self.driver.execute(script, Vec::new()).await.expect("the script runs");
        match ret.json() {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The text of an element, empty while there is none.
    pub(crate) async fn text(&self, css: &str) -> String {
        let css = serde_json::to_string(css).expect("a text");
        self.run(&format!("return document.querySelector({css})?.innerText ?? ''")).await
    }

    pub(crate) async fn count(&self, css: &str) -> usize {
        let css = serde_json::to_string(css).expect("a text");
        let count = self.run(&format!("return document.querySelectorAll({css}).length")).await;
        count.parse().expect("a number")
    }

    /// Waits until there is no such element any more.
    pub(crate) async fn gone(&self, css: &str) {
        until(&format!("{css} to be gone"), || async {
            (self.count(css).await == 0).then_some(())
        })
        .await;
    }

    /// Waits until an element says this, and returns all that it says.
    pub(crate) async fn says(&self, css: &str, words: &str) -> String {
        until(&format!("{css} to say {words:?}"), || async {
            let text = self.text(css).await;
            text.contains(words).then_some(text)
        })
        .await
    }

    /// Clicks as a person does: what is hidden, covered or disabled cannot be.
    pub(crate) async fn click(&self, css: &str) {
        until(&format!("{css} to be clicked"), || async {
            let element = self.driver.find(By::Css(css)).await.ok()?;
            // The page's buttons rest while an answer is awaited, and swallow a click.
            let rests = element.attr("aria-disabled").await.ok()?.as_deref() == Some("true");
            if rests || !element.is_enabled().await.ok()? {
                return None;
            }
            element.scroll_into_view().await.ok()?;
            element.click().await.ok()
        })
        .await;
    }

    /// Presses a key, or types a text, wherever the focus is.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) {
        let keys = self.driver.action_chain().send_keys(keys);
        keys.perform().await.expect("the keys are pressed");
    }

    /// What a driver has no words for, in the browser's own.
    async fn command(&self, command: &str, parameters: Value) {
        let session = self.driver.handle().session_id();
        let url = format!("{}/session/{session}/goog/cdp/execute", self.server);
        let asked = json!({"cmd": command, "params": parameters}).to_string();
        let sent = reqwest::Client::new().post(url).body(asked).send().await;
        let answer = sent.expect("the driver answers");
        assert!(answer.status().is_success(), "{command}: {answer:?}");
    }

    /// Has each page that is shown from now on run this before its own scripts.
    pub(crate) async fn run_first(&self, script: &str) {
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// The page is so many pixels wide, as on a phone or a desk.
    pub(crate) async fn wide(&self, width: u32) {
        let height = if width < 600 { 844 } else { 1000 };
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The reader prefers this, as (`prefers-color-scheme`, `dark`).
    pub(crate) async fn prefers(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.command("Emulation.setEmulatedMedia", features).await;
    }

    /// Keeps a picture in the directory that `FLASHNODE_PICTURES` names, if it is set, to be looked
    /// at.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(dir) = std::env::var_os("FLASHNODE_PICTURES") else { return };
        let path = Path::new(&dir).join(format!("{name}.png"));
        self.driver.screenshot(&path).await.expect("a picture");
    }

    pub(crate) async fn is_enabled(&self, css: &str) -> bool {
        let element = self.driver.find(By::Css(css)).await.expect("an element");
        element.is_enabled().await.expect("an answer")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when it is asked to end, and is gone when that is.
        let driver = self.driver.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            tokio::task::block_in_place(|| {
                // A browser that is gone already needs no end.
                let _ = runtime.block_on(driver.quit());
            });
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
