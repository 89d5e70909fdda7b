// Keeps the console up to date, follows the tail, and sends operations. Whatever an event says goes into
// the page as text.
"use strict";

const EVERY = 3000;   // milliseconds between two looks
const ROWS = 200;     // events that the tail keeps

// An address may have been opened with a password in it, and fetch takes no such address.
const at = (path) => location.origin + path;

const said = document.getElementById("said");
const told = document.getElementById("told");

// As the service does with a page: what would be obeyed, such as a change of the text's direction, is written out.
const obeyed = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]/g;
const plain = (text) => text.replace(obeyed, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

function say(text) {
  said.textContent = plain(text);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ""; }, 8000);
}

// Live parts are replaced as they come from the server, except one that holds the focus.
async function refresh() {
  if (document.hidden || !document.querySelector("[data-live]")) return;
  let text;
  try {
    const response = await fetch(at(location.pathname));
    if (!response.ok) throw new Error(`the service answered ${response.status}`);
    text = await response.text();
  } catch (error) {
    const verdict = document.querySelector("#verdict .verdict");
    const words = `The service does not answer (${error.message}). This page is as it was.`;
    if (told.textContent !== words) told.textContent = words;
    verdict.className = "verdict bad";
    verdict.textContent = words;
    return;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const [before, now] = [document, fresh].map((page) => page.querySelector("#verdict .verdict"));
  if (before.className !== now.className) told.textContent = now.textContent;
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || part.innerHTML === next.innerHTML || part.contains(document.activeElement)) continue;
    part.replaceChildren(...next.childNodes);
  }
}

// The header makes the request one that no page of another site can send.
async function operate(path, body) {
  try {
    const response = await fetch(at(path), {
      method: "POST", body, headers: { "x-davinci-siem-operation": "console" },
    });
    const answer = await response.json();
    say(response.ok ? `Done: ${JSON.stringify(answer)}` : `Refused: ${answer.error}`);
    return response.ok;
  } catch (error) {
    say(`Not done: ${error.message}`);
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
  const given = retry.elements.bytes.value;
  retry.addEventListener("submit", async (event) => {
    event.preventDefault();
    const now = retry.elements.bytes.value;
    // Unchanged: the stored bytes, which may be more than a page can hold.
    if (await operate(retry.dataset.post, now === given ? undefined : now)) {
      retry.elements.bytes.disabled = true;
      retry.querySelector("button").disabled = true;
    }
  });
}

const tail = document.getElementById("tail");
const filter = document.getElementById("filter");
let following;

// In place of an event.
function notice(text) {
  const item = document.createElement("li");
  item.className = "missed";
  item.textContent = plain(text);
  return item;
}

function line(seen) {
  if (seen.missed) return notice(`${seen.missed} events went by unseen`);
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const time = new Date(seen.received_at).toISOString().slice(11, 23);
  summary.append(plain(`${time} ${seen.source} ${seen.action} `));
  const outcome = document.createElement("b");
  outcome.className = seen.outcome;
  outcome.textContent = seen.outcome;
  summary.append(outcome, plain(` ${seen.flow_name || seen.flow_id} ${seen.id}`));
  const event = document.createElement("pre");
  event.textContent = seen.event === null ? "too large to be shown here" : plain(JSON.stringify(seen.event, null, 2));
  details.append(summary, event);
  item.append(details);
  return item;
}

async function follow() {
  following?.abort();
  const mine = following = new AbortController();
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(filter)) if (value) wanted.set(name, value);
  tail.replaceChildren();
  while (!mine.signal.aborted) {
    let reader;
    try {
      const response = await fetch(at(`/api/tail?${wanted}`), { signal: mine.signal });
      if (!response.ok) throw new Error(`the service answered ${response.status}`);
      // The ring is told from its beginning each time.
      tail.replaceChildren();
      let rest = "";
      // Not every browser can iterate over a stream.
      reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const one of lines) if (one.trim()) tail.prepend(line(JSON.parse(one)));
        while (tail.childElementCount > ROWS) tail.lastChild.remove();
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      const words = `The tail is interrupted: ${error.message}. Trying again.`;
      if (tail.firstElementChild?.textContent !== words) tail.prepend(notice(words));
    } finally {
      reader?.cancel().catch(() => {});
    }
    await new Promise((go) => setTimeout(go, EVERY));
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

setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
