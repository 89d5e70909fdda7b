// Applies the theme and the time zone that this browser keeps.
"use strict";

const preference = (name) => {
  try { return localStorage.getItem(`davinci-siem-${name}`) ?? ""; } catch { return ""; }
};

function setPreference(name, value) {
  // Without storage, the choice holds until the page is left.
  try { localStorage.setItem(`davinci-siem-${name}`, value); } catch { /* private window */ }
}

function applyTheme(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

// Chosen time zone: "utc" or "local".
let zone = preference("zone") === "local" ? "local" : "utc";

const clockFormat = () => new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone === "utc" ? "UTC" : undefined,
});

// Shows the times in a part of the page in the chosen zone.
function applyZone(part) {
  const format = clockFormat();
  for (const time of part.querySelectorAll("[data-clock]")) time.textContent = format.format(Number(time.dataset.clock));
  const words = zone === "utc" ? "Times in UTC" : `Times in ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  for (const note of part.querySelectorAll("[data-zone]")) note.textContent = words;
}

applyTheme(preference("theme"));

document.addEventListener("DOMContentLoaded", () => {
  const [theme, times] = ["theme", "zone"].map((id) => document.getElementById(id));
  document.getElementById("preferences").hidden = false;
  theme.value = document.documentElement.dataset.theme ?? "";
  times.value = zone;
  theme.addEventListener("change", () => { setPreference("theme", theme.value); applyTheme(theme.value); });
  times.addEventListener("change", () => {
    zone = times.value;
    setPreference("zone", zone);
    applyZone(document);
    document.dispatchEvent(new Event("zone"));
  });
  applyZone(document);
});
