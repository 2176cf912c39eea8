// Review: contradictions to resolve, past answers to look through and change, and how well people agree.

import { Session, api, copyButtons, element, say } from "/static/client.js";

const PAGE = 60; // cards fetched at once
const CHOICES = [["same", "Same"], ["different", "Different"], ["unsure", "Unsure"], ["bad_image", "Bad"]];
const BAD = { image1: "left", image2: "right", both: "both" }; // as the card shows them
const WORDS = { bad_image: "bad image", disagreement: "no agreement" };

const session = await Session.open();
let offset = 0;
let showing = 0; // galleries asked for: an answer that comes after a newer one was asked for is dropped

function make(tag, text = "", className = "") {
  const node = document.createElement(tag); // names of files are hostile text: textContent only, nowhere HTML
  node.textContent = text;
  node.className = className;
  return node;
}

function word(answer) {
  return WORDS[answer] ?? answer;
}

function face(id, text) {
  const image = document.createElement("img");
  image.loading = "lazy";
  image.width = image.height = 112;
  image.alt = text;
  image.src = `/image/${id}`;
  image.addEventListener("error", () => image.replaceWith(make("p", "This picture is missing.", "missing")));
  return image;
}

function card(row, changed) {
  const item = make("li");
  item.dataset.pair = row.pair;
  item.dataset.answer = row.answer;
  const title = make("h3", word(row.answer));
  const notes = [
    row.ruling && `changed by ${row.ruling.annotator}`, row.inferred && "inferred", row.from_file && "from the pairs file",
    row.disagreement && "annotators disagree", row.contradiction && "contradicts others", row.hasty && "answered in a hurry",
    row.gold && `gold: ${row.gold}`,
  ].filter(Boolean);
  title.append(make("span", notes.join(", ")));
  const faces = make("div", "", "faces");
  row.images.forEach((id, k) => {
    const figure = make("figure");
    figure.append(face(id, `face ${k + 1}`), make("figcaption", row.names[k]));
    faces.append(figure);
  });
  const votes = row.votes.map(vote =>
    `${vote.annotator}: ${word(vote.answer)}${vote.bad ? ` (${BAD[vote.bad]})` : ""}${vote.seconds === null ? "" : `, ${vote.seconds.toFixed(1)} s`}`);
  item.append(title, faces, make("p", votes.join(" · "), "votes"), choices(row, changed));
  return item;
}

// Changing an answer here is a ruling: it counts whatever was answered before or will be, until it is withdrawn.
function choices(row, changed) {
  const bar = make("div", "", "choices");
  bar.role = "group";
  bar.ariaLabel = "change the answer";
  for (const [answer, text] of CHOICES) {
    const button = make("button", text);
    button.type = "button";
    button.setAttribute("aria-pressed", String(row.answer === answer));
    button.addEventListener("click", () => rule({ kind: "ruling", pair_id: row.pair, answer, mode: "review" }, changed));
    bar.append(button);
  }
  if (row.ruling) {
    const button = make("button", "Withdraw change");
    button.type = "button";
    button.addEventListener("click", () => rule({ kind: "undo", pair_id: row.pair, undoes: row.ruling.event_id }, changed));
    bar.append(button);
  }
  return bar;
}

async function rule(fields, changed) {
  session.event(fields);
  say("changed");
  await session.outbox.flush();
  await Promise.all([changed(), showContradictions(), showReport()]);
}

async function showGallery(more = false) {
  offset = more ? offset + PAGE : 0;
  const mine = more ? showing : ++showing;
  const wanted = { show: element("show").value, by: element("person").value, search: element("search").value };
  const count = more ? PAGE : Math.max(PAGE, offset);
  const result = await api("review", { ...wanted, offset, count });
  if (mine !== showing) return;
  const again = () => showGallery();
  const cards = result.rows.map(row => card(row, again));
  if (more) element("cards").append(...cards);
  else element("cards").replaceChildren(...cards);
  element("count").value = `${result.total} shown`;
  element("more").hidden = offset + result.rows.length >= result.total;
  fillPeople(result.annotators);
}

function fillPeople(names) {
  const select = element("person");
  const known = new Set([...select.options].map(option => option.value));
  for (const name of names) if (!known.has(name)) select.append(new Option(name, name));
}

async function showContradictions() {
  const { contradictions } = await api("contradictions");
  element("contradictions").hidden = !contradictions.length;
  element("triangles").replaceChildren(...contradictions.map(triangle));
}

function triangle({ faces, different, chain }) {
  const item = make("li", "", "triangle");
  const row = make("div", "", "chain");
  faces.forEach((id, k) => {
    if (k) row.append(make("span", "=", "sign"));
    row.append(face(id, `face ${k + 1} of the chain`));
  });
  row.append(make("span", "≠ the first", "sign"));
  const text = make("p", `Each is the same person as its neighbour, yet the first and the last were called different. One of these ${chain.length + 1} answers is wrong: which?`);
  const list = make("ul", "", "cards");
  list.append(...[...chain, different].map(pair => card(pair, () => showGallery())));
  item.append(row, text, list);
  return item;
}

async function showReport() {
  const report = await api("report");
  rows("agreement", report.agreement.map(entry => [
    entry.annotators.join(" and "), entry.pairs, entry.agreed, entry.kappa === null ? "undefined" : entry.kappa.toFixed(3)]));
  rows("people", report.annotators.map(entry => [
    entry.annotator, entry.answers,
    entry.median_seconds === null ? "" : `${entry.median_seconds.toFixed(2)} s`,
    ["same", "different", "unsure", "bad_image", "skip"].map(name => entry.counts[name] ?? 0).join(" / "),
    entry.gold.asked ? `${entry.gold.right} right, ${entry.gold.wrong} wrong, ${entry.gold.undecided} undecided${entry.gold.accuracy === null ? "" : ` (${(100 * entry.gold.accuracy).toFixed(0)} %)`}` : "none asked"]));
}

function rows(id, entries) {
  element(id).parentElement.hidden = !entries.length;
  element(`no-${id}`).hidden = Boolean(entries.length);
  element(id).tBodies[0].replaceChildren(...entries.map(values => {
    const row = make("tr");
    row.append(...values.map((value, k) => make(k ? "td" : "th", String(value))));
    row.firstChild.scope = "row";
    return row;
  }));
}

let typing = null;
element("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => showGallery(), 200);
});
element("show").addEventListener("change", () => showGallery());
element("person").addEventListener("change", () => showGallery());
element("more").addEventListener("click", () => showGallery(true));
element("export").addEventListener("click", async () => {
  try {
    const done = await api("export");
    say(`Wrote ${done.labelled} labels of ${done.pairs} pairs to ${done.feedback} and ${done.csv}.`, true);
  } catch (error) {
    say(`Nothing was written: ${error.message}`, true);
  }
});
copyButtons();
element("command").textContent = session.next.join("\n");
await Promise.all([showGallery(), showContradictions(), showReport()]);
if (location.hash) document.querySelector(location.hash)?.scrollIntoView();
