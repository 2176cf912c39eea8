// Pair mode: one key a pair. The next pairs are here, decoded, before they are needed; a key answers the pair on the screen.

import { Session, api, client, copyButtons, element, pageKey, pause, say } from "/static/client.js";
import { Face, opinionText, zoomable } from "/static/faces.js";

const HOLD = 24; // pairs in hand, so that a burst of keys never outruns the loading
const MEMORY = 50; // answered pairs whose faces are kept for undo

const session = await Session.open();
const queue = []; // questions to come, each { question, faces, ready }
const answered = []; // { event_id, answer, question, entry }, the newest last: what undo steps through
const undone = new Set();
let shown = null; // the question on the screen; answers go to this one and no other
let shownAt = 0;
let opinionShown = false;
let choosingBad = false;
let refilling = null;
let askSkipped = false; // for one request: what was skipped is asked again
let undoing = false;
let progress = null;

function load(question) {
  const faces = [new Face(question.left.image), new Face(question.right.image)];
  const entry = { question, faces, isReady: false };
  entry.ready = Promise.all(faces.map(face => face.ready)).then(() => { entry.isReady = true; });
  return entry;
}

async function refill(count = HOLD - queue.length) {
  refilling ??= (async () => {
    try {
      const pending = session.outbox.pending().map(entry => entry.event.pair_id);
      const holding = [...(shown ? [shown] : []), ...queue].map(entry => entry.question.pair);
      const result = await api("next", { annotator: session.name, client, holding, pending, count, skipped: askSkipped });
      askSkipped = false;
      const gone = new Set(result.dropped);
      for (let k = queue.length - 1; k >= 0; k--) if (gone.has(queue[k].question.pair)) queue.splice(k, 1);
      const known = new Set([...queue, ...(shown ? [shown] : [])].map(entry => entry.question.pair));
      for (const entry of session.outbox.pending()) known.add(entry.event.pair_id);
      const fresh = result.pairs.filter(question => !known.has(question.pair));
      queue.push(...fresh.map(load));
      if (!shown) await advance();
    } catch (error) {
      if (!shown) say(`${error.message}; trying again`, true);
      setTimeout(refill, 2000);
    } finally {
      refilling = null;
    }
  })();
  return refilling;
}

// Show the next question if its faces are decoded; otherwise show nothing until they are.
async function advance() {
  shown = null;
  const next = queue[0];
  if (!next) {
    await finished();
    return;
  }
  if (!next.isReady) await next.ready;
  if (shown || queue[0] !== next) return;
  queue.shift();
  show(next);
}

function show(entry) {
  shown = entry;
  shownAt = performance.now();
  choosingBad = false;
  element("message").hidden = true;
  element("done").hidden = true;
  element("work").hidden = false;
  element("faces").classList.remove("zoomed");
  element("faces").dataset.pair = entry.question.pair;
  showFaces();
  const broken = entry.faces.some(face => face.broken);
  element("missing-note").hidden = !broken;
  for (const button of document.querySelectorAll("button[data-answer]")) {
    button.disabled = broken && ["same", "different", "unsure"].includes(button.dataset.answer);
  }
  showOpinion();
  showButtons();
}

function showFaces() {
  ["left", "right"].forEach((side, k) => {
    shown.faces[k].image.alt = `${side} face`;
    element(side).replaceChildren(shown.faces[k].element());
  });
}

// Each face takes the other's place: aligned faces that flicker in one place show what differs.
function swap() {
  if (!shown || choosingBad) return;
  const { question, faces } = shown;
  [question.left, question.right] = [question.right, question.left];
  faces.reverse();
  showFaces();
}

function showOpinion() {
  element("opinion-button").setAttribute("aria-pressed", String(opinionShown));
  element("opinion").hidden = !opinionShown;
  element("opinion").textContent = opinionShown && shown ? opinionText(shown.question.opinion) : "";
}

function showButtons() {
  element("answers").hidden = choosingBad;
  element("bad-sides").hidden = !choosingBad;
}

function answer(value, bad = null, time = performance.now()) {
  if (!shown || undoing) return;
  if (shown.faces.some(face => face.broken) && !["skip", "bad_image"].includes(value)) return;
  const entry = shown;
  const event = session.event({
    kind: "answer",
    pair_id: entry.question.pair,
    answer: value,
    seconds: Math.max(0, time - shownAt) / 1000,
    left: entry.question.left.side,
    mode: "pair",
    ...(bad ? { bad } : {}),
    ...(opinionShown ? { opinion_shown: true } : {}),
  });
  answered.push({ event_id: event.event_id, answer: value, question: entry.question, entry });
  if (answered.length > MEMORY) answered[answered.length - MEMORY - 1].entry = null;
  count(value, 1);
  say(value.replace("_", " "));
  if (queue[0]?.isReady) show(queue.shift());
  else advance();
  if (queue.length < (2 * HOLD) / 3) refill();
}

function badSide(side) {
  const sides = { left: shown?.question.left.side, right: shown?.question.right.side, both: "both" };
  answer("bad_image", sides[side]);
}

async function undo() {
  if (undoing) return;
  if (!answered.length) {
    undoing = true;
    try {
      await recall();
    } finally {
      undoing = false;
    }
  }
  const last = answered.pop();
  if (!last) {
    say("Nothing left to undo.", true);
    return;
  }
  undone.add(last.event_id);
  session.event({ kind: "undo", pair_id: last.question.pair, undoes: last.event_id });
  count(last.answer, -1);
  if (shown) queue.unshift(shown);
  const same = queue.findIndex(entry => entry.question.pair === last.question.pair);
  const entry = same >= 0 ? queue.splice(same, 1)[0] : last.entry ?? load(last.question);
  shown = null;
  queue.unshift(entry);
  say(`undone: ${last.answer.replace("_", " ")}`);
  if (entry.isReady) show(queue.shift());
  else await advance();
}

// What this annotator answered before the page was loaded, so that undo goes back as far as anybody likes.
async function recall() {
  await session.outbox.flush();
  const { answers } = await api("history", { annotator: session.name });
  const known = new Set(answered.map(step => step.event_id));
  answered.unshift(...answers.reverse().filter(step => !known.has(step.event_id) && !undone.has(step.event_id)));
}

function count(value, change) {
  if (!progress) return;
  progress.mine[value] = (progress.mine[value] ?? 0) + change;
  progress.answers += change;
  if (value !== "skip") progress.left = Math.max(0, progress.left - change);
  showProgress();
}

function showProgress() {
  const mine = name => progress.mine[name] ?? 0;
  const pace = progress.seconds_per_answer;
  const parts = [
    `${mine("same")} same`,
    `${mine("different")} different`,
    `${mine("unsure")} unsure`,
    ...(mine("bad_image") ? [`${mine("bad_image")} bad`] : []),
    ...(progress.inferred ? [`${progress.inferred} inferred`] : []),
    ...(pace ? [`${Math.round(60 / pace)} a minute`, `${duration(pace * progress.left)} left`] : []),
  ];
  const done = progress.pairs - progress.open;
  element("bar").max = progress.pairs;
  element("bar").value = done;
  element("counts").textContent = `${progress.left} to go · ${parts.join(" · ")}`;
  element("clash").hidden = !progress.contradictions;
  element("clash-text").textContent = progress.contradictions === 1
    ? "An answer contradicts others" : `${progress.contradictions} answers contradict others`;
}

function duration(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

let asking = null;
function askProgress() {
  asking ??= pause(400).then(async () => {
    asking = null;
    if (session.outbox.pending().length) return; // asked again when they are saved
    progress = await api("progress", { annotator: session.name }).catch(() => progress);
    if (progress) showProgress();
  });
}

async function finished() {
  await session.outbox.flush();
  progress = await api("progress", { annotator: session.name });
  if (progress.left) {
    setTimeout(refill, 300);
    return;
  }
  showProgress();
  element("work").hidden = true;
  element("done").hidden = false;
  element("done-title").focus();
  const withOthers = progress.open - progress.skipped;
  element("done-counts").textContent =
    `You gave ${progress.answers} answers. In all, ${progress.settled} of ${progress.pairs} pairs are settled: ${progress.same} same, ${progress.different} different.`;
  element("done-others").textContent = withOthers > 0
    ? `${withOthers} ${withOthers === 1 ? "pair waits" : "pairs wait"} for somebody else: on another screen, or for a second person.` : "";
  element("skipped-button").hidden = !progress.skipped;
  element("skipped-button").textContent = `Ask the ${progress.skipped} skipped again`;
  element("command").textContent = session.next.join("\n");
  setTimeout(() => shown || queue.length || refill(), 2000); // somebody may give pairs back
}

const ACTIONS = {
  s: () => answer("same"), ArrowRight: () => answer("same"), 1: () => answer("same"),
  d: () => answer("different"), ArrowLeft: () => answer("different"), 2: () => answer("different"),
  u: () => answer("unsure"), 3: () => answer("unsure"),
  b: () => { choosingBad = Boolean(shown); showButtons(); },
  4: () => ACTIONS.b(),
  k: () => answer("skip"),
  z: undo, Backspace: undo,
  r: swap,
  x: () => toggleZoom(),
  m: () => { opinionShown = !opinionShown; showOpinion(); },
  g: () => { location.href = "/grid"; },
  c: () => { if (progress?.contradictions) location.href = "/review#contradictions"; },
};
const BAD_ACTIONS = {
  ArrowLeft: () => badSide("left"), ArrowRight: () => badSide("right"), b: () => badSide("both"),
  Escape: () => { choosingBad = false; showButtons(); },
};

document.addEventListener("keydown", event => {
  const key = pageKey(event);
  const action = key && (choosingBad ? BAD_ACTIONS : ACTIONS)[key];
  if (!action) return;
  event.preventDefault();
  action();
});
for (const button of document.querySelectorAll("button[data-answer]")) {
  button.addEventListener("click", () => answer(button.dataset.answer));
}
for (const button of document.querySelectorAll("button[data-key]")) {
  button.addEventListener("click", () => (choosingBad ? BAD_ACTIONS : ACTIONS)[button.dataset.key]());
}
element("skipped-button").addEventListener("click", () => { askSkipped = true; refill(); });
window.addEventListener("pagehide", () => {
  const pairs = [...(shown ? [shown] : []), ...queue].map(entry => entry.question.pair);
  api("release", { annotator: session.name, client, pairs }, { keepalive: true }).catch(() => {});
});
const toggleZoom = zoomable(element("faces"));
session.outbox.onsaved = askProgress;
copyButtons();
setInterval(() => refill(Math.max(0, HOLD - queue.length)), 60000); // keeps the pairs in hand reserved
askProgress();
await refill();
recall().catch(() => {});
