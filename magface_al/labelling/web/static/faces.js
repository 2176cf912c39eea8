// Faces: loaded and decoded before they are shown, sharp when enlarged, and honest when the file is gone.

export class Face {
  constructor(id, text = "") {
    this.image = new Image();
    this.image.alt = text;
    this.image.draggable = false;
    this.image.src = `/image/${id}`;
    this.broken = false;
    this.ready = this.image.decode().catch(() => this.check(id));
  }

  // decode() also fails where the server is away for a moment: then the picture is asked for until there is an answer.
  async check(id) {
    for (;;) {
      const response = await fetch(`/image/${id}`).catch(() => null);
      if (response?.ok) {
        this.image.src = `/image/${id}?again=${Math.random()}`;
        this.broken = await this.image.decode().then(() => false, () => true);
        return;
      }
      if (response?.status === 404) {
        this.broken = true;
        this.reason = (await response.json().catch(() => ({}))).error;
        return;
      }
      await new Promise(resolve => setTimeout(resolve, 1000));
    }
  }

  element() {
    if (!this.broken) return this.image;
    const note = document.createElement("p");
    note.className = "missing";
    note.textContent = `This picture is missing: ${this.reason ?? "it cannot be decoded"}.`;
    return note;
  }
}

export function opinionText(opinion) {
  const parts = Object.entries(opinion).map(([name, value]) =>
    `${name} ${typeof value === "number" ? value.toFixed(3) : value}`);
  return parts.length ? parts.join(", ") : "the pairs file holds no opinion about this pair";
}

// A click enlarges both faces around the same place; moving the pointer moves that place in both.
export function zoomable(container) {
  const toggle = () => container.classList.toggle("zoomed");
  const aim = event => {
    const frame = event.target.closest("figure")?.getBoundingClientRect();
    if (!frame) return;
    container.style.setProperty("--x", `${(100 * (event.clientX - frame.left)) / frame.width}%`);
    container.style.setProperty("--y", `${(100 * (event.clientY - frame.top)) / frame.height}%`);
  };
  container.addEventListener("pointermove", aim);
  container.addEventListener("click", event => {
    if (!event.target.closest("figure")) return;
    aim(event);
    toggle();
  });
  return toggle;
}
