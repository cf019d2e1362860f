// Counts down, and keeps the parts of a page that say so up to date. Every page works without it.
"use strict";
document.documentElement.classList.add("scripted");

function remaining(seconds) {
  if (seconds <= 0) return "now";
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.ceil(seconds / 86400)} days`;
}

function countDown() {
  const now = Date.now() / 1000;
  for (const element of document.querySelectorAll("[data-until]")) {
    const text = remaining(Number(element.dataset.until) - now);
    if (element.textContent !== text) element.textContent = text;
  }
}
setInterval(countDown, 1000);

function sift(input) {
  const wanted = input.value.trim().toLowerCase(), rows = document.getElementById(input.dataset.rows);
  for (const row of rows ? rows.children : []) row.hidden = !row.textContent.toLowerCase().includes(wanted);
}
const sieves = document.querySelectorAll("input[data-rows]");
for (const input of sieves) input.addEventListener("input", () => sift(input));

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const next = fresh.getElementById(part.id);
    // Nobody loses the place: what has the focus or was unfolded stays until it is left.
    if (!next || part.contains(document.activeElement) || part.querySelector("details[open]")) continue;
    if (part.innerHTML !== next.innerHTML) part.replaceChildren(...next.childNodes);
  }
  sieves.forEach(sift);
}

const seconds = Number(document.getElementById("main").dataset.refresh || 0);
if (seconds) setInterval(() => refresh().catch(() => {}), seconds * 1000);
