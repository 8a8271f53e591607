// Leaves a page with patients on it when the session ends, so that nobody reads over an empty chair.
const PERIOD_MS = 10_000;

async function beat() {
  try {
    const answer = await fetch("/pulse", { cache: "no-store" });
    if (answer.status === 401) location.replace("/sign-in");
  } catch {
    document.getElementById("fresh").textContent = "no connection to the appliance";
  }
}

setInterval(beat, PERIOD_MS);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
