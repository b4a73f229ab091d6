/** Words that are explained: on hover, on focus and on tap; the explanations stand at the end of the page. */

import { byId, make } from "./dom.js";

/** @param {string} key of the explanation @param {string} [words] what is shown */
export const term = (key, words = key) =>
  make("button.term", { type: "button", "data-term": key, "aria-describedby": `word-${key}` }, words);

export function explainWords() {
  for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, show);
  document.addEventListener("focusout", () => (byId("tip").hidden = true));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") byId("tip").hidden = true;
  });
}

/** @param {Event} event */
function show({ target }) {
  const tip = byId("tip");
  const word = /** @type {Element} */ (target).closest?.("[data-term]");
  if (!(word instanceof HTMLElement)) {
    if (!tip.contains(target)) tip.hidden = true;
    return;
  }
  tip.textContent = byId(`word-${word.dataset.term}`).textContent;
  tip.hidden = false;
  const at = word.getBoundingClientRect();
  const widest = document.documentElement.clientWidth - tip.offsetWidth - 8;
  const isBelow = at.bottom + tip.offsetHeight + 12 < innerHeight;
  tip.style.setProperty("--x", `${Math.max(8, Math.min(at.left, widest))}px`);
  tip.style.setProperty("--y", `${scrollY + (isBelow ? at.bottom + 6 : at.top - tip.offsetHeight - 6)}px`);
}
