"use strict";
// The sketch: {size, seconds, pens, circles, points: [N ..], count: [coefficients per contour ..], k: base64 int32,
// c: base64 float32 re, im, ..}. A contour is z(t) = sum c_k exp(i k t).
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const k = new Int32Array(bytes(data.k)), c = new Float32Array(bytes(data.c));
  const TURN = 2 * Math.PI;

  // Inverse transform in place, length a power of two.
  function inverse(re, im) {
    const n = re.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
    }
    for (let size = 2; size <= n; size *= 2) {
      const half = size / 2;
      for (let m = 0; m < half; m++) {
        const x = Math.cos(TURN * m / size), y = Math.sin(TURN * m / size);
        for (let a = m; a < n; a += size) {
          const b = a + half, u = re[b] * x - im[b] * y, v = re[b] * y + im[b] * x;
          re[b] = re[a] - u; im[b] = im[a] - v; re[a] += u; im[a] += v;
        }
      }
    }
  }

  let total = 0, first = 0;
  const contours = data.count.map((count, i) => {
    const part = { from: first, to: first + count, start: total, length: data.points[i], line: null };
    first += count; total += part.length;
    return part;
  });

  // The closed line of a contour, x, y, x, y, .., its first point again at the end.
  function lineOf(part) {
    if (part.line) return part.line;
    let most = 0;
    for (let j = part.from; j < part.to; j++) most = Math.max(most, Math.abs(k[j]));
    let n = 64;
    while (n < 2 * most + 2 || n < part.length) n *= 2;
    const re = new Float64Array(n), im = new Float64Array(n);
    for (let j = part.from; j < part.to; j++) { const at = ((k[j] % n) + n) % n; re[at] += c[2 * j]; im[at] += c[2 * j + 1]; }
    inverse(re, im);
    const line = new Float32Array(2 * n + 2);
    for (let i = 0; i <= n; i++) { line[2 * i] = re[i % n]; line[2 * i + 1] = im[i % n]; }
    return (part.line = line);
  }

  // Circles of a contour at a share of its line, at most `most`, added to a frame; returns the pen.
  function turn(part, share, most, frame) {
    let x = 0, y = 0;
    for (let j = part.from; j < part.to; j++) {
      const angle = TURN * ((k[j] * share) % 1), cos = Math.cos(angle), sin = Math.sin(angle);
      if (j > part.from && j - part.from <= most) {
        frame.circles.push([x, y, Math.hypot(c[2 * j], c[2 * j + 1])]);
        frame.pen.push(frame.tips.length / 2);
      }
      x += c[2 * j] * cos - c[2 * j + 1] * sin;
      y += c[2 * j] * sin + c[2 * j + 1] * cos;
    }
    frame.tips.push(x, y);
  }

  // The piece of a line between two shares, ending exactly at `tip` if there is one.
  function piece(part, a, b, tip) {
    const line = lineOf(part), n = line.length / 2 - 1, out = [];
    for (let i = Math.floor(a * n); i <= Math.floor(b * n); i++) out.push(line[2 * i], line[2 * i + 1]);
    if (tip) out.push(tip[0], tip[1]);
    return out;
  }

  // How many of each contour's circles are shown when all are drawn at once: the largest of all.
  const largest = contours.flatMap((part) => {
    const radii = [];
    for (let j = part.from + 1; j < part.to; j++) radii.push(Math.hypot(c[2 * j], c[2 * j + 1]));
    return radii;
  }).sort((a, b) => b - a);
  const least = largest.length > data.circles ? largest[data.circles] : 0;
  for (const part of contours) {
    part.shown = 0;
    for (let j = part.from + 1; j < part.to && Math.hypot(c[2 * j], c[2 * j + 1]) > least; j++) part.shown++;
  }

  const sheet = new Sheet(document.querySelector("canvas"));
  sheet.size = data.size;
  const state = { at: 0, laid: 0, playing: true, circles: true, one: data.pens === "one", last: null };

  function advance(to) {
    if (to < state.laid) { sheet.wipe(); state.laid = 0; }
    const frame = { circles: [], pen: [], tips: [] }, lines = [], from = state.laid;
    if (state.one) {
      for (const part of contours) {
        const a = (from * total - part.start) / part.length, b = (to * total - part.start) / part.length;
        if (b <= 0) break;
        if (a >= 1) continue;
        const here = b < 1;
        if (here) turn(part, b, data.circles, frame);
        lines.push(piece(part, Math.max(a, 0), Math.min(b, 1), here ? frame.tips : null));
      }
    } else {
      for (const part of contours) {
        // the exact place of a pen matters where its circles are seen
        if (part.shown && to < 1) turn(part, to, part.shown, frame);
        lines.push(piece(part, from, to, part.shown && to < 1 ? frame.tips.slice(-2) : null));
      }
    }
    sheet.lay(lines);
    state.laid = to;
    state.frame = frame;
  }

  const $ = (id) => document.getElementById(id);
  function draw() {
    sheet.thin = !state.one;
    if (state.laid !== state.at) advance(state.at);
    sheet.show(state.frame, state.circles);
    $("scrub").value = String(Math.round(state.at * 10000));
    $("time").textContent = `${Math.round(state.at * 100)} %`;
    $("play").textContent = state.playing ? "Pause" : state.at >= 1 ? "Again" : "Play";
  }
  function anew() { sheet.fit(); state.laid = 0; state.frame = null; if (state.at === 0) sheet.show(null, false); draw(); }
  function tick(now) {
    if (state.playing) {
      const step = state.last === null ? 0 : Math.min(now - state.last, 100) / 1000 * Number($("speed").value) / data.seconds;
      state.at = Math.min(1, state.at + step);
      if (state.at >= 1) state.playing = false;
      draw();
    }
    state.last = now;
    requestAnimationFrame(tick);
  }
  function play() {
    if (!state.playing && state.at >= 1) state.at = 0;
    state.playing = !state.playing;
    draw();
  }
  $("play").addEventListener("click", play);
  sheet.shown.addEventListener("click", play);
  $("scrub").addEventListener("input", (event) => { state.playing = false; state.at = event.target.value / 10000; draw(); });
  $("circles").addEventListener("click", () => {
    state.circles = !state.circles;
    $("circles").setAttribute("aria-pressed", String(state.circles));
    draw();
  });
  $("pens").addEventListener("click", () => {
    state.one = !state.one;
    $("pens").textContent = state.one ? "One pen" : "All pens";
    sheet.wipe(); state.laid = 0; state.frame = null;
    draw();
  });
  $("theme").addEventListener("click", () => { toggleTheme(); anew(); });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", anew);
  addEventListener("keydown", (event) => {
    if (event.target.matches("select, input, button")) return;
    if (event.key === " ") { event.preventDefault(); play(); }
    if (event.key === "c") $("circles").click();
  });
  new ResizeObserver(anew).observe(document.querySelector("main"));
  const asked = new URLSearchParams(location.hash.slice(1)).get("at");
  if (asked !== null) { state.at = Math.min(1, Math.max(0, Number(asked) || 0)); state.playing = false; }
  else if (matchMedia("(prefers-reduced-motion: reduce)").matches) { state.at = 1; state.playing = false; }
  $("pens").textContent = state.one ? "One pen" : "All pens";
  $("pens").hidden = contours.length < 2;
  anew();
  requestAnimationFrame(tick);
})();
