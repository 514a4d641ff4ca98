// What both pages share. Text from a journal is hostile: it goes into text nodes only, never into markup.

export const $ = (id) => document.getElementById(id);

/** Make an element: attributes by name (null and false: left out), children as nodes or text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const INTEGER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const number = (value) => (value === null || value === undefined ? "–" : INTEGER.format(value));
export const words = (status) => status.replaceAll("_", " ");
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.0995) return `${seconds < 0.00995 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${days} d ${hours % 24} h`;
  return hours ? `${hours}:${two(minutes % 60)}:${two(whole % 60)} h` : `${minutes}:${two(whole % 60)} min`;
}

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  if (perSecond >= 10) return `${number(perSecond)}/s`;
  return perSecond >= 1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
}

export function bytes(count) {
  let value = count, unit = 0;
  while (value >= 1000 && unit < 4) { value /= 1000; unit += 1; }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
}

const pad = (value, width = 2) => String(value).padStart(width, "0");
const dayOf = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
const clockOf = (date) => `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;

/** Local time; the day only if it is another than today. */
export function time(seconds) {
  if (!seconds) return "–";
  const date = new Date(seconds * 1000);
  return dayOf(date) === dayOf(new Date()) ? clockOf(date) : `${dayOf(date)} ${clockOf(date).slice(0, 5)}`;
}
/** For the charts, which know no time zones. */
export function stamp(seconds) {
  const date = new Date(seconds * 1000);
  return `${dayOf(date)} ${clockOf(date)}.${pad(date.getMilliseconds(), 3)}`;
}

// ------------------------------------------------------------------------------------------------------ asking

export class Trouble extends Error {
  constructor(status, detail) { super(detail); this.status = status; }
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, "raddle ui does not answer");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Trouble(answer.status, typeof body.detail === "string" ? body.detail : `HTTP ${answer.status}`);
  return body;
}

const problems = new Map();
/** Say what is wrong, by where it was found; null: nothing (any more). */
export function problem(where, text) {
  if (text) problems.set(where, text); else problems.delete(where);
  // By place, whichever was found first: journals in the order in which they were given.
  const sorted = [...problems].sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }));
  const banner = $("banner"), all = [...new Set(sorted.map(([, said]) => said))].join("\n");
  if (banner.textContent !== all) banner.textContent = all;
  banner.hidden = !all;
}

/** Listen to the stream while the page is looked at; `take` gets each state. */
export function listen(path, take) {
  const light = $("link");
  const say = (state, text) => { light.dataset.state = state; setText(light, text); };
  let source = null, timer = null;
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(path);
    source.onopen = () => { clearTimeout(timer); say("live", "live"); problem("link", null); };
    source.onmessage = (event) => take(JSON.parse(event.data));
    source.onerror = () => {
      say("lost", "not connected");
      problem("link", "raddle ui does not answer: has it ended? What you see may be out of date; trying again.");
      if (source.readyState !== EventSource.CLOSED) return;
      source = null; // refused rather than broken off: the browser would not try again
      timer = setTimeout(open, 3000);
    };
  };
  const close = () => { clearTimeout(timer); source?.close(); source = null; say("wait", "paused"); };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}

/** Call at most every so many milliseconds, never twice at once, and once more at the end if asked meanwhile. */
export function calmly(milliseconds, call) {
  let busy = false, again = false;
  return async function run() {
    if (busy) { again = true; return; }
    busy = true;
    try { await call(); } catch (error) { if (!(error instanceof Trouble) && error.name !== "AbortError") throw error; }
    setTimeout(() => { busy = false; if (again) { again = false; run(); } }, milliseconds);
  };
}

/** What state a run is in; one that has ended, but not all ok, looks otherwise than one that has. */
export function paintBadge(badge, run) {
  setText(badge, run.state);
  const bad = run.counts.failed + run.counts.timed_out + run.counts.crashed;
  badge.dataset.state = run.state === "ended" && bad ? "not-ok" : run.state;
}

/** Widths of the four parts of a bar, and what it says. */
export function paintBar(bar, run) {
  const whole = Math.max(1, run.total ?? run.done);
  bar.toggleAttribute("data-open", run.total === null && run.state !== "ended"); // nobody knows how much is left
  for (const status of ["ok", "failed", "timed_out", "crashed"]) {
    let part = bar.querySelector(`.${status}`);
    if (!part) { part = el("span", { class: status }); bar.append(part); }
    const count = run.counts[status], width = `${(100 * count) / whole}%`;
    if (part.style.width !== width) part.style.width = width;
    part.style.minWidth = count && status !== "ok" ? "2px" : "0";
  }
}

export function doneText(run) {
  if (run.total === null) return `${number(run.done)} of ?`;
  const part = run.total ? Math.floor((100 * run.done) / run.total) : 100;
  return run.done === run.total ? `${number(run.done)}` : `${number(run.done)} of ${number(run.total)} · ${part} %`;
}
