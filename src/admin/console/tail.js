// Follows the live tail. Text of events enters the page as text only.
"use strict";

const INTERVAL = 3000;   // ms until a lost connection is opened again
const MAX_ROWS = 200;    // events in the tail

const tail = document.getElementById("tail");
const filter = document.getElementById("filter");
let following;

const timeFormat = () => new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
  timeZone: zone === "utc" ? "UTC" : undefined,
});
let tailTime = timeFormat();

// Row with a message instead of an event.
function messageRow(text) {
  const item = document.createElement("li");
  item.className = "missed";
  item.textContent = plain(text);
  return item;
}

// Returns the name of a flow in the table of flows, because most events have only the id; else the id.
function knownFlow(id) {
  const known = id && document.querySelector(`#flows [title="${CSS.escape(id)}"]`);
  return known ? known.textContent : id;
}

function eventRow(entry) {
  if (entry.missed) return messageRow(`${entry.missed} events skipped`);
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const time = document.createElement("time");
  time.dateTime = new Date(entry.received_at).toISOString();
  time.textContent = tailTime.format(entry.received_at);
  summary.append(time, plain(` ${entry.source} ${entry.action} `));
  const outcome = document.createElement("b");
  outcome.className = entry.outcome;
  outcome.textContent = entry.outcome;
  summary.append(outcome, plain(` ${entry.flow_name || knownFlow(entry.flow_id)} ${entry.id}`));
  const event = document.createElement("pre");
  event.textContent = entry.event === null ? "Too large to show" : plain(JSON.stringify(entry.event, null, 2));
  details.append(summary, event);
  item.append(details);
  return item;
}

async function follow() {
  following?.abort();
  const mine = following = new AbortController();
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(filter)) if (value) query.set(name, value);
  tail.replaceChildren();
  while (!mine.signal.aborted) {
    let reader;
    try {
      const response = await fetch(at(`/api/tail?${query}`), { signal: mine.signal });
      if (!response.ok) throw new Error(`the service answered ${response.status}`);
      // Each connection begins with the last events again.
      tail.replaceChildren();
      let rest = "";
      // Not every browser supports iteration over a stream.
      reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const one of lines) if (one.trim()) tail.prepend(eventRow(JSON.parse(one)));
        while (tail.childElementCount > MAX_ROWS) tail.lastChild.remove();
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      const message = `The tail is interrupted: ${error.message}. Retrying.`;
      if (tail.firstElementChild?.textContent !== message) tail.prepend(messageRow(message));
    } finally {
      reader?.cancel().catch(() => {});
    }
    await new Promise((go) => setTimeout(go, INTERVAL));
  }
}

if (tail) {
  const pause = document.getElementById("pause");
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) following?.abort(); else follow();
  });
  let typing;
  filter.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { if (pause.getAttribute("aria-pressed") !== "true") follow(); }, 300);
  });
  filter.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("zone", () => {
    tailTime = timeFormat();
    for (const time of tail.querySelectorAll("time")) time.textContent = tailTime.format(new Date(time.dateTime));
  });
  follow();
}
