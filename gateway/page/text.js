/** Numbers and words as people say them. */

export const THIN = "\u202f";

/** @param {number|null|undefined} value */
export const ms = (value) => {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)}${THIN}s`;
  return `${value.toFixed(value >= 100 ? 0 : value >= 1 ? 1 : 2)}${THIN}ms`;
};
/** @param {number} share @param {number} [digits] */
export const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)}${THIN}%`;
/** @param {number|undefined} value */
export const count = (value) => String(value ?? 0).replace(/\B(?=(\d{3})+$)/g, THIN); // the browser's own way is slow
/** @param {number} value a rate or a size, without its unit */
export const figure = (value) => (value >= 1000 ? count(Math.round(value)) : value.toFixed(value >= 100 ? 0 : 1));
/** @param {number|undefined} value */
export const rate = (value) => (value === undefined ? "–" : `${figure(value)}${THIN}/s`);
/** @param {number} bytes */
export const megabytes = (bytes) => `${+(bytes / 1024 / 1024).toFixed(1)}${THIN}MiB`;
/** @param {number} number @param {string} word @param {string} [words] */
export const times = (number, word, words = `${word}s`) => `${count(number)} ${number === 1 ? word : words}`;
/** @param {string} url */
export const address = (url) => url.replace(/^https?:\/\//, "");
/** @param {number} at milliseconds since 1970 */
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

/** @type {Record<string, string>} how an attempt or a request ended, where its outcome's name is not said as it is */
const ENDS = {
  ok: "answered",
  overloaded: "turned away",
  deadline_exceeded: "took too long",
  caller_deadline: "caller's time was up",
  bad_stage_answer: "answered nonsense",
  engine_failed: "model failed",
  feature_space_mismatch: "foreign features",
  invalid_input: "refused the input",
};
/** @param {string} word */
export const said = (word) => word.replaceAll("_", " ");
/** @param {string} outcome */
export const end = (outcome) => ENDS[outcome] ?? said(outcome);
/** Codes of what callers did themselves: the pipeline is well. */
const CALLERS_OWN = new Set(["cancelled", "caller_deadline", "invalid_input", "too_large", "unsupported_media_type", "not_found", "method_not_allowed", "slow_body"]);
/** @param {string} outcome */
export const isFailure = (outcome) => outcome !== "ok" && !CALLERS_OWN.has(outcome);

/** @type {Record<string, string>} what a key does not do without a scope */
const WITHOUT = { infer: "classify pictures", metrics: "show the pipeline" };

/**
 * How it stands with the API key.
 * @param {boolean} hasKey
 * @param {string|null} wrong what was said of the last key, where it was not taken
 * @param {string[]} lacking the scopes that the key in use has not
 */
export function keyWords(hasKey, wrong, lacking) {
  if (hasKey && !lacking.length) return "Your key is in use. This page forgets it when it is closed or loaded again.";
  if (hasKey) {
    return lacking.map((scope) => `Your key does not ${WITHOUT[scope]}: it lacks the scope ${scope}.`).join(" ");
  }
  if (wrong !== null) return `The gateway does not accept this key${wrong ? `: ${wrong}` : ""}.`;
  return "This gateway requires a key. Its operator can give you one.";
}
