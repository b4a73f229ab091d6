/** Sending what the reader gives to the heads that are picked, and having drawn what comes back. */

import { complain, redraw, showAnswer } from "./answer.js";
import { button, byId, fill, isNew, make, signals } from "./dom.js";
import { failure } from "./failures.js";
import { formWidget } from "./form.js";
import { askGateway, focusKey, onKeyChange } from "./key.js";
import { onReady } from "./live.js";
import { areAllPicked, givesClasses, isCompared, pickedHeads, pickHeads } from "./picker.js";
import { pictureWidget } from "./picture.js";
import { findAsked, hasAsked } from "./recent.js";
import { readAsked, readClassified, readInferred } from "./reply.js";
import { classifyRequest, inferRequest } from "./request.js";
import { megabytes } from "./text.js";

const TIMEOUT_MS = 35_000;
const PICTURES = [{ name: "image", datatype: "BYTES", shape: [-1] }];

/** @type {About} what the page knows of this gateway; replaced by what it says of itself */
let about = { max_picture_bytes: 10 << 20, media_types: ["image/jpeg", "image/png", "image/webp"], samples: [] };
/** @type {AbortController|null} */
let underWay = null;
/** @type {Input|null} what was given last */
let given = null;
/** Whether it was refused for the key's sake, and is sent again with another. */
let isWaiting = false;
let turn = 0;

export async function takeInputs() {
  pickHeads(() => {
    if (!redraw() && given && pickedHeads().length) ask(given);
  });
  onKeyChange((hasKey) => {
    if (hasKey) learnInputs();
    if (hasKey && isWaiting && given) ask(given);
  });
  onReady(learnInputs);
  await learnInputs();
}

/** Ask the gateway what the pipeline takes, and draw the widget for it; after a restart it may be another. */
async function learnInputs() {
  const mine = ++turn;
  const signal = signals.timeout(TIMEOUT_MS);
  const [asked, { reply }] = await Promise.all([ // where there is no answer, the pipeline's part of the page says so
    fetch("page/about.json", { signal }).then((response) => (response.ok ? response.json() : about)).catch(() => about),
    askGateway("infer", "v2/models/pipeline", { signal }).catch(() => ({ reply: {} })),
  ]);
  if (mine !== turn) return;
  about = asked;
  byId("description").hidden = !about.described;
  const inputs = /** @type {Tensor[]} */ (reply.inputs ?? PICTURES);
  if (!isNew("inputs", [about, inputs])) return;
  given = null;
  const takesPictures = inputs.length === 1 && inputs[0].name === "image" && inputs[0].datatype === "BYTES";
  fill("inputs", takesPictures ? pictureWidget(about, { take: ask, refuse, fail: (again) => fail({ code: "network" }, again) }) : formWidget(inputs, ask));
}

/** @param {Input} input to send, instead of any that is under way */
async function ask(input) {
  underWay?.abort();
  given = input;
  const mine = (underWay = new AbortController());
  byId("answer").setAttribute("aria-busy", "true");
  const signal = signals.any([mine.signal, signals.timeout(TIMEOUT_MS)]);
  try {
    const sides = [];
    for (const canary of isCompared() ? ["never", "always"] : [null]) sides.push(await askSide(input, canary, signal));
    if (!mine.signal.aborted) show(input, sides);
  } catch (error) {
    if (!mine.signal.aborted) fail({ code: "network", detail: error instanceof Error ? error.message : String(error) }, () => ask(input));
  } finally {
    if (underWay === mine) byId("answer").setAttribute("aria-busy", "false");
  }
}

/**
 * Ask the heads once: pictures in one request, anything else in one a head.
 * @param {Input} input @param {string|null} canary @param {AbortSignal} signal
 */
async function askSide(input, canary, signal) {
  const heads = pickedHeads();
  if (input.kind === "image" && heads.every(givesClasses)) {
    const names = byId("picker").hidden ? [] : heads.map(({ name }) => name);
    const sent = classifyRequest(input, names, canary, areAllPicked());
    const asked = await send(sent, `${sent.path}${names.length ? "&" : "?"}timeline=true`, signal);
    return { sent: [sent], isRefused: asked.isRefused, replies: [readClassified(asked.reply, asked.status)] };
  }
  const named = heads.length ? heads : [{ name: "", ready: true, version: null, outputs: [] }];
  const sent = await Promise.all(named.map((head) => inferRequest(input, head, canary)));
  const all = await Promise.all(sent.map(async (one, at) => {
    const startedAt = performance.now();
    const { reply, status, isRefused } = await send(one, one.path, signal);
    return { isRefused, reply: readInferred(reply, status, named[at].name, performance.now() - startedAt) };
  }));
  return { sent, isRefused: all.some(({ isRefused }) => isRefused), replies: await Promise.all(all.map(({ reply }) => withTimes(reply))) };
}

/** @param {Sent} sent @param {string} path @param {AbortSignal} signal */
const send = (sent, path, signal) =>
  askGateway("infer", path, { method: "POST", body: sent.body, headers: { "content-type": sent.contentType, ...sent.extra }, signal });

/**
 * What the gateway remembers of a request that has no time line in its answer.
 * @param {Reply} reply @returns {Promise<Reply>}
 */
async function withTimes(reply) {
  const asked = await findAsked(reply.id);
  if (!asked) return reply;
  const { total_ms, times, calls } = readAsked(asked);
  return { ...reply, total_ms, times, calls };
}

/** @param {Input} input @param {{sent: Sent[], isRefused: boolean, replies: Reply[]}[]} sides */
function show(input, sides) {
  isWaiting = sides.some(({ isRefused }) => isRefused);
  const bad = sides.flatMap(({ replies }) => replies).find(({ problem }) => problem);
  const hasAnswer = sides.every(({ replies }) => replies.some(({ heads }) => heads.length));
  showAnswer(sides);
  hasAsked();
  if (bad?.problem && !hasAnswer) fail(isWaiting ? { ...bad.problem, code: bad.problem.code ?? "unauthorized", detail: "" } : bad.problem, () => ask(input)); // the field's words say it
  if (isWaiting) focusKey();
}

/** @param {Problem} problem @param {() => void} again */
function fail(problem, again) {
  const [what, next] = failure(problem, megabytes(about.max_picture_bytes), given?.kind !== "tensors");
  const mayRetry = problem.retryable || problem.code === "network";
  complain(what, next, mayRetry && button(".button.main", again, "Try again"),
    problem.detail && make("p.quiet", {}, `The details: ${problem.detail}`),
    problem.id && make("p.quiet", {}, "Request ", make("code", {}, problem.id)));
}

/**
 * Refuse what was given, before anything is sent.
 * @param {string} what @param {string} next
 */
function refuse(what, next) {
  underWay?.abort();
  given = null;
  complain(what, next);
}
