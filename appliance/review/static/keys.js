// Keys of every page: ? opens the list of keys, and its switch turns single keys off in this browser (WCAG 2.1.4).
const help = document.getElementById("help");
const on = document.getElementById("keys-on");
const SWITCH = "keys-off";

on.checked = localStorage.getItem(SWITCH) !== "yes";
document.documentElement.dataset.keys = on.checked ? "on" : "off";
const own = document.getElementById("keys"); // of the viewer, for this page alone
if (own && !on.checked) own.checked = false;
on.addEventListener("change", () => {
  document.documentElement.dataset.keys = on.checked ? "on" : "off";
  if (on.checked) localStorage.removeItem(SWITCH); else localStorage.setItem(SWITCH, "yes");
});
document.getElementById("keys-help").addEventListener("click", () => help.showModal());
document.getElementById("keys-close").addEventListener("click", () => help.close());
addEventListener("keydown", (event) => {
  if (event.key !== "?" || !on.checked || event.ctrlKey || event.altKey || event.metaKey || typing(event)) return;
  event.preventDefault();
  help.showModal();
});

/** Whether a key goes into a field, or a dialog stands open: then it is not one of ours. */
export function typing(event) {
  return event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, dialog, [contenteditable]") != null;
}
