/** Words to copy, and commands as the pipeline that is shown needs them. Without TLS and off this machine, browsers give a page no clipboard: then they are selected. */

import { button, make, say, spoken } from "./dom.js";

/**
 * @param {Element} shown whose words are copied, or selected where there is no clipboard
 * @returns {Promise<boolean>} whether the clipboard has them
 */
export async function copy(shown) {
  const clipboard = /** @type {Clipboard|undefined} */ (navigator.clipboard);
  const isDone = clipboard ? await clipboard.writeText(shown.textContent ?? "").then(() => true, () => false) : false;
  if (!isDone) getSelection()?.selectAllChildren(shown);
  say(isDone ? "Copied." : "Selected: copy it with your keyboard.");
  return isDone;
}

/** @param {string} words as one word of a POSIX shell */
export const quoted = (words) => `'${words.replaceAll("'", "'\\''")}'`;

/**
 * Say of which of several pipelines a command is, where splitway up was told.
 * @param {string} words @param {string} option @param {string|null|undefined} value
 */
export const told = (words, option, value) => (value ? `${words} ${option} ${/^[\w./-]+$/.test(value) ? value : quoted(value)}` : words);

/**
 * A command to paste into a terminal.
 * @param {string} words
 */
export const command = (words) =>
  make("span.cmd", {}, make("code", {}, words), button(".copies", copyBeside, "Copy", spoken(` ${words}`)));

/**
 * Copy what stands beside the button as it is by now: what is live changes.
 * @param {Event} event
 */
async function copyBeside({ currentTarget }) {
  const pressed = /** @type {Element} */ (currentTarget);
  const beside = /** @type {Element} */ (pressed.previousElementSibling);
  if ((await copy(beside)) && pressed.firstChild) pressed.firstChild.nodeValue = "Copied";
}
