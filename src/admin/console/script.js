// Updates the console, follows the tail, and sends operations. Text of events enters the page as text only.
"use strict";

const INTERVAL = 3000;   // ms between two updates
const MAX_ROWS = 200;    // events in the tail

// The page may have been opened with a password in its URL, which fetch refuses; so URLs are built from the origin.
const at = (path) => location.origin + path;

const operationResult = document.getElementById("operation-result");
const announcement = document.getElementById("announcement");

// Escapes control and direction characters, as the service does in pages.
const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]/g;
const plain = (text) => text.replace(control, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

function showResult(text) {
  operationResult.textContent = plain(text);
  clearTimeout(showResult.timer);
  showResult.timer = setTimeout(() => { operationResult.textContent = ""; }, 8000);
}

// Replaces live parts with the server's current ones, except a part that has the focus.
async function refresh() {
  if (document.hidden || !document.querySelector("[data-live]")) return;
  let text;
  try {
    const response = await fetch(at(location.pathname));
    if (!response.ok) throw new Error(`the service answered ${response.status}`);
    text = await response.text();
  } catch (error) {
    const verdict = document.querySelector("#verdict .verdict");
    const message = `The service does not answer (${error.message}). This page is out of date.`;
    if (announcement.textContent !== message) announcement.textContent = message;
    verdict.className = "verdict bad";
    verdict.textContent = message;
    return;
  }
  const current = new DOMParser().parseFromString(text, "text/html");
  const [before, now] = [document, current].map((page) => page.querySelector("#verdict .verdict"));
  if (before.className !== now.className) announcement.textContent = now.textContent;
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = current.getElementById(part.id);
    if (!next || part.innerHTML === next.innerHTML || part.contains(document.activeElement)) continue;
    part.replaceChildren(...next.childNodes);
  }
}

// Sends an operation. A page of another site cannot send its header.
async function operate(path, body) {
  try {
    const response = await fetch(at(path), {
      method: "POST", body, headers: { "x-davinci-siem-operation": "console" },
    });
    const answer = await response.json();
    showResult(response.ok ? `Done: ${JSON.stringify(answer)}` : `Failed: ${answer.error}`);
    return response.ok;
  } catch (error) {
    showResult(`Failed: ${error.message}`);
    return false;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-post]");
  if (!button) return;
  button.disabled = true;
  await operate(button.dataset.post);
  button.blur();
  refresh();
});

const retry = document.getElementById("retry");
if (retry) {
  const original = retry.elements.bytes.value;
  retry.addEventListener("submit", async (event) => {
    event.preventDefault();
    const now = retry.elements.bytes.value;
    // Unchanged text sends no body: the service retries the stored bytes, which may be more than the page shows.
    if (await operate(retry.dataset.post, now === original ? undefined : now)) {
      retry.elements.bytes.disabled = true;
      retry.querySelector("button").disabled = true;
    }
  });
}

const tail = document.getElementById("tail");
const filter = document.getElementById("filter");
let following;

// Row with a message instead of an event.
function messageRow(text) {
  const item = document.createElement("li");
  item.className = "missed";
  item.textContent = plain(text);
  return item;
}

function eventRow(entry) {
  if (entry.missed) return messageRow(`${entry.missed} events skipped`);
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const time = new Date(entry.received_at).toISOString().slice(11, 23);
  summary.append(plain(`${time} ${entry.source} ${entry.action} `));
  const outcome = document.createElement("b");
  outcome.className = entry.outcome;
  outcome.textContent = entry.outcome;
  summary.append(outcome, plain(` ${entry.flow_name || entry.flow_id} ${entry.id}`));
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
  follow();
}

setInterval(refresh, INTERVAL);
document.addEventListener("visibilitychange", refresh);
