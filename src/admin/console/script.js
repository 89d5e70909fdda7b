// Updates the console, and shows the values of a chart at the pointer.
"use strict";

const REFRESH_INTERVAL = 3000;   // ms between two updates

const announcement = document.getElementById("announcement");

// Shows that the service is gone, in place of the verdict.
function showOutage(reason) {
  const message = `The service does not answer (${reason}). This page is out of date.`;
  if (announcement.textContent !== message) announcement.textContent = message;
  const sentence = document.createElement("p");
  sentence.className = "verdict bad";
  sentence.textContent = message;
  document.getElementById("verdict").replaceChildren(sentence);
}

// Replaces live parts with the server's current ones, except a part that has the focus.
async function refresh() {
  if (document.hidden || !document.querySelector("[data-live]")) return;
  let text;
  try {
    const response = await fetch(at(location.pathname + location.search));
    if (!response.ok) throw new Error(`the service answered ${response.status}`);
    text = await response.text();
  } catch (error) {
    // The browser reports a lost connection as a TypeError, each in other words.
    showOutage(error instanceof TypeError ? "no connection" : error.message);
    return;
  }
  const current = new DOMParser().parseFromString(text, "text/html");
  const [before, now] = [document, current].map((page) => page.querySelector("#verdict .verdict"));
  if (before.className !== now.className) announcement.textContent = now.textContent;
  applyZone(current);
  hideValues();
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = current.getElementById(part.id);
    if (!next || part.innerHTML === next.innerHTML || part.contains(document.activeElement)) continue;
    part.replaceChildren(...next.childNodes);
  }
}

// Values of a bar beside the pointer. The title of the bar has the same text for browsers without this script.
const tooltip = document.createElement("div");
tooltip.className = "tooltip";
tooltip.hidden = true;
document.getElementById("main").append(tooltip);

function hideValues() { tooltip.hidden = true; }

function valuesOf(bin) {
  const title = bin.querySelector("title");
  if (title) {
    bin.dataset.values = title.textContent.replace(/^[^:]*:[^:]*:[^:]*: /, "");
    title.remove();
  }
  const format = clockFormat();
  const [from, to] = [bin.dataset.from, bin.dataset.to].map((millis) => format.format(Number(millis)));
  return [`${from} to ${to} ${zone === "utc" ? "UTC" : ""}`, ...bin.dataset.values.split("; ")];
}

document.addEventListener("pointermove", (event) => {
  const bin = event.target.closest?.(".bin");
  if (!bin) { hideValues(); return; }
  tooltip.replaceChildren(...valuesOf(bin).map((line) => {
    const part = document.createElement("div");
    part.textContent = line;
    return part;
  }));
  tooltip.hidden = false;
  const left = Math.min(event.clientX + 12, innerWidth - tooltip.offsetWidth - 8);
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, event.clientY - tooltip.offsetHeight - 12)}px`;
});

setInterval(refresh, REFRESH_INTERVAL);
document.addEventListener("visibilitychange", refresh);
document.addEventListener("operated", refresh);
