/** The widget for models that take no picture: a field for each number, whole number, text or choice of the metadata. */

import { button, make } from "./dom.js";
import { count, said } from "./text.js";

/** Numbers of one input that have a field each; more are typed or pasted as a list. */
const MOST_FIELDS = 16;
/** Names with which two fields stand beside each other. */
const SHORT = 14;
const WHOLE = /^U?INT(\d+)$/;

/**
 * @typedef {{draw: (input: Tensor) => HTMLElement, read: (field: HTMLElement) => unknown[]}} Widget
 * @type {Record<string, Widget>} by the kind of what is typed; another kind of input is one more
 */
const WIDGETS = {
  number: { draw: numberFields, read: (field) => controls(field).map((one) => Number(one.value)) },
  list: { draw: listField, read: (field) => numbersIn(controls(field)[0]?.value ?? "") },
  text: { draw: textFields, read: (field) => controls(field).map((one) => one.value) },
  choice: { draw: choiceFields, read: (field) => controls(field).map((one) => /** @type {HTMLInputElement} */ (one).checked) },
};

/**
 * @param {Tensor[]} inputs as the model's metadata names them @param {(input: Input) => void} take
 * @returns {HTMLElement}
 */
export function formWidget(inputs, take) {
  const fields = inputs.map((input) => ({ input, widget: WIDGETS[kindOf(input)], field: make("div") }));
  for (const each of fields) each.field = each.widget.draw(each.input);
  const send = () => {
    if (!fields.every(({ input, field }) => isRight(input, field))) return;
    const tensors = fields.map(({ input, widget, field }) => {
      const data = widget.read(field);
      return { name: input.name, datatype: input.datatype, shape: shapeOf(input, data.length), data };
    });
    take({ kind: "tensors", tensors });
  };
  const form = make("div.fields", { role: "group", "aria-label": "What the model takes" }, fields.map(({ field }) => field));
  form.addEventListener("keydown", (event) => {
    const isArea = event.target instanceof HTMLTextAreaElement;
    if (event.key === "Enter" && (!isArea || event.ctrlKey || event.metaKey)) send();
  });
  return make("div", {}, form, make("div.actions", {}, button(".button.main", send, "Send")));
}

/** @param {HTMLElement} field @returns {(HTMLInputElement|HTMLTextAreaElement)[]} */
const controls = (field) => [...field.querySelectorAll("input, textarea")].map((one) => /** @type {HTMLInputElement} */ (one));

/**
 * How many values of an input one row has; null where its shape leaves that open.
 * @param {Tensor} input
 */
function sizeOf({ shape }) {
  const rest = shape.slice(1);
  return rest.some((length) => length < 0) ? null : rest.reduce((product, length) => product * length, 1);
}

/** @param {Tensor} input */
function kindOf(input) {
  if (input.datatype === "BYTES") return "text";
  if (input.datatype === "BOOL") return "choice";
  const size = sizeOf(input);
  return size !== null && size <= MOST_FIELDS ? "number" : "list";
}

/**
 * The shape of one row: what the metadata leaves open is what was typed.
 * @param {Tensor} input @param {number} typed
 */
function shapeOf({ shape }, typed) {
  const known = shape.slice(1).reduce((product, length) => product * Math.max(1, length), 1);
  let left = Math.max(1, Math.round(typed / known));
  return [1, ...shape.slice(1).map((length) => {
    if (length >= 0) return length;
    const taken = left;
    left = 1;
    return taken;
  })];
}

/** @param {Tensor} input @param {...any} more */
const titled = (input, ...more) =>
  make("span.field-name", {}, make("span", { title: input.name }, said(input.name)), make("i", {}, more));

/** @param {Tensor} input */
function numberFields(input) {
  const size = sizeOf(input) ?? 1;
  const bits = WHOLE.exec(input.datatype);
  const range = bits ? wholeRange(input.datatype.startsWith("U"), Number(bits[1])) : { step: "any", inputmode: "decimal" };
  const one = (/** @type {number} */ at) => make("input", {
    type: "number", value: 0, required: true, ...range, "aria-label": size > 1 ? `${said(input.name)} ${at + 1}` : said(input.name),
  });
  const all = Array.from({ length: size }, (_, at) => one(at));
  return make(`div.field${size > 1 || input.name.length > SHORT ? ".wide" : ""}`, {}, titled(input, size > 1 && `${size} numbers`),
    make(`div.values${size > 1 ? ".several" : ""}`, {}, all));
}

/** @param {boolean} isUnsigned @param {number} bits */
function wholeRange(isUnsigned, bits) {
  const most = Math.min(2 ** (isUnsigned ? bits : bits - 1) - 1, Number.MAX_SAFE_INTEGER);
  return { step: 1, min: isUnsigned ? 0 : -most - (bits < 64 ? 1 : 0), max: most, inputmode: "numeric" };
}

/** @param {Tensor} input */
function listField(input) {
  const size = sizeOf(input);
  const words = size === null ? "numbers" : `${count(size)} numbers`;
  return make("label.field.wide", {}, titled(input, words),
    make("textarea", { rows: 4, spellcheck: "false", required: true, placeholder: "0.1, 0.2, …", "aria-label": `${said(input.name)}: ${words}, with commas or blanks between` }));
}

/** @param {Tensor} input */
function textFields(input) {
  return make("div.field.wide", {}, titled(input), Array.from({ length: sizeOf(input) ?? 1 }, (_, at) =>
    make("textarea", { rows: 3, placeholder: "Type or paste a text", "aria-label": `${said(input.name)}${at ? ` ${at + 1}` : ""}` })));
}

/** @param {Tensor} input */
function choiceFields(input) {
  const size = sizeOf(input) ?? 1;
  return make("div.field.wide", {}, Array.from({ length: size }, (_, at) =>
    make("label.check", {}, make("input", { type: "checkbox" }), make("span", {}, said(input.name), size > 1 && ` ${at + 1}`))));
}

/** @param {string} words */
const numbersIn = (words) => words.split(/[\s,;[\]]+/).filter(Boolean).map(Number);

/**
 * Whether what was typed can be sent; what cannot is said at its field.
 * @param {Tensor} input @param {HTMLElement} field
 */
function isRight(input, field) {
  return controls(field).every((one) => {
    if (kindOf(input) === "list") one.setCustomValidity(whyNoList(input, numbersIn(one.value)));
    return one.reportValidity();
  });
}

/** @param {Tensor} input @param {number[]} numbers */
function whyNoList(input, numbers) {
  const size = sizeOf(input);
  if (numbers.some((value) => !Number.isFinite(value))) return "Numbers alone, with commas or blanks between.";
  return size === null || numbers.length === size ? "" : `${count(size)} numbers are needed; ${count(numbers.length)} are here.`;
}
