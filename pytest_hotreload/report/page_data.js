"use strict";
// The page's scripts are joined in one: data, tables, timeline, failures, start.

const run = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const bad = new Set(run.bad);
const shown = (units) => {
  const s = units * run.unit;
  if (units < 0) return "";
  if (s >= 60) { const whole = Math.round(s); return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`; }
  if (s >= 10) return `${s.toFixed(1)} s`;
  if (s >= 0.9995) return `${s.toFixed(2)} s`;
  if (s >= 0.00095) return `${(1000 * s).toFixed(0)} ms`;
  return s > 0 ? "< 1 ms" : "0 s";
};
const make = (tag, attributes = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element) element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
};

// ---- what the data says of tests and children

const tests = run.tests.map((row, index) => {
  const [file, name, outcome] = row;
  const test = { index, file, outcome, rounds: [], setup: 0, call: 0, teardown: 0 };
  test.nodeid = name.startsWith("::") ? run.files[file] + name : name;
  for (let at = 3; at < row.length; at += 5) {
    const [child, begin, setup, call, teardown] = row.slice(at, at + 5);
    test.rounds.push({ test, child, begin, setup, call, teardown, end: begin + setup + call + teardown });
    test.setup += setup; test.call += call; test.teardown += teardown;
  }
  test.seconds = test.setup + test.call + test.teardown;
  return test;
});
const children = run.children.map(([slot, file, begin, length, cpu, how, ending], index) =>
  ({ index, slot, file, begin, end: begin + length, cpu, how, ending, rounds: [] }));
for (const test of tests) for (const round of test.rounds) children[round.child]?.rounds.push(round);
for (const child of children) child.rounds.sort((a, b) => a.begin - b.begin);
const lanes = run.slots.map((_, slot) => children.filter((child) => child.slot === slot));
