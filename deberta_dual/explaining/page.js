"use strict";
const $ = id => document.getElementById(id);
const fixed = JSON.parse($("data").textContent);
const PARTS = [["content", "content to content"], ["c2p", "content to position"], ["p2c", "position to content"],
  ["scores", "sum of the parts"]];
const BARS = [["c2p_by_distance", "content to position, of query"], ["p2c_by_distance", "position to content, of key"]];
// What is shown, the texts it is of, the chosen pair of tokens, and the number of the last request.
let found = null, texts = [], query = 0, key = 0, asked = 0;

function make(tag, text, attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const minus = text => text.replace("-", "\u2212");
const shown = value => value === null ? "–" : minus(value.toFixed(4));
const signed = number => number > 0 ? `+${number}` : minus(String(number));
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const largest = values => values.flat().reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
const characters = text => Array.from(text);  // the server counts characters, not halves of them
// A token as the text has it; special ones, and parts of characters, as the vocabulary has them.
const named = token => (token.part === null ? "" : characters(texts[token.part] ?? "").slice(token.start, token.end).join("").trim())
  || token.text;
const name = number => named(found.tokens[number]);

// Asking the server.

const headers = () => {
  const secret = new URLSearchParams(location.hash.slice(1)).get("key");  // a part of the address that is not sent
  return { "Content-Type": "application/json", ...(secret && { Authorization: `Bearer ${secret}` }) };
};

async function ask(route, body) {
  const options = { headers: headers(), ...(body && { method: "POST", body: JSON.stringify(body) }) };
  const answer = await fetch(route, options).catch(() => { throw new Error("The server does not answer. Is it still running?"); });
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  const text = content.error || `the server answered with status ${answer.status}.`;
  throw new Error(text[0].toUpperCase() + text.slice(1) + (answer.status === 401 ? " On this page: add #key=KEY to its address." : ""));
}

async function explain(event) {
  if (event) event.preventDefault();
  const number = ++asked, given = [$("text").value, $("pair").value];
  $("problem").textContent = "";
  $("progress").textContent = "Explaining …";
  $("go").setAttribute("aria-disabled", "true");
  $("result").setAttribute("aria-busy", "true");
  try {
    const explanation = await ask("explain", {
      ...($("model").value && { model: $("model").value }), text: given[0], text_pair: given[1] || null,
      layer: Number($("layer").value), head: Number($("head").value), target: $("target").value || null,
    });
    if (number === asked) show(explanation, given);
  } catch (problem) {
    if (number === asked) $("problem").textContent = problem.message;
  } finally {
    if (number === asked) {
      $("progress").textContent = "";
      $("go").removeAttribute("aria-disabled");
      $("result").removeAttribute("aria-busy");
    }
  }
}

function restart() {  // another model has other layers, heads and classes
  $("layer").replaceChildren(make("option", "last", { value: -1 }));
  $("head").replaceChildren(make("option", "0", { value: 0 }));
  $("target").value = "";
}

// Showing what it answered.

function show(explanation, given) {
  if (!found || found.tokens.length !== explanation.tokens.length) query = key = Math.min(1, explanation.tokens.length - 1);
  [found, texts] = [explanation, given];
  fill($("layer"), found.layers, found.layer);
  fill($("head"), found.heads, found.head);
  $("maps-title").textContent = `Scores before softmax, layer ${found.layer}, head ${found.head}`;
  $("result").classList.remove("hidden");
  $("answer").replaceChildren(answerOf(found.answer));
  showTokens();
  $("maps").replaceChildren(...PARTS.filter(([part]) => found[part]).map(([part, title]) => mapOf(part, title)));
  $("bars").replaceChildren(...BARS.filter(([part]) => found[part]).map(([part]) => barsOf(part)));
  $("bars").parentElement.classList.toggle("hidden", !$("bars").childElementCount);
  choose(query, key);
}

function fill(select, count, chosen) {
  select.replaceChildren(...Array.from({ length: count }, (_, number) => make("option", String(number), { value: number })));
  select.value = String(chosen);
}

function answerOf(answer) {
  if (answer === null) return make("p", "This model gives vectors or scores of pairs: there is no class to show.");
  const rows = Array.isArray(answer) ? answer.flat() : [answer];
  if (!rows.length) return make("p", "No entities were found.");
  if ("entity_group" in rows[0]) return marked(texts[0], rows);
  if ("answer" in rows[0]) return marked(texts[1], rows.map(row => ({ ...row, entity_group: "answer" })));
  const table = make("table", null, { "aria-labelledby": "answer-title" });
  for (const row of rows) {
    const share = make("span", null, { class: "share", "aria-hidden": "true" }, make("span", null));
    share.firstChild.style.width = `${100 * Math.min(1, Math.max(0, row.score))}%`;
    table.append(make("tr", null, {}, make("th", row.label ?? row.token_str, { scope: "row" }), make("td", shown(row.score)),
      make("td", null, {}, share)));
  }
  return table;
}

function marked(text, rows) {
  const letters = characters(text), groups = [...new Set(rows.map(row => row.entity_group))].sort(), place = make("p", null, { dir: "auto" });
  let last = 0;
  for (const row of rows.filter(row => row.end > row.start)) {
    const mark = make("mark", letters.slice(row.start, row.end).join(""), {}, make("small", `${row.entity_group} ${shown(row.score)}`));
    mark.style.background = `var(--name${groups.indexOf(row.entity_group) % 6})`;
    place.append(letters.slice(last, row.start).join(""), mark);
    last = row.end;
  }
  place.append(letters.slice(last).join(""));
  return place;
}

function showTokens() {
  const values = found.attributions, most = values ? largest([values]) : 1, target = found.target;
  const what = target && `${target.output}${target.label ? ` of “${target.label}”` : ""}`;
  $("about").textContent = values
    ? `Blue tokens raise the model's ${what}, orange ones lower it, against a text of mask tokens. Together `
      + `${shown(found.value - found.baseline_value)}. Choose a token as the query.`
    : "A model without a head has nothing to attribute. Choose a token as the query.";
  $("tokens").replaceChildren(...found.tokens.map((token, number) => {
    const label = `${name(number)}${values ? `, ${shown(values[number])}` : ""}`;
    const button = make("button", name(number), { type: "button", "aria-label": label, "aria-pressed": "false", title: label });
    if (values) button.style.background = tint(.5 * values[number] / most);
    button.onclick = () => choose(number, key);
    const before = found.tokens[number - 1];
    const joined = token.part !== null && before?.part === token.part && before.end === token.start && !/^[\u2581\u0120 ]/.test(token.text);
    return make("li", null, { class: token.part === null ? "special" : joined ? "joined" : "" }, button);
  }));
}

function choose(row, column) {
  const size = found.tokens.length, within = number => Math.max(0, Math.min(size - 1, number));
  [query, key] = [within(row), within(column)];
  $("tokens").querySelectorAll("button").forEach((button, number) => button.setAttribute("aria-pressed", number === query));
  const parts = PARTS.filter(([part]) => part !== "scores" && found[part]).map(([part, title]) => `${title} ${shown(found[part][query][key])}`);
  $("readout").replaceChildren(
    make("p", null, {}, "Query ", make("strong", name(query)), ", key ", make("strong", name(key)), `, distance ${signed(key - query)}`),
    make("p", `${parts.join(" + ")} = ${shown(found.scores[query][key])}; probability ${shown(found.probabilities[query][key])}`));
  showNumbers();
  draw();
}

function showNumbers() {
  const parts = PARTS.filter(([part]) => found[part]), titles = ["distance", ...parts.map(([, title]) => title), "probability"];
  if (found.attributions) titles.push("attribution");
  const head = make("tr", null, {}, ...["key", ...titles].map(title => make("th", title, { scope: "col" })));
  $("numbers").replaceChildren(make("caption", `Query ${name(query)}`), head, ...found.tokens.map((_, number) => {
    const values = [...parts.map(([part]) => found[part][query][number]), found.probabilities[query][number]];
    if (found.attributions) values.push(found.attributions[number]);
    return make("tr", null, number === key ? { "aria-current": "true" } : {}, make("th", name(number), { scope: "row" }),
      make("td", signed(number - query)), ...values.map(value => make("td", shown(value))));
  }));
}

/* page_charts.js */

if (fixed) {
  $("fixed").classList.remove("hidden");
  $("fixed").textContent = fixed.texts.filter(Boolean).join("\n");
  for (const part of fixed.tables) {
    fixed.explanation[part] = fixed.explanation[part]?.map(row => row.map(value => value / fixed.unit));
  }
  show(fixed.explanation, fixed.texts);
  $("form").remove();
} else {
  $("form").onsubmit = explain;
  for (const box of ["text", "pair"]) $(box).onkeydown = event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  };
  for (const select of ["model", "layer", "head"]) $(select).onchange = () => {
    if (select === "model") restart();
    if ($("text").value) explain();
  };
  ask("info").then(info => $("model").replaceChildren(...info.models.map(one => make("option", one))))
    .catch(problem => { $("problem").textContent = problem.message; });
}
