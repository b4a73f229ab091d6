/** Taking a picture, sending it, and showing what comes back. */

import { byId, make, signals } from "./dom.js";
import { askGateway, focusKey, onKeyChange } from "./key.js";
import { failure, megabytes, ms, percent } from "./text.js";
import { showLast } from "./timeline.js";

const TIMEOUT_MS = 35_000;

/** @type {About} what the page knows of this gateway; replaced by what it says of itself */
let about = { max_picture_bytes: 10 << 20, media_types: ["image/jpeg", "image/png", "image/webp"], samples: [] };
/** @type {AbortController|null} */
let underWay = null;
let shownUrl = "";
/** @type {File|null} the picture that was refused for the key's sake; sent again with another */
let waiting = null;

export function takePictures() {
  const drop = byId("drop");
  byId("file").addEventListener("change", () => {
    const [file] = byId("file").files;
    if (file) ask(file);
    byId("file").value = ""; // so that the same file can be chosen again
  });
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    fromTransfer(event.dataTransfer, "The dropped item is not a file.");
  });
  document.addEventListener("paste", (event) => fromTransfer(event.clipboardData, "The clipboard holds no picture."));
  onKeyChange((hasKey) => hasKey && waiting && ask(waiting));
  learn();
}

/** @param {DataTransfer|null} transfer @param {string} otherwise */
function fromTransfer(transfer, otherwise) {
  const [file] = transfer?.files ?? [];
  if (file) ask(file);
  else refuse(otherwise, "Choose, drop or paste a JPEG, PNG or WebP picture.");
}

/** Ask the gateway which samples it has and how large a picture may be. */
async function learn() {
  try {
    about = await (await fetch("page/about.json")).json();
  } catch {
    return; // the pipeline's part of the page says that the gateway does not answer
  }
  byId("file").accept = about.media_types.join();
  byId("samples").replaceChildren(
    ...about.samples.map(({ name, url }) => {
      const label = name.replace(/\.\w+$/, "").replaceAll(/[_-]/g, " ");
      const picture = make("img", { src: url, alt: "", width: 96, height: 72 });
      return make("button.sample", { type: "button", click: () => askWithSample(name, url) }, picture, label);
    }),
  );
  byId("samples").hidden = about.samples.length === 0;
  byId("description").hidden = !about.described;
}

/** @param {string} name @param {string} url */
async function askWithSample(name, url) {
  try {
    const picture = await (await fetch(url)).blob();
    await ask(new File([picture], name, { type: picture.type }));
  } catch {
    fail({ code: "network" }, () => askWithSample(name, url));
  }
}

/** @param {File} file the picture to send, instead of any that is under way */
async function ask(file) {
  underWay?.abort();
  if (!about.media_types.includes(file.type)) {
    refuse(`${file.name || "This"} is not a picture of a kind that is taken.`, "Choose a JPEG, PNG or WebP picture.");
    return;
  }
  if (file.size > about.max_picture_bytes) {
    const sizes = `${megabytes(file.size)}; at most ${megabytes(about.max_picture_bytes)} are taken`;
    refuse(`${file.name || "The picture"} has ${sizes}.`, "Make it smaller, or save it with a lower quality.");
    return;
  }
  const mine = (underWay = new AbortController());
  show(file);
  byId("answer").setAttribute("aria-busy", "true");
  const signal = signals.any([mine.signal, signals.timeout(TIMEOUT_MS)]);
  try {
    const { status, reply, isRefused } = await askGateway("infer", "v1/classify?top_k=5&timeline=true", {
      method: "POST", body: file, headers: { "content-type": file.type }, signal,
    });
    if (mine.signal.aborted) return;
    if (reply.predictions) succeed(reply);
    else if (isRefused) fail({ code: "unauthorized", ...reply, detail: "" }, () => ask(file)); // the field's words say it
    else fail({ ...reply, status }, () => ask(file));
    if (isRefused) focusKey();
    waiting = isRefused ? file : null;
    showLast(reply);
  } catch (error) {
    if (!mine.signal.aborted) fail({ code: "network", detail: error instanceof Error ? error.message : String(error) }, () => ask(file));
  } finally {
    if (underWay === mine) byId("answer").setAttribute("aria-busy", "false");
  }
}

/** @param {File} file */
function show(file) {
  URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(file);
  const shown = byId("shown");
  shown.onload = () => (shown.hidden = false);
  shown.onerror = () => (shown.hidden = true);
  shown.alt = `The picture that was sent: ${file.name}`;
  shown.src = shownUrl;
}

/** @param {Classified} reply */
function succeed(reply) {
  const rows = reply.predictions.map(({ label, confidence }) =>
    make("li.label", { "--share": confidence },
      make("span.label-name", {}, label),
      make("span.label-share", {}, percent(confidence)),
      make("span.bar", { "aria-hidden": "true" })));
  const { feature_space, release, ...versions } = reply.model;
  const models = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ");
  fill([], [
    make("p.best", {}, reply.label),
    make("ol.labels", {}, ...rows),
    make("p.quiet", {}, `In ${ms(reply.timings_ms.total)} by ${models}. Request `, make("code", {}, reply.id)),
  ]);
  byId("said").textContent = `${reply.label}, ${percent(reply.confidence)}, in ${ms(reply.timings_ms.total)}`;
}

/** @param {Problem} problem @param {() => void} again */
function fail(problem, again) {
  const [what, next] = failure(problem, megabytes(about.max_picture_bytes));
  const mayRetry = problem.retryable || problem.code === "network";
  complain(what, next,
    mayRetry ? make("button", { type: "button", click: again }, "Try again") : "",
    problem.detail ? make("p.quiet", {}, `The details: ${problem.detail}`) : "",
    problem.id ? make("p.quiet", {}, "Request ", make("code", {}, problem.id)) : "");
}

/**
 * Refuse what was given, before anything is sent.
 * @param {string} what @param {string} next
 */
function refuse(what, next) {
  byId("shown").hidden = true;
  complain(what, next);
}

/** @param {string} what @param {string} next @param {...(Node|string)} more */
function complain(what, next, ...more) {
  fill([make("p.error-what", {}, what), make("p", {}, next), ...more], []);
}

/** @param {(Node|string)[]} error @param {Node[]} labels */
function fill(error, labels) {
  byId("said").textContent = "";
  byId("answer-empty").hidden = true;
  byId("answer-error").replaceChildren(...error);
  byId("answer-labels").replaceChildren(...labels);
}
