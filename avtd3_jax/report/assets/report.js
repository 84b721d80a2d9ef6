"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false };
const FONT = { family: "system-ui, sans-serif", size: 12, color: "#1b1f24" };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Calls `show` once for each element when it comes near the window: a report has many plots and films. */
function whenSeen(elements, show) {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          watcher.unobserve(entry.target);
          show(entry.target);
        }
      }
    },
    { rootMargin: "400px" },
  );
  for (const one of elements) watcher.observe(one);
  return watcher;
}

const percent = (value) => (value === null || value === undefined ? "" : `${Math.round(100 * value)} %`);
const number = (value, digits = 2) =>
  typeof value === "number" ? String(Number(value.toPrecision(digits + 1))) : (value ?? "");
const styleOf = (reason) => data.outcomes[reason] ?? data.other;
const METRICS = {
  driving_score_21: "driving score 2.1", mean_speed_kmh: "mean speed, km/h", mean_jerk: "mean jerk, m/s\u00b3",
};
const SHARES = ["success", "route_completion"];
const measure = (name, value) => (SHARES.includes(name) ? percent(value) : number(value));
const words = (reason) => (reason ?? "unknown").replaceAll("_", " ");

/* Curves. */
let axis = "steps";
const AXES = { steps: "environment steps", hours: "hours" };

function drawCurve(place) {
  const { figure } = data.sections.flatMap((section) => section.figures).find((one) => one.id === place.id);
  for (const trace of figure.data) trace.x = trace.meta[axis];
  figure.layout.xaxis.title.text = AXES[axis];
  Plotly.react(place, figure.data, { ...figure.layout, font: FONT }, CONFIG);
  place.drawn = true;
}

function setAxis(chosen) {
  axis = chosen;
  for (const name of Object.keys(AXES)) byId(`by-${name}`).setAttribute("aria-pressed", String(name === axis));
  for (const place of document.querySelectorAll(".curve")) if (place.drawn) drawCurve(place);
}

/* Evaluations. */
const MARGIN_M = 60; // around a town

/** By how much each town's x and y are moved so that several of them fill a square, and [left, top] of its name. */
function townShifts(towns) {
  const boxes = towns.map((town) => {
    const points = data.maps[town].lanes.flat();
    const least = (i) => points.reduce((found, point) => Math.min(found, point[i]), Infinity);
    const most = (i) => points.reduce((found, point) => Math.max(found, point[i]), -Infinity);
    return { left: least(0), top: least(1), width: most(0) - least(0), height: most(1) - least(1) };
  });
  const width = Math.max(...boxes.map((box) => box.width)) + MARGIN_M;
  const height = Math.max(...boxes.map((box) => box.height)) + MARGIN_M;
  const columns = Math.ceil(Math.sqrt(towns.length));
  return Object.fromEntries(towns.map((town, i) => {
    const { left, top } = boxes[i];
    const at = [(i % columns) * width, Math.floor(i / columns) * height];
    return [town, towns.length > 1 ? [at[0] - left, at[1] - top, ...at] : [0, 0, left, top]];
  }));
}

const townsOf = (evaluation) =>
  [...new Set(evaluation.episodes.map((episode) => episode.map))].filter((map) => data.maps[map]);

function townNames(evaluation) {
  const towns = townsOf(evaluation);
  return Object.entries(townShifts(towns)).map(([town, [, , x, y]]) => ({
    x, y, text: data.maps[town].town.split("/").at(-1), showarrow: false, xanchor: "left", yanchor: "bottom",
  }));
}

function tracksOf(evaluation) {
  const towns = townsOf(evaluation);
  const traces = [], shifts = townShifts(towns);
  for (const town of towns) {
    const [right, down] = shifts[town];
    const x = [], y = [];
    for (const lane of data.maps[town].lanes) {
      for (const [px, py] of lane) { x.push(px + right); y.push(py + down); }
      x.push(lane[0][0] + right, null);
      y.push(lane[0][1] + down, null);
    }
    traces.push({ x, y, mode: "lines", fill: "toself", fillcolor: "#d9dee3", line: { color: "#c3cad1", width: 0.5 },
                  hoverinfo: "skip", showlegend: false, name: "roads" });
  }
  const seen = new Set();
  const failuresOnTop = [...evaluation.episodes].sort((a, b) => (b.success ?? 0) - (a.success ?? 0));
  for (const episode of failuresOnTop) {
    if (!episode.track.length) continue;
    const style = styleOf(episode.reason);
    const name = words(episode.reason);
    const text = `episode ${episode.number}, ${episode.route}: ${name}, ${percent(episode.completion)} of the route`;
    const last = episode.track.length - 1;
    const [right, down] = shifts[episode.map] ?? [0, 0];
    traces.push({
      x: episode.track.map((point) => point[0] + right), y: episode.track.map((point) => point[1] + down),
      mode: "lines+markers", name, legendgroup: name, showlegend: !seen.has(name),
      line: { color: style.colour, dash: style.dash, width: 2.5 },
      marker: { color: style.colour, symbol: style.marker, line: { width: 1, color: "#ffffff" },
                size: episode.track.map((_, i) => (i === last ? 11 : 0)) },
      text, hoverinfo: "text",
    });
    seen.add(name);
  }
  return traces;
}

function showEvaluation(index) {
  const evaluation = data.evaluations[index];
  const leftOut = evaluation.left_out ? ` Its ${evaluation.left_out} episodes have no room in this file.` : "";
  byId("evaluation-note").textContent = `Simulator: ${evaluation.simulator}.${leftOut}`;
  const traces = tracksOf(evaluation);
  const driven = traces.some((trace) => trace.name !== "roads");
  const roads = traces.some((trace) => trace.name === "roads") ? "" : " The roads were not recorded.";
  byId("map-note").textContent = (driven ? "A marker is where a drive ended." : "No tracks are in this file.") + roads;
  Plotly.react(byId("map"), traces, {
    height: 420, margin: { l: 8, r: 8, t: 8, b: 8 }, font: FONT, hovermode: "closest",
    xaxis: { visible: false }, yaxis: { visible: false, scaleanchor: "x", autorange: "reversed" },
    legend: { orientation: "h", y: -0.02 }, annotations: townNames(evaluation),
  }, CONFIG);
  const rows = evaluation.summary.map((row) => element("tr", {},
    element("th", { scope: "row", textContent: METRICS[row.name] ?? words(row.name) }),
    element("td", { className: "number", textContent: measure(row.name, row.mean) }),
    element("td", { className: "number", textContent: row.low === null || row.low === undefined ? ""
      : `${measure(row.name, row.low)} .. ${measure(row.name, row.high)}` })));
  byId("summary").replaceChildren(...rows);
  const columns = [
    ["number", "episode"], ["route", "route"], ["reason", "ended by", words], ["completion", "completed", percent],
    ["duration_s", "time, s", number], ["speed_kmh", "km/h", number], ["return", "return", number], ["length", "steps"],
  ].filter(([name]) => evaluation.episodes.some((episode) => episode[name] !== null && episode[name] !== undefined));
  sortable(byId("episodes"), columns, evaluation.episodes);
}

/** A table whose headings sort it. */
function sortable(table, columns, rows) {
  let sorted = [...rows], by = null, up = true;
  const body = element("tbody");
  const fill = () => body.replaceChildren(...sorted.map((row) => element("tr", {}, ...columns.map(([name, , shown]) =>
    element("td", { className: typeof row[name] === "number" ? "number" : "",
                    textContent: shown ? shown(row[name]) : (row[name] ?? "") })))));
  const heads = columns.map(([name, title]) => {
    const button = element("button", { type: "button", textContent: title });
    const head = element("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      up = by === name ? !up : true;
      by = name;
      sorted = [...rows].sort((a, b) => (up ? 1 : -1) * compare(a[name], b[name]));
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      fill();
    });
    return head;
  });
  fill();
  table.replaceChildren(element("thead", {}, element("tr", {}, ...heads)), body);
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

/* Failures. */
const PAGE = 24;
const FILTERS = { run_name: "Run", reason: "Reason", route: "Route", density: "Traffic" };
const ORDERS = { newest: "Newest evaluation", reason: "Reason", route: "Route", density: "Traffic", completion: "Share of the route" };
let page = 1;

function makeFilters() {
  const form = byId("filters");
  for (const [name, title] of Object.entries(FILTERS)) {
    const values = [...new Set(data.failures.map((one) => one[name]))].sort(compare);
    const options = values.map((value) => element("option", { value, textContent: name === "reason" ? words(value) : value }));
    form.append(element("label", { textContent: title },
      element("select", { name, id: `filter-${name}` }, element("option", { value: "", textContent: "all" }), ...options)));
  }
  const orders = Object.entries(ORDERS).map(([value, textContent]) => element("option", { value, textContent }));
  form.append(element("label", { textContent: "Sorted by" }, element("select", { name: "order", id: "order" }, ...orders)));
  form.addEventListener("change", () => { page = 1; showFailures(); });
  byId("more").addEventListener("click", () => { page += 1; showFailures(); });
}

function showFailures() {
  const form = byId("filters");
  const chosen = data.failures.filter((one) =>
    Object.keys(FILTERS).every((name) => !form.elements[name].value || String(one[name]) === form.elements[name].value));
  const order = form.elements.order.value;
  if (order !== "newest") chosen.sort((a, b) => compare(a[order], b[order]));
  const shown = chosen.slice(0, page * PAGE);
  const leftOut = data.failures_left_out ? `; ${data.failures_left_out} older ones have no room in this file` : "";
  byId("failure-count").textContent = `${chosen.length} of ${data.failures.length} failed episodes${leftOut}`;
  byId("more").hidden = shown.length === chosen.length;
  const cards = shown.map((one) => (one.card ??= cardOf(one)));
  byId("gallery").replaceChildren(...cards);
  for (const card of cards) if (!card.started) seen.observe(card);
}

function cardOf(failure) {
  const style = styleOf(failure.reason);
  const tag = element("span", { className: "tag", textContent: words(failure.reason) });
  tag.style.borderColor = style.colour;
  const facts = {
    run: failure.run_name, step: failure.step ?? failure.policy, episode: failure.episode, route: failure.route,
    traffic: failure.density, completed: percent(failure.completion), after: `${number(failure.duration_s)} s`,
  };
  const list = element("dl", {}, ...Object.entries(facts).map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }))));
  const filmed = failure.video !== undefined;
  const card = element("article", { className: filmed ? "panel card film" : "panel card" }, element("h3", {}, tag), list);
  card.failure = failure;
  if (!filmed) card.append(element("p", { className: "missing", textContent: failure.why_no_clip }));
  return card;
}

/** Puts film, controls and curves into a card that has come near the window. */
function startCard(card) {
  card.started = true;
  const { failure } = card;
  if (failure.video === undefined) return;
  const { steps } = failure;
  const last = steps.speed_kmh.length - 1;
  const film = element("video", { muted: true, playsInline: true, preload: "auto", src: `data:video/mp4;base64,${data.clips[failure.video]}` });
  film.setAttribute("aria-label", `The last ${number(last / steps.fps)} seconds: camera and view from above`);
  const play = element("button", { type: "button", textContent: "Play" });
  const slider = element("input", { type: "range", min: 0, max: last, step: 1, value: 0 });
  slider.setAttribute("aria-label", "Moment");
  const readout = element("p", { className: "readout" });
  const plot = element("div", { className: "plot" });
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", "Speed and action before the end");
  card.append(film, element("div", { className: "player" }, play, slider), readout, plot);
  drawSteps(plot, steps, last);

  const show = (i) => {
    slider.value = i;
    const pedal = steps.accel[i] > 0 ? "throttle" : "brake";
    const light = steps.light[i] ? `, light ${LIGHTS[steps.light[i]]?.words ?? steps.light[i]}` : "";
    const text = `${((i - last) / steps.fps).toFixed(1)} s: ${steps.speed_kmh[i].toFixed(0)} km/h, steer ${steps.steer[i].toFixed(2)}, ` +
      `${pedal} ${Math.abs(steps.accel[i]).toFixed(2)}${light}`;
    readout.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    const at = (i - last) / steps.fps;
    Plotly.relayout(plot, { "shapes[0].x0": at, "shapes[0].x1": at });
  };
  const follow = () => {
    show(Math.min(last, Math.floor(film.currentTime * steps.fps + 0.01)));
    if (!film.paused && !film.ended) requestAnimationFrame(follow);
  };
  play.addEventListener("click", () => (film.paused || film.ended ? film.play() : film.pause()));
  film.addEventListener("play", () => { play.textContent = "Pause"; follow(); });
  film.addEventListener("pause", () => { play.textContent = "Play"; });
  slider.addEventListener("input", () => {
    film.pause();
    film.currentTime = (Number(slider.value) + 0.5) / steps.fps;
    show(Number(slider.value));
  });
  show(0);
}

/* Of the traffic light in whose zone the car is */
const LIGHTS = {
  red: { words: "red", color: "#D55E00", symbol: "square" },
  yellow: { words: "yellow", color: "#E69F00", symbol: "diamond" },
  green: { words: "green", color: "#009E73", symbol: "circle" },
  off: { words: "off", color: "#000000", symbol: "x" },
};

function drawSteps(plot, steps, last) {
  const x = steps.speed_kmh.map((_, i) => (i - last) / steps.fps);
  const line = (y, name, color, dash, yaxis) => ({ x, y, name, mode: "lines", line: { color, dash, width: 2 }, yaxis });
  const lights = Object.entries(LIGHTS).filter(([state]) => steps.light.includes(state)).map(([state, { words, color, symbol }]) => ({
    x, y: steps.light.map((light) => (light === state ? 1.05 : null)), name: `light ${words}`, mode: "markers",
    marker: { color, symbol, size: 6 }, yaxis: "y2",
  }));
  Plotly.newPlot(plot, [
    line(steps.speed_kmh, "km/h", "#0072B2", "solid", "y"),
    line(steps.steer, "steer", "#000000", "dash", "y2"),
    line(steps.accel, "throttle or brake", "#CC79A7", "dot", "y2"),
    ...lights,
  ], {
    height: 190, margin: { l: 34, r: 28, t: 42, b: 22 }, font: { ...FONT, size: 11 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    xaxis: { ticksuffix: " s" }, yaxis: { rangemode: "tozero", nticks: 4 },
    yaxis2: { overlaying: "y", side: "right", range: [-1.15, 1.15], tickvals: [-1, 0, 1], showgrid: false, zeroline: false },
    shapes: [{ type: "line", x0: x[0], x1: x[0], y0: 0, y1: 1, yref: "paper", line: { color: "#000000", width: 1 } }],
  }, { ...CONFIG, staticPlot: true });
}

if (byId("by-steps")) for (const name of Object.keys(AXES)) byId(`by-${name}`).addEventListener("click", () => setAxis(name));
whenSeen(document.querySelectorAll(".curve"), drawCurve);
const select = byId("evaluation");
select.append(...data.evaluations.map((one, i) => element("option", { value: i, textContent: one.title })));
select.addEventListener("change", () => showEvaluation(Number(select.value)));
if (data.evaluations.length) showEvaluation(0);
else byId("evaluations").querySelectorAll(".controls, .grid, h3, .scroll").forEach((one) => { one.hidden = true; });
if (!data.evaluations.length) byId("evaluation-note").textContent = "This run has no evaluations yet.";
const seen = whenSeen([], startCard);
makeFilters();
showFailures();
