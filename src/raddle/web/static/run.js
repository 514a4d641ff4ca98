import { $, ask, calmly, doneText, duration, el, listen, number, paintBadge, paintBar, plural, problem, rate, setText, time, words } from "./common.js";
import { drawCharts, tellHappenings } from "./charts.js";
import { itemsTable } from "./items.js";

const about = document.querySelector('meta[name="raddle-run"]');
const csrf = document.querySelector('meta[name="raddle-csrf"]')?.content;
const uid = about.content, journal = about.dataset.journal, base = `/api/journals/${journal}/runs/${uid}`;
const items = itemsTable(base);
let run = null, seen = "", retried = {};

// ------------------------------------------------------------------------------------------------- at a glance

function paint() {
  if (!run) return;
  setText($("name"), run.name);
  setText($("function"), run.function);
  paintBadge($("state"), run);
  const bar = $("bar"), going = run.state === "running";
  paintBar(bar, run);
  bar.setAttribute("aria-valuenow", run.done);
  bar.setAttribute("aria-valuemax", run.total ?? run.done);
  bar.setAttribute("aria-valuetext", doneText(run));
  const part = run.total === null ? null : run.total ? Math.floor((100 * run.done) / run.total) : 100;
  document.title = `${part !== null && going ? `${part} % ` : ""}${run.name} · raddle`;
  const took = going ? Math.max(0, Date.now() / 1000 - run.started) : run.took;
  const again = Object.values(retried).reduce((sum, count) => sum + count, 0);
  figures([
    ["Done", number(run.done), run.total !== null && ` of ${number(run.total)}${going || part < 100 ? ` · ${part} %` : ""}`],
    ["Rate", rate(run.rate)], ["Left", going ? duration(run.eta) : null], ["Took", duration(took)],
    ["OK", number(run.counts.ok), null, "ok"], ["Failed", number(run.counts.failed), null, "failed"],
    ["Timed out", number(run.counts.timed_out), null, "timed_out"], ["Crashed", number(run.counts.crashed), null, "crashed"],
    ["Retried", number(again), null, again ? "" : "zero"],
  ]);
}

function figures(all) {
  const list = $("figures");
  for (const [name, value, small, kind = ""] of all) {
    let box = list.querySelector(`[data-name="${name}"]`);
    if (!box) list.append((box = el("div", { "data-name": name }, el("dt", {}, name), el("dd", {}, el("span"), el("small")))));
    box.hidden = value === null;
    const [, told] = box.children;
    setText(told.firstChild, value ?? "");
    setText(told.lastChild, small || "");
    told.className = value === "0" ? "zero" : kind;
  }
}

// ---------------------------------------------------------------------------------------------------- sections

const row = (...cells) => el("tr", {}, ...cells.map((cell) => (cell instanceof Node ? cell : el("td", {}, cell))));
const figure = (text) => el("td", { class: "num" }, text);
let drawn = null;

async function fetchOf(what) {
  try {
    const found = await ask(`${base}${what}`);
    problem("fetch", null);
    return found;
  } catch (error) {
    if (error.status === 503 || error.status === 404) problem("fetch", error.message);
    throw error;
  }
}

const activity = calmly(2000, async () => {
  drawn = await fetchOf("/activity");
  drawCharts(run, drawn);
  document.querySelector("#throughput-table tbody").replaceChildren(...drawn.buckets.filter((each) => each.ok + each.not_ok)
    .map((each) => row(time(each.at), figure(duration(each.seconds)), figure(number(each.ok)), figure(number(each.not_ok)))));
  $("why").hidden = !tellHappenings(drawn.happenings, document.querySelector("#happenings tbody"), row);
});

const problems = calmly(3000, async () => {
  const found = await fetchOf("/problems");
  retried = found.retried;
  groups(found);
  document.querySelector("#slowest tbody").replaceChildren(...found.slowest.map((each) => row(
    el("td", {}, el("span", { class: "label" }, each.label || `item ${each.position}`)), el("td", { class: each.status }, words(each.status)),
    figure(duration(each.seconds)), el("td", { class: "num wide" }, number(each.attempts)))));
  paint();
});

function groups(found) {
  const open = new Set([...document.querySelectorAll("#failures .group[open]")].map((each) => each.dataset.key));
  const told = JSON.stringify([found.failures, found.retried, run.state === "running"]);
  if (told === groups.told) return; // leave what is being read alone
  groups.told = told;
  const made = found.failures.map((group, place) => group_(group, place, open));
  const again = Object.entries(found.retried).map(([status, count]) => `${number(count)} ${words(status)}`).join(", ");
  const note = again ? el("p", { class: "alt" }, `Attempts that were tried again: ${again}.`) : null;
  $("failures").replaceChildren(...(made.length ? made : [el("p", { class: "dim" }, run.state === "running" ? "Nothing so far." : "Nothing.")]), ...(note ? [note] : []));
}

function group_(group, place, open) {
  const key = `${group.status} ${group.error_type}`;
  const show = el("button", { type: "button", class: "copy", onclick: () => items.only(group.status, group.error_type) }, `Show ${plural(group.count, "item")}`);
  return el("details", { class: "group", "data-key": key, open: open.has(key) || (groups.first === undefined && place === 0 && (groups.first = true)) },
    el("summary", {}, el("span", { class: `count ${group.status}` }, number(group.count)), el("span", { class: `badge ${group.status}` }, words(group.status)),
      el("span", { class: "type" }, group.error_type || "no exception"), el("span", { class: "message" }, group.message)),
    el("p", { class: "dim" }, "First: item ", number(group.position), " ", el("span", { class: "label" }, group.label), " ", show),
    group.traceback ? el("pre", { tabindex: 0, "aria-label": `Traceback of ${group.error_type}` }, group.traceback) : null);
}

// ------------------------------------------------------------------------------------------------------- facts

const facts = calmly(1500, async () => {
  const told = await fetchOf("");
  const list = $("facts"), lines = [];
  const say = (name, value, copy = false) => {
    if (value === null || value === undefined || value === "") return;
    const button = copy ? el("button", { type: "button", class: "copy", "aria-label": `Copy ${name.toLowerCase()}`, onclick: (event) => copied(event.currentTarget, value) }, "Copy") : null;
    lines.push(el("dt", {}, name), el("dd", { class: copy ? "mono" : "" }, String(value), button));
  };
  say("Command", told.command, true);
  say("Folder", told.folder, true);
  say("Output", told.output, true);
  say("Journal", told.journal, true);
  say("Run", `${told.number}, ${told.uid}`);
  say("Function", told.version ? `${told.function}, version ${told.version}` : told.function);
  say("Where", `${run?.backend ?? ""}, ${plural(run?.workers ?? 0, "worker")}, Python ${told.python}, process ${told.pid} on ${told.host}`);
  say("Sessions", run?.sessions > 1 ? number(run.sessions) : null);
  say("Decided", told.summary?.decision);
  say("Stopped", told.summary?.stopped);
  say("Peak memory", told.summary?.memory_peak ? `${Math.round(100 * told.summary.memory_peak)} % of what is granted` : null);
  const text = lines.map((each) => each.textContent).join("\n");
  if (text !== facts.text) { facts.text = text; list.replaceChildren(...lines); }
  if (csrf) buttons(told);
});

async function copied(button, text) {
  try { await navigator.clipboard.writeText(text); setText(button, "Copied"); } catch { setText(button, "Select it and press Ctrl+C"); }
  setTimeout(() => setText(button, "Copy"), 1500);
}

// ----------------------------------------------------------------------------------------------------- actions

let retry = null;
function buttons(told) {
  for (const [id, why] of [["retry", told.why_no_retry], ["cancel", told.why_no_cancel]]) {
    $(id).disabled = why !== null;
    $(id).title = why ?? "";
  }
  $("cancel").hidden = run?.state !== "running";
  $("retry").hidden = run?.state === "running";
  const before = retry;
  retry = told.retry;
  if (!retry) return;
  if (retry.code === null) setTimeout(facts, 1500);
  else if (before?.code === null && retry.code > 1) say(`The retry ended with code ${retry.code}: ${retry.said}`, true);
}

function say(text, bad = false) {
  const told = $("told");
  told.toggleAttribute("data-bad", bad);
  told.hidden = false;
  setText(told, text);
}

function sure(text, yes) {
  const dialog = $("ask");
  setText($("ask-text"), text);
  setText($("ask-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

async function act(what, question, yes) {
  if (!(await sure(question, yes))) return;
  try {
    say((await ask(`${base}/${what}`, { method: "POST", headers: { "X-Raddle-CSRF": csrf } })).detail);
    retry = what === "retry" ? { code: null } : retry;
  } catch (error) {
    say(error.message, true);
  }
  setTimeout(facts, 600);
}

$("retry")?.addEventListener("click", () => act("retry", `Start ${run.name} again? What failed, crashed or never ran is run; what is ok stays.`, "Retry failed"));
$("cancel")?.addEventListener("click", () => act("cancel", `Ask ${run.name} to stop? What runs now may end, nothing more starts. It can be resumed later.`, "Cancel run"));

// -------------------------------------------------------------------------------------------------------- live

listen(`/api/events?journal=${journal}&run=${uid}`, (state) => {
  const found = state.runs[0], before = run;
  problem("journal", state.problem ?? (found ? null : "This run is not in the journal any more: another file has been put in its place. If it comes back, so does this page."));
  if (!found || state.problem) { if (found) { run = found; paint(); } return; }
  problem("fetch", null);
  run = found;
  paint();
  const alive = [run.state, run.sessions].join();
  if (!before || seen !== alive) { seen = alive; facts(); }
  activity(); problems();
  if (!before) items.restart(); else items.changed();
});
setInterval(() => { if (!document.hidden && run?.state === "running") { paint(); if (drawn) activity(); } }, 1000);
