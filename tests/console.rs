//! The console in a real browser, against the real binary.

use std::path::PathBuf;

use reqwest::Client;
use serde_json::Value;

use crate::support::browser::Browser;
use crate::support::events::{fixture_text, minted};
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{block_on, wait_for};

const PASSWORD: &str = "r3d-Lantern-by-the-Sea";

/// A text that has an effect if a page inserts it as HTML.
const HOSTILE: &str =
    "</pre><script>window.hacked=1</script><img src=x onerror=\"window.hacked=1\">";

pub fn home(more: &str) -> Home {
    let home = Home::new(more).with_variables(&[("ADMIN_PASSWORD", PASSWORD)]);
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let text = text.replace("[admin]\n", "[admin]\npassword_env = \"ADMIN_PASSWORD\"\n");
    std::fs::write(home.path("test.toml"), text).expect("written");
    home
}

/// Returns the console's address with the admin's credentials.
pub fn console(service: &Service) -> String {
    service.admin.replace("http://", &format!("http://admin:{PASSWORD}@")) + "/console"
}

/// Returns status, content security policy and body of an answer.
fn admin(service: &Service, path: &str) -> (u16, String, String) {
    block_on(async {
        let get = Client::new().get(format!("{}{path}", service.admin));
        let answer = get.basic_auth("admin", Some(PASSWORD)).send().await.expect("an answer");
        let policy = answer.headers().get("content-security-policy");
        let policy = policy.map_or("", |policy| policy.to_str().expect("text")).to_owned();
        (answer.status().as_u16(), policy, answer.text().await.expect("text"))
    })
}

/// Returns an accepted event whose texts are all hostile.
fn hostile() -> String {
    let mut event: Value = serde_json::from_str(&minted(HOSTILE)).expect("JSON");
    let flow = &mut event["_embedded"]["flowInteractionEvent"];
    for member in
        ["flowName", "connectorId", "capabilityName", "outcomeStatus", "outcomeDescription"]
    {
        flow[member] = HOSTILE.into();
    }
    flow[HOSTILE] = 1.into();
    format!("[{event}]")
}

#[test]
fn the_page_allows_nothing_inline_and_escapes_hostile_text() {
    let home = home("");
    let service = home.start();
    service.post(&hostile());
    service.post(&format!("[{{\"{}\":1}}]", HOSTILE.replace('"', "\\\"")));
    let (status, policy, page) = admin(&service, "/console");
    assert_eq!(status, 200);
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
    assert!(!page.contains("style=") && !page.contains("onclick"), "nothing inline: {page}");
    let entry = admin(&service, "/console/quarantine/1").2;
    assert!(entry.contains("&lt;script&gt;") && !entry.contains("<script>"), "{entry}");
    assert_eq!(admin(&service, "/console/quarantine/77").0, 404);
    assert_eq!(admin(&service, "/console/quarantine/group/77").0, 404);
    let found = admin(&service, "/console/trace?id=%3C%2Fpre%3E%3Cscript%3E").2;
    assert!(found.contains("&lt;script&gt;") && !found.contains("<script>"), "{found}");
}

#[test]
fn without_a_password_the_console_only_shows() {
    let home = Home::new("[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n");
    let service = home.start();
    service.post("[{\"bad\":1}]");
    let page = service.ask_admin("/console").1;
    assert!(page.contains("Quarantine") && page.contains("no data before"), "{page}");
    assert!(!page.contains("data-post") && !page.contains("data-group"), "{page}");
    let entry = service.ask_admin("/console/quarantine/1").1;
    assert!(entry.contains("admin.password_file") && !entry.contains("data-post"), "{entry}");
}

/// Directory of the screenshots, for review by people.
pub fn screenshots() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

pub fn is_clean(browser: &Browser) {
    assert_eq!(browser.violations(), [""; 0], "axe-core");
    assert_eq!(browser.complaints(), [""; 0], "what the browser says");
    assert_eq!(browser.run("return window.hacked ?? null"), Value::Null, "text is text");
}

#[test]
#[ignore = "needs Chromium and axe-core"]
fn in_a_browser_events_move_the_page_and_operations_work() {
    let mut target = Target::start(Webhook::default());
    let sink = format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\nretry = {{ min = \"50ms\", max = \"100ms\" }}\n",
        target.url
    );
    let home = home(&sink);
    let service = home.start();
    let browser = Browser::start("light");
    browser.resize(1280, 900);
    browser.open(&console(&service));
    browser.wait_for_text("#verdict", "No request from PingOne");
    is_clean(&browser);
    // New events change the sentence, the plot, the flows and the tail.
    service.post(&fixture_text("documented_batch.json"));
    service.post(&hostile());
    browser.wait_for_text("#verdict", "Events flow");
    browser.wait_for_text("#events", "start interaction");
    let bars = "return document.querySelectorAll('#events rect:not(.hit)').length";
    wait_for("bars", || (browser.run(bars).as_u64() >= Some(2)).then_some(()));
    browser.wait_for_text("#tail", "START_INTERACTION");
    browser.wait_for_text("#flows", "<script>");
    browser.wait_for_text("#drift", "<script>");
    is_clean(&browser);
    // The tail pauses, and it filters.
    browser.click("#pause");
    let rows = "return document.querySelectorAll('#tail li').length";
    let before = browser.run(rows);
    service.post(&format!("[{}]", minted("while-paused")));
    browser.wait_for_text("#events", "7");
    assert_eq!(browser.run(rows), before, "it is paused");
    browser.click("#pause");
    browser.wait_for_text("#tail", "while-paused");
    let choose = "const s = document.querySelector('#filter select'); s.value = 'start_interaction'; \
                  s.dispatchEvent(new Event('input', { bubbles: true }))";
    browser.run(choose);
    wait_for("the filter", || (!browser.text("#tail").contains("while-paused")).then_some(()));
    browser.wait_for_text("#tail", "START_INTERACTION");
    // A sink fails and recovers.
    target.stop();
    service.post(&format!("[{}]", minted("while-down")));
    browser.wait_for_text("#verdict", "Sink hook is retrying");
    browser.wait_for_text("#sinks", "Next attempt");
    target.restart();
    browser.wait_for_text("#verdict", "Events flow");
    // A pause asks first.
    browser.click("#sinks button");
    browser.wait_for_text("#confirm-text", "Pause sink hook?");
    is_clean(&browser);
    browser.click("#confirm-no");
    assert_eq!(service.readiness()["sinks"][0]["state"], "running", "it was only asked");
    browser.click("#sinks button");
    browser.click("#confirm-yes");
    browser.wait_for_text("#operation-result", "Sink hook is paused. Its events are kept.");
    browser.wait_for_text("#sinks", "By an operator");
    browser.wait_for_text("#verdict", "Sink hook is paused by an operator.");
    assert_eq!(browser.text("#verdict a"), "Go to sink hook");
    is_clean(&browser);
    browser.click("#sinks button");
    browser.wait_for_text("#verdict", "Events flow");
    // A refused event is opened, corrected and retried.
    let bad = minted("corrected").replace("recordedAt", "recorded");
    service.post(&format!("[{bad}]"));
    browser.wait_for_text("#quarantine", "1 entry");
    browser.click("#quarantine a");
    browser.wait_for_text("h1", "Quarantine:");
    is_clean(&browser);
    browser.click("table a");
    browser.wait_for_text("h1", "entry 1");
    let formatted = browser.text("pre");
    assert!(formatted.contains("\n  \"id\": \"corrected\""), "{formatted}");
    is_clean(&browser);
    browser.run("const t = document.getElementById('bytes'); t.value = t.value.replace('\"recorded\"', '\"recordedAt\"')");
    browser.click("#retry button");
    browser.wait_for_text("#operation-result", "1 event returned to the spool");
    wait_for("it at the sink", || {
        target.state().ids().contains(&"corrected".to_owned()).then_some(())
    });
    browser.open(&console(&service));
    browser.wait_for_text("#quarantine", "0 entries");
}

#[test]
#[ignore = "needs Chromium and axe-core"]
fn in_a_browser_it_is_fit_for_every_width_and_in_the_dark() {
    let home = home("[sinks.archive]\ntype = \"file\"\npath = \"a.ndjson\"\n");
    let service = home.start();
    for name in std::fs::read_dir(crate::support::events::fixture("events")).expect("a directory") {
        let text = std::fs::read_to_string(name.expect("a file").path()).expect("read");
        service.post(&text);
    }
    service.post(&hostile());
    service.post("[{\"bad\":1},{\"id\":\"no-time\"}]");
    for colours in ["light", "dark"] {
        let browser = Browser::start(colours);
        for (name, width, height) in [("desktop", 1280, 900), ("phone", 360, 740)] {
            browser.resize(width, height);
            browser.open(&console(&service));
            browser.wait_for_text("#tail", "START_INTERACTION");
            let dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches");
            assert_eq!(dark, colours == "dark");
            let wide = browser.run("return document.documentElement.scrollWidth");
            assert!(wide.as_u64() <= Some(u64::from(width)), "{name}: nothing sticks out: {wide}");
            is_clean(&browser);
            browser.screenshot(&screenshots().join(format!("{name}-{colours}.png")));
            browser.open(&console(&service).replace("/console", "/console/quarantine/1"));
            browser.wait_for_text("h1", "entry 1");
            is_clean(&browser);
            browser.screenshot(&screenshots().join(format!("entry-{name}-{colours}.png")));
        }
    }
}
