// The list of users: found, sorted, walked through by keys. Only the rows in sight are in the document.
"use strict";
(() => {
  const { days, columns: names, rows } = JSON.parse(document.getElementById("users").textContent);
  const at = Object.fromEntries(names.map((name, place) => [name, place]));
  const HEIGHT = 34;
  const ENOUGH = 20; // readings, for "worst first"
  const ROOM = 8e6; // px; browsers draw no element much taller, so that longer lists scroll faster than the wheel
  const PAPER = 1000; // rows
  const [find, order, quick, count, head, list, room] =
    ["find", "order", "quick", "count", "head", "list", "room"].map((id) => document.getElementById(id));
  const folded = rows.map((row) => row[at.user].toLowerCase());

  // ---- values of a row, as numbers; NaN: not known, which comes last either way
  const plain = (name) => (row) => row[at[name]] ?? NaN;
  const share = (row) => (row[at.rejected] === null || !row[at.readings] ? NaN : row[at.rejected] / row[at.readings]);
  const digits = (least, most = least) => ({ minimumFractionDigits: least, maximumFractionDigits: most });
  const written = (value, form, sign) => Number.isNaN(value) ? "–" : (sign && value > 0 ? "+" : "") + value.toLocaleString("en", form).replace(/^-(?=[0.]*$)/, "");
  const whole = (value) => written(value, digits(0));
  const kg = (value) => written(value, digits(Math.abs(value) < 20 ? 2 : 1));
  const date = (day) => Number.isNaN(day) ? "–" : days ? `day ${day}` : new Date(day * 864e5).toISOString().slice(0, 10);
  // what can be sorted by; `wide` px and `want` (the lowest number is shown first) make it a column
  const orders = {
    user: { name: "user", value: null, up: true },
    readings: { name: "readings", value: plain("readings"), text: whole, wide: 72, want: 1 },
    rejected: { name: "rejected", value: plain("rejected"), text: whole, wide: 70, want: 4 },
    share: { name: "% rej.", long: "rejected share", value: share, text: (value) => written(100 * value, digits(1)), wide: 56, want: 2 },
    worst: { name: "worst", long: `rejected share, of ${ENOUGH} readings and more`, value: (row) => (row[at.readings] < ENOUGH ? NaN : share(row)), as: "share" },
    kg: { name: "kg now", value: plain("kg"), text: kg, wide: 62, want: 3 },
    change: { name: "change", long: "change in kg", value: plain("change"), text: (value) => written(value, digits(1, 2), true), wide: 64, want: 7 },
    size: { name: "size", long: "size of the change", value: (row) => Math.abs(row[at.change] ?? NaN), as: "change" },
    trend: { name: "kg/week", value: plain("trend"), text: (value) => written(value, digits(2), true), wide: 68, want: 5 },
    quality: { name: "quality", long: "mean quality", value: plain("quality"), text: whole, wide: 58, want: 8 },
    resets: { name: "resets", value: plain("resets"), text: whole, wide: 54, want: 10 },
    unused: { name: "unused", long: "rows not used", value: plain("unused"), text: whole, wide: 58, want: 12 },
    revisions: { name: "revised", long: "revisions", value: plain("revisions"), text: whole, wide: 60, want: 11 },
    first: { name: "first", long: "first reading", value: plain("first"), text: date, wide: 88, want: 9, up: true },
    last: { name: "last", long: "last reading", value: plain("last"), text: date, wide: 88, want: 6 },
    failed: { name: "failed", value: (row) => Number(row[at.rejected] === null), as: "rejected" },
  };
  const some = (name) => rows.some((row) => row[at[name]]);
  const failures = rows.some((row) => row[at.rejected] === null);
  if (!some("revisions")) delete orders.revisions;
  if (!failures) delete orders.failed;
  const COURSE = { name: "course", wide: 112 };
  const buttons = [["worst", "worst first"], ["rejected", "most rejected"], ["readings", "most data"], ["size", "largest change"],
    ["revisions", "most revised"], ["failed", "failed first"]].filter(([key]) => key in orders);

  // ---- where the reader was: kept over a visit to a user's page
  const STORE = "raddle-weights";
  const kept = (() => { try { return JSON.parse(sessionStorage.getItem(STORE) || "{}"); } catch { return {}; } })();
  let by = kept.by in orders ? kept.by : "user";
  let up = kept.up ?? orders[by].up ?? false;
  let sorted = [];
  let shown = [];
  let place = 0;
  let columns = [];
  const keep = () => {
    try {
      sessionStorage.setItem(STORE, JSON.stringify({ by, up, find: find.value, user: shown.length ? rows[shown[place]][at.user] : null }));
    } catch { /* a browser that forbids storage shows the list from its top */ }
  };

  const arrange = () => {
    sorted = Int32Array.from(rows.keys());
    const { value } = orders[by];
    if (!value) { if (!up) sorted.reverse(); return; } // rows come in order of ids
    const keys = Float64Array.from(rows, value);
    const sign = up ? 1 : -1;
    sorted.sort((a, b) => {
      const [x, y] = [keys[a], keys[b]];
      if (x === y) return a - b;
      if (x !== x) return y !== y ? a - b : 1;
      if (y !== y) return -1;
      return x < y ? -sign : sign;
    });
  };
  const choose = (stay) => {
    const wanted = find.value.trim().toLowerCase();
    const user = stay && (shown.length ? rows[shown[place]][at.user] : kept.user);
    shown = wanted ? sorted.filter((n) => folded[n].includes(wanted)) : sorted;
    place = user ? Math.max(0, shown.findIndex((n) => rows[n][at.user] === user)) : 0;
    const [found, all] = [shown.length, rows.length].map((number) => number.toLocaleString("en"));
    count.textContent = wanted ? `${found} of ${all}` : `${all} user${rows.length === 1 ? "" : "s"}`;
    room.style.height = `${Math.min(ROOM, shown.length * HEIGHT)}px`;
    scrollTo(place * HEIGHT - list.clientHeight / 2);
    draw();
  };

  // ---- the list: `top` is where its window stands in a list as long as all rows, whatever the browser can scroll
  const scale = () => {
    const [long, window] = [shown.length * HEIGHT, list.clientHeight];
    return long <= ROOM ? 1 : (long - window) / (ROOM - window);
  };
  const top = () => list.scrollTop * scale();
  const scrollTo = (position) => { list.scrollTop = Math.max(0, position) / scale(); };

  const cell = (text, name) => {
    const span = document.createElement("span");
    span.textContent = text;
    if (name) span.className = name;
    return span;
  };
  const drawing = (levels) => {
    const span = cell("", "course");
    if (levels.length > 1) {
      const path = [...levels].map((level, n) => `${n ? "L" : "M"}${(n * 100 / (levels.length - 1)).toFixed(1)} ${37 - parseInt(level, 36)}`).join("");
      span.innerHTML = `<svg viewBox="0 0 100 38" preserveAspectRatio="none" aria-hidden="true"><path d="${path}"/></svg>`;
    }
    return span;
  };
  const address = (row) => `users/${encodeURIComponent(row[at.name] || `${row[at.user]}.html`)}`;
  const line = (n) => {
    const row = rows[shown[n]];
    const failed = row[at.rejected] === null;
    const link = document.createElement("a");
    link.id = `row-${n}`;
    link.className = n === place ? "row at" : "row";
    link.setAttribute("role", "option");
    link.setAttribute("aria-selected", String(n === place));
    link.setAttribute("aria-setsize", String(shown.length));
    link.setAttribute("aria-posinset", String(n + 1));
    link.tabIndex = -1;
    link.href = address(row);
    link.onclick = () => { place = n; keep(); };
    const id = cell("", "id");
    const name = document.createElement("bdi"); // an id may be written from right to left
    name.textContent = row[at.user].slice(0, 300) || "(no id)";
    id.append(name);
    id.title = row[at.user].slice(0, 300);
    link.append(id, ...columns.map((column) => {
      if (column === COURSE) return drawing(row[at.course]);
      if (failed && column === orders.share) return cell("failed", "bad");
      const value = column.value(row);
      const bad = (column === orders.rejected || column === orders.share) && share(row) > 0.1;
      return cell(column.text(value), Number.isNaN(value) ? "none" : bad ? "bad" : value ? "" : "none");
    }));
    return link;
  };
  const draw = () => {
    const [from, origin] = [top(), list.scrollTop];
    const first = Math.max(0, Math.floor(from / HEIGHT) - 5);
    const end = Math.min(shown.length, Math.ceil((from + list.clientHeight) / HEIGHT) + 5);
    const drawn = [];
    for (let n = first; n < end; n++) {
      const link = line(n);
      link.style.top = `${Math.round(origin + n * HEIGHT - from)}px`;
      drawn.push(link);
    }
    list.replaceChildren(room, ...drawn);
    list.setAttribute("aria-activedescendant", shown.length ? `row-${place}` : "");
  };
  const move = (to) => {
    if (!shown.length) return;
    place = Math.min(shown.length - 1, Math.max(0, to));
    const [mine, from] = [place * HEIGHT, top()];
    if (mine < from) scrollTo(mine);
    else if (mine + HEIGHT > from + list.clientHeight) scrollTo(mine + HEIGHT - list.clientHeight);
    draw();
  };
  const open = () => {
    if (!shown.length) return;
    keep();
    location.href = address(rows[shown[place]]);
  };

  // ---- which columns there is room for; the one sorted by always is
  const lengths = rows.slice(0, 500).map((row) => row[at.user].length).sort((a, b) => a - b);
  const idRoom = Math.min(275, Math.max(120, 7.5 * (lengths[Math.floor(lengths.length * 0.9)] || 0)));
  const fit = (width = list.clientWidth) => {
    const sortedBy = orders[orders[by].as || by];
    const narrow = width < 560;
    let left = width - (narrow ? 12 + 112 : 24 + idRoom);
    const wanted = Object.values(orders).filter((order) => order.want).sort((a, b) => (b === sortedBy) - (a === sortedBy) || a.want - b.want);
    const taken = new Set();
    for (const column of wanted) {
      const room = column.wide * (narrow ? 0.9 : 1) + 8;
      if (left < room) break;
      if (column === orders.unused && !some("unused")) continue;
      taken.add(column);
      left -= room;
      if (taken.size === 6 && left >= COURSE.wide + 8) { taken.add(COURSE); left -= COURSE.wide + 8; }
    }
    columns = [...Object.values(orders).filter((order) => taken.has(order)), ...(taken.has(COURSE) ? [COURSE] : [])];
    const tracks = columns.map((column) => `${Math.round(column.wide * (narrow ? 0.9 : 1))}px`);
    head.style.paddingRight = `${(narrow ? 6 : 12) + list.offsetWidth - list.clientWidth}px`; // the scroll bar's width
    list.parentElement.style.setProperty("--columns", ["minmax(0, 1fr)", ...tracks].join(" "));
    title();
  };
  const sort = (key, turn) => {
    up = turn ?? (by === key ? !up : Boolean(orders[key].up));
    by = key;
    arrange();
    fit();
    choose(false);
    keep();
  };
  const title = () => {
    head.replaceChildren(...["user", ...columns].map((column) => {
      if (column === COURSE) return cell(column.name, "course");
      const key = column === "user" ? column : Object.keys(orders).find((name) => orders[name] === column);
      const button = document.createElement("button");
      button.textContent = orders[key].name;
      button.title = `sort by ${orders[key].long || orders[key].name}`;
      if ((orders[by].as || by) === key) button.className = up ? "up" : "down";
      button.onclick = () => sort(key);
      return button;
    }));
    order.value = by;
    for (const button of quick.children) button.setAttribute("aria-pressed", String(button.dataset.by === by && !up));
  };

  order.replaceChildren(...Object.entries(orders).map(([key, { name, long }]) => new Option(`by ${long || name}`, key)));
  order.onchange = () => sort(order.value, Boolean(orders[order.value].up));
  quick.replaceChildren(...buttons.map(([key, text]) => {
    const button = document.createElement("button");
    button.textContent = text;
    button.dataset.by = key;
    button.onclick = () => (by === key && !up ? sort("user", true) : sort(key, false));
    return button;
  }));
  find.value = kept.find || "";
  find.addEventListener("input", () => { choose(false); keep(); });
  let waiting = 0;
  const soon = (action) => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(action); };
  list.addEventListener("scroll", () => soon(draw), { passive: true });
  addEventListener("resize", () => soon(() => { fit(); draw(); }));
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const active = document.activeElement;
    const typing = active === find;
    if (event.key === "/" && !typing) { event.preventDefault(); find.focus(); find.select(); return; }
    if (event.key === "Escape" && typing) { find.value = ""; choose(true); list.focus(); keep(); return; }
    if (active && (active === order || (active.matches("button, a, summary") && event.key === "Enter"))) return;
    const page = Math.max(1, Math.floor(list.clientHeight / HEIGHT) - 1);
    const steps = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page };
    if (!typing) Object.assign(steps, { Home: 0, End: shown.length - 1 });
    if (event.key in steps) { event.preventDefault(); move(steps[event.key]); }
    else if (event.key === "Enter") open();
  });
  // on paper there is no scrolling: the first rows of the order, as many as somebody may want to print
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    fit(676);
    const lines = [];
    for (let n = 0; n < Math.min(PAPER, shown.length); n++) lines.push(line(n));
    if (shown.length > PAPER) lines.push(cell(`and ${(shown.length - PAPER).toLocaleString("en")} more`, "more"));
    list.replaceChildren(...lines);
  });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("paper"); fit(); draw(); });
  arrange();
  fit();
  choose(true);
})();
