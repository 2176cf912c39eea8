// What every page shares: calls to the server, the annotator's name, and the events that are on their way to the disk.
//
// An event is put into localStorage before anything else happens and leaves it only when the server has confirmed that it
// is on the disk. Each has a key of its own, so that two windows cannot overwrite each other's.

const NAMES = "label:names:";
const WATCH = 5000; // milliseconds between two looks at what troubles the labeller

export function element(id) {
  return document.getElementById(id);
}

export async function api(name, body = {}, options = {}) {
  const response = await fetch(`/api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...options,
  }).catch(() => { throw new Error("the labeller does not answer"); });
  if (!response.ok) {
    const reason = await response.json().then(answer => answer.error, () => "");
    const error = new Error(response.status === 403
      ? "the labeller wants its printed address again"
      : `the labeller answered ${response.status}${reason ? `: ${reason}` : ""}`);
    error.status = response.status;
    throw error;
  }
  return response.json();
}

// A random UUID (version 4). crypto.randomUUID is missing on pages served unencrypted from another machine.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map(byte => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// One per window, kept over a reload: it tells the server which window holds which pairs.
export const client = sessionStorage.getItem("label:client") ?? uuid();
sessionStorage.setItem("label:client", client);

export class Session {
  static async open() {
    const session = new Session();
    for (;;) {
      try {
        Object.assign(session, await api("session"));
        break;
      } catch (error) {
        element("saved").textContent = `${error.message}; trying again`;
        await pause(2000);
      }
    }
    session.showTrouble();
    setInterval(() => session.watch(), WATCH);
    session.name = localStorage.getItem(NAMES + session.store) ?? session.annotator ?? await askName("");
    session.outbox = new Outbox(session);
    element("who").textContent = session.name;
    element("who").addEventListener("click", () => session.rename());
    element("help-button").addEventListener("click", () => element("help").showModal());
    document.addEventListener("keydown", event => ["h", "?"].includes(pageKey(event)) && element("help").showModal());
    document.querySelector(`nav a[href="${location.pathname}"]`)?.setAttribute("aria-current", "page");
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
    }
    return session;
  }

  // Writing fails a while after the answers came, so nobody asked for the error; it stands on the page until it is mended.
  async watch() {
    const answer = await api("session").catch(() => null); // a server that is away is told by the outbox
    if (!answer) return;
    this.export_error = answer.export_error;
    this.showTrouble();
  }

  showTrouble() {
    const text = this.export_error ?? "";
    if (element("trouble").textContent !== text) element("trouble").textContent = text;
    element("trouble").hidden = !text;
  }

  async rename() {
    this.name = await askName(this.name);
    location.reload(); // the questions in hand were dealt to the other name
  }

  remember(name) {
    localStorage.setItem(NAMES + this.store, name);
  }

  event(fields) {
    const event = {
      event_id: uuid(),
      annotator: this.name,
      answered_at: new Date().toISOString(),
      ...fields,
    };
    this.outbox.add(event);
    return event;
  }
}

async function askName(current) {
  const dialog = element("name-dialog");
  const input = element("name");
  input.value = current;
  dialog.showModal();
  const { store } = await api("session");
  return new Promise(resolve => {
    element("name-form").addEventListener("submit", event => {
      event.preventDefault();
      const name = input.value.trim();
      if (!name) return;
      localStorage.setItem(NAMES + store, name);
      dialog.close();
      resolve(name);
    });
    dialog.addEventListener("cancel", event => current || event.preventDefault());
  });
}

class Outbox {
  constructor(session) {
    this.prefix = `label:event:${session.store}:`;
    this.onsaved = () => {};
    this.sending = null;
    this.waited = 0;
    window.addEventListener("beforeunload", event => this.pending().length && event.preventDefault());
    window.addEventListener("online", () => this.flush());
    this.show();
    this.flush();
  }

  pending() {
    return Object.keys(localStorage)
      .filter(key => key.startsWith(this.prefix))
      .map(key => JSON.parse(localStorage.getItem(key)))
      .sort((a, b) => a.order - b.order);
  }

  add(event) {
    localStorage.setItem(this.prefix + event.event_id, JSON.stringify({ order: performance.timeOrigin + performance.now(), event }));
    this.show();
    this.flush();
  }

  // Resolves when nothing is left to send, or the server could not be reached.
  flush() {
    this.sending ??= this.send().finally(() => {
      this.sending = null;
      if (this.pending().length) setTimeout(() => this.flush(), this.waited);
    });
    return this.sending;
  }

  async send() {
    for (let events = this.pending(); events.length; events = this.pending()) {
      try {
        const batch = events.slice(0, 100).map(entry => entry.event);
        const result = await api("events", { events: batch, client });
        for (const id of result.saved) localStorage.removeItem(this.prefix + id);
        for (const { event_id: id, reason } of result.refused) this.refuse(id, reason);
        this.waited = 0;
        this.show();
        this.onsaved();
      } catch (error) {
        this.waited = Math.min(5000, 500 + 2 * this.waited);
        this.show(error.message);
        return;
      }
    }
  }

  // Not thrown away: it stays in this browser under another name, and the page says so.
  refuse(id, reason) {
    const text = localStorage.getItem(this.prefix + id);
    if (text !== null) localStorage.setItem(`label:refused:${id}`, text);
    localStorage.removeItem(this.prefix + id);
    say(`An answer was refused: ${reason}`, true);
  }

  show(trouble = "") {
    const count = this.pending().length;
    const saved = element("saved");
    saved.textContent = count ? `${count} not yet saved${trouble ? ` (${trouble}; trying again)` : ""}` : "all saved";
    saved.classList.toggle("trouble", Boolean(trouble));
  }
}

export function pause(milliseconds) {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}

// For screen readers, and on the page where it matters to everybody.
export function say(text, important = false) {
  element("spoken").textContent = text;
  if (important) {
    element("message").textContent = text;
    element("message").hidden = false;
  }
}

// A key that is meant for the page: not held down, not with Ctrl, not typed into a field, not for a dialog.
export function pageKey(event) {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  if (document.querySelector("dialog[open]") || event.target.closest?.("input, select, textarea")) return null;
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

export function copyButtons() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const code = element(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(code.textContent);
        say("copied");
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // no clipboard without a secure context: select it instead
      }
    });
  }
}
