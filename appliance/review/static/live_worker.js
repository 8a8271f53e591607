// Holds the one stream of this browser and passes what it says on to every tab; opens it again when it breaks.
const AGAIN_MS = 3_000;
const ports = new Set();
let stream = null;
let waiting = 0;
let last = "";

function open() {
  clearTimeout(waiting);
  if (stream || !ports.size) return;
  stream = new EventSource("/events");
  for (const kind of ["changed", "beat", "gone"])
    stream.addEventListener(kind, () => { if (kind === "changed") last = kind; for (const port of ports) port.postMessage(kind); });
  stream.addEventListener("gone", close);
  // A refusal ends an EventSource for good; a broken line it opens again by itself.
  stream.onerror = () => { if (stream?.readyState === EventSource.CLOSED) close(); };
}

function close() {
  stream?.close();
  stream = null;
  clearTimeout(waiting);
  if (ports.size) waiting = setTimeout(open, AGAIN_MS);
}

onconnect = ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = ({ data }) => {
    if (data !== "bye") return;
    ports.delete(port);
    if (!ports.size) close();
  };
  if (last) port.postMessage(last);
  open();
};
