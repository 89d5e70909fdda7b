//! A headless Chromium, driven over `WebDriver` (<https://www.w3.org/TR/webdriver2/>). Chromium and its
//! driver are Debian's; `.ci/browser` installs them, and axe-core.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{PATIENCE, free_port, runtime, wait_for};

/// Directory into which `.ci/browser` puts axe-core (MPL-2.0), which finds accessibility problems.
const AXE: &str = "/opt/axe-core/axe.min.js";

/// A browser with one page, closed on drop.
pub struct Browser {
    driver: Child,
    runtime: Runtime,
    client: Client,
    session: String,
    /// Profile of the browser.
    _directory: TempDir,
}

impl Browser {
    /// Starts it. `colours` is the preference of the system: `light` or `dark`.
    pub fn start(colours: &str) -> Browser {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver; .ci/browser installs it");
        let (runtime, client) = (runtime(), Client::new());
        let base = format!("http://127.0.0.1:{port}");
        let mut browser =
            Browser { driver, runtime, client, session: base.clone(), _directory: directory };
        wait_for("chromedriver", || {
            let status = browser.client.get(format!("{base}/status")).send();
            browser.runtime.block_on(status).ok()
        });
        let profile = browser._directory.path().display();
        let dark = i32::from(colours == "dark");
        let arguments = [
            "--headless=new".to_owned(),
            // Chromium has no sandbox for root; it opens only pages of the service.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--user-data-dir={profile}"),
            format!("--blink-settings=preferredColorScheme={}", 1 - dark),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let made = browser.ask("/session", Some(wanted));
        let id = made["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{base}/session/{id}");
        browser
    }

    fn ask(&self, path: &str, body: Option<Value>) -> Value {
        let answer = self.try_ask(path, body);
        assert!(answer["error"].is_null(), "{path}: {answer}");
        answer
    }

    /// Returns the driver's value, which has an `error` after a failure.
    fn try_ask(&self, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.session);
        let request = match body {
            Some(body) => self.client.post(url).json(&body),
            None => self.client.get(url),
        };
        let answer: Value = self.runtime.block_on(async {
            let sent = request.timeout(PATIENCE).send().await.expect("an answer");
            sent.json().await.expect("JSON")
        });
        answer["value"].clone()
    }

    pub fn open(&self, url: &str) {
        self.ask("/url", Some(json!({ "url": url })));
    }

    /// Sets the size of the page.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.ask("/goog/cdp/execute", Some(command));
    }

    /// Runs the body of a function in the page and returns its result.
    pub fn run(&self, script: &str) -> Value {
        self.ask("/execute/sync", Some(json!({ "script": script, "args": [] })))
    }

    /// Runs the body of a function that passes its result to its last argument, and returns the result.
    pub fn run_async(&self, script: &str) -> Value {
        self.ask("/execute/async", Some(json!({ "script": script, "args": [] })))
    }

    /// Returns the text of the first element that matches a selector; empty if there is none.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        self.run(&script).as_str().expect("text").to_owned()
    }

    #[track_caller]
    pub fn wait_for_text(&self, selector: &str, text: &str) {
        wait_for(&format!("{text:?} in {selector}"), || {
            self.text(selector).contains(text).then_some(())
        });
    }

    /// Clicks as a user does: an element that covers it prevents the click. The page may replace the element meanwhile.
    pub fn click(&self, selector: &str) {
        wait_for(&format!("a click on {selector}"), || {
            let found =
                self.ask("/element", Some(json!({ "using": "css selector", "value": selector })));
            let id = found.as_object().expect("an element").values().next().expect("its id");
            let path = format!("/element/{}/click", id.as_str().expect("text"));
            let answer = self.try_ask(&path, Some(json!({})));
            let is_stale = answer["error"] == "stale element reference";
            assert!(is_stale || answer["error"].is_null(), "{selector}: {answer}");
            (!is_stale).then_some(())
        });
    }

    /// Returns the browser's errors, such as a script that the page's policy has blocked.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.ask("/se/log", Some(json!({ "type": "browser" })));
        let entries = log.as_array().expect("a list").iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    /// Returns the problems that axe-core finds, as rule and element.
    pub fn violations(&self) -> Vec<String> {
        self.run(&std::fs::read_to_string(AXE).expect("axe-core; .ci/browser installs it"));
        let script = "const done = arguments[arguments.length - 1]; axe.run().then(done, (e) => done(String(e)));";
        let found = self.ask("/execute/async", Some(json!({ "script": script, "args": [] })));
        let list = found["violations"].as_array().unwrap_or_else(|| panic!("{found}")).iter();
        list.flat_map(|rule| {
            let nodes = rule["nodes"].as_array().expect("a list").iter();
            nodes.map(|node| format!("{}: {}", rule["id"], node["html"])).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Returns the whole page as a PNG.
    pub fn screenshot(&self, file: &Path) {
        let command =
            json!({ "cmd": "Page.captureScreenshot", "params": { "captureBeyondViewport": true } });
        let shot = self.ask("/goog/cdp/execute", Some(command));
        let png = STANDARD.decode(shot["data"].as_str().expect("text")).expect("base64");
        std::fs::write(file, png).expect("written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.runtime.block_on(self.client.delete(&self.session).send()));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
