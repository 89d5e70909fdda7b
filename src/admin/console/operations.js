// Operations: each asks for a confirmation if it stops a delivery, destroys or repeats events, and reports its result.
"use strict";

const PURGE_STEP = 1000;  // entries per request
const RETRY_STEP = 100;   // entries per request

// The page may have been opened with a password in its URL, which fetch refuses; so URLs are built from the origin.
const at = (path) => location.origin + path;

// Escapes control and direction characters, as the service does in pages.
const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]/g;
const plain = (text) => text.replace(control, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const events = (number) => count(number, "event", "events");
const entries = (number) => count(number, "entry", "entries");

const operationResult = document.getElementById("operation-result");

function showResult(text, hasFailed) {
  operationResult.textContent = plain(text);
  operationResult.classList.toggle("failed", Boolean(hasFailed));
  clearTimeout(showResult.timer);
  showResult.timer = setTimeout(() => { operationResult.textContent = ""; }, hasFailed ? 20000 : 8000);
}

// Asks, and returns true if the operator agrees.
function confirmed(question, verb) {
  const dialog = document.getElementById("confirm");
  const [yes, no] = ["confirm-yes", "confirm-no"].map((id) => document.getElementById(id));
  document.getElementById("confirm-text").textContent = plain(question);
  yes.textContent = verb;
  dialog.returnValue = "";
  return new Promise((resolve) => {
    yes.onclick = () => dialog.close("yes");
    no.onclick = () => dialog.close("");
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    no.focus();
  });
}

async function answerOf(response) {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `the service answered ${response.status}`);
  return answer;
}

const ask = async (path) => answerOf(await fetch(at(path)));

// Sends an operation. A page of another site cannot send its header.
async function operate(path, body) {
  const headers = { "x-davinci-siem-operation": "console" };
  if (typeof body === "object") {
    headers["content-type"] = "application/json";
    body = JSON.stringify(body);
  }
  return answerOf(await fetch(at(path), { method: "POST", body, headers }));
}

// Runs an operation and shows its failure. Returns true if it succeeded.
async function reported(operation) {
  try {
    await operation();
    return true;
  } catch (error) {
    showResult(`Failed: ${error.message}`, true);
    return false;
  }
}

function* parts(list, size) {
  for (let start = 0; start < list.length; start += size) yield list.slice(start, start + size);
}

async function purgeGroup(ids) {
  let removed = 0;
  for (const part of parts(ids, PURGE_STEP)) removed += (await operate("/api/quarantine/purge", { ids: part })).removed;
  showResult(`${entries(removed)} removed permanently.`);
}

async function retryGroup(ids) {
  const sum = { released: 0, duplicates: 0, failed: 0, error: "" };
  let done = 0;
  for (const part of parts(ids, RETRY_STEP)) {
    const answer = await operate("/api/quarantine/retry", { ids: part });
    for (const name of ["released", "duplicates", "failed"]) sum[name] += answer[name];
    sum.error ||= answer.first_error ?? "";
    done += part.length;
    showResult(`Retrying: ${done.toLocaleString("en")} of ${entries(ids.length)}.`);
  }
  showResult(retried(sum), sum.failed > 0);
}

function retried({ released, duplicates, failed, error }) {
  const words = [`${events(released)} returned to the spool for delivery.`];
  if (duplicates) words.push(`${events(duplicates)} had been accepted before.`);
  if (failed) words.push(`${entries(failed)} stayed in quarantine: ${error}.`);
  return words.join(" ");
}

async function operateOnGroup(button) {
  const { ids } = await ask(`/api/quarantine/groups/${button.dataset.group}`);
  const questions = {
    retry: `Retry ${entries(ids.length)}? The events are checked again. Accepted ones are delivered, dead letters only to their own sink.`,
    purge: `Remove ${entries(ids.length)} permanently? The events in them are lost. Export them first if you may need them.`,
  };
  const verb = button.dataset.verb;
  if (!await confirmed(questions[verb], verb === "purge" ? "Remove permanently" : "Retry")) return;
  await (verb === "purge" ? purgeGroup(ids) : retryGroup(ids));
}

async function operateOnSink(button) {
  const { post, confirm, verb, done } = button.dataset;
  if (confirm && !await confirmed(confirm, verb)) return;
  await operate(post);
  showResult(done);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-post], button[data-group]");
  if (!button) return;
  button.disabled = true;
  await reported(() => (button.dataset.group ? operateOnGroup(button) : operateOnSink(button)));
  button.disabled = false;
  button.blur();
  document.dispatchEvent(new Event("operated"));
});

// Retry of one entry.
const retry = document.getElementById("retry");
if (retry) {
  const original = retry.elements.bytes.value;
  retry.addEventListener("submit", async (event) => {
    event.preventDefault();
    const now = retry.elements.bytes.value;
    await reported(async () => {
      // Unchanged text sends no body: the service retries the stored bytes, which may be more than the page shows.
      const answer = await operate(retry.dataset.post, now === original ? undefined : now);
      showResult(retried({ failed: 0, ...answer }));
      retry.elements.bytes.disabled = true;
      retry.querySelector("button").disabled = true;
    });
  });
}

// Replay: the times are in the zone that the page shows.
const replay = document.getElementById("replay");
if (replay) {
  const { from, to, sink } = replay.elements;
  const shown = (millis) => {
    const offset = zone === "utc" ? 0 : new Date(millis).getTimezoneOffset() * 60000;
    return new Date(millis - offset).toISOString().slice(0, 19);
  };
  const read = (field) => Date.parse(zone === "utc" ? `${field.value}Z` : field.value);
  const fill = () => { const now = Date.now(); from.value = shown(now - 3600000); to.value = shown(now); };
  fill();
  document.addEventListener("zone", fill);
  const progress = document.getElementById("replay-progress");
  replay.addEventListener("submit", async (event) => {
    event.preventDefault();
    const range = { from: read(from), to: read(to) };
    const path = `/api/sinks/${sink.value}/replay`;
    const button = replay.querySelector("button");
    button.disabled = true;
    await reported(async () => {
      if (!(range.from < range.to)) throw new Error("the start of the range has to be before its end");
      const { events: number } = await ask(`${path}?${new URLSearchParams(range)}`);
      if (!number) throw new Error("the spool has no delivered events of that time for this sink; see spool.retention");
      const question = `Deliver ${events(number)} to sink ${sink.value} again? They were received from ` +
        `${from.value.replace("T", " ")} to ${to.value.replace("T", " ")} (${zone === "utc" ? "UTC" : "your time zone"}).`;
      if (!await confirmed(question, "Replay")) return;
      let [after, replayed] = [0, 0];
      try {
        while (after !== null) {
          const step = await operate(path, { ...range, after });
          replayed += step.replayed;
          after = step.next;
          progress.textContent = `Replaying: ${replayed.toLocaleString("en")} of ${events(number)}.`;
        }
      } catch (error) {
        progress.textContent = "";
        throw new Error(`${error.message}. ${events(replayed)} were spooled again before; continue with ` +
          `davinci-siem replay --after ${after}`);
      }
      progress.textContent = "";
      showResult(`${events(replayed)} spooled again for sink ${sink.value}.`);
    });
    button.disabled = false;
  });
}
