// Draws the charts of the population report in the colours of the moment. The tables beside them need none of this.
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const charts = [...document.querySelectorAll("[data-figure]")];
  if (!window.Plotly) { for (const chart of charts) chart.remove(); return; } // the tables stay
  const PAPER = 700; // px: what A4 holds between its margins
  let paper = false;
  const narrow = matchMedia("(max-width: 720px)");
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  
  const paint = (figure, width) => {
    for (const trace of figure.data) {
      const colour = ink(trace.meta.ink);
      if (trace.marker) { trace.marker.color = colour; if (trace.marker.line) trace.marker.line.color = colour; }
      if (trace.line) trace.line.color = colour;
    }
    const { layout } = figure;
    const small = paper || narrow.matches;
    Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", bargap: 0.12, dragmode: false, showlegend: false,
      font: { color: ink("soft"), size: small ? 11 : 12, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { align: "left", bgcolor: ink("card"), bordercolor: ink("rule"), font: { color: ink("ink") } },
      margin: { l: small ? 46 : 58, r: 10, t: 8, b: 44 } });
    for (const axis of ["xaxis", "yaxis", "yaxis2"]) {
      if (layout[axis]) Object.assign(layout[axis], { gridcolor: ink("grid"), linecolor: ink("rule"), zerolinecolor: ink("rule"), fixedrange: true,
        title: { standoff: 8, ...layout[axis].title } });
    }
    if (layout.yaxis.ticktext) layout.margin.l = 8;
    layout.width = width;
  };
  const draw = () => {
    for (const chart of charts) {
      const figure = figures[chart.dataset.figure];
      const few = !figure.data.length || figure.rows === 0;
      chart.classList.toggle("empty", few);
      if (few) { chart.textContent = "nothing to show"; continue; }
      paint(figure, paper ? PAPER : chart.clientWidth);
      figure.layout.height = figure.rows ? 56 + 27 * figure.rows : Number(chart.dataset.height);
      Plotly.react(chart, figure.data, figure.layout, { displayModeBar: false, doubleClick: false });
    }
  };

  // a legend that wraps, in the page's own text
  for (const chart of charts) {
    const { data } = figures[chart.dataset.figure];
    if (data.length < 2) continue;
    const legend = document.createElement("div");
    legend.className = "keyed";
    legend.append(...data.map((trace) => {
      const item = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.background = `var(--${trace.meta.ink})`;
      swatch.className = trace.mode === "markers" ? "upright" : trace.line ? "thin" : "";
      item.append(swatch, trace.name);
      return item;
    }));
    chart.before(legend);
  }

  const choice = document.getElementById("choice");
  const { choices, data } = figures.time;
  if (choices.length) {
    choice.replaceChildren(...choices.map(({ name }, at) => new Option(name, at)));
    choice.hidden = false;
    choice.onchange = () => {
      choices[choice.value].y.forEach((y, at) => { data[at].y = y; });
      draw();
    };
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let waiting = 0;
  addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); });
  // on paper the tables are open, and the colours those of the day
  let closed = [];
  const onPaper = (now) => {
    if (paper === now) return;
    paper = now;
    document.documentElement.classList.toggle("paper", now);
    if (now) closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = now;
    draw();
  };
  addEventListener("beforeprint", () => onPaper(true));
  addEventListener("afterprint", () => onPaper(false));
})();
