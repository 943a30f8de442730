// Maps and bars.

const tint = share => `rgba(${colour(share < 0 ? "--less" : "--more")}, ${Math.min(1, Math.abs(share)).toFixed(3)})`;
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -1e9], End: [0, 1e9] };
// Tokens are written beside a map where a row is as high as a letter: in CSS pixels.
const LETTER = 10, GUTTER = 76;

function mapOf(part, title) {
  const canvas = make("canvas", null, { tabindex: 0, role: "application", "aria-roledescription": "map of scores",
    "aria-describedby": "maps-hint", "data-part": part });
  canvas.onclick = event => {
    const box = canvas.getBoundingClientRect(), { gutter, cell } = measure(canvas);
    const row = Math.floor((event.clientY - box.top - gutter) / cell), column = Math.floor((event.clientX - box.left - gutter) / cell);
    choose(row < 0 ? query : row, column < 0 ? key : column);
  };
  canvas.onkeydown = event => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    choose(query + move[0], key + move[1]);
  };
  return make("figure", null, { class: "map" }, make("figcaption", title), canvas);
}

function barsOf(part) {
  const ends = [found.distances[0], 0, found.distances.at(-1)].map(distance => make("span", signed(distance)));
  return make("figure", null, { class: "bars" }, make("figcaption", ""), make("canvas", null, { role: "img", "data-bars": part }),
    make("div", null, { class: "axis", "aria-hidden": "true" }, ...ends));
}

function draw() {
  const most = largest(found.scores.concat(...PARTS.map(([part]) => found[part] ?? [])));
  $("scale").replaceChildren(make("span", shown(-most)), make("span", null, { "aria-hidden": "true" }), make("span", shown(most)));
  document.querySelectorAll("canvas[data-part]").forEach(canvas => drawMap(canvas, most));
  document.querySelectorAll("canvas[data-bars]").forEach(drawBars);
}

function measure(canvas) {
  const width = canvas.clientWidth, size = found.tokens.length;
  const gutter = (width - GUTTER) / size >= LETTER ? GUTTER : 0;
  return { width, size, gutter, cell: (width - gutter) / size };
}

function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d");
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.scale(ratio, ratio);
  return context;
}

function drawMap(canvas, most) {
  const { width, size, gutter, cell } = measure(canvas), values = found[canvas.dataset.part];
  const context = sharp(canvas, width, width), gap = cell > 8 ? 1 : 0;
  values.forEach((row, i) => row.forEach((value, j) => {
    context.fillStyle = tint(value / most);
    context.fillRect(gutter + j * cell, gutter + i * cell, cell - gap, cell - gap);
  }));
  if (gutter) found.tokens.forEach((_, number) => drawName(context, number, gutter, cell));
  context.strokeStyle = colour("--line");
  context.strokeRect(gutter + .5, gutter + .5, size * cell - 1, size * cell - 1);
  context.strokeStyle = colour("--ink");
  context.lineWidth = 2;
  context.strokeRect(gutter + key * cell, gutter + query * cell, Math.max(4, cell - gap), Math.max(4, cell - gap));
  canvas.setAttribute("aria-label", `${PARTS.find(([part]) => part === canvas.dataset.part)[1]}, ${size} by ${size} scores; `
    + `query ${name(query)}, key ${name(key)}: ${shown(values[query][key])}`);
}

function drawName(context, number, gutter, cell) {
  const letters = characters(name(number)), text = letters.length > 10 ? `${letters.slice(0, 9).join("")}…` : letters.join("");
  const place = gutter + (number + .5) * cell;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const [chosen, x, y, turn] of [[number === query, gutter - 5, place, 0], [number === key, place, gutter - 5, Math.PI / 2]]) {
    context.save();
    context.translate(x, y);
    context.rotate(turn);
    context.font = `${chosen ? 700 : 400} ${Math.min(13, cell)}px system-ui, sans-serif`;
    context.fillStyle = colour(chosen ? "--ink" : "--soft");
    context.fillText(text, 0, 0);
    context.restore();
  }
}

function drawBars(canvas) {
  const part = canvas.dataset.bars, owner = part.startsWith("c2p") ? query : key, values = found[part][owner];
  const width = canvas.clientWidth, height = canvas.clientHeight, context = sharp(canvas, width, height);
  const most = largest(found[part]), step = width / values.length, middle = height / 2, chosen = key - query + found.tokens.length - 1;
  context.fillStyle = colour("--panel");
  context.fillRect(chosen * step, 0, Math.max(2, step), height);
  context.fillStyle = colour("--edge");
  context.fillRect(0, middle - .5, width, 1);
  values.forEach((value, number) => {
    const long = Math.abs(value) / most * (middle - 10);
    context.fillStyle = tint(Math.sign(value));
    context.fillRect((number + .1) * step, value > 0 ? middle - long : middle, Math.max(1, step * .8), long);
  });
  context.fillStyle = colour("--ink");
  context.fillRect(chosen * step, 0, Math.max(2, step), 4);
  const place = find => found.distances[values.indexOf(find(...values))];
  canvas.previousElementSibling.textContent = `${BARS.find(([one]) => one === part)[1]} ${name(owner)}`;
  canvas.setAttribute("aria-label", `${canvas.previousElementSibling.textContent}, for distances ${signed(found.distances[0])} to `
    + `${signed(found.distances.at(-1))}: least at ${signed(place(Math.min))}, most at ${signed(place(Math.max))}, `
    + `${shown(values[chosen])} at the chosen ${signed(key - query)}`);
}

new ResizeObserver(() => found && draw()).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => found && (showTokens(), choose(query, key)));
