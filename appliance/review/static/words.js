// What the scripts say, in the reader's language: English stands in the code, the server hands over the rest (data-words).
const told = JSON.parse(document.body.dataset.words || "{}");
const comma = (1.1).toLocaleString(document.documentElement.lang || "en").charAt(1);

/** A sentence; %(name)s in it takes a value. */
export function say(english, values = {}) {
  return (told[english] ?? english).replace(/%\((\w+)\)s/g, (_all, name) => values[name]);
}

/** A number as the reader writes it. */
export function figure(number) {
  return String(number).replace(".", comma);
}
