/** Numbers and failures as people say them. */

const THIN = "\u202f";

/** @param {number|null|undefined} value */
export const ms = (value) => {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)}${THIN}s`;
  return `${value.toFixed(value >= 100 ? 0 : value >= 1 ? 1 : 2)}${THIN}ms`;
};
/** @param {number} share */
export const percent = (share) => `${(share * 100).toFixed(1)}${THIN}%`;
/** @param {number|undefined} value */
export const count = (value) => (value ?? 0).toLocaleString("en").replaceAll(",", THIN);
/** @param {number|undefined} value */
export const rate = (value) => (value === undefined ? "–" : `${value.toFixed(value >= 100 ? 0 : 1)}${THIN}/s`);
/** @param {number} bytes */
export const megabytes = (bytes) => `${+(bytes / 1024 / 1024).toFixed(1)}${THIN}MiB`;
/** @param {string} url */
export const address = (url) => url.replace(/^https?:\/\//, "");

/** @type {Record<string, string>} how an attempt or a hop ended, where its outcome's name is not said as it is */
const ENDS = {
  ok: "answered",
  overloaded: "turned away",
  deadline_exceeded: "took too long",
  bad_stage_answer: "answered nonsense",
  engine_failed: "model failed",
  feature_space_mismatch: "foreign features",
  invalid_input: "refused the picture",
};
/** @param {string} word */
export const said = (word) => word.replaceAll("_", " ");
/** @param {string} outcome */
export const end = (outcome) => ENDS[outcome] ?? said(outcome);

/** @type {Object<string, (stage: string, limit: string) => [string, string]>} */
const FAILURES = {
  unauthorized: () => ["The gateway asks who you are.", "Give your API key above: the picture is then sent again."],
  forbidden: () => ["Your key does not allow this.", "Give one above that has the scope infer."],
  invalid_input: () => [
    "This picture cannot be read.",
    "Choose another one, or open it in a picture program and save it again as JPEG or PNG.",
  ],
  too_large: (_, limit) => [
    "This picture is too large.",
    `Make it smaller: at most ${limit} are taken, and not too many pixels.`,
  ],
  unsupported_media_type: () => ["This kind of file is not taken.", "Choose a JPEG, PNG or WebP picture."],
  rate_limited: () => ["You ask more often than this gateway allows.", "Wait a moment, then try again."],
  unavailable: (stage) => [
    `${stage} is not available.`,
    "The pipeline below shows which replica is missing. Start it again, then try again.",
  ],
  overloaded: () => [
    "The pipeline is overloaded.",
    "Wait a moment, then try again; if it goes on, add replicas of the slowest stage.",
  ],
  deadline_exceeded: (stage) => [
    `${stage} took too long.`,
    "Try again; if it goes on, look below for a replica that is slow or busy.",
  ],
  bad_stage_answer: (stage) => [
    `${stage} gave an answer that makes no sense.`,
    "Try again; if it goes on, look into that stage’s log.",
  ],
  engine_failed: (stage) => [
    `${stage} could not run its model.`,
    "Look into that stage’s log; the same picture is likely to fail again.",
  ],
  feature_space_mismatch: () => [
    "The head was trained on other features than the extractor gives.",
    "Deploy a head and an extractor of one feature space; both are shown below.",
  ],
  not_found: () => [
    "The gateway does not know what was asked for.",
    "Reload the page: it may be of another version than the gateway.",
  ],
  network: () => [
    "The gateway does not answer.",
    "Check that it runs and that you are connected to it, then try again.",
  ],
};

/**
 * What went wrong, and what to do next.
 * @param {Problem} problem
 * @param {string} limit how large a picture may be
 */
export function failure(problem, limit) {
  const stage = problem.stage ? `The stage ${problem.stage}` : "A stage";
  const otherwise = () => [
    `The gateway could not answer${problem.status ? ` (status ${problem.status})` : ""}.`,
    problem.retryable ? "Try again in a moment." : "The gateway’s log says more; search it for the request id.",
  ];
  return (FAILURES[problem.code ?? ""] ?? otherwise)(stage, limit);
}

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
