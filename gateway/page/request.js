/** A request as the page sends it, and the same for a shell or a script. A key is named by its variable, never written out. */

import { quoted } from "./copy.js";

/** Heads that the gateway takes by name; of more, all are asked and those that are picked are shown. */
const MOST_NAMED = 16;

/**
 * @param {Input} input @param {string[]} heads to name; none asks the default one @param {string|null} canary `always` or `never`
 * @param {boolean} isAll whether these are all heads that give classes
 * @returns {Sent}
 */
export function classifyRequest(input, heads, canary, isAll) {
  if (input.kind !== "image") throw new Error("only pictures are classified");
  const names = (isAll && heads.length > 1) || heads.length > MOST_NAMED ? "*" : heads.map(encodeURIComponent).join();
  return {
    path: `v1/classify${names && `?heads=${names}`}`, contentType: input.file.type, body: input.file,
    extra: canary ? { "x-splitway-canary": canary } : {}, input,
  };
}

/**
 * @param {Input} input @param {Offered} head @param {string|null} canary
 * @returns {Promise<Sent>}
 */
export async function inferRequest(input, head, canary) {
  const inputs = input.kind === "tensors" ? input.tensors : [await asTensor(input.file)];
  const classes = head.outputs.filter(({ name, shape }) => name === "probabilities" && shape.length === 2);
  const outputs = classes.map(({ name }) => ({ name, parameters: { classification: 5 } }));
  const asked = { inputs, ...(head.name ? { parameters: { head: head.name } } : {}), ...(outputs.length ? { outputs } : {}) };
  return {
    path: "v2/models/pipeline/infer", contentType: "application/json", body: JSON.stringify(asked),
    extra: canary ? { "x-splitway-canary": canary } : {}, input,
  };
}

/**
 * A picture within JSON.
 * @param {File} file
 */
async function asTensor(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return { name: "image", datatype: "BYTES", shape: [1], parameters: { content_type: "base64" }, data: [btoa(text)] };
}

const at = (/** @type {string} */ path) => new URL(path, document.baseURI).href;
const KEY = "authorization: Bearer $SPLITWAY_API_KEY";

/** @param {Sent} sent @param {boolean} hasKey */
export function asCurl({ path, contentType, body, extra, input }, hasKey) {
  const headers = Object.entries({ "content-type": contentType, ...extra }).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  if (hasKey) headers.push(`-H "${KEY}"`);
  const url = quoted(at(path));
  if (typeof body === "string") return ["curl -s", ...headers, `--data-raw ${quoted(body)}`, url].join(" \\\n  ");
  const sample = input.kind === "image" ? input.url : null;
  const data = sample ? "--data-binary @-" : `--data-binary ${quoted(`@${/** @type {File} */ (body).name || "picture"}`)}`;
  return `${sample ? `curl -s ${quoted(at(sample))} |\n` : ""}${["curl -s", ...headers, data, url].join(" \\\n  ")}`;
}

/** @param {Sent} sent @param {boolean} hasKey */
export function asPython({ path, contentType, body, extra, input }, hasKey) {
  const text = (/** @type {unknown} */ value) => JSON.stringify(value); // is Python's form too, for words and numbers
  const headers = Object.entries({ "content-type": contentType, ...extra }).map(([name, value]) => `${text(name)}: ${text(value)}`);
  if (hasKey) headers.push('"authorization": "Bearer " + os.environ["SPLITWAY_API_KEY"]');
  const sample = input.kind === "image" ? input.url : null;
  const data = typeof body === "string" ? `${text(body)}.encode()`
    : sample ? `urlopen(${text(at(sample))}).read()` : `open(${text(/** @type {File} */ (body).name || "picture")}, "rb").read()`;
  return `import json${hasKey ? ", os" : ""}
from urllib.request import Request, urlopen

data = ${data}
headers = {${headers.join(", ")}}
print(json.load(urlopen(Request(${text(at(path))}, data, headers))))
`;
}
