// The list of users: found, sorted, walked through by keys. Only the rows in sight are in the document.
"use strict";
(() => {
  const { days, rows } = JSON.parse(document.getElementById("users").textContent);
  const ID = 0, NAME = 1, READINGS = 2, REJECTED = 3, UNUSED = 4, KG = 5, TREND = 6, LAST = 7, SPARK = 8;
  const HEIGHT = 34;
  const [find, count, head, list, room] = ["find", "count", "head", "list", "room"].map((id) => document.getElementById(id));
  const folded = rows.map((row) => row[ID].toLowerCase());
  const columns = [
    { name: "user", at: ID, up: true },
    { name: "readings", at: READINGS },
    { name: "rejected", at: REJECTED },
    { name: "unused", at: UNUSED, wide: true },
    { name: "kg now", at: KG },
    { name: "kg/week", at: TREND },
    { name: days ? "last day" : "last", at: LAST, wide: true },
    { name: "course", wide: true },
  ];
  // where the reader was: kept over a visit to a user's page
  const kept = (() => { try { return JSON.parse(sessionStorage.getItem("raddle-weights") || "{}"); } catch { return {}; } })();
  let sort = columns.some((column) => column.at === kept.sort) ? kept.sort : ID;
  let up = kept.up ?? true;
  let shown = [];
  let at = 0;

  const compare = (a, b) => {
    const [x, y] = [rows[a][sort], rows[b][sort]];
    if (x === y) return a - b;
    if (x === null) return 1; // unknown comes last either way
    if (y === null) return -1;
    return (x < y) === up ? -1 : 1;
  };
  const choose = (stay) => {
    const wanted = find.value.trim().toLowerCase();
    shown = [];
    for (let n = 0; n < rows.length; n++) if (!wanted || folded[n].includes(wanted)) shown.push(n);
    shown.sort(compare);
    at = stay && kept.user ? Math.max(0, shown.findIndex((n) => rows[n][ID] === kept.user)) : 0;
    count.textContent = wanted ? `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : `${rows.length.toLocaleString("en")} users`;
    room.style.height = `${shown.length * HEIGHT}px`;
    list.scrollTop = Math.max(0, at * HEIGHT - list.clientHeight / 2);
    draw();
  };

  const cell = (text, name) => {
    const span = document.createElement("span");
    span.textContent = text;
    if (name) span.className = name;
    return span;
  };
  const number = (value, digits, sign) => value === null ? cell("–", "none")
    : cell((sign && value > 0 ? "+" : "") + value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace(/^-(?=[0.]*$)/, ""));
  const course = (levels) => {
    const span = cell("", "wide");
    if (levels.length > 1) {
      const path = [...levels].map((c, n) => `${n ? "L" : "M"}${(n * 100 / (levels.length - 1)).toFixed(1)} ${37 - parseInt(c, 36)}`).join("");
      span.innerHTML = `<svg viewBox="0 0 100 38" preserveAspectRatio="none" aria-hidden="true"><path d="${path}"/></svg>`;
    }
    return span;
  };
  const line = (place) => {
    const row = rows[shown[place]];
    const link = document.createElement("a");
    link.className = place === at ? "row at" : "row";
    link.tabIndex = -1;
    link.style.top = `${place * HEIGHT}px`;
    link.href = `users/${row[NAME] || row[ID] + ".html"}`;
    link.onclick = () => { at = place; keep(); };
    const id = cell(row[ID]);
    id.title = row[ID].slice(0, 200);
    const rejected = number(row[REJECTED], 0);
    if (row[REJECTED]) rejected.className = "bad";
    if (row[REJECTED] === null) { rejected.textContent = "failed"; rejected.className = "bad"; }
    const unused = number(row[UNUSED], 0);
    unused.className = row[UNUSED] ? "wide" : "wide none";
    const last = cell(row[LAST] === null ? "–" : String(row[LAST]), "wide");
    link.append(id, number(row[READINGS], 0), rejected, unused, number(row[KG], 1), number(row[TREND], 2, true), last, course(row[SPARK]));
    return link;
  };
  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 5);
    const end = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + 5);
    const drawn = [];
    for (let place = first; place < end; place++) drawn.push(line(place));
    list.replaceChildren(room, ...drawn);
  };
  const move = (place) => {
    at = Math.min(shown.length - 1, Math.max(0, place));
    const top = at * HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight;
    draw();
  };
  const keep = () => {
    try {
      sessionStorage.setItem("raddle-weights", JSON.stringify({ sort, up, find: find.value, user: shown.length ? rows[shown[at]][ID] : null }));
    } catch { /* a browser that forbids storage shows the list from its top */ }
  };
  const open = () => {
    if (!shown.length) return;
    keep();
    const row = rows[shown[at]];
    location.href = `users/${row[NAME] || row[ID] + ".html"}`;
  };

  const title = () => {
    head.replaceChildren(...columns.map((column) => {
      if (column.at === undefined) return cell(column.name, "wide");
      const button = document.createElement("button");
      button.textContent = column.name;
      if (column.wide) button.className = "wide";
      if (column.at === sort) button.setAttribute("aria-sort", up ? "ascending" : "descending");
      button.onclick = () => {
        up = sort === column.at ? !up : Boolean(column.up);
        sort = column.at;
        title();
        choose(false);
      };
      return button;
    }));
  };

  find.value = kept.find || "";
  find.addEventListener("input", () => choose(false));
  list.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  addEventListener("resize", draw);
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const typing = document.activeElement === find;
    if (event.key === "/" && !typing) { event.preventDefault(); find.focus(); find.select(); return; }
    if (event.key === "Escape" && typing) { find.value = ""; choose(false); list.focus(); return; }
    if (document.activeElement && document.activeElement.matches("button, a, summary") && event.key === "Enter") return;
    const page = Math.max(1, Math.floor(list.clientHeight / HEIGHT) - 1);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page };
    if (!typing) Object.assign(steps, { Home: 0, End: shown.length - 1 });
    if (event.key in steps) { event.preventDefault(); move(steps[event.key]); }
    else if (event.key === "Enter") open();
  });
  title();
  choose(true);
})();
