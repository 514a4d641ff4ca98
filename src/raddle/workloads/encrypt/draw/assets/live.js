"use strict";
(() => {
  const sheet = new Sheet(document.querySelector("canvas"));
  const state = { frame: null, ink: [], circles: true, frames: 0, asked: false };
  const $ = (id) => document.getElementById(id);
  function draw() {
    state.asked = false;
    sheet.show(state.frame, state.circles);
    $("time").textContent = state.frame ? `${Math.round(100 * (state.frame.done || 0))} %` : "";
  }
  function later() { if (!state.asked) { state.asked = true; requestAnimationFrame(draw); } }
  function anew() { sheet.fit(); sheet.lay(state.ink); later(); }
  const source = new EventSource("events");
  source.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.wipe) { state.ink = []; sheet.wipe(); }
    if (message.size) {
      const view = { scale: message.scale, centre: message.centre, shift: message.shift };
      const other = JSON.stringify([sheet.size, sheet.view]) !== JSON.stringify([message.size, view]);
      sheet.size = message.size;
      sheet.view = view;
      sheet.thin = message.tips.length > 24;
      if (other) anew();
      state.frame = message;
    }
    if (message.ink && message.ink.length) {
      for (const line of message.ink) state.ink.push(line);
      sheet.lay(message.ink);
      if (state.ink.length > 200000) state.ink.splice(0, 100000); // what is laid stays until the view changes
    }
    $("state").textContent = "live";
    later();
  };
  source.onopen = () => { state.ink = []; sheet.wipe(); $("state").textContent = "waiting for frames"; };
  source.onerror = () => { $("state").textContent = "connection lost, trying again"; };
  source.addEventListener("end", () => { source.close(); $("state").textContent = "finished"; });
  $("circles").addEventListener("click", () => {
    state.circles = !state.circles;
    $("circles").setAttribute("aria-pressed", String(state.circles));
    draw();
  });
  $("theme").addEventListener("click", () => { toggleTheme(); anew(); });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", anew);
  new ResizeObserver(anew).observe(document.querySelector("main"));
})();
