// Draws the chart of a user's page from the columns in #data, in the colours of the moment.
"use strict";
(() => {
  const root = document.documentElement;
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const relation = { ArrowLeft: "prev", ArrowRight: "next", Escape: "home" }[event.key];
    const link = relation && document.querySelector(relation === "home" ? "a.home" : `a[rel=${relation}]`);
    if (link) location.href = link.href;
  });
  const source = document.getElementById("data");
  if (!source) return;
  const chart = document.getElementById("chart");
  if (typeof Plotly === "undefined") {
    chart.textContent = "plotly.min.js is missing in the folder above this page: the chart cannot be drawn.";
    return;
  }
  const D = JSON.parse(source.textContent);
  const COUNT = D.t.length;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 720px)");
  const ink = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // ------------------------------------------------------------------------------------------------ the columns
  const DAY = D.days ? 1 : 86400000;
  const at = (t) => (D.days ? D.t0 + t : (D.t0 + t) * 1000); // what Plotly's axis takes: days, or milliseconds UTC
  const X = D.t.map(at);
  const used = D.stage.map((stage) => stage <= 1);
  const known = (value) => value !== null && value !== undefined;
  const rows = Array.from({ length: COUNT }, (_, row) => row);
  const accepted = rows.filter((row) => used[row]);
  const value = (key, row) => (D[key] ? D[key][row] : null);
  const [resetRows, resetKinds, resetNumbers] = D.resets;
  const restarted = new Set(resetRows);
  const [rejectedRows, degrees, places] = D.rejected;
  const degreeOf = new Map(rejectedRows.map((row, n) => [row, degrees[n]]));
  const placeOf = new Map(rejectedRows.map((row, n) => [row, places[n]]));
  const [revisedRows, oldStages, oldFiltered] = D.revised;
  const revisedAt = new Map(revisedRows.map((row, n) => [row, n]));
  const DEGREES = ["critical", "high", "medium", "low"];
  const COMPONENTS = [["qs", "safety"], ["qp", "plausibility"], ["qc", "consistency"], ["qr", "reliability"]];
  const pieces = []; // accepted rows from one start of the filter to the next
  for (const row of accepted) {
    if (!pieces.length || restarted.has(row)) pieces.push([]);
    pieces[pieces.length - 1].push(row);
  }

  // ------------------------------------------------------------------------------------------------ words
  const light = D.y[1] < 30;
  const kg = (number) => (known(number) ? `${number.toFixed(light ? 2 : 1)} kg` : "–");
  const signed = (number, digits) => {
    const text = (number > 0 ? "+" : "") + number.toFixed(digits);
    return /[1-9]/.test(text) ? text.replace("-", "−") : text.replace(/^[+-]/, "");
  };
  const when = (row) => {
    if (D.days) return `day ${Number(X[row].toFixed(2))}`;
    const text = new Date(X[row]).toISOString();
    return text.slice(11, 16) === "00:00" ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 16)}`;
  };
  const RESET = { 1: "first reading", 2: "gap", 3: "level change", 4: "manual entry" };
  const resetLabel = (n) => {
    const [kind, number] = [resetKinds[n], resetNumbers[n]];
    if (!known(number)) return RESET[kind];
    return kind === 2 ? `gap ${Math.round(number)} d` : `${RESET[kind]} ${signed(number, light ? 2 : 1)} kg`;
  };
  const side = (number) => `${kg(Math.abs(number))} ${number > 0 ? "above" : "below"}`;
  const list = document.querySelector("#rejections tbody");
  const why = (row) => {
    if (!used[row]) {
      const line = list && list.rows[placeOf.get(row)];
      if (line) return line.lastElementChild.textContent;
      return known(value("i", row)) ? `rejected: ${side(value("i", row))} what was expected` : "rejected";
    }
    const n = resetRows.indexOf(row);
    if (n >= 0) {
      if (resetKinds[n] === 1) return "accepted: first reading, the filter starts here";
      if (resetKinds[n] === 2) return `accepted: ${Math.round(resetNumbers[n])} days without an accepted reading, the filter starts anew here`;
      const said = resetKinds[n] === 4 ? "entered by hand" : "a new level";
      return `accepted: ${said}, ${known(resetNumbers[n]) ? side(resetNumbers[n]) : "away from"} the one before; the filter starts anew here`;
    }
    const innovation = value("i", row);
    if (!known(innovation)) return "accepted";
    const what = D.post ? "filtered" : "expected";
    const text = innovation === 0 ? `just the ${what} weight` : `${side(innovation)} the ${what} ${kg(D.kg[row] - innovation)}`;
    return `accepted: ${text}` + (known(value("a", row)) ? `; up to ${kg(value("a", row))} would have been believed` : "");
  };

  const told = document.getElementById("told");
  const tell = (row, event) => {
    const head = make("p", "head");
    head.append(make("b", used[row] ? "" : "bad", kg(D.kg[row])), when(row));
    const parts = [head, make("p", "why", why(row))];
    if (used[row] && known(value("f", row))) {
      const sigma = value("s", row);
      const trend = value("w", row);
      parts.push(make("p", "", `filtered ${kg(D.f[row])}${known(sigma) ? ` ± ${(2 * sigma).toFixed(light ? 2 : 1)}` : ""}` +
        (known(trend) ? `, ${signed(trend, 2)}${known(value("ws", row)) ? ` ± ${(2 * D.ws[row]).toFixed(2)}` : ""} kg/week` : "")));
    }
    if (revisedAt.has(row)) {
      const n = revisedAt.get(row);
      const was = oldStages[n] <= 1 ? "accepted" : "rejected";
      parts.push(make("p", "soft", `revised: was ${was}${known(oldFiltered[n]) ? `, filtered ${kg(oldFiltered[n])}` : ""}`));
    }
    if (known(value("q", row))) {
      const table = make("table");
      const lines = [["q", "quality"], ...COMPONENTS].filter(([key]) => known(value(key, row)));
      for (const [key, name] of lines) {
        const number = D[key][row];
        const good = key === "q" ? used[row] || number >= (D.threshold ?? 0.7) : number >= 0.7;
        const line = table.insertRow();
        const mark = make("td", "mark", good ? "✓" : number >= 0.4 && key !== "q" ? "⚠" : "✗");
        line.append(mark, make("td", "", number.toFixed(2)), make("td", "", name));
      }
      parts.push(table);
    }
    parts.push(make("p", "soft", `${D.names[D.src[row]]}, line ${D.line[row].toLocaleString("en")}`));
    told.replaceChildren(...parts);
    told.hidden = false;
    if (narrow.matches || !event) { [told.style.left, told.style.top] = narrow.matches ? ["", ""] : ["76px", "64px"]; return; }
    const box = told.parentElement.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const left = x + 18 + told.offsetWidth < box.width ? x + 18 : x - 18 - told.offsetWidth;
    told.style.left = `${Math.max(8, left)}px`;
    told.style.top = `${Math.max(8, Math.min(y - told.offsetHeight / 2, box.height - told.offsetHeight - 8))}px`;
  };

  // ------------------------------------------------------------------------------------------------ what is shown
  const remember = (name, fallback) => {
    try { return JSON.parse(localStorage.getItem("raddle-" + name)) ?? fallback; } catch { return fallback; }
  };
  const keep = (name, what) => {
    try { localStorage.setItem("raddle-" + name, JSON.stringify(what)); } catch { /* a private window: forgotten */ }
  };
  const PANELS = [
    ["trend", "trend", D.w && accepted.length > 1],
    ["innovations", "innovations", D.i && D.i.some(known)],
    ["quality", "quality", D.q && D.q.some(known)],
  ].filter(([, , there]) => there);
  let panels = remember("panels", ["trend"]);
  const hidden = new Set(remember("hidden", ["slope"]));
  let paper = false;
  let period = null; // x from, to; y from, to
  const AXES = { main: "y", trend: "y2", innovations: "y3", quality: "y4" };
  const heights = () => {
    if (paper) return { main: 262, trend: 85, innovations: 95, quality: 150 };
    return narrow.matches ? { main: 300, trend: 105, innovations: 120, quality: 190 }
      : { main: panels.length > 1 ? 360 : 400, trend: 115, innovations: 140, quality: 220 };
  };

  // ------------------------------------------------------------------------------------------------ the range
  const first = X[0];
  const last = X[COUNT - 1];
  const margin = Math.max(0.02 * (last - first), DAY);
  const whole = [first - margin, last + margin, D.y[0], D.y[1]];
  const between = (from, to) => {
    let [low, high] = [Infinity, -Infinity];
    for (const row of accepted) {
      if (X[row] < from || X[row] > to) continue;
      const spread = Math.min(2 * (value("s", row) || 0), 0.06 * D.f[row]);
      for (const number of [D.kg[row], D.f[row] - spread, D.f[row] + spread]) {
        if (known(number)) { low = Math.min(low, number); high = Math.max(high, number); }
      }
    }
    if (!(high > -Infinity)) return [D.y[0], D.y[1]];
    const pad = Math.max(0.08 * (high - low), 0.004 * high);
    return [Math.max(0, low - pad), high + pad];
  };

  // ------------------------------------------------------------------------------------------------ traces
  const broken = (parts, of) => {
    const out = [];
    parts.forEach((part, n) => { if (n) out.push(null); for (const row of part) out.push(of(row)); });
    return out;
  };
  const split = (own) => { // rows, parted where the filter was started anew
    const parts = [];
    let n = 0;
    for (const row of own) {
      const from = n;
      while (n < resetRows.length && resetRows[n] <= row) n += 1;
      if (!parts.length || n > from) parts.push([]);
      parts[parts.length - 1].push(row);
    }
    return parts;
  };
  const line = (key, parts, of, extra) => ({ type: "scatter", mode: "lines", meta: key, x: broken(parts, (row) => X[row]), y: broken(parts, of),
    customdata: broken(parts, (row) => row), hoverinfo: "none", ...extra });
  const band = (key, middle, spread, yaxis) => {
    const [x, y] = [[], []];
    for (const piece of pieces) {
      const own = piece.filter((row) => known(value(middle, row)) && known(value(spread, row)));
      if (own.length < 2) continue; // a point has no band
      if (x.length) { x.push(null); y.push(null); }
      for (const row of own) { x.push(X[row]); y.push(D[middle][row] + 2 * D[spread][row]); }
      for (const row of own.reverse()) { x.push(X[row]); y.push(D[middle][row] - 2 * D[spread][row]); }
    }
    return { type: "scatter", mode: "lines", meta: key, x, y, yaxis, fill: "toself", fillcolor: ink("band"), line: { width: 0 }, hoverinfo: "skip" };
  };
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "pentagon", "hexagon", "star"];
  const OTHER = SYMBOLS.length - 1; // sources beyond the sixth share the last colour and symbol
  const kind = (row) => Math.min(D.src[row], OTHER);
  const size = COUNT > 1500 ? 4 : COUNT > 400 ? 5 : 6.5;

  const mainTraces = (range, width) => {
    const traces = [];
    const [low, high] = [range[2], range[3]];
    if (D.f) {
      traces.push({ ...band("band", "f", "s"), visible: !hidden.has("band") });
      traces.push(line("line", pieces, (row) => D.f[row], { line: { width: 2.2, color: ink("line") }, hoverinfo: "skip" }));
      if (D.h && !hidden.has("hindsight")) {
        traces.push(line("hindsight", pieces, (row) => D.h[row], { line: { width: 1.6, dash: "dash", color: ink("revised") }, hoverinfo: "skip" }));
      }
    }
    if (revisedRows.length) {
      const runs = []; // rows that were revised one after the other
      revisedRows.forEach((row, n) => {
        if (!known(oldFiltered[n])) return;
        if (!runs.length || restarted.has(row) || rows.slice(runs.at(-1).at(-1) + 1, row).some((other) => used[other])) runs.push([]);
        runs.at(-1).push(row);
      });
      traces.push(line("revised", runs, (row) => oldFiltered[revisedAt.get(row)], { line: { width: 1.4, dash: "dot", color: ink("revised") }, hoverinfo: "skip" }));
    }
    if (D.w && !hidden.has("slope")) {
      const [x, y] = [[], []];
      const half = D.days ? 3.5 : 3.5 * DAY;
      for (const row of accepted) {
        if (!known(D.w[row])) continue;
        x.push(X[row] - half, X[row] + half, null);
        y.push(D.f[row] - D.w[row] / 2, D.f[row] + D.w[row] / 2, null);
      }
      traces.push({ type: "scatter", mode: "lines", meta: "slope", x, y, line: { width: 1, color: ink("trend") }, hoverinfo: "skip" });
    }
    for (let n = 0; n <= Math.min(OTHER, D.names.length - 1); n += 1) {
      const own = accepted.filter((row) => kind(row) === n && known(D.kg[row]));
      if (!own.length) continue;
      traces.push({ type: "scatter", mode: "markers", meta: "s" + n, x: own.map((row) => X[row]), y: own.map((row) => D.kg[row]), customdata: own,
        hoverinfo: "none", marker: { symbol: SYMBOLS[n], color: ink("s" + n), opacity: 0.85,
          size: own.map((row) => (D.stage[row] === 0 ? size + 2.5 : size)),
          line: { color: ink("ink"), width: own.map((row) => (D.stage[row] === 0 ? 1.6 : 0)) } } });
    }
    const inset = 0.022 * (high - low);
    const labelled = new Set(); // arrows with room for their weight
    const ends = { true: Infinity, false: Infinity };
    for (const row of [...rejectedRows].reverse()) {
      const up = D.kg[row] > high;
      if (!known(D.kg[row]) || !(up || D.kg[row] < low) || X[row] < range[0] || X[row] > range[1]) continue;
      const x = (X[row] - range[0]) / (range[1] - range[0]) * width;
      if (x < ends[up] - 38) labelled.add(row);
      ends[up] = x;
    }
    for (const [degree, name] of DEGREES.entries()) {
      const own = rejectedRows.filter((row, n) => degrees[n] === degree && known(D.kg[row]));
      if (!own.length) continue;
      const beyond = own.map((row) => (D.kg[row] > high ? 1 : D.kg[row] < low ? -1 : 0));
      traces.push({ type: "scatter", mode: "markers+text", meta: name, x: own.map((row) => X[row]),
        y: own.map((row) => Math.min(high - inset, Math.max(low + inset, D.kg[row]))), customdata: own, hoverinfo: "none",
        text: own.map((row) => (labelled.has(row) ? D.kg[row].toFixed(light ? 1 : 0) : "")), textfont: { size: 10.5, color: ink(name) },
        textposition: own.map((row) => (X[row] > range[1] - 40 / width * (range[1] - range[0]) ? "middle left" : "middle right")),
        marker: { size: beyond.map((way) => (way ? 9 : 7)), symbol: beyond.map((way) => (way > 0 ? "triangle-up" : way < 0 ? "triangle-down" : "x-thin")),
          color: ink(name), line: { width: 1.8, color: ink(name) } } });
    }
    const changed = revisedRows.filter((row, n) => (oldStages[n] <= 1) !== used[row] && known(D.kg[row]));
    if (changed.length) {
      traces.push({ type: "scatter", mode: "markers", meta: "revised", x: changed.map((row) => X[row]),
        y: changed.map((row) => Math.min(high - inset, Math.max(low + inset, D.kg[row]))), customdata: changed, hoverinfo: "none",
        marker: { symbol: "circle-open", size: 14, color: ink("revised"), line: { width: 1.8 } } });
    }
    return traces;
  };

  const trendTraces = () => [
    { ...band("band", "w", "ws", "y2"), meta: "trendband" },
    line("trend", pieces.filter((piece) => piece.length > 1), (row) => D.w[row], { yaxis: "y2", line: { width: 1.8, color: ink("trend") } }),
  ];

  const LEVELS = [["fine", 1 / 3], ["fair", 2 / 3], ["near", 1], ["high", Infinity]];
  const innovationTraces = (limit) => {
    const traces = [];
    const cut = (number) => Math.max(-limit, Math.min(limit, number));
    const own = rows.filter((row) => known(D.i[row]));
    const usual = D.a ? null : 3 * Math.sqrt(own.reduce((sum, row) => sum + (used[row] ? D.i[row] ** 2 : 0), 0) / Math.max(1, accepted.length));
    const level = (row) => {
      const ratio = Math.abs(D.i[row]) / (known(value("a", row)) ? D.a[row] : usual || Infinity);
      return LEVELS.findIndex(([, most]) => ratio <= most);
    };
    const bars = own.map(level);
    const thin = own.length > 1000 ? 0.6 : own.length > 400 ? 1 : own.length > 200 ? 2 : 3.2;
    LEVELS.forEach(([name], n) => {
      const [x, y, custom] = [[], [], []];
      own.forEach((row, k) => {
        if (bars[k] !== n) return;
        x.push(X[row], X[row], null);
        y.push(0, cut(D.i[row]), null);
        custom.push(row, row, null);
      });
      if (x.length) traces.push({ type: "scatter", mode: "lines", meta: name, x, y, customdata: custom, yaxis: "y3", hoverinfo: "none", line: { width: thin, color: ink(name) } });
    });
    if (D.a) {
      const limited = rows.filter((row) => known(D.a[row]));
      for (const sign of [1, -1]) {
        traces.push(line("allowed", split(limited), (row) => sign * D.a[row], { yaxis: "y3", hoverinfo: "skip", opacity: 0.7,
          line: { width: 1, dash: "dash", color: ink("soft") } }));
      }
    }
    return traces;
  };
  const quantile = (numbers, share) => {
    const sorted = numbers.filter(known).sort((a, b) => a - b);
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : 0;
  };
  const innovationLimit = () => {
    const own = rows.filter((row) => known(D.i[row]));
    const usual = Math.max(quantile(own.filter((row) => used[row]).map((row) => Math.abs(D.i[row])), 0.99),
      0.2 * quantile(own.map((row) => Math.abs(D.i[row])), 1), 1e-3);
    const allowed = D.a ? quantile(D.a, 0.8) : 0;
    return 1.15 * Math.max(usual, allowed <= 12 * usual ? allowed : 0);
  };

  // each part of the quality has a lane of its own: the overall one is twice as high
  const LANES = [["q", 4.9, 2], ["qs", 3.6, 1], ["qp", 2.4, 1], ["qc", 1.2, 1], ["qr", 0, 1]];
  const qualityTraces = () => LANES.filter(([key]) => D[key]).flatMap(([key, base, scale], n) => {
    const own = rows.filter((row) => known(D[key][row]));
    const bad = (row) => (key === "q" ? !used[row] : D[key][row] < 0.4);
    const dots = own.length > 1000 ? "markers" : own.length > 400 && key !== "q" ? "lines" : "lines+markers";
    const parts = split(own);
    const [colour, red] = [ink(key === "q" ? "line" : "s" + (n - 1)), ink("bad")];
    return [line(key, parts, (row) => base + scale * D[key][row], { mode: dots, yaxis: "y4", line: { width: key === "q" ? 1.4 : 1.1, color: colour },
      marker: { size: broken(parts, (row) => (bad(row) ? 5 : key === "q" ? 3.5 : 2.5)), color: broken(parts, (row) => (bad(row) ? red : colour)), line: { width: 0 } } })];
  });

  // ------------------------------------------------------------------------------------------------ marks
  const SHORT = 40; // resets in sight beyond which their lines are short, lest they hide the readings
  const marks = (range, width) => {
    const shapes = [];
    const annotations = [];
    const rect = (from, to, y0, y1, colour) => shapes.push({ type: "rect", layer: "below", x0: at(from), x1: at(to), xref: "x", yref: "y domain", y0, y1,
      fillcolor: ink(colour), line: { width: 0 } });
    if (!hidden.has("gaps")) for (const [from, to] of D.gaps) rect(from, to, 0, 1, "gap");
    if (!hidden.has("settling")) for (const [from, to] of D.settling) rect(from, to, 0, 0.012, "settling");
    if (hidden.has("resets")) return { shapes, annotations };
    const shown = resetRows.map((row, n) => n).filter((n) => resetKinds[n] > 1 && X[resetRows[n]] >= range[0] && X[resetRows[n]] <= range[1]);
    const ends = [-Infinity, -Infinity]; // pixels up to which the two rows of labels are taken
    for (const n of shown) {
      const x = X[resetRows[n]];
      shapes.push({ type: "line", layer: "below", x0: x, x1: x, xref: "x", yref: "y domain", y0: shown.length > SHORT ? 0.94 : 0, y1: 1,
        line: { width: 1.2, dash: shown.length > SHORT ? "solid" : "dot", color: ink("restart") } });
      if (shown.length > SHORT) continue;
      const text = resetLabel(n);
      const wide = 6.7 * text.length + 10;
      const middle = (x - range[0]) / (range[1] - range[0]) * width;
      const left = Math.max(0, Math.min(width - wide, middle - wide / 2));
      const level = ends.findIndex((end) => left >= end);
      if (level < 0) continue; // no room: the line remains, and the reading tells
      ends[level] = left + wide;
      annotations.push({ x, xref: "x", y: 1, yref: "y domain", yanchor: "bottom", yshift: 1 + 14 * level, text, showarrow: false,
        xanchor: left === 0 ? "left" : left === width - wide ? "right" : "center", font: { size: 11, color: ink("restart") }, borderpad: 0 });
    }
    return { shapes, annotations };
  };

  // ------------------------------------------------------------------------------------------------ the whole
  const figure = () => {
    const range = period || whole;
    const on = ["main", ...PANELS.map(([name]) => name).filter((name) => paper || panels.includes(name))];
    const tall = heights();
    const top = resetRows.length > 1 ? 34 : 14;
    const [gap, bottom] = [26, 38];
    const margins = { l: narrow.matches ? 38 : 52, r: narrow.matches ? 8 : 14, t: top, b: bottom };
    const room = on.reduce((sum, name) => sum + tall[name], 0) + gap * (on.length - 1);
    const plotWidth = (paper ? 700 : chart.clientWidth) - margins.l - margins.r;
    const soft = ink("soft");
    const axis = { gridcolor: ink("grid"), linecolor: ink("rule"), zerolinecolor: ink("rule"), zeroline: false, automargin: false, fixedrange: true, ticks: "" };
    const { shapes, annotations } = marks(range, plotWidth);
    const layout = {
      width: paper ? 700 : chart.clientWidth, height: room + top + bottom, margin: margins, showlegend: false, hovermode: "closest", hoverdistance: 24,
      dragmode: narrow.matches ? false : "zoom", // a finger scrolls the page
      paper_bgcolor: ink("card"), plot_bgcolor: ink("card"),
      font: { color: soft, size: narrow.matches || paper ? 11 : 12, family: getComputedStyle(document.body).fontFamily },
      xaxis: { ...axis, type: D.days ? "linear" : "date", anchor: AXES[on[on.length - 1]], range: [range[0], range[1]], fixedrange: false, nticks: narrow.matches ? 5 : 10,
        showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "dot", spikecolor: soft, spikesnap: "data", tickprefix: D.days ? "day " : "" },
      shapes, annotations,
    };
    const NAMES = { main: "kg", trend: "trend, kg/week", innovations: D.post ? "reading minus filtered, kg" : "reading minus expectation, kg", quality: "" };
    let above = room;
    for (const name of on) {
      const key = AXES[name];
      layout[key.replace("y", "yaxis")] = { ...axis, domain: [Math.max(0, (above - tall[name]) / room), above / room], nticks: name === "main" ? 8 : 5 };
      if (NAMES[name]) {
        annotations.push({ xref: "paper", x: 0, xanchor: "left", xshift: 4, yref: `${key} domain`, y: 1, yanchor: name === "main" ? "top" : "bottom", text: NAMES[name], showarrow: false,
          font: { size: 11, color: soft } });
      }
      above -= tall[name] + gap;
    }
    Object.assign(layout.yaxis, { range: [range[2], range[3]], fixedrange: false });
    const data = mainTraces(range, plotWidth);
    if (on.includes("trend")) {
      data.push(...trendTraces());
      const own = accepted.filter((row) => X[row] >= range[0] && X[row] <= range[1] && known(D.w[row]) && !restarted.has(row)).map((row) => D.w[row]);
      const spread = 2 * quantile(accepted.map((row) => value("ws", row)), 0.5);
      const [low, high] = [Math.min(quantile(own, 0.01), 0) - spread, Math.max(quantile(own, 0.99), 0) + spread];
      const pad = Math.max(0.06 * (high - low), 0.02);
      Object.assign(layout.yaxis2, { range: [low - pad, high + pad], zeroline: true });
    }
    if (on.includes("innovations")) {
      const limit = innovationLimit();
      data.push(...innovationTraces(limit));
      Object.assign(layout.yaxis3, { range: [-limit, limit], zeroline: true });
    }
    if (on.includes("quality")) {
      data.push(...qualityTraces());
      const lanes = LANES.filter(([key]) => D[key]);
      Object.assign(layout.yaxis4, { range: [-0.15, 7.05], showgrid: false, tickvals: [4.9, 6.9], ticktext: ["0", "1"] });
      const words = Object.fromEntries([["q", "quality"], ...COMPONENTS]);
      for (const [key, base, scale] of lanes) {
        shapes.push({ type: "rect", layer: "below", xref: "paper", x0: 0, x1: 1, yref: "y4", y0: base, y1: base + scale, fillcolor: ink("grid"), opacity: 0.5, line: { width: 0 } });
        annotations.push({ xref: "paper", x: 0, xanchor: "left", xshift: 4, yref: "y4", y: base + scale, yanchor: key === "q" ? "bottom" : "middle", text: words[key], showarrow: false,
          font: { size: 10.5, color: soft }, bgcolor: key === "q" ? undefined : ink("card") });
      }
      if (known(D.threshold)) {
        const y = 4.9 + 2 * D.threshold;
        shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y4", y0: y, y1: y, line: { width: 1.2, dash: "dash", color: ink("bad") } });
        layout.yaxis4.tickvals.push(y);
        layout.yaxis4.ticktext.push(String(D.threshold));
      }
    }
    for (const trace of data) if (hidden.has(trace.meta)) trace.visible = false;
    return { data, layout };
  };
  const draw = () => {
    const { data, layout } = figure();
    Plotly.react(chart, data, layout, { displayModeBar: false, doubleClick: false, responsive: false });
  };

  // ------------------------------------------------------------------------------------------------ legend
  const swatch = (shape, colour) => {
    const drawn = { line: '<path d="M0 6H16" fill="none" stroke-width="2.4"/>', dots: '<path d="M0 6H16" fill="none" stroke-width="1.8" stroke-dasharray="3 2"/>',
      area: '<rect y="1" width="16" height="10" rx="3" style="stroke:var(--soft);stroke-opacity:.35"/>', circle: '<circle cx="8" cy="6" r="4.5"/>', square: '<path d="M4 2H12V10H4Z"/>',
      diamond: '<path d="M8 .5L13 6L8 11.5L3 6Z"/>', "triangle-up": '<path d="M8 1L13 10.5H3Z"/>', pentagon: '<path d="M8 1L13 5L11 11H5L3 5Z"/>',
      hexagon: '<path d="M8 .5L13 3.3V8.7L8 11.5L3 8.7V3.3Z"/>', star: '<path d="M8 0L9.8 4.2 14 4.6 10.8 7.6 11.8 12 8 9.6 4.2 12 5.2 7.6 2 4.6 6.2 4.2Z"/>',
      cross: '<path d="M4 2L12 10M12 2L4 10" fill="none" stroke-width="2.2"/>', ring: '<circle cx="8" cy="6" r="4.6" fill="none" stroke-width="1.8"/>',
      upright: '<path d="M8 -1V13" fill="none" stroke-width="1.8" stroke-dasharray="2.5 2"/>', low: '<path d="M0 10H16" fill="none" stroke-width="3"/>' }[shape];
    const box = make("span");
    box.innerHTML = `<svg viewBox="0 0 16 12" aria-hidden="true">${drawn}</svg>`; // fixed text, none of it the user's
    box.firstChild.style.fill = box.firstChild.style.stroke = `var(--${colour})`;
    return box.firstChild;
  };
  const legend = document.getElementById("legend");
  const entry = (key, shape, colour, text, count) => {
    const button = make("button");
    button.append(swatch(shape, colour), text);
    if (known(count)) button.append(make("b", "", ` ${count.toLocaleString("en")}`));
    button.title = text;
    button.setAttribute("aria-pressed", String(!hidden.has(key)));
    button.onclick = () => {
      if (!hidden.delete(key)) hidden.add(key);
      button.setAttribute("aria-pressed", String(!hidden.has(key)));
      if (!/^s\d/.test(key)) keep("hidden", [...hidden].filter((name) => !/^s\d/.test(name)));
      draw();
    };
    legend.append(button);
  };
  if (D.f && accepted.length) {
    entry("line", "line", "line", "filtered weight");
    if (D.h) entry("hindsight", "line", "revised", "with hindsight");
    if (D.s) entry("band", "area", "band", "±2 standard deviations");
    if (D.w && accepted.length > 1) entry("slope", "line", "trend", "trend at each reading");
  }
  for (let n = 0; n <= Math.min(OTHER, D.names.length - 1); n += 1) {
    const own = accepted.filter((row) => kind(row) === n);
    const more = D.names.length - OTHER;
    if (own.length) entry("s" + n, SYMBOLS[n], "s" + n, n === OTHER && more > 1 ? `${more} other sources` : D.names[n], COUNT === D.of ? own.length : null);
  }
  for (const [degree, name] of DEGREES.entries()) {
    const own = degrees.filter((other) => other === degree);
    if (own.length) entry(name, "cross", name, `rejected, ${name}`, own.length);
  }
  if (resetKinds.some((code) => code > 1)) entry("resets", "upright", "restart", "reset", resetKinds.filter((code) => code > 1).length);
  if (D.gaps.length) entry("gaps", "area", "gap", "gap");
  if (D.settling.length) entry("settling", "low", "settling", "settling in");
  if (revisedRows.length) entry("revised", "ring", "revised", "revised", revisedRows.length);

  // ------------------------------------------------------------------------------------------------ buttons
  const ranges = document.getElementById("ranges");
  const show = (button, from, to = whole[1]) => {
    for (const other of ranges.children) other.setAttribute("aria-pressed", String(other === button));
    period = from === null ? null : [from, to, ...between(from, to)];
    told.hidden = true;
    draw();
  };
  const push = (parent, text, press) => {
    const button = make("button", "", text);
    button.setAttribute("aria-pressed", "false");
    button.onclick = () => press(button);
    parent.append(button);
    return button;
  };
  const periods = [["1 month", 31], ["3 months", 92], ["6 months", 183], ["1 year", 366], ["5 years", 1827]];
  for (const [name, length] of periods.filter(([, days]) => days * DAY < (last - first) * 0.9)) {
    push(ranges, name, (button) => show(button, last - length * DAY));
  }
  const all = push(ranges, "all", (button) => show(button, null));
  const panelBox = document.getElementById("panels");
  for (const [name, text] of PANELS) {
    const button = push(panelBox, text, () => {
      panels = panels.includes(name) ? panels.filter((other) => other !== name) : [...panels, name];
      button.setAttribute("aria-pressed", String(panels.includes(name)));
      keep("panels", panels);
      draw();
    });
    button.setAttribute("aria-pressed", String(panels.includes(name)));
  }
  push(panelBox, "save as PNG", () => Plotly.downloadImage(chart, { format: "png", filename: document.title, scale: 2,
    width: chart.clientWidth, height: chart.clientHeight }));

  show(all, null);
  const millis = (x) => (typeof x === "number" || D.days ? Number(x) : Date.parse(x.replace(" ", "T") + (x.length > 10 ? "Z" : "T00:00Z")));
  chart.on("plotly_hover", ({ points, event }) => { if (known(points[0].customdata)) tell(points[0].customdata, event); });
  chart.on("plotly_click", ({ points, event }) => { if (known(points[0].customdata)) tell(points[0].customdata, event); });
  chart.on("plotly_unhover", () => { if (!narrow.matches) told.hidden = true; });
  chart.on("plotly_doubleclick", () => show(all, null));
  chart.on("plotly_relayout", (change) => { // drawn with the mouse: labels and arrows follow
    if (!Object.keys(change).some((key) => /axis\.range|axis\.autorange/.test(key))) return;
    const { xaxis, yaxis } = chart.layout;
    period = [...xaxis.range.map(millis), ...yaxis.range];
    for (const button of ranges.children) button.setAttribute("aria-pressed", "false");
    draw();
  });
  if (list) {
    list.onclick = (event) => { // a rejected reading, shown in its month
      const line = event.target.closest("tr");
      const n = line ? places.indexOf(line.sectionRowIndex) : -1;
      if (n < 0 || String(getSelection())) return;
      const x = X[rejectedRows[n]];
      show(null, x - 30 * DAY, x + 30 * DAY);
      chart.scrollIntoView({ block: "center", behavior: "smooth" });
      tell(rejectedRows[n], null);
    };
  }

  // ------------------------------------------------------------------------------------------------ colours, size, paper
  const onPaper = (now) => {
    if (paper === now) return;
    paper = now;
    root.classList.toggle("paper", now);
    told.hidden = true;
    draw();
  };
  addEventListener("beforeprint", () => onPaper(true));
  addEventListener("afterprint", () => onPaper(false));
  if (location.hash === "#paper") onPaper(true); // as it is printed, on the screen
  dark.addEventListener("change", draw);
  let waiting = 0;
  let wide = chart.clientWidth;
  addEventListener("resize", () => {
    if (chart.clientWidth === wide) return; // a phone's address bar comes and goes
    wide = chart.clientWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw);
  });
})();
