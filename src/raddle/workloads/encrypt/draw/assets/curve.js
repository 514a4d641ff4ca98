"use strict";
// What the player and the live page share: colours, and frames on a canvas. A frame is {size: [w, h],
// circles: [[x, y, r], ..], pen: [index into tips per circle], tips: [x, y, x, y, ..]} in px of the picture.
const COLOURS = {
  dark: { paper: "#0e1116", ink: "#f0e8d8", circle: [74, 112, 168], arm: [122, 162, 214], pen: "#ff8a4c" },
  light: { paper: "#fcfbf8", ink: "#1c222c", circle: [96, 140, 200], arm: [70, 112, 176], pen: "#d44a16" },
};

function themeNow() {
  const asked = document.documentElement.dataset.theme;
  if (asked) return asked;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

function toggleTheme() {
  document.documentElement.dataset.theme = themeNow() === "dark" ? "light" : "dark";
}

// Two canvases of one size: `ink` is only added to, `shown` is drawn anew for every frame.
class Sheet {
  constructor(shown) {
    this.shown = shown;
    this.ink = document.createElement("canvas");
    this.view = { scale: 1, centre: null, shift: [0, 0] };
    this.size = [100, 100];
    this.thin = false;
  }
  fit() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const box = this.shown.getBoundingClientRect();
    const w = Math.max(1, Math.round(box.width * ratio)), h = Math.max(1, Math.round(box.height * ratio));
    if (this.shown.width !== w || this.shown.height !== h) {
      this.shown.width = this.ink.width = w;
      this.shown.height = this.ink.height = h;
    }
    this.ratio = ratio;
    this.wipe();
  }
  place(context) {
    const { width, height } = this.shown;
    const f = this.view.scale * 0.92 * Math.min(width / this.size[0], height / this.size[1]);
    const [x, y] = this.view.centre || [this.size[0] / 2, this.size[1] / 2];
    context.setTransform(f, 0, 0, f, width / 2 - f * (x + this.view.shift[0]), height / 2 - f * (y + this.view.shift[1]));
    return f;
  }
  wipe() {
    const context = this.ink.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.ink.width, this.ink.height);
  }
  // lines: arrays of x, y, x, y, ..; from and to count points
  lay(lines) {
    const context = this.ink.getContext("2d");
    const f = this.place(context);
    context.strokeStyle = COLOURS[themeNow()].ink;
    context.lineWidth = (this.thin ? 1.1 : 2) * this.ratio / f;
    context.lineJoin = context.lineCap = "round";
    context.beginPath();
    for (const line of lines) {
      context.moveTo(line[0], line[1]);
      for (let i = 2; i < line.length; i += 2) context.lineTo(line[i], line[i + 1]);
    }
    context.stroke();
  }
  show(frame, withCircles) {
    const context = this.shown.getContext("2d"), look = COLOURS[themeNow()];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = look.paper;
    context.fillRect(0, 0, this.shown.width, this.shown.height);
    if (withCircles && frame) this.circles(context, frame, look);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.ink, 0, 0);
    if (withCircles && frame) this.pens(context, frame, look);
  }
  circles(context, frame, look) {
    const f = this.place(context);
    const largest = frame.circles.reduce((most, c) => Math.max(most, c[2]), 1e-9);
    context.lineWidth = this.ratio / f;
    for (const [x, y, r] of frame.circles) {
      if (r * f < 0.7) continue;
      context.strokeStyle = `rgba(${look.circle},${0.4 + 0.6 * Math.sqrt(r / largest)})`;
      context.beginPath();
      context.arc(x, y, r, 0, 2 * Math.PI);
      context.stroke();
    }
    context.strokeStyle = `rgba(${look.arm},0.9)`;
    context.beginPath();
    frame.circles.forEach(([x, y], i) => {
      if (i === 0 || frame.pen[i] !== frame.pen[i - 1]) context.moveTo(x, y); else context.lineTo(x, y);
      if (frame.pen[i] !== frame.pen[i + 1]) context.lineTo(frame.tips[2 * frame.pen[i]], frame.tips[2 * frame.pen[i] + 1]);
    });
    context.stroke();
  }
  pens(context, frame, look) {
    const f = this.place(context), many = frame.tips.length > 2;
    const with_circles = new Set(frame.pen);
    context.fillStyle = look.pen;
    for (let i = 0; i < frame.tips.length / 2; i++) {
      if (many && !with_circles.has(i)) continue;
      context.beginPath();
      context.arc(frame.tips[2 * i], frame.tips[2 * i + 1], (many ? 2.2 : 4) * this.ratio / f, 0, 2 * Math.PI);
      context.fill();
    }
  }
}
