// The table of items: search, filters, and pages that the server cuts.
import { $, ask, bytes, calmly, duration, el, number, plural, setText, time, words } from "./common.js";

const LIMIT = matchMedia("(max-width: 720px)").matches ? 25 : 50;
const ENOUGH = 25; // rows that are worth showing before the search goes on when asked to
const PATIENCE = 2000; // milliseconds that a search goes on by itself

export function itemsTable(base) {
  const body = document.querySelector("#items tbody");
  const opened = new Map(); // id -> what the server says, or null while it is asked
  const state = { cursors: [null], next: null, rows: [], type: null, more: false, stopped: null };

  function query(cursor) {
    const asked = new URLSearchParams({ order: $("order").value, limit: LIMIT });
    if ($("find").value.trim()) asked.set("search", $("find").value.trim());
    if ($("status").value) asked.set("status", $("status").value);
    if (state.type !== null) asked.set("error_type", state.type);
    if (cursor) asked.set("cursor", cursor);
    return `${base}/items?${asked}`;
  }

  async function load() {
    state.stopped?.abort();
    const stopped = (state.stopped = new AbortController());
    const until = Date.now() + PATIENCE, rows = [];
    let cursor = state.cursors.at(-1);
    do {
      const page = await ask(query(cursor), { signal: stopped.signal });
      rows.push(...page.rows);
      cursor = page.cursor;
    } while (cursor && rows.length < ENOUGH && Date.now() < until);
    Object.assign(state, { rows, next: cursor });
    paint();
  }

  function paint() {
    const place = document.activeElement?.dataset?.item;
    body.replaceChildren(...state.rows.flatMap((row) => (opened.has(row.id) ? [line(row), detail(row)] : [line(row)])));
    if (place) body.querySelector(`[data-item="${place}"]`)?.focus();
    const filtered = $("find").value.trim() || $("status").value || state.type !== null;
    const searching = $("find").value.trim() && state.next && state.rows.length < LIMIT;
    const none = filtered ? "no item fits" : "no item has ended yet";
    setText($("shown"), searching ? `${number(state.rows.length)} found so far; Next looks further` : state.rows.length ? `${plural(state.rows.length, "item")} on this page` : none);
    setText($("page"), `Page ${number(state.cursors.length)}`);
    $("first").disabled = $("previous").disabled = state.cursors.length === 1;
    $("next").disabled = !state.next;
    $("only").hidden = state.type === null;
    setText($("only"), state.type ?? "");
  }

  function line(row) {
    const open = opened.has(row.id);
    const more = el("button", { type: "button", class: "more", "aria-expanded": String(open), "data-item": row.id, onclick: () => toggle(row) }, row.label || `item ${row.position}`);
    const said = [row.error_type, row.error_message].filter(Boolean).join(": ");
    return el("tr", {},
      el("td", { class: "num wide dim" }, number(row.position)), el("td", {}, more),
      el("td", { class: row.status }, words(row.status)), el("td", { class: "num wide" }, number(row.attempts)),
      el("td", { class: "num" }, duration(row.seconds)),
      el("td", { class: "wide" }, time(row.started && row.started + row.seconds)), el("td", { class: "wide dim" }, row.worker),
      el("td", { class: "wide" }, el("span", { class: "error" }, said)));
  }

  function detail(row) {
    const whole = opened.get(row.id), cell = el("td", { colspan: 8 });
    const facts = el("dl", { class: "facts" });
    const say = (name, value) => value !== null && value !== "" && facts.append(el("dt", {}, name), el("dd", {}, value));
    const told = whole ?? row;
    say("Item", el("span", { class: "label" }, told.label)); // whole: it is cut in the table
    say("Position", number(told.position));
    say("Key", told.key);
    say("Tries", number(told.attempts));
    say("Worker", told.worker);
    say("Started", time(told.started));
    say("Value", told.status === "ok" ? `${bytes(told.value_size)}, pickled` : null);
    say("Error", told.error_type);
    cell.append(facts);
    if (whole?.trouble) cell.append(el("p", { class: "failed" }, whole.trouble));
    if (told.error_message) cell.append(el("pre", {}, told.error_message));
    if (whole?.traceback) cell.append(el("pre", { tabindex: 0, "aria-label": "Traceback" }, whole.traceback));
    return el("tr", { class: "detail" }, cell);
  }

  async function toggle(row) {
    if (opened.delete(row.id)) return paint();
    opened.set(row.id, null);
    paint();
    const whole = await ask(`${base}/items/${row.id}`).catch((error) => ({ ...row, trouble: error.message }));
    if (opened.has(row.id)) { opened.set(row.id, whole); paint(); }
  }

  const fresh = calmly(2000, load);
  const safely = () => load().catch((error) => error.name !== "AbortError" && setText($("shown"), error.message));
  let timer = null;
  function restart() {
    clearTimeout(timer); // what was typed just before is read now: it must not take a later page away
    Object.assign(state, { cursors: [null], next: null });
    opened.clear();
    safely();
  }
  async function turn() {
    const { next } = state;
    if (!next) return; // pressed again before the page came
    state.cursors.push(next);
    state.next = null;
    try { await load(); } catch (error) {
      if (error.name === "AbortError") return; // something else is shown instead
      state.cursors.pop();
      state.next = next;
      setText($("shown"), error.message);
    }
  }

  $("find").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(restart, 250); });
  for (const id of ["status", "order"]) $(id).addEventListener("change", restart);
  $("filters").addEventListener("submit", (event) => { event.preventDefault(); restart(); });
  $("only").addEventListener("click", () => { state.type = null; $("status").value = ""; restart(); });
  $("next").addEventListener("click", turn);
  $("previous").addEventListener("click", () => { state.cursors.pop(); safely(); });
  $("first").addEventListener("click", restart);

  return {
    /** Something was recorded: the first page may show it. */
    changed() {
      const first = state.cursors.length === 1, whole = state.rows.length >= LIMIT;
      const grows = $("order").value === "newest" || !whole;
      if (first && grows && !$("find").value.trim()) fresh();
      else if (!first && !state.next) fresh();
    },
    /** Show the items of a group of failures. */
    only(status, type) {
      $("status").value = status;
      $("find").value = "";
      state.type = type || null;
      restart();
      $("t-items").scrollIntoView({ behavior: "auto", block: "start" });
      $("status").focus({ preventScroll: true });
    },
    restart,
  };
}
