/** The widget for pictures: chosen, dropped, pasted, or one of the samples. */

import { byId, make } from "./dom.js";
import { megabytes } from "./text.js";

/** @typedef {{take: (input: Input) => void, refuse: (what: string, next: string) => void, fail: (again: () => void) => void}} Takes */

let shownUrl = "";

/**
 * Draw the widget; pictures may then come from anywhere on the page.
 * @param {About} about @param {Takes} takes
 */
export function pictureWidget(about, takes) {
  const file = /** @type {HTMLInputElement} */ (make("input.hidden", {
    id: "file", type: "file", "aria-labelledby": "file-name", "aria-describedby": "file-help", accept: about.media_types.join(),
  }));
  file.addEventListener("change", () => {
    const [chosen] = file.files ?? [];
    if (chosen) take(chosen, null, about, takes);
    file.value = ""; // so that the same file can be chosen again
  });
  const drop = make("label.drop", { id: "drop", for: "file" }, make("img", { id: "shown", alt: "", hidden: true }),
    make("strong", { id: "file-name" }, "Choose a picture"),
    make("span", { id: "file-help" }, "or drop or paste one here: JPEG, PNG or WebP"));
  listen(drop, about, takes);
  return make("div", {}, file, drop, about.samples.length > 0 && make("div.samples", { role: "group", "aria-label": "Samples" },
    make("span.quiet", {}, "or try one of these"), about.samples.map((sample) => sampleButton(sample, about, takes))));
}

/** @param {{name: string, url: string}} sample @param {About} about @param {Takes} takes */
function sampleButton({ name, url }, about, takes) {
  const words = name.replace(/\.\w+$/, "").replaceAll(/[_-]/g, " ");
  const ask = async () => {
    try {
      const picture = await (await fetch(url)).blob();
      take(new File([picture], name, { type: picture.type }), url, about, takes);
    } catch {
      takes.fail(ask);
    }
  };
  return make("button.sample", { type: "button", "data-url": url, title: words, click: ask }, make("img", { src: url, alt: words, width: 38, height: 30 }));
}

/** @param {HTMLElement} drop @param {About} about @param {Takes} takes */
function listen(drop, about, takes) {
  /** @param {DataTransfer|null} transfer @param {string} otherwise */
  const fromTransfer = (transfer, otherwise) => {
    const [file] = transfer?.files ?? [];
    if (file) take(file, null, about, takes);
    else refuse(otherwise, "Choose, drop or paste a JPEG, PNG or WebP picture.", takes);
  };
  /** @param {string} kind @param {(event: any) => void} handle what happens while this widget is shown */
  const on = (kind, handle) => document.addEventListener(kind, (event) => drop.isConnected && handle(event));
  for (const kind of ["dragenter", "dragover"]) {
    on(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  on("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  on("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    fromTransfer(event.dataTransfer, "The dropped item is not a file.");
  });
  on("paste", (event) => {
    const isTyped = event.target instanceof Element && event.target.matches("input, textarea"); // a key, say
    if (!isTyped) fromTransfer(event.clipboardData, "The clipboard holds no picture.");
  });
}

/** @param {File} file @param {string|null} url of a sample @param {About} about @param {Takes} takes */
function take(file, url, about, takes) {
  if (!about.media_types.includes(file.type)) {
    return refuse(`${file.name || "This"} is not a picture of a kind that is taken.`, "Choose a JPEG, PNG or WebP picture.", takes);
  }
  if (file.size > about.max_picture_bytes) {
    const sizes = `${megabytes(file.size)}; at most ${megabytes(about.max_picture_bytes)} are taken`;
    return refuse(`${file.name || "The picture"} has ${sizes}.`, "Make it smaller, or save it with a lower quality.", takes);
  }
  show(file, url);
  takes.take({ kind: "image", file, url });
}

/** @param {File} file @param {string|null} sample */
function show(file, sample) {
  URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(file);
  const shown = byId("shown");
  const isShown = (/** @type {boolean} */ is) => {
    shown.hidden = !is;
    byId("drop").classList.toggle("full", is);
  };
  shown.onload = () => isShown(true);
  shown.onerror = () => isShown(false);
  shown.alt = `The picture that was sent: ${file.name}`;
  shown.src = shownUrl;
  mark(sample);
}

/** @param {string|null} sample that is shown */
function mark(sample) {
  for (const button of byId("inputs").querySelectorAll(".sample")) button.setAttribute("aria-pressed", String(button.dataset.url === sample));
}

/**
 * Refuse what was given, before anything is sent.
 * @param {string} what @param {string} next @param {Takes} takes
 */
function refuse(what, next, takes) {
  byId("shown").hidden = true;
  byId("drop").classList.remove("full");
  mark(null);
  takes.refuse(what, next);
}
