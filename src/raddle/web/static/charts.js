// The charts of a run. plotly.js comes as a classic script beside this module; until then, and without it, there is the
// text under each.
import { duration, el, number, plural, rate, setText, stamp, time, words, $ } from "./common.js";

const LIMITS = new Set(["limit", "choice"]);
const CALM = { displayModeBar: false, responsive: true, doubleClick: false, showTips: false };
const STATUSES = ["ok", "failed", "timed_out", "crashed", "cancelled", "interrupted", "running"];
// plotly reads a little markup in its texts
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

let last = null;
// It is big, and the text need not wait for it.
$("plotly").addEventListener("load", () => last && drawCharts(...last));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => last && drawCharts(...last));

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name === "running" ? "accent" : name}`).trim();
}

function layout(colour, more) {
  const axis = { gridcolor: colour("edge"), zeroline: false, linecolor: colour("edge"), fixedrange: true, automargin: true };
  const { xaxis = {}, yaxis = {}, yaxis2, ...rest } = more;
  return {
    margin: { l: 44, r: 8, t: 6, b: 26 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
    font: { color: colour("dim"), size: 11, family: "system-ui, sans-serif" }, showlegend: false,
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("edge"), font: { color: colour("text"), size: 12 }, align: "left" },
    xaxis: { ...axis, type: "date", showgrid: false, nticks: 5, tickangle: 0, ...xaxis }, yaxis: { ...axis, rangemode: "tozero", ...yaxis },
    ...(yaxis2 ? { yaxis2: { ...axis, ...yaxis2 } } : {}), ...rest,
  };
}

function draw(id, traces, shape, label) {
  const place = $(id);
  place.setAttribute("aria-label", label);
  setText($(`${id}-alt`), label);
  if (!window.Plotly || !traces.length) { if (window.Plotly) { Plotly.purge(place); place.replaceChildren(); } return; }
  Plotly.react(place, traces, shape, CALM);
}

/** Draw all; `run` is the line of the list, `activity` what the server says of it. */
export function drawCharts(run, activity) {
  last = [run, activity];
  const colour = colours();
  const seen = Math.max(run.started, activity.happenings.at(-1)?.at ?? 0, ...activity.spans.map((span) => span.started + span.seconds));
  const end = run.state === "running" ? Date.now() / 1000 : run.ended ?? seen;
  throughput(run, end, activity.buckets, colour);
  limits(run, end, activity.happenings, colour);
  timeline(run, activity, colour);
}

// Two charts beside each other have one time.
const whole = (run, end) => [stamp(run.started), stamp(Math.max(end, run.started + 0.1))];

function throughput(run, end, buckets, colour) {
  const perSecond = (count, bucket) => (bucket.seconds ? count / bucket.seconds : 0);
  const middle = buckets.map((bucket) => stamp(bucket.at + bucket.seconds / 2));
  const width = buckets.length ? buckets[0].seconds * 1000 : 1;
  const trace = (name, key, kind) => ({
    type: "bar", name, x: middle, width, marker: { color: colour(kind), line: { width: 0 } }, hoverinfo: "text", textposition: "none",
    y: buckets.map((bucket) => perSecond(bucket[key], bucket)),
    text: buckets.map((bucket) => `${time(bucket.at)}: ${number(bucket.ok)} ok, ${number(bucket.not_ok)} not ok in ${duration(bucket.seconds)}`),
  });
  const traces = buckets.some((bucket) => bucket.ok + bucket.not_ok)
    ? [trace("ok", "ok", "ok"), trace("not ok", "not_ok", "failed")] : [];
  const best = Math.max(0, ...buckets.map((bucket) => perSecond(bucket.ok + bucket.not_ok, bucket)));
  const ended = buckets.reduce((sum, bucket) => sum + bucket.ok + bucket.not_ok, 0);
  const failed = buckets.reduce((sum, bucket) => sum + bucket.not_ok, 0);
  draw("throughput", traces, layout(colour, { barmode: "stack", bargap: 0, xaxis: { range: whole(run, end) }, yaxis: { title: { text: "items/s" } } }),
    traces.length ? `${number(ended)} items ended, ${number(failed)} of them not ok; at most ${rate(best)}.` : "No item has ended yet.");
}

function limits(run, end, happenings, colour) {
  const moves = happenings.filter((each) => LIMITS.has(each.kind) && each.number !== null);
  const memory = happenings.filter((each) => each.kind === "memory" && each.number !== null);
  const steps = [{ at: run.started, number: moves.length ? null : run.workers, text: "workers at the start" }, ...moves];
  const line = {
    type: "scatter", mode: moves.length < 60 ? "lines+markers" : "lines", line: { shape: "hv", color: colour("accent"), width: 2 },
    marker: { size: 5 }, hoverinfo: "text", connectgaps: false,
    x: [...steps.map((each) => stamp(each.at)), stamp(Math.max(end, steps.at(-1).at))],
    y: [...steps.map((each) => each.number), steps.at(-1).number],
    text: [...steps, { ...steps.at(-1), text: "until here" }].map((each) => `${time(each.at)}: ${each.number ?? "?"} at once<br>${plain(cut(each.text, 90))}`),
  };
  const traces = [line];
  const used = {
    type: "scatter", mode: "lines", yaxis: "y2", line: { color: colour("crashed"), width: 1.5 }, hoverinfo: "text",
    fill: "tozeroy", fillcolor: `${colour("crashed")}22`,
    x: memory.map((each) => stamp(each.at)), y: memory.map((each) => each.number * 100),
    text: memory.map((each) => `${time(each.at)}: memory ${Math.round(each.number * 100)} %`),
  };
  if (memory.length) traces.push(used);
  const shape = layout(colour, {
    xaxis: { range: whole(run, end), ...(memory.length ? { anchor: "y2" } : {}) },
    yaxis: { title: { text: "at most" }, ...(Math.max(...steps.map((each) => each.number ?? 0)) < 5 ? { dtick: 1 } : {}), domain: memory.length ? [0.48, 1] : [0, 1] },
    ...(memory.length ? { yaxis2: { title: { text: "memory %" }, domain: [0, 0.38], range: [0, 100], nticks: 3 } } : {}),
  });
  const now = steps.at(-1).number, why = moves.length ? `: ${moves.at(-1).text}` : "";
  const peak = memory.length ? ` Memory at most ${Math.round(100 * Math.max(...memory.map((each) => each.number)))} % of what is granted.` : "";
  draw("limit", traces, shape, `At most ${plural(now ?? run.workers, "worker")} at once${cut(why, 160)}.${moves.length > 1 ? ` Moved ${moves.length} times.` : ""}${peak}`);
}

function timeline(run, activity, colour) {
  const now = Date.now() / 1000;
  const under = run.state !== "running" ? [] : activity.under_way.map((lease) => ({
    worker: lease.worker, started: lease.started, seconds: Math.max(0, now - lease.started), status: "running",
    label: plural(lease.items, "item") + " given", position: null, attempt: lease.attempt }));
  const spans = [...activity.spans, ...under];
  const workers = [...new Set(spans.map((span) => span.worker))].sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  const width = Math.max(3, Math.min(16, 190 / Math.max(1, workers.length)));
  const few = spans.length < 60 * workers.length;
  const traces = STATUSES.map((status) => one(status, spans.filter((span) => span.status === status), colour, width, few)).filter(Boolean);
  const place = new Map(workers.map((worker, index) => [plain(worker), index]));
  const shape = layout(colour, {
    margin: { l: 60, r: 8, t: 6, b: 26 }, hovermode: "closest",
    ...(spans.length ? { xaxis: { range: [Math.min(...spans.map((span) => span.started)), Math.max(...spans.map((span) => span.started + span.seconds)) + 0.01].map(stamp) } } : {}),
    yaxis: { type: "category", categoryorder: "array", categoryarray: [...place.keys()], rangemode: "normal", range: [-0.7, workers.length - 0.3], showgrid: false },
  });
  const counts = STATUSES.map((status) => [status, spans.filter((span) => span.status === status).length]).filter(([, count]) => count);
  const told = counts.map(([status, count]) => `${number(count)} ${words(status)}`).join(", ");
  draw("timeline", traces, shape, spans.length ? `The latest ${plural(spans.length, "attempt")} on ${plural(workers.length, "worker")}: ${told}.` : "No attempt has been recorded yet.");
  if (spans.length) { // the colours are told where they are counted
    const legend = counts.flatMap(([status, count], place) => [place ? ", " : "", el("span", { class: status }, `${number(count)} ${words(status)}`)]);
    $("timeline-alt").replaceChildren(`The latest ${plural(spans.length, "attempt")} on ${plural(workers.length, "worker")}: `, ...legend, ".");
  }
}

function one(status, spans, colour, width, few) {
  if (!spans.length) return null;
  const x = [], y = [], text = [];
  for (const span of spans) {
    const worker = plain(span.worker), item = span.position === null ? "" : `item ${span.position} `;
    const says = `${item}${plain(cut(span.label, 80))}<br>${words(status)} after ${duration(span.seconds)}, try ${span.attempt}, ${worker}`;
    x.push(stamp(span.started), stamp(span.started + span.seconds), null);
    y.push(worker, worker, null);
    text.push(says, says, "");
  }
  return { type: "scatter", mode: "lines+markers", x, y, text, hoverinfo: "text", connectgaps: false,
    line: { color: colour(status), width }, opacity: status === "running" ? 0.45 : 1,
    // A tick where each begins and ends: it parts neighbours while there are few, and shows the shortest when many.
    marker: { symbol: "line-ns", size: width / 1.4, line: { width: 1, color: colour(few ? "card" : status) } } };
}

/** Fill the table of what happened, the latest first. */
export function tellHappenings(happenings, body, makeRow) {
  const worth = happenings.filter((each) => each.kind !== "memory").slice(-200).reverse();
  body.replaceChildren(...worth.map((each) => makeRow(time(each.at), each.number === null ? each.kind : `${each.kind} ${number(each.number)}`, each.text)));
  return worth.length;
}
