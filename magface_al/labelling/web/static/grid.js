// Grid mode: one face, up to eight others; mark those of the same person, file all with one key.

import { Session, api, client, copyButtons, element, pageKey, pause, say } from "/static/client.js";
import { Face, opinionText } from "/static/faces.js";

const MARKS = ["different", "same", "unsure"]; // what a click steps through

const session = await Session.open();
const filed = []; // grids already answered, for undo: { grid, events }
const held = new Set(); // pairs reserved for this window
let shown = null; // { grid, anchor, faces, marks }
let upcoming = null; // the next one, loading
let shownAt = 0;
let opinionShown = false;

async function fetchGrid() {
  const holding = [...(shown?.grid.candidates ?? []).map(c => c.pair), ...session.outbox.pending().map(e => e.event.pair_id)];
  const { grid } = await api("grid", { annotator: session.name, client, holding });
  for (const candidate of grid?.candidates ?? []) held.add(candidate.pair);
  return grid && load(grid);
}

function load(grid) {
  const anchor = new Face(grid.anchor, "the face to compare with");
  const faces = grid.candidates.map((candidate, k) => new Face(candidate.image, `candidate ${k + 1}`));
  const entry = { grid, anchor, faces, marks: faces.map(() => "different") };
  entry.ready = Promise.all([anchor, ...faces].map(face => face.ready));
  return entry;
}

async function advance() {
  shown = null;
  for (;;) {
    try {
      const next = await (upcoming ?? fetchGrid());
      upcoming = null;
      if (!next) return finished();
      await next.ready;
      return show(next);
    } catch (error) {
      upcoming = null;
      say(`${error.message}; trying again`, true);
      await pause(2000);
    }
  }
}

function show(entry) {
  shown = entry;
  shownAt = performance.now();
  entry.marks = entry.faces.map(face => (face.broken ? "skip" : "different"));
  element("message").hidden = true;
  element("anchor").replaceChildren(entry.anchor.element());
  element("candidates").replaceChildren(...entry.faces.map(candidate));
  element("done").hidden = true;
  element("work").hidden = false;
  showMarks();
  upcoming = fetchGrid();
  upcoming.catch(() => {});
}

function candidate(face, k) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "candidate";
  button.disabled = face.broken;
  const text = document.createElement("span");
  const opinion = document.createElement("small");
  button.append(face.element(), text, opinion);
  button.addEventListener("click", () => step(k));
  return button;
}

function step(k) {
  if (!shown || !(k in shown.marks) || shown.faces[k].broken) return;
  shown.marks[k] = MARKS[(MARKS.indexOf(shown.marks[k]) + 1) % MARKS.length];
  showMarks();
  say(`candidate ${k + 1}: ${shown.marks[k]}`);
}

function showMarks() {
  [...element("candidates").children].forEach((button, k) => {
    const mark = shown.marks[k];
    button.dataset.mark = mark;
    button.querySelector("span").textContent = `${k + 1} ${mark}`;
    button.setAttribute("aria-label", `candidate ${k + 1}: ${mark}`);
    button.setAttribute("aria-pressed", String(mark === "same"));
    button.querySelector("small").textContent = opinionShown ? opinionText(shown.grid.candidates[k].opinion) : "";
  });
  const counts = ["same", "different", "unsure", "skip"]
    .map(mark => [shown.marks.filter(other => other === mark).length, mark]).filter(([number]) => number);
  element("file").textContent = `File ${counts.map(parts => parts.join(" ")).join(", ")} (Enter)`;
  element("file").disabled = shown.anchor.broken;
  element("opinion-button").setAttribute("aria-pressed", String(opinionShown));
}

function file(skip = false) {
  if (!shown || (shown.anchor.broken && !skip)) return;
  const seconds = (performance.now() - shownAt) / 1000 / shown.marks.length;
  const events = shown.grid.candidates.map((candidate, k) => session.event({
    kind: "answer",
    pair_id: candidate.pair,
    answer: skip ? "skip" : shown.marks[k],
    seconds,
    mode: "grid",
    ...(opinionShown ? { opinion_shown: true } : {}),
  }));
  for (const event of events) held.delete(event.pair_id);
  filed.push({ entry: shown, events });
  say(skip ? "skipped" : "filed");
  advance();
}

function undo() {
  const last = filed.pop();
  if (!last) {
    say("Nothing left to undo here; the pairs page undoes older answers.", true);
    return;
  }
  for (const event of last.events) session.event({ kind: "undo", pair_id: event.pair_id, undoes: event.event_id });
  const marks = last.entry.marks;
  upcoming = null;
  show(last.entry);
  shown.marks = marks;
  showMarks();
  say("undone");
}

async function finished() {
  await session.outbox.flush();
  element("work").hidden = true;
  element("done").hidden = false;
  element("done-title").focus();
  element("command").textContent = session.next.join("\n");
}

async function askProgress() {
  const progress = await api("progress", { annotator: session.name }).catch(() => null);
  if (!progress) return;
  element("bar").max = progress.pairs;
  element("bar").value = progress.settled;
  element("counts").textContent = `${progress.left} to go · ${progress.mine.same ?? 0} same · ${progress.mine.different ?? 0} different`;
}

const ACTIONS = {
  Enter: () => file(),
  k: () => file(true),
  z: undo, Backspace: undo,
  m: () => { opinionShown = !opinionShown; if (shown) showMarks(); },
  p: () => { location.href = "/"; },
};

document.addEventListener("keydown", event => {
  const key = pageKey(event);
  if (!key || (key === "Enter" && event.target.closest("button:not(.candidate), a"))) return; // Space marks a candidate
  const action = /^[1-8]$/.test(key) ? () => step(Number(key) - 1) : ACTIONS[key];
  if (!action) return;
  event.preventDefault();
  action();
});
element("file").addEventListener("click", () => file());
for (const button of document.querySelectorAll("button[data-key]")) {
  button.addEventListener("click", () => ACTIONS[button.dataset.key]());
}
window.addEventListener("pagehide", () => {
  const pairs = [...held];
  api("release", { annotator: session.name, client, pairs }, { keepalive: true }).catch(() => {});
});
session.outbox.onsaved = askProgress;
copyButtons();
askProgress();
await advance();
