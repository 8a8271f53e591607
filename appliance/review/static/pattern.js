// Draws the test pattern pixel for pixel: the browser may neither scale nor smooth it, or the finest lines are a lie.
const canvas = document.getElementById("pattern");
const told = JSON.parse(canvas.dataset.drawing);

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const room = Math.min(canvas.parentElement.clientWidth, window.innerHeight * 0.76);
  const side = Math.max(256, Math.floor(Math.min(room * ratio, told.side * ratio)));
  canvas.width = canvas.height = side;
  canvas.style.width = canvas.style.height = `${side / ratio}px`;
  const pen = canvas.getContext("2d", { alpha: false });
  const scale = side / told.side;
  const at = (units) => Math.round(units * scale);
  const grey = (level) => `rgb(${level} ${level} ${level})`;
  pen.fillStyle = grey(told.background);
  pen.fillRect(0, 0, side, side);
  for (const [level, x, y, width] of told.patches) {
    pen.fillStyle = grey(level);
    pen.fillRect(at(x), at(y), at(x + width) - at(x), at(y + width) - at(y));
  }
  pairs(pen, at);
  pen.strokeStyle = grey(255);
  pen.strokeRect(0.5, 0.5, side - 1, side - 1);
  canvas.dataset.ready = "yes";
  document.getElementById("zoomed").hidden = Number.isInteger(ratio);
}

function pairs(pen, at) {
  // Black and white in the screen's own pixels, upright above and lying below.
  const width = at(96);
  told.pairs.forEach((pixels, n) => {
    const left = at(128 + n * 288);
    for (const [top, lying] of [[at(832), false], [at(928), true]]) {
      for (let offset = 0; offset < (lying ? at(80) : width); offset += pixels) {
        pen.fillStyle = (offset / pixels) % 2 ? "rgb(255 255 255)" : "rgb(0 0 0)";
        if (lying) pen.fillRect(left, top + offset, width, pixels);
        else pen.fillRect(left + offset, top, pixels, at(80));
      }
    }
  });
}

draw();
addEventListener("resize", draw);
document.getElementById("whole")?.addEventListener("click", () => canvas.requestFullscreen?.());
