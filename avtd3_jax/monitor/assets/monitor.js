"use strict";
const byId = (id) => document.getElementById(id);
const POLL_MS = 500;
const CONFIG = { responsive: true, displayModeBar: false };
const FONT = { family: "system-ui, sans-serif", size: 12, color: "#1b1f24" };
// Okabe and Ito 2008; a dash each, for who sees no colours.
const STYLES = [["#0072B2", "solid"], ["#D55E00", "dash"], ["#009E73", "dot"], ["#CC79A7", "dashdot"], ["#E69F00", "longdash"], ["#56B4E9", "longdashdot"]];
const PANELS = [
  ["Return", ["episode/return", "evaluation/return"]],
  ["Success and route completion", ["episode/success", "episode/route_completion", "evaluation/success"]],
  ["Q", ["learner/q/mean"]],
  ["Losses", ["learner/loss/critic", "learner/loss/actor"]],
  ["Gradient norms", ["learner/grad_norm/encoder", "learner/grad_norm/actor", "learner/grad_norm/critic"]],
  ["Steps and updates per second", ["run/steps_per_s", "run/updates_per_s"]],
  ["Reward terms", ["reward/"]],
];
const ROLLING = 10; // points that a curve of single episodes is averaged over

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString();
const words = (text) => String(text ?? "unknown").replaceAll("_", " ");

/** The element of `parent` for `key`, made by `make` where there is none yet; keeps the order of the calls. */
function kept(parent, key, make) {
  parent.known ??= new Map();
  if (!parent.known.has(key)) parent.known.set(key, parent.appendChild(make()));
  return parent.known.get(key);
}

function showPlaces(places) {
  const parent = byId("environments");
  for (const place of places) {
    const card = kept(parent, place.name, () => {
      const image = element("img", { alt: `What environment ${place.name} sees` });
      const name = place.name === "evaluation" ? "Evaluation" : `Environment ${place.name}`;
      return element("article", { className: "panel card" }, element("h3", { textContent: name }), image, element("p", { className: "readout" }));
    });
    if (card.picture !== place.picture) {
      card.picture = place.picture;
      card.querySelector("img").src = `/picture/${place.name}.jpg?${place.picture}`;
      card.querySelector("p").textContent = typeof place.speed_kmh === "number" ? `${place.speed_kmh.toFixed(0)} km/h` : "";
    }
  }
  if (!places.length && !parent.children.length) parent.append(element("p", { className: "note", textContent: "No pictures yet, or none that this environment gives." }));
  else if (places.length) parent.querySelector(":scope > .note")?.remove();
}

function showFailures(failures) {
  const parent = byId("failures");
  const cards = failures.map((one) => {
    parent.made ??= new Map();
    if (!parent.made.has(one.id)) {
      const image = one.pictured ? [element("img", { src: `/failure/${one.id}.jpg`, alt: `The end of the episode: ${words(one.reason)}` })] : [];
      const done = typeof one.route_completion !== "number" ? "" : `, ${Math.round(100 * one.route_completion)} % of the route`;
      const text = `${clock(one.time)}, step ${one.step}, environment ${one.environment}, ${one.route ?? ""}${done}`;
      parent.made.set(one.id, element("article", { className: "panel card" },
        element("h3", {}, element("span", { className: "tag", textContent: words(one.reason) })), ...image, element("p", { className: "readout", textContent: text })));
    }
    return parent.made.get(one.id);
  });
  const ids = new Set(failures.map((one) => one.id));
  for (const id of parent.made?.keys() ?? []) if (!ids.has(id)) parent.made.delete(id);
  if (cards.length !== parent.children.length || cards.some((card, i) => card !== parent.children[i])) parent.replaceChildren(...cards);
}

function showState(state) {
  const { about, step } = state;
  byId("title").textContent = `Live: ${about.run ?? "a run"}`;
  document.title = byId("title").textContent;
  byId("about").textContent = [about.task, about.simulator, about.device].filter(Boolean).join(" \u00b7 ");
  if (about.total_steps) {
    byId("progress").value = step / about.total_steps;
    byId("steps").textContent = `${step.toLocaleString("en")} of ${about.total_steps.toLocaleString("en")} steps`;
  }
  showPlaces(state.places);
  showFailures(state.failures);
  byId("gauges").replaceChildren(...Object.entries(state.gauges).map(([name, level]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", {}, element("meter", { min: 0, max: 1, value: level, ariaLabel: name }), ` ${Math.round(100 * level)} %`))));
  const rows = state.events.map((event) => element("tr", {}, element("td", { textContent: clock(event.time) }), element("td", { textContent: event.text })));
  byId("events").replaceChildren(...(rows.length ? rows : [element("tr", {}, element("td", { className: "note", textContent: "None so far." }))]));
}

function rolling(values) {
  return values.map((_, i) => {
    const part = values.slice(Math.max(0, i + 1 - ROLLING), i + 1);
    return part.reduce((a, b) => a + b, 0) / part.length;
  });
}

function showCurves(curves) {
  for (const [title, wanted] of PANELS) {
    const tags = wanted.flatMap((tag) => (tag.endsWith("/") ? Object.keys(curves).filter((one) => one.startsWith(tag)) : curves[tag] ? [tag] : []));
    if (!tags.length) continue;
    const panel = kept(byId("curves"), title, () => {
      const plot = element("div", { className: "plot curve" });
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", title);
      return element("figure", { className: "panel", style: "margin: 0" }, element("h3", { textContent: title }), plot);
    });
    const traces = tags.map((tag, i) => {
      const [color, dash] = STYLES[i % STYLES.length];
      const single = tag.startsWith("episode/") || tag.startsWith("reward/");
      const few = curves[tag].x.length < 30;
      return { x: curves[tag].x, y: single ? rolling(curves[tag].y) : curves[tag].y, name: tag, mode: few ? "lines+markers" : "lines", line: { color, dash, width: 2 }, marker: { size: 5 } };
    });
    Plotly.react(panel.querySelector(".plot"), traces, {
      height: 240, margin: { l: 48, r: 8, t: 8, b: 32 }, font: FONT, hovermode: "x unified", showlegend: true,
      legend: { orientation: "h", y: -0.22 }, xaxis: { rangemode: "tozero" }, yaxis: { nticks: 5 },
    }, CONFIG);
  }
  const phases = Object.keys(curves).filter((tag) => tag.startsWith("milliseconds/"));
  if (phases.length) {
    const values = phases.map((tag) => curves[tag].y.at(-1));
    Plotly.react(byId("phases"), [{ type: "bar", orientation: "h", x: values, y: phases.map((tag) => words(tag.slice(13))), text: values.map((value) => value.toPrecision(3)), marker: { color: "#0072B2" } }], {
      height: 40 + 26 * phases.length, margin: { l: 110, r: 8, t: 8, b: 28 }, font: FONT, xaxis: { type: "log" }, yaxis: { automargin: true },
    }, CONFIG);
  }
}

let shownCurves = -1;
let failures = 0;

async function look() {
  try {
    const answer = await fetch("/state.json", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const state = await answer.json();
    showState(state);
    if (state.curves !== shownCurves && Date.now() - (look.drawn ?? 0) > 2000) {
      const curves = await (await fetch("/curves.json", { signal: AbortSignal.timeout(5000) })).json();
      showCurves(curves);
      shownCurves = state.curves;
      look.drawn = Date.now();
    }
    failures = 0;
    byId("alert").hidden = true;
  } catch (error) {
    failures += 1;
    if (failures > 2) {
      byId("alert").hidden = false;
      byId("alert").textContent = "The run does not answer any more: it has ended, or it cannot be reached. What is shown is the last that was known.";
    }
  }
}

/** Looks again when the last look is over; a page that nobody sees asks for nothing. */
async function watch() {
  if (!document.hidden) await look();
  setTimeout(watch, failures > 2 ? 10 * POLL_MS : POLL_MS);
}

watch();
