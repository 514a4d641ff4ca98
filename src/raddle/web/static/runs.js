import { $, doneText, duration, el, listen, number, paintBadge, paintBar, plural, problem, rate, setText, time } from "./common.js";

const NOT_OK = ["failed", "timed_out", "crashed"];
const names = JSON.parse(document.querySelector('meta[name="raddle-journals"]').content);
const states = new Map(); // journal -> what it says
const rows = new Map(); // journal/uid -> the row and its cells
const wanted = new URLSearchParams(location.search);
const sorting = { by: wanted.get("sort") || "started", up: wanted.get("up") === "1" };
const controls = { find: $("find"), state: $("state"), journal: $("journal") };
const bad = (run) => NOT_OK.reduce((sum, status) => sum + run.counts[status], 0);

const VALUE = {
  name: (run) => run.name.toLowerCase(), state: (run) => run.state, done: (run) => run.done,
  ok: (run) => run.counts.ok, failed: (run) => run.counts.failed, timed_out: (run) => run.counts.timed_out,
  crashed: (run) => run.counts.crashed, rate: (run) => run.rate ?? -1, started: (run) => run.started,
  took: (run) => tookOf(run) ?? -1,
};

function tookOf(run) {
  return run.state === "running" ? Math.max(0, Date.now() / 1000 - run.started) : run.took;
}

function makeRow(run) {
  const name = el("a", { class: "name", href: `/runs/${run.journal}/${run.uid}` });
  const sub = el("span", { class: "sub dim clip" }), small = el("span", { class: "badge narrow" });
  const badge = el("span", { class: "badge" }), done = el("p"), wrong = el("p", { class: "narrow failed" });
  const bar = el("div", { class: "bar", "aria-hidden": "true" });
  const cells = {};
  for (const key of ["ok", ...NOT_OK, "rate", "started"]) cells[key] = el("td", { class: "num wide" });
  const took = el("span"), left = el("span", { class: "sub dim" });
  cells.took = el("td", { class: "num" }, took, left);
  const row = el("tr", {}, el("td", {}, name, sub, small), el("td", { class: "wide" }, badge),
    el("td", { class: "done" }, done, bar, wrong), ...Object.values(cells));
  return { row, name, sub, small, badge, done, bar, wrong, took, left, cells };
}

function paintRow(made, run) {
  setText(made.name, run.name);
  setText(made.sub, names.length > 1 ? `${run.function} · ${names[run.journal]}` : run.function);
  for (const badge of [made.badge, made.small]) paintBadge(badge, run);
  setText(made.done, doneText(run));
  paintBar(made.bar, run);
  setText(made.wrong, bad(run) ? `${number(bad(run))} not ok` : "");
  for (const status of ["ok", ...NOT_OK]) {
    const count = run.counts[status], cell = made.cells[status];
    setText(cell, number(count));
    cell.className = `num wide ${count ? (status === "ok" ? "" : status) : "zero"}`;
  }
  setText(made.cells.rate, rate(run.rate));
  setText(made.cells.started, time(run.started));
  setText(made.took, duration(tookOf(run)));
  setText(made.left, run.eta === null ? "" : `${duration(run.eta)} left`);
}

function fits(run) {
  const text = controls.find.value.trim().toLowerCase(), state = controls.state.value;
  if (text && !`${run.name}\n${run.function}`.toLowerCase().includes(text)) return false;
  if (controls.journal?.value && Number(controls.journal.value) !== run.journal) return false;
  return state === "problems" ? bad(run) > 0 : !state || run.state === state;
}

function paint() {
  const all = [...states.values()].flatMap((state) => state.runs), shown = all.filter(fits);
  const value = VALUE[sorting.by] ?? VALUE.started;
  const compare = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : a.started - b.started || a.number - b.number);
  shown.sort((a, b) => (sorting.up ? compare(a, b) : compare(b, a)));
  const body = document.querySelector("#runs tbody"), order = [];
  for (const run of shown) {
    const key = `${run.journal}/${run.uid}`;
    if (!rows.has(key)) rows.set(key, makeRow(run));
    paintRow(rows.get(key), run);
    order.push(rows.get(key).row);
  }
  const focused = document.activeElement;
  if (order.length !== body.rows.length || order.some((row, place) => body.rows[place] !== row)) body.replaceChildren(...order);
  if (body.contains(focused)) focused.focus(); // moving a row takes the focus from it
  const filtered = shown.length < all.length;
  setText($("shown"), filtered ? `${number(shown.length)} of ${plural(all.length, "run")}` : plural(all.length, "run"));
  $("none").hidden = shown.length > 0 || !states.size;
  setText($("none"), filtered ? "No run fits." : "No runs yet. Start one with a journal: it appears here by itself.");
}

function heads() {
  for (const head of document.querySelectorAll("#runs th")) {
    if (head.dataset.sort === sorting.by) head.setAttribute("aria-sort", sorting.up ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
}

function remember() {
  const query = new URLSearchParams();
  for (const [name, control] of Object.entries(controls)) if (control?.value) query.set(name, control.value);
  if (sorting.by !== "started" || sorting.up) { query.set("sort", sorting.by); if (sorting.up) query.set("up", "1"); }
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}

for (const [name, control] of Object.entries(controls)) {
  if (control && wanted.get(name)) control.value = wanted.get(name);
  control?.addEventListener("input", () => { remember(); paint(); });
}
$("filters").addEventListener("submit", (event) => event.preventDefault());
for (const head of document.querySelectorAll("#runs th")) {
  head.querySelector("button").addEventListener("click", () => {
    const by = head.dataset.sort;
    sorting.up = sorting.by === by ? !sorting.up : by === "name" || by === "state";
    sorting.by = by;
    heads(); remember(); paint();
  });
}
heads();

listen("/api/events", (state) => {
  problem(`journal ${state.journal}`, state.problem);
  states.set(state.journal, state);
  paint();
});
setInterval(() => { if (!document.hidden) paint(); }, 1000);
