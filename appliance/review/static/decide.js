// Keys of the decision form: A, D and U choose, Ctrl+Enter signs and goes on. They never fire while somebody types.
const form = document.getElementById("decide");
const CHOICES = { a: "agree", d: "correct", u: "cannot_tell" };

function fit() {
  const chosen = form.elements.decision.value;
  const reason = form.elements.reason;
  for (const group of reason.querySelectorAll("optgroup")) group.disabled = chosen !== "" && group.dataset.for !== chosen;
  if (reason.selectedOptions[0]?.closest("optgroup")?.disabled) reason.value = "";
}

if (form) {
  fit();
  form.addEventListener("change", (event) => { if (event.target.name === "decision") fit(); });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === "Enter" && (form.contains(event.target) || !event.target.closest("form"))) {
      event.preventDefault();
      form.requestSubmit(form.elements.next);
      return;
    }
    const typing = event.target.closest("input:not([type=radio], [type=checkbox]), textarea, select, dialog");
    const off = document.getElementById("keys")?.checked === false;
    const choice = CHOICES[event.key.toLowerCase()];
    if (!choice || typing || off || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const radio = form.querySelector(`input[name=decision][value=${choice}]`);
    radio.checked = true;
    radio.focus();
    fit();
  });
}
document.getElementById("mistake")?.scrollIntoView({ block: "nearest" });
// After a mistake the address is the form's, which cannot be opened again: reload and lock lead to the study itself.
const place = location.pathname.replace(/\/(sign|addendum|critical|impression)$/, "");
if (place !== location.pathname) history.replaceState(null, "", place);
