/**
 * The API key, where the gateway asks for one.
 *
 * It is kept in this module's memory alone. The browser's storage would carry it over a reload, but is written to the
 * disk with the session, and can be read by whatever else the same host serves.
 */

import { byId, make, write } from "./dom.js";
import { keyWords } from "./text.js";

/** What a header can carry, and every key is made of. */
const CAN_BE_SENT = /^[!-~]+$/;
const NO_KEY = "This is no key: a key is one word of letters, digits and signs.";

let key = "";
/** Whether the gateway has asked for a key; until then nothing of this is seen. */
let isAsked = false;
/** @type {string|null} what the gateway said of the last key that it did not take */
let wrong = null;
/** @type {Set<string>} what the key in use is not enough for */
const lacking = new Set();
/** @type {((hasKey: boolean) => void)[]} */
const listeners = [];

/** @param {(hasKey: boolean) => void} listener called whenever there is another key, or none any more */
export const onKeyChange = (listener) => listeners.push(listener);

/**
 * Ask the gateway, without following redirects, with the key if there is one.
 * @param {string} scope what the key has to allow: `infer` or `metrics`
 * @param {string} path
 * @param {RequestInit} options
 * @returns {Promise<{status: number, reply: any, isRefused: boolean}>} what it says, and whether it is about the key
 */
export async function askGateway(scope, path, options) {
  const sent = key;
  const headers = { ...options.headers, ...(sent ? { authorization: `Bearer ${sent}` } : {}) };
  const response = await fetch(path, { ...options, headers, redirect: "error" });
  const reply = await response.json().catch(() => ({})); // what stands between may answer in another form
  const { status } = response;
  reply.id ||= response.headers.get("x-request-id");
  const isRefused = status === 401 || (status === 403 && reply.code === "forbidden");
  if (sent === key) learn(scope, isRefused ? status : 0, reply.detail);
  return { status, reply, isRefused };
}

/** Whether requests carry a key. */
export const hasKey = () => key !== "";

/** Let the reader of the page type a key. */
export const focusKey = () => byId("api-key")?.focus();

/** @param {string} scope @param {number} refusal the status, or 0 @param {string|undefined} detail */
function learn(scope, refusal, detail) {
  if (!refusal && !isAsked) return;
  if (refusal === 401) {
    if (key) wrong = detail ?? "";
    key = "";
    lacking.clear();
  } else if (refusal) lacking.add(scope);
  else lacking.delete(scope);
  isAsked = Boolean(refusal || key);
  draw();
  if (!isAsked) tell(); // it has stopped asking
}

/** @param {string} next */
function use(next) {
  key = next;
  wrong = null;
  lacking.clear();
  draw();
  tell();
}

function tell() {
  for (const listener of listeners) listener(key !== "");
}

function draw() {
  if (!byId("api-key")) build();
  const focused = document.activeElement;
  byId("key").hidden = !isAsked;
  byId("links").hidden = isAsked; // a link carries no key
  byId("key-field").hidden = key !== "" && lacking.size === 0;
  byId("key-forget").hidden = key === "";
  write("key-says", keyWords(key !== "", wrong, [...lacking]));
  if (byId("key").contains(focused) && focused?.closest("[hidden]")) byId(key ? "key-forget" : "api-key").focus();
}

/** Make the field, which a page that needs none does not have. */
function build() {
  const field = /** @type {HTMLInputElement} */ (make("input", {
    id: "api-key", type: "password", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    "aria-describedby": "key-says",
  }));
  const take = () => {
    const typed = field.value.trim();
    if (!CAN_BE_SENT.test(typed)) return write("key-says", NO_KEY);
    field.value = ""; // the document need not hold it any longer
    use(typed);
  };
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // or it would press the button that has the focus by then
    take();
  });
  const button = make("button", { type: "button", click: take }, "Use the key");
  byId("key").append(
    make("p", { id: "key-says", "aria-live": "polite" }),
    make("div.key-field", { id: "key-field" }, make("label", { for: "api-key" }, "API key"), field, button),
    make("button.plain", { id: "key-forget", type: "button", hidden: true, click: () => use("") }, "Forget the key"),
  );
}
