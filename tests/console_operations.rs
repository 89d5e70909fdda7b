//! Operations of the console on many entries and events, its search and its preferences, in a real browser.

use std::path::PathBuf;

use crate::console::{console, home, is_clean, screenshots};
use crate::support::browser::Browser;
use crate::support::events::{batch, large, minted};
use crate::support::service::Service;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

/// Number of quarantine entries of a large quarantine, and of sinks of a large configuration.
const MANY_ENTRIES: usize = 10_000;
const MANY_SINKS: usize = 200;

fn hook(target: &Target<Webhook>) -> String {
    format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\nretry = {{ min = \"50ms\", max = \"100ms\" }}\n",
        target.url
    )
}

fn named(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{prefix}-{number}"))
}

/// Posts elements that are refused, as they lack a time.
fn refuse(service: &Service, count: usize) {
    for part in (0..count).collect::<Vec<_>>().chunks(500) {
        let elements: Vec<String> =
            part.iter().map(|number| format!("{{\"id\":\"refused-{number}\"}}")).collect();
        service.post(&format!("[{}]", elements.join(",")));
    }
}

fn shot(browser: &Browser, name: &str) {
    let file: PathBuf = screenshots().join(format!("{name}.png"));
    browser.screenshot(&file);
}

#[test]
#[ignore = "needs Chromium and axe-core"]
fn in_a_browser_groups_are_retried_purged_and_exported() {
    let target = Target::start(Webhook::default());
    target.state().poison.extend(named("poison", 30));
    let home = home(&hook(&target));
    let service = home.start();
    let browser = Browser::start("light");
    browser.resize(1280, 900);
    browser.open(&console(&service));
    service.post(&batch(named("poison", 30)));
    refuse(&service, 20);
    browser.wait_for_text("#verdict", "The target of sink hook refuses events: 30 dead letters");
    assert_eq!(
        browser.run("return document.querySelector('.verdict').className"),
        "verdict warning"
    );
    browser.wait_for_text("#quarantine", "HTTP 400");
    let rows = "return document.querySelectorAll('#quarantine tbody tr').length";
    assert_eq!(browser.run(rows).as_u64(), Some(2), "two groups");
    is_clean(&browser);
    shot(&browser, "trouble-desktop-light");
    // The target takes them now: all are retried at once.
    target.state().poison.clear();
    browser.click("#quarantine button[data-verb=retry]");
    browser.wait_for_text("#confirm-text", "Retry 30 entries?");
    is_clean(&browser);
    shot(&browser, "confirmation-desktop-light");
    browser.click("#confirm-yes");
    browser.wait_for_text("#operation-result", "30 events returned to the spool for delivery.");
    wait_for("them at the target", || (target.state().stored.len() == 30).then_some(()));
    browser.wait_for_text("#quarantine", "20 entries");
    // Export, then purge.
    let export = "const done = arguments[arguments.length - 1]; const key = document.querySelector('#quarantine [data-group]').dataset.group; \
                  fetch(location.origin + `/api/quarantine/groups/${key}/export`).then((a) => a.text()).then(done)";
    let lines = browser.run_async(export);
    let lines = lines.as_str().expect("text");
    assert_eq!(lines.lines().count(), 20, "{lines}");
    assert!(lines.lines().all(|line| line.contains("\"bytes_base64\":")), "{lines}");
    browser.click("#quarantine button[data-verb=purge]");
    browser.wait_for_text("#confirm-text", "Remove 20 entries permanently?");
    browser.click("#confirm-no");
    browser.wait_for_text("#quarantine", "20 entries");
    browser.click("#quarantine button[data-verb=purge]");
    browser.click("#confirm-yes");
    browser.wait_for_text("#operation-result", "20 entries removed permanently.");
    browser.wait_for_text("#quarantine", "The quarantine is empty.");
    browser.wait_for_text("#verdict", "Events flow");
    let audit = home.run(&["audit"]);
    let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(audit.contains("retry") && audit.contains("purge"), "{audit}");
    is_clean(&browser);
}

#[test]
#[ignore = "needs Chromium and axe-core"]
fn in_a_browser_events_are_found_and_replayed() {
    let target = Target::start(Webhook::default());
    let home = home(&(hook(&target) + "[spool]\nretention = \"1h\"\n"));
    let service = home.start();
    let browser = Browser::start("light");
    browser.resize(1280, 900);
    service.post(&batch(named("event", 3)));
    service.wait_until_settled("hook");
    browser.open(&console(&service));
    // Replay, with the count in the question.
    browser.click("#replay-part summary");
    let soon = "document.querySelector('#replay [name=to]').value = new Date(Date.now() + 3600000).toISOString().slice(0, 19)";
    browser.run(soon);
    browser.click("#replay button");
    browser.wait_for_text("#confirm-text", "Deliver 3 events to sink hook again?");
    is_clean(&browser);
    browser.click("#confirm-no");
    assert_eq!(target.state().stored.len(), 3, "it was only asked");
    browser.click("#replay button");
    browser.wait_for_text("#confirm-text", "Deliver 3 events");
    browser.click("#confirm-yes");
    browser.wait_for_text("#operation-result", "3 events spooled again for sink hook.");
    wait_for("the copies", || (target.state().stored.len() == 6).then_some(()));
    // Search.
    browser.run("document.querySelector('header [name=id]').value = 'event-1'");
    browser.click("header .search button");
    browser.wait_for_text("h1", "Event event-1");
    let text = browser.text("main");
    assert!(text.contains("Position 2 of the spool"), "{text}");
    assert!(text.contains("delivered"), "{text}");
    assert!(text.contains("for sink hook only"), "the replayed copy: {text}");
    is_clean(&browser);
    shot(&browser, "trace-desktop-light");
    browser.run("document.querySelector('header [name=id]').value = 'nosuch'");
    browser.click("header .search button");
    browser.wait_for_text("main", "Neither the spool nor the quarantine has this event");
    is_clean(&browser);
}

#[test]
#[ignore = "needs Chromium and axe-core"]
fn in_a_browser_range_time_zone_and_theme_are_chosen() {
    let home = home("[sinks.archive]\ntype = \"file\"\npath = \"a.ndjson\"\n");
    let service = home.start();
    service.post(&format!("[{}]", minted("one")));
    let browser = Browser::start("light");
    browser.resize(1280, 900);
    browser.open(&console(&service));
    for (range, unit, bins) in [
        ("15m", "Events per minute", 15),
        ("6h", "Events per 5 minutes", 72),
        ("24h", "Events per 15 minutes", 96),
    ] {
        browser.click(&format!(".ranges a[href*='range={range}']"));
        browser.wait_for_text("#events figcaption", unit);
        let found =
            browser.run("return document.querySelectorAll('.chart:first-child .bin').length");
        assert_eq!(found.as_u64(), Some(bins), "{range}");
        is_clean(&browser);
    }
    browser.wait_for_text("#events", "no data before");
    let unknown =
        browser.run("return document.querySelectorAll('.chart:first-child .is-unknown').length");
    assert_eq!(unknown.as_u64(), Some(95), "no data is not zero");
    // Values at the pointer.
    let point = "document.querySelector('.is-running .hit').dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: 300, clientY: 300 }))";
    browser.run(point);
    let values = browser.text(".tooltip");
    assert!(values.contains("1 event") && values.contains("still counting"), "{values}");
    // The theme is kept, whatever the system prefers.
    let choose = |id: &str, value: &str| {
        let script = format!(
            "const s = document.getElementById({id:?}); s.value = {value:?}; s.dispatchEvent(new Event('change'))"
        );
        browser.run(&script);
    };
    let back = "return getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.run(back), "rgb(255, 255, 255)");
    choose("theme", "dark");
    assert_eq!(browser.run(back), "rgb(13, 17, 23)");
    is_clean(&browser);
    browser.open(&console(&service));
    assert_eq!(browser.run(back), "rgb(13, 17, 23)", "kept by the browser");
    choose("theme", "");
    assert_eq!(browser.run(back), "rgb(255, 255, 255)");
    browser.wait_for_text("#events [data-zone]", "Times in UTC");
    choose("zone", "local");
    let zone = browser.text("#events [data-zone]");
    assert!(zone.starts_with("Times in ") && browser.run("return zone") == "local", "{zone}");
}

#[test]
#[ignore = "needs Chromium and axe-core"]
fn in_a_browser_many_sinks_and_entries_stay_usable() {
    let mut sinks = String::new();
    for name in named("sink", MANY_SINKS) {
        sinks += &format!("[sinks.{name}]\ntype = \"file\"\npath = \"{name}.ndjson\"\n");
    }
    let home = home(&sinks);
    let service = home.start();
    refuse(&service, MANY_ENTRIES);
    service.post(&format!("[{}]", minted("one")));
    let browser = Browser::start("light");
    browser.resize(1280, 900);
    let before = std::time::Instant::now();
    browser.open(&console(&service));
    browser.wait_for_text("#quarantine", "10,000 entries");
    println!("opened in {:?}", before.elapsed());
    let rows = "return document.querySelectorAll('#sinks tbody tr').length";
    assert_eq!(browser.run(rows).as_u64(), Some(MANY_SINKS as u64));
    let refresh = "const done = arguments[arguments.length - 1]; const start = performance.now(); \
                   refresh().then(() => done(performance.now() - start))";
    println!("refreshed in {} ms", browser.run_async(refresh));
    is_clean(&browser);
    browser.click("#quarantine a");
    browser.wait_for_text("h1", "Quarantine:");
    is_clean(&browser);
    let before = std::time::Instant::now();
    browser.click("button[data-verb=purge]");
    browser.wait_for_text("#confirm-text", "Remove 10,000 entries permanently?");
    browser.click("#confirm-yes");
    browser.wait_for_text("#operation-result", "10,000 entries removed permanently.");
    println!("purged in {:?}", before.elapsed());
}

#[test]
#[ignore = "needs Chromium and axe-core"]
fn in_a_browser_a_lost_service_and_a_full_spool_are_shown() {
    let mut target = Target::start(Webhook::default());
    target.stop();
    let small = "[limits]\nbody = \"512 KiB\"\nin_flight = \"4 MiB\"\n[spool]\nmax_size = \"6 MiB\"\n\
                 dedup = { max_ids = 1000 }\n";
    let home = home(&(hook(&target) + small));
    let service = home.start();
    let browser = Browser::start("light");
    browser.resize(1280, 900);
    browser.open(&console(&service));
    browser.wait_for_text("#verdict", "No request from PingOne");
    shot(&browser, "empty-desktop-light");
    let mut bodies = (0..200).map(|number| large(&format!("filler-{number}")));
    let is_refused = |body: String| service.try_post(&body).0 == 503;
    assert!(bodies.any(is_refused), "the spool is full");
    browser.wait_for_text("#verdict", "No events are accepted: the spool is full");
    browser.wait_for_text("#verdict", "PingOne will lose events in");
    browser.wait_for_text("#verdict", "Sink hook is retrying");
    is_clean(&browser);
    shot(&browser, "full-desktop-light");
    browser.resize(360, 740);
    shot(&browser, "full-phone-light");
    browser.resize(1280, 900);
    service.kill();
    browser.wait_for_text("#verdict", "The service does not answer");
    shot(&browser, "gone-desktop-light");
}
