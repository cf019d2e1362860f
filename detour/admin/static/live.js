// The list of exchanges, live: 10,000 rows of which only those in view are drawn.
"use strict";
const MAX = 10000, HEIGHT = 35, MARGIN = 20;
const list = document.getElementById("list"), body = document.querySelector("#exchanges tbody");
const status = document.getElementById("live-status"), filter = document.getElementById("filter"), pause = document.getElementById("pause");
const table = document.getElementById("exchanges");
let rows = [], shown = [], places = new Map(), paused = false, due = false, loaded = false, loading = 0, heard = [];

const count = (n) => n == null ? "–" : n >= 1e9 ? (n / 1e9).toPrecision(3) + "G" : n >= 1e6 ? (n / 1e6).toPrecision(3) + "M" : n >= 1e4 ? (n / 1e3).toPrecision(3) + "k" : String(n);
const duration = (ms) => ms == null ? "–" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
const dollars = (n) => n === 0 ? "$0" : n >= 1 ? `$${n.toFixed(2)}` : `$${n.toFixed(4)}`;
const pad = (n) => String(n).padStart(2, "0");
function clock(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}
const running = (e) => e.state === "waiting" || e.state === "streaming";
const tokens = (e) => e.tokens != null ? e.tokens : e.input == null && e.output == null ? null : (e.input || 0) + (e.output || 0);
const words = (e) => [e.id, e.state, e.model, e.asked, e.provider, e.credential, e.tool, e.client, e.session].join(" ").toLowerCase();

function cell(text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

function draw(e, index) {
  const tr = document.createElement("tr"), state = document.createElement("span"), link = document.createElement("a");
  tr.setAttribute("aria-rowindex", index + 2);
  state.className = `state state-${e.state}`;
  state.textContent = e.state.replace("_", " ");
  link.href = `/exchanges/${encodeURIComponent(e.id)}`;
  link.textContent = e.model || e.asked || e.operation;
  const second = cell(""), third = cell("");
  second.append(state);
  third.append(link);
  const cost = e.cost != null ? dollars(e.cost) : e.notional != null ? `(${dollars(e.notional)})` : "–";
  const total = running(e) ? Date.now() - e.at : e.duration_ms;
  const speed = e.tokens_per_second == null ? "–" : (running(e) ? "≈ " : "") + count(Math.round(e.tokens_per_second));
  const first = cell(clock(e.at).slice(11));
  first.title = clock(e.at);
  tr.append(first, second, third, cell(e.provider || "–"), cell(e.credential || "client’s own"), cell(e.tool || e.client || "–"),
    cell(duration(e.first_byte_ms), "number"), cell(duration(total), "number"), cell(count(tokens(e)), "number"), cell(speed, "number"), cell(cost, "number"));
  return tr;
}

function spacer(height) {
  const tr = document.createElement("tr"), td = document.createElement("td");
  tr.className = "spacer";
  tr.setAttribute("aria-hidden", "true");
  td.colSpan = 11;
  td.style.height = `${height}px`;
  tr.append(td);
  return tr;
}

function paint() {
  due = false;
  const wanted = filter.value.trim().toLowerCase();
  shown = wanted ? rows.filter((e) => words(e).includes(wanted)) : rows;
  const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - MARGIN);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + MARGIN);
  const focused = document.activeElement && document.activeElement.closest("#exchanges a") ? document.activeElement.href : null;
  const drawn = [];
  if (first) drawn.push(spacer(first * HEIGHT));
  for (let i = first; i < last; i++) drawn.push(draw(shown[i], i));
  if (last < shown.length) drawn.push(spacer((shown.length - last) * HEIGHT));
  body.replaceChildren(...drawn);
  table.setAttribute("aria-rowcount", shown.length + 1);
  if (focused) for (const a of body.querySelectorAll("a")) if (a.href === focused) { a.focus({ preventScroll: true }); break; }
  const nothing = document.getElementById("nothing");
  if (nothing && rows.length) nothing.remove();
}

function later() {
  if (!due) { due = true; requestAnimationFrame(paint); }
}

let said = "";
function tell() {
  const now = rows.filter(running).length, text = `${now} running, ${rows.length - now} finished are shown.`;
  if (text !== said) status.textContent = said = text;
}

function take(e) {
  if (loading) heard.push(e);
  const known = places.get(e.id);
  if (known) Object.assign(known, e);
  else {
    rows.unshift(e);
    places.set(e.id, e);
    if (rows.length > MAX) places.delete(rows.pop().id);
  }
  if (!paused) later();
}

async function load() {
  loading++;
  try {
    const answer = await fetch(`/api/v1/exchanges?limit=${MAX}`);
    if (!answer.ok) return;
    const document_ = await answer.json();
    rows = [...document_.running.reverse(), ...document_.finished].slice(0, MAX);
    places = new Map(rows.map((e) => [e.id, e]));
    loaded = true;
  } finally {
    loading--;
    // What was told meanwhile may be newer than the answer.
    const newer = heard;
    heard = [];
    newer.forEach(take);
  }
  paint();
  tell();
}

function listen() {
  const source = new EventSource("/api/v1/exchanges/live");
  for (const name of ["started", "finished", "priced"]) source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  // What happened while the connection was away is asked for.
  source.addEventListener("open", () => load().catch(() => {}));
  source.addEventListener("progress", (event) => JSON.parse(event.data).forEach(take));
  addEventListener("pagehide", () => source.close());
}

filter.addEventListener("input", () => { list.scrollTop = 0; later(); });
list.addEventListener("scroll", later, { passive: true });
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (!paused) later();
});
setInterval(() => { if (!paused && !document.hidden) { if (rows.some(running)) later(); if (loaded) tell(); } }, 1000);
listen();
