
// ---- tables with all rows, sorted and filtered

const PAGE = 50;
function grid(id, rows, cells, keys, find, order, kinds = null) {
  const table = document.getElementById(id);
  if (!table) return null;
  const body = table.tBodies[0];
  let most = PAGE, sorted = order, up = false, words = [], kind = null;
  const box = make("input", { type: "search", placeholder: "Filter: all words must occur" });
  box.setAttribute("aria-label", `Filter ${id}`);
  const count = make("span", { className: "count" });
  count.setAttribute("role", "status");
  const more = make("button", { className: "more", type: "button" });
  const line = make("p", { className: "filter" }, box);
  if (kinds) line.append(choice(kinds, rows, (chosen) => { kind = chosen; most = PAGE; draw(); }));
  line.append(count);
  table.parentElement.before(line);
  table.parentElement.after(more);
  const draw = () => {
    const found = rows.filter((row) => {
      if (kind !== null && row.outcome !== kind) return false;
      if (!words.length) return true;
      const text = (row.text ??= find(row));
      return words.every((word) => text.includes(word));
    });
    const key = keys[sorted];
    if (key) found.sort((a, b) => { const x = key(a), y = key(b); return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1); });
    body.replaceChildren(...found.slice(0, most).map((row) => {
      const line = make("tr");
      cells(row).forEach((cell, at) => {
        const td = make("td", {}, cell);
        if (table.tHead.rows[0].cells[at].classList.contains("n")) td.className = "n";
        line.append(td);
      });
      return line;
    }));
    count.textContent = words.length || kind !== null ? `${found.length} of ${rows.length}` : `${rows.length}`;
    more.hidden = found.length <= most;
    more.textContent = `Show ${Math.min(PAGE * 10, found.length - most)} more of ${found.length - most}`;
  };
  for (const th of table.tHead.rows[0].cells) {
    const name = th.dataset.key;
    if (!name || !keys[name]) continue;
    const button = make("button", { type: "button" }, ...th.childNodes);
    th.replaceChildren(button);
    button.addEventListener("click", () => {
      up = sorted === name ? !up : !th.classList.contains("n");
      sorted = name;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", up ? "ascending" : "descending");
      most = PAGE;
      draw();
    });
  }
  let waiting = 0;
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { words = box.value.toLowerCase().split(/\s+/).filter(Boolean); most = PAGE; draw(); }, 80);
  });
  more.addEventListener("click", () => { most += PAGE * 10; draw(); });
  draw();
  return (text) => { box.value = text; words = text.toLowerCase().split(/\s+/).filter(Boolean); most = PAGE; draw(); };
}
// A choice of one outcome, with the number of tests that have it.
function choice(kinds, rows, act) {
  const counts = new Map();
  for (const row of rows) counts.set(row.outcome, (counts.get(row.outcome) ?? 0) + 1);
  const select = make("select", {}, make("option", { value: "" }, `all ${rows.length}`));
  select.setAttribute("aria-label", "Outcome");
  kinds.forEach((name, number) => {
    if (counts.has(number)) select.append(make("option", { value: String(number) }, `${name} ${counts.get(number)}`));
  });
  select.addEventListener("change", () => act(select.value === "" ? null : Number(select.value)));
  return select;
}
const SVG = "http://www.w3.org/2000/svg";
const bar = (part) => {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of [["class", "share"], ["viewBox", "0 0 100 8"], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  for (const [kind, width] of [["rest", 100], ["call", 100 * part]]) {
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", kind); rect.setAttribute("width", width.toFixed(1)); rect.setAttribute("height", "8");
    svg.append(rect);
  }
  return svg;
};
const outcome = (test) => {
  const name = run.outcomes[test.outcome], failure = run.failures[test.index];
  const shown = failure ? make("a", { href: `#${failure}` }, name) : name;
  return bad.has(test.outcome) ? make("span", { className: "bad" }, shown) : shown;
};

function tables() {
  const costs = run.costs.map(([file, tests, failed, children, seconds, cpu, collection, imports]) =>
    ({ file: run.files[file], number: file, tests, failed, children, seconds, cpu, collection, imports }));
  const longest = Math.max(1, ...costs.map((cost) => Math.max(cost.children, cost.seconds)));
  const key = (name) => (row) => row[name];
  const numbers = Object.fromEntries(["tests", "failed", "children", "seconds", "cpu", "collection", "imports"].map((name) => [name, key(name)]));
  grid("files", costs, (row) => [
    goto(row.file, () => view.toFile(row.number)), String(row.tests),
    row.failed ? make("span", { className: "bad" }, String(row.failed)) : "",
    bar(Math.max(row.children, row.seconds) / longest), shown(row.children || -1), shown(row.seconds), shown(row.cpu),
    shown(row.collection || -1), shown(row.imports),
  ], { ...numbers, file: key("file") }, (row) => row.file.toLowerCase(), "");
  const severity = (test) => (bad.has(test.outcome) ? 1e12 : 0) + test.seconds;
  const rank = (test) => -test.outcome;
  const filter = grid("tests", tests, (test) => [
    goto(test.nodeid, () => view.toTest(test)), outcome(test),
    ...[test.seconds, test.setup, test.call, test.teardown].map((units) => (test.rounds.length ? shown(units) : "")),
  ], { test: key("nodeid"), outcome: rank, setup: key("setup"), call: key("call"), teardown: key("teardown"), seconds: key("seconds"), first: severity },
  (test) => `${test.nodeid} ${run.outcomes[test.outcome]}`.toLowerCase(), "first", run.outcomes);
  view.filterBy(filter);
  slowest();
}
// The names in the tables of the slowest lead to their bars.
function slowest() {
  const named = new Map(tests.map((test) => [test.nodeid, () => view.toTest(test)]));
  const files = new Map(run.files.map((file, number) => [file, () => view.toFile(number)]));
  for (const [id, acts] of [["slowest-tests", named], ["slowest-files", files]]) {
    for (const row of document.getElementById(id)?.tBodies[0].rows ?? []) {
      const cell = row.cells[0], act = acts.get(cell.textContent);
      if (act) cell.replaceChildren(goto(cell.textContent, act));
    }
  }
}
function goto(text, act) {
  const button = make("button", { type: "button", className: "goto", title: "Show on the timeline" }, text);
  button.addEventListener("click", act);
  return button;
}
