// Draws the figure of a user's page in the colours of the moment; makes a legend and period buttons that wrap.
"use strict";
(() => {
  const figure = JSON.parse(document.getElementById("figure").textContent);
  const chart = document.getElementById("chart");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 720px)");
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  const inks = { line: "line", faint: "soft", trend: "trend", restart: "restart", rejected: "bad", band: "band" };
  const paint = () => {
    for (const trace of figure.data) {
      const name = inks[trace.meta && trace.meta.ink];
      if (!name) continue;
      if (trace.meta.ink === "band") trace.fillcolor = ink("band");
      else if (trace.marker) { trace.marker.color = ink(name); trace.marker.line.color = ink(name); }
      else trace.line.color = ink(name);
    }
    const { layout } = figure;
    Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink("soft"), size: 12,
      family: getComputedStyle(document.body).fontFamily } });
    layout.hoverlabel = { align: "left", bgcolor: ink("card"), bordercolor: ink("rule"), font: { color: ink("ink") } };
    for (const axis of ["xaxis", "yaxis", "yaxis2"]) {
      Object.assign(layout[axis], { gridcolor: ink("grid"), linecolor: ink("rule"), zerolinecolor: ink("soft"), spikecolor: ink("soft") });
    }
    layout.margin = narrow.matches ? { l: 44, r: 8, t: 6, b: 38 } : { l: 58, r: 14, t: 8, b: 42 };
    layout.dragmode = narrow.matches ? false : "zoom"; // a finger scrolls the page
    layout.width = chart.clientWidth;
    layout.height = chart.clientHeight;
  };

  const draw = () => {
    paint();
    Plotly.react(chart, figure.data, figure.layout, { displayModeBar: false, doubleClick: false });
  };

  const legend = document.getElementById("legend");
  for (const trace of figure.data) {
    const meta = trace.meta || {};
    if (meta.with) continue;
    const button = document.createElement("button");
    const swatch = document.createElement("i");
    const name = inks[meta.ink];
    swatch.style.background = name ? `var(--${name})` : trace.marker.color;
    if (!trace.marker && meta.ink !== "band") swatch.className = "thin";
    const text = document.createElement("span");
    const count = trace.marker ? ` ${trace.x.length.toLocaleString("en")}` : "";
    // names of sources come escaped, for Plotly; this is the way back to text
    text.textContent = new DOMParser().parseFromString(trace.name, "text/html").body.textContent + count;
    button.append(swatch, text);
    button.setAttribute("aria-pressed", "true");
    button.onclick = () => {
      const shown = trace.visible === false;
      for (const other of figure.data) {
        if (other === trace || (other.meta && other.meta.with === trace.name)) other.visible = shown;
      }
      button.setAttribute("aria-pressed", String(shown));
      draw();
    };
    legend.append(button);
  }

  // ---- periods, counted back from the last reading; the weights shown then are those of the period
  const days = figure.layout.xaxis.type !== "date";
  const time = (x) => (days ? x : Date.parse(x.length > 10 ? x.replace(" ", "T") + "Z" : x + "T00:00Z"));
  const day = days ? 1 : 86400000;
  const whole = [...figure.layout.yaxis.range];
  const times = figure.data.flatMap((trace) => trace.x.filter((x) => x !== null).map(time));
  const first = times.reduce((a, b) => Math.min(a, b), Infinity);
  const last = times.reduce((a, b) => Math.max(a, b), -Infinity);
  const outer = [first - 0.02 * (last - first) - day, last + 0.02 * (last - first) + day];
  const axis = (t) => (days ? t : new Date(t).toISOString().slice(0, 19).replace("T", " "));
  const show = (from) => {
    const { layout } = figure;
    layout.xaxis.range = [axis(from), axis(outer[1])];
    layout.xaxis.autorange = false;
    let [low, high] = [Infinity, -Infinity];
    for (const trace of figure.data) {
      const kind = trace.meta && trace.meta.ink;
      if (trace.yaxis || kind === "restart" || kind === "rejected" || kind === "faint") continue;
      trace.x.forEach((x, n) => {
        if (x !== null && time(x) >= from) { low = Math.min(low, trace.y[n]); high = Math.max(high, trace.y[n]); }
      });
    }
    const pad = Math.max(0.1 * (high - low), 0.005 * high);
    layout.yaxis.range = from <= outer[0] || !(high > -Infinity) ? [...whole] : [low - pad, high + pad];
    layout.yaxis.autorange = false;
    draw();
  };
  const ranges = document.getElementById("ranges");
  const press = (button, from) => {
    for (const other of ranges.children) other.setAttribute("aria-pressed", String(other === button));
    show(from);
  };
  const periods = [["1 month", 31], ["3 months", 92], ["6 months", 183], ["1 year", 366], ["5 years", 1827]];
  for (const [name, length] of periods.filter(([, length]) => length * day < (last - first) * 0.9)) {
    const button = document.createElement("button");
    button.textContent = name;
    button.onclick = () => press(button, last - length * day);
    ranges.append(button);
  }
  const all = document.createElement("button");
  all.textContent = "all";
  all.onclick = () => press(all, outer[0]);
  ranges.append(all);
  press(all, outer[0]);
  chart.on("plotly_doubleclick", () => press(all, outer[0]));
  chart.on("plotly_relayout", (change) => {
    if (!("xaxis.range[0]" in change)) return; // drawn with the mouse
    for (const button of ranges.children) button.setAttribute("aria-pressed", "false");
  });
  const picture = document.createElement("button");
  picture.textContent = "save as PNG";
  picture.setAttribute("aria-pressed", "false");
  picture.onclick = () => Plotly.downloadImage(chart, { format: "png", filename: document.title, scale: 2,
    width: chart.clientWidth, height: chart.clientHeight });
  ranges.append(picture);

  dark.addEventListener("change", draw);
  let waiting = 0;
  addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); });
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const relation = { ArrowLeft: "prev", ArrowRight: "next", Escape: "home" }[event.key];
    const link = relation && document.querySelector(relation === "home" ? "a.home" : `a[rel=${relation}]`);
    if (link) location.href = link.href;
  });
})();
